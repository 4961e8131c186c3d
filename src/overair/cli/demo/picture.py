"""What the demo looks like while it runs, and the reports at its end."""

from datetime import datetime
from typing import Final

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from overair.cli.demo.board import View
from overair.cli.demo.ledger import Ledger
from overair.cli.demo.listener import Listener
from overair.cli.demo.slotted import Bars, Slot, Slotted, bar
from overair.cli.demo.upgrade import AT_WORK, NOTIFIED, QUEUED, Upgrade
from overair.sim.http.tally import FleetSnapshot
from overair.sim.omadm.tally import FleetSnapshot as PushedSnapshot

BAR: Final = 40
# Of the slots: how many are shown, and how many of those are over.
SHOWN, PAST = 6, 3
# From left to right as devices go; a letter each, for those who see no colours.
STATUSES: Final = (
    ("UpgradeSuccess", "green", "#"),
    ("UpgradeScheduled", "cyan", ":"),
    ("NoDeviceDataFromNetwork", "bright_blue", "z"),
    ("ReceivedDeviceDataFromNetwork", "blue", "."),
    ("UpgradePending", "yellow", "~"),
    (AT_WORK, "yellow", "~"),
    (NOTIFIED, "cyan", ":"),
    (QUEUED, "bright_blue", "z"),
    ("Device Accepted", "blue", "."),
    ("Accepted", "blue", "."),
    ("RequestPending", "white", "?"),
    ("UpgradeFailed", "red", "!"),
    ("DeviceRejected", "magenta", "x"),
    ("Device Rejected", "magenta", "x"),
    ("CampaignCancelled", "bright_black", "-"),
    ("CampaignAborted", "bright_black", "-"),
)


def picture(
    now: datetime,
    rate: float,
    views: list[View | Upgrade | Slotted],
    fleets: list[tuple[str, FleetSnapshot]],
    pushed: list[tuple[str, PushedSnapshot]],
    found: Bars,
    listener: Listener,
) -> Group:
    """The demo at one moment."""
    clock = Text.assemble(
        ("demo clock ", "dim"),
        (f"{now:%a %Y-%m-%d %H:%M} UTC", "bold"),
        (f"   runs {rate:,.0f} times as fast" if rate > 1 else "   in real time", "dim"),
    )
    callbacks = Text(
        f"callbacks received: {listener.messages['campaignStatus']} of campaigns,"
        f" {listener.messages['deviceStatus']} of devices,"
        f" {listener.messages['upgradeProgress']} of the upgrade (v1)",
        style="dim",
    )
    parts: list[RenderableType] = [clock, _fleets(fleets), _pushed(pushed), callbacks]
    if found:
        parts.insert(3, _cells(now, found))
    if views:
        parts.insert(1, _campaigns(views))
    return Group(*parts)


def _cells(now: datetime, found: Bars) -> Table:
    """The slots about now: what began in each, and what is to begin."""
    slots = sorted({slot for cells in found.values() for slot in cells})
    at = sum(slot.end <= now for slot in slots)
    first = max(0, min(at - PAST, len(slots) - SHOWN))
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("")
    for slot in slots[first : first + SHOWN]:
        table.add_column(_heading(slot, now))
    for cell in sorted(found):
        table.add_row(
            f"cell {cell % 1000}",
            *(Text(bar(found[cell][slot])) for slot in slots[first : first + SHOWN]),
        )
    return table


def _heading(slot: Slot, now: datetime) -> Text:
    text = f"{slot.start:%a %H}-{slot.end:%H}"
    return Text(text, style="bold" if slot.start <= now < slot.end else "dim")


def _campaigns(views: list[View | Upgrade | Slotted]) -> Table:
    table = Table.grid(padding=(0, 2))
    for view in views:
        counts = view.counts
        said = Text(" ").join(
            Text(f"{letter} {counts[status]}", style=colour)
            for status, colour, letter in STATUSES
            if counts[status]
        )
        table.add_row(Text(view.name, style="bold"), _bar(view), said, Text(view.status, "dim"))
    return table


def _bar(view: View | Upgrade | Slotted) -> Text:
    counts = view.counts
    total = max(1, counts.total())
    # Nobody is rounded away; the widest part gives what that takes.
    widths = {s: max(1, counts[s] * BAR // total) for s, _, _ in STATUSES if counts[s]}
    if widths:
        widest = max(widths, key=lambda status: widths[status])
        widths[widest] += BAR - sum(widths.values())
    bar = Text("[")
    for status, colour, letter in STATUSES:
        bar.append(letter * widths.get(status, 0), style=colour)
    return bar.append(" " * (0 if widths else BAR) + "]")


def _fleets(fleets: list[tuple[str, FleetSnapshot]]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    columns = (
        "devices", "polls", "offered", "downloading", "waiting", "installing", "updated", "failed",
        "received",
    )  # fmt: skip
    for name in ("", *columns):
        table.add_column(name, justify="right" if name else "left")
    for title, seen in fleets:
        figures = (
            seen.devices,
            seen.polls,
            seen.offered,
            seen.downloading,
            seen.waiting,
            seen.installing + seen.rebooting + seen.reporting,
            seen.updated,
            seen.failed,
        )
        received = f"{seen.bytes_received / 2**20:,.0f} MiB"
        table.add_row(title, *(f"{figure:,}" for figure in figures), received)
    return table


def _pushed(fleets: list[tuple[str, PushedSnapshot]]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    columns = (
        "devices", "asleep", "notified", "in vain", "sessions", "at work", "updated", "failed",
    )  # fmt: skip
    for name in ("", *columns):
        table.add_column(name, justify="right" if name else "left")
    for title, seen in fleets:
        figures = (
            seen.devices,
            seen.off,
            seen.pushes,
            seen.pushes_lost + seen.pushes_refused,
            seen.sessions,
            seen.downloading + seen.installing + seen.rebooting,
            seen.updated,
            seen.failed + seen.declined,
        )
        table.add_row(title, *(f"{figure:,}" for figure in figures))
    return table


def report(view: View | Upgrade | Slotted, ledger: Ledger) -> Table:
    """A campaign's report, and how many of the devices tell the same."""
    table = Table(
        box=SIMPLE,
        title=f"{view.name}  {view.id}  {view.status}, {ledger.total} devices",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("status")
    table.add_column("reason")
    table.add_column("report", justify="right")
    table.add_column("the devices", justify="right")
    colours = {status: colour for status, colour, _ in STATUSES}
    for line in ledger.lines:
        table.add_row(
            Text(line.standing.status, style=colours.get(line.standing.status, "")),
            line.standing.reason,
            str(line.devices),
            Text(
                f"{line.agree} agree" if line.agree == line.devices else f"only {line.agree} agree",
                style="green" if line.agree == line.devices else "bold red",
            ),
        )
    return table
