"""A real server on a real socket, and devices that speak raw HTTP/1.1 to it.

The world behind it is made by the engine's own functions, and its campaigns move only when a test
says so (``carry_on``): time is a ``ManualClock``. Devices write their requests byte by byte, so that a
test can send what no client would; every answer is read with ``tests/peers/wire.py``, which shares
nothing with the server.
"""

import asyncio
import contextlib
import json
import os
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from overair.app import Server
from overair.artifacts.storage import Artifact
from overair.clock import ManualClock
from overair.config import Settings
from overair.core.credentials import fingerprint
from overair.core.ids import AccountId, AttemptId, CampaignId, DeviceId
from overair.core.words.v2 import device_v2
from overair.engine import devicelog, schedule
from overair.engine.advance import expire, step
from overair.engine.catalog import FileUpload, Software, add_file, put_software
from overair.engine.licenses import set_subscription
from overair.engine.schedule import CampaignRequest
from overair.store import Tx, attempts, campaigns, fleet, polls, tally, upgrades
from overair.store import devicelog as logs
from overair.store.attempts import Attempt
from overair.store.database import to_ms
from overair.store.devicelog import LogEntry, PastCheckIn
from overair.store.polls import Device
from overair.store.verify import verify
from tests.peers.wire import read_body, read_head
from tests.serving import ServerName, serving

T = TypeVar("T")

MONDAY = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
ACCOUNT = "0000123456-00001"
SOFTWARE = "HTTP_Acme_X1_01To02"
FILE_NAME = "x1-02.swu"
IMAGE = os.urandom(10_000)
OWNER = "test"


def imei(number: int) -> str:
    """The device's id."""
    return f"99001390{number:07d}"


