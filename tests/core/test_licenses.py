"""Who gets a licence, whose goes, and what is said of it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.core.file_names import (
    MAX_CHARS,
    FileNameError,
    clean_text,
    config_file_name,
    stored_name,
)
from overair.core.history import history_start
from overair.core.ids import DeviceId, UpgradeId
from overair.core.license_words import REASON, license_v1, license_v2, license_v3
from overair.core.licenses import (
    EVENT,
    MONTHLY,
    LicensedDevice,
    LicenseOutcome,
    LicenseTermsError,
    Room,
    bills_events,
    check_terms,
    choose_losers,
    has_pool,
    license_needed,
    once_each,
    parse_purchase_type,
    plan_assignment,
    plan_removal,
)

Became = LicenseOutcome
BOTH = f"{EVENT},{MONTHLY}"


@st.composite
def fleets(draw: st.DrawFn) -> dict[str, LicensedDevice]:
    flags = st.booleans()
    return {
        str(n): LicensedDevice(
            id=DeviceId(n),
            eligible=draw(flags),
            licensed=draw(flags),
            ending=draw(flags),
            used=draw(flags),
            open_upgrade_id=UpgradeId(n) if draw(flags) else None,
            started=draw(flags),
            at_work=draw(flags),
        )
        for n in range(draw(st.integers(0, 6)))
    }


REQUESTS = st.lists(st.integers(0, 8).map(str), max_size=12)


@given(
    REQUESTS,
    fleets(),
    st.none() | st.tuples(st.integers(0, 5), st.integers(0, 3)).map(lambda n: room(*n)),
)
def test_never_more_are_assigned_than_there_is_room_for(
    imeis: list[str], fleet: dict[str, LicensedDevice], room: Room | None
) -> None:
    """Each IMEI gets an answer in order; licences go to eligible devices without, once each."""
    plan = plan_assignment(imeis, fleet, room)
    assert [imei for imei, _ in plan.outcomes] == imeis
    got = [*plan.changed, *plan.kept]
    assert len({device.id for device in got}) == len(got)
    assert all(device.eligible and not device.licensed for device in plan.changed)
    assert all(device.eligible and device.licensed and device.ending for device in plan.kept)
    if room is None:
        assert not got
        return
    assert len(plan.changed) <= room.free
    assert len(got) <= room.lasting
    assert [o for _, o in plan.outcomes].count(Became.ASSIGNED) == len(got)
    if Became.POOL_EMPTY in [o for _, o in plan.outcomes]:
        assert len(plan.changed) == room.free or len(got) == room.lasting
    assert plan_assignment(imeis, fleet, room) == plan


def room(free: int, ending: int = 0) -> Room:
    """So many licences to give, and so many that end."""
    return Room(free=free, lasting=free + ending)


def test_what_is_to_end_may_stay_if_there_is_room() -> None:
    """It is the device's already, so it takes nothing from what is free, and is one that lasts."""
    fleet = {
        "bare": device(1),
        "ending": device(2, licensed=True, ending=True),
        "other": device(3, licensed=True, ending=True),
        "lasting": device(4, licensed=True),
    }
    asked = ["ending", "ending", "lasting", "other", "bare"]
    full = plan_assignment(asked, fleet, Room(free=0, lasting=1))
    assert [outcome for _, outcome in full.outcomes] == [
        Became.ASSIGNED,
        Became.PREEXISTING,
        Became.PREEXISTING,
        Became.POOL_EMPTY,
        Became.POOL_EMPTY,
    ]
    assert (full.changed, full.kept) == ((), (fleet["ending"],))
    more = plan_assignment(asked, fleet, Room(free=1, lasting=3))
    assert more.changed == (fleet["bare"],)
    assert more.kept == (fleet["ending"], fleet["other"])


def test_an_empty_pool_refuses_who_comes_too_late() -> None:
    """First come, first served, in the order of the request."""
    bare = {
        imei: LicensedDevice(
            id=DeviceId(n),
            eligible=imei != "c",
            licensed=False,
            ending=False,
            used=False,
            open_upgrade_id=None,
            started=False,
            at_work=False,
        )
        for n, imei in enumerate("abc")
    }
    plan = plan_assignment(["c", "b", "b", "a"], bare, room(1))
    assert [outcome for _, outcome in plan.outcomes] == [
        Became.NOT_ELIGIBLE,
        Became.ASSIGNED,
        Became.PREEXISTING,
        Became.POOL_EMPTY,
    ]
    assert plan.changed == (bare["b"],)


