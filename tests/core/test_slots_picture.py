"""The picture in docs/slots.md is drawn from a plan: whoever changes the rules sees it change."""

from datetime import date
from pathlib import Path

from overair.core.slots.grid import Calendar, key_instant
from overair.core.slots.occupancy import WHOLE, Limits, Occupancy
from overair.core.slots.planner import Device, Placed, plan
from overair.core.slots.radio import UNKNOWN_CELL, CellKey, Reach, Signal
from overair.core.window import Window
from tests.core.slots_world import utc

PAGE = Path(__file__).parents[2] / "docs" / "slots.md"
WIDTH = 10
LETTERS = {Signal.GOOD: "g", Signal.FAIR: "f", Signal.POOR: "p", Signal.UNKNOWN: "?"}
STATION, VALLEY, EDGE = (CellKey(f"311-480-{name}") for name in (101, 102, 103))
WHERE = {STATION: "station", VALLEY: "valley", EDGE: "edge", UNKNOWN_CELL: "unknown cell"}
# In the order of their IMEIs.
HERE = (
    *[(STATION, Signal.GOOD)] * 110,
    *[(VALLEY, Signal.GOOD)] * 20,
    *[(VALLEY, Signal.FAIR)] * 8,
    *[(VALLEY, Signal.UNKNOWN)] * 4,
    (VALLEY, Signal.POOR),
    *[(EDGE, Signal.POOR)] * 2,
    *[(EDGE, Signal.FAIR)] * 3,
    *[(UNKNOWN_CELL, Signal.GOOD)] * 130,
)


def picture() -> str:
    """Cells from top to bottom, slots from left to right, each filled by whom it is filled by."""
    calendar = Calendar(
        start_date=date(2026, 3, 28),
        end_date=date(2026, 3, 29),
        windows=(Window(0, 6), Window(22, 24)),
    )
    occupancy = Occupancy()
    other = [Device(imei=f"98{n:013d}", cell=STATION, signal=Signal.GOOD) for n in range(30)]
    night = Calendar(start_date=date(2026, 3, 28), end_date=date(2026, 3, 28))
    plan(other, night, Limits(), occupancy, utc("2026-03-28 04:00"))
    devices = [
        Device(imei=f"99{number:013d}", cell=cell, signal=signal)
        for number, (cell, signal) in enumerate(HERE)
    ]
    lost = Device(imei="990000000009999", cell=EDGE, reach=Reach.UNREACHABLE)
    outcomes = plan([*devices, lost], calendar, Limits(), occupancy, utc("2026-03-27 09:00"))
    slots = list(calendar.slots())
    bars = {(cell, slot.key): "" for cell in WHERE for slot in slots}
    shares = dict.fromkeys(bars, 0)
    for device in devices:
        outcome = outcomes[device.imei]
        assert isinstance(outcome, Placed)
        at = device.cell, outcome.slot.key
        shares[at] += outcome.share
        bars[at] = bars[at].ljust(-(-shares[at] * WIDTH // WHOLE), LETTERS[device.signal])
    for at in bars:
        taken = occupancy.taken(*at) - shares[at]
        bars[at] = ("#" * -(-taken * WIDTH // WHOLE) + bars[at]).ljust(WIDTH, ".")
    head = " ".join(f"{slot.start:%H:%M}-{slot.end:%H:%M}".ljust(WIDTH + 2) for slot in slots)
    lines = [
        " " * 14 + "".join(f"{key_instant(s.key):%d %B}".ljust(13) for s in slots),
        " " * 14 + head,
    ]
    lines += [
        WHERE[cell].ljust(13) + " ".join(f"[{bars[cell, slot.key]}]" for slot in slots)
        for cell in WHERE
    ]
    return "\n".join(line.rstrip() for line in lines)


def test_the_picture_is_what_the_planner_does() -> None:
    """Bars of each cell and slot, as the page shows them."""
    assert picture() in PAGE.read_text()
