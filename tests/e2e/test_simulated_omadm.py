"""Simulated OMA-DM devices on a real server process: notified over UDP, some of them asleep at first.

The fleet's own account of itself is the reference: what each device runs, and what it reported.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from overair.cli.demo.client import Operator
from overair.clock import FastClock, SystemClock
from overair.sim.omadm.fleet import Fleet, FleetOptions
from overair.sim.omadm.power import PowerHours
from overair.sim.omadm.profile import Behaviour
from overair.sim.omadm.roster import read_roster
from tests.installation import ACCOUNT, LOGIN, Installation, installation, operating
from tests.sim.omadm.test_fleet import free_port
from tests.waiting import until

pytestmark = pytest.mark.slow

COUNT = 30
RATE = 100.0
LIMIT_S = 90.0
FIRMWARE = "FW_Acme_M1_01To02"


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    """A fresh installation, once on each kind of database."""
    settings = {"omadm.notify": "udp", "time_rate": RATE, "omadm.window_s": 900}
    with installation(tmp_path, database_url, **settings) as made:
        yield made


def prepare(place: Installation) -> Path:
    """Have the command line make the devices up, and import them; return their file."""
    devices = place.directory / "devices.ndjson"
    done = place.spawn(
        "simulate", "http://127.0.0.1", "--protocol", "omadm", "--count", str(COUNT),
        "--push-port", str(free_port()), "--account", ACCOUNT, "--write-devices", str(devices),
        own_flags=False,
    )  # fmt: skip
    done.communicate(timeout=60)
    assert done.returncode == 0
    lines = [f"{name} = {json.dumps(value)}" for name, value in place.settings.items()]
    (place.directory / "overair.toml").write_text(
        "\n".join(sorted(lines, key=lambda line: "." in line.split("=")[0]))
    )
    (place.directory / "m1-02.bin").write_bytes(b"firmware" * 5000)
    package = {"name": FIRMWARE, "protocol": "OMADM", "make": "Acme", "model": "M1"}
    fleet = {
        "accounts": [
            {
                "name": ACCOUNT,
                "subscription": {"purchaseType": "TS-HFOTA-MRC", "licenseCount": COUNT},
            }
        ],
        "applications": [{"key": LOGIN.key, "secret": LOGIN.secret}],
        "users": [{"username": LOGIN.username, "password": LOGIN.password, "accounts": [ACCOUNT]}],
        "packages": [{**package, "from": "01", "to": "02", "file": "m1-02.bin"}],
        "devicesFile": devices.name,
    }
    (place.directory / "fleet.json").write_text(json.dumps(fleet))
    place.command("import", str(place.directory / "fleet.json"))
    return devices


async def upgrade(operator: Operator, imeis: list[str]) -> str:
    """An upgrade through v1 that starts on demand."""
    made = await operator._call(
        "POST",
        "/api/fota/v1/upgrades",
        json={
            "accountName": ACCOUNT,
            "firmwareName": FIRMWARE,
            "firmwareTo": "02",
            "startDate": SystemClock().now().date().isoformat(),
            "deviceList": imeis,
        },
    )
    return str(made["id"])


async def test_devices_that_sleep_through_their_window_succeed_later(place: Installation) -> None:
    """All devices are updated: those that are on at once, the others when they attach."""
    file = prepare(place)
    token = place.command("token", "add", "network")["token"]
    server = place.serve()
    async with operating(server) as operator:
        devices = read_roster(file)
        campaign_id = await upgrade(operator, [device.imei for device in devices])
        options = FleetOptions(
            url=server.base,
            devices=devices,
            network_token=token,
            behaviour=Behaviour(
                late=0.4,
                hours=PowerHours(late=(0.5, 0.7)),
                odd=0.5,
                xml=0.4,
                cut=0.3,
                install_s=(5.0, 30.0),
                reboot_s=(5.0, 20.0),
            ),
            start_over_s=30.0,
            seed=7,
        )
        clock = FastClock(RATE)
        began = clock.now()
        async with Fleet(options, clock) as fleet:

            async def done() -> bool:
                reported = [truth.reports for truth in fleet.truths().values()]
                return all(reports and reports[-1].taken_at for reports in reported)

            await until(done, "every device's report to be taken", LIMIT_S)
    truths = fleet.truths()
    late = [truth for truth in truths.values() if truth.on[0][0] > began + timedelta(minutes=28)]
    assert 3 <= len(late) <= COUNT - 3
    assert {truth.version for truth in truths.values()} == {"02"}
    assert fleet.snapshot().refused == 0, fleet.snapshot().last_error
    shown = place.command("campaign", "show", campaign_id)
    assert shown["devices"] == {"succeeded": COUNT}
    assert place.command("verify")["findings"] == []
    assert server.stop() == 0
