"""What goes wrong in this room.

    CoapError
    ├── MalformedError      not a CoAP message: silence, or the reset that it carries
    ├── RefusedError        a message, but not a request that anybody may answer with 2.xx: its code
    ├── UnencodableError    a value of ours that no message can carry: our mistake
    └── FullError           more observations of one peer than there may be: our mistake

Whatever the bytes, a decoder raises one of the first two and nothing else (lwm2m 14).
"""


class CoapError(Exception):
    """What this room raises; never by itself, always one of those below."""


class MalformedError(CoapError):
    """Bytes that are no message. ``rejection`` is the reset to send, if it was worth one."""

    def __init__(self, what: str, rejection: bytes | None = None) -> None:
        super().__init__(what)
        self.rejection = rejection


class RefusedError(CoapError):
    """A request that is answered with this code before anybody looks at its resource."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(what)
        self.code = code


class UnencodableError(CoapError):
    """The value cannot be written."""


class FullError(CoapError):
    """A bound on what we do with one peer was passed."""