@given(REQUESTS, fleets())
def test_only_unused_licences_go(imeis: list[str], fleet: dict[str, LicensedDevice]) -> None:
    """A licence that was used, or is in use, stays; what is taken was there."""
    plan = plan_removal(imeis, fleet)
    assert [imei for imei, _ in plan.outcomes] == imeis
    assert [o for _, o in plan.outcomes].count(Became.REMOVED) == len(plan.changed)
    assert all(
        device.licensed and not device.used and not device.in_progress for device in plan.changed
    )


@given(
    st.integers(0, 8),
    st.lists(st.integers(1, 9).map(DeviceId), unique=True),
    st.permutations([DeviceId(n) for n in range(1, 10)]),
)
def test_losers_come_from_the_list_and_then_by_age(
    excess: int, listed: list[DeviceId], oldest: list[DeviceId]
) -> None:
    """As many as are too many, listed ones first, each once."""
    chosen = choose_losers(excess, listed, oldest)
    assert len(chosen) == len(set(chosen)) == excess
    assert chosen == [*listed, *(d for d in oldest if d not in listed)][:excess]


def test_a_pool_can_shrink_by_no_more_than_there_is() -> None:
    """Who is chosen has a licence to lose."""
    assert choose_losers(5, [DeviceId(2)], [DeviceId(1), DeviceId(2)]) == [2, 1]


def test_devices_are_listed_once() -> None:
    """Where they were first seen."""
    assert once_each(["b", "a", "b"]) == ["b", "a"]


def test_purchase_types() -> None:
    """Both kinds are written in one order, whatever was typed; anything else is refused."""
    assert parse_purchase_type(f" {MONTHLY.lower()} ,{EVENT}") == BOTH
    assert [license_needed(kind) for kind in (MONTHLY, EVENT, BOTH)] == [True, False, False]
    assert [has_pool(kind) for kind in (MONTHLY, EVENT, BOTH)] == [True, False, True]
    assert [bills_events(kind) for kind in (MONTHLY, EVENT, BOTH)] == [False, True, True]
    assert check_terms(EVENT, 0) == EVENT
    for kind, count in (("", 0), ("MRC", 0), (f"{MONTHLY},", 1), (EVENT, 1), (MONTHLY, -1)):
        with pytest.raises(LicenseTermsError):
            check_terms(kind, count)


def test_purchase_types_are_named_as_published() -> None:
    """Monthly licences and events have the vendor's names (``lifecycle.md`` 6.1)."""
    assert (MONTHLY, EVENT) == ("TS-HFOTA-MRC", "TS-HFOTA-EVNT")


@pytest.mark.parametrize(
    ("kind", "count", "why"),
    [
        (
            "MRC",
            0,
            "a purchase type is TS-HFOTA-EVNT, TS-HFOTA-MRC or both with a comma, not 'MRC'",
        ),
        (MONTHLY, -1, "the number of licences is 0 or more"),
        (EVENT, 1, "TS-HFOTA-EVNT has no pool of licences: their number is 0"),
    ],
)
def test_who_sells_what_cannot_be_is_told_why(kind: str, count: int, why: str) -> None:
    """A subscription that nobody can have bought is refused with the reason."""
    with pytest.raises(LicenseTermsError) as error:
        check_terms(kind, count)
    assert str(error.value) == why


def device(number: int, **known: bool) -> LicensedDevice:
    """One that may have a licence, and has none, but for what is said of it."""
    says = {"eligible": True, "licensed": False, "ending": False, "used": False}
    says |= {"started": False, "at_work": False}
    return LicensedDevice(id=DeviceId(number), open_upgrade_id=None, **(says | known))


def test_who_is_unknown_gets_no_licence() -> None:
    """A device that the account does not have is not found, and takes nothing from the pool."""
    plan = plan_assignment(["nobody", "a"], {"a": device(1)}, room(1))
    assert plan.outcomes == (("nobody", Became.NOT_FOUND), ("a", Became.ASSIGNED))


