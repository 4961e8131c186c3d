"""Large objects of the client: pieces that come in one message each, put together (oma-dm 5.4).

One at a time, and nothing in between: a command that brings data of something else ends the object that
is under way. Size counts what stands in Data, which in XML is base64 text as it is.
"""

from dataclasses import replace

from overair.protocols.omadm.nodes import node_of, text_of
from overair.protocols.omadm.session import Incoming
from overair.protocols.syncml.codes import StatusCode
from overair.protocols.syncml.message import Item, Location, Meta


class Joiner:
    """Takes the items of one message; ``open`` is the object that is not complete yet."""

    def __init__(self, before: Incoming | None, most: int) -> None:
        self.open: Incoming | None = None
        self.lost = False
        """An object broke off: the client is told so (Alert 1225)."""
        self._before = before
        self._most = most

    def take(self, command: str, meta: Meta | None, item: Item) -> Item | StatusCode:
        """Take one item of a command; of ``command`` all pieces of an object must be.

        Returned is a whole item, as it came or put together, or else the Status of its command.
        """
        data = item.data if isinstance(item.data, bytes) else (item.data or "").encode()
        size = _size(item.meta) if _size(item.meta) is not None else _size(meta)
        began = self._before or self.open
        self._before = None
        if began is not None:
            if began.command == command and node_of(item) in {began.uri, ""}:
                item = replace(item, source=item.source or Location(uri=began.uri))
                data = began.data + data
                size = began.size if began.size is not None else size
            else:
                began, self.open, self.lost = None, None, True
        if began is None and not item.more_data:
            return item
        self.open = None
        if len(data) > self._most or (size is not None and size > self._most):
            return StatusCode.OBJECT_TOO_BIG
        if item.more_data:
            self.open = Incoming(command=command, uri=node_of(item), size=size, data=data)
            return StatusCode.CHUNK_ACCEPTED
        if size is not None and size != len(data):
            return StatusCode.SIZE_MISMATCH
        return replace(item, data=text_of(data), more_data=False)

    def finish(self) -> None:
        """End the message: an object that was under way and got no piece is lost."""
        if self._before is not None:
            self._before, self.lost = None, True


def _size(meta: Meta | None) -> int | None:
    return None if meta is None else meta.size
