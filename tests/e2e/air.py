"""A v3 campaign over LwM2M in one process, in virtual time: devices in cells, and the air between.

The real server (its database, engine, LwM2M edge and artifacts) and simulated devices that know nothing
of it. Datagrams go from one to the other without sockets; some are lost, all take a moment. The clock of
campaigns and devices runs thirty times as fast as that of messages and sessions, whose times are set to as
much less: a minute of silence is a minute.

What the server began is written down by a trigger in its own database, as it happens.
"""

import asyncio
import contextlib
import hashlib
import heapq
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from overair.app import Server
from overair.cli.importing import import_file
from overair.cli.options import Installation
from overair.config import Limits, Lwm2m, Settings
from overair.core.campaign import CampaignStatus
from overair.core.ids import AccountId, CampaignId
from overair.core.window import Windows
from overair.devices.lwm2m.udp import OnDatagrams
from overair.engine import push
from overair.engine.advance import Advance
from overair.engine.schedule import CampaignRequest, schedule_campaign
from overair.protocols.coap.values import Timings
from overair.protocols.lwm2m.objects import Cell
from overair.sim.lwm2m.device import Device
from overair.sim.lwm2m.profile import Behaviour
from overair.sim.lwm2m.roster import Lwm2mDevice
from overair.sim.lwm2m.steps import Now
from overair.sim.lwm2m.tally import Tally
from overair.sim.requests import Answer, Fetch
from overair.store import Tx, campaigns, upgrades
from overair.store import push as due
from overair.store.upgrades import Upgrade
from overair.store.verify import verify
from tests.virtual import VirtualClock, VirtualDatabase, ask_app

ACCOUNT = "0000123456-00001"
FIRMWARE = "FW_Acme_X1_01To02"
SERVER = ("fota.test", 5683)
BASE = "http://fota.test"
BEGIN = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
RATE = 30.0
# As much less as the clock of campaigns is faster.
TIMINGS = Timings(ack_timeout=2.0 / RATE)
AWAKE_S = 90.0 / RATE
TURN_S = 240.0  # between two looks of the engine, of campaign time
CELL_AGE_S = 7 * 86_400  # cells are observed: nothing is lost by asking seldom
LATENCY_S = 0.01
IMAGE_BYTES = 3_000

_STARTED = """
create table started (attempt_id integer, upgrade_id integer, device_id integer, offered_at integer,
    cell text, slot_key integer, share integer, starts_at integer, ends_at integer);
create trigger begins after insert on attempt begin
    insert into started select new.id, new.upgrade_id, new.device_id, new.offered_at, s.cell,
        s.slot_key, s.share, s.starts_at, s.ends_at
    from (select 1) left join slot s on s.upgrade_id = new.upgrade_id;
end;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Work that the server began on a device, and the place that it had for it."""

    imei: str
    at: datetime
    cell: str
    slot_key: int
    share: int
    starts_at: datetime
    ends_at: datetime


class _Socket:
    """The server's end of the air."""

    def __init__(self, air: "Air", on_datagrams: OnDatagrams) -> None:
        self.address: Any = SERVER
        self.on_datagrams = on_datagrams
        self._air = air
        air.sockets.append(self)

    def start(self) -> None:
        return None

    def close(self) -> None:
        return None

    def send(self, datagram: bytes, address: Any) -> None:
        self._air.to_device(address, datagram)


