"""A witness inside a simulated database: what was written, in order, whoever wrote it.

Triggers write down each change that somebody may have to answer for: an attempt begun and what was known
when it was, each move of an attempt, a device and a campaign, licences, and messages for listeners. They
are in the writer's own transaction, so what was undone was never seen, and what was committed always is.
SQLite only: no installation has them.

Not in here: what is right (``simulation/invariants``).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from overair.store.database import Tx

LATEST_CHECK_IN: Final = "select coalesce(max(id), 0) from check_in"

# The terms of a campaign c with a package p.
_TERMS: Final = """'version', c.api_version, 'protocol', p.protocol, 'status', c.status,
        'start_date', c.start_date, 'end_date', c.end_date,
        'download_after', c.download_after_date, 'download', c.download_windows,
        'install_after', c.install_after_date, 'install', c.install_windows"""

_TABLE: Final = """create table witness (
    id integer primary key autoincrement,
    what text not null,
    row_id bigint not null,
    old text not null default '',
    new text not null default ''
)"""

_BEGUN: Final = f"""create trigger witness_begun after insert on attempt begin
    insert into witness (what, row_id, new)
    select 'begun', new.id, json_object(
        'upgrade', u.id, 'campaign', c.id, 'device', d.id, 'imei', d.imei, 'number', new.number,
        'at', new.offered_at, 'state', u.state, 'attempts', u.attempts,
        'not_before', u.not_before, 'package', c.package_id, {_TERMS},
        'terms', coalesce((select purchase_type from subscription s
            where s.account_id = c.account_id), ''),
        'licensed', exists (select 1 from license l where l.device_id = d.id),
        'open', (select count(*) from attempt t where t.device_id = d.id and t.id <> new.id
            and t.state not in ('finished', 'failed', 'cancelled', 'expired')),
        'failed_at', (select max(t.closed_at) from attempt t where t.upgrade_id = u.id
            and t.id <> new.id and t.state = 'failed'),
        'cell', (select cell from slot s where s.upgrade_id = u.id),
        'slot', (select slot_key from slot s where s.upgrade_id = u.id),
        'share', (select share from slot s where s.upgrade_id = u.id),
        'starts_at', (select starts_at from slot s where s.upgrade_id = u.id),
        'ends_at', (select ends_at from slot s where s.upgrade_id = u.id),
        'proven', exists (select 1 from package_proof f where f.account_id = c.account_id
            and f.package_id = c.package_id and f.proven_at is not null),
        'members', (select count(*) from device_upgrade m where m.campaign_id = c.id
            and m.state <> 'rejected'))
    from device_upgrade u, campaign c, device d, package p
    where u.id = new.upgrade_id and c.id = new.campaign_id and d.id = new.device_id
        and p.id = c.package_id;
