"""What an operator says by hand of devices in the network, and the tokens of the feed."""

from pathlib import Path

import pytest

from overair.cli import run
from overair.core.credentials import fingerprint
from tests.cli.test_commands import place
from tests.cli.test_fleet import IMEI, answer, refusal

__all__ = ["place"]


def test_a_token_is_shown_once(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """``token add`` shows the token; nothing shows it again, and ``token revoke`` ends it."""
    token = answer(capsys, "token", "add", "core", *place)["token"]
    assert len(token) >= 40
    (shown,) = answer(capsys, "token", "list", *place)
    assert (shown["name"], shown["revokedAt"]) == ("core", None)
    assert token not in str(shown)
    assert fingerprint(token) not in str(shown)
    assert "already" in refusal(capsys, 2, "token", "add", "core", *place)["error"]
    assert answer(capsys, "token", "revoke", "core", *place) == {"name": "core", "revoked": True}
    assert "no valid token" in refusal(capsys, 2, "token", "revoke", "core", *place)["error"]
    assert run(["token", "add", "core", *place]) == 0
    assert len(capsys.readouterr().out.split()) == 1
    assert run(["token", "list", *place]) == 0
    assert capsys.readouterr().out.count("core") == 2
    assert run(["token", "revoke", "core", *place]) == 0
    assert "opens nothing" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "a\x1b[2J"])
def test_names_that_are_none(
    place: list[str], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A token is called by a word that a terminal can show."""
    assert "printable" in refusal(capsys, 2, "token", "add", name, *place)["error"]


def test_no_tokens(place: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there are none, the way to one is named."""
    assert run(["token", "list", *place]) == 0
    assert "overair token add" in capsys.readouterr().out


def test_a_device_attaches_and_detaches(
    place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is said by hand counts as the latest, time after time."""
    shown = answer(capsys, "network", "show", IMEI, *place)
    assert (shown["attached"], shown["waiting"], shown["address"]) == (None, False, None)
    address = "198.51.100.7:2948"
    found = answer(capsys, "network", "attach", IMEI, "--address", address, *place)
    assert (found["attached"], found["address"]) == (True, address)
    assert found["waiting"] is False, "no update waits for it"
    found = answer(capsys, "network", "detach", IMEI, *place)
    assert (found["attached"], found["waiting"], found["address"]) == (False, False, None)
    found = answer(capsys, "network", "attach", IMEI, *place)
    assert found["attached"] is True
    assert found["attachedAt"] > found["detachedAt"]
    assert run(["network", "attach", IMEI, "--address", address, *place]) == 0
    out = capsys.readouterr().out
    assert "is attached" in out
    assert address in out
    assert "in line" not in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["attach", "1"], "there is no device 1"),
        (["detach", "1"], "there is no device 1"),
        (["show", "1"], "there is no device 1"),
        (["attach", IMEI, "--address", "a:0"], "--address: "),
    ],
)
def test_mistakes(
    place: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """A mistake is said, and nothing is changed."""
    assert refusal(capsys, 2, "network", *arguments, *place)["error"].startswith(said)
    assert answer(capsys, "network", "show", IMEI, *place)["attached"] is None
