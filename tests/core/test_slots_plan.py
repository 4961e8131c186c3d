"""Who gets which slot, and why somebody gets none."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from overair.core.slots.grid import Calendar
from overair.core.slots.occupancy import MOST, WHOLE, Held, Limits, Occupancy, Taken
from overair.core.slots.planner import Device, Outcome, Placed, Unplaced, Why, plan
from overair.core.slots.radio import UNKNOWN_CELL, CellKey, Reach, Signal
from overair.core.window import Window
from tests.core.slots_world import (
    CELLS,
    DAY,
    calendars,
    devices_of,
    instants,
    limits,
    plan_slowly,
    share_of,
    utc,
)

CELL = CellKey("311-480-84281345")
CALENDAR = Calendar(start_date=DAY, end_date=DAY + timedelta(days=1), windows=(Window(0, 8),))
NOW = utc("2026-03-27 12:00")
Row = tuple[CellKey, int]

takings = st.lists(
    st.builds(
        Taken,
        st.sampled_from(CELLS),
        st.integers(-3, 20).map(lambda n: 29_577_600 + n * 240),
        st.integers(1, WHOLE),
    ),
    max_size=6,
)


def fleet(count: int, signal: Signal = Signal.FAIR, first: int = 0) -> list[Device]:
    """Devices in one cell that can be reached."""
    return [
        Device(imei=f"99{number:013d}", cell=CELL, signal=signal)
        for number in range(first, first + count)
    ]


def starts(outcomes: dict[str, Outcome]) -> dict[str, int]:
    """How many begin when."""
    return dict(
        Counter(f"{o.slot.start:%d %H:%M}" for o in outcomes.values() if isinstance(o, Placed))
    )


def only(outcomes: dict[str, Outcome]) -> Outcome:
    """The outcome of one device."""
    (outcome,) = outcomes.values()
    return outcome


def held(devices: list[Device], outcomes: dict[str, Outcome]) -> list[Device]:
    """The devices as they come to be planned again, with the places that they have."""
    return [
        replace(device, held=outcome.held(device.cell) if isinstance(outcome, Placed) else None)
        for device in devices
        for outcome in [outcomes[device.imei]]
    ]


def test_a_cell_fills_slot_by_slot() -> None:
    """Ten with a fair signal to a slot, in the order of their IMEIs, whatever order they came in."""
    devices = fleet(25)
    outcomes = plan(devices[::-1], CALENDAR, Limits(), Occupancy(), NOW)
    assert starts(outcomes) == {"28 00:00": 10, "28 04:00": 10, "29 00:00": 5}
    first = outcomes[devices[9].imei], outcomes[devices[10].imei]
    assert isinstance(first[0], Placed)
    assert isinstance(first[1], Placed)
    assert first[0].slot.start < first[1].slot.start


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        ((Signal.GOOD,) * 51, {"28 00:00": 50, "28 04:00": 1}),
        ((Signal.GOOD,) * 25 + (Signal.UNKNOWN,) * 6, {"28 00:00": 30, "28 04:00": 1}),
        ((Signal.POOR,) * 3, {"28 00:00": 1, "28 04:00": 1, "29 00:00": 1}),
        ((Signal.GOOD, Signal.POOR, Signal.GOOD), {"28 00:00": 2, "28 04:00": 1}),
    ],
)
def test_classes_share_a_slot(signals: tuple[Signal, ...], expected: dict[str, int]) -> None:
    """Each takes one part in the limit of its class; one with a poor signal is alone."""
    devices = [
        replace(device, signal=signal)
        for device, signal in zip(fleet(len(signals)), signals, strict=True)
    ]
    assert starts(plan(devices, CALENDAR, Limits(), Occupancy(), NOW)) == expected


def test_unknown_cells_are_one_pool() -> None:
    """It has its own limit, whatever the signal."""
    devices = [
        replace(device, cell=UNKNOWN_CELL, signal=signal)
        for device, signal in zip(fleet(4), Signal, strict=True)
    ]
    outcomes = plan(devices, CALENDAR, Limits(unknown_cell=3), Occupancy(), NOW)
    assert starts(outcomes) == {"28 00:00": 3, "28 04:00": 1}


def test_other_campaigns_count() -> None:
    """What another campaign has taken of a cell is gone, though its slots are cut otherwise."""
    occupancy = Occupancy()
    other = Calendar(start_date=DAY, end_date=DAY, windows=(Window(3, 4),))
    assert starts(plan(fleet(8), other, Limits(), occupancy, NOW)) == {"28 03:00": 8}
    outcomes = plan(fleet(5, first=50), CALENDAR, Limits(), occupancy, NOW)
    assert starts(outcomes) == {"28 00:00": 2, "28 04:00": 3}


def test_who_cannot_be_reached_waits_and_takes_nothing() -> None:
    """It is told what it would have now; when it is found, it is placed."""
    occupancy = Occupancy()
    lost = replace(fleet(1)[0], reach=Reach.UNREACHABLE)
    outcomes = plan([lost, *fleet(10, first=1)], CALENDAR, Limits(), occupancy, NOW)
    assert starts(outcomes) == {"28 00:00": 10}
    waiting = outcomes[lost.imei]
    assert isinstance(waiting, Unplaced)
    assert waiting.why is Why.NOT_REACHABLE
    assert not waiting.final
    assert waiting.until == utc("2026-03-29 08:00")
    found = replace(lost, reach=Reach.REACHABLE)
    assert starts(plan([found], CALENDAR, Limits(), occupancy, NOW)) == {"28 04:00": 1}


def test_a_device_nobody_has_heard_of_is_pending() -> None:
    """Until the network checks are done."""
    outcome = only(
        plan([replace(fleet(1)[0], reach=Reach.UNKNOWN)], CALENDAR, Limits(), Occupancy(), NOW)
    )
    assert isinstance(outcome, Unplaced)
    assert outcome.why is Why.NOT_KNOWN


def test_a_full_cell_is_not_the_end() -> None:
    """Room may be left yet, so it is no final reason."""
    devices = [*fleet(4, Signal.POOR), *fleet(1, Signal.GOOD, first=4)]
    lost = replace(fleet(1, first=5)[0], reach=Reach.UNREACHABLE)
    outcomes = plan([*devices, lost], CALENDAR, Limits(), Occupancy(), NOW)
    last, waiting = outcomes[devices[-1].imei], outcomes[lost.imei]
    until = utc("2026-03-29 08:00")
    assert last == Unplaced(why=Why.CELL_FULL, until=until)
    assert waiting == Unplaced(why=Why.NOT_REACHABLE, until=until)
    assert isinstance(last, Unplaced)
    assert not last.final


@pytest.mark.parametrize("reach", Reach)
def test_the_end_is_final(reach: Reach) -> None:
    """After the last slot nobody has a chance, nor has who may only try after it."""
    over = utc("2026-03-29 07:55")
    device = replace(fleet(1)[0], reach=reach)
    late = replace(device, not_before=over)
    for outcomes in (
        plan([device], CALENDAR, Limits(), Occupancy(), over),
        plan([late], CALENDAR, Limits(), Occupancy(), NOW),
    ):
        outcome = only(outcomes)
        assert outcome == Unplaced(why=Why.NO_TIME_LEFT)
        assert isinstance(outcome, Unplaced)
        assert outcome.final


def test_a_failed_device_tries_again_after_its_pause() -> None:
    """In the next free slot; its share of the slot in which it failed is spent."""
    occupancy = Occupancy()
    plan(fleet(10), CALENDAR, Limits(), occupancy, NOW)
    failed = replace(fleet(1)[0], not_before=utc("2026-03-28 01:30"))
    outcome = only(plan([failed], CALENDAR, Limits(), occupancy, utc("2026-03-28 01:00")))
    assert isinstance(outcome, Placed)
    assert outcome.slot.start == utc("2026-03-28 04:00")
    beside = replace(failed, cell=CELLS[1])
    outcome = only(plan([beside], CALENDAR, Limits(), occupancy, utc("2026-03-28 01:00")))
    assert isinstance(outcome, Placed)
    assert (outcome.slot.start, outcome.slot.end) == (
        utc("2026-03-28 01:30"),
        utc("2026-03-28 04:00"),
    )


def test_a_moved_device_is_planned_in_its_new_cell() -> None:
    """It leaves its place to others, and has the running slot if its new cell has room in it."""
    occupancy = Occupancy()
    devices = fleet(11)
    outcomes = plan(devices, CALENDAR, Limits(), occupancy, NOW)
    opens = utc("2026-03-28 00:00")
    moved = replace(held(devices, outcomes)[0], cell=CELLS[1])
    outcome = only(plan([moved], CALENDAR, Limits(), occupancy, opens))
    assert isinstance(outcome, Placed)
    assert outcome.slot.start == opens
    assert occupancy.taken(CELL, outcome.slot.key) == WHOLE * 9 // 10
    late = fleet(1, first=20)
    assert starts(plan(late, CALENDAR, Limits(), occupancy, opens)) == {"28 00:00": 1}


def test_nobody_is_planned_twice_in_one_plan() -> None:
    """A device that is given twice is refused before anything is taken."""
    occupancy = Occupancy()
    with pytest.raises(ValueError):
        plan(fleet(1) * 2, CALENDAR, Limits(), occupancy, NOW)
    assert occupancy.drain() == []


def test_what_nobody_has_cannot_be_given_back() -> None:
    """It would make room that is not there."""
    with pytest.raises(ValueError, match=r"^nobody has the place that is given back$"):
        Occupancy().give_back(Held(cell=CELL, key=0, share=1))


def test_what_is_drained_is_what_changed() -> None:
    """The rows to be added are the shares taken since, to the last part, less those given back."""
    occupancy = Occupancy()
    outcomes = plan(fleet(3), CALENDAR, Limits(), occupancy, NOW)
    placed = next(outcome for outcome in outcomes.values() if isinstance(outcome, Placed))
    key = placed.slot.key
    assert occupancy.drain() == [Taken(CELL, key, 3 * placed.share)]
    occupancy.give_back(placed.held(CELL))
    assert occupancy.drain() == [Taken(CELL, key, -placed.share)]


def test_what_was_taken_and_given_back_leaves_no_row() -> None:
    """Nothing has changed since."""
    occupancy = Occupancy()
    placed = only(plan(fleet(1), CALENDAR, Limits(), occupancy, NOW))
    assert isinstance(placed, Placed)
    occupancy.give_back(placed.held(CELL))
    assert occupancy.drain() == []


def test_limits_are_as_documented() -> None:
    """50 devices with a good signal, 10 with a fair one, one with a poor one, 100 in the pool."""
    assert Limits() == Limits(good=50, fair=10, poor=1, unknown_cell=100)
    assert {*Limits().shares(UNKNOWN_CELL).values()} == {WHOLE // 100}
    shares = Limits().shares(CELL)
    assert [WHOLE // shares[each] for each in Signal] == [50, 10, 1, 10]


def test_rows_are_asked_for_once_and_by_cell() -> None:
    """A plan reads the cells of its devices; those given ahead are not asked for."""
    asked: list[CellKey] = []

    def source(cell: CellKey) -> list[tuple[int, int]]:
        asked.append(cell)
        return [(29_577_600, WHOLE // 2), (29_577_600, WHOLE // 2)]

    occupancy = Occupancy(source)
    assert occupancy.missing(CELLS) == set(CELLS)
    occupancy.load([Taken(CELLS[1], 29_577_600, 7)], CELLS[:2])
    assert occupancy.missing(CELLS) == {CELLS[2]}
    occupancy.load([Taken(CELLS[1], 29_577_600, 7)], CELLS[:2])
    for cell in (*CELLS, *CELLS):
        plan([replace(fleet(1)[0], cell=cell)], CALENDAR, Limits(), occupancy, NOW)
    assert asked == [CELLS[2]]
    assert occupancy.taken(CELLS[1], 29_577_600) == 7 + 2 * WHOLE // 10
    assert occupancy.taken(CELLS[2], 29_577_600) == WHOLE


@given(st.integers(1, MOST))
def test_a_limit_is_met_exactly(limit: int) -> None:
    """So many shares fit into the whole, and not one more."""
    share = Limits(good=limit).shares(CELL)[Signal.GOOD]
    assert limit * share <= WHOLE < (limit + 1) * share


@pytest.mark.parametrize("wrong", [0, -1, MOST + 1])
def test_limits_have_bounds(wrong: int) -> None:
    """A limit of none would hold a campaign for ever, and one too large could not be kept."""
    for name in ("good", "fair", "poor", "unknown_cell"):
        with pytest.raises(ValueError, match=r"^a limit per cell and slot is 1 to 10000$"):
            Limits(**{name: wrong})


@given(devices_of(), calendars, limits, instants)
def test_everybody_has_the_earliest_slot_or_a_true_reason(
    devices: list[Device], calendar: Calendar, limits: Limits, now: datetime
) -> None:
    """What a planner finds that walks through all hours for each device, one after the other."""
    outcomes = plan(devices, calendar, limits, Occupancy(), now)
    slowly = plan_slowly(devices, calendar, limits, now)
    assert outcomes.keys() == slowly.keys()
    nothing = plan_slowly([Device(imei="")], calendar, limits, now)[""] is None
    for device in devices:
        outcome, expected = outcomes[device.imei], slowly[device.imei]
        if isinstance(outcome, Placed):
            slot = outcome.slot
            assert device.reach is Reach.REACHABLE
            assert (slot.start, slot.end, slot.key) == expected
            assert outcome.share == limits.shares(device.cell)[device.signal]
            continue
        assert device.reach is not Reach.REACHABLE or expected is None
        alone = replace(device, reach=Reach.REACHABLE)
        never = plan_slowly([alone], calendar, limits, now)[device.imei] is None
        assert never or not nothing
        assert outcome.final == never
        assert (outcome.until is None) == never
        if not never:
            assert outcome.until == calendar.closes_at
            assert (
                outcome.why
                is {
                    Reach.REACHABLE: Why.CELL_FULL,
                    Reach.UNREACHABLE: Why.NOT_REACHABLE,
                    Reach.UNKNOWN: Why.NOT_KNOWN,
                }[device.reach]
            )


@given(devices_of(), calendars, limits, instants, takings)
def test_no_cell_is_above_its_limit_and_no_slot_outside(
    devices: list[Device], calendar: Calendar, limits: Limits, now: datetime, rows: list[Taken]
) -> None:
    """Nothing is placed in a slot that others have filled; every slot is inside dates and windows."""
    before: Counter[Row] = Counter()
    for taking in rows:
        before[taking.cell, taking.key] += taking.share
    occupancy = Occupancy()
    occupancy.load(rows)
    outcomes = plan(devices, calendar, limits, occupancy, now)
    taken: dict[Row, Fraction] = {}
    for device in devices:
        outcome = outcomes[device.imei]
        if isinstance(outcome, Unplaced):
            continue
        slot = outcome.slot
        assert max(now, device.not_before or now) <= slot.start < slot.end
        assert calendar.allows(slot.start)
        assert calendar.allows(slot.end - timedelta(seconds=1))
        row = device.cell, slot.key
        share = share_of(limits, device.cell, device.signal)
        taken[row] = taken.get(row, Fraction(before[row], WHOLE)) + share
    assert all(share <= 1 for share in taken.values())
    assert {(t.cell, t.key): t.share for t in occupancy.rows()} == {
        row: taken.get(row, Fraction(before[row], WHOLE)) * WHOLE for row in before.keys() | taken
    }


@given(devices_of(), calendars, limits, instants, st.randoms(use_true_random=False))
def test_the_order_given_means_nothing(
    devices: list[Device], calendar: Calendar, limits: Limits, now: datetime, dice: Random
) -> None:
    """Nor does the zone in which the time is told."""
    shuffled = devices.copy()
    dice.shuffle(shuffled)
    there = now.astimezone(ZoneInfo("Europe/Berlin"))
    assert plan(shuffled, calendar, limits, Occupancy(), there) == plan(
        devices, calendar, limits, Occupancy(), now
    )


@given(devices_of(), calendars, limits, instants)
def test_one_by_one_is_as_all_at_once(
    devices: list[Device], calendar: Calendar, limits: Limits, now: datetime
) -> None:
    """Single devices, planned in order, have the places they have in the campaign's plan."""
    whole = plan(devices, calendar, limits, Occupancy(), now)
    rows: Counter[Row] = Counter()
    for device in sorted(devices, key=lambda d: (d.reach is not Reach.REACHABLE, d.imei)):
        # Each time as after a restart: from the rows that were kept.
        occupancy = Occupancy(
            lambda cell: [(key, n) for (of, key), n in rows.items() if of == cell]
        )
        assert plan([device], calendar, limits, occupancy, now) == {device.imei: whole[device.imei]}
        for row in occupancy.drain():
            rows[row.cell, row.key] += row.share
        assert occupancy.drain() == []


