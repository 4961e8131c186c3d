"""``overair campaign list|show|watch``: campaigns of all accounts, for their operator."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Group
from rich.live import Live
from rich.text import Text

from overair.cli import CommandError
from overair.cli.options import DEFAULT, Common, Installation, opened, print_json, with_installation
from overair.cli.screen import Screen, plain
from overair.core.campaign import FINAL
from overair.core.ids import CampaignId
from overair.core.upgrade import UpgradeState
from overair.store import campaigns, tally
from overair.store.campaigns import Campaign
from overair.store.database import Tx

app = App(name="campaign", help="Look at campaigns.")

PAGE = 500
WATCH_S = 0.5
BAR = 50

# From left to right as devices go; one colour and one letter each, for the bar.
STATES = (
    (UpgradeState.SUCCEEDED, "green", "#"),
    (UpgradeState.PENDING, "yellow", "~"),
    (UpgradeState.ACCEPTED, "blue", "."),
    (UpgradeState.REQUESTED, "white", "?"),
    (UpgradeState.FAILED, "red", "!"),
    (UpgradeState.REJECTED, "magenta", "x"),
    (UpgradeState.CANCELLED, "bright_black", "-"),
    (UpgradeState.ABORTED, "bright_black", "-"),
)

Counts = dict[UpgradeState, int]


def _all(tx: Tx) -> list[tuple[Campaign, Counts]]:
    found: list[tuple[Campaign, Counts]] = []
    after = CampaignId(0)
    while page := campaigns.every(tx, after, PAGE):
        found += [(campaign, tally.counts(tx, campaign.id)) for campaign in page]
        after = page[-1].id
    return found


def _one(tx: Tx, uuid: str) -> tuple[Campaign, Counts] | None:
    campaign = campaigns.find(tx, uuid.lower())
    return None if campaign is None else (campaign, tally.counts(tx, campaign.id))


def _as_json(campaign: Campaign, counts: Counts) -> dict[str, Any]:
    return {
        "id": campaign.uuid,
        "accountName": campaign.account_name,
        "name": campaign.name,
        "status": campaign.status.value,
        "package": campaign.package_name,
        "from": campaign.from_version,
        "to": campaign.to_version,
        "startDate": campaign.start_date,
        "endDate": campaign.end_date,
        "devices": {state.value: count for state, count in sorted(counts.items())},
    }


@app.command(name="list")
def list_campaigns(common: Common = DEFAULT) -> int:
    """List every campaign with its counts."""

    async def work(installation: Installation) -> list[tuple[Campaign, Counts]]:
        return await installation.db.report(_all)

    found = with_installation(common.settings(), work)
    if common.as_json:
        print_json([_as_json(*each) for each in found])
        return 0
    # No table: an id that is cut to fit a column cannot be given to `show`.
    screen = Screen()
    for campaign, counts in found:
        screen.print(Group(*_heading(campaign), Text(f"  {_counted(counts)}")))
    if not found:
        screen.print("There are no campaigns.")
    return 0


@app.command
def show(
    campaign_id: Annotated[str, Parameter(help="The campaign's id (a UUID).")],
    common: Common = DEFAULT,
) -> int:
    """Show one campaign with its counts."""

    async def work(installation: Installation) -> tuple[Campaign, Counts] | None:
        return await installation.db.report(_one, campaign_id)

    found = with_installation(common.settings(), work)
    if found is None:
        raise _unknown(campaign_id)
    if common.as_json:
        print_json(_as_json(*found))
    else:
        Screen().print(picture(*found))
    return 0


@app.command
def watch(
    campaign_id: Annotated[str, Parameter(help="The campaign's id (a UUID).")],
    common: Common = DEFAULT,
) -> int:
    """Watch one campaign's progress until it is over. In a pipe, or with --json: a line for each change."""
    asyncio.run(_watch(campaign_id, common))
    return 0


async def _watch(campaign_id: str, common: Common) -> None:
    screen = Screen()
    # In a pipe a picture would be there when all is over.
    drawn = not common.as_json and screen.is_terminal
    live = Live(console=screen, refresh_per_second=4) if drawn else None
    last = ""
    async with opened(common.settings()) as installation:
        with live or contextlib.nullcontext():
            while True:
                found = await installation.db.report(_one, campaign_id)
                if found is None:
                    raise _unknown(campaign_id)
                if live is not None:
                    live.update(picture(*found))
                elif (now := _line(*found, as_json=common.as_json)) != last:
                    at = "" if common.as_json else f"{installation.clock.now():%d %b %H:%M:%S}  "
                    print(at + now, flush=True)
                    last = now
                if found[0].status in FINAL and found[0].closing is None:
                    return
                await installation.clock.sleep(WATCH_S)


def _line(campaign: Campaign, counts: Counts, *, as_json: bool) -> str:
    """All that may change of a campaign."""
    if as_json:
        return json.dumps(_as_json(campaign, counts), ensure_ascii=False, default=str)
    return f"{campaign.status.value:<15}  {_counted(counts)}".rstrip()


def _unknown(campaign_id: str) -> CommandError:
    return CommandError(f"there is no campaign {campaign_id}; see `overair campaign list`")


def picture(campaign: Campaign, counts: Counts) -> Group:
    """A campaign as a person would rather see it: a bar, and the counts behind it."""
    total = sum(counts.values())
    bar = Text("[")
    for state, colour, letter in STATES:
        bar.append(letter * _share(counts.get(state, 0), total), style=colour)
    bar.append("]")
    return Group(*_heading(campaign), bar, *_legend(counts, total))


def _heading(campaign: Campaign) -> tuple[Text, Text]:
    """Which campaign it is, what it brings and when."""
    versions = f"{campaign.from_version} → {campaign.to_version}".removeprefix(" ")
    title = f"{campaign.uuid}  {campaign.status.value:<10}  {campaign.name}"
    about = (
        f"  {campaign.account_name}  {campaign.package_name} {versions}"
        f"  {campaign.start_date} to {campaign.end_date}"
    )
    return Text(plain(title.rstrip()), style="bold"), Text(plain(about))


def _counted(counts: Counts) -> str:
    return ", ".join(f"{counts[state]} {state.value}" for state, *_ in STATES if counts.get(state))


def _share(count: int, total: int) -> int:
    # Nobody is rounded away: one failed device of a hundred thousand is seen.
    return max(1, round(BAR * count / total)) if count else 0


def _legend(counts: Counts, total: int) -> Iterator[Text]:
    for state, colour, letter in STATES:
        if count := counts.get(state, 0):
            yield Text(f"  {letter} {count:>8} {state.value}", style=colour)
    yield Text(f"    {total:>8} in all")
