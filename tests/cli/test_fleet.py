"""``overair import`` and ``export`` as a person runs them, on both databases."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from overair.cli import run
from tests.waiting import wait_for

ACCOUNT = "0000123456-00001"
IMEI = "990013907835573"

# The example of the specification, with values that are some.
EXAMPLE = f"""
accounts:
  - name: "{ACCOUNT}"
    alias: acme
    active: true
    subscription:
      purchaseType: "TS-HFOTA-EVNT,TS-HFOTA-MRC"
      licenseCount: 500
    gatewayToken: null
applications:
  - {{key: demo-key, secret: demo-secret}}
users:
  - {{username: demo, password: demo-pass, accounts: ["{ACCOUNT}"]}}
packages:
  - name: FOTA_Acme_X1_01To02
    protocol: HTTP
    make: Acme
    model: X1
    from: "01"
    to: "02"
    launchDate: "2026-01-01"
    releaseNote: ""
    file: images/x1-02.swu
    accounts: null
devices:
  - account: "{ACCOUNT}"
    deviceId: "{IMEI}"
    mdn: "8585551234"
    make: Acme
    model: X1
    protocol: HTTP
    version: "01"
    fotaEligible: true
    status: Active
    licensed: true
    timeZone: null
    ddi: {{token: "a-token", controllerId: null, twoPhase: false}}
    lwm2m: {{endpoint: "urn:imei:{IMEI}", pskIdentity: "me", pskKeyHex: "{"0a" * 16}"}}
    omadm: {{clientName: "c", clientSecret: "s", serverSecret: "t", auth: md5,
             notify: {{host: 127.0.0.1, port: 2948}}}}
"""
IMAGE = b"an image of a system" * 1000


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The fleet file with its image."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x1-02.swu").write_bytes(IMAGE)
    path = tmp_path / "fleet.yaml"
    path.write_text(EXAMPLE)
    return path


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> list[str]:
    """The flags of an installation, once on each database."""
    return ["--data", str(tmp_path / "data"), "--database", database_url]


def answer(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Any:
    """What a command answers in JSON; it must succeed."""
    capsys.readouterr()
    assert run([*map(str, arguments), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def refusal(capsys: pytest.CaptureFixture[str], status: int, *arguments: str | Path) -> Any:
    """The error of a command in JSON; it must fail with that status, and say nothing else."""
    capsys.readouterr()
    assert run([*map(str, arguments), "--json"]) == status
    out, err = capsys.readouterr()
    assert out == ""
    return json.loads(err)


def test_the_example_of_the_specification(
    example: Path, place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The example is imported, once; the second time nothing changes."""
    first = answer(capsys, "import", example, *place)
    assert {kind: tally["created"] for kind, tally in first.items()} == {
        "accounts": 1,
        "applications": 1,
        "users": 1,
        "packages": 1,
        "devices": 1,
    }
    for tally in answer(capsys, "import", example, *place).values():
        assert tally == {"created": 0, "changed": 0, "unchanged": 1}
    (account,) = answer(capsys, "account", "list", *place)
    assert (account["licenseUsedCount"], account["licenseCount"], account["devices"]) == (1, 500, 1)
    assert answer(capsys, "verify", *place)["findings"] == []


