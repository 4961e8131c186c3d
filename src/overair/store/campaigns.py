"""Campaigns: the rows, the claim on due ones, and the changes asked for before the start."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any

from overair.core.campaign import BEFORE_START, CampaignStatus
from overair.core.ids import AccountId, CampaignId, PackageId
from overair.core.plan import Rules
from overair.core.upgrade import UpgradeState
from overair.core.window import Windows, decode_windows, encode_windows
from overair.store import tally
from overair.store.database import Row, Tx, for_update, from_ms, marks, opt_from_ms, opt_ms, to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A campaign with its account's and package's names."""

    id: CampaignId
    uuid: str
    account_id: AccountId
    account_name: str
    api_version: int
    kind: str  # software, file
    name: str
    package_id: PackageId
    package_name: str
    make: str
    model: str
    protocol: str
    from_version: str
    to_version: str
    distribution_type: str
    status: CampaignStatus
    reason: str
    start_date: date
    end_date: date
    download_after: date | None
    download_windows: Windows
    install_after: date | None
    install_windows: Windows
    tag: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    due_at: datetime | None
    closing: str | None
    auto_assign_licenses: bool
    auto_add_devices: bool

    @property
    def rules(self) -> Rules:
        """What it says about time."""
        return _rules(
            self.status,
            self.start_date,
            self.end_date,
            self.download_after,
            self.download_windows,
            self.install_after,
            self.install_windows,
        )