def token(number: int) -> str:
    """The device's token."""
    return f"{number:032d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer as it came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    head: bytes

    def header(self, name: str) -> str | None:
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, base_url: str) -> "Wire":
        parts = urlsplit(base_url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def reply(self, method: str = "GET") -> Reply:
        """The next answer, whole."""
        head = await read_head(self.reader)
        assert head is not None, "the server closed the connection"
        body = b""
        if method != "HEAD" and head.status not in (204, 304):
            body = await read_body(self.reader, head)
        return Reply(status=head.status, headers=head.headers, body=body, head=head.raw)

    async def ask(
        self,
        method: str,
        target: str | bytes,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Reply:
        await self.send(request(method, target, headers, body))
        return await asyncio.wait_for(self.reply(method), 20)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


def request(
    method: str,
    target: str | bytes,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> bytes:
    """The bytes of a request. A header named in ``headers`` with an empty text is left out."""
    raw = target if isinstance(target, bytes) else target.encode()
    fields = {"Host": "fota.example:8443"} | dict(headers or {})
    if body or method in ("PUT", "POST"):
        fields.setdefault("Content-Length", str(len(body)))
    lines = [f"{name}: {value}" for name, value in fields.items() if value != ""]
    head = b"%s %s HTTP/1.1\r\n%s" % (method.encode(), raw, "\r\n".join(lines).encode("latin-1"))
    return head + b"\r\n\r\n" + body


def told(execution: str, finished: str = "none", *details: str, **more: Any) -> bytes:
    """The body of a feedback."""
    status = {"execution": execution, "result": {"finished": finished}, "details": list(details)}
    return json.dumps({"id": "", "status": status | more}).encode()


@dataclass(slots=True, kw_only=True)
class Peer:
    """A device, as its own client would act."""

    field: "Field"
    number: int
    controller_id: str
    tenant: str = "default"
    headers: dict[str, str]

    @property
    def base(self) -> str:
        """The path of its base resource."""
        return f"/{self.tenant}/controller/v1/{quote(self.controller_id, safe='')}"

    async def ask(
        self,
        method: str,
        path: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Reply:
        """One request below its base, or to a whole address that the server gave."""
        target = target_of(path) if path.startswith("http") else f"{self.base}{path}"
        wire = await Wire.open(self.field.base_url)
        try:
            return await wire.ask(method, target, self.headers | dict(headers or {}), body)
        finally:
            await wire.close()

    async def get(self, path: str = "", headers: Mapping[str, str] | None = None) -> Reply:
        return await self.ask("GET", path, headers)

    async def poll(self) -> dict[str, Any]:
        """A check-in, that has to succeed."""
        reply = await self.get()
        assert reply.status == 200, reply
        found = reply.json()
        assert isinstance(found, dict)
        return found

    async def links(self) -> dict[str, str]:
        """Relations and addresses in the answer to a check-in."""
        found = (await self.poll()).get("_links", {})
        return {relation: link["href"] for relation, link in found.items()}

    async def sleep_s(self) -> int:
        """The poll interval that it is told."""
        hours, minutes, seconds = (await self.poll())["config"]["polling"]["sleep"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + int(seconds)

    async def offered(self) -> int | None:
        """The action that it is shown, if there is one."""
        href = (await self.links()).get("deploymentBase")
        return None if href is None else int(urlsplit(href).path.rsplit("/", 1)[1])

    async def retrieve(self) -> tuple[int, dict[str, Any]]:
        """Check in and fetch the deployment: the action and its document."""
        href = (await self.links())["deploymentBase"]
        reply = await self.get(href)
        assert reply.status == 200, reply
        document = reply.json()
        return int(document["id"]), document

    async def begin(self) -> int:
        """Check in, fetch the deployment, and say that the work has begun."""
        action, _ = await self.retrieve()
        assert (await self.say(action, "proceeding")).status == 200
        return action

    async def download(self, document: Mapping[str, Any]) -> Reply:
        """Fetch the whole artifact of a deployment."""
        reply = await self.get(href_of(document))
        if reply.status == 200:
            await self.field.server.ddi._rooms.artifacts.settled((await self.record()).id)
        return reply

    async def say(
        self,
        action: int,
        execution: str,
        finished: str = "none",
        *details: str,
        about: str = "deploymentBase",
        **more: Any,
    ) -> Reply:
        """Send feedback."""
        body = told(execution, finished, *details, **more)
        return await self.ask(
            "POST", f"/{about}/{action}/feedback", {"Content-Type": "application/json"}, body
        )

    async def close_with(self, action: int, finished: str) -> None:
        reply = await self.say(action, "closed", finished)
        assert reply.status == 200, reply

    async def succeed(self) -> int:
        """One whole update."""
        action, document = await self.retrieve()
        assert (await self.download(document)).body == IMAGE
        await self.close_with(action, "success")
        return action

    async def fail(self) -> int:
        """An attempt that fails before its download."""
        action, _ = await self.retrieve()
        await self.close_with(action, "failure")
        return action

    async def send_attributes(self, **data: Any) -> Reply:
        return await self.ask(
            "PUT",
            "/configData",
            {"Content-Type": "application/json"},
            json.dumps({"data": data}).encode(),
        )

    async def attributes(self) -> dict[str, str]:
        device = await self.record()
        return await self.field.run(
            lambda tx: dict(
                tx.all("select name, value from device_attribute where device_id = ?", (device.id,))
            )
        )

    async def record(self) -> Device:
        """Its row."""
        return await self.field.run(
            lambda tx: polls.get_device(tx, device_of(tx, self.controller_id))
        )

    async def version(self) -> str:
        device = await self.record()
        row = await self.field.run(
            lambda tx: tx.one("select version from device where id = ?", (device.id,))
        )
        assert row is not None
        return str(row[0])

    async def check_ins(self) -> list[PastCheckIn]:
        """Its history, newest first."""
        await self.field.server.seen.flush()
        device = await self.record()
        return await self.field.run(
            lambda tx: logs.check_ins(tx, device.id, MONDAY - timedelta(days=30), 1000)
        )

    async def logged(self) -> list[LogEntry]:
        """Its log entries, newest first."""
        device = await self.record()
        return await self.field.run(
            lambda tx: logs.entries(
                tx, device.id, datetime(1, 1, 2, tzinfo=UTC), limit=1000, limit_bytes=10**8
            )
        )


def device_of(tx: Tx, controller_id: str) -> DeviceId:
    row = tx.one("select id from device where controller_id = ?", (controller_id,))
    assert row is not None
    return DeviceId(row[0])


def target_of(href: str) -> str:
    """What a request for an address names, behind a proxy that takes its prefix off."""
    parts = urlsplit(href)
    tenant_ends = parts.path.index("/controller/v1/")
    path = parts.path[parts.path.rindex("/", 0, tenant_ends) :]
    return f"{path}?{parts.query}" if parts.query else path


def href_of(document: Mapping[str, Any], link: str = "download") -> str:
    """The address of a deployment's artifact."""
    href = document["deployment"]["chunks"][0]["artifacts"][0]["_links"][link]["href"]
    assert isinstance(href, str)
    return href


@dataclass(slots=True, kw_only=True)
class Field:
    """A server with an account, a package and devices."""

    server: Server
    clock: ManualClock
    base_url: str
    account: AccountId
    image: Artifact
    made: int = 0
    wires: list[Wire] = field(default_factory=list)
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.settings = self.server.settings

    async def run(self, fn: Callable[[Tx], T]) -> T:
        return await self.server.db.transact(fn)

    async def wire(self) -> Wire:
        """A connection of one's own, closed with the field."""
        self.wires.append(await Wire.open(self.base_url))
        return self.wires[-1]

    # What there is ---------------------------------------------------------------------------

    async def add_account(self, name: str, alias: str | None = None) -> AccountId:
        def add(tx: Tx) -> AccountId:
            return _account(tx, name, alias, self.settings, self.clock.now())

        return await self.run(add)

    async def set_account(self, **columns: Any) -> None:
        """Change the account, and let the device endpoints see it at once."""
        names = ", ".join(f"{name} = ?" for name in columns)
        await self.run(
            lambda tx: tx.execute(
                f"update account set {names} where id = ?", (*columns.values(), self.account)
            )
        )
        await self.forget_accounts()

    async def forget_accounts(self) -> None:
        gate = self.server.ddi._rooms.gate  # the one second of its memory is not waited for
        gate._read_at = float("-inf")

    async def add(self, *numbers: int, account: AccountId | None = None, **facts: Any) -> None:
        """Devices that can be upgraded with the package."""

        def add(tx: Tx) -> None:
            plain: dict[str, Any] = {"make": "Acme", "model": "X1", "version": "01"} | facts
            fleet.insert_devices(
                tx,
                [
                    fleet.Device(
                        account_id=account or self.account,
                        imei=imei(n),
                        **({"controller_id": imei(n), "token_hash": fingerprint(token(n))} | plain),
                    )
                    for n in numbers
                ],
                self.clock.now(),
            )

        await self.run(add)

    def peer(self, number: int, controller_id: str | None = None, **headers: str) -> Peer:
        """The device with that number; more headers of all its requests by their names."""
        plain = {"Authorization": f"TargetToken {token(number)}"}
        return Peer(
            field=self,
            number=number,
            controller_id=controller_id or imei(number),
            headers=plain | {k.replace("_", "-"): v for k, v in headers.items()},
        )

    async def new_peer(self, number: int, **facts: Any) -> Peer:
        await self.add(number, **facts)
        return self.peer(number, facts.get("controller_id"))

    async def switch_logging_on(self, *numbers: int) -> None:
        now = self.clock.now()
        await self.run(
            lambda tx: devicelog.switch_on(
                tx, self.account, [imei(n) for n in numbers], self.settings, now
            )
        )

    # Campaigns -------------------------------------------------------------------------------

    def day(self, days: int) -> date:
        return (self.clock.now() + timedelta(days=days)).date()

    async def campaign(
        self, *numbers: int, start: int = 0, end: int = 5, **changes: Any
    ) -> CampaignId:
        """A campaign that is carried as far as it goes now."""
        self.made += 1
        asked = replace(
            CampaignRequest(
                uuid=str(uuid.UUID(int=self.made, version=4)),
                account_id=self.account,
                api_version=2,
                kind="software",
                name="a campaign",
                package_name=SOFTWARE,
                from_version="01",
                to_version="02",
                protocols=frozenset({"HTTP"}),
                distribution_type="HTTP",
                start_date=self.day(start),
                end_date=self.day(end),
                download_after=None,
                download_windows=(),
                install_after=None,
                install_windows=(),
                imeis=[imei(n) for n in numbers],
            ),
            **changes,
        )
        now = self.clock.now()
        made = await self.run(
            lambda tx: schedule.schedule_campaign(tx, asked, self.settings, now).id
        )
        await self.carry_on()
        return made

    async def campaign_of(
        self, count: int, facts: Mapping[str, Any] | None = None, *, first: int = 1, **asked: Any
    ) -> CampaignId:
        """New devices, and a campaign over them."""
        numbers = range(first, first + count)
        await self.add(*numbers, **(facts or {}))
        return await self.campaign(*numbers, **asked)

    async def file_campaign(self, *numbers: int, content: bytes = b"a=1\n") -> CampaignId:
        """A campaign with a configuration file."""
        bytes_ = await store(self.server, content)
        upload = FileUpload(
            file_name="settings.conf",
            version="7",
            make="Acme",
            model="X1",
            local_target_path="/etc/acme",
            artifact=bytes_,
        )
        now = self.clock.now()
        name = await self.run(lambda tx: add_file(tx, self.account, upload, now).name)
        return await self.campaign(
            *numbers, kind="file", package_name=name, from_version=None, to_version="7"
        )

    async def carry_on(self) -> None:
        """Let the engine do all that is due now."""
        now = self.clock.now()

        def work(tx: Tx) -> None:
            lease = now + timedelta(seconds=self.settings.lease_s)
            claimed = campaigns.claim(tx, OWNER, now, lease, 100)
            for campaign_id in claimed:
                while step(tx, campaign_id, OWNER, self.settings, now):
                    pass
            campaigns.release(tx, claimed, OWNER)
            expire(tx, self.settings, now)

        await self.run(work)

    async def wait(self, **delta: float) -> None:
        """Move the time, then let the engine work."""
        self.clock.advance(timedelta(**delta))
        await self.carry_on()

    async def wait_until(self, moment: datetime) -> None:
        self.clock.advance(moment - self.clock.now())
        await self.carry_on()

    async def stop(self, campaign: CampaignId, *, carry_on: bool = True) -> None:
        now = self.clock.now()
        await self.run(lambda tx: schedule.stop_campaign(tx, campaigns.by_id(tx, campaign), now))
        if carry_on:
            await self.carry_on()

    # What became of it -----------------------------------------------------------------------

    async def attempt(self, action: int) -> Attempt:
        found = await self.run(lambda tx: attempts.find(tx, AttemptId(action)))
        assert found is not None
        return found

    async def state(self, action: int) -> str:
        return (await self.attempt(action)).state.value

    async def word(self, number: int, campaign: CampaignId) -> tuple[str, str]:
        """The device's published status and reason in the campaign."""

        def read(tx: Tx) -> tuple[str, str]:
            (upgrade,) = upgrades.of_imeis(tx, campaign, [imei(number)])
            status = campaigns.by_id(tx, campaign).status
            return device_v2(upgrade.state, upgrade.reason, status)

        return await self.run(read)

    async def counts(self, campaign: CampaignId) -> dict[str, int]:
        found = await self.run(lambda tx: tally.counts(tx, campaign))
        return {state.value: count for state, count in found.items()}

    async def messages(self, action: int) -> list[attempts.Message]:
        """What devices said of an action, newest first."""
        return await self.run(lambda tx: attempts.messages(tx, AttemptId(action), 5000))

    async def assert_verified(self) -> None:
        """Every counter equals a recount, and every invariant holds."""
        findings = await self.run(
            lambda tx: [finding for _, finding in verify(tx) if finding is not None]
        )
        assert not findings


def _account(tx: Tx, name: str, alias: str | None, settings: Settings, now: datetime) -> AccountId:
    row = tx.one(
        "insert into account (name, alias, created_at) values (?, ?, ?) returning id",
        (name, alias, to_ms(now)),
    )
    assert row is not None
    account = AccountId(row[0])
    set_subscription(
        tx,
        account,
        purchase_type="TS-HFOTA-EVNT",
        license_count=0,
        settings=settings,
        now=now,
    )
    return account


async def store(server: Server, content: bytes) -> Artifact:
    """Bytes in the server's storage."""
    async with server.storage.receive(len(content) + 1) as intake:
        await intake.write(content)
        return await intake.commit()


def with_settings(data: Path, database_url: str = "", **changes: Any) -> Settings:
    """The defaults with changes; those of limits go by their names too."""
    plain = Settings(data=str(data), database=database_url, engine=False)
    names = plain.limits.__struct_fields__
    changes = {"pilot_devices": 1000} | changes
    limits = {name: value for name, value in changes.items() if name in names}
    others = {name: value for name, value in changes.items() if name not in names}
    return msgspec.structs.replace(
        plain, limits=msgspec.structs.replace(plain.limits, **limits), **others
    )


@contextlib.asynccontextmanager
async def open_field(
    data: Path, database_url: str = "", *, on: ServerName = "granian", **changes: Any
) -> AsyncIterator[Field]:
    """A field that is verified at its end."""
    settings = with_settings(data, database_url, **changes)
    clock = ManualClock(MONDAY)
    server = Server(settings, clock=clock)
    await server.start()
    try:
        image = await store(server, IMAGE)

        def stock(tx: Tx) -> AccountId:
            account = _account(tx, ACCOUNT, None, settings, clock.now())
            put_software(
                tx,
                Software(
                    name=SOFTWARE,
                    protocol="HTTP",
                    make="Acme",
                    model="X1",
                    from_version="01",
                    to_version="02",
                    launch_at=MONDAY,
                    file_name=FILE_NAME,
                    artifact=image,
                ),
                clock.now(),
            )
            return account

        account = await server.db.transact(stock)
        async with serving(server, on) as base_url:
            made = Field(
                server=server, clock=clock, base_url=base_url, account=account, image=image
            )
            try:
                yield made
                await made.assert_verified()
            finally:
                for wire in made.wires:
                    await wire.close()
    finally:
        await server.close()
