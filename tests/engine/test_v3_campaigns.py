"""Stories of what may be asked of v3 campaigns, and when: licences, lists, dates, stopping (lifecycle.md 5)."""

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest

from overair.core.campaign import CampaignStatus
from overair.core.errors import Refusal, RequestError
from overair.core.ids import CampaignId
from overair.core.licenses import EVENT, MONTHLY
from overair.core.upgrade import Reason, UpgradeState
from overair.engine import licenses, push, schedule
from overair.store import licenses as license_store
from overair.store import slots as store
from tests.engine.test_slots import campaign, come, fleet, job, place, starts, succeed, work
from tests.engine.world import World, hours, imei, names, story

S = CampaignStatus
U = UpgradeState
R = Reason
BOTH = f"{EVENT},{MONTHLY}"


def refused(refusal: Refusal) -> AbstractContextManager[Any]:
    return pytest.raises(RequestError, match=refusal.code)


def why(w: World, made: CampaignId, *numbers: int) -> list[Reason]:
    return [w.outcome(number, made)[1] for number in numbers]


def asked(w: World, *numbers: int, **changes: Any) -> CampaignId:
    """A campaign that the engine has not seen yet."""
    plain = {
        "api_version": 3,
        "package_name": "FW_Acme_X1_LWM2M",
        "protocols": frozenset({"LWM2M"}),
        "distribution_type": "LWM2M",
    }
    return w.schedule(numbers, **(plain | changes))


def licensed(w: World) -> list[str]:
    return [item.imei for item in license_store.page(w.tx, w.account, "", 100)]


def taken(w: World) -> int:
    """What is taken of all cells."""
    row = w.tx.one("select coalesce(sum(share), 0) from slot_taken")
    assert row is not None
    return int(row[0])


# Licences ----------------------------------------------------------------------------------------


@story
def test_licences_are_given_while_there_are_any(w: World) -> None:
    """In the order of the list, to devices that pass everything else, and to none twice."""
    w.account = w.add_account("0000123456-00007", kind=MONTHLY, count=3)
    fleet(w, 1, 2, 3, 4, 5)
    w.tx.execute("update device set version = '00' where imei = ?", (imei(2),))
    licenses.assign_licenses(w.tx, w.account, [imei(1)], w.settings.limits, w.now)
    plain = campaign(w, 1, 3, start=1)
    assert why(w, plain, 1, 3) == [R.SLOTTED, R.NO_LICENSE]
    w.stop(plain)
    made = campaign(w, 1, 2, 3, 4, 5, start=1, auto_assign_licenses=True)
    assert why(w, made, 1, 2, 3, 4, 5) == [
        R.SLOTTED,
        R.VERSION,
        R.SLOTTED,
        R.SLOTTED,
        R.NO_LICENSE,
    ]
    assert licensed(w) == [imei(number) for number in (1, 3, 4)]


@story
def test_licences_are_not_given_where_none_are_needed_or_there_is_no_pool(w: World) -> None:
    """Billed by event, a device needs none; of a pool beside that it gets one if there is one."""
    fleet(w, 1)
    campaign(w, 1, auto_assign_licenses=True)
    assert licensed(w) == []
    w.account = w.add_account("0000123456-00007", kind=BOTH, count=1)
    fleet(w, 11, 12)
    made = campaign(w, 11, 12, auto_assign_licenses=True)
    assert why(w, made, 11, 12) == [R.SLOTTED, R.SLOTTED]
    assert licensed(w) == [imei(11)]


@story
def test_a_licence_begins_the_monitoring(w: World) -> None:
    """It ends with it; a v3 campaign needs to know of its devices for as long as they are in it."""
    w.account = w.add_account("0000123456-00007", kind=BOTH, count=3)
    fleet(w, 1, 2)
    one, two = (w.device(number).id for number in (1, 2))

    def monitored() -> list[bool]:
        return [licenses.is_monitored(w.tx, device_id) for device_id in (one, two)]

    assert monitored() == [False, False]
    licenses.assign_licenses(w.tx, w.account, [imei(1)], w.settings.limits, w.now)
    assert monitored() == [True, False]
    licenses.remove_licenses(w.tx, w.account, [imei(1)], w.settings, w.now)
    assert monitored() == [False, False]
    made = campaign(w, 2)
    assert monitored() == [False, True]
    work(w)
    succeed(w, 2)
    w.wait(minutes=1)
    assert w.status(made) is S.ENDED
    assert monitored() == [False, False]


@story
def test_a_licence_that_goes_frees_the_slot(w: World) -> None:
    """The device leaves its campaign, and others may have its place."""
    w.account = w.add_account("0000123456-00007", kind=MONTHLY, count=3)
    fleet(w, 1, 2)
    made = campaign(w, 1, 2, start=1, auto_assign_licenses=True)
    before = taken(w)
    licenses.remove_licenses(w.tx, w.account, [imei(1)], w.settings, w.now)
    assert w.outcome(1, made) == (U.CANCELLED, R.LICENSE_REMOVED)
    assert place(w, 1, made) is None
    assert taken(w) == before // 2


