"""A small world for stories: real rows, made and moved by the engine's own functions.

A story is a function of a ``World``; ``@story`` runs it in one transaction on each database and
verifies the database afterwards. Devices are numbers, dates are days from today, and ``now`` moves
only when the story says so.

At each poll the world compares what the device is shown with what ``explain`` says of it.
"""

import contextlib
import functools
import inspect
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Concatenate, ParamSpec

import msgspec
import pytest

from overair.config import Settings
from overair.core.attempt import AttemptEvent, AttemptState
from overair.core.campaign import CampaignStatus
from overair.core.errors import Refusal, RequestError
from overair.core.ids import AccountId, AttemptId, CampaignId, DeviceId
from overair.core.plan import Link
from overair.core.upgrade import Reason, UpgradeState
from overair.core.window import Window, Windows
from overair.engine import assign, schedule
from overair.engine.advance import expire, step
from overair.engine.assign import Look
from overair.engine.catalog import FileUpload, Software, add_file, put_software
from overair.engine.explain import Explanation, explain_device
from overair.engine.licenses import set_subscription
from overair.engine.outcome import DeviceEvent, Taken, note_bytes, record
from overair.engine.schedule import CampaignRequest
from overair.store import Database, Tx, attempts, campaigns, fleet, polls, tally, upgrades
from overair.store.attempts import Attempt, Message
from overair.store.campaigns import Campaign, Dates
from overair.store.database import to_ms
from overair.store.polls import Device
from overair.store.upgrades import Upgrade
from overair.store.verify import verify

P = ParamSpec("P")

MONDAY = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SETTINGS = Settings()
SOFTWARE = "HTTP_Acme_X1_01To02"
EVENT = "TS-HFOTA-EVNT"
SIZE = 1000  # bytes of the artifact
OWNER = "story"


def imei(number: int) -> str:
    """The device's id."""
    return f"99001390{number:07d}"


