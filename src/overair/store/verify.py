"""Recounts and invariants of a live database, one query each.

Every check gives rows that contradict it; a database in which all is well gives none. A query sees
one snapshot, so it may run beside a working server.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from overair.core.attempt import CLOSED, AttemptState
from overair.core.campaign import FINAL as CAMPAIGN_OVER
from overair.core.licenses import MONTHLY
from overair.core.upgrade import OPEN, UpgradeState
from overair.store import tally
from overair.store.database import Row, Tx

SHOWN = 20  # contradictions of one check that are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """An invariant: its name, what it says, and the query for its contradictions."""

    name: str
    says: str
    find: Callable[[Tx], list[Row]]


def _query(sql: str, *params: object) -> Callable[[Tx], list[Row]]:
    return lambda tx: tx.all(f"{sql} limit {SHOWN}", params)


def _in(states: frozenset[AttemptState] | frozenset[UpgradeState]) -> str:
    return ",".join(f"'{state.value}'" for state in sorted(states))


_CLOSED_ATTEMPT = _in(CLOSED)
_OPEN_UPGRADE = _in(OPEN)
_OVER = ",".join(f"'{status.value}'" for status in sorted(CAMPAIGN_OVER))

CHECKS: tuple[Check, ...] = (
    Check(
        name="tally",
        says="the count of a campaign's devices in a state equals a recount",
        find=_query(
            "select c.uuid, s.state, coalesce(t.n, 0), coalesce(r.n, 0) from campaign c"
            " join (select distinct campaign_id, state from tally union"
            " select distinct campaign_id, state from device_upgrade) s on s.campaign_id = c.id"
            " left join (select campaign_id, state, cast(sum(count) as bigint) as n from tally"
            " group by campaign_id, state) t on t.campaign_id = c.id and t.state = s.state"
            " left join (select campaign_id, state, count(*) as n from device_upgrade"
            " group by campaign_id, state) r on r.campaign_id = c.id and r.state = s.state"
            " where coalesce(t.n, 0) <> coalesce(r.n, 0)"
        ),
    ),
    Check(
        name="one open action",
        says="a device has at most one action that is not at its end",
        find=_query(
            "select device_id, count(*) from attempt"
            f" where state not in ({_CLOSED_ATTEMPT}) group by device_id having count(*) > 1"
        ),
    ),
    Check(
        name="open action known",
        says="an action that is not at its end is its device's open one",
        find=_query(
            "select t.id, t.state, d.imei from attempt t join device d on d.id = t.device_id"
            f" where t.state not in ({_CLOSED_ATTEMPT})"
            " and (d.open_attempt_id is null or d.open_attempt_id <> t.id)"
        ),
    ),
    Check(
        name="open action open",
        says="a device's open action is not at its end",
        find=_query(
            "select d.imei, t.id, t.state from device d join attempt t on t.id = d.open_attempt_id"
            f" where t.state in ({_CLOSED_ATTEMPT})"
        ),
    ),
    Check(
        name="device in campaign",
        says="a device that is taken by a campaign has an unfinished place in it",
        find=_query(
            "select d.imei, d.open_upgrade_id, u.state from device d"
            " left join device_upgrade u on u.id = d.open_upgrade_id"
            " where d.open_upgrade_id is not null"
            " and (u.id is null or u.state not in ('accepted','pending'))"
        ),
    ),
    Check(
        name="campaign has device",
        says="a device accepted in a campaign is taken by that campaign and no other",
        find=_query(
            "select u.id, u.imei, u.state from device_upgrade u"
            " left join device d on d.id = u.device_id"
            " where u.state in ('accepted','pending')"
            " and (d.id is null or d.open_upgrade_id is null or d.open_upgrade_id <> u.id)"
        ),
    ),
    Check(
        name="success has an action",
        says="a device that succeeded has an action that finished",
        find=_query(
            "select u.id, u.imei from device_upgrade u where u.state = 'succeeded' and not exists"
            " (select 1 from attempt t where t.upgrade_id = u.id and t.state = 'finished')"
        ),
    ),
    Check(
        name="finished is success",
        says="an action that finished made its device's upgrade succeed, once",
        find=_query(
            "select t.upgrade_id, u.state, count(*) from attempt t"
            " join device_upgrade u on u.id = t.upgrade_id where t.state = 'finished'"
            " group by t.upgrade_id, u.state having u.state <> 'succeeded' or count(*) > 1"
        ),
    ),
    Check(
        name="attempts counted",
        says="a device's attempts in a campaign are as many as were made, numbered from 1",
        find=_query(
            "select u.id, u.attempts, count(t.id), max(t.number) from device_upgrade u"
            " left join attempt t on t.upgrade_id = u.id group by u.id, u.attempts"
            " having u.attempts <> count(t.id) or u.attempts <> coalesce(max(t.number), 0)"
        ),
    ),
    Check(
        name="closed campaigns are closed",
        says="a campaign that is over, and has been carried to its devices, has none waiting",
        find=_query(
            "select c.uuid, u.imei, u.state from campaign c join device_upgrade u"
            f" on u.campaign_id = c.id where c.status in ({_OVER}) and c.closing is null"
            f" and u.state in ({_OPEN_UPGRADE})"
        ),
    ),
    Check(
        name="campaigns go on",
        says="a campaign that is not over will be looked at again",
        find=_query(
            f"select uuid, status from campaign where due_at is null"
            f" and (status not in ({_OVER}) or closing is not null)"
        ),
    ),
    Check(
        name="queued devices are free",
        says="a device that is tried on after its campaign is in no campaign that has it so",
        find=_query(
            "select u.id, u.imei, c.status from device_upgrade u"
            " join campaign c on c.id = u.campaign_id join device d on d.id = u.device_id"
            " where u.state = 'queued' and (c.status <> 'ended' or d.open_upgrade_id is not null)"
        ),
    ),
    Check(
        name="pushed devices go on",
        says="a device with an attempt under way that it was told of will be looked at again",
        find=_query(
            "select u.id, u.imei, t.id, t.state from attempt t"
            " join push_attempt p on p.attempt_id = t.id"
            " join device_upgrade u on u.id = t.upgrade_id"
            f" where t.state not in ({_CLOSED_ATTEMPT}) and u.state in ('pending','queued')"
            " and u.due_at is null"
        ),
    ),
    Check(
        name="waiting devices go on",
        says="a device over OMA-DM that is to be tried on has a date for it, or waits to be seen",
        find=_query(
            "select u.id, u.imei, u.state, u.reason from device_upgrade u"
            " join campaign c on c.id = u.campaign_id join package p on p.id = c.package_id"
            " where u.state in ('pending','queued') and u.due_at is null and p.protocol = 'OMADM'"
            " and u.reason <> 'retry_queued'"
        ),
    ),
    Check(
        name="slots are taken",
        says="what a slot's devices take of their cell is counted there",
        find=_query(
            "select s.cell, s.slot_key, sum(s.share), coalesce(t.share, 0) from slot s"
            " left join slot_taken t on t.cell = s.cell and t.slot_key = s.slot_key"
            " where not s.begun group by s.cell, s.slot_key, t.share"
            " having sum(s.share) > coalesce(t.share, 0)"
        ),
    ),
    Check(
        name="slots are needed",
        says="a device that is at its end waits for no slot",
        find=_query(
            "select u.id, u.imei, u.state, s.cell from slot s join device_upgrade u on u.id = s.upgrade_id"
            " where not s.begun and u.state in ('rejected','succeeded','failed','cancelled','aborted')"
        ),
    ),
    Check(
        name="license pool",
        says="the licences in use are as many as are assigned",
        find=_query(
            "select s.account_id, s.license_used_count, count(l.device_id) from subscription s"
            " left join license l on l.account_id = s.account_id"
            " group by s.account_id, s.license_used_count"
            " having s.license_used_count <> count(l.device_id)"
        ),
    ),
    Check(
        name="license bound",
        says="no more licences are there to stay than were bought",
        find=_query(
            "select s.account_id, s.license_count, count(l.device_id) from subscription s"
            " join license l on l.account_id = s.account_id and not l.ends_after_upgrade"
            " group by s.account_id, s.license_count having count(l.device_id) > s.license_count"
        ),
    ),
    Check(
        name="license account",
        says="a licence belongs to the account of its device",
        find=_query(
            "select l.device_id, l.account_id, d.account_id from license l"
            " join device d on d.id = l.device_id where l.account_id <> d.account_id"
        ),
    ),
    Check(
        name="licences are needed",
        says="nothing is scheduled on a device without a licence, if its account pays for no events",
        find=_query(
            "select u.id, u.imei, u.state from device_upgrade u"
            " join device d on d.id = u.device_id and d.open_attempt_id is null"
            " join subscription s on s.account_id = d.account_id"
            " left join license l on l.device_id = d.id"
            " where u.state in ('accepted','queued') and l.device_id is null"
            f" and s.purchase_type = '{MONTHLY}'"
        ),
    ),
    Check(
        name="feedback counted",
        says="the messages kept of an action are as many as were counted",
        find=_query(
            "select t.id, t.feedback_count, count(f.id) from attempt t"
            " left join feedback f on f.attempt_id = t.id group by t.id, t.feedback_count"
            " having t.feedback_count <> count(f.id)"
        ),
    ),
    Check(
        name="versions shown",
        says="a device's latest installation is an action of its own that finished",
        find=_query(
            "select d.imei, d.installed_attempt_id, t.state from device d"
            " left join attempt t on t.id = d.installed_attempt_id"
            " where d.installed_attempt_id is not null"
            " and (t.id is null or t.device_id <> d.id or t.state <> 'finished')"
        ),
    ),
    Check(
        name="callback streams",
        says="of each stream of callbacks that waits exactly one message, the first, is due",
        find=_query(
            "select account_id, api_version, stream, count(due_at), count(*)"
            " from callback_message where state = 'queued'"
            " group by account_id, api_version, stream having count(due_at) <> 1"
        ),
    ),
    Check(
        name="proof",
        says="outcomes counted towards a package's proof, until it is proven, equal a recount",
        find=_query(
            "select x.a, x.k, p.succeeded, p.failed, coalesce(r.s, 0),"
            " coalesce(r.f, 0) from (select account_id as a, package_id as k from package_proof"
            " union select account_id, package_id from campaign) x"
            " left join package_proof p on p.account_id = x.a and p.package_id = x.k"
            " left join (select c.account_id as a, c.package_id as k,"
            " cast(sum(case when u.state = 'succeeded' then 1 else 0 end) as bigint) as s,"
            " cast(sum(case when u.state = 'failed' then 1 else 0 end) as bigint) as f"
            " from device_upgrade u join campaign c on c.id = u.campaign_id"
            " group by c.account_id, c.package_id) r on r.a = x.a and r.k = x.k"
            " where p.proven_at is null"
            " and (coalesce(p.succeeded, 0) <> coalesce(r.s, 0)"
            " or coalesce(p.failed, 0) <> coalesce(r.f, 0))"
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A check that does not hold, with some of the rows that contradict it."""

    check: str
    says: str
    rows: tuple[Row, ...]


def verify(tx: Tx) -> Iterator[tuple[Check, Finding | None]]:
    """Run every check, in turn; None where it holds."""
    tally.settle(tx)
    for check in CHECKS:
        rows = check.find(tx)
        yield (
            check,
            Finding(check=check.name, says=check.says, rows=tuple(rows)) if rows else None,
        )
