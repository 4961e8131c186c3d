"""SyncML in XML, through expat with everything switched off that a document could abuse (oma-dm 15).

A DOCTYPE is accepted if it is bare or names SyncML's public document type; it is never fetched. One
with declarations of its own is refused before they are read, so there are no entities but the five
that XML has, and no bombs. UTF-8 it is, whatever the declaration says. Namespaces and prefixes are cut
off: some clients leave them out, and no two elements differ by nothing else where it matters.

Written: no declaration, no layout, namespaces as the specification's examples have them, and line ends
as references, because an XML parser would otherwise change them.
"""

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Sequence
from typing import NoReturn
from xml.parsers import expat

from overair.protocols.syncml.elements import Builder, Element
from overair.protocols.syncml.values import (
    LIMITS,
    LimitError,
    MalformedError,
    SyncmlLimits,
    UnencodableError,
)

NAMESPACE = "SYNCML:SYNCML1.2"
METINF_NAMESPACE = "syncml:metinf"

_PUBLIC_ID = re.compile(r"-//SYNCML//DTD (SyncML|SYNCML) 1\.[0-2]//EN")
# What XML 1.0 cannot hold, not even as a reference.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})


def decode_xml(body: bytes, limits: SyncmlLimits = LIMITS) -> Element:
    """Read a document and return its root."""
    if len(body) > limits.body_bytes:
        raise LimitError(f"more than {limits.body_bytes} bytes")
    # Expat would take UTF-16 all the same, by its byte order mark or by the zeros in it.
    if 0 in body or body.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise MalformedError("not UTF-8")
    builder = Builder(limits)

    def start(name: str, attributes: dict[str, str]) -> None:
        builder.start(name.rpartition(":")[2])

    def end(name: str) -> None:
        builder.end()

    # Named here, so that a setting of the document cannot choose another codec of Python's.
    parser = expat.ParserCreate("UTF-8")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = _doctype
    parser.SkippedEntityHandler = _skipped_entity
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise MalformedError(f"not XML: {expat.ErrorString(error.code)}") from None
    return builder.root()


def _doctype(name: str, system_id: str | None, public_id: str | None, has_subset: int) -> None:
    if has_subset:
        raise MalformedError("a document type with declarations of its own")
    if public_id is None and system_id is None:
        return
    if public_id is None or not _PUBLIC_ID.fullmatch(public_id):
        raise MalformedError("a document type that is not SyncML's")


def _skipped_entity(name: str, is_parameter: bool) -> NoReturn:
    # With an external document type expat passes over entities that it does not know.
    raise MalformedError("an entity that is not XML's own")


class XmlSink:
    """Takes a message's elements, and makes a document in XML."""

    def __init__(self) -> None:
        self._out: list[str] = []

    def open(self, name: str) -> int:
        """Begin an element; return what its end has to be given."""
        attributes = "" if self._out else f' xmlns="{NAMESPACE}"'
        self._out.append(f"<{name}{attributes}>")
        return len(self._out)

    def close(self, name: str, mark: int) -> None:
        """End it; an element with nothing in it is a tag that ends itself."""
        if len(self._out) == mark:
            self._out[-1] = f"{self._out[-1][:-1]}/>"
        else:
            self._out.append(f"</{name}>")

    def leaves(self, leaves: Iterable[tuple[str, str]], attributes: str = "") -> None:
        """Write elements that have text, or nothing."""
        for name, text in leaves:
            if text:
                self._out.append(f"<{name}{attributes}>{text.translate(_ESCAPES)}</{name}>")
            else:
                self._out.append(f"<{name}{attributes}/>")

    def meta(self, leaves: Sequence[tuple[str, str]]) -> None:
        """Write a Meta of these elements, which have a namespace of their own."""
        mark = self.open("Meta")
        self.leaves(leaves, f' xmlns="{METINF_NAMESPACE}"')
        self.close("Meta", mark)

    def data(self, value: str | bytes, *, stored: bool) -> None:
        """Write an Item's Data."""
        if isinstance(value, bytes):
            raise UnencodableError("bytes in XML: they go as base64 text")
        self.leaves((("Data", value),))

    def body(self) -> bytes:
        """Return the document."""
        text = "".join(self._out)
        if _FORBIDDEN.search(text):
            raise UnencodableError("a character that XML cannot hold")
        return text.encode()
