"""What the demo came to: every account of it side by side, for people and for programs."""

from dataclasses import dataclass
from typing import Any

from rich.console import Console

from overair.cli.demo.ledger import SUCCESS
from overair.cli.demo.listener import Listener
from overair.cli.demo.picture import report
from overair.cli.demo.story import Chapter
from overair.store import verify as checks


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the story came to."""

    chapters: list[Chapter]
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
            or any(chapter.ledger.disputes for chapter in self.chapters)
        )


def callback_disputes(chapters: list[Chapter], listener: Listener) -> list[str]:
    """Where the last callback about a device is not what the report says."""
    disputes = []
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
                "report": [
                    {
                        "status": line.standing.status,
                        "resultReason": line.standing.reason,
                        "devices": line.devices,
                        "agree": line.agree,
                    }
                    for line in chapter.ledger.lines
                ],
                "disputes": list(chapter.ledger.disputes),
            }
            for chapter in outcome.chapters
        ],
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


def print_outcome(console: Console, outcome: Outcome) -> None:
    """The reports, and whether everybody tells the same."""
    for chapter in outcome.chapters:
        console.print()
        console.print(report(chapter))
        for dispute in chapter.ledger.disputes:
            console.print(f"  [red]{dispute}[/red]")
    run = ", ".join(f"{count} run {version}" for version, count in outcome.versions.items())
    updated = sum(chapter.view.succeeded for chapter in outcome.chapters)
    console.print(
        f"\nOf {sum(outcome.versions.values())} devices {run}; {updated} were updated and said so.",
        highlight=False,
    )
    _print_verdict(console, outcome)


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