class Air:
    """Server, devices and what is between."""

    def __init__(
        self,
        directory: Path,
        roster: Sequence[Lwm2mDevice],
        behaviour: Behaviour,
        cells: Sequence[Cell],
        *,
        seed: int,
        loss: float = 0.0,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self.clock = VirtualClock(loop, BEGIN, RATE)
        wall = VirtualClock(loop, BEGIN)
        self.settings = Settings(
            data=str(directory),
            public_url=BASE,
            limits=Limits(pilot_devices=max(20, len(roster))),
            lwm2m=Lwm2m(
                coap="127.0.0.1:5683",
                no_sec=True,
                plain_download=True,
                public_coap=f"{SERVER[0]}:{SERVER[1]}",
                ack_timeout_s=TIMINGS.ack_timeout,
                awake_s=int(AWAKE_S),
                cell_max_age_s=CELL_AGE_S,
            ),
        )
        self.sockets: list[_Socket] = []
        self.db = VirtualDatabase(self.clock)
        self.server = Server(
            self.settings,
            clock=self.clock,
            wall=wall,
            database=self.db,
            open_socket=lambda _host, _port, on_datagrams: _Socket(self, on_datagrams),
        )
        self.tally = Tally()
        self.roster = [replace(sim, awake_s=AWAKE_S) for sim in roster]
        self.devices = [
            Device(
                sim,
                SERVER,
                behaviour=behaviour,
                cells=cells,
                tally=self.tally,
                seed=seed,
                becomes="02",
                timings=TIMINGS,
            )
            for sim in self.roster
        ]
        self.image_sha256 = ""
        self.datagrams = Counter[str]()
        self._dice = Random(seed)
        self._loss = loss
        self._directory = directory
        self._engine = Advance(self.db, self.clock, self.settings, "air")
        self._by_host = {_host(number): device for number, device in enumerate(self.devices)}
        self._hosts = {id(device): host for host, device in self._by_host.items()}
        # Datagrams under way, in order: all of them take as long.
        self._up: list[tuple[bytes, Any]] = []
        self._down: list[tuple[Any, bytes]] = []
        self._pumping = False
        self._timers: list[tuple[float, int, Device]] = []
        self._armed: dict[int, float] = {}
        self._order = count()
        self._bell: asyncio.TimerHandle | None = None
        self._fetching: set[asyncio.Task[None]] = set()
        self._hinted = asyncio.Event()
        self._turning: asyncio.Task[None] | None = None
        self._stopped = False

    async def open(self, absent: Collection[int] = ()) -> None:
        """The server with its fleet, all devices in their places but those that are never switched on."""
        await self.db.start()
        self.db.connection.executescript(_STARTED)
        image = Random(1).randbytes(IMAGE_BYTES)
        self.image_sha256 = hashlib.sha256(image).hexdigest()
        (self._directory / "fw.bin").write_bytes(image)
        fleet = self._directory / "fleet.json"
        fleet.write_text(json.dumps(_fleet(self.roster)))
        installation = Installation(settings=self.settings, db=self.db, clock=self.clock)
        await import_file(installation, fleet)
        self.db.on_hint("advance", self._hinted.set)
        self.db.on_hint("push", self._hinted.set)
        await self.server.lwm2m.start()
        self._turning = asyncio.create_task(self._turns())
        for number, device in enumerate(self.devices):
            if number in absent:
                continue
            # Over the first hour: a fleet does not come on in one moment.
            self._arm(device, self._loop.time() + self._dice.uniform(0.0, 3600.0) / RATE)
        self._ring()

    async def close(self) -> None:
        self._stopped = True
        if self._bell is not None:
            self._bell.cancel()
        tasks = [*self._fetching, *([self._turning] if self._turning else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.server.close()

    async def schedule(
        self, start: date, end: date, windows: Windows, *, api_version: int = 3
    ) -> CampaignId:
        """The campaign, over all devices."""

        def ask(tx: Tx) -> CampaignId:
            row = tx.one("select id from account where name = ?", (ACCOUNT,))
            assert row is not None
            request = CampaignRequest(
                uuid="9a4b6dd6-7a1f-4b5c-8a7e-2a9c86d5a001",
                account_id=AccountId(row[0]),
                api_version=api_version,
                kind="software",
                name="month",
                package_name=FIRMWARE,
                from_version="01",
                to_version="02",
                protocols=frozenset({"LWM2M"}),
                distribution_type="LWM2M",
                start_date=start,
                end_date=end,
                download_after=None,
                download_windows=windows,
                install_after=None,
                install_windows=(),
                imeis=sorted(sim.imei for sim in self.roster),
            )
            return schedule_campaign(tx, request, self.settings, self.clock.now()).id

        return await self.db.transact(ask)

    async def pass_time(self, until: datetime) -> None:
        """Let everything happen until then."""
        await self.clock.sleep((until - self.clock.now()).total_seconds())
        assert self._turning is not None
        assert not self._turning.done(), self._turning.exception()

    async def _turns(self) -> None:
        """What the loops of a server do: carry campaigns on, and open the attempts that are due."""
        while True:
            self._hinted.clear()
            while await self._engine.turn():
                pass
            await self._open_attempts()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TURN_S / RATE):
                    await self._hinted.wait()

    async def _open_attempts(self) -> None:
        now = self.clock.now()
        for _ in range(len(self.devices)):
            first = await self.db.read(due.next_due)
            if first is None or first > now:
                return
            await self.db.transact(push.due, self.settings, now, 200)
            # Visits begin between two of them, as they do beside other loops.
            await asyncio.sleep(0)
        raise AssertionError("what is due has to be moved on")

    # Devices -----------------------------------------------------------------------------------

    def reach(self, number: int, *, reached: bool) -> None:
        """Put a device into the network, or out of it."""
        self.devices[number].reach(self._now(), reached=reached)
        self._settle(self.devices[number])

    def move(self, number: int, cell: Cell) -> None:
        """Put a device into another cell."""
        self.devices[number].move(self._now(), cell)
        self._settle(self.devices[number])

    def _now(self) -> Now:
        wire = self._loop.time()
        return Now(BEGIN.timestamp() + wire * RATE, wire)

    def to_device(self, address: Any, data: bytes) -> None:
        """Send, from the server."""
        self.datagrams["down"] += 1
        self._down.append((address, data))
        self._pump_soon()

    def _pump_soon(self) -> None:
        if not self._pumping and not self._stopped:
            self._pumping = True
            self._loop.call_later(LATENCY_S, self._pump)

    def _pump(self) -> None:
        """Carry what is under way to its end."""
        self._pumping = False
        up, self._up = self._up, []
        down, self._down = self._down, []
        now = self._now()
        for (host, channel), data in down:
            if self._is_lost():
                continue
            device = self._by_host.get(host)
            if device is not None:
                device.receive(channel, data, now)
                self._settle(device)
        if up and self.sockets:
            self.sockets[0].on_datagrams([each for each in up if not self._is_lost()])

    def _is_lost(self) -> bool:
        lost = self._loss > 0.0 and self._dice.random() < self._loss
        self.datagrams["lost"] += lost
        return lost

    def _settle(self, device: Device) -> None:
        host = self._hosts[id(device)]
        said = device.drain()
        if said:
            self.datagrams["up"] += len(said)
            for datagram in said:
                assert datagram.remote == SERVER
                self._up.append((datagram.data, (host, datagram.channel)))
            self._pump_soon()
        fetch = device.take_fetch()
        if fetch is not None:
            task = asyncio.create_task(self._fetch(device, fetch))
            self._fetching.add(task)
            task.add_done_callback(self._fetching.discard)
        life, wire = device.wake_at
        at = None if life is None else max(0.0, (life - BEGIN.timestamp()) / RATE)
        if wire is not None and (at is None or wire < at):
            at = wire
        self._arm(device, at)

    def _arm(self, device: Device, at: float | None) -> None:
        key = id(device)
        if at is None:
            self._armed.pop(key, None)
            return
        if self._armed.get(key) != at:
            self._armed[key] = at
            heapq.heappush(self._timers, (at, next(self._order), device))
            if self._bell is not None and at < self._bell.when():
                self._set_bell()

    def _ring(self) -> None:
        self._bell = None
        now = self._now()
        while self._timers and self._timers[0][0] <= now.wire + 1e-9:
            at, _, device = heapq.heappop(self._timers)
            if self._armed.get(id(device)) != at:
                continue
            del self._armed[id(device)]
            # A hair later, so that a time that was computed in another way is not just before it.
            late = Now(now.life + 1e-3, now.wire + 1e-6)
            if device.now == 0.0:
                device.start(late)
            else:
                device.handle_timer(late)
            self._settle(device)
        self._set_bell()

    def _set_bell(self) -> None:
        if self._bell is not None:
            self._bell.cancel()
        if self._timers and not self._stopped:
            self._bell = self._loop.call_at(self._timers[0][0], self._ring)

    async def _fetch(self, device: Device, fetch: Fetch) -> None:
        headers = {"range": f"bytes={fetch.offset}-"} if fetch.offset else {}
        path = urlsplit(fetch.url).path
        status, told, body = await ask_app(self.server, "GET", path, headers)
        start, total = 0, len(body)
        if status == 206:
            span, _, whole = told["content-range"].removeprefix("bytes ").partition("/")
            start, total = int(span.partition("-")[0]), int(whole)
        await asyncio.sleep(LATENCY_S)
        answer = Answer(status=status, body=body[: fetch.limit], start=start, total=total)
        device.fetched(fetch, answer, self._now())
        self._settle(device)

    # What became of it ---------------------------------------------------------------------------

    async def upgrades(self, campaign: CampaignId) -> dict[str, Upgrade]:
        """Every device's place in the campaign."""

        def read(tx: Tx) -> dict[str, Upgrade]:
            return {u.imei: u for u in upgrades.page(tx, campaign, "", len(self.devices) + 1)}

        return await self.db.report(read)

    async def status(self, campaign: CampaignId) -> CampaignStatus:
        return (await self.db.report(campaigns.by_id, campaign)).status

    async def findings(self) -> list[str]:
        """What the recount of everything finds."""
        return await self.db.report(
            lambda tx: [str(found) for _, found in verify(tx) if found is not None]
        )

    async def started(self) -> list[Started]:
        """Everything that the server began."""
        rows = self.db.connection.execute(
            "select d.imei, s.offered_at, s.cell, s.slot_key, s.share, s.starts_at, s.ends_at"
            " from started s join device d on d.id = s.device_id order by s.attempt_id"
        ).fetchall()
        return [
            Started(
                imei=imei,
                at=_instant(at),
                cell=cell,
                slot_key=key,
                share=share,
                starts_at=_instant(starts),
                ends_at=_instant(ends),
            )
            for imei, at, cell, key, share, starts, ends in rows
        ]


def _instant(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _host(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _fleet(roster: Sequence[Lwm2mDevice]) -> dict[str, Any]:
    return {
        "accounts": [
            {
                "name": ACCOUNT,
                "subscription": {"purchaseType": "TS-HFOTA-EVNT", "licenseCount": 0},
            }
        ],
        "packages": [
            {
                "name": FIRMWARE,
                "protocol": "LWM2M",
                "make": "Acme",
                "model": "X1",
                "from": "01",
                "to": "02",
                "launchDate": "2026-01-01",
                "file": "fw.bin",
            }
        ],
        "devices": [
            {
                "account": ACCOUNT,
                "deviceId": sim.imei,
                "make": sim.make,
                "model": sim.model,
                "protocol": "LWM2M",
                "version": sim.version,
            }
            for sim in roster
        ],
    }


__all__ = ["BEGIN", "Air", "Started", "timedelta"]