def test_each_removal_has_its_outcome() -> None:
    """What was never there, given back, used, under way, or at work, is not taken; the rest is."""
    fleet = {
        "bare": device(1),
        "unused": device(2, licensed=True),
        "used": device(3, licensed=True, used=True),
        "offered": device(4, licensed=True, started=True),
        "at work": device(5, licensed=True, at_work=True),
        "other": device(6, licensed=True),
    }
    plan = plan_removal(["nobody", *fleet, "unused"], fleet)
    assert plan.outcomes == (
        ("nobody", Became.NOT_FOUND),
        ("bare", Became.NOT_LICENSED),
        ("unused", Became.REMOVED),
        ("used", Became.IN_USE),
        ("offered", Became.IN_USE),
        ("at work", Became.IN_USE),
        ("other", Became.REMOVED),
        ("unused", Became.NOT_LICENSED),
    )
    assert plan.changed == (fleet["unused"], fleet["other"])


def test_every_outcome_has_its_words() -> None:
    """v1 and v3 say which request it was, v2 only whether it worked (API 4.3, 5.3)."""
    assert REASON.keys() == set(LicenseOutcome)
    assert license_v1("Assign", Became.ASSIGNED) == ("LicenseAssignSuccess", "Success")
    assert license_v1("Assign", Became.PREEXISTING) == (
        "LicenseAssignSuccess",
        "Device license preexisting",
    )
    assert license_v1("Assign", Became.NOT_ELIGIBLE) == (
        "LicenseAssignFailed",
        "Device not eligible for service",
    )
    assert license_v1("Assign", Became.POOL_EMPTY) == (
        "LicenseAssignFailed",
        "License not available",
    )
    assert license_v1("Remove", Became.IN_USE) == (
        "LicenseRemoveFailed",
        "License removal not allowed for devices that have ever upgraded firmware.",
    )
    assert license_v3("Remove", Became.NOT_FOUND) == ("LicenseRemoveFailed", "Device Not Found.")
    assert license_v2("Remove", Became.REMOVED) == ("Success", "Success")
    assert license_v2("Remove", Became.NOT_LICENSED) == ("Failure", "No license attached to device")
    assert license_v2("Assign", Became.NOT_FOUND) == ("Failure", "Device does not exist.")
    assert license_v2("Remove", Became.NOT_FOUND) == ("Failure", "Device Not Found.")


@given(st.text(), st.text(max_size=30), st.text(max_size=200))
def test_whatever_is_uploaded_gets_a_safe_name_or_none(make: str, model: str, name: str) -> None:
    """No slash, no control character, at most 100 characters, and the ending is kept."""
    try:
        made = config_file_name(make, model, name)
    except FileNameError:
        return
    assert len(made) <= MAX_CHARS
    assert made.isprintable()
    assert "/" not in made
    assert "\\" not in made
    assert made.startswith("configfile-")
    made.encode()


def test_file_names() -> None:
    """The published example; a path's last component; a long name loses its middle."""
    published = "configfile-Verizon_VZW1_hello-world.txt"
    assert config_file_name("Verizon", "VZW1", "hello-world.txt") == published
    assert config_file_name("Veri zon", " VZW 1", "/tmp/a\\b/hello-world.txt") == published
    long = stored_name("x" * 200 + ".tar.swu")
    assert (len(long), long[-8:]) == (100, "xxxx.swu")
    assert stored_name("x" * 90 + "." + "y" * 90) == ("x" * 90 + "." + "y" * 9)
    for bad in ("", "/", "..", "a/", "\x00\x1f"):
        with pytest.raises(FileNameError):
            stored_name(bad)
    with pytest.raises(FileNameError):
        config_file_name("m" * 60, "n" * 40, "f.txt")


def test_texts_of_an_upload() -> None:
    """A version or path is there, short, and can be printed."""
    assert clean_text("fileVersion", " 1.0 beta ") == "1.0 beta"
    for bad in ("", " ", "a\tb", "x" * 256, "\ud800"):
        with pytest.raises(FileNameError, match="fileVersion"):
            clean_text("fileVersion", bad)


@pytest.mark.parametrize(
    ("month", "day", "start"),
    [
        (8, 31, datetime(2026, 2, 28, tzinfo=UTC)),
        (3, 2, datetime(2025, 9, 2, tzinfo=UTC)),
        (6, 30, datetime(2025, 12, 30, tzinfo=UTC)),
        (12, 1, datetime(2026, 6, 1, tzinfo=UTC)),
    ],
)
def test_history_reaches_back_whole_months(month: int, day: int, start: datetime) -> None:
    """Six months back is the same day, or the last one that there was."""
    assert history_start(datetime(2026, month, day, tzinfo=UTC), 6) == start
