"""Elements as they are read: what XML and WBXML have in common, and the limits that hold for both.

A decoder of bytes counts before it keeps anything: that of XML by feeding a ``Builder``, that of WBXML,
which is what most devices send, in its own loop. ``read`` makes a message of what comes out. To be written
a message goes straight to its form (``write``), without elements.

Plain tuples and lists, because a message has dozens of them.

Not in here: attributes. SyncML has none but namespaces, and those are not needed to tell elements
apart, nor are WBXML's code pages; clients that leave them out exist (oma-dm 19).
"""

from collections.abc import Sequence
from typing import TypeAlias

from overair.protocols.syncml.values import LimitError, MalformedError, SyncmlLimits

# What is in an element: its children, or else its value. ``bytes`` is a value that came opaque.
Content: TypeAlias = str | bytes | list["Element"]
# An element: its name, and what is in it.
Element: TypeAlias = tuple[str, Content]


class Builder:
    """Put a document together from the events of a decoder."""

    __slots__ = ("_elements", "_limits", "_open", "_pieces", "_root", "_text")

    def __init__(self, limits: SyncmlLimits) -> None:
        self._limits = limits
        self._root: Element | None = None
        # Of each open element its name, and its children so far.
        self._open: list[tuple[str, list[Element]]] = []
        # The pieces of text seen since the last tag: all of an element's value, if it has no children.
        self._pieces: list[str | bytes] = []
        self._elements = 0
        self._text = 0

    def start(self, name: str) -> None:
        """Open an element."""
        self._elements += 1
        if self._elements > self._limits.elements:
            raise LimitError(f"more than {self._limits.elements} elements")
        if len(self._open) == self._limits.depth:
            raise LimitError(f"elements nested deeper than {self._limits.depth}")
        self._pieces.clear()
        self._open.append((name, []))

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
        name, children = self._open.pop()
        element = name, children or joined(self._pieces, self._limits)
        self._pieces.clear()
        if self._open:
            self._open[-1][1].append(element)
        else:
            self._root = element

    def root(self) -> Element:
        """Return the document, once it is complete."""
        assert self._root is not None, "a decoder asked for a document that is not complete"
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
