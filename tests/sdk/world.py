"""A whole server on a socket, filled from a fleet file, and the vendor's published client that calls it.

The server runs in a thread with an event loop of its own, as it would in a process of its own: the
client blocks, and so tests are plain functions. Campaign time is moved by the test; the engine works
whenever there is something due, and what it has done is waited for.

Accounts come from a fleet file and nothing else does: what tests want to see, they make through the
client, and devices say what devices say over HTTP.
"""

import contextlib
import functools
import http.client
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar
from urllib.parse import urlsplit

import msgspec
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from verizon.exceptions.fota_v2_result_exception import FotaV2ResultException
from verizon.models.campaign_software_upgrade import CampaignSoftwareUpgrade
from verizon.models.v2_time_window import V2TimeWindow

from overair.app import Server
from overair.cli.importing import import_file
from overair.cli.options import Installation
from overair.clock import ManualClock
from overair.config import Settings
from overair.core.credentials import Cost, hash_secret
from overair.store import Tx, figures, open_database
from overair.store.verify import verify
from tests.peers import sdk
from tests.sdk.shapes import NOTHING, OPERATIONS, Operation, deserialized
from tests.serving import serving
from tests.waiting import wait_for

P = ParamSpec("P")
T = TypeVar("T")

MONDAY = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
BOTH, EVENTS, MONTHLY, INACTIVE, BARE, OTHER = (f"0000123456-{n:05d}" for n in range(1, 7))
"""Accounts: with both kinds of purchase, one of each, an inactive one, one that has bought nothing;
these are Ada's. The last is Bob's."""
PUSHED, PUSHED_MONTHLY, PUSHED_OTHER = (f"0000123456-{n:05d}" for n in range(7, 10))
"""Accounts whose devices are told to come: with both kinds of purchase, and monthly licences only.
The last is Bob's."""
CELLULAR, CELLULAR_MONTHLY, CELLULAR_OTHER = (f"0000123456-{n:05d}" for n in range(10, 13))
"""The same with devices over LwM2M."""
KEY, SECRET, PASSWORD = "key", "secret", "pass-word"
SOFTWARE = "FOTA_Acme_X1_01To02"
FIRMWARE = "FW_Acme_M1_01To02"
NEXT_FIRMWARE = "FW_Acme_M1_02To03"
LIGHT_FIRMWARE = "FW_Acme_L1_01To02"
NEXT_SOFTWARE = "FOTA_Acme_X1_02To03"
IMAGE = bytes(range(256)) * 40
LICENSES = 3
_COST = Cost(log2_n=10, r=1, p=1)


def imei(number: int) -> str:
    """A device's id."""
    return f"99001390{number:07d}"


def imeis(*numbers: int) -> list[str]:
    """Several."""
    return [imei(number) for number in numbers]


# Devices by number: those that can be upgraded, and one for each thing that may be wrong with one.
FLEET = range(1, 41)
NOT_ELIGIBLE, SUSPENDED, OTHER_MODEL, OTHER_VERSION, LWM2M = range(41, 46)
MONTHLY_FLEET = range(51, 61)
MONTHLY_NOT_ELIGIBLE = 61
EVENT_FLEET = range(71, 76)
THEIRS = range(81, 84)
# And those that are told to come.
PUSHED_FLEET = range(101, 121)
(
    PUSHED_NOT_ELIGIBLE,
    PUSHED_SUSPENDED,
    PUSHED_OTHER_MODEL,
    PUSHED_OTHER_VERSION,
    PUSHED_UNKNOWN_TYPE,
    PUSHED_LIGHT,
    PUSHED_OVER_HTTP,
) = range(121, 128)
PUSHED_MONTHLY_FLEET = range(131, 137)
PUSHED_THEIRS = range(141, 143)
# And those over LwM2M.
CELLULAR_FLEET = range(151, 163)
CELLULAR_FAR, CELLULAR_NOT_ELIGIBLE, CELLULAR_OTHER_VERSION, CELLULAR_PUSHED = range(163, 167)
CELLULAR_MONTHLY_FLEET = range(171, 177)
CELLULAR_THEIRS = range(181, 183)
UNKNOWN = "123456789012345"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the client says of a refused call."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of the API, as the client has it."""

    prefix: str
    operations: Mapping[str, Operation]
    refusal: type[Exception]