@lru_cache(maxsize=1024)  # every offer of a campaign asks for the same ones
def _rules(
    status: CampaignStatus,
    start_date: date,
    end_date: date,
    download_after: date | None,
    download_windows: Windows,
    install_after: date | None,
    install_windows: Windows,
) -> Rules:
    return Rules(
        status=status,
        start_date=start_date,
        end_date=end_date,
        download_after=download_after,
        download_windows=download_windows,
        install_after=install_after,
        install_windows=install_windows,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCampaign:
    """What is known of a campaign that is being asked for."""

    uuid: str
    account_id: AccountId
    api_version: int
    kind: str
    name: str
    package_id: PackageId
    distribution_type: str
    start_date: date
    end_date: date
    download_after: date | None
    download_windows: Windows
    install_after: date | None
    install_windows: Windows
    auto_assign_licenses: bool = False
    auto_add_devices: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dates:
    """The dates and windows of a campaign, as one set."""

    start_date: date
    end_date: date
    download_after: date | None = None
    download_windows: Windows = ()
    install_after: date | None = None
    install_windows: Windows = ()


_SELECT = """select c.id, c.uuid, c.account_id, a.name, c.api_version, c.kind, c.name, c.package_id,
 p.name, p.make, p.model, p.protocol, p.from_version, p.to_version, c.distribution_type, c.status,
 c.reason, c.start_date, c.end_date, c.download_after_date, c.download_windows,
 c.install_after_date, c.install_windows, c.tag, c.created_at, c.started_at, c.ended_at, c.due_at,
 c.closing, c.auto_assign_licenses, c.auto_add_devices
 from campaign c join account a on a.id = c.account_id join package p on p.id = c.package_id"""


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


@lru_cache(maxsize=256)  # every report of a hundred thousand devices asks for the same one
def _campaign(row: Row) -> Campaign:
    return Campaign(
        id=CampaignId(row[0]),
        uuid=row[1],
        account_id=AccountId(row[2]),
        account_name=row[3],
        api_version=row[4],
        kind=row[5],
        name=row[6],
        package_id=PackageId(row[7]),
        package_name=row[8],
        make=row[9],
        model=row[10],
        protocol=row[11],
        from_version=row[12],
        to_version=row[13],
        distribution_type=row[14],
        status=CampaignStatus(row[15]),
        reason=row[16],
        start_date=date.fromisoformat(row[17]),
        end_date=date.fromisoformat(row[18]),
        download_after=_date(row[19]),
        download_windows=decode_windows(row[20]),
        install_after=_date(row[21]),
        install_windows=decode_windows(row[22]),
        tag=row[23],
        created_at=from_ms(row[24]),
        started_at=opt_from_ms(row[25]),
        ended_at=opt_from_ms(row[26]),
        due_at=opt_from_ms(row[27]),
        closing=row[28],
        auto_assign_licenses=bool(row[29]),
        auto_add_devices=bool(row[30]),
    )


def _lock(tx: Tx) -> str:
    # Only the campaign's own row: an account is shared by everything.
    return for_update(tx) and " for no key update of c"


def by_id(tx: Tx, campaign_id: CampaignId, *, lock: bool = False) -> Campaign:
    """The campaign, which must exist."""
    if not lock:
        return tx.kept(_by_id, campaign_id)
    row = tx.one(f"{_SELECT} where c.id = ?{_lock(tx)}", (campaign_id,))
    assert row is not None, f"no campaign {campaign_id}"
    return _campaign(row)


def _by_id(tx: Tx, campaign_id: CampaignId) -> Campaign:
    row = tx.one(f"{_SELECT} where c.id = ?", (campaign_id,))
    assert row is not None, f"no campaign {campaign_id}"
    return _campaign(row)


def by_uuid(
    tx: Tx, account_id: AccountId, uuid: str, *, api_version: int | None = None, lock: bool = False
) -> Campaign | None:
    """The account's campaign of that id, in lower case; of one API version, if given."""
    sql = f"{_SELECT} where c.uuid = ? and c.account_id = ?"
    params: list[Any] = [uuid, account_id]
    if api_version is not None:
        sql += " and c.api_version = ?"
        params.append(api_version)
    row = tx.one(sql + (_lock(tx) if lock else ""), params)
    return None if row is None else _campaign(row)


def by_status(
    tx: Tx,
    account_id: AccountId,
    api_version: int,
    status: CampaignStatus | None,
    after: CampaignId,
    limit: int,
) -> list[Campaign]:
    """Campaigns created after ``after``, in order of creation; of one status, if given."""
    sql = f"{_SELECT} where c.account_id = ? and c.api_version = ? and c.id > ?"
    params: list[Any] = [account_id, api_version, after]
    if status is not None:
        sql += " and c.status = ?"
        params.append(status)
    return [_campaign(row) for row in tx.all(sql + " order by c.id limit ?", [*params, limit])]


_REPORTED = """c.account_id = ? and c.api_version = ? and c.status = ?
 and (c.ended_at is null or c.ended_at >= ?)"""


def by_status_at(
    tx: Tx,
    account_id: AccountId,
    api_version: int,
    status: CampaignStatus,
    since: datetime,
    offset: int,
    limit: int,
) -> list[Campaign]:
    """Campaigns that did not end before ``since``, oldest first, without the first ``offset``."""
    rows = tx.all(
        f"{_SELECT} where {_REPORTED} order by c.id limit ? offset ?",
        (account_id, api_version, status, to_ms(since), limit, offset),
    )
    return [_campaign(row) for row in rows]


def count_by_status(
    tx: Tx, account_id: AccountId, api_version: int, status: CampaignStatus, since: datetime
) -> int:
    """How many there are of them."""
    row = tx.one(
        f"select count(*) from campaign c where {_REPORTED}",
        (account_id, api_version, status, to_ms(since)),
    )
    assert row is not None
    return int(row[0])


def every(tx: Tx, after: CampaignId, limit: int) -> list[Campaign]:
    """Campaigns of all accounts and versions, in order of creation."""
    rows = tx.all(f"{_SELECT} where c.id > ? order by c.id limit ?", (after, limit))
    return [_campaign(row) for row in rows]


def find(tx: Tx, uuid: str) -> Campaign | None:
    """The campaign of that id in any account: for operators only."""
    row = tx.one(f"{_SELECT} where c.uuid = ?", (uuid,))
    return None if row is None else _campaign(row)


def insert(tx: Tx, new: NewCampaign, now: datetime) -> CampaignId:
    """A new campaign, pending, due at once."""
    row = tx.one(
        "insert into campaign (uuid, account_id, api_version, kind, name, package_id,"
        " distribution_type, status, start_date, end_date, download_after_date, download_windows,"
        " install_after_date, install_windows, auto_assign_licenses, auto_add_devices,"
        " created_at, due_at)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) returning id",
        (
            new.uuid,
            new.account_id,
            new.api_version,
            new.kind,
            new.name,
            new.package_id,
            new.distribution_type,
            CampaignStatus.REQUEST_PENDING,
            new.start_date.isoformat(),
            new.end_date.isoformat(),
            None if new.download_after is None else new.download_after.isoformat(),
            encode_windows(new.download_windows),
            None if new.install_after is None else new.install_after.isoformat(),
            encode_windows(new.install_windows),
            new.auto_assign_licenses,
            new.auto_add_devices,
            to_ms(now),
            to_ms(now),
        ),
    )
    assert row is not None
    return CampaignId(row[0])


def set_status(
    tx: Tx,
    campaign_id: CampaignId,
    old: CampaignStatus,
    new: CampaignStatus,
    *,
    due_at: datetime | None,
    closing: str | None = None,
    reason: str = "",
    started_at: datetime | None = None,
    ended_at: datetime | None = None,
) -> None:
    """Move a campaign on; it must still be where the caller saw it."""
    changed = tx.execute(
        "update campaign set status = ?, due_at = ?, closing = ?, reason = ?,"
        " started_at = coalesce(?, started_at), ended_at = coalesce(?, ended_at), tag = tag + 1"
        " where id = ? and status = ?",
        (
            new,
            opt_ms(due_at),
            closing,
            reason,
            opt_ms(started_at),
            opt_ms(ended_at),
            campaign_id,
            old,
        ),
    )
    assert changed == 1, f"campaign {campaign_id} is not {old} any more"


def set_due(tx: Tx, campaign_id: CampaignId, due_at: datetime | None) -> None:
    """When the engine has to look at it next."""
    tx.execute("update campaign set due_at = ? where id = ?", (opt_ms(due_at), campaign_id))


def hasten(tx: Tx, campaign_id: CampaignId, now: datetime) -> None:
    """Let the engine look at it now, if it meant to look later."""
    tx.execute(
        "update campaign set due_at = ? where id = ? and due_at > ?",
        (to_ms(now), campaign_id, to_ms(now)),
    )


def hasten_last(
    tx: Tx, campaign_id: CampaignId, lasting: frozenset[UpgradeState], now: datetime
) -> None:
    """``hasten`` it if none of its devices is in one of those states.

    Asked once for all devices that come to their ends together.
    """
    tx.gather(_hasten, (campaign_id, lasting), now, max)


def _hasten(tx: Tx, asked: Mapping[tuple[CampaignId, frozenset[UpgradeState]], datetime]) -> None:
    for (campaign_id, lasting), now in sorted(asked.items(), key=itemgetter(0)):
        if not tally.any_in(tx, campaign_id, lasting):
            hasten(tx, campaign_id, now)
            tx.hint("advance")


def end_closing(tx: Tx, campaign_id: CampaignId) -> None:
    """Its end has been carried to all its devices: there is nothing left to do."""
    tx.execute("update campaign set closing = null, due_at = null where id = ?", (campaign_id,))


def set_dates(tx: Tx, campaign_id: CampaignId, dates: Dates, due_at: datetime) -> None:
    """Replace all dates and windows; what devices are told changes with them."""
    tx.execute(
        "update campaign set start_date = ?, end_date = ?, download_after_date = ?,"
        " download_windows = ?, install_after_date = ?, install_windows = ?, due_at = ?,"
        " tag = tag + 1 where id = ?",
        (
            dates.start_date.isoformat(),
            dates.end_date.isoformat(),
            None if dates.download_after is None else dates.download_after.isoformat(),
            encode_windows(dates.download_windows),
            None if dates.install_after is None else dates.install_after.isoformat(),
            encode_windows(dates.install_windows),
            to_ms(due_at),
            campaign_id,
        ),
    )


# Claims ------------------------------------------------------------------------------------------


def any_due(tx: Tx, now: datetime) -> bool:
    """Whether a campaign is due, whoever holds it."""
    tx.settle(_hasten)
    return tx.one("select 1 from campaign where due_at <= ? limit 1", (to_ms(now),)) is not None


def claim(tx: Tx, owner: str, now: datetime, lease_until: datetime, limit: int) -> list[CampaignId]:
    """Take up to ``limit`` due campaigns that nobody holds, earliest first."""
    tx.settle(_hasten)
    skip = " for update skip locked" if tx.dialect == "postgres" else ""
    rows = tx.all(
        "update campaign set lease_owner = ?, lease_until = ? where id in (select id from campaign"
        " where due_at <= ? and (lease_until is null or lease_until <= ? or lease_owner = ?)"
        f" order by due_at limit ?{skip}) returning id",
        (owner, to_ms(lease_until), to_ms(now), to_ms(now), owner, limit),
    )
    return sorted(CampaignId(row[0]) for row in rows)


def still_held(tx: Tx, campaign_id: CampaignId, owner: str, now: datetime) -> bool:
    """Whether the caller's lease holds and the campaign is still due."""
    row = tx.one(
        "select 1 from campaign where id = ? and lease_owner = ? and lease_until > ?"
        " and due_at <= ?" + for_update(tx),
        (campaign_id, owner, to_ms(now), to_ms(now)),
    )
    return row is not None


def release(tx: Tx, campaign_ids: Iterable[CampaignId], owner: str) -> None:
    """Give claimed campaigns back."""
    tx.many(
        "update campaign set lease_owner = null, lease_until = null where id = ? and lease_owner = ?",
        [(campaign_id, owner) for campaign_id in campaign_ids],
    )


def overdue_ms(tx: Tx, now: datetime) -> int:
    """For how long the most overdue campaign has been waiting, in milliseconds."""
    row = tx.one("select min(due_at) from campaign where due_at <= ?", (to_ms(now),))
    return 0 if row is None or row[0] is None else to_ms(now) - int(row[0])


def open_with_package(tx: Tx, package_ids: list[PackageId]) -> bool:
    """Whether a campaign that is not over uses one of the packages."""
    running = sorted(BEFORE_START | {CampaignStatus.SCHEDULED})
    row = tx.one(
        f"select 1 from campaign where package_id in ({marks(len(package_ids))})"
        f" and status in ({marks(len(running))}) limit 1",
        [*package_ids, *running],
    )
    return row is not None
