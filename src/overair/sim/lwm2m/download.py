"""A download of a simulated device: over CoAP block by block, or over HTTP piece by piece.

Over CoAP it comes from a port of its own, as modules do it. What does not answer is asked again, from where
the download was, so often; then the connection is lost. A download does not outlive a change of the resource.

``ask`` asks for the next piece, and ``handle`` takes what came of it: it returns after how many seconds to
ask again, or None if there is nothing to ask for. ``take`` gets each piece and the length of all, and says
whether to go on; ``ended`` is told of the end, with None if all has come.
"""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from overair.protocols.coap.endpoint import Endpoint
from overair.protocols.coap.events import Answered, Event, Rejected, TimedOut, Unfinished
from overair.protocols.coap.numbers import PORT, Code
from overair.protocols.coap.values import LARGEST_SZX, Block, CoapLimits, Request, Response
from overair.protocols.lwm2m.results import Result
from overair.sim.requests import Answer, Fetch

PEER = "files"
_TRIES = 3
_AGAIN_S = 5.0
_PIECE_BYTES = 64 * 1024
_PARTIAL = 206
_LIMITS = CoapLimits(remembered=64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an image is."""

    host: str
    port: int
    path: tuple[str, ...]
    query: tuple[str, ...]


def source(uri: str) -> Source | None:
    """Read a URI; None: it is none of CoAP."""
    try:
        parts = urlsplit(uri)
        port = parts.port or PORT
    except ValueError:
        return None
    if parts.scheme != "coap" or not parts.hostname:
        return None
    return Source(
        host=parts.hostname,
        port=port,
        path=tuple(unquote(each) for each in parts.path.split("/")[1:]),
        query=tuple(unquote(each) for each in parts.query.split("&") if each),
    )


Take = Callable[[bytes, int | None], bool]
Ended = Callable[[Result | None], None]


class Download:
    """One download over CoAP."""

    def __init__(
        self, where: Source, entropy: Callable[[int], bytes], take: Take, ended: Ended
    ) -> None:
        self.endpoint = Endpoint(entropy=entropy, limits=_LIMITS)
        self.where = where
        self.piece_bytes = 0
        self._take = take
        self._ended = ended
        self._reached = 0
        self._szx = LARGEST_SZX
        self._etag: bytes | None = None
        self._size: int | None = None
        self._tries = 0

    def ask(self, now: float) -> None:
        """Ask for the next block."""
        block = Block(self._reached >> (self._szx + 4), False, self._szx)
        request = Request(
            method=Code.GET, path=self.where.path, query=self.where.query, block2=block
        )
        self.endpoint.request(PEER, request, now)

    def handle(self, event: Event, now: float) -> float | None:
        """Take what happened."""
        if isinstance(event, Answered):
            return self._answered(event.response)
        if isinstance(event, TimedOut | Rejected | Unfinished):
            self._tries += 1
            self.endpoint.release(PEER, now)
            if isinstance(event, TimedOut) and self._tries < _TRIES:
                return 0.0
            self._ended(Result.CONNECTION_LOST)
        return None

    def _answered(self, response: Response) -> float | None:
        if response.code == Code.SERVICE_UNAVAILABLE and self._tries < _TRIES:
            self._tries += 1
            return float(response.max_age or _AGAIN_S)
        self._tries = 0
        if not response.ok:
            self._ended(Result.INVALID_URI)
            return None
        block = response.block2 or Block(0, False, LARGEST_SZX)
        changed = self._reached > 0 and response.etag != self._etag
        if block.offset != self._reached or changed:
            self._ended(Result.CONNECTION_LOST)
            return None
        self._etag = response.etag
        self._size = response.size2 or self._size
        self._szx = min(self._szx, block.szx)
        self._reached += len(response.payload)
        self.piece_bytes = len(response.payload)
        if not self._take(response.payload, self._size):
            return None
        if not block.more:
            self._ended(None)
            return None
        return 0.0


class HttpDownload:
    """One download over HTTP; a piece is a range from where it was, and cut where it is long enough."""

    def __init__(self, url: str, take: Take, ended: Ended) -> None:
        self.piece_bytes = 0
        self.fetch = Fetch(url=url, offset=0, limit=_PIECE_BYTES)
        self._take = take
        self._ended = ended
        self._reached = 0
        self._tries = 0

    def ask(self) -> Fetch:
        """Ask for the next piece."""
        self.fetch = Fetch(url=self.fetch.url, offset=self._reached, limit=_PIECE_BYTES)
        return self.fetch

    def handle(self, answer: Answer) -> float | None:
        """Take what came of it."""
        if answer.status == 0 or answer.status >= 500 or answer.status in (408, 429):
            self._tries += 1
            if self._tries < _TRIES:
                return answer.retry_after_s or _AGAIN_S
            self._ended(Result.CONNECTION_LOST)
            return None
        whole = answer.status == 200 and self._reached == 0
        if not whole and not (answer.status == _PARTIAL and answer.start == self._reached):
            self._ended(Result.INVALID_URI)
            return None
        self._tries = 0
        self._reached += len(answer.body)
        self.piece_bytes = len(answer.body)
        if not self._take(answer.body, answer.total):
            return None
        if answer.total is not None and self._reached < answer.total:
            return 0.0
        self._ended(None)
        return None
