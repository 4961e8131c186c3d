"""A month of an OMA-DM campaign in one process, in virtual time, without sockets.

The real server (its database, engine, device endpoint and artifacts) and simulated devices that know
nothing of it. Time goes in ticks of a minute; in each, the engine does what is due, devices whose time
has come act, and what they ask for is asked of the server. Nothing waits, so a month takes a minute.
"""

import asyncio
import heapq
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from overair.app import Server
from overair.cli.importing import import_file
from overair.cli.options import Installation
from overair.clock import ManualClock
from overair.config import Omadm, Settings
from overair.core.attempt import AttemptState
from overair.core.campaign import CampaignStatus
from overair.core.ids import AccountId, CampaignId
from overair.core.network import EventKind, NetworkEvent
from overair.core.upgrade import UpgradeState
from overair.engine import network, push
from overair.engine.advance import Advance
from overair.engine.push import Wake
from overair.engine.schedule import CampaignRequest, schedule_campaign
from overair.push import letters
from overair.sim.omadm.device import Device
from overair.sim.omadm.profile import Behaviour
from overair.sim.omadm.roster import OmadmDevice, generate_roster
from overair.sim.omadm.steps import Attach, Step
from overair.sim.omadm.tally import Tally
from overair.sim.requests import Answer, Fetch, Post
from overair.store import Tx, attempts, campaigns, devices, upgrades
from overair.store import push as due
from overair.store.devices import PastUpgrade
from overair.store.upgrades import Upgrade

BASE = "http://fota.test"
ACCOUNT = "0000123456-00001"
FIRMWARE = "FW_Acme_M1_01To02"
BEGIN = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
TICK = timedelta(minutes=1)
ENGINE_TICKS = 10
IMAGE_BYTES = 20_000
PIECE = 500