@pytest.mark.parametrize("ending", ["", ".csv", ".ndjson"])
def test_an_export_makes_the_same_installation(
    example: Path,
    place: list[str],
    tmp_path: Path,
    ending: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Export, with the bytes of software, and import elsewhere: the same export, the same bytes."""
    answer(capsys, "import", example, *place)
    out = tmp_path / "out"
    flags = ["--files", str(out / "files")]
    flags += ["--devices-file", str(out / f"devices{ending}")] if ending else []
    assert run(["export", str(out / "fleet.yaml"), *flags, *place]) == 0
    assert ((out / "fleet.yaml").stat().st_mode & 0o077) == 0
    elsewhere = ["--data", str(tmp_path / "elsewhere")]
    answer(capsys, "import", out / "fleet.yaml", *elsewhere)
    assert answer(capsys, "export", *elsewhere) == answer(capsys, "export", *place)
    (package,) = answer(capsys, "package", "list", *elsewhere)
    sha256 = package["sha256"]
    kept = tmp_path / "elsewhere" / "artifacts" / sha256[:2] / sha256[2:4] / sha256
    assert kept.read_bytes() == IMAGE
    assert package["fileName"] == "x1-02.swu"


def test_bytes_that_are_not_there_are_an_error(
    example: Path, place: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An export without bytes is refused where the artifact storage has not got them."""
    answer(capsys, "import", example, *place)
    assert run(["export", str(tmp_path / "out.json"), *place]) == 0
    error = refusal(capsys, 2, "import", tmp_path / "out.json", "--data", tmp_path / "new")
    assert error["problems"][0]["path"] == "$.packages[0].artifact"


def test_nothing_is_changed_by_a_file_with_an_error(
    example: Path, place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """An error anywhere: exit status 2, its path, and the database as it was."""
    answer(capsys, "import", example, *place)
    before = answer(capsys, "export", *place)
    wrong = EXAMPLE.replace("make: Acme", "make: Other")
    example.write_text(wrong + f"  - {{account: '{ACCOUNT}', deviceId: '1'}}\n")
    error = refusal(capsys, 2, "import", example, *place)
    assert error["problems"] == [{"path": "$.devices[1].deviceId", "rule": "an IMEI has 15 digits"}]
    assert error["error"].endswith("an IMEI has 15 digits; nothing was changed")
    example.write_text(EXAMPLE.replace("timeZone: null", "timeZone: Mars/Base"))
    assert refusal(capsys, 2, "import", example, *place)["problems"][0]["path"] == (
        "$.devices[0].timeZone"
    )
    (example.parent / "images" / "x1-02.swu").unlink()
    assert refusal(capsys, 2, "import", example, *place)["problems"][0]["path"] == (
        "$.packages[0].file"
    )
    assert answer(capsys, "export", *place) == before


def test_an_error_in_the_last_row_of_a_devices_file(
    tmp_path: Path, place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """All of a devices file is checked before its first batch is written."""
    fleet = _many(tmp_path, 2500)
    with (tmp_path / "devices.csv").open("a") as file:
        file.write(f"{ACCOUNT},990013900000000,Acme\n")
    error = refusal(capsys, 2, "import", fleet, *place)
    assert error["problems"] == [
        {
            "path": "$.devicesFile[2500].deviceId",
            "rule": "990013900000000 is there twice: see $.devicesFile[0]",
        }
    ]
    assert answer(capsys, "account", "list", *place) == []


def _many(directory: Path, count: int) -> Path:
    """A fleet file with so many devices in a file beside it."""
    rows = (f"{ACCOUNT},99001390{number:07d},Acme\n" for number in range(count))
    with (directory / "devices.csv").open("w") as file:
        file.write("account,deviceId,make\n")
        file.writelines(rows)
    path = directory / "many.json"
    path.write_text(json.dumps({"accounts": [{"name": ACCOUNT}], "devicesFile": "devices.csv"}))
    return path


def test_an_import_that_was_killed_is_completed_by_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was written is whole; the same file again writes the rest."""
    fleet, data = _many(tmp_path, 20_000), tmp_path / "data"
    program = [sys.executable, "-c", "from overair.cli import main; main()"]
    with subprocess.Popen([*program, "import", str(fleet), "--data", str(data)]) as process:
        wait_for(lambda: _count(data) > 0, "the first devices to be written", 60)
        process.send_signal(signal.SIGKILL)
    written = _count(data)
    assert written % 1000 == 0
    tally = answer(capsys, "import", fleet, "--data", data)["devices"]
    assert (tally["created"], tally["unchanged"]) == (20_000 - written, written)
    assert answer(capsys, "verify", "--data", data)["findings"] == []


def _count(data: Path) -> int:
    path = data / "overair.db"
    if not path.exists():
        return 0
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        (count,) = connection.execute("select count(*) from device").fetchone()
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()
    return int(count)


def test_a_changed_image_replaces_the_old_one(
    example: Path, place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Other bytes under the same name are taken in; the same bytes are not."""
    answer(capsys, "import", example, *place)
    (example.parent / "images" / "x1-02.swu").write_bytes(b"other")
    assert answer(capsys, "import", example, *place)["packages"]["changed"] == 1
    (package,) = answer(capsys, "package", "list", *place)
    assert package["sizeBytes"] == 5


@pytest.mark.parametrize("name", ["fleet.txt", "missing.yaml"])
def test_files_that_are_none(
    tmp_path: Path, place: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fleet file that is not there, or of another kind, is wrong input."""
    (tmp_path / "fleet.txt").touch()
    assert name in refusal(capsys, 2, "import", tmp_path / name, *place)["error"]
    answer(capsys, "migrate", *place)
    refusal(capsys, 2, "export", tmp_path / "out.txt", *place)
    refusal(capsys, 2, "export", "--devices-file", tmp_path / "out.txt", *place)
    refusal(capsys, 2, "export", "/proc/none/out.json", *place)


def test_an_image_without_an_end_is_refused(
    example: Path, place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe or a device in an image's place is refused at once, and not read for ever."""
    image = example.parent / "images" / "x1-02.swu"
    image.unlink()
    os.mkfifo(image)
    assert "is no file" in refusal(capsys, 2, "import", example, *place)["error"]
    image.unlink()
    image.symlink_to("/dev/zero")
    assert "is no file" in refusal(capsys, 2, "import", example, *place)["error"]
