"""The bootstrap server: where a device asks for its account, on ports of its own (``lwm2m.md`` 13).

    POST /bs ── admit ── 2.04, and then we ask it, one after another, each answered before the next:
                  GET /      which instances it has; no answer: ours begin at 10
                  DELETE /   all of them but the bootstrap account, by rule
                  ─ the new identity and key are on disk from here on
                  PUT /0/i   where we are, and the key
                  PUT /1/i   how long a registration lives
                  POST /bs   done

Over DTLS the session says which device it is: it has shown the key of its bootstrap account, which is
good for nothing else. What it is given is new each time, and replaces what it had once it is used
(``engine/lwm2m_bootstrap.py``). In the clear nobody is given a key, nor a device that has one an account
without: otherwise anybody could take its place.

A refusal or a silence ends it there, without the finish, and the device tries again by its own timers; a
device that asks while it is being served has begun anew. How each ended is a line in the log and is shown
by ``overair device show``; keys are in neither.

Not in here: objects for access control and for software, which a device with one server does not need,
and packs of LwM2M 1.2.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from overair.clock import Clock
from overair.config import Lwm2m
from overair.core.checks import ACTIVE
from overair.core.ids import DeviceId
from overair.core.protocols import LWM2M
from overair.devices.lwm2m.clients import Peer
from overair.devices.lwm2m.dtls import Session
from overair.devices.lwm2m.exchanges import Exchanges, SilentError
from overair.devices.lwm2m.registrar import host_of
from overair.devices.lwm2m.sockets import Keys, Ports, Sockets
from overair.devices.lwm2m.udp import OpenSocket
from overair.devices.quiet import Quiet
from overair.engine import lwm2m_bootstrap as engine
from overair.ids import new_bytes, new_token
from overair.protocols.coap.events import Exchange, Incoming
from overair.protocols.coap.numbers import Code, dotted
from overair.protocols.coap.values import Request, Response
from overair.protocols.lwm2m.bootstrap import (
    Account,
    BootstrapRequest,
    delete_all,
    discover,
    finish,
    free_instance,
    read_bootstrap_request,
    read_discovery,
    write_security,
    write_server,
)
from overair.protocols.lwm2m.endpoint_name import imei_of
from overair.protocols.lwm2m.errors import RegistrationError, UnreadableError
from overair.protocols.lwm2m.formats import ContentFormat
from overair.protocols.lwm2m.objects import SECURITY, SERVER
from overair.protocols.lwm2m.values import Path
from overair.sealing import Seal
from overair.store import lwm2m_accounts, lwm2m_bootstrap
from overair.store.database import Database, StoreError, Tx
from overair.store.lwm2m_accounts import Owner

log = structlog.get_logger()

STEP_S: Final = 93.0  # in all for one of our requests
BUSY_S: Final = 60  # after which whoever found too many here asks again
KEY_BYTES: Final = 16  # of AES-128
MARK_BYTES: Final = 6  # that make an identity new
_IMEI_DIGITS: Final = 15
_DONE: Final = "done"


class _RefusedError(Exception):
    """The device does not do what it was asked."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(what)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapRooms:
    """What the bootstrap server works with."""

    db: Database
    clock: Clock
    wall: Clock
    rules: Lwm2m
    seal: Seal
    quiet: Quiet
    open_socket: OpenSocket


