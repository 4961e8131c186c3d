"""What all commands have in common, and those about single records."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from overair.cli import COMMANDS, run
from overair.core.credentials import fingerprint
from tests.cli.test_fleet import ACCOUNT, EXAMPLE, IMAGE, IMEI, answer, refusal

NEXT = "990013907835574"


@pytest.fixture
def place(tmp_path: Path, database_url: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The flags of an installation with the example in it and a device without a token."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x1-02.swu").write_bytes(IMAGE)
    path = tmp_path / "fleet.yaml"
    path.write_text(EXAMPLE + f"  - {{account: '{ACCOUNT}', deviceId: '{NEXT}'}}\n")
    flags = ["--data", str(tmp_path / "data"), "--database", database_url]
    answer(capsys, "import", path, *flags)
    return flags


def hashes(capsys: pytest.CaptureFixture[str], place: list[str]) -> dict[str, str]:
    """The stored hashes of the devices' tokens."""
    devices = answer(capsys, "export", *place)["devices"]
    return {device["deviceId"]: device["ddi"]["tokenHash"] for device in devices}


# Devices -----------------------------------------------------------------------------------------


def test_a_token_that_was_made_is_shown(
    place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """``device show`` shows the token that opens, and ``--new-token`` another one."""
    token = answer(capsys, "device", "show", NEXT, *place)["token"]
    assert fingerprint(token) == hashes(capsys, place)[NEXT]
    renewed = answer(capsys, "device", "show", NEXT, "--new-token", *place)["token"]
    assert renewed != token
    assert fingerprint(renewed) == hashes(capsys, place)[NEXT]


def test_a_token_brought_along_is_not_shown(
    place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a token that the file gave only the hash is kept, and that is said."""
    shown = answer(capsys, "device", "show", IMEI, *place)
    assert (shown["token"], shown["tokenSet"]) == (None, True)
    assert (shown["make"], shown["licensed"], shown["protocols"]) == (
        "Acme",
        True,
        ["LWM2M", "OMADM"],
    )
    assert run(["device", "show", IMEI, *place]) == 0
    out = capsys.readouterr().out
    assert "was brought along" in out
    assert "a-token" not in out


def test_a_token_of_another_installation_is_not_shown(
    place: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With another key the derived token would be wrong, so none is shown."""
    other = ["--data", str(tmp_path / "other"), *place[2:]]
    assert answer(capsys, "device", "show", NEXT, *other)["token"] is None


def test_a_device_is_asked_again(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """``device refresh`` asks a device that is known, and names the way out for another."""
    assert answer(capsys, "device", "refresh", IMEI, *place) == {"deviceId": IMEI, "asked": True}
    assert run(["device", "refresh", IMEI, *place]) == 0
    assert "next check-in" in capsys.readouterr().out
    assert "overair export" in refusal(capsys, 2, "device", "refresh", "1", *place)["error"]


# Software and subscriptions ----------------------------------------------------------------------


def test_software_is_added_and_changed(
    place: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``package add`` adds once, and changes what is named later."""
    image = tmp_path / "next.swu"
    image.write_bytes(b"next")
    add = ["package", "add", str(image), "--name", "n", "--make", "Acme", "--model", "X1"]
    add += ["--from", "02", "--to", "03", "--launch-date", "2026-02-03", *place]
    assert answer(capsys, *add) == {"name": "n", "created": True, "changed": True}
    assert answer(capsys, *add) == {"name": "n", "created": False, "changed": False}
    answer(capsys, "package", "add", "--name", "n", "--account", ACCOUNT, *place)
    assert run(["package", "list", *place]) == 0
    package = answer(capsys, "package", "list", *place)[1]
    assert package["accounts"] == [ACCOUNT]
    assert (package["from"], package["to"], package["sizeBytes"]) == ("02", "03", 4)
    assert package["launchDate"] == "2026-02-03"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--name", "n"], "--make: is required of a new package"),
        (["--name", "n", "--launch-date", "soon"], "--launch-date: "),
        (["missing.swu", "--name", "FOTA_Acme_X1_01To02"], "missing.swu: No such file"),
        (["--name", "FOTA_Acme_X1_01To02", "--account", "x"], "--account: there is no account x"),
        (["--name", ""], "--name: must not be empty"),
    ],
)
def test_wrong_software(
    place: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """A mistake is said with the option that it is in."""
    error = refusal(capsys, 2, "package", "add", *arguments, *place)["error"]
    assert error.startswith(said)


def test_a_subscription_is_changed(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """``subscription set`` changes what is given; a smaller pool takes licences away."""
    shown = answer(capsys, "subscription", "show", ACCOUNT, *place)
    assert (shown["licenseCount"], shown["licenseUsedCount"]) == (500, 1)
    changed = answer(capsys, "subscription", "set", ACCOUNT, "--license-count", "0", *place)
    assert (changed["licenseCount"], changed["licenseUsedCount"]) == (0, 0)
    assert changed["purchaseType"] == shown["purchaseType"]
    flags = ["--purchase-type", "gold", *place]
    assert "gold" in refusal(capsys, 2, "subscription", "set", ACCOUNT, *flags)["error"]
    refusal(capsys, 2, "subscription", "show", "nobody", *place)


@pytest.mark.parametrize(
    "command",
    [
        ["account", "list"],
        ["package", "list"],
        ["campaign", "list"],
        ["device", "show", IMEI],
        ["subscription", "show", ACCOUNT],
        ["explain", IMEI],
        ["verify"],
        ["export"],
        ["migrate"],
    ],
)
def test_commands_speak_to_people_and_to_programs(
    place: list[str], capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """Each command answers in words, and with --json in JSON."""
    answer(capsys, *command, *place)
    assert run([*command, *place]) == 0
    assert capsys.readouterr().out


def test_licences_taken_away_are_counted(
    place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever makes the pool too small is told what it did; otherwise nothing is said of it."""
    command = ["subscription", "set", ACCOUNT, *place]
    assert run([*command, "--license-count", "0"]) == 0
    assert "Licences taken away: 1." in capsys.readouterr().out
    assert run([*command, "--license-count", "5"]) == 0
    assert "taken away" not in capsys.readouterr().out


def test_the_database_is_its_owners(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Listeners' passwords and devices' keys are in it: nobody else may read the files."""
    answer(capsys, "migrate", "--data", tmp_path / "data")
    modes = {path.name: path.stat().st_mode & 0o077 for path in (tmp_path / "data").iterdir()}
    assert modes["overair.db"] == 0
    assert set(modes.values()) == {0}


def test_a_file_that_is_not_there_is_named_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the file, and does not say it twice."""
    missing = tmp_path / "missing.yaml"
    error = refusal(capsys, 2, "import", missing, "--data", tmp_path / "data")["error"]
    assert error == f"{missing}: No such file or directory; nothing was changed"


# Errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["acount"], "there is no command acount; did you mean account?"),
        (["device", "shw"], "there is no command device shw; did you mean show?"),
        (["device", "show"], "requires an argument"),
        (["verify", "--dta", "x"], "--dta"),
        (["serve", "--http", "here"], "is not address:port"),
        (["verify", "--config", "missing.toml"], "missing.toml"),
        (["verify", "--database", "mysql://x"], "--database: "),
        (["device", "show", "1"], None),
    ],
)
def test_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str | None
) -> None:
    """Wrong usage is status 2 and one sentence; JSON where JSON was asked for."""
    data = ["--data", str(tmp_path)] if said is None else []
    if said is None:
        answer(capsys, "migrate", *data)
    error = refusal(capsys, 2, *arguments, *data)["error"]
    assert (said or "there is no device 1") in error
    assert "\n" not in error
    assert run([*arguments, *data]) == 2
    assert capsys.readouterr().err == f"overair: {error}\n"


@pytest.mark.parametrize(
    "flags", [["--data", "nowhere"], ["--database", "postgresql://127.0.0.1:1/none"]]
)
def test_a_database_that_is_not_there(capsys: pytest.CaptureFixture[str], flags: list[str]) -> None:
    """A database that cannot be reached is status 3, and none is made by looking."""
    assert refusal(capsys, 3, "verify", *flags)["error"]
    assert not Path("nowhere").exists()


def test_a_command_loads_what_it_needs() -> None:
    """The server, its libraries and PostgreSQL's driver are not loaded for a look at SQLite."""
    program = (
        "import sys; from overair.cli import run; run(['account', 'list', '--data', '/nowhere']);"
        "print([m for m in ('granian', 'starlette', 'aiohttp', 'psycopg', 'obstore', 'yaml')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_every_command_exists(capsys: pytest.CaptureFixture[str]) -> None:
    """What is listed can be called: each command explains itself."""
    for name, *_ in COMMANDS:
        assert run([name, "--help"]) == 0, name
    assert "Usage" in capsys.readouterr().out


def test_json_is_json(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An export on standard output is the document, in either language."""
    document: dict[str, Any] = answer(capsys, "export", *place)
    assert run(["export", *place]) == 0
    text = capsys.readouterr().out
    assert text.startswith("accounts:\n- name: 0000123456-00001\n")
    assert json.dumps(document).count("tokenHash") == text.count("tokenHash")


@pytest.mark.parametrize("command", [("verify",), ("export",), ("campaign", "list"), ("migrate",)])
def test_a_file_that_is_no_database(
    tmp_path: Path, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged database is named, with what can be done, in one sentence."""
    (tmp_path / "overair.db").write_bytes(b"this was a database once, and is none now. " * 40)
    error = refusal(capsys, 3, *command, "--data", tmp_path)["error"]
    assert error.startswith(f"{tmp_path / 'overair.db'}: ")
    assert error.endswith("restore it from a backup")
