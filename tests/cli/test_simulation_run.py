"""``overair simulation run``: what it prints, and with which status it ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from overair.cli import run
from tests.simulation import plants

RUN = ["simulation", "run"]
LOST = "lost_update"  # found by seed 4


def test_many_seeds_are_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    """What was simulated, the faults by kind, and what operators did."""
    assert run([*RUN, "--seeds", "2", "--from", "3", "--jobs", "1"]) == 0
    said = " ".join(capsys.readouterr().out.split())  # in lines as wide as the screen
    assert said.startswith("2 seeds in ")
    assert " 0 failed: " in said
    assert " Faults: " in said
    assert said.endswith(" upload.")


def test_many_seeds_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The same for programs; on several cores it is the same."""
    found = []
    for jobs in ("1", "2"):
        assert run([*RUN, "--seeds", "3", "--jobs", jobs, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
        found[-1].pop("seconds")
        found[-1].pop("virtualSeconds")
        found[-1].pop("deviceYears")
    assert found[0] == found[1]
    assert found[0]["seeds"] == 3
    assert found[0]["failed"] == {}
    assert found[0]["requests"] > 0


def test_for_so_many_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """No seed is begun after that, and one is."""
    assert run([*RUN, "--seconds", "0.2", "--jobs", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["seeds"] >= 1


def test_a_seed_that_fails_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what did not hold, the command that shows it, and status 1."""
    getattr(plants, LOST)(monkeypatch)
    assert run([*RUN, "--seeds", "2", "--from", "3", "--jobs", "1"]) == 1
    said = capsys.readouterr().out
    assert "seed 4: tally: " in said
    assert "`overair simulation run --seed 4 --trace`" in said


def test_one_seed_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    """What happened, and that everything holds."""
    assert run([*RUN, "--seed", "3", "--trace"]) == 0
    said = capsys.readouterr().out
    assert "operator   POST /api/ts/v1/oauth2/token" in said
    assert said.endswith("Everything holds.\n")


def test_a_seed_that_fails_is_made_small(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scenario that is left is printed; of one that holds there is nothing to say."""
    assert run([*RUN, "--seed", "3", "--shrink"]) == 0
    assert "There is nothing to make smaller." in capsys.readouterr().out
    getattr(plants, LOST)(monkeypatch)
    assert run([*RUN, "--seed", "4", "--shrink"]) == 1
    said = capsys.readouterr().out
    assert "'steps': (" in said
    assert "tally: " in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--seed", "1", "--seeds", "2"], "--seed N is one seed"),
        (["--seed", "1", "--from", "2"], "--seed N is one seed"),
        (["--seeds", "2", "--trace"], "say which with --seed N"),
        (["--seeds", "0"], "Must be >= 1"),
        (["--seconds", "0"], "Must be > 0"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a sentence that says what would."""
    assert run([*RUN, *words]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [(["--seeds", "100000", "--jobs", "1"], b"1 seeds in "), (["--seed", "3", "--trace"], b"")],
)
def test_who_interrupts_is_heard(words: list[str], says: bytes, tmp_path: Path) -> None:
    """Many seeds are summed up until there; of one nothing is said, and nothing is left in memory."""
    interrupted = (
        "import os, signal\n"
        "from overair.simulation import batch, running\n"
        "running.IN_MEMORY = '/nowhere'\n"
        "real = batch.simulate\n"
        "def simulate(*told, **more):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(*told, **more)\n"
        "batch.simulate = simulate\n"
        "from overair.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", interrupted, *RUN, *words],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 128 + signal.SIGINT
    assert done.stdout.startswith(says)
    assert done.stderr == b""
    assert not list(tmp_path.iterdir())


def test_who_interrupts_at_once_is_heard_by_one(tmp_path: Path) -> None:
    """Processes that are only being begun say nothing of it: a terminal interrupts them all."""
    interrupted = (
        "import os, signal\n"
        "from overair.simulation import batch, running\n"
        "running.IN_MEMORY = '/nowhere'\n"
        "class Pool(batch.ProcessPoolExecutor):\n"
        "    def submit(self, *told, **more):\n"
        "        given = super().submit(*told, **more)\n"
        "        os.killpg(0, signal.SIGINT)\n"
        "        return given\n"
        "batch.ProcessPoolExecutor = Pool\n"
        "from overair.cli import main\n"
        "if __name__ == '__main__':\n"
        "    main()\n"
    )
    script = tmp_path / "interrupted.py"
    script.write_text(interrupted)
    done = subprocess.run(
        [sys.executable, str(script), *RUN, "--seeds", "100000", "--jobs", "2"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == 128 + signal.SIGINT
    assert done.stdout.startswith(b"1 seeds in ")
    assert done.stderr == b""
    assert list(tmp_path.iterdir()) == [script]
