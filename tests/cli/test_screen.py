"""What people see: names as they are, ids whole."""

import asyncio
from pathlib import Path

import pytest
from rich.text import Text

from overair.cli import run
from overair.cli.screen import Screen, columns
from overair.clock import ManualClock
from overair.store import campaigns, open_database, subscriptions
from overair.store.database import Tx
from tests.engine import stock

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