end"""

# Whether somebody listens to what becomes of a campaign c.
_TOLD: Final = """exists (select 1 from callback_listener l where l.account_id = c.account_id
    and l.api_version = c.api_version and l.url <> '')"""

_TRIGGERS: Final = (
    _TABLE,
    _BEGUN,
    """create trigger witness_attempt after update of state on attempt
    when old.state <> new.state begin
        insert into witness (what, row_id, old, new) values ('attempt', new.id, old.state, new.state);
    end""",
    f"""create trigger witness_upgrade after update of state, reason on device_upgrade
    when old.state <> new.state or old.reason <> new.reason begin
        insert into witness (what, row_id, old, new)
        select 'upgrade', new.id, old.state, json_object(
            'state', new.state, 'reason', new.reason, 'campaign', c.id, 'uuid', c.uuid,
            'imei', new.imei, 'status', c.status, 'version', c.api_version, 'told', {_TOLD},
            'paid', exists (select 1 from subscription s where s.account_id = c.account_id
                and s.purchase_type like '%EVNT%')
                and not exists (select 1 from license l where l.device_id = new.device_id),
            'fits', exists (select 1 from device d, package p where d.id = new.device_id
                and p.id = c.package_id and d.make = p.make and d.model = p.model
                and d.protocol = p.protocol
                and (c.kind <> 'software' or d.version = p.from_version)))
        from campaign c where c.id = new.campaign_id;
    end""",
    f"""create trigger witness_campaign after update of status on campaign
    when old.status <> new.status begin
        insert into witness (what, row_id, old, new)
        select 'campaign', new.id, old.status, json_object(
            'status', new.status, 'uuid', new.uuid, 'version', new.api_version, 'told', {_TOLD},
            'at', new.ended_at, 'end_date', new.end_date,
            'left', (select count(*) from device_upgrade u where u.campaign_id = new.id
                and u.state in ('requested', 'accepted', 'pending')))
        from (select 1), (select new.account_id as account_id, new.api_version as api_version) c;
    end""",
    """create trigger witness_lease after update of lease_owner on campaign
    when old.lease_owner <> new.lease_owner begin
        insert into witness (what, row_id, old, new)
        values ('lease', new.id, old.lease_owner, new.lease_owner);
    end""",
    """create trigger witness_letter_lease after update of lease_owner on callback_message
    when old.lease_owner <> new.lease_owner begin
        insert into witness (what, row_id, old, new)
        values ('lease', new.id, old.lease_owner, new.lease_owner);
    end""",
    """create trigger witness_licensed after insert on license begin
        insert into witness (what, row_id, new)
        select 'license', id, imei from device where id = new.device_id;
    end""",
    """create trigger witness_kept after update of ends_after_upgrade on license
    when old.ends_after_upgrade and not new.ends_after_upgrade begin
        insert into witness (what, row_id, new)
        select 'license', id, imei from device where id = new.device_id;
    end""",
    """create trigger witness_unlicensed after delete on license begin
        insert into witness (what, row_id, old)
        select 'license', id, imei from device where id = old.device_id;
    end""",
    """create trigger witness_member after insert on device_upgrade begin
        insert into witness (what, row_id, old, new)
        select 'member', new.id, uuid, new.imei from campaign where id = new.campaign_id;
    end""",
    """create trigger witness_bill after insert on billing_event when new.kind = 'upgrade' begin
        insert into witness (what, row_id, new)
        select 'bill', new.id, imei from device where id = new.device_id;
    end""",
    """create trigger witness_listener after insert on callback_listener begin
        insert into witness (what, row_id, old, new)
        values ('listener', new.generation, new.api_version, new.url);
    end""",
    """create trigger witness_listener_change after update of url, generation on callback_listener begin
        insert into witness (what, row_id, old, new)
        values ('listener', new.generation, new.api_version, new.url);
    end""",
    """create trigger witness_message after insert on callback_message begin
        insert into witness (what, row_id, old, new)
        values ('message', new.id, new.api_version || '/' || new.generation || '/' || new.stream,
            new.body);
    end""",
    """create trigger witness_delivery after update of state on callback_message
    when old.state <> new.state begin
        insert into witness (what, row_id, old, new)
        values ('delivery', new.id, old.state, new.state);
    end""",
)


class Seen(NamedTuple):
    """A change: of what, of which row, from what to what."""

    id: int
    what: str
    row_id: int
    old: str
    new: str

    @property
    def facts(self) -> dict[str, Any]:
        """What was known at that moment."""
        found: dict[str, Any] = json.loads(self.new)
        return found


def install(tx: Tx) -> None:
    """Put the witness into a database."""
    for statement in _TRIGGERS:
        tx.execute(statement)


def place(tx: Tx, zones: Mapping[str, str]) -> None:
    """Say in which time zones devices are, by their IMEI: before anybody looks."""
    tx.many("update device set time_zone = ? where imei = ?", [(z, i) for i, z in zones.items()])


def since(tx: Tx, after: int) -> list[Seen]:
    """What was written after that one."""
    return [
        Seen(*row)
        for row in tx.all(
            "select id, what, row_id, old, new from witness where id > ? order by id", (after,)
        )
    ]


_NOT_SHOWN: Final = frozenset({"witness", "sqlite_sequence"})


def content(tx: Tx) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Everything that the database holds, table by table."""
    names = tx.all("select name from sqlite_master where type = 'table' order by name")
    for (name,) in names:
        if name not in _NOT_SHOWN:
            yield name, tx.all(f"select * from {name} order by 1")


class Held(NamedTuple):
    """What is held of a device over HTTP that asks: its open attempt, how that is, and the terms of the
    campaign that it is in; and the newest attempt of all."""

    newest: int
    attempt: int | None
    state: str | None
    terms: str | None

    @property
    def facts(self) -> dict[str, Any]:
        """The terms, and how it is with the device in the campaign."""
        found: dict[str, Any] = json.loads(self.terms or "{}")
        return found


def held(tx: Tx, imei: str) -> Held:
    """What is held at this moment."""
    row = tx.one(
        "select (select coalesce(max(id), 0) from attempt), t.id, t.state, case when u.id is not null"
        " then json_object('imei', d.imei, 'state', u.state, 'not_before', u.not_before,"
        " 'attempts', u.attempts, 'paid', (select purchase_type from subscription s"
        " where s.account_id = c.account_id),"
        f" 'licensed', exists (select 1 from license l where l.device_id = d.id), {_TERMS}) end"
        " from device d left join attempt t on t.id = d.open_attempt_id"
        " left join device_upgrade u on u.id = coalesce(t.upgrade_id, d.open_upgrade_id)"
        " left join campaign c on c.id = u.campaign_id left join package p on p.id = c.package_id"
        " where d.imei = ?",
        (imei,),
    )
    return Held(*row) if row is not None else Held(0, None, None, None)


def waiting(tx: Tx, imei: str) -> list[tuple[str, int | None, int | None]]:
    """Where a device over OMA-DM is queued in v1, when it is due there, and until when it pauses.

    Nowhere while it has an attempt under way, or would need a licence that it has not.
    """
    return tx.all(
        "select c.uuid, u.due_at, u.not_before from device d"
        " join device_upgrade u on u.device_id = d.id and u.state = 'queued'"
        " join campaign c on c.id = u.campaign_id and c.api_version = 1"
        " where d.imei = ? and d.protocol = 'OMADM' and d.open_attempt_id is null"
        " and exists (select 1 from license l where l.device_id = d.id)",
        (imei,),
    )


