"""What a device downloads: the descriptor, and the package as far as a simulation looks into it.

Nothing is kept of a package but its digest. Which version it holds only its maker knows; here the
descriptor says it, or the package itself in its first line, or else it is what the fleet was told.
"""

import re
from dataclasses import dataclass

from overair.protocols.syncml.as_xml import decode_xml
from overair.protocols.syncml.values import MalformedError, SyncmlError

DESCRIPTOR_TYPE = "application/vnd.oma.dd+xml"
# A package for simulated devices may begin so.
_FIRST_LINE = re.compile(rb"overair-sim version ([\x21-\x7e]{1,100})\r?\n")
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What a download descriptor says (oma-dm 13); of a package without one, what is known of it."""

    url: str
    size_bytes: int | None
    notify_url: str = ""
    version: str = ""


def read_descriptor(body: bytes) -> Descriptor:
    """Read a descriptor; raise ``MalformedError`` for one that a device could not use."""
    try:
        root = decode_xml(body)
    except SyncmlError as error:
        raise MalformedError(f"a descriptor that cannot be read: {error}") from None
    name, children = root
    if name != "media" or not isinstance(children, list):
        raise MalformedError("a descriptor without a media element")
    texts = {
        name: value.strip() for name, value in children if isinstance(value, str) and value.strip()
    }
    missing = {"type", "size", "objectURI"} - texts.keys()
    if missing:
        raise MalformedError(f"a descriptor without {', '.join(sorted(missing))}")
    if not _NUMBER.fullmatch(texts["size"]):
        raise MalformedError("a descriptor whose size is no number")
    return Descriptor(
        url=texts["objectURI"],
        size_bytes=int(texts["size"]),
        notify_url=texts.get("installNotifyURI", ""),
        version=texts.get("version", ""),
    )


def version_inside(beginning: bytes) -> str:
    """Return the version that a package itself names, or ""."""
    found = _FIRST_LINE.match(beginning)
    return found[1].decode() if found else ""
