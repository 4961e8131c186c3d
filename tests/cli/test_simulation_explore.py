"""``overair simulation explore``: what it prints, and with which status it ends."""

import json

import pytest

from overair.cli import run
from overair.store import tally

EXPLORE = ["simulation", "explore", "--version", "v2"]


def test_the_figures_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """States, transitions and the depth are said, and that everything holds."""
    assert run([*EXPLORE, "--depth", "2"]) == 0
    said = capsys.readouterr().out
    assert "transitions" in said
    assert "Every invariant holds" in said


def test_the_figures_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The same for programs, with the new states of each depth."""
    assert run([*EXPLORE, "--depth", "2", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["explorations"]
    assert found["version"] == "v2"
    assert found["depth"] == 2
    assert found["states"] == sum(found["newStatesByDepth"])
    assert found["violation"] is None


def test_a_search_stops_at_a_number_of_states(capsys: pytest.CaptureFixture[str]) -> None:
    """No deeper once there are so many; the depth that is said is the one that was done."""
    assert run([*EXPLORE, "--depth", "9", "--states", "20", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["explorations"]
    assert found["depth"] == 1


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_what_must_not_be_is_told_as_a_list_of_events(
    form: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The invariant, what contradicts it, and the way there; the status is 1."""
    monkeypatch.setattr(tally, "move", lambda *_: None)
    assert run([*EXPLORE, "--depth", "1", *form]) == 1
    said = capsys.readouterr().out
    assert "verify: tally" in said
    assert "a campaign that was asked for" in said
    assert "the engine carries campaign 1 a step on" in said
