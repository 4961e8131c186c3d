"""Elements: what XML and WBXML have in common, and the limits that hold for both.

A decoder of bytes counts before it keeps anything: that of XML by feeding a ``Builder``, that of WBXML,
which is what most devices send, in its own loop. ``read`` makes a message of the tree that comes out,
``write`` makes the tree that the encoders take.

Not in here: attributes. SyncML has none but namespaces, and those are not needed to tell elements
apart; clients that leave them out exist (oma-dm 19).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from overair.protocols.syncml.tokens import SYNCML
from overair.protocols.syncml.values import LimitError, MalformedError, SyncmlLimits


@dataclass(slots=True)
class Element:
    """An element with either children or a value. ``bytes`` is a value that came, or goes, opaque.

    ``page`` is the code page, that is the namespace; what was read from XML is all on page 0.
    ``opaque`` makes WBXML send text that way too.
    """

    name: str
    value: str | bytes = ""
    children: "list[Element]" = field(default_factory=list)
    page: int = SYNCML
    opaque: bool = False


class Builder:
    """Put a document together from the events of a decoder."""

    __slots__ = ("_elements", "_limits", "_open", "_pieces", "_root", "_text")

    def __init__(self, limits: SyncmlLimits) -> None:
        self._limits = limits
        self._root: Element | None = None
        self._open: list[Element] = []
        # The pieces of text seen since the last tag: all of an element's value, if it has no children.
        self._pieces: list[str | bytes] = []
        self._elements = 0
        self._text = 0

    def start(self, name: str, page: int = SYNCML) -> None:
        """Open an element."""
        self._elements += 1
        if self._elements > self._limits.elements:
            raise LimitError(f"more than {self._limits.elements} elements")
        if len(self._open) == self._limits.depth:
            raise LimitError(f"elements nested deeper than {self._limits.depth}")
        element = Element(name, page=page)
        if self._open:
            self._open[-1].children.append(element)
            self._pieces.clear()
        else:
            self._root = element
        self._open.append(element)

    def text(self, piece: str | bytes) -> None:
        """Add a piece of text to the open element."""
        self._text += len(piece)
        if self._text > self._limits.text:
            raise LimitError(f"more than {self._limits.text} characters of text")
        if not self._open:
            raise MalformedError("text outside of the root element")
        if piece:
            self._pieces.append(piece)

    def end(self) -> None:
        """Close the open element. Text between its children is layout, and dropped."""
        if not self._open:
            raise MalformedError("an element ends that has not begun")
        element = self._open.pop()
        if not element.children:
            element.value = joined(self._pieces, self._limits)
        self._pieces.clear()

    def root(self) -> Element:
        """Return the document, once it is complete."""
        assert self._root is not None, "a decoder asked for a document that has not begun"
        return self._root


def joined(pieces: Sequence[str | bytes], limits: SyncmlLimits) -> str | bytes:
    """Return the value that came in pieces; of text and bytes it is bytes. Raises LimitError."""
    value: str | bytes
    if len(pieces) == 1:
        value = pieces[0]
    else:
        texts = [piece for piece in pieces if isinstance(piece, str)]
        if len(texts) == len(pieces):
            value = "".join(texts)
        else:
            value = b"".join(p.encode() if isinstance(p, str) else p for p in pieces)
    if len(value) > limits.value:
        raise LimitError(f"a value of more than {limits.value} characters")
    return value