# The list ----------------------------------------------------------------------------------------


@story
def test_the_list_changes_until_it_is_scheduled(w: World) -> None:
    """Each device's outcome is known at once; with its slots given the list stands."""
    fleet(w, 1, 2, 3)
    made = asked(w, 1, start=1)

    def change(type_: str, *numbers: int) -> list[bool]:
        present = w.get(made)
        changed = schedule.change_devices_now(
            w.tx, present, type_, names(numbers), w.settings, w.now
        )
        return [one.done for one in changed]

    assert change("append", 2, 99) == [True, False]
    assert change("remove", 2, 3) == [True, False]
    w.carry_on()
    assert w.status(made) is S.SCHEDULED
    for type_ in ("append", "remove"):
        with refused(Refusal.NOT_MODIFIABLE):
            change(type_, 2)


@story
def test_a_device_that_was_taken_out_does_not_come_back(w: World) -> None:
    """It fits, and would join by itself; whoever took it out may add it again."""
    fleet(w, 1, 2, 3)
    made = asked(w, 1, 2, 3, start=1, auto_add_devices=True)

    def change(type_: str, *numbers: int) -> None:
        schedule.change_devices_now(w.tx, w.get(made), type_, names(numbers), w.settings, w.now)

    change("remove", 2, 3)
    change("append", 3)
    change("remove", 3)
    change("append", 3)
    w.carry_on()
    assert w.status(made) is S.SCHEDULED
    fleet(w, 4)
    w.wait(minutes=5)
    assert w.members(made) == {*names([1, 3, 4])}
    # Into another one it may come.
    other = asked(w, 2, start=1)
    w.carry_on()
    assert w.members(other) == {*names([2])}


@story
def test_pilots_do_not_grow(w: World) -> None:
    """Adding devices does not take a campaign over the limit of a package that is not proven."""
    fleet(w, 1)
    made = asked(w, *range(1, 21), start=1)
    present = w.get(made)
    with refused(Refusal.PILOT_LIMIT):
        schedule.change_devices_now(w.tx, present, "append", names([21]), w.settings, w.now)


# Dates -------------------------------------------------------------------------------------------


@story
def test_dates_before_the_start_give_new_slots(w: World) -> None:
    """All of them, those that the old dates had are free again; a start today is on demand."""
    fleet(w, 1, 2, 3)
    made = campaign(w, 1, 2, 3, start=2, end=5)
    midnight = w.now.replace(hour=0, minute=0, second=0)
    day, slot = timedelta(days=1), timedelta(hours=4)
    assert starts(w, made, 1, 2, 3) == [midnight + 2 * day] * 2 + [midnight + 2 * day + slot]
    spent = taken(w)
    w.dates(made, end_date=w.day(6), download_windows=hours((12, 20)))
    assert w.status(made) is S.PRE_SCHEDULED
    w.carry_on()
    noon = midnight + 2 * day + 3 * slot
    assert (w.status(made), starts(w, made, 1, 2, 3)) == (S.SCHEDULED, [noon, noon, noon + slot])
    assert taken(w) == spent
    w.dates(made, start_date=w.day(0), download_windows=())
    w.carry_on()
    today = midnight + 2 * slot
    assert starts(w, made, 1, 2, 3) == [today, today, today + slot]
    work(w)
    assert w.outcome(1, made) == (U.PENDING, R.NOTIFIED)


@story
def test_a_later_end_makes_room(w: World) -> None:
    """Whoever had no slot looks again; whoever has one, or is at work, keeps it."""
    fleet(w, 1, 2, 3)
    made = campaign(w, 1, 2, 3, end=0, download_windows=hours((8, 12)))
    work(w)
    assert why(w, made, 1, 2, 3) == [R.NOTIFIED, R.NOTIFIED, R.CELL_FULL]
    before = starts(w, made, 1, 2)
    w.dates(made, end_date=w.day(2))
    work(w)
    assert why(w, made, 1, 2, 3) == [R.NOTIFIED, R.NOTIFIED, R.SLOTTED]
    assert starts(w, made, 1, 2) == before
    assert starts(w, made, 3) == [w.now.replace(hour=8, minute=0) + timedelta(days=1)]


@story
def test_an_earlier_end_takes_slots_away(w: World) -> None:
    """A slot after the new end is none, and is free; the device says that there is no room before it."""
    fleet(w, 1, 2, 3, 4, 5)
    made = campaign(w, 1, 2, 3, 4, 5, end=3, download_windows=hours((8, 12)))
    work(w)
    assert why(w, made, 1, 3, 5) == [R.NOTIFIED, R.SLOTTED, R.SLOTTED]
    spent = taken(w)
    w.dates(made, end_date=w.day(1))
    work(w)
    assert why(w, made, 1, 3, 5) == [R.NOTIFIED, R.SLOTTED, R.CELL_FULL]
    assert place(w, 5, made) is None
    assert taken(w) == spent // 5 * 4


