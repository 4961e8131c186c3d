"""What people see: names as they are, ids whole."""

import asyncio
from pathlib import Path

import pytest
from rich.text import Text

from overair.cli import run
from overair.cli.screen import Screen, columns
from overair.clock import ManualClock, SystemClock
from overair.config import Settings
from overair.core.ids import CampaignId
from overair.engine import advance, schedule
from overair.store import campaigns, open_database, subscriptions
from overair.store.database import Tx
from tests.engine import stock
from tests.installation import OVERAIR

HOSTILE = "[/bold]\x1b[2J\x9b2J\x07:smile:"
SHOWN = (
    "[/bold]\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}2J\N{REPLACEMENT CHARACTER}:smile:"
)


def test_what_others_named_is_neither_markup_nor_control(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A name is shown as it is, in a line and in a table, and cannot steer the terminal."""
    screen = Screen()
    screen.print(HOSTILE)
    table = columns("name")
    table.add_row(HOSTILE)
    screen.print(table)
    out = capsys.readouterr().out
    assert out.count(SHOWN) == 2
    assert not {"\x1b", "\x9b", "\x07"} & set(out)
    screen.print(Text("styled", style="bold"))
    assert "styled" in capsys.readouterr().out


def test_nothing_is_cut_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long line stays one line where no terminal has a width."""
    monkeypatch.delenv("COLUMNS", raising=False)
    Screen().print("word " * 100 + "end")
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("command", [["campaign", "list"], ["explain", stock.imei(1)]])
def test_ids_are_whole_on_a_narrow_terminal(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    """At eighty columns a campaign's id can be copied, whatever the campaign is called."""
    url = f"sqlite:///{tmp_path / 'overair.db'}"

    def fill(tx: Tx) -> str:
        account_id = stock.add_account(tx)
        subscriptions.create(tx, account_id, "TS-HFOTA-EVNT", 0, stock.NOW)
        stock.add_devices(tx, account_id, [1])
        campaign_id = stock.schedule(tx, account_id, [1])
        tx.execute("update campaign set name = ? where id = ?", (HOSTILE, campaign_id))
        return campaigns.by_id(tx, campaign_id).uuid

    async def prepare() -> str:
        db = open_database(url, ManualClock(stock.NOW))
        await db.start()
        try:
            return await db.transact(fill)
        finally:
            await db.close()

    uuid = asyncio.run(prepare())
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*command, "--database", url]) == 0
    out = capsys.readouterr().out
    assert uuid in out
    assert SHOWN in out.replace("\n", "")
    assert max(map(len, out.splitlines())) <= 80


async def test_a_campaign_that_is_watched_into_a_pipe(tmp_path: Path) -> None:
    """Each change is a line, when it happens; the last is its end."""
    url = f"sqlite:///{tmp_path / 'overair.db'}"
    db = open_database(url, SystemClock())
    await db.start()
    try:

        def fill(tx: Tx) -> CampaignId:
            account_id = stock.add_account(tx)
            subscriptions.create(tx, account_id, "TS-HFOTA-EVNT", 0, stock.NOW)
            stock.add_devices(tx, account_id, [1])
            return stock.schedule(tx, account_id, [1])

        def stop(tx: Tx) -> None:
            campaign = campaigns.by_id(tx, made)
            schedule.stop_campaign(tx, campaign, stock.NOW, abortable=True)
            advance.release(tx, made, Settings(), stock.NOW)
            advance.release(tx, made, Settings(), stock.NOW)

        made = await db.transact(fill)
        uuid = (await db.read(campaigns.by_id, made)).uuid
        watcher = await asyncio.create_subprocess_exec(
            *OVERAIR, "campaign", "watch", uuid, "--database", url,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert watcher.stdout is not None
        async with asyncio.timeout(30):
            first = await watcher.stdout.readline()
            assert first.decode().endswith("scheduled        1 accepted\n")
            await db.transact(stop)
            rest = (await watcher.stdout.read()).decode().splitlines()
            assert await watcher.wait() == 0
        assert rest[-1].endswith("aborted          1 aborted")
        assert len(rest) <= 2
    finally:
        await db.close()
