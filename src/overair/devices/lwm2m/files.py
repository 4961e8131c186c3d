"""The images that devices fetch: ``/fw/<token>`` over CoAP, in blocks, and over HTTP (``lwm2m.md`` 10).

A device may fetch from another port, in another session or in none, so the token is all that ties a
download to it: the attempt's number and a MAC under a key that is derived from the installation's, as for
OMA-DM (``devices/dm/downloads.py``). It is good while the attempt is under way, and then 4.04.

Over CoAP any block may be asked for in any order and size, and nothing is kept between two but how far it
came, which the attempt looks at. What was served is written down every few seconds, as over HTTP: a complete
download is one whether or not the device gets to say so.

In the clear a block goes to an address that nobody has proven, and is some twenty times as long as what asked
for it. So whoever has the token can send blocks to anybody, but not for ever: of one attempt ten times the image
leaves in the clear, which is as often as an image is begun with (``attempt.MOST_BEGINS``), and then 4.04.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from overair.artifacts.errors import StorageError
from overair.clock import Clock
from overair.config import Settings
from overair.core import coverage
from overair.core.attempt import AttemptState
from overair.core.coverage import Coverage
from overair.core.ids import AttemptId
from overair.devices.asgi import Answer, DisconnectError, Receive, Scope, Send, respond
from overair.devices.asgi import Request as HttpRequest
from overair.devices.lwm2m.images import Images
from overair.devices.sending import Sending
from overair.devices.tokens import AttemptTokens
from overair.engine.outcome import note_bytes
from overair.protocols.coap.blocks import block_response, wanted_block
from overair.protocols.coap.errors import RefusedError
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request, Response
from overair.protocols.lwm2m.delivery import Scheme
from overair.store import polls
from overair.store.database import Database, StoreError
from overair.store.polls import Deployment

log = structlog.get_logger()

PATH: Final = "/fw"
_PURPOSE: Final = b"overair LwM2M download 1"
_UNDER_WAY: Final = (AttemptState.OFFERED, AttemptState.RUNNING, AttemptState.DOWNLOADED)
KNOWN_S: Final = 5.0  # for so long, at most, it is not asked again whether an attempt is under way
MOST_KNOWN: Final = 10_000
BUSY_S: Final = 30
NOTED_S: Final = 5.0  # between two notes of what a device was served over CoAP
CLEAR_TIMES: Final = 10  # as many bytes as the image has leave in the clear for one attempt,
CLEAR_BYTES: Final = 64 * 1024  # or so many, of a small one

_SPREAD: Final = 64
_ETAG_BYTES: Final = 8


@dataclass(slots=True)
class Progress:
    """How far a device has come with a download."""

    served_bytes: int = 0
    asked_at: float = 0.0
    """Of the clock that does not jump."""
    noted_at: float = 0.0
    unnoted: Coverage = coverage.EMPTY
    """What was served and is not written down."""
    clear_bytes: int = 0
    """Served in the clear, the same bytes each time that they were."""


@dataclass(frozen=True, slots=True)
class _Known:
    deployment: Deployment | None
    etag: bytes
    until: float


class Files:
    """What is there to fetch."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        wall: Clock,
        settings: Settings,
        key: bytes,
        sending: Sending,
        images: Images,
    ) -> None:
        self._db = db
        self._clock = clock
        self._wall = wall
        self._settings = settings
        self._tokens = AttemptTokens(key, _PURPOSE)
        self._sending = sending
        self.images = images
        self._known: dict[AttemptId, _Known] = {}
        self._progress: dict[AttemptId, Progress] = {}
        self._noting: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Finish writing down what was served."""
        await asyncio.gather(*self._noting, return_exceptions=True)

    # Addresses

    def schemes(self) -> list[Scheme]:
        """How images can be fetched here."""
        rules, found = self._settings.lwm2m, []
        if rules.coaps and rules.public_coaps:
            found.append(Scheme.COAPS)
        if rules.coap and rules.public_coap:
            found.append(Scheme.COAP)
        if self._settings.public_url:
            secure = self._settings.public_url.startswith("https:")
            found.append(Scheme.HTTPS if secure else Scheme.HTTP)
        return found

    def uri(self, scheme: Scheme, attempt_id: AttemptId) -> str:
        """Where the image of an attempt is, by one of these ways."""
        match scheme:
            case Scheme.COAPS:
                base = f"coaps://{self._settings.lwm2m.public_coaps}"
            case Scheme.COAP:
                base = f"coap://{self._settings.lwm2m.public_coap}"
            case _:
                base = self._settings.public_url.rstrip("/")
        return f"{base}{PATH}/{self._tokens.of(attempt_id)}"

    def progress(self, attempt_id: AttemptId) -> Progress | None:
        """How far its download has come; None: it has not begun."""
        return self._progress.get(attempt_id)

    def forget(self, attempt_id: AttemptId) -> None:
        """The attempt is over."""
        self._progress.pop(attempt_id, None)
        self._known.pop(attempt_id, None)

    # CoAP

    def at_hand(self, request: Request, token: str, *, clear: bool) -> Response | None:
        """The answer, if nothing has to be waited for. ``clear``: not over DTLS."""
        attempt_id = self._tokens.attempt_of(token)
        if attempt_id is None:
            return Response(code=Code.NOT_FOUND)
        if request.method != Code.GET:
            return Response(code=Code.METHOD_NOT_ALLOWED)
        known = self._known.get(attempt_id)
        if known is None or known.until < self._wall.monotonic():
            return None
        return self._answer(request, attempt_id, known, clear=clear)

    def _answer(
        self, request: Request, attempt_id: AttemptId, known: _Known, *, clear: bool
    ) -> Response | None:
        """The answer; None: the bytes have to be loaded."""
        found = known.deployment
        if found is None:
            return Response(code=Code.NOT_FOUND)
        try:
            part = wanted_block(request, found.size_bytes)
        except RefusedError as error:
            return Response(code=error.code)
        payload = self.images.at_hand(found.sha256, part.offset, part.length)
        if payload is None:
            return None
        end = part.offset + part.length
        now = self._wall.monotonic()
        progress = self._progress.get(attempt_id)
        begins = progress is None
        if progress is None:
            progress = self._progress[attempt_id] = Progress()
        if clear and not _may_leave(progress, part.length, found):
            return Response(code=Code.NOT_FOUND)
        progress.served_bytes = max(progress.served_bytes, end)
        progress.asked_at = now
        progress.unnoted = coverage.add(progress.unnoted, part.offset, end)
        if begins or end == found.size_bytes or now - progress.noted_at >= NOTED_S:
            # Those who begin together are not all written down together from then on.
            progress.noted_at = now - (NOTED_S * _part_of(attempt_id) if begins else 0.0)
            sent, progress.unnoted = progress.unnoted, coverage.EMPTY
            task = asyncio.get_running_loop().create_task(self._note(found, sent))
            self._noting.add(task)
            task.add_done_callback(self._noting.discard)
        return block_response(part, payload, size=found.size_bytes, etag=known.etag)

    async def _note(self, found: Deployment, sent: Coverage) -> None:
        try:
            await self._db.transact_brief(
                note_bytes,
                found.device_id,
                found.attempt_id,
                sent,
                found.size_bytes,
                self._settings,
                self._clock.now(),
                # It fetches when it is told to, and is tried without limit.
                guarded=False,
            )
        except StoreError as error:
            # What the device shows in the end counts all the same.
            log.warning("a download could not be noted", attempt=found.attempt_id, error=str(error))

    async def block(self, request: Request, token: str, *, clear: bool) -> Response:
        """The answer, whatever it takes."""
        attempt_id = self._tokens.attempt_of(token)
        assert attempt_id is not None
        try:
            known = await self._look_up(attempt_id)
            found = known.deployment
            if found is not None:
                part = wanted_block(request, found.size_bytes)
                await self.images.load(found.sha256, part.offset, part.length)
        except RefusedError as error:
            return Response(code=error.code)
        except (StorageError, StoreError) as error:
            log.error("an image cannot be read", attempt=attempt_id, error=str(error))
            return Response(code=Code.SERVICE_UNAVAILABLE, max_age=BUSY_S)
        answer = self._answer(request, attempt_id, known, clear=clear)
        return answer or Response(code=Code.SERVICE_UNAVAILABLE, max_age=1)

    async def _look_up(self, attempt_id: AttemptId) -> _Known:
        """The attempt, if it is under way. Raises StoreError."""
        now = self._wall.monotonic()
        known = self._known.get(attempt_id)
        if known is not None and known.until >= now:
            return known
        found = await self._db.read(polls.deployment, attempt_id)
        if found is not None and found.state not in _UNDER_WAY:
            found = None
        if len(self._known) >= MOST_KNOWN:
            self._known = {}
        # Those who begin together do not all come back to the database together.
        until = now + KNOWN_S * (1 - _part_of(attempt_id) / 2)
        etag = b"" if found is None else bytes.fromhex(found.sha256)[:_ETAG_BYTES]
        known = self._known[attempt_id] = _Known(found, etag, until)
        return known

    # HTTP

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send an image over HTTP, with ranges."""
        request = HttpRequest(scope, receive)
        try:
            answer = await self._download(request, send)
        except DisconnectError:
            return
        except StoreError as error:
            log.error("a device could not be answered", path=PATH, error=str(error))
            answer = Answer(503, headers=((b"retry-after", b"%d" % BUSY_S),))
        if answer is not None:
            await respond(send, answer, head=request.method == "HEAD")

    async def _download(self, request: HttpRequest, send: Send) -> Answer | None:
        path: str = request.scope["path"]
        attempt_id = self._tokens.attempt_of(path.removeprefix(f"{PATH}/"))
        if attempt_id is None:
            return Answer(404)
        if request.method not in ("GET", "HEAD"):
            return Answer(405, headers=((b"allow", b"GET, HEAD"),))
        if request.scope.get("scheme") != "https" and not self._settings.lwm2m.plain_download:
            return Answer(404)
        found = await self._db.read(polls.deployment, attempt_id)
        if found is None or found.state not in _UNDER_WAY:
            return Answer(404)
        progress = self._progress.setdefault(attempt_id, Progress())
        progress.asked_at = self._wall.monotonic()
        now: datetime = self._clock.now()

        async def note(start: int, end: int) -> None:
            progress.served_bytes = max(progress.served_bytes, end)
            progress.asked_at = self._wall.monotonic()
            await self._db.transact_brief(
                note_bytes,
                found.device_id,
                found.attempt_id,
                ((start, end),),
                found.size_bytes,
                self._settings,
                now,
                guarded=False,
            )

        return await self._sending.serve(
            request,
            send,
            device_id=found.device_id,
            sha256=found.sha256,
            file_name=found.file_name,
            stored_at=found.stored_at,
            note=note if request.method == "GET" else None,
        )


def _may_leave(progress: Progress, length: int, found: Deployment) -> bool:
    """Whether one more block may leave in the clear; it is counted."""
    most = max(CLEAR_TIMES * found.size_bytes, CLEAR_BYTES)
    before = progress.clear_bytes
    progress.clear_bytes += length
    if before <= most < progress.clear_bytes:
        log.warning("an image is fetched in the clear for ever", attempt=found.attempt_id)
    return progress.clear_bytes <= most


def _part_of(attempt_id: AttemptId) -> float:
    """A part of 1, another one for each of those that follow each other."""
    return attempt_id % _SPREAD / _SPREAD