_OVER = frozenset({UpgradeState.SUCCEEDED, UpgradeState.FAILED, UpgradeState.REJECTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A notification that went out, and what the server then thought of the device."""

    at: datetime
    imei: str
    session: int
    attempt_id: int
    attempt: AttemptState
    upgrade: UpgradeState
    valid_until: datetime


class Month:
    """Server, devices and time."""

    def __init__(self, directory: Path, count: int, behaviour: Behaviour, seed: int) -> None:
        self.clock = ManualClock(BEGIN)
        self.settings = Settings(
            data=str(directory),
            public_url=BASE,
            omadm=Omadm(notify="log", pushes_per_s=10_000),
        )
        self.server = Server(self.settings, clock=self.clock)
        self.tally = Tally()
        self.roster = generate_roster(count, seed=seed)
        self.devices = {
            sim.imei: Device(
                sim,
                f"{BASE}/dm",
                behaviour=behaviour,
                tally=self.tally,
                seed=seed,
                becomes="02",
            )
            for sim in self.roster
        }
        self.told: list[Told] = []
        self.errors: list[str] = []
        self._directory = directory
        self._attached: list[str] = []
        self._timers: list[tuple[datetime, str]] = []
        self._engine = Advance(self.server.db, self.clock, self.settings, "month")

    async def open(self) -> None:
        """The server with its fleet, all devices in their places."""
        await self.server.db.start()
        image = self._directory / "fw.bin"
        image.write_bytes(Random(1).randbytes(IMAGE_BYTES))
        fleet = self._directory / "fleet.json"
        fleet.write_text(json.dumps(_fleet(self.roster)))
        installation = Installation(settings=self.settings, db=self.server.db, clock=self.clock)
        await import_file(installation, fleet)

    async def close(self) -> None:
        await self.server.close()

    async def schedule(self, start: date, end: date) -> CampaignId:
        """The campaign, over all devices."""

        def ask(tx: Tx) -> CampaignId:
            row = tx.one("select id from account where name = ?", (ACCOUNT,))
            assert row is not None
            request = CampaignRequest(
                uuid="9a4b6dd6-7a1f-4b5c-8a7e-2a9c86d5a001",
                account_id=AccountId(row[0]),
                api_version=1,
                kind="software",
                name="",
                package_name=FIRMWARE,
                from_version=None,
                to_version="02",
                protocols=frozenset({"OMADM", "LWM2M"}),
                distribution_type="OMD-DM",
                start_date=start,
                end_date=end,
                download_after=None,
                download_windows=(),
                install_after=None,
                install_windows=(),
                imeis=sorted(self.devices),
            )
            return schedule_campaign(tx, request, self.settings, self.clock.now()).id

        return await self.server.db.transact(ask)

    # Time ------------------------------------------------------------------------------------

    async def pass_time(self, until: datetime) -> None:
        """Let everything happen until then."""
        if not self._timers:
            await self._all(
                {imei: device.start(self.clock.now()) for imei, device in self.devices.items()}
            )
        ticks = 0
        while self.clock.now() < until:
            self.clock.advance(TICK)
            ticks += 1
            if ticks % ENGINE_TICKS == 1:
                while await self._engine.turn():
                    pass
            await self._let_devices_act()
            await self._tell_of_attaches()
            await self._notify()

    async def _let_devices_act(self) -> None:
        now = self.clock.now()
        asked: dict[str, Step | None] = {}
        while self._timers and self._timers[0][0] <= now:
            _, imei = heapq.heappop(self._timers)
            device = self.devices[imei]
            if device.wake_at is not None and device.wake_at <= now:
                asked[imei] = device.handle_timer(now)
        if asked:
            await self._all(asked)

    async def _tell_of_attaches(self) -> None:
        now = self.clock.now()
        for start in range(0, len(self._attached), PIECE):
            events = [
                NetworkEvent(imei=imei, kind=EventKind.ATTACH, at=now)
                for imei in self._attached[start : start + PIECE]
            ]
            await self.server.db.transact(network.apply, events, now)
        if self._attached:
            self._attached.clear()
            while await self.server.db.transact(network.wake, self.settings, now, PIECE):
                pass

    async def _notify(self) -> None:
        now = self.clock.now()
        turns = 0
        while (first := await self.server.db.read(due.next_due)) is not None and first <= now:
            turns += 1
            assert turns <= len(self.devices), "what is due has to be moved on"
            wakes = await self.server.db.transact(push.due, self.settings, now, PIECE)
            written = await self.server.db.read(
                letters.write, wakes, self.settings, self.server.seal
            )
            self.told += await self.server.db.read(self._as_told, wakes)
            asked: dict[str, Step | None] = {}
            for letter in written:
                assert letter.package is not None, letter
                device = self.devices[letter.wake.imei]
                asked[letter.wake.imei] = device.receive_push(letter.package, now)
            await self._all(asked)

    def _as_told(self, tx: Tx, wakes: list[Wake]) -> list[Told]:
        found = []
        for wake in wakes:
            attempt = attempts.find(tx, wake.attempt_id)
            assert attempt is not None
            upgrade = upgrades.by_id(tx, attempt.upgrade_id)
            found.append(
                Told(
                    at=self.clock.now(),
                    imei=wake.imei,
                    session=wake.session,
                    attempt_id=wake.attempt_id,
                    attempt=attempt.state,
                    upgrade=upgrade.state,
                    valid_until=wake.valid_until,
                )
            )
        return found

    async def _all(self, asked: Mapping[str, Step | None]) -> None:
        await asyncio.gather(*(self._act(imei, step) for imei, step in asked.items()))

    async def _act(self, imei: str, step: Step | None) -> None:
        """Give the device what it asks for, until it asks for nothing more."""
        device = self.devices[imei]
        while step is not None:
            step = device.receive(step, await self._perform(step), self.clock.now())
        if device.wake_at is not None:
            heapq.heappush(self._timers, (device.wake_at, imei))

    # The server's answers ------------------------------------------------------------------------

    async def _perform(self, step: Step) -> Answer:
        match step:
            case Attach(imei=imei):
                self._attached.append(imei)
                return Answer(status=200)
            case Post():
                headers = {"content-type": step.media_type, **dict(step.headers)}
                return await self._ask("POST", step.url, headers, step.body)
            case Fetch():
                headers = {"range": f"bytes={step.offset}-"} if step.offset else {}
                answer = await self._ask("GET", step.url, headers)
                return _cut(answer, step.limit)

    async def _ask(
        self, method: str, url: str, headers: dict[str, str], body: bytes = b""
    ) -> Answer:
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}" == BASE
        sent: list[dict[str, Any]] = []
        given = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            return given.pop(0) if given else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "scheme": "http",
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in headers.items()],
            "client": ("127.0.0.1", 1),
        }
        await self.server(scope, receive, send)
        status = sent[0]["status"]
        if status >= 400:
            self.errors.append(f"{method} {parts.path[:12]} {status}")
        told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        start, total = _range(told.get("content-range", ""))
        return Answer(
            status=status,
            body=b"".join(message.get("body", b"") for message in sent[1:]),
            media_type=told.get("content-type", ""),
            start=start,
            total=total,
            mac=told.get("x-syncml-hmac", ""),
        )

    # What became of it ---------------------------------------------------------------------------

    async def upgrades(self, campaign: CampaignId) -> dict[str, Upgrade]:
        """Every device's place in the campaign."""

        def read(tx: Tx) -> dict[str, Upgrade]:
            return {u.imei: u for u in upgrades.page(tx, campaign, "", len(self.devices) + 1)}

        return await self.server.db.report(read)

    async def histories(self) -> dict[str, list[PastUpgrade]]:
        """What v1 says of each device's past."""

        def read(tx: Tx) -> dict[str, list[PastUpgrade]]:
            found = {}
            for imei in self.devices:
                device = devices.by_imei(tx, imei)
                assert device is not None
                found[imei] = devices.history_with_retries(tx, device.id, 1, BEGIN, 100)
            return found

        return await self.server.db.report(read)

    async def status(self, campaign: CampaignId) -> CampaignStatus:
        return (await self.server.db.report(campaigns.by_id, campaign)).status

    def told_by_device(self) -> dict[str, list[Told]]:
        found: defaultdict[str, list[Told]] = defaultdict(list)
        for told in self.told:
            found[told.imei].append(told)
        return found


def _cut(answer: Answer, limit: int) -> Answer:
    if len(answer.body) <= limit:
        return answer
    return Answer(
        status=answer.status,
        body=answer.body[:limit],
        media_type=answer.media_type,
        start=answer.start,
        total=answer.total,
        error="cut",
    )


def _range(text: str) -> tuple[int, int | None]:
    if not text.startswith("bytes "):
        return 0, None
    span, _, total = text.removeprefix("bytes ").partition("/")
    return int(span.partition("-")[0]), int(total)


def _fleet(roster: tuple[OmadmDevice, ...]) -> dict[str, Any]:
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
                "protocol": "OMADM",
                "make": "Acme",
                "model": "M1",
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
                "protocol": "OMADM",
                "version": sim.version,
                "omadm": {
                    "clientSecret": sim.client_secret,
                    "serverSecret": sim.server_secret,
                },
            }
            for sim in roster
        ],
    }
