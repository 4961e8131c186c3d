"""Images on their way to devices: pieces in memory, shared by all transfers of one image.

A thousand devices that are sent the same megabyte read it from storage once. What is kept is bounded by
the setting, the piece that nobody asked for longest goes; a transfer itself holds one block.

Not in here: who may have an image.
"""

import asyncio
from collections import OrderedDict
from typing import Final

from overair.artifacts.errors import StorageError
from overair.artifacts.storage import ArtifactStorage

PIECE: Final = 64 * 1024  # a multiple of every block size, so that no block lies in two

_Place = tuple[str, int]


class Images:
    """Pieces of images, by digest."""

    def __init__(self, storage: ArtifactStorage, most_bytes: int) -> None:
        self._storage = storage
        self._most = max(1, most_bytes // PIECE)
        self._pieces: OrderedDict[_Place, bytes] = OrderedDict()
        self._loading: dict[_Place, asyncio.Task[bytes]] = {}

    def at_hand(self, sha256: str, offset: int, length: int) -> bytes | None:
        """These bytes; None: they have to be loaded first."""
        place = (sha256, offset // PIECE)
        piece = self._pieces.get(place)
        if piece is None:
            return None
        self._pieces.move_to_end(place)
        start = offset % PIECE
        return piece[start : start + length]

    async def load(self, sha256: str, offset: int, length: int) -> bytes:
        """These bytes, from storage if need be; they are at hand from then on. Raises StorageError."""
        found = self.at_hand(sha256, offset, length)
        if found is not None:
            return found
        place = (sha256, offset // PIECE)
        task = self._loading.get(place)
        if task is None:
            task = asyncio.create_task(self._load(place))
            self._loading[place] = task
            task.add_done_callback(lambda _: self._loading.pop(place, None))
        piece = await asyncio.shield(task)
        start = offset % PIECE
        return piece[start : start + length]

    async def _load(self, place: _Place) -> bytes:
        sha256, number = place
        reader = await self._storage.open(sha256)
        try:
            begin = number * PIECE
            wanted = min(PIECE, reader.size - begin)
            found = bytearray()
            while len(found) < wanted:
                more = await reader.read(begin + len(found), wanted - len(found))
                if not more:
                    raise StorageError("the content ends too early")
                found += more
        finally:
            await reader.close()
        piece = bytes(found)
        self._pieces[place] = piece
        while len(self._pieces) > self._most:
            self._pieces.popitem(last=False)
        return piece