class Bootstrap:
    """The bootstrap server of one process."""

    def __init__(self, rooms: BootstrapRooms) -> None:
        self._rooms = rooms
        self._rules = rules = rooms.rules
        self.sockets = Sockets(
            db=rooms.db,
            wall=rooms.wall,
            rules=rules,
            ports=Ports(
                coap=rules.bootstrap_coap,
                coaps=rules.bootstrap_coaps,
                setting="lwm2m.bootstrap_",
            ),
            keys=Keys(find=engine.find_key, by_device=engine.keys_by_device),
            seal=rooms.seal,
            quiet=rooms.quiet,
            open_socket=rooms.open_socket,
            on_message=self._message,
            on_turn=self._turned,
            on_end=self._session_ended,
        )
        self._exchanges = Exchanges(
            rules,
            rooms.wall,
            self.sockets.transmit,
            self._incoming,
            on_notified=_nothing,
            on_silent=_nothing,
            on_heard=_nothing,
        )
        # Requests that are being looked at, and devices that are being served.
        self._asking: set[asyncio.Task[None]] = set()
        self._serving: dict[DeviceId, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Stop; whoever is being served asks again."""
        await self.sockets.close()
        self._exchanges.close()
        tasks = [*self._asking, *self._serving.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What comes

    def _message(self, peer: Peer, datagram: bytes, now: float) -> None:
        self._exchanges.receive(peer, datagram, now)

    def _turned(self) -> None:
        self._exchanges.flush()

    def _session_ended(self, session: Session) -> None:
        self._exchanges.forget(session)

    def _respond(self, exchange: Exchange, code: int, max_age: int | None = None) -> None:
        response = Response(code=code, max_age=max_age)
        self._exchanges.endpoint.respond(exchange, response, self._exchanges.now())
        self._exchanges.flush()

    def _incoming(self, event: Incoming) -> None:
        request, exchange = event.request, event.exchange
        if request.path != ("bs",):
            self._respond(exchange, Code.NOT_FOUND)
        elif request.method != Code.POST:
            self._respond(exchange, Code.METHOD_NOT_ALLOWED)
        elif len(self._asking) + len(self._serving) >= self._rules.max_bootstraps:
            self._respond(exchange, Code.SERVICE_UNAVAILABLE, BUSY_S)
        else:
            try:
                asked = read_bootstrap_request(request)
            except RegistrationError as error:
                self._refuse(event, error.code, str(error))
                return
            task = asyncio.create_task(self._admit(event, asked))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    def _refuse(self, event: Incoming, code: int, why: str) -> None:
        self._rooms.quiet.warn("a bootstrap request is refused", host_of(event.peer), why=why)
        self._respond(event.exchange, code)

    async def _admit(self, event: Incoming, asked: BootstrapRequest) -> None:
        """Answer a request, and begin to serve."""
        peer = event.peer
        credential = peer.credential if isinstance(peer, Session) else None
        if isinstance(peer, Session) and credential is None:
            return
        try:
            if credential is not None:
                found = await self._rooms.db.read(admit, asked, credential.device_id)
            else:
                found = await self._rooms.db.read(admit_in_the_clear, asked)
        except StoreError as error:
            log.error("a bootstrap request could not be looked at", error=str(error))
            self._respond(event.exchange, Code.SERVICE_UNAVAILABLE, BUSY_S)
            return
        if isinstance(found, str):
            self._refuse(event, Code.BAD_REQUEST, found)
            return
        former = self._serving.get(found.device_id)
        if former is not None:
            former.cancel()
            await asyncio.gather(former, return_exceptions=True)
        self._respond(event.exchange, Code.CHANGED)
        self._serving[found.device_id] = task = asyncio.create_task(self._serve(peer, found))

        def done(task: asyncio.Task[None]) -> None:
            if self._serving.get(found.device_id) is task:
                del self._serving[found.device_id]

        task.add_done_callback(done)

    # What is asked of the device

    async def _serve(self, peer: Peer, owner: Owner) -> None:
        rooms = self._rooms
        said, identity = _DONE, ""
        try:
            used = await self._used(peer)
            await self._ask(peer, delete_all())
            account = await self._new_account(peer, owner)
            identity = account.identity.decode()
            await self._write(peer, write_security, free_instance(used, SECURITY), account)
            await self._write(peer, write_server, free_instance(used, SERVER), account)
            await self._ask(peer, finish())
        except (SilentError, _RefusedError) as error:
            said = str(error)
        except StoreError as error:
            said = f"its account could not be kept: {error}"
        log.info(
            "bootstrap", device=owner.imei, address=host_of(peer), identity=identity, outcome=said
        )
        try:
            await rooms.db.transact(engine.note, owner.device_id, said, rooms.clock.now())
        except StoreError as error:
            log.error("the end of a bootstrap could not be kept", error=str(error))
        if not isinstance(peer, Session):
            # Addresses in the clear are anybody's: nothing is kept of one.
            self._exchanges.forget(peer)
        elif said == _DONE and self.sockets.dtls is not None:
            # It has nothing more to ask here, and a session takes 70 KiB.
            self.sockets.dtls.close(peer)

    async def _used(self, peer: Peer) -> frozenset[Path] | None:
        """Which instances it has; None: it does not tell."""
        try:
            return read_discovery((await self._ask(peer, discover())).payload)
        except (_RefusedError, UnreadableError):
            return None
        except SilentError:
            # In the clear nothing has shown yet that somebody is there who asked: no more is sent.
            if not isinstance(peer, Session) or peer.connection is None:
                raise
            return None

    async def _write(
        self,
        peer: Peer,
        written: Callable[[int, Account, int], Request],
        instance: int,
        account: Account,
    ) -> None:
        """Write an instance, in TLV, or to a device that has left that out, in SenML CBOR."""
        try:
            await self._ask(peer, written(instance, account, ContentFormat.TLV))
        except _RefusedError as error:
            if error.code != Code.UNSUPPORTED_CONTENT_FORMAT:
                raise
            await self._ask(peer, written(instance, account, ContentFormat.SENML_CBOR))

    async def _ask(self, peer: Peer, request: Request) -> Response:
        """Ask, and have it done. Raises SilentError, _RefusedError."""
        what = f"{Code(request.method).name} /{'/'.join(request.path)}"
        try:
            async with asyncio.timeout(STEP_S):
                response = await self._exchanges.ask(peer, request)
        except (SilentError, TimeoutError) as error:
            raise SilentError(f"{what}: {str(error) or 'no answer in time'}") from None
        if not response.ok:
            raise _RefusedError(f"{what}: {dotted(response.code)}", response.code)
        return response

    async def _new_account(self, peer: Peer, owner: Owner) -> Account:
        """What the device is given; the key is on disk before it leaves. Raises StoreError."""
        rules = self._rules
        if not isinstance(peer, Session):
            return self._account(f"coap://{rules.public_coap}", b"", None)
        identity = f"urn:imei:{owner.imei}.{new_token(MARK_BYTES)}"
        key = new_bytes(KEY_BYTES)
        rooms = self._rooms
        await rooms.db.transact(engine.give, owner.device_id, (identity, key), rooms.seal)
        return self._account(f"coaps://{rules.public_coaps}", identity.encode(), key)

    def _account(self, uri: str, identity: bytes, key: bytes | None) -> Account:
        rules = self._rules
        return Account(
            uri=uri,
            identity=identity,
            key=key,
            short_id=rules.bootstrap_short_id,
            lifetime=rules.bootstrap_lifetime_s,
            binding=rules.bootstrap_binding,
        )


def _nothing(_: object) -> None:
    """Whoever speaks here is asked, and tells nothing by itself."""


# Who may have an account: the device, or why not ---------------------------------------------------


def admit(tx: Tx, asked: BootstrapRequest, device_id: DeviceId) -> Owner | str:
    """Over DTLS: the session's device, by a name of its own or by none."""
    owner = lwm2m_accounts.by_ids(tx, [device_id]).get(device_id)
    name = asked.endpoint
    if owner is None:
        return "no device is called so"
    second = lwm2m_bootstrap.terms_of(tx, [device_id]).get(device_id)
    names = {None, owner.endpoint, owner.identity, second.identity if second else None}
    if name not in names and not _is_imei_of(name, owner):
        return "the endpoint name is not that of the device"
    return _active(owner)


def admit_in_the_clear(tx: Tx, asked: BootstrapRequest) -> Owner | str:
    """Without DTLS: the device of that name, if there is no key that speaks for it."""
    name = asked.endpoint
    if name is None:
        return "no endpoint name"
    owner = lwm2m_accounts.by_endpoints(tx, [name]).get(name) or _by_imei(tx, imei_of(name))
    if owner is None:
        return "no device is called so"
    own = lwm2m_accounts.terms_of(tx, [owner.device_id]).get(owner.device_id)
    second = lwm2m_bootstrap.terms_of(tx, [owner.device_id]).get(owner.device_id)
    if (own and own.key) or (second and second.key):
        return "the device has a key"
    return _active(owner)


def _by_imei(tx: Tx, imei: str | None) -> Owner | None:
    if imei is None:
        return None
    if len(imei) == _IMEI_DIGITS:
        return lwm2m_accounts.by_imeis(tx, [imei]).get(imei)
    return lwm2m_accounts.by_first_digits(tx, imei)


def _is_imei_of(name: str | None, owner: Owner) -> bool:
    imei = None if name is None else imei_of(name)
    return imei is not None and owner.imei.startswith(imei)


def _active(owner: Owner) -> Owner | str:
    if owner.protocol != LWM2M:
        return f"the device is one over {owner.protocol}"
    if not owner.active or owner.status.lower() != ACTIVE:
        return "the device, or its account, is not active"
    return owner


__all__ = ["Bootstrap", "BootstrapRooms", "admit", "admit_in_the_clear"]
