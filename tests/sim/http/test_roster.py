"""Which devices a fleet has, and what can happen to them."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.sim.http.profile import Behaviour, Fate
from overair.sim.http.roster import SimDevice, generate_roster, read_roster
from overair.sim.roster import RosterError


def test_a_csv_roster(tmp_path: Path) -> None:
    """A header line, unknown columns ignored, what is missing at its default."""
    path = tmp_path / "fleet.csv"
    path.write_text(
        "imei,token,make,model,version,two_phase,note\n"
        "990013900000012,abc,Acme,X2,07,true,first\n"
        "990013900000020,,,,,,\n",
        encoding="utf-8",
    )
    assert read_roster(path) == (
        SimDevice(
            controller_id="990013900000012",
            token="abc",
            make="Acme",
            model="X2",
            version="07",
            two_phase=True,
        ),
        SimDevice(controller_id="990013900000020"),
    )


def test_an_ndjson_roster(tmp_path: Path) -> None:
    """One object a line, empty lines ignored, with a byte order mark as Windows writes it."""
    path = tmp_path / "fleet.ndjson"
    path.write_text(
        '\ufeff{"controller_id": "a", "two_phase": true}\n\n{"controller_id": "b", "token": null}\n',
        encoding="utf-8",
    )
    assert read_roster(path) == (
        SimDevice(controller_id="a", two_phase=True),
        SimDevice(controller_id="b"),
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("f.csv", "imei,token\n", "no devices"),
        ("f.csv", "token\nabc\n", "line 2: controller_id"),
        ("f.csv", "imei\na\na\n", "line 3: a is there twice"),
        ("f.csv", "imei,token\na,b c\n", "line 2: token"),
        ("f.csv", "imei,two_phase\na,maybe\n", "line 2: two_phase"),
        ("f.csv", "imei\n" + "x" * 200_000, "line 1: field larger"),
        ("f.jsonl", '{"imei": 5}', "line 1: imei is not a text"),
        ("f.json", "{", "line 1: not JSON"),
        ("f.json", "[" * 100_000, "line 1: not JSON"),
        ("f.ndjson", "\n[]", "line 2: not a JSON object"),
    ],
)
def test_a_roster_that_cannot_be_used(tmp_path: Path, name: str, text: str, message: str) -> None:
    """The error names the line."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RosterError, match=message):
        read_roster(path)


def test_a_roster_that_is_no_text(tmp_path: Path) -> None:
    """Not there, or not UTF-8."""
    with pytest.raises(RosterError):
        read_roster(tmp_path / "none.csv")
    (tmp_path / "f.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(RosterError):
        read_roster(tmp_path / "f.csv")


def test_made_up_devices() -> None:
    """The same each time, with valid check digits, no two alike."""
    roster = generate_roster(200)
    assert roster == generate_roster(200)
    assert len({device.controller_id for device in roster}) == 200
    assert len({device.token for device in roster}) == 200
    assert generate_roster(1, seed=1)[0].token != roster[0].token
    for device in roster:
        digits = [int(digit) for digit in reversed(device.controller_id)]
        doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
        assert len(digits) == 15
        assert (sum(digits[::2]) + sum(doubled)) % 10 == 0
        assert device.token is not None
        assert len(device.token) == 32
        assert device.token.isalnum()
    with pytest.raises(ValueError, match="six digits"):
        generate_roster(1, first=1_000_000)


@pytest.mark.parametrize(
    "wrong",
    [
        {"cut": 1.1},
        {"silence": -0.1},
        {"silence": 0.6, "fallback": 0.6},
        {"slow_bytes_per_s": 0.0},
        {"install_s": (5.0, 1.0)},
        {"reboot_s": (-1.0, 1.0)},
        {"poll_interval_s": 0.0},
        {"cut": float("nan")},
    ],
)
def test_a_behaviour_has_bounds(wrong: dict[str, Any]) -> None:
    """A rate that makes no sense is refused on entry."""
    with pytest.raises(ValueError, match=r"."):
        Behaviour(**wrong)


def test_the_dice_follow_the_rates() -> None:
    """Over many devices the shares are those asked for."""
    behaviour = Behaviour(install_failure=0.2, fallback=0.1, cut=0.5)
    plans = [behaviour.draw(3, f"device-{number}", 1) for number in range(4000)]
    fates = [plan.fate for plan in plans]
    assert fates.count(Fate.INSTALL_FAILS) / 4000 == pytest.approx(0.2, abs=0.03)
    assert fates.count(Fate.FALLS_BACK) / 4000 == pytest.approx(0.1, abs=0.03)
    assert sum(plan.cut_at is not None for plan in plans) / 4000 == pytest.approx(0.5, abs=0.04)


@given(st.integers(), st.text(), st.integers(1, 10))
def test_the_same_dice_fall_the_same_way(seed: int, name: str, attempt: int) -> None:
    """A seed, a device and an attempt decide, nothing else."""
    behaviour = Behaviour(silence=0.5, slow_share=0.5)
    assert behaviour.draw(seed, name, attempt) == behaviour.draw(seed, name, attempt)
    assert behaviour.link_speed(seed, name) == behaviour.link_speed(seed, name)
