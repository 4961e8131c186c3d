"""``verify`` proven: a database with a bit of everything is in order, and each check sees its fault."""

import pytest

from overair.core.attempt import AttemptEvent
from overair.core.licenses import MONTHLY
from overair.core.listener import ListenerRules
from overair.engine import licenses, listeners
from overair.store import Database, Tx
from overair.store.verify import CHECKS, verify
from tests.engine import pushed, test_slots
from tests.engine.world import World, imei

# What is broken by hand, for each check. The devices: 1 succeeded, 2 is at work, 3 waits, 4 failed
# once and waits, 5 was rejected, 6 has a licence and has been told of nothing, 7 is tried on after its
# campaign, 8 was told to come, 9 has a slot.
FAULTS = {
    "tally": "update tally set count = count + 1 where state = 'succeeded'",
    "one open action": (
        "insert into attempt (upgrade_id, campaign_id, device_id, package_id, artifact_sha256,"
        " file_name, number, state, offered_at) select upgrade_id, campaign_id, device_id,"
        " package_id, artifact_sha256, file_name, 2, 'offered', offered_at from attempt"
        " where state = 'retrieved'"
    ),
    "open action known": (
        "update device set open_attempt_id = null where open_attempt_id is not null"
    ),
    "open action open": "update attempt set state = 'failed' where state = 'retrieved'",
    "device in campaign": (
        "update device set open_upgrade_id = (select id from device_upgrade where state ="
        " 'succeeded') where imei = '{6}'"
    ),
    "campaign has device": "update device set open_upgrade_id = null where imei = '{3}'",
    "success has an action": "update attempt set state = 'expired' where state = 'finished'",
    "finished is success": "update device_upgrade set state = 'failed' where state = 'succeeded'",
    "attempts counted": "update device_upgrade set attempts = attempts + 1 where imei = '{4}'",
    "closed campaigns are closed": "update campaign set status = 'ended', closing = null",
    "campaigns go on": "update campaign set due_at = null",
    "queued devices are free": "update campaign set status = 'scheduled' where status = 'ended'",
    "pushed devices go on": "update device_upgrade set due_at = null where imei = '{8}'",
    "waiting devices go on": (
        "update device_upgrade set due_at = null, reason = 'notified' where imei = '{7}'"
    ),
    "slots are taken": "update slot_taken set share = share - 1",
    "slots are needed": "update device_upgrade set state = 'failed' where imei = '{9}'",
    "license pool": "update subscription set license_used_count = 7",
    "license bound": "update subscription set license_count = 0",
    "license account": (
        "update license set account_id = (select id from account order by id limit 1)"
    ),
    "licences are needed": "update subscription set purchase_type = 'TS-HFOTA-MRC'",
    "feedback counted": "delete from feedback",
    "versions shown": (
        "update device set installed_attempt_id = (select id from attempt where state ="
        " 'retrieved') where imei = '{1}'"
    ),
    "callback streams": "update callback_message set state = 'queued', due_at = null",
    "proof": "delete from package_proof",
}


def fill(tx: Tx) -> None:
    """A bit of everything."""
    w = World(tx)
    rules = ListenerRules(private_addresses=True, plain_http=True)
    listeners.register(tx, w.account, 2, "http://listener.example/", rules, w.now)
    w.add_devices(1, 2, 3, 4)
    w.add_devices(5, version="00")
    w.campaign(range(1, 6))
    w.succeed(1)
    w.begin(2)
    w.report(2, AttemptEvent.NOTE, None, "hello")
    w.fail(4)
    other = w.add_account("0000123456-00002", kind=MONTHLY, count=3)
    w.add_devices(6, account=other)
    licenses.assign_licenses(tx, other, [imei(6)], w.settings.limits, w.now)
    pushed.fleet(w, 7, 8)
    pushed.campaign(w, [7], end=0)
    pushed.pass_time(w, hours=17)
    pushed.campaign(w, [8], end=9)
    pushed.due(w)
    test_slots.fleet(w, 9)
    test_slots.campaign(w, 9, start=1, end=9)


def findings(tx: Tx) -> dict[str, int]:
    """Checks that do not hold, and how many rows contradict each."""
    return {check.name: len(found.rows) for check, found in verify(tx) if found is not None}


def test_every_check_is_proven() -> None:
    """Each check of verify has a fault below, and says what it checks."""
    assert set(FAULTS) == {check.name for check in CHECKS}
    assert len(CHECKS) == len({check.name for check in CHECKS})
    assert all(check.says for check in CHECKS)


@pytest.mark.parametrize("name", FAULTS)
async def test_a_broken_invariant_is_found(database: Database, name: str) -> None:
    """What is in order gives no finding; breaking one thing by hand is found under its name."""

    def tell(tx: Tx) -> None:
        fill(tx)
        assert findings(tx) == {}
        sql = FAULTS[name]
        for number in range(1, 10):
            sql = sql.replace(f"{{{number}}}", imei(number))
        assert tx.execute(sql) > 0
        found = findings(tx)
        assert found.get(name), f"not found; only {found}"

    await database.transact(tell)


async def test_a_second_success_is_found(database: Database) -> None:
    """An upgrade that two actions finished was counted twice somewhere."""

    def tell(tx: Tx) -> None:
        fill(tx)
        tx.execute(
            "insert into attempt (upgrade_id, campaign_id, device_id, package_id, artifact_sha256,"
            " file_name, number, state, offered_at) select upgrade_id, campaign_id, device_id,"
            " package_id, artifact_sha256, file_name, 2, state, offered_at from attempt"
            " where state = 'finished'"
        )
        assert "finished is success" in findings(tx)

    await database.transact(tell)


async def test_findings_are_bounded(database: Database) -> None:
    """However much is wrong, a finding shows some of it."""

    def tell(tx: Tx) -> None:
        w = World(tx)
        w.add_devices(*range(50))
        w.schedule([str(n) for n in range(20)])
        tx.execute("update device set open_upgrade_id = 1")
        assert findings(tx) == {"device in campaign": 20}

    await database.transact(tell)
