"""Rosters of LwM2M devices: files, and devices that are made up."""

import json
from pathlib import Path

import pytest

from overair.protocols.lwm2m.objects import Cell
from overair.sim.lwm2m.roster import (
    BOTH,
    HTTP,
    PULL,
    PUSH,
    Kinds,
    generate_cells,
    generate_roster,
    read_roster,
)
from overair.sim.roster import RosterError

IMEI = "990013900000014"


def file(directory: Path, *rows: dict[str, object]) -> Path:
    path = directory / "devices.ndjson"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_made_up_devices() -> None:
    """They are the same each time, with names of their own and kinds in the shares that were asked for."""
    kinds = Kinds(queue=0.3, old=0.2, push=0.4, http=0.3, seed=1)
    roster = generate_roster(1000, kinds=kinds)
    assert roster == generate_roster(1000, kinds=kinds)
    assert len({device.name for device in roster}) == 1000
    assert 0.25 < sum(device.queue_mode for device in roster) / 1000 < 0.35
    assert 0.15 < sum(device.enabler == "1.0" for device in roster) / 1000 < 0.25
    ways = [device.delivery for device in roster]
    assert 0.35 < ways.count(PUSH) / 1000 < 0.45
    assert 0.25 < ways.count(PULL) / 1000 < 0.35
    assert {device.schemes for device in roster if device.delivery == PULL} == {(HTTP,)}
    assert BOTH in ways
    assert len(set(generate_cells(300))) == 300


def test_a_file(tmp_path: Path) -> None:
    """The members of a fleet file are read; what it does not say is drawn; other protocols are passed over."""
    path = file(
        tmp_path,
        {
            "deviceId": IMEI,
            "protocol": "LWM2M",
            "model": "X9",
            "version": "07",
            "lwm2m": {"endpoint": "meter-1"},
            "enabler": "1.0",
            "queueMode": True,
            "lifetime": 600,
            "cell": "311-480-7",
        },
        {"imei": "990013900000022"},
        {"deviceId": "990013900000030", "protocol": "OMADM"},
    )
    first, second = read_roster(path, Kinds(queue=1.0, lifetime_s=90))
    assert (first.name, first.model, first.version) == ("meter-1", "X9", "07")
    assert (first.enabler, first.queue_mode, first.lifetime_s) == ("1.0", True, 600)
    assert first.cell == Cell(311, 480, 7)
    assert second.name == "urn:imei:990013900000022"
    assert (second.queue_mode, second.lifetime_s, second.cell) == (True, 90, None)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"deviceId": "12"}, "15 digits"),
        ({"deviceId": IMEI, "enabler": "2.0"}, "1.0 or 1.1"),
        ({"deviceId": IMEI, "lifetime": 5}, "lifetime"),
        ({"deviceId": IMEI, "lifetime": "long"}, "lifetime"),
        ({"deviceId": IMEI, "cell": "here"}, "mcc-mnc-id"),
        ({"deviceId": IMEI, "protocol": "HTTP"}, "no LwM2M devices"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, row: dict[str, object], words: str) -> None:
    """What is wrong with a file is said, with the line."""
    with pytest.raises(RosterError, match=words):
        read_roster(file(tmp_path, row))
    with pytest.raises(RosterError, match="there twice"):
        read_roster(file(tmp_path, {"deviceId": IMEI}, {"deviceId": IMEI}))


@pytest.mark.parametrize(
    "wrong", [{"queue": 2.0}, {"push": 0.6, "http": 0.6}, {"lifetime_s": 3}, {"awake_s": 0.0}]
)
def test_kinds_that_are_none(wrong: dict[str, float]) -> None:
    """Shares beyond 0 and 1, and times that are too short, are refused."""
    with pytest.raises(ValueError):
        Kinds(**wrong)  # type: ignore[arg-type]  # its members
