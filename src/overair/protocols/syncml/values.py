"""Errors and limits of the room.

    SyncmlError
    ├── MalformedError      not a document of the format, or not a SyncML message: HTTP 400
    ├── LimitError          a bound was passed before anything was built: HTTP 400
    └── UnencodableError    a value of ours that the chosen form cannot carry: our mistake

A decoder raises one of the first two, whatever the bytes; an encoder the third. The text says what
was wrong, never what stood there: bodies hold credentials (oma-dm 15).
"""

from dataclasses import dataclass


class SyncmlError(Exception):
    """What this room raises; never by itself, always one of the three below."""


class MalformedError(SyncmlError):
    """The bytes are not what they should be."""


class LimitError(SyncmlError):
    """The bytes would cost more than they may."""


class UnencodableError(SyncmlError):
    """The value cannot be written in this form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncmlLimits:
    """Every bound on what a peer may send (oma-dm 15).

    Text is counted in characters (bytes, where it is opaque) after the references to a WBXML string
    table are resolved, so a table can not be used to blow a small body up.
    """

    body_bytes: int = 64 * 1024
    depth: int = 32
    elements: int = 2000
    text: int = 256 * 1024
    value: int = 1024 * 1024
    session_id_chars: int = 16


LIMITS = SyncmlLimits()
