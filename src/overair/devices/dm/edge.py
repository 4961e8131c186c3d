"""The addresses of OMA-DM devices: ``/dm`` for messages, and below it what they download.

Everything that is HTTP about a message is here (``oma-dm.md`` 3, 15): what it may call itself, how long
and how many, and what is answered when there is nothing to answer in SyncML. The answer has the form of
the body, whatever the device says that it accepts, and always a length.

Logged is who was refused and why. Of what cannot be read only its size and digest are, for bodies hold
credentials.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache, partial
from typing import Final

import structlog

from overair.artifacts.errors import StorageError
from overair.artifacts.storage import ArtifactStorage
from overair.clock import Clock
from overair.config import Settings
from overair.devices.asgi import (
    Answer,
    CrowdedError,
    DisconnectError,
    Receive,
    Request,
    Scope,
    Send,
    SlowError,
    TooLargeError,
    respond,
)
from overair.devices.dm import exchange
from overair.devices.dm.accounts import Accounts
from overair.devices.dm.downloads import NO_STORE, Downloads
from overair.devices.dm.effects import plain
from overair.devices.dm.exchange import MOST_DATA_BYTES, DataWantedError, Handled, Surroundings
from overair.devices.dm.guesses import Guesses
from overair.devices.dm.rules import Models, server_at
from overair.devices.gate import Gate
from overair.devices.seen import SeenBuffer
from overair.devices.slow import SlowBodies
from overair.devices.throttle import Throttle, is_public
from overair.protocols.omadm.device_id import parse_device_id
from overair.protocols.omadm.exchange import Request as DmRequest
from overair.protocols.omadm.exchange import read
from overair.protocols.syncml.auth import HMAC_HEADER
from overair.protocols.syncml.codec import media_type
from overair.protocols.syncml.values import LIMITS, SyncmlError
from overair.proxy import parse_address
from overair.store.database import Database, StoreError, to_ms

log = structlog.get_logger()

PATH: Final = "/dm"
AT_ONCE: Final = 512  # messages that one process works on; more are told to come again
BURST_S: Final = 10  # seconds whose messages an address may send at once
BUSY_S: Final = b"30"
SLOW_S: Final = 1.0  # after which a body that is not whole is one of those that are counted
SLOW_OF_ONE: Final = 64  # of them from one address; a whole site may be behind one
SLOW_IN_ALL: Final = 1024
_HMAC: Final = HMAC_HEADER.encode()
_IMEI_CHARS: Final = 14  # of a device's number that are compared


class _RefusedError(Exception):
    """There is nothing to answer in SyncML."""

    def __init__(self, status: int, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(status)
        self.answer = Answer(status, headers=(*NO_STORE, *headers))


@dataclass(frozen=True, slots=True, kw_only=True)
class DmRooms:
    """What the edge works with; built once, in ``app.py``."""

    db: Database
    clock: Clock
    settings: Settings
    gate: Gate
    seen: SeenBuffer
    storage: ArtifactStorage
    accounts: Accounts
    downloads: Downloads
    on_session: Callable[[], None]


class Dm:
    """The endpoints of OMA-DM devices, as an ASGI application for ``/dm`` and what is below."""

    def __init__(self, rooms: DmRooms) -> None:
        self._rooms = rooms
        rate = rooms.settings.limits.address_writes_per_s
        self._throttle: Throttle[str] = Throttle("address", rate, rate * BURST_S)
        self._guesses = Guesses()
        self._models = Models(rooms.settings.omadm)
        # By our own address: one, unless devices reach us by several names.
        self._server_at = lru_cache(maxsize=64)(partial(server_at, rooms.settings.omadm))
        self._under_way = 0
        self._slow = SlowBodies(after_s=SLOW_S, of_an_address=SLOW_OF_ONE, in_all=SLOW_IN_ALL)
        # The last package that went inside a session: each of its messages needs it again.
        self._data: tuple[str, bytes] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        answer: Answer | None
        try:
            answer = await self._answer(request, send)
        except _RefusedError as error:
            answer = error.answer
        except TooLargeError:
            answer = Answer(413, headers=NO_STORE)
        except SlowError:
            answer = Answer(408, headers=NO_STORE)
        except CrowdedError:
            answer = _busy()
        except DisconnectError:
            # It may have closed its own side only, and reads on; unanswered, it would be told 500.
            answer = Answer(400, headers=NO_STORE)
        except StoreError as error:
            log.error("a device could not be answered", path=PATH, error=str(error))
            answer = _busy()
        except Exception:
            log.exception("a device could not be answered", path=PATH)
            answer = Answer(500, headers=NO_STORE)
        if answer is not None:
            await respond(send, answer, head=request.method == "HEAD")

    async def _answer(self, request: Request, send: Send) -> Answer | None:
        """The answer; None where it has been sent already (packages)."""
        rooms = self._rooms
        if rooms.gate.is_blocked(request):
            raise _RefusedError(403)
        path: str = request.scope["path"]
        below = path.removeprefix(PATH).strip("/").split("/")
        base = f"{rooms.gate.public_url(request)}{PATH}"
        now = rooms.clock.now()
        match below:
            case [""]:
                _expect(request, "POST")
                return await self._message(request, base, now)
            case ["dd", token]:
                _expect(request, "GET", "HEAD")
                return await rooms.downloads.descriptor(base, token)
            case ["package", token]:
                _expect(request, "GET", "HEAD")
                return await rooms.downloads.package(request, send, token, now)
            case ["notify", token]:
                _expect(request, "POST")
                return await rooms.downloads.install_status(request, token, now, self._slow)
            case _:
                raise _RefusedError(404)

    async def _message(self, request: Request, base: str, now: datetime) -> Answer:
        told = request.header(b"content-type")
        if told is None or not told.strip():
            raise _RefusedError(400)
        kind = media_type(told)
        if kind is None:
            raise _RefusedError(415)
        self._admit(request)
        try:
            body = await request.body(LIMITS.body_bytes, self._slow)
        except TooLargeError:
            log.warning(
                "what a device sent is too long", address=request.client, limit=LIMITS.body_bytes
            )
            raise
        # Not before it is whole: a few hundred that never are would keep all devices out.
        self._expect_room()
        self._under_way += 1
        try:
            try:
                message = read(body, kind, request.header(_HMAC))
            except SyncmlError as error:
                digest = hashlib.sha256(body).hexdigest()
                log.info(
                    "what a device sent cannot be read",
                    address=request.client,
                    size=len(body),
                    sha256=digest,
                    error=str(error),
                )
                raise _RefusedError(400) from None
            return await self._take(request, message, base, now)
        finally:
            self._under_way -= 1

    def _admit(self, request: Request) -> None:
        """Not more at once, and not more from one public address, than is good for the others."""
        self._expect_room()
        if is_public(request.client):
            wait_s = self._throttle.admit(request.client, self._rooms.clock.monotonic())
            if wait_s:
                raise _RefusedError(503, (b"retry-after", b"%d" % wait_s))

    def _expect_room(self) -> None:
        if self._under_way >= AT_ONCE:
            raise _RefusedError(503, (b"retry-after", BUSY_S))

    async def _take(self, request: Request, message: DmRequest, base: str, now: datetime) -> Answer:
        rooms = self._rooms
        guess = (_claimed(message), request.client)
        wait_s = self._guesses.wait_s(guess, rooms.clock.monotonic())
        # What gives no credentials guesses none: a session that was let in goes on all the same.
        if wait_s and message.gives_credentials:
            raise _RefusedError(429, (b"retry-after", b"%d" % wait_s))
        surroundings = Surroundings(
            settings=rooms.settings,
            accounts=rooms.accounts,
            models=self._models,
            server=self._server_at(base),
            url_of=lambda job, delivery: rooms.downloads.url_of(base, job, delivery),
            secure=_is_secure(request),
            now=now,
            data=self._data,
        )
        try:
            handled = await self._handled(message, surroundings)
        except SyncmlError as error:
            # What the device calls itself has to be repeated, and its own form cannot carry it.
            log.info("a device cannot be answered", address=request.client, error=str(error))
            raise _RefusedError(400) from None
        if handled.wrong:
            self._guesses.note(guess, rooms.clock.monotonic())
        self._note(handled, request, message, now)
        outcome = handled.outcome
        headers: tuple[tuple[bytes, bytes], ...] = NO_STORE
        if outcome.hmac is not None:
            headers = (*headers, (_HMAC, outcome.hmac.encode("latin-1", "replace")))
        return Answer(outcome.status, outcome.body, outcome.content_type.encode(), headers)

    async def _handled(self, message: DmRequest, surroundings: Surroundings) -> Handled:
        rooms = self._rooms
        try:
            return await rooms.db.transact_brief(exchange.handle, message, surroundings)
        except DataWantedError as wanted:
            self._data = (wanted.sha256, await self._package(wanted.sha256))
            told = replace(surroundings, data=self._data)
            return await rooms.db.transact_brief(exchange.handle, message, told)

    async def _package(self, sha256: str) -> bytes:
        try:
            reader = await self._rooms.storage.open(sha256)
            try:
                pieces = bytearray()
                while len(pieces) < reader.size <= MOST_DATA_BYTES:
                    piece = await reader.read(len(pieces), reader.size - len(pieces))
                    if not piece:
                        raise StorageError("the content ends too early")
                    pieces += piece
                return bytes(pieces)
            finally:
                await reader.close()
        except StorageError as error:
            log.error("an artifact cannot be read", sha256=sha256, error=str(error))
            raise _RefusedError(503, (b"retry-after", BUSY_S)) from error

    def _note(self, handled: Handled, request: Request, message: DmRequest, now: datetime) -> None:
        """Tell the others what came of it, now that it is on disk."""
        rooms = self._rooms
        if handled.device_id is not None:
            if handled.failure:
                rooms.seen.note_failure(handled.device_id, handled.failure)
            if handled.authenticated:
                rooms.seen.note(handled.device_id, to_ms(now))
                rooms.on_session()
            elif handled.wrong:
                rooms.seen.note_refused(handled.device_id, to_ms(now))
        for event, more in handled.lines:
            log.warning(
                event,
                device=handled.imei or plain(message.device),
                session=plain(message.session_id),
                address=request.client,
                **more,
            )


def _expect(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise _RefusedError(405, (b"allow", ", ".join(methods).encode()))


def _busy() -> Answer:
    return Answer(503, headers=(*NO_STORE, (b"retry-after", BUSY_S)))


def _claimed(message: DmRequest) -> str:
    """Whose account is being tried, in one spelling."""
    if message.user is not None:
        return f"user {message.user}"
    found = parse_device_id(message.device)
    return f"device {message.device}" if found is None else f"{found.digits[:_IMEI_CHARS]}"


def _is_secure(request: Request) -> bool:
    """Whether a password is safe on its way (``oma-dm.md`` 11.2)."""
    if request.scope.get("scheme") == "https":
        return True
    return _is_loopback(request.client)


@lru_cache(maxsize=1024)
def _is_loopback(client: str) -> bool:
    address = parse_address(client)
    return address is not None and address.is_loopback