@pytest.mark.parametrize(
    ("refusal", "changes"),
    [
        (Refusal.START_DATE, {"start_date": 1}),
        (Refusal.END_BEFORE_START, {"end_date": -1}),
        (Refusal.END_TOO_SOON, {"end_date": 0}),
        (Refusal.TIME_WINDOW_REMOVED, {"download_windows": ()}),
        (Refusal.TIME_WINDOW_REMOVED, {"download_windows": hours((0, 23))}),
        (Refusal.TIME_WINDOW_ADDED, {"download_windows": hours((0, 24), (4, 8))}),
    ],
)
@story
def test_a_running_campaign_keeps_its_dates(
    w: World, refusal: Refusal, changes: dict[str, Any]
) -> None:
    """Only its end may move, and not to within 24 hours (lifecycle.md 5.7)."""
    fleet(w, 1)
    made = campaign(w, 1, end=3, download_windows=hours((0, 24)))
    before = w.get(made)
    given = {
        name: w.day(value) if isinstance(value, int) else value for name, value in changes.items()
    }
    with pytest.raises(RequestError) as error:
        w.dates(made, **given)
    assert error.value.refusal is refusal
    assert w.get(made) == before


# Retries -----------------------------------------------------------------------------------------


@story
def test_a_device_that_failed_and_is_gone_is_tried_when_it_comes(w: World) -> None:
    """It has no slot for as long as it cannot be reached; then it has one, after its pause."""
    fleet(w, 1)
    made = campaign(w, 1, end=5)
    work(w)
    given = job(w, 1)
    assert given is not None
    push.executed(w.tx, given, w.settings, w.now)
    come(w, 1, registered=False)
    push.failed(w.tx, given, R.DOWNLOAD_FAILED, w.settings, w.now)
    assert (w.outcome(1, made), place(w, 1, made)) == ((U.PENDING, R.NOT_REACHABLE), None)
    w.wait(hours=6)
    work(w)
    assert place(w, 1, made) is None
    come(w, 1)
    work(w)
    assert w.outcome(1, made) == (U.PENDING, R.NOTIFIED)
    succeed(w, 1)


@story
def test_a_device_that_failed_where_there_is_no_room_waits_for_some(w: World) -> None:
    """It says so, and is tried when a place is given back."""
    fleet(w, 1, 2, 3)
    made = campaign(w, 1, 2, end=1, download_windows=hours((8, 12)))
    other = campaign(w, 3, end=1, download_windows=hours((8, 12)))
    fleet(w, 4)
    full = campaign(w, 4, end=1, download_windows=hours((8, 12)))
    work(w)
    assert starts(w, full, 4) == starts(w, other, 3)
    given = job(w, 1)
    assert given is not None
    push.executed(w.tx, given, w.settings, w.now)
    push.failed(w.tx, given, R.DOWNLOAD_FAILED, w.settings, w.now)
    assert (w.outcome(1, made), place(w, 1, made)) == ((U.PENDING, R.CELL_FULL), None)
    schedule.stop_campaign(w.tx, w.get(full), w.now, abortable=True)
    w.wait(hours=24)
    work(w)
    assert w.outcome(1, made) == (U.PENDING, R.NOTIFIED)


# Stopping ----------------------------------------------------------------------------------------


@story
def test_cancelled_before_its_start_date(w: World) -> None:
    """Whatever its status; its devices and its slots are free."""
    fleet(w, 1, 2)
    unseen = asked(w, 1, 2, start=1)
    w.stop(unseen)
    assert w.status(unseen) is S.CANCELLED
    made = campaign(w, 1, 2, start=1)
    assert taken(w) > 0
    w.stop(made)
    assert w.counts(made) == {U.CANCELLED: 2}
    assert taken(w) == 0
    assert store.places(w.tx, [w.upgrade(1, made).id]) == {}


@story
def test_not_stopped_after_its_start_date(w: World) -> None:
    """Unless the installation lets it: then it is aborted."""
    fleet(w, 1, 2)
    made = campaign(w, 1, 2)
    with refused(Refusal.NOT_CANCELLABLE):
        w.stop(made)
    work(w)
    succeed(w, 1)
    schedule.stop_campaign(w.tx, w.get(made), w.now, abortable=True)
    w.carry_on()
    assert (w.status(made), w.counts(made)) == (S.ABORTED, {U.SUCCEEDED: 1, U.ABORTED: 1})
    with refused(Refusal.NOT_CANCELLABLE):
        schedule.stop_campaign(w.tx, w.get(made), w.now, abortable=True)


@story
def test_what_was_asked_for_is_kept(w: World) -> None:
    """The flags of the request are the campaign's."""
    fleet(w, 1)
    made = w.get(asked(w, 1, auto_add_devices=True, start=1))
    assert (made.auto_assign_licenses, made.auto_add_devices) == (False, True)
    made = w.get(asked(w, 1, auto_assign_licenses=True, start=1))
    assert (made.auto_assign_licenses, made.auto_add_devices) == (True, False)
