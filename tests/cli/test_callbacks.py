"""``overair callbacks`` on a database with deliveries in it."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from overair.cli import run
from overair.clock import ManualClock
from overair.engine import deliveries
from overair.engine.deliveries import FIRST, Bounds, Finished
from overair.store import open_database
from overair.store.callback_log import Attempt
from tests.callbacks.conftest import Outbox, add_account
from tests.conftest import START


@pytest.fixture
def database_with_log(tmp_path: Path) -> str:
    """The address of a database with one message delivered, one that failed and one that waits."""
    url = f"sqlite:///{tmp_path / 'overair.db'}"
    asyncio.run(_fill(url))
    return url


async def _fill(url: str) -> None:
    clock = ManualClock(START)
    db = open_database(url, clock)
    await db.start()
    box = Outbox(db=db, clock=clock, account_id=await add_account(db))
    await box.register("https://listener.example/?token=secret")
    await box.queue("c1", ["a", "b", "c"])

    lease = timedelta(seconds=60)
    turn = await db.transact(
        deliveries.turn, "one", (), {}, Bounds(), (10,), lease, FIRST, clock.now()
    )
    (run_,) = turn.runs
    attempts = tuple(
        Attempt(message_id=message.id, at=START, status=status, error=error, duration_ms=7)
        for message, status, error in zip(
            run_.messages, (200, None), ("", "no answer in time"), strict=False
        )
    )
    done = Finished(run=run_, attempts=attempts)
    await db.transact(deliveries.release, "one", [done], (10,), clock.now())
    await db.close()


def test_the_log_is_listed(database_with_log: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each attempt is a line, latest first; what waits is counted; no address is shown."""
    assert run(["callbacks", "--database", database_with_log, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["waiting"] == 2
    assert [(d["status"], d["error"], d["state"]) for d in answer["deliveries"]] == [
        (None, "no answer in time", "queued"),
        (200, "", "delivered"),
    ]
    assert answer["deliveries"][0]["dueAt"] == "2026-03-02T08:00:10+00:00"
    assert run(["callbacks", "--database", database_with_log]) == 0
    text = capsys.readouterr().out
    assert "2 messages wait." in text
    assert "secret" not in text


def test_the_log_is_narrowed(database_with_log: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Account, campaign, state and page choose among the attempts."""

    def ask(*flags: str) -> list[int]:
        assert run(["callbacks", "--database", database_with_log, "--json", *flags]) == 0
        return [d["id"] for d in json.loads(capsys.readouterr().out)["deliveries"]]

    assert ask("--state", "delivered") == [1]
    assert ask("--before", "2") == [1]
    assert ask("--limit", "1") == [2]
    assert ask("--campaign", "C1", "--account", "0242078689-00001") == [2, 1]
    assert ask("--campaign", "c2") == []
    assert ask("--account", "0242078689-00002") == []


def test_a_state_that_is_none_is_wrong_usage(database_with_log: str) -> None:
    """A misspelt state is refused, not taken for a filter that finds nothing."""
    assert run(["callbacks", "--database", database_with_log, "--state", "lost"]) == 2