def settings(**changes: Any) -> Settings:
    """The defaults with changes; those of limits go by their names too."""
    limits = {n: v for n, v in changes.items() if n in SETTINGS.limits.__struct_fields__}
    others = {n: v for n, v in changes.items() if n not in limits}
    return msgspec.structs.replace(
        SETTINGS, limits=msgspec.structs.replace(SETTINGS.limits, **limits), **others
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes:
    """Digests of bytes that were never there."""

    sha256: str = "a" * 64
    sha1: str = "b" * 40
    md5: str = "c" * 32
    size_bytes: int = SIZE


def software(**changes: Any) -> Software:
    """The package that the world's devices can be upgraded with."""
    return replace(
        Software(
            name=SOFTWARE,
            protocol="HTTP",
            make="Acme",
            model="X1",
            from_version="01",
            to_version="02",
            launch_at=MONDAY,
            file_name="x1-02.swu",
            artifact=Bytes(),
        ),
        **changes,
    )


@dataclass(slots=True)
class World:
    """An account with devices and a package, and the time."""

    tx: Tx
    now: datetime = MONDAY
    settings: Settings = SETTINGS
    account: AccountId = field(init=False)
    made: int = 0

    def __post_init__(self) -> None:
        found = self.tx.one("select id from account where name = ?", ("0000123456-00001",))
        self.account = AccountId(found[0]) if found else self.add_account("0000123456-00001")
        put_software(self.tx, software(), self.now)

    # What there is ---------------------------------------------------------------------------

    def add_account(self, name: str, *, kind: str = EVENT, count: int = 0) -> AccountId:
        row = self.tx.one(
            "insert into account (name, created_at) values (?, ?) returning id",
            (name, to_ms(self.now)),
        )
        assert row is not None
        account = AccountId(row[0])
        set_subscription(
            self.tx,
            account,
            purchase_type=kind,
            license_count=count,
            settings=self.settings,
            now=self.now,
        )
        return account

    def add_devices(self, *numbers: int, account: AccountId | None = None, **facts: Any) -> None:
        fleet.insert_devices(
            self.tx, [self._device(n, account or self.account, facts) for n in numbers], self.now
        )

    def _device(self, number: int, account: AccountId, facts: dict[str, Any]) -> fleet.Device:
        plain = {"make": "Acme", "model": "X1", "version": "01"}
        plain |= {"imei": imei(number), "controller_id": imei(number)}
        return fleet.Device(account_id=account, **(plain | facts))

    def add_file(self, name: str = "settings.conf", version: str = "7") -> str:
        """A configuration file; the name that it was given."""
        upload = FileUpload(
            file_name=name,
            version=version,
            make="Acme",
            model="X1",
            local_target_path="/etc",
            artifact=Bytes(),
        )
        return add_file(self.tx, self.account, upload, self.now).name

    # Campaigns -------------------------------------------------------------------------------

    def request(
        self, devices: Iterable[int | str], *, start: int = 0, end: int | None = 5, **changes: Any
    ) -> CampaignRequest:
        """A request for these devices; ``start`` and ``end`` in days from today."""
        self.made += 1
        plain = CampaignRequest(
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
            end_date=None if end is None else self.day(end),
            download_after=None,
            download_windows=(),
            install_after=None,
            install_windows=(),
            imeis=names(devices),
        )
        return replace(plain, **changes)

    def schedule(self, devices: Iterable[int | str], **asked: Any) -> CampaignId:
        """Ask for a campaign; nothing is checked yet."""
        request = self.request(devices, **asked)
        return schedule.schedule_campaign(self.tx, request, self.settings, self.now).id

    def campaign(self, devices: Iterable[int | str], **asked: Any) -> CampaignId:
        """A campaign that is carried as far as it goes now."""
        campaign_id = self.schedule(devices, **asked)
        self.carry_on()
        return campaign_id

    def change(self, campaign: CampaignId, type_: str, *devices: int | str) -> None:
        self.made += 1
        schedule.change_devices(
            self.tx,
            self.get(campaign),
            type_,
            names(devices),
            f"change {self.made}",
            self.settings,
            self.now,
        )

    def dates(self, campaign: CampaignId, **changes: Any) -> Campaign:
        """Send the campaign's dates again, some of them changed."""
        present = self.get(campaign)
        dates = Dates(
            start_date=present.start_date,
            end_date=present.end_date,
            download_after=present.download_after,
            download_windows=present.download_windows,
            install_after=present.install_after,
            install_windows=present.install_windows,
        )
        return schedule.change_dates(
            self.tx, present, replace(dates, **changes), self.settings, self.now
        )

    def stop(self, campaign: CampaignId, *, carry_on: bool = True) -> None:
        schedule.stop_campaign(self.tx, self.get(campaign), self.now)
        if carry_on:
            self.carry_on()

    def step(self, campaign: CampaignId) -> bool:
        """A single step of the engine; whether there is more to do."""
        campaigns.claim(self.tx, OWNER, self.now, self.now + timedelta(seconds=60), 100)
        return step(self.tx, campaign, OWNER, self.settings, self.now)

    # Time ------------------------------------------------------------------------------------

    def day(self, days: int) -> date:
        return (self.now + timedelta(days=days)).date()

    def carry_on(self) -> int:
        """Let the engine do all that is due now; how many steps it took."""
        steps = 0
        claimed = campaigns.claim(
            self.tx, OWNER, self.now, self.now + timedelta(seconds=self.settings.lease_s), 100
        )
        for campaign_id in claimed:
            more = True
            while more:
                more = step(self.tx, campaign_id, OWNER, self.settings, self.now)
                steps += 1
        campaigns.release(self.tx, claimed, OWNER)
        expire(self.tx, self.settings, self.now)
        return steps

    def wait(self, **delta: float) -> None:
        """Move the time, then let the engine work."""
        self.now += timedelta(**delta)
        self.carry_on()

    def wait_until(self, moment: datetime) -> None:
        assert moment >= self.now
        self.now = moment
        self.carry_on()

    def wait_for_day(self, days: int, hour: int = 0) -> None:
        """Until that hour, ``days`` days from today."""
        today = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        self.wait_until(today + timedelta(days=days, hours=hour))

    # Devices ---------------------------------------------------------------------------------

    def device(self, number: int) -> Device:
        row = self.tx.one("select id from device where imei = ?", (imei(number),))
        assert row is not None
        return polls.get_device(self.tx, DeviceId(row[0]))

    def poll(self, number: int) -> Look:
        """The device checks in: a look, and an offer where one may be made."""
        device = self.device(number)
        look = assign.look(self.tx, device, self.settings, self.now)
        assert_explained(look, self.explain(number))
        if look.may_offer:
            look = assign.offer(self.tx, device.id, self.settings, self.now)
            assert_explained(look, self.explain(number))
        return look

    def is_offered(self, number: int) -> bool:
        return self.poll(number).link is Link.DEPLOYMENT

    def begin(self, number: int) -> AttemptId:
        """The device polls, is offered its upgrade, and fetches the deployment."""
        look = self.poll(number)
        assert look.link is Link.DEPLOYMENT, look
        assert look.deployment is not None
        assign.retrieve(self.tx, self.device(number).id, look.deployment.attempt_id, self.now)
        return look.deployment.attempt_id

    def report(
        self, number: int, event: AttemptEvent, attempt: AttemptId | None = None, *words: str
    ) -> Taken:
        """The device says so, of its open action or of another one."""
        device = self.device(number)
        action = attempt or device.open_attempt_id
        assert action is not None
        message = None
        if words:
            message = Message(
                at=self.now, execution="proceeding", finished="none", code=None, details=words
            )
        return record(
            self.tx,
            DeviceEvent(device_id=device.id, attempt_id=action, event=event, message=message),
            self.settings,
            self.now,
        )

    def download(self, number: int, *parts: tuple[int, int]) -> None:
        """Bytes were sent to the device; all of them, if no parts are named."""
        device = self.device(number)
        assert device.open_attempt_id is not None
        note_bytes(
            self.tx,
            device.id,
            device.open_attempt_id,
            parts or ((0, SIZE),),
            SIZE,
            self.settings,
            self.now,
        )

    def succeed(self, number: int) -> AttemptId:
        """The device is upgraded, from its poll to its report."""
        attempt = self.begin(number)
        self.download(number)
        assert self.report(number, AttemptEvent.SUCCEED) is Taken.TAKEN
        return attempt

    def fail(self, number: int) -> AttemptId:
        """One attempt of the device fails before it has the artifact."""
        attempt = self.begin(number)
        assert self.report(number, AttemptEvent.FAIL) is Taken.TAKEN
        return attempt

    # What became of it -----------------------------------------------------------------------

    def get(self, campaign: CampaignId) -> Campaign:
        return campaigns.by_id(self.tx, campaign)

    def status(self, campaign: CampaignId) -> CampaignStatus:
        return self.get(campaign).status

    def upgrade(self, number: int | str, campaign: CampaignId) -> Upgrade:
        found = upgrades.of_imeis(self.tx, campaign, names([number]))
        assert len(found) == 1
        return found[0]

    def outcome(self, number: int | str, campaign: CampaignId) -> tuple[UpgradeState, Reason]:
        upgrade = self.upgrade(number, campaign)
        return upgrade.state, upgrade.reason

    def counts(self, campaign: CampaignId) -> dict[UpgradeState, int]:
        return tally.counts(self.tx, campaign)

    def members(self, campaign: CampaignId) -> set[str]:
        return upgrades.imeis(self.tx, campaign)

    def attempt(self, attempt: AttemptId) -> Attempt:
        found = attempts.find(self.tx, attempt)
        assert found is not None
        return found

    def state(self, attempt: AttemptId) -> AttemptState:
        return self.attempt(attempt).state

    def explain(self, number: int) -> Explanation:
        found = explain_device(self.tx, imei(number), self.settings, self.now)
        assert found is not None
        return found


def names(devices: Iterable[int | str]) -> list[str]:
    """Device ids; a text stands for itself."""
    return [imei(device) if isinstance(device, int) else device for device in devices]


UNDER_WAY = {"offered", "retrieved", "running", "downloaded"}
ELSEWHERE = {"other_attempt", "checks", "start", "over"}


def assert_explained(look: Look, explained: Explanation) -> None:
    """What a person is told is what the device meets."""
    said = f"{look} but {explained}"
    assert explained.sentence
    if look.deployment is not None:
        # A device may be at work for a campaign that is over while it waits for another.
        place = explained.upgrade
        elsewhere = place is not None and place.id != look.deployment.upgrade_id
        expected = UNDER_WAY if look.link is Link.DEPLOYMENT else {"cancelling"}
        assert explained.wait in (expected | ELSEWHERE if elsewhere else expected), said
    elif look.may_offer:
        assert explained.wait == "check_in", said
    else:
        assert explained.wait not in UNDER_WAY | {"check_in"}, said
        if look.waits_until is not None:
            assert explained.until == look.waits_until, said


@contextlib.contextmanager
def refused(refusal: Refusal) -> Iterator[None]:
    """What is done within is refused with that row of the catalogue."""
    with pytest.raises(RequestError) as error:
        yield
    assert error.value.refusal is refusal


# Running stories -------------------------------------------------------------------------------


async def assert_verified(database: Database) -> None:
    """Every counter equals a recount, and every invariant holds."""

    def findings(tx: Tx) -> list[Any]:
        return [finding for _, finding in verify(tx) if finding is not None]

    found = await database.report(findings)
    assert not found, found


def story(tell: Callable[Concatenate[World, P], None]) -> Callable[..., Awaitable[None]]:
    """A test that tells the story in one transaction, on each database, and verifies it."""

    @functools.wraps(tell)
    async def test(verified: Database, *args: P.args, **kwargs: P.kwargs) -> None:
        await verified.transact(lambda tx: tell(World(tx), *args, **kwargs))

    # pytest asks for the fixtures that the signature names.
    parameters = list(inspect.signature(tell).parameters.values())
    database = inspect.Parameter("verified", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    test.__signature__ = inspect.Signature([database, *parameters[1:]])  # type: ignore[attr-defined]  # functions may have one
    return test


def hours(*windows: tuple[int, int]) -> Windows:
    """Windows from pairs of hours."""
    return tuple(Window(start, end) for start, end in windows)
