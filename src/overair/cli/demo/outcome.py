"""What the demo came to: every account of it side by side, for people and for programs."""

from dataclasses import dataclass
from typing import Any

from rich.console import Console

from overair.cli.demo import slotted
from overair.cli.demo import upgrade as pushed
from overair.cli.demo.ledger import SUCCESS, Ledger
from overair.cli.demo.listener import Listener
from overair.cli.demo.picture import report
from overair.cli.demo.slotted import SlottedChapter
from overair.cli.demo.story import Chapter
from overair.cli.demo.upgrade import PushedChapter
from overair.store import verify as checks


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the story came to."""

    chapters: list[Chapter]
    upgrade: PushedChapter
    slotted: SlottedChapter
    findings: list[checks.Finding]
    checked: int
    callbacks: int
    undelivered: int
    callback_disputes: list[str]
    versions: dict[str, int]
    elapsed_s: float
    first_updated_s: float | None

    @property
    def is_right(self) -> bool:
        """Whether everybody tells the same."""
        return not (
            self.findings
            or self.undelivered
            or self.callback_disputes
            or self.upgrade.ledger.disputes
            or not self.slotted.is_right
            or any(chapter.ledger.disputes for chapter in self.chapters)
        )


def callback_disputes(
    chapters: list[Chapter], upgrade: PushedChapter, cells: SlottedChapter, listener: Listener
) -> list[str]:
    """Where the last callback about a device is not what the report says."""
    number = upgrade.view.id
    disputes = pushed.callback_disputes(
        upgrade.view, listener.statuses.get(number, []), listener.devices.get(number, {})
    )
    disputes += slotted.callback_disputes(cells.views, listener.statuses, listener.devices)
    for chapter in chapters:
        view = chapter.view
        told = listener.devices.get(view.id, {})
        disputes += [
            f"callback: {view.name}: {imei} was last told as {told.get(imei)}, not {standing}"
            for imei, standing in view.report.items()
            if told.get(imei) != standing
        ]
        if listener.statuses.get(view.id, [])[-1:] != [view.status]:
            disputes.append(f"callback: {view.name}: told {listener.statuses.get(view.id)}")
    return disputes


def as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "right": outcome.is_right,
        "elapsedS": round(outcome.elapsed_s, 1),
        "firstUpdatedS": outcome.first_updated_s and round(outcome.first_updated_s, 1),
        "campaigns": [
            {
                "id": chapter.view.id,
                "name": chapter.view.name,
                "status": chapter.view.status,
                "devices": chapter.ledger.total,
                "succeeded": chapter.view.counts[SUCCESS],
                **_ledger(chapter.ledger),
            }
            for chapter in outcome.chapters
        ],
        "upgrades": [_upgrade(outcome.upgrade)],
        "cells": _slotted(outcome.slotted),
        "versions": outcome.versions,
        "callbacks": {
            "received": outcome.callbacks,
            "undelivered": outcome.undelivered,
            "disputes": outcome.callback_disputes,
        },
        "verify": {
            "checks": outcome.checked,
            "findings": [{"check": f.check, "says": f.says} for f in outcome.findings],
        },
    }


def _upgrade(chapter: PushedChapter) -> dict[str, Any]:
    return {
        "id": chapter.view.id,
        "name": chapter.view.name,
        "status": chapter.view.status,
        "devices": chapter.ledger.total,
        "succeeded": chapter.view.succeeded,
        "asleepInFirstWindow": chapter.asleep,
        "succeededAfterEnd": chapter.after_end,
        **_ledger(chapter.ledger),
        "sleeper": {"deviceId": chapter.sleeper, "way": list(chapter.way)},
    }


def _slotted(chapter: SlottedChapter) -> dict[str, Any]:
    return {
        "campaigns": [
            {
                "id": view.id,
                "name": view.name,
                "status": view.status,
                "devices": ledger.total,
                "succeeded": view.succeeded,
                **_ledger(ledger),
            }
            for view, ledger in zip(chapter.views, chapter.ledgers, strict=True)
        ],
        "slots": list(chapter.lines),
        "disputes": list(chapter.disputes),
    }


def _ledger(ledger: Ledger) -> dict[str, Any]:
    return {
        "report": [
            {
                "status": line.standing.status,
                "resultReason": line.standing.reason,
                "devices": line.devices,
                "agree": line.agree,
            }
            for line in ledger.lines
        ],
        "disputes": list(ledger.disputes),
    }


def print_outcome(console: Console, outcome: Outcome) -> None:
    """The reports, and whether everybody tells the same."""
    for chapter in outcome.chapters:
        console.print()
        console.print(report(chapter.view, chapter.ledger))
        for dispute in chapter.ledger.disputes:
            console.print(f"  [red]{dispute}[/red]")
    run = ", ".join(f"{count} run {version}" for version, count in outcome.versions.items())
    updated = sum(chapter.view.succeeded for chapter in outcome.chapters)
    console.print(
        f"\nOf {sum(outcome.versions.values())} devices {run}; {updated} were updated and said so.",
        highlight=False,
    )
    _print_upgrade(console, outcome.upgrade)
    _print_slotted(console, outcome.slotted)
    _print_verdict(console, outcome)


def _print_upgrade(console: Console, chapter: PushedChapter) -> None:
    """The upgrade of those who are told to come, and what one of them went through."""
    console.print()
    console.print(report(chapter.view, chapter.ledger))
    for dispute in chapter.ledger.disputes:
        console.print(f"  {dispute}", style="red", markup=False)
    console.print(
        f"{chapter.asleep} of {chapter.ledger.total} slept through the first four hours, and"
        f" {chapter.after_end} were updated after the upgrade's last day.",
        highlight=False,
    )
    if chapter.sleeper:
        console.print(f"\nOne that slept, {chapter.sleeper}:", highlight=False)
        for line in chapter.way:
            console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    console.print()


def _print_slotted(console: Console, chapter: SlottedChapter) -> None:
    """The campaigns that went slot by slot, and the picture of it."""
    for view, ledger in zip(chapter.views, chapter.ledgers, strict=True):
        console.print(report(view, ledger))
        for dispute in ledger.disputes:
            console.print(f"  {dispute}", style="red", markup=False)
    console.print(
        "How the cells filled: G, F and P are devices with a good, fair or poor signal, small letters"
        " those that failed; a full bar is as many as may begin.",
        highlight=False,
    )
    for line in chapter.lines:
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    for dispute in chapter.disputes:
        console.print(f"  {dispute}", style="red", markup=False)
    console.print()


def _print_verdict(console: Console, outcome: Outcome) -> None:
    for dispute in outcome.callback_disputes:
        console.print(f"[red]{dispute}[/red]")
    if outcome.undelivered:
        console.print(f"[red]{outcome.undelivered} callbacks were not delivered.[/red]")
    elif not outcome.callback_disputes:
        console.print(
            f"[green]{outcome.callbacks} callbacks were delivered, and tell the same.[/green]"
        )
    for finding in outcome.findings:
        console.print(f"[red]verify: {finding.check}: not so: {finding.says}[/red]")
    if not outcome.findings:
        console.print(f"[green]verify: all {outcome.checked} checks hold.[/green]")
    first = ""
    if outcome.first_updated_s is not None:
        first = f"; the first device was updated after {outcome.first_updated_s:.1f} s"
    console.print(f"It took {outcome.elapsed_s:.0f} s{first}.", highlight=False)
