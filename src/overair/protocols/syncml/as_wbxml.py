"""WBXML 1.1 to 1.3, as far as SyncML has it (oma-dm 16).

Read: tags with and without content, code pages, strings inline and in the table, opaque data. Refused,
because no SyncML document has them: attributes, entities, literal tags, processing instructions and
extensions. Every length is checked against what is there before anything is taken, and the table's
strings count each time they are used.

Written: public id 0x1201, UTF-8, an empty string table; text inline, opaque where it is bytes, holds a
NUL or is an Item's Data that is to be stored (which is also how libwbxml has it). The version is the peer's own, never a higher one: engines exist that refuse 1.3.
"""

from collections.abc import Iterable, Sequence

from overair.protocols.syncml.elements import Content, Element, joined
from overair.protocols.syncml.tokens import CODES, METINF, PUBLIC_ID, PUBLIC_IDS, SYNCML, TAGS
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

_TEXTS = {_STR_I, _STR_T, _OPAQUE}
# By the token of a tag, with content or without: its name, or None where there is none.
_NO_NAMES: tuple[str | None, ...] = (None,) * 256
_NAMES = {
    page: tuple(
        None if token & _HAS_ATTRIBUTES or token & _TAG < _FIRST_TAG else tags.get(token & _TAG)
        for token in range(256)
    )
    for page, tags in TAGS.items()
}
# What stands before the text of an element, and after it.
_CODES = CODES[SYNCML]
_INLINE = {
    page: {name: bytes([code | _HAS_CONTENT, _STR_I]) for name, code in codes.items()}
    for page, codes in CODES.items()
}
_END_OF_INLINE = bytes([0, _END])

_UTF_8 = 106
# Unknown, and US-ASCII: both are UTF-8 for what they may hold.
_CHARSETS = {0, 3, _UTF_8}
# What follows the version: 1.2's public id, UTF-8, no string table. It is what we write.
_USUAL_FRAME = bytes([0x80 | PUBLIC_ID >> 7, PUBLIC_ID & 0x7F, _UTF_8, 0])
_INTEGER_BYTES = 5
_INTEGER_LIMIT = 2**32


def decode_wbxml(body: bytes, limits: SyncmlLimits = LIMITS) -> tuple[Element, int]:
    """Read a document; return its root, and the version that an answer is to have."""
    if len(body) > limits.body_bytes:
        raise LimitError(f"more than {limits.body_bytes} bytes")
    try:
        version, table, at = _frame(body)
        root, at = _document(body, at, table, limits)
    except IndexError:
        raise MalformedError("the document ends too early") from None
    except UnicodeDecodeError:
        raise MalformedError("text that is not UTF-8") from None
    if at != len(body):
        raise MalformedError("something follows the document")
    return root, version


def _document(body: bytes, at: int, table: bytes, limits: SyncmlLimits) -> tuple[Element, int]:
    """Read the root element; return it, and where it ends.

    Raises IndexError where the bytes end too early, and UnicodeDecodeError.

    This is what a message costs most: a loop over bytes, with everything in local names. A leaf
    with nothing but a string, which is nearly every element, is taken as one.
    """
    # The page is a state of the parser: it stays until it is switched, across elements.
    page = SYNCML
    names = _NAMES[SYNCML]
    # Of the open element its name and its children so far; and the same of those around it.
    inside = ""
    children: list[Element] = []
    opened: list[tuple[str, list[Element]]] = []
    # The pieces of text seen since the last tag: all of an element's value, if it has no children.
    pieces: list[str | bytes] = []
    elements = text = 0
    most_elements, most_text, depth = limits.elements, limits.text, limits.depth
    while True:
        token = body[at]
        at += 1
        if token == _END:
            if not opened:
                raise MalformedError("an element ends that has not begun")
            content: Content = children or (joined(pieces, limits) if pieces else "")
            if pieces:
                pieces = []
            element = inside, content
            inside, children = opened.pop()
            if not opened:
                return element, at
            children.append(element)
            continue
        if token in _TEXTS:
            piece, at = _piece(body, at, token, table)
            text += len(piece)
            if text > most_text:
                raise LimitError(f"more than {most_text} characters of text")
            if not opened:
                raise MalformedError("text outside of the root element")
            if piece:
                pieces.append(piece)
            continue
        if token == _SWITCH_PAGE:
            page = body[at]
            names = _NAMES.get(page, _NO_NAMES)
            at += 1
            continue
        name = names[token]
        if name is None:
            raise _no_tag(token, page)
        elements += 1
        if elements > most_elements:
            raise LimitError(f"more than {most_elements} elements")
        if len(opened) == depth:
            raise LimitError(f"elements nested deeper than {depth}")
        if pieces:
            pieces = []
        if not token & _HAS_CONTENT:
            if not opened:
                return (name, ""), at
            children.append((name, ""))
            continue
        if opened and body[at] == _STR_I:
            end = body.find(0, at)
            if end > 0 and body[end + 1] == _END:
                value = body[at + 1 : end].decode()
                text += len(value)
                if text > most_text:
                    raise LimitError(f"more than {most_text} characters of text")
                if len(value) > limits.value:
                    raise LimitError(f"a value of more than {limits.value} characters")
                children.append((name, value))
                at = end + 2
                continue
        opened.append((inside, children))
        inside, children = name, []


