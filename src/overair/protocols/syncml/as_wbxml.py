"""WBXML 1.1 to 1.3, as far as SyncML has it (oma-dm 16).

Read: tags with and without content, code pages, strings inline and in the table, opaque data. Refused,
because no SyncML document has them: attributes, entities, literal tags, processing instructions and
extensions. Every length is checked against what is there before anything is taken, and the table's
strings count each time they are used.

Written: public id 0x1201, UTF-8, an empty string table; text inline, opaque where it is bytes, holds a
NUL or is an Item's Data that is to be stored (which is also how libwbxml has it). The version is the peer's own, never a higher one: engines exist that refuse 1.3.
"""

from overair.protocols.syncml.elements import Builder, Element
from overair.protocols.syncml.tokens import CODES, PUBLIC_ID, PUBLIC_IDS, SYNCML, TAGS
from overair.protocols.syncml.values import (
    LIMITS,
    LimitError,
    MalformedError,
    SyncmlLimits,
    UnencodableError,
)

# The first byte of a document: the minor version, the major one being 1.
VERSIONS = {1, 2, 3}

_SWITCH_PAGE = 0x00
_END = 0x01
_STR_I = 0x03
_STR_T = 0x83
_OPAQUE = 0xC3
_HAS_CONTENT = 0x40
_HAS_ATTRIBUTES = 0x80
_TAG = 0x3F
# Below this, in every quarter of the byte, are the global tokens.
_FIRST_TAG = 0x05

_UTF_8 = 106
# Unknown, and US-ASCII: both are UTF-8 for what they may hold.
_CHARSETS = {0, 3, _UTF_8}
_INTEGER_BYTES = 5
_INTEGER_LIMIT = 2**32


class _Cursor:
    """A place in the bytes, which never gets past their end."""

    __slots__ = ("at", "body")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def byte(self) -> int:
        if self.at >= len(self.body):
            raise MalformedError("the document ends too early")
        self.at += 1
        return self.body[self.at - 1]

    def integer(self) -> int:
        """Seven bits a byte, the high bit saying that there are more."""
        value = 0
        for _ in range(_INTEGER_BYTES):
            byte = self.byte()
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                if value >= _INTEGER_LIMIT:
                    raise MalformedError("an integer of more than 32 bits")
                return value
        raise MalformedError("an integer of more than five bytes")

    def take(self, length: int) -> bytes:
        if length > len(self.body) - self.at:
            raise MalformedError("a length beyond the end of the document")
        self.at += length
        return self.body[self.at - length : self.at]

    def string(self) -> str:
        end = self.body.find(0, self.at)
        if end < 0:
            raise MalformedError("a string without an end")
        text = _text(self.body[self.at : end])
        self.at = end + 1
        return text


def decode_wbxml(body: bytes, limits: SyncmlLimits = LIMITS) -> tuple[Element, int]:
    """Read a document; return its root, and the version that an answer is to have."""
    if len(body) > limits.body_bytes:
        raise LimitError(f"more than {limits.body_bytes} bytes")
    cursor = _Cursor(body)
    version, table = _frame(cursor)
    builder = Builder(limits)
    # The page is a state of the parser: it stays until it is switched, across elements.
    page = SYNCML
    while not builder.complete:
        token = cursor.byte()
        if token == _END:
            builder.end()
        elif token == _STR_I:
            builder.text(cursor.string())
        elif token == _OPAQUE:
            builder.text(cursor.take(cursor.integer()))
        elif token == _STR_T:
            builder.text(_text(_entry(table, cursor.integer())))
        elif token == _SWITCH_PAGE:
            page = cursor.byte()
        elif token & _TAG < _FIRST_TAG:
            raise MalformedError(f"the token 0x{token:02X}, which SyncML does not use")
        elif token & _HAS_ATTRIBUTES:
            raise MalformedError("an element with attributes")
        else:
            name = TAGS.get(page, {}).get(token & _TAG)
            if name is None:
                raise MalformedError(f"an unknown tag 0x{token & _TAG:02X} on code page {page}")
            builder.start(name, page)
            if not token & _HAS_CONTENT:
                builder.end()
    if cursor.at != len(body):
        raise MalformedError("something follows the document")
    return builder.root(), version


def _frame(cursor: _Cursor) -> tuple[int, bytes]:
    """Read what stands before the root element; return the version and the string table."""
    version = cursor.byte()
    if version not in VERSIONS:
        raise MalformedError("not WBXML 1.1, 1.2 or 1.3")
    public_id = cursor.integer()
    # Zero: the id stands in the table, at this offset, as text.
    offset = cursor.integer() if public_id == 0 else None
    if cursor.integer() not in _CHARSETS:
        raise MalformedError("a character set other than UTF-8")
    table = cursor.take(cursor.integer())
    if offset is None:
        known = public_id in PUBLIC_IDS
    else:
        known = _text(_entry(table, offset)) in PUBLIC_IDS.values()
    if not known:
        raise MalformedError("not a document of SyncML 1.0, 1.1 or 1.2")
    return version, table


def _entry(table: bytes, offset: int) -> bytes:
    """Return a string of the table; the last one may end with the table instead of a zero."""
    if offset >= len(table):
        raise MalformedError("an offset beyond the string table")
    end = table.find(0, offset)
    return table[offset:] if end < 0 else table[offset:end]


def _text(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise MalformedError("text that is not UTF-8") from None


def encode_wbxml(root: Element, version: int) -> bytes:
    """Write a document in this version."""
    if version not in VERSIONS:
        raise UnencodableError(f"there is no WBXML 1.{version}")
    out = bytearray([version])
    _put_integer(out, PUBLIC_ID)
    _put_integer(out, _UTF_8)
    _put_integer(out, 0)
    _put(out, root, SYNCML)
    return bytes(out)


def _put(out: bytearray, element: Element, page: int) -> int:
    """Write an element; return the code page that the parser is left on."""
    if element.page != page:
        out += bytes([_SWITCH_PAGE, element.page])
        page = element.page
    code = CODES[page][element.name]
    if element.children:
        out.append(code | _HAS_CONTENT)
        for child in element.children:
            page = _put(out, child, page)
        out.append(_END)
    elif element.value:
        out.append(code | _HAS_CONTENT)
        _put_value(out, element.value, element.opaque)
        out.append(_END)
    else:
        out.append(code)
    return page


def _put_value(out: bytearray, value: str | bytes, opaque: bool) -> None:
    try:
        data = value.encode() if isinstance(value, str) else value
    except UnicodeEncodeError:
        raise UnencodableError("text that is not Unicode") from None
    if opaque or isinstance(value, bytes) or 0 in data:
        out.append(_OPAQUE)
        _put_integer(out, len(data))
        out += data
    else:
        out.append(_STR_I)
        out += data
        out.append(0)


def _put_integer(out: bytearray, value: int) -> None:
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    out += bytes(reversed(groups))
