"""``overair device keys`` and ``device bootstrap --format lwm2m``, on both databases."""

import io
import json
from pathlib import Path

import pytest

from overair.cli import run
from tests.cli.test_device_accounts import place
from tests.cli.test_fleet import IMEI, answer, refusal

KEY = "0b" * 16
__all__ = ["place"]  # a fixture


def keys(capsys: pytest.CaptureFixture[str], flags: list[str], *told: str) -> dict[str, str]:
    found: dict[str, str] = answer(capsys, "device", "keys", IMEI, *told, *flags)["lwm2m"]
    return found


def test_keys_are_not_shown(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Names, and which keys there are; ``device show`` says the same."""
    facts = {
        "endpoint": f"urn:imei:{IMEI}",
        "identity": "me",
        "key": "set",
        "bootstrapIdentity": None,
        "bootstrapKey": "none",
        "givenIdentity": None,
        "bootstrapTime": None,
        "bootstrapOutcome": None,
    }
    assert keys(capsys, place) == facts
    assert answer(capsys, "device", "show", IMEI, *place)["lwm2m"] == facts
    assert run(["device", "keys", IMEI, *place]) == 0
    assert run(["device", "show", IMEI, *place]) == 0
    assert "0a0a" not in capsys.readouterr().out


def test_keys_are_set(
    place: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the command line or standard input, and exported again."""
    monkeypatch.setattr("sys.stdin", io.StringIO(KEY + "\n"))
    keys(capsys, place, "--bootstrap-identity", "factory", "--bootstrap-key", "-")
    keys(capsys, place, "--identity", "you", "--key", KEY, "--endpoint", "meter")
    exported = answer(capsys, "export", *place)["devices"]
    (block,) = [device["lwm2m"] for device in exported if device["deviceId"] == IMEI]
    assert block == {
        "endpoint": "meter",
        "pskIdentity": "you",
        "pskKeyHex": KEY,
        "bootstrapIdentity": "factory",
        "bootstrapKeyHex": KEY,
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--new-bootstrap-key", "--bootstrap-key", KEY], "not both"),
        (["--key", "-", "--bootstrap-key", "-"], "holds one key"),
        (["--key", "xyz"], "--key: is not in hexadecimal digits"),
        (["--key", "0b" * 15], "--key: has 16 to 64 bytes"),
        (["--identity", "ä" * 65], "--identity: has 1 to 128 bytes"),
        (["--endpoint", "a\nb"], "--endpoint: has 1 to 255 bytes"),
        (["--bootstrap-key", KEY], "--bootstrap-identity and --bootstrap-key go together"),
    ],
)
def test_what_cannot_be_set(
    place: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """A wrong argument is named, and nothing changes."""
    before = keys(capsys, place)
    assert said in refusal(capsys, 2, "device", "keys", IMEI, *arguments, *place)["error"]
    assert keys(capsys, place) == before


def test_what_is_put_into_a_device(
    place: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Where the bootstrap server is, and the key for it, in a file for its owner alone."""
    told = ["device", "bootstrap", IMEI, "--format", "lwm2m"]
    where = ["--address", "coaps://bs.example:5694"]
    assert "--new-bootstrap-key" in refusal(capsys, 2, *told, *where, *place)["error"]
    assert keys(capsys, place, "--new-bootstrap-key")["bootstrapKey"] == "set"
    assert "--address" in refusal(capsys, 2, *told, *place)["error"]
    assert "OMA-DM" in refusal(capsys, 2, *told, *where, "--pin", "1", *place)["error"]
    out = tmp_path / "account.json"
    assert run([*told, *where, "--out", str(out), *place]) == 0
    assert out.stat().st_mode & 0o077 == 0
    found = json.loads(out.read_text())
    key = found.pop("keyHex")
    assert len(bytes.fromhex(key)) == 16
    assert found == {
        "uri": "coaps://bs.example:5694",
        "bootstrapServer": True,
        "securityMode": "psk",
        "identity": f"urn:imei:{IMEI}",
    }
    capsys.readouterr()
    assert run([*told, *where, *place]) == 0
    assert json.loads(capsys.readouterr().out)["keyHex"] == key
