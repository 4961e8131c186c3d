"""What goes wrong in this room.

LwM2MError
├── UnreadableError       a payload that is not of its format: the reading is missing (lwm2m 14)
├── RegistrationError     a registration or bootstrap request that is refused: its code
└── UnwritableError       a value of ours that the format cannot carry: our mistake
"""


class LwM2MError(Exception):
    """What this room raises; never by itself, always one of those below."""


class UnreadableError(LwM2MError):
    """A payload that cannot be read."""


class RegistrationError(LwM2MError):
    """A request that is answered with this code."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(what)
        self.code = code


class UnwritableError(LwM2MError):
    """A value that cannot be written."""
