"""``overair explain`` and ``overair verify``: what is true, and why it is so."""

from enum import StrEnum
from typing import Annotated, Any

from cyclopts import Parameter
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from overair.cli import CommandError
from overair.cli.options import DEFAULT, Common, Installation, print_json, with_installation
from overair.cli.screen import Screen, columns
from overair.core.plan import Wait
from overair.engine.explain import Explanation, explain_device
from overair.store import verify as checks


def explain(
    imei: Annotated[str, Parameter(help="The device's IMEI.")], common: Common = DEFAULT
) -> int:
    """Say why a device has not been updated, what it waits for, and until when."""
    settings = common.settings()

    async def work(installation: Installation) -> Explanation | None:
        return await installation.db.report(
            explain_device, imei, settings, installation.clock.now()
        )

    found = with_installation(settings, work)
    if found is None:
        raise CommandError(f"there is no device {imei}; `overair export` lists all there are")
    if common.as_json:
        print_json(_as_json(found))
    else:
        _print(found)
    return 0


def _as_json(found: Explanation) -> dict[str, Any]:
    campaign, upgrade = found.campaign, found.upgrade
    return {
        "deviceId": found.imei,
        "accountName": found.account_name,
        "version": found.version,
        "lastSeen": found.last_seen,
        "wait": found.wait,
        "explanation": found.sentence,
        "until": found.until,
        "campaign": campaign
        and {"id": campaign.uuid, "name": campaign.name, "status": campaign.status.value},
        "state": upgrade and upgrade.state.value,
        "reason": upgrade and upgrade.reason.value,
        "attempts": [
            {
                "id": attempt.id,
                "number": attempt.number,
                "state": attempt.state.value,
                "offeredAt": attempt.offered_at,
                "retrievedAt": attempt.retrieved_at,
                "downloadedAt": attempt.downloaded_at,
                "closedAt": attempt.closed_at,
            }
            for attempt in found.attempts
        ],
    }


def _print(found: Explanation) -> None:
    screen = Screen()
    seen = f"last seen {found.last_seen:%Y-%m-%d %H:%M:%S} UTC" if found.last_seen else "never seen"
    version = found.version or "an unknown version"
    screen.print(f"Device {found.imei} of {found.account_name} runs {version}, {seen}.")
    if found.campaign is not None and found.upgrade is not None:
        name = found.campaign.name or found.campaign.package_name
        screen.print(
            f"Campaign {found.campaign.uuid} ({name}): {_said(found.campaign.status)}."
            f" The device in it: {_said(found.upgrade.state)}."
        )
    until = f"{found.until:%Y-%m-%d %H:%M:%S} UTC" if found.until else ""
    screen.print(found.sentence, style="bold")
    if until and found.wait == Wait.CHECK_IN:
        screen.print(f"The offer stands until {until}.")
    elif until:
        screen.print(f"That is so until {until} at the latest.")
    if not found.attempts:
        return
    table = columns("action", "try", "state", "offered", "retrieved", "downloaded", "closed")
    for attempt in found.attempts:
        times = (
            attempt.offered_at,
            attempt.retrieved_at,
            attempt.downloaded_at,
            attempt.closed_at,
        )
        table.add_row(
            str(attempt.id),
            str(attempt.number),
            attempt.state.value,
            *(f"{at:%m-%d %H:%M}" if at else "" for at in times),
        )
    screen.print(table)


def verify(common: Common = DEFAULT) -> int:
    """Recount every counter and check every invariant, beside a running server or without one."""
    settings = common.settings()

    async def work(installation: Installation) -> list[tuple[checks.Check, checks.Finding | None]]:
        return await installation.db.report(lambda tx: list(checks.verify(tx)))

    results = with_installation(settings, work)
    findings = [finding for _, finding in results if finding is not None]
    if common.as_json:
        print_json(
            {
                "checks": len(results),
                "findings": [
                    {"check": f.check, "says": f.says, "rows": [list(row) for row in f.rows]}
                    for f in findings
                ],
            }
        )
    else:
        _print_results(results)
    return 1 if findings else 0


def _said(state: StrEnum) -> str:
    return state.value.replace("_", " ")


def _print_results(results: list[tuple[checks.Check, checks.Finding | None]]) -> None:
    screen = Screen()
    wrong = 0
    for check, finding in results:
        holds = finding is None
        line = Table.grid(padding=(0, 2))
        mark = Text("holds", "green") if holds else Text("BROKEN", "red")
        line.add_row(Text(" " if holds else "") + mark, f"{check.name}: {check.says}")
        screen.print(line)
        if finding is not None:
            wrong += 1
            for row in finding.rows:
                screen.print(Padding(str(row), (0, 0, 0, 10), expand=False))
    if wrong:
        screen.print(f"{wrong} of {len(results)} checks do not hold.", style="red")
    else:
        screen.print(f"All {len(results)} checks hold.", style="green")