V2 = Version(prefix="/api/fota/v2", operations=OPERATIONS, refusal=FotaV2ResultException)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdk:
    """The client with its tokens, on one account; every answer is checked."""

    connection: sdk.Connection
    account: str
    base: str
    version: Version = V2
    called: set[str] = field(default_factory=set)

    def on(self, account: str) -> Self:
        """The same user on another account."""
        return replace(self, account=account)

    def call(self, name: str, *args: Any, **more: Any) -> Any:
        """The client's own answer, or its own exception."""
        operation = self.version.operations[name]
        controller = getattr(self.connection.client, operation.controller)
        before = (self.account,) if operation.on_account else ()
        with sdk.deprecated_calls():
            return getattr(controller, name)(*before, *args, **more)

    def ok(self, name: str, *args: Any, **more: Any) -> Any:
        """What a call that succeeds answers, as JSON; the client's model of it is right too."""
        answer = self.call(name, *args, **more)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/json"
        raw = json.loads(answer.text)
        answers = self.version.operations[name].answers
        answers(raw, name)
        if answers is not NOTHING:  # where the client gives the text itself
            deserialized(answer.body, raw, name)
        self.called.add(name)
        return raw

    def refused(self, name: str, *args: Any, **more: Any) -> Refusal:
        """What the client's own exception says of a call that is refused."""
        with pytest.raises(self.version.refusal) as caught:
            self.call(name, *args, **more)
        error: Any = caught.value
        assert error.response_code == 400
        body = json.loads(error.response.text)
        assert body == {"errorCode": error.error_code, "errorMessage": error.error_message}
        assert all(isinstance(text, str) and text for text in body.values())
        return Refusal(error.error_code, error.error_message)

    def why(self, name: str, *args: Any, **more: Any) -> str:
        """The text of a refusal whose code says nothing more."""
        refusal = self.refused(name, *args, **more)
        assert refusal.code == "INVALID_PARAMETER"
        return refusal.message

    def schedule(self, request: CampaignSoftwareUpgrade) -> str:
        """The id of a new campaign."""
        made = self.ok("schedule_campaign_firmware_upgrade", request)
        assert made["status"] == "CampaignRequestPending"
        return str(made["id"])

    def status(self, campaign: str) -> str:
        return str(self.ok("get_campaign_information", campaign)["status"])

    def devices(self, campaign: str) -> dict[str, tuple[str, str]]:
        """Status and reason of each device of a campaign."""
        found: dict[str, tuple[str, str]] = {}
        for page in self.pages("get_campaign_device_status", "lastSeenDeviceId", campaign):
            for device in page["deviceList"]:
                found[device["deviceId"]] = (device["status"], device["resultReason"])
            assert page["totalDevice"] >= len(found)
        return found

    def pages(self, name: str, cursor: str, *args: Any, **more: Any) -> Iterator[Any]:
        """The pages of a list, as a program would read them; ``cursor`` by its name on the wire."""
        argument = {
            "lastSeenDeviceId": "last_seen_device_id",
            "lastSeenCampaignId": "last_seen_campaign_id",
        }[cursor]
        page = self.ok(name, *args, **more)
        yield page
        while page["hasMoreData"]:
            page = self.ok(name, *args, **more, **{argument: page[cursor]})
            yield page

    def raw(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """A call that the client does not have, with its tokens; ``{}`` is the account."""
        sent = {
            "Authorization": f"Bearer {self.connection.access_token}",
            "VZ-M2M-Token": self.connection.session_token,
        }
        reply = ask(
            self.base, method, self.version.prefix + path.replace("{}", self.account), body,
            sent | dict(headers or {}),
        )  # fmt: skip
        return reply[0], json.loads(reply[1])


def ask(
    base: str, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Status and body of one request."""
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=20)
    try:
        connection.request(method, target, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device that speaks for itself."""

    base: str
    account: str
    number: int

    def ask(
        self,
        method: str,
        target: str = "",
        body: Any = None,
        *,
        raw: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """A request below its own address, or to an address that it was given."""
        if target.startswith("http"):
            parts = urlsplit(target)
            target = parts.path + (f"?{parts.query}" if parts.query else "")
        else:
            target = f"/{self.account}/controller/v1/{imei(self.number)}{target}"
        sent = {"Authorization": f"TargetToken {token(self.number)}", **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/json"
            raw = json.dumps(body).encode()
        return ask(self.base, method, target, raw, sent)

    def poll(self) -> dict[str, str]:
        """Check in: the links that it is shown."""
        status, body = self.ask("GET")
        assert status == 200, body
        return {name: link["href"] for name, link in json.loads(body).get("_links", {}).items()}

    def begin(self) -> tuple[int, str]:
        """Check in and fetch the deployment: the action, and where its artifact is."""
        status, body = self.ask("GET", self.poll()["deploymentBase"])
        assert status == 200, body
        document = json.loads(body)
        artifact = document["deployment"]["chunks"][0]["artifacts"][0]
        return int(document["id"]), artifact["_links"]["download-http"]["href"]

    def say(self, action: int, execution: str, finished: str = "none") -> None:
        status, body = self.ask(
            "POST",
            f"/deploymentBase/{action}/feedback",
            {
                "id": str(action),
                "status": {"execution": execution, "result": {"finished": finished}},
            },
        )
        assert status == 200, body

    def download(self, href: str) -> bytes:
        status, body = self.ask("GET", href)
        assert status == 200
        return body

    def succeed(self) -> bytes:
        """A whole update; the bytes of it."""
        action, href = self.begin()
        content = self.download(href)
        self.say(action, "closed", "success")
        return content

    def fail(self, *, downloaded: bool = False) -> None:
        """An attempt that fails, before its download or after."""
        action, _ = self.begin()
        if downloaded:
            self.say(action, "downloaded")
        self.say(action, "closed", "failure")


def token(number: int) -> str:
    """A device's token."""
    return f"{number:032d}"


@dataclass(kw_only=True)
class World:
    """The server, and those who call it."""

    portal: BlockingPortal
    server: Server
    clock: ManualClock
    base: str
    ada: Sdk
    bob: Sdk

    def run(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Something that the API has no call for, in a transaction."""
        return self.portal.call(functools.partial(self.server.db.transact, fn, *args, **kwargs))

    def in_loop(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Call or await something in the server's own thread."""
        return self.portal.call(fn, *args)

    def wait(self, **delta: float) -> None:
        """Move the time on, and wait until nothing that is due is left to do."""
        self.portal.call(self.clock.advance, timedelta(**delta))
        self.settle()

    def wait_until(self, moment: datetime) -> None:
        self.portal.call(self.clock.advance, moment - self.clock.now())
        self.settle()

    def settle(self) -> None:
        """Wait until the engine has done what is due now."""
        after = self.clock.now() + timedelta(milliseconds=1)  # what is due just now counts too
        wait_for(lambda: self.run(figures.engine_lag_ms, after) == 0, "the engine")
        wait_for(lambda: self.run(figures.push_lag_ms, after) == 0, "the notifications")

    def day(self, days: int = 0) -> date:
        """A date, so many days from today."""
        return self.clock.now().date() + timedelta(days=days)

    def midnight(self, days: int) -> datetime:
        """The first moment of that day."""
        return datetime.combine(self.day(days), datetime.min.time(), UTC)

    def request(self, *numbers: int, start: int = 0, end: int = 5, **more: Any) -> Any:
        """A request for a campaign; dates in days from today."""
        asked = {
            "software_name": SOFTWARE,
            "software_from": "01",
            "software_to": "02",
            "distribution_type": "HTTP",
            "start_date": self.day(start),
            "end_date": self.day(end),
            "device_list": imeis(*numbers),
        }
        return CampaignSoftwareUpgrade(**(asked | more))

    def campaign(self, *numbers: int, by: Sdk | None = None, **asked: Any) -> str:
        """The id of a campaign whose devices were checked; one that starts today runs."""
        made = (by or self.ada).schedule(self.request(*numbers, **asked))
        self.settle()
        return made

    def device(self, number: int, account: str = BOTH) -> Device:
        return Device(base=self.base, account=account, number=number)

    def findings(self) -> list[Any]:
        """What ``overair verify`` would find."""

        def check(tx: Tx) -> list[Any]:
            return [finding for _, finding in verify(tx) if finding is not None]

        return self.run(check)


def windows(*hours: tuple[int, int]) -> list[Any]:
    """Windows of a campaign."""
    return [V2TimeWindow(start, end) for start, end in hours]


def file(content: bytes, name: str = "hello-world.txt") -> io.BytesIO:
    """A file to be uploaded."""
    opened = io.BytesIO(content)
    opened.name = name
    return opened


def _fleet(directory: Path) -> Path:
    """The fleet file of the world."""

    def hashed(secret: str) -> str:
        return hash_secret(secret, b"s" * 16, _COST)

    def devices(account: str, numbers: Any, **facts: Any) -> list[dict[str, Any]]:
        plain = {"make": "Acme", "model": "X1", "protocol": "HTTP", "version": "01"} | facts
        return [
            {"account": account, "deviceId": imei(n), "ddi": {"token": token(n)}, **plain}
            for n in numbers
        ]

    def pushed(account: str, numbers: Any, **facts: Any) -> list[dict[str, Any]]:
        return devices(account, numbers, **({"protocol": "OMADM", "model": "M1"} | facts))

    def light(account: str, numbers: Any, **facts: Any) -> list[dict[str, Any]]:
        return devices(account, numbers, **({"protocol": "LWM2M", "model": "L1"} | facts))

    def bought(kind: str, count: int = 0) -> dict[str, Any]:
        return {"subscription": {"purchaseType": kind, "licenseCount": count}}

    both = bought("TS-HFOTA-EVNT,TS-HFOTA-MRC", LICENSES)
    document = {
        "accounts": [
            {"name": BOTH, **both},
            {"name": EVENTS, **bought("TS-HFOTA-EVNT")},
            {"name": MONTHLY, **bought("TS-HFOTA-MRC", LICENSES)},
            {"name": INACTIVE, "active": False, **both},
            {"name": BARE},
            {"name": OTHER, **both},
            {"name": PUSHED, **both},
            {"name": PUSHED_MONTHLY, **bought("TS-HFOTA-MRC", LICENSES)},
            {"name": PUSHED_OTHER, **both},
            {"name": CELLULAR, **both},
            {"name": CELLULAR_MONTHLY, **bought("TS-HFOTA-MRC", LICENSES)},
            {"name": CELLULAR_OTHER, **both},
        ],
        "applications": [{"key": KEY, "secretHash": hashed(SECRET)}],
        "users": [
            {
                "username": name,
                "passwordHash": hashed(PASSWORD),
                "accounts": accounts,
            }
            for name, accounts in (
                (
                    "ada",
                    [
                        *(BOTH, EVENTS, MONTHLY, INACTIVE, BARE, PUSHED, PUSHED_MONTHLY),
                        *(CELLULAR, CELLULAR_MONTHLY),
                    ],
                ),
                ("bob", [OTHER, PUSHED_OTHER, CELLULAR_OTHER]),
            )
        ],
        "packages": [
            {
                "name": name,
                "protocol": protocol,
                "make": "Acme",
                "model": model,
                "from": before,
                "to": after,
                "launchDate": "2026-01-01",
                "releaseNote": note,
                "file": "x1.swu",
            }
            for name, protocol, model, before, after, note in (
                (SOFTWARE, "HTTP", "X1", "01", "02", "faster"),
                (NEXT_SOFTWARE, "HTTP", "X1", "02", "03", ""),
                (FIRMWARE, "OMADM", "M1", "01", "02", "safer"),
                (NEXT_FIRMWARE, "OMADM", "M1", "02", "03", ""),
                (LIGHT_FIRMWARE, "LWM2M", "L1", "01", "02", ""),
            )
        ],
        "devices": [
            *devices(BOTH, FLEET),
            *devices(BOTH, [NOT_ELIGIBLE], fotaEligible=False),
            *devices(BOTH, [SUSPENDED], status="Suspended"),
            *devices(BOTH, [OTHER_MODEL], model="X2"),
            *devices(BOTH, [OTHER_VERSION], version="00"),
            *devices(BOTH, [LWM2M], protocol="LWM2M"),
            *devices(MONTHLY, MONTHLY_FLEET),
            *devices(MONTHLY, [MONTHLY_NOT_ELIGIBLE], fotaEligible=False),
            *devices(EVENTS, EVENT_FLEET),
            *devices(OTHER, THEIRS),
            *pushed(PUSHED, PUSHED_FLEET),
            *pushed(PUSHED, [PUSHED_NOT_ELIGIBLE], fotaEligible=False),
            *pushed(PUSHED, [PUSHED_SUSPENDED], status="Suspended"),
            *pushed(PUSHED, [PUSHED_OTHER_MODEL], model="M2"),
            *pushed(PUSHED, [PUSHED_OTHER_VERSION], version="00"),
            *pushed(PUSHED, [PUSHED_UNKNOWN_TYPE]),
            *pushed(PUSHED, [PUSHED_LIGHT], protocol="LWM2M", model="L1"),
            *devices(PUSHED, [PUSHED_OVER_HTTP]),
            *pushed(PUSHED_MONTHLY, PUSHED_MONTHLY_FLEET),
            *pushed(PUSHED_OTHER, PUSHED_THEIRS),
            *light(CELLULAR, [*CELLULAR_FLEET, CELLULAR_FAR]),
            *light(CELLULAR, [CELLULAR_NOT_ELIGIBLE], fotaEligible=False),
            *light(CELLULAR, [CELLULAR_OTHER_VERSION], version="00"),
            *pushed(CELLULAR, [CELLULAR_PUSHED]),
            *light(CELLULAR_MONTHLY, CELLULAR_MONTHLY_FLEET),
            *light(CELLULAR_OTHER, CELLULAR_THEIRS),
        ],
    }
    (directory / "x1.swu").write_bytes(IMAGE)
    path = directory / "fleet.json"
    path.write_text(json.dumps(document))
    return path


async def _imported(settings: Settings, clock: ManualClock, path: Path) -> None:
    db = open_database(settings.database_url, clock)
    await db.start()
    try:
        await import_file(Installation(settings=settings, db=db, clock=clock), path)
    finally:
        await db.close()


@contextlib.asynccontextmanager
async def _served(settings: Settings, clock: ManualClock) -> Any:
    server = Server(settings, clock=clock)
    await server.start()
    try:
        async with serving(server) as base:
            yield server, base
    finally:
        await server.close()


def with_limits(**changes: Any) -> Any:
    """The default limits with changes."""
    return msgspec.structs.replace(Settings().limits, **changes)


@contextlib.contextmanager
def open_world(directory: Path, database: str = "", **changes: Any) -> Iterator[World]:
    """A world that ``overair verify`` finds nothing wrong with at its end."""
    directory.mkdir(exist_ok=True)
    settings = Settings(
        data=str(directory / "data"), database=database, engine_interval_s=0.05, **changes
    )
    clock = ManualClock(MONDAY)
    with start_blocking_portal() as portal:
        portal.call(_imported, settings, clock, _fleet(directory))
        with portal.wrap_async_context_manager(_served(settings, clock)) as (server, base):
            api = f"{base}/api"
            made = {
                user: Sdk(
                    connection=sdk.connect(api, KEY, SECRET, user, PASSWORD),
                    account=account,
                    base=base,
                )
                for user, account in (("ada", BOTH), ("bob", OTHER))
            }
            world = World(portal=portal, server=server, clock=clock, base=base, **made)
            try:
                yield world
                assert world.findings() == []
            finally:
                for user in made.values():
                    user.connection.client.config.http_client.session.close()