@given(devices_of(), calendars, limits, instants, st.data())
def test_planning_some_anew_touches_no_other(
    devices: list[Device], calendar: Calendar, limits: Limits, now: datetime, data: st.DataObject
) -> None:
    """Others keep their places; in cells that nobody entered or left, anew is as it was."""
    assume(devices)
    occupancy = Occupancy()
    outcomes = plan(devices, calendar, limits, occupancy, now)
    changed = {
        device.imei: data.draw(
            st.builds(
                replace,
                st.just(device),
                cell=st.sampled_from(CELLS),
                signal=st.sampled_from(Signal),
                reach=st.sampled_from(Reach),
                not_before=st.none() | instants,
            )
        )
        for device in data.draw(
            st.lists(st.sampled_from(held(devices, outcomes)), unique_by=lambda d: d.imei)
        )
    }
    replanned = plan(changed.values(), calendar, limits, occupancy, now)
    after = [changed.get(device.imei, device) for device in devices]
    outcomes.update(replanned)
    # What is taken is what the devices have, those planned anew and all others.
    expected: Counter[Row] = Counter()
    shares: dict[Row, Fraction] = {}
    for device in after:
        outcome = outcomes[device.imei]
        if isinstance(outcome, Placed):
            row = device.cell, outcome.slot.key
            # A change of signal counts from the next placing on.
            share = share_of(limits, device.cell, device.signal)
            expected[row] += outcome.share
            shares[row] = shares.get(row, Fraction(0)) + share
    assert {(row.cell, row.key): row.share for row in occupancy.rows()} == expected
    assert all(share <= 1 for share in shares.values())
    moved = {cell for d in devices if d.imei in changed for cell in (d.cell, changed[d.imei].cell)}
    anew = plan([replace(d, held=None) for d in after], calendar, limits, Occupancy(), now)
    for device in after:
        if device.cell not in moved:
            assert anew[device.imei] == outcomes[device.imei]


@given(devices_of(), calendars, limits, instants)
def test_planning_all_anew_changes_nothing(
    devices: list[Device], calendar: Calendar, limits: Limits, now: datetime
) -> None:
    """Everybody leaves, and comes back to the place that they had."""
    occupancy = Occupancy()
    first = plan(devices, calendar, limits, occupancy, now)
    rows = {(row.cell, row.key): row.share for row in occupancy.rows()}
    occupancy.drain()
    assert plan(held(devices, first), calendar, limits, occupancy, now) == first
    assert {(row.cell, row.key): row.share for row in occupancy.rows()} == rows
    assert occupancy.drain() == []
