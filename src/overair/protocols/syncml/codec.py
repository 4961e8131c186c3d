"""The door: bodies of requests to messages, messages to bodies, and the media types that name them.

An answer has the form of the request's body: XML for XML, and for WBXML the same version of it. What
``Accept`` says is not asked: engines exist that send XML and claim to accept WBXML only (oma-dm 3).
"""

from dataclasses import dataclass
from enum import Enum

from overair.protocols.syncml.as_wbxml import WbxmlSink, decode_wbxml
from overair.protocols.syncml.as_xml import XmlSink, decode_xml
from overair.protocols.syncml.message import Message
from overair.protocols.syncml.read import read_message
from overair.protocols.syncml.values import LIMITS, SyncmlLimits
from overair.protocols.syncml.write import write_message

# The version of WBXML that is written when nobody has spoken yet.
WBXML_VERSION = 2


class MediaType(Enum):
    """What a body may call itself; the last two are older than device management."""

    XML = "application/vnd.syncml.dm+xml"
    WBXML = "application/vnd.syncml.dm+wbxml"
    OLD_XML = "application/vnd.syncml+xml"
    OLD_WBXML = "application/vnd.syncml+wbxml"

    @property
    def is_wbxml(self) -> bool:
        """Tell which of the two forms it is."""
        return self is MediaType.WBXML or self is MediaType.OLD_WBXML


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a body is written; an answer takes over the form of what it answers."""

    media_type: MediaType = MediaType.WBXML
    wbxml_version: int = WBXML_VERSION


def media_type(content_type: str) -> MediaType | None:
    """Return the type that a Content-Type header names; None: it is none of ours (415)."""
    name = content_type.partition(";")[0].strip().lower()
    return _BY_NAME.get(name)


_BY_NAME = {known.value: known for known in MediaType}


def decode(body: bytes, kind: MediaType, limits: SyncmlLimits = LIMITS) -> tuple[Message, Form]:
    """Read a body; raise ``MalformedError`` or ``LimitError``, and nothing else."""
    if kind.is_wbxml:
        root, version = decode_wbxml(body, limits)
        form = Form(media_type=kind, wbxml_version=version)
    else:
        root = decode_xml(body, limits)
        form = Form(media_type=kind)
    return read_message(root, limits), form


def encode(message: Message, form: Form) -> bytes:
    """Write a body; raise ``UnencodableError`` for what the form cannot carry, and nothing else."""
    out = WbxmlSink(form.wbxml_version) if form.media_type.is_wbxml else XmlSink()
    write_message(message, out)
    return out.body()
