"""What an exploration walks on: two devices, an operator, the engine and a clock, and what each may do.

Each event is one transaction of the real engine. ``Game`` is what differs between the published
versions: the rules that are set, the instants to which the clock moves, the states to begin with, and what
devices may do. Devices are taken to be hostile: they say anything that their protocol can say about any of
their attempts, in any order.

Instants are few, and chosen so that each rule about time is met on both sides: the clock moves from one to
the next. What happens between two of them happens at the earlier one.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from overair.config import Settings
from overair.core.ids import AccountId, CampaignId, DeviceId
from overair.core.licenses import MONTHLY
from overair.core.window import Window
from overair.engine import licenses, schedule
from overair.engine.catalog import Software, put_software
from overair.engine.outcome import Taken
from overair.engine.schedule import CampaignRequest
from overair.simulation.explore.view import View
from overair.store import campaigns, fleet, packages, proofs
from overair.store.callbacks import ListenerKey, put_listener
from overair.store.database import Tx

MONDAY: Final = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
ACCOUNT: Final = "0000123456-00001"
DEVICES: Final = (1, 2)
PACKAGE: Final = "Firmware_Acme_X1_01To02"
SIZE: Final = 1000  # bytes of the image
MOST_CAMPAIGNS: Final = 2


def imei(number: int) -> str:
    """The device's id."""
    return f"99001390{number:07d}"


class Shown(StrEnum):
    """What a device is given."""

    DEPLOYMENT = "deployment"  # it may fetch and install
    CANCEL = "cancel"
    CALLED = "called"  # it was notified
    COMMAND = "command"  # it may be given its command


@dataclass(frozen=True, slots=True)
class Sight:
    """Something that a device was given in an event."""

    what: Shown
    device_id: DeviceId
    attempt_id: int


@dataclass(slots=True)
class Ground:
    """The place and time at which an event happens, and what is seen of it."""

    tx: Tx
    settings: Settings
    now: datetime
    account: AccountId
    package: str = PACKAGE
    seen: list[Sight] = field(default_factory=list)
    taken: Taken | None = None  # what became of a report, if that is what it was
    succeeded: int | None = None  # the attempt whose success was told, and taken


@dataclass(frozen=True, slots=True)
class Event:
    """Something that may happen, and how a list of events names it.

    ``repeats``: that the same once more changes nothing.
    """

    text: str
    happen: Callable[[Ground], object]
    repeats: bool = False


class Game(Protocol):
    """What is explored."""

    version: int
    settings: Settings
    instants: Sequence[datetime]
    ends: Sequence[datetime]
    """Further instants for whoever looks where a state leads if nobody does anything any more."""

    def prepare(self, tx: Tx) -> AccountId:
        """Make account, devices and package."""
        ...

    def roots(self) -> Sequence[tuple[str, Sequence[Callable[[Ground], object]]]]:
        """The states to begin with: a name, and what has happened by then."""
        ...

    def events(self, view: View, now: datetime) -> Iterator[Event]:
        """What may happen now, but for the clock's moving on."""
        ...

    def finish(self, ground: Ground, view: View) -> None:
        """Let devices that are tried on without limit come, and succeed."""
        ...


# The world ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bytes:
    """Digests of an image that was never there."""

    sha256: str = "a" * 64
    sha1: str = "b" * 40
    md5: str = "c" * 32
    size_bytes: int = SIZE


def furnish(tx: Tx, protocol: str, version: int, settings: Settings) -> AccountId:
    """An account with two devices that have licences, and a listener; and a package for them."""
    fleet.insert_account(tx, fleet.Account(name=ACCOUNT), MONDAY)
    (account,) = fleet.accounts(tx)
    licenses.set_subscription(
        tx, account, purchase_type=MONTHLY, license_count=2, settings=settings, now=MONDAY
    )
    fleet.insert_devices(
        tx,
        [
            fleet.Device(
                account_id=account,
                imei=imei(number),
                controller_id=imei(number),
                make="Acme",
                model="X1",
                protocol=protocol,
                version="01",
            )
            for number in DEVICES
        ],
        MONDAY,
    )
    licenses.assign_licenses(tx, account, [*map(imei, DEVICES)], settings.limits, MONDAY)
    put_software(
        tx,
        Software(
            name=PACKAGE,
            protocol=protocol,
            make="Acme",
            model="X1",
            from_version="01",
            to_version="02",
            launch_at=MONDAY,
            file_name="x1-02.swu",
            artifact=_Bytes(),
        ),
        MONDAY,
    )
    put_listener(tx, ListenerKey(account, version), "https://listener.example/", "", "", MONDAY)
    return account


def prove(ground: Ground) -> None:
    """The package has proven itself before."""
    package = packages.find_software(ground.tx, ground.account, ground.package)
    assert package is not None
    proofs.add(ground.tx, ground.account, package.id, 0, 0)
    proofs.set_proven(ground.tx, ground.account, package.id, ground.now)


def day(days: int) -> date:
    """The date so many days after the first."""
    return (MONDAY + timedelta(days=days)).date()


def ask(
    ground: Ground,
    devices: Sequence[int],
    *,
    version: int,
    protocol: str,
    start: int = 0,
    end: int = 1,
    windows: tuple[Window, ...] = (),
    joins: bool = False,
) -> CampaignId:
    """Ask for a campaign."""
    made = len(campaigns.every(ground.tx, CampaignId(0), MOST_CAMPAIGNS + 1))
    request = CampaignRequest(
        uuid=str(uuid.UUID(int=made + 1, version=4)),
        account_id=ground.account,
        api_version=version,
        kind="software",
        name="a campaign",
        package_name=ground.package,
        from_version=None if version == 1 else "01",
        to_version="02",
        protocols=frozenset({protocol}),
        distribution_type=protocol,
        start_date=ground.now.date() + timedelta(days=start),
        end_date=ground.now.date() + timedelta(days=end),
        download_after=None,
        download_windows=windows,
        install_after=None,
        install_windows=(),
        imeis=[*map(imei, devices)],
        auto_add_devices=joins,
    )
    return schedule.schedule_campaign(ground.tx, request, ground.settings, ground.now).id
