"""Rosters from files, and made-up ones."""

from pathlib import Path

import pytest

from overair.sim.omadm.roster import OmadmDevice, generate_roster, read_roster
from overair.sim.roster import RosterError

LINE = (
    '{"account": "1", "deviceId": "990013900000014", "protocol": "OMADM", "make": "Acme",'
    ' "model": "M1", "version": "01", "omadm": {"clientName": "c", "clientSecret": "s1",'
    ' "serverSecret": "s2", "auth": "hmac", "notify": {"host": "127.77.0.1", "port": 4000}}}'
)


def test_a_fleet_file_in_json_lines_will_do(tmp_path: Path) -> None:
    """The server's own devices file is read, and devices of other protocols are passed over."""
    path = tmp_path / "devices.ndjson"
    path.write_text(LINE + '\n{"deviceId": "990013900000022", "protocol": "HTTP"}\n')
    assert read_roster(path) == (
        OmadmDevice(
            imei="990013900000014",
            client_name="c",
            client_secret="s1",
            server_secret="s2",
            kind="syncml:auth-MAC",
            address=("127.77.0.1", 4000),
        ),
    )


def test_a_fleet_file_in_csv_will_do(tmp_path: Path) -> None:
    """Members of blocks are columns with dots; what is empty has its default."""
    path = tmp_path / "devices.csv"
    path.write_text(
        "deviceId,model,omadm.clientSecret,omadm.serverSecret,omadm.notify.host,omadm.notify.port\n"
        "990013900000014,M2,s1,s2,,\n"
    )
    (device,) = read_roster(path)
    assert (device.model, device.address, device.client_name) == ("M2", None, "")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"deviceId": "12"}', "line 1: deviceId"),
        (LINE.replace('"s1"', '""'), "omadm.clientSecret is missing"),
        (LINE.replace('"s2"', "null"), "omadm.serverSecret is missing"),
        (LINE.replace("hmac", "x509"), "omadm.auth"),
        (LINE.replace("4000", "70000"), "omadm.notify.port"),
        (LINE.replace("4000", '"x"'), "omadm.notify.port"),
        (f"{LINE}\n{LINE}", "line 2: 990013900000014 is there twice"),
        ('{"protocol": "HTTP"}', "no OMA-DM devices"),
        ("[]", "not a JSON object"),
    ],
)
def test_a_file_that_cannot_be_used_says_where(tmp_path: Path, line: str, says: str) -> None:
    """The line and what is wrong with it are named."""
    path = tmp_path / "devices.ndjson"
    path.write_text(line)
    with pytest.raises(RosterError, match=says):
        read_roster(path)


def test_made_up_devices_are_the_same_each_time() -> None:
    """Each has secrets and an address of its own, within one network, and keeps them."""
    devices = generate_roster(600, seed=3)
    assert devices == generate_roster(600, seed=3)
    assert len({device.address for device in devices}) == 600
    assert (
        len({device.client_secret for device in devices} | {d.server_secret for d in devices})
        == 1200
    )
    assert devices != generate_roster(600, seed=4)