def begun_since(tx: Tx, imei: str, attempt_id: int) -> bool:
    """Whether an attempt of the device has begun after that one."""
    return bool(
        tx.all(
            "select 1 from attempt t join device d on d.id = t.device_id"
            " where d.imei = ? and t.id > ?",
            (imei, attempt_id),
        )
    )


def contacts(tx: Tx) -> dict[str, int]:
    """How often each device has checked in."""
    return dict(
        tx.all(
            "select d.imei, count(*) from check_in c join device d on d.id = c.device_id"
            " group by d.imei"
        )
    )


# What is there at the end ------------------------------------------------------------------------


class Member(NamedTuple):
    """A device in a campaign."""

    uuid: str
    version: int
    status: str
    closing: str | None
    protocol: str
    kind: str
    to_version: str
    imei: str
    state: str
    reason: str
    attempts: int


def members(tx: Tx) -> list[Member]:
    """Every device of every campaign."""
    return [
        Member(*row)
        for row in tx.all(
            "select c.uuid, c.api_version, c.status, c.closing, p.protocol, c.kind, p.to_version,"
            " u.imei, u.state, u.reason, u.attempts from device_upgrade u"
            " join campaign c on c.id = u.campaign_id join package p on p.id = c.package_id"
            " order by c.id, u.imei"
        )
    ]


def campaigns(tx: Tx) -> dict[str, tuple[str, str | None, str]]:
    """Status, closing and end date of every campaign, by its UUID."""
    return {
        uuid: (status, closing, end_date)
        for uuid, status, closing, end_date in tx.all(
            "select uuid, status, closing, end_date from campaign order by id"
        )
    }


class Try(NamedTuple):
    """An attempt."""

    id: int
    imei: str
    state: str
    protocol: str
    uuid: str
    upgrade_state: str
    feedback: int
    closed_at: int | None
    to_version: str


def tries(tx: Tx) -> dict[int, Try]:
    """Every attempt."""
    return {
        row[0]: Try(*row)
        for row in tx.all(
            "select t.id, d.imei, t.state, p.protocol, c.uuid, u.state, t.feedback_count, t.closed_at,"
            " p.to_version from attempt t join device d on d.id = t.device_id"
            " join campaign c on c.id = t.campaign_id join package p on p.id = t.package_id"
            " join device_upgrade u on u.id = t.upgrade_id order by t.id"
        )
    }


def unanswered(tx: Tx) -> list[tuple[int, str, int]]:
    """Attempts of v1 over OMA-DM that were given up because nobody came: which, whose, after how many ms."""
    return tx.all(
        "select t.id, d.imei, t.closed_at - t.offered_at from attempt t"
        " join device d on d.id = t.device_id join package p on p.id = t.package_id"
        " join campaign c on c.id = t.campaign_id and c.api_version = 1"
        " where p.protocol = 'OMADM' and t.state = 'expired' and t.reason = 'no_response'"
        " order by t.id"
    )


def said(tx: Tx) -> set[tuple[int, str, str]]:
    """What devices said of their attempts: attempt, execution, result."""
    return set(tx.all("select attempt_id, execution, finished from feedback"))


def correlators(tx: Tx) -> dict[str, int]:
    """By what name devices over OMA-DM know which attempt."""
    return dict(tx.all("select correlator, attempt_id from push_attempt"))


def codes(tx: Tx) -> set[tuple[int, int]]:
    """Which codes devices said of which attempts."""
    return set(tx.all("select attempt_id, code from feedback where code is not null"))


class Letter(NamedTuple):
    """A message for a listener."""

    id: int
    stream: str
    version: int
    generation: int
    state: str
    attempts: int
    outdated: bool


def letters(tx: Tx) -> list[Letter]:
    """Every message for a listener, in the order in which they were written."""
    return [
        Letter(*row)
        for row in tx.all(
            "select m.id, m.stream, m.api_version, m.generation, m.state, m.attempts,"
            " l.generation <> m.generation or l.url = '' from callback_message m"
            " join callback_listener l on l.account_id = m.account_id"
            " and l.api_version = m.api_version order by m.id"
        )
    ]


def state(tx: Tx, uuid: str, imei: str) -> str:
    """What a device is in a campaign; empty: it is not in it."""
    row = tx.one(
        "select u.state from device_upgrade u join campaign c on c.id = u.campaign_id"
        " where c.uuid = ? and u.imei = ?",
        (uuid, imei),
    )
    return "" if row is None else str(row[0])


def licensed(tx: Tx) -> set[str]:
    """Which devices have a licence."""
    return {
        imei
        for (imei,) in tx.all("select imei from device where id in (select device_id from license)")
    }


def versions(tx: Tx) -> dict[str, str]:
    """What each device runs, as the server knows it."""
    return dict(tx.all("select imei, version from device"))