def _no_tag(token: int, page: int) -> MalformedError:
    if token & _TAG < _FIRST_TAG:
        return MalformedError(f"the token 0x{token:02X}, which SyncML does not use")
    if token & _HAS_ATTRIBUTES:
        return MalformedError("an element with attributes")
    return MalformedError(f"an unknown tag 0x{token & _TAG:02X} on code page {page}")


def _piece(body: bytes, at: int, token: int, table: bytes) -> tuple[str | bytes, int]:
    """Read a piece of text; return it, and where it ends."""
    if token == _STR_I:
        end = body.find(0, at)
        if end < 0:
            raise MalformedError("a string without an end")
        return body[at:end].decode(), end + 1
    number, at = _integer(body, at)
    if token == _STR_T:
        return _entry(table, number).decode(), at
    return _take(body, at, number)


def _integer(body: bytes, at: int) -> tuple[int, int]:
    """Read seven bits a byte, the high bit saying that there are more; and where they end."""
    value = 0
    for place in range(at, at + _INTEGER_BYTES):
        byte = body[place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            if value >= _INTEGER_LIMIT:
                raise MalformedError("an integer of more than 32 bits")
            return value, place + 1
    raise MalformedError("an integer of more than five bytes")


def _take(body: bytes, at: int, length: int) -> tuple[bytes, int]:
    if length > len(body) - at:
        raise MalformedError("a length beyond the end of the document")
    return body[at : at + length], at + length


def _frame(body: bytes) -> tuple[int, bytes, int]:
    """Read what stands before the root element; return version, string table, and its end."""
    if body.startswith(_USUAL_FRAME, 1) and body[0] in VERSIONS:
        return body[0], b"", 1 + len(_USUAL_FRAME)
    version = body[0]
    if version not in VERSIONS:
        raise MalformedError("not WBXML 1.1, 1.2 or 1.3")
    public_id, at = _integer(body, 1)
    # Zero: the id stands in the table, at this offset, as text.
    offset: int | None = None
    if public_id == 0:
        offset, at = _integer(body, at)
    charset, at = _integer(body, at)
    if charset not in _CHARSETS:
        raise MalformedError("a character set other than UTF-8")
    length, at = _integer(body, at)
    table, at = _take(body, at, length)
    if offset is None:
        known = public_id in PUBLIC_IDS
    else:
        known = _entry(table, offset).decode() in PUBLIC_IDS.values()
    if not known:
        raise MalformedError("not a document of SyncML 1.0, 1.1 or 1.2")
    return version, table, at


def _entry(table: bytes, offset: int) -> bytes:
    """Return a string of the table; the last one may end with the table instead of a zero."""
    if offset >= len(table):
        raise MalformedError("an offset beyond the string table")
    end = table.find(0, offset)
    return table[offset:] if end < 0 else table[offset:end]


class WbxmlSink:
    """Takes a message's elements, and makes a document in one version of WBXML."""

    def __init__(self, version: int) -> None:
        if version not in VERSIONS:
            raise UnencodableError(f"there is no WBXML 1.{version}")
        self._out = bytearray([version])
        self._out += _USUAL_FRAME
        self._page = SYNCML  # on which the parser is left

    def open(self, name: str) -> int:
        """Begin an element; return what its end has to be given."""
        if self._page != SYNCML:
            self._switch(SYNCML)
        self._out.append(_CODES[name] | _HAS_CONTENT)
        return len(self._out)

    def close(self, name: str, mark: int) -> None:
        """End it; an element with nothing in it is a tag without content."""
        if len(self._out) == mark:
            self._out[-1] = _CODES[name]
        else:
            self._out.append(_END)

    def leaves(self, leaves: Iterable[tuple[str, str]]) -> None:
        """Write elements that have text, or nothing."""
        if self._page != SYNCML:
            self._switch(SYNCML)
        self._write(leaves, SYNCML)

    def meta(self, leaves: Sequence[tuple[str, str]]) -> None:
        """Write a Meta of these elements, which are on a page of their own."""
        mark = self.open("Meta")
        if leaves:
            self._switch(METINF)
            self._write(leaves, METINF)
        self.close("Meta", mark)

    def data(self, value: str | bytes, *, stored: bool) -> None:
        """Write an Item's Data; what is to be stored goes opaque."""
        if not value or not (stored or isinstance(value, bytes)):
            self.leaves((("Data", value if isinstance(value, str) else ""),))
            return
        mark = self.open("Data")
        self._opaque(value if isinstance(value, bytes) else _bytes(value))
        self.close("Data", mark)

    def body(self) -> bytes:
        """Return the document."""
        return bytes(self._out)

    def _switch(self, page: int) -> None:
        self._page = page
        self._out += bytes([_SWITCH_PAGE, page])

    def _write(self, leaves: Iterable[tuple[str, str]], page: int) -> None:
        out, inline, codes = self._out, _INLINE[page], CODES[page]
        for name, text in leaves:
            if not text:
                out.append(codes[name])
                continue
            data = _bytes(text)
            if 0 in data:
                out.append(codes[name] | _HAS_CONTENT)
                self._opaque(data)
                out.append(_END)
            else:
                out += inline[name]
                out += data
                out += _END_OF_INLINE

    def _opaque(self, data: bytes) -> None:
        self._out.append(_OPAQUE)
        _put_integer(self._out, len(data))
        self._out += data


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UnencodableError("text that is not Unicode") from None


def _put_integer(out: bytearray, value: int) -> None:
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    out += bytes(reversed(groups))
