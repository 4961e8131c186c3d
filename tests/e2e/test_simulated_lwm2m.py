"""Simulated LwM2M devices on a real server process, over real sockets: a v3 campaign, all the way.

The command line makes the devices up and runs them, as a person would; the server's report and its recount
are held against the fleet's counters.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from overair.cli.demo.client import Operator
from overair.clock import SystemClock
from tests.installation import ACCOUNT, LOGIN, Installation, free_port, installation, operating
from tests.waiting import until

pytestmark = pytest.mark.slow

COUNT = 40
RATE = 5000.0
LIMIT_S = 180.0
FIRMWARE = "FW_Acme_X1_01To02"


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    """A fresh installation, once on each kind of database."""
    coap = f"127.0.0.1:{free_port()}"
    settings = {
        "time_rate": RATE,
        "limits.pilot_devices": COUNT,
        "slots.poor": 5,
        "slots.fair": 20,
        "lwm2m.coap": coap,
        "lwm2m.public_coap": coap,
        "lwm2m.no_sec": True,
        "lwm2m.plain_download": True,
        "lwm2m.ack_timeout_s": 0.3,
        "lwm2m.max_retransmit": 2,
    }
    with installation(tmp_path, database_url, **settings) as made:
        yield made


def prepare(place: Installation) -> Path:
    """Have the command line make the devices up, and import them; return their file."""
    devices = place.directory / "devices.ndjson"
    done = place.spawn(
        "simulate", "coap://127.0.0.1", "--protocol", "lwm2m", "--count", str(COUNT),
        "--account", ACCOUNT, "--write-devices", str(devices),
        own_flags=False,
    )  # fmt: skip
    done.communicate(timeout=60)
    assert done.returncode == 0
    lines = [f"{name} = {json.dumps(value)}" for name, value in place.settings.items()]
    (place.directory / "overair.toml").write_text(
        "\n".join(sorted(lines, key=lambda line: "." in line.split("=")[0]))
    )
    (place.directory / "x1-02.bin").write_bytes(b"overair-sim version 02\n" + bytes(20_000))
    package = {"name": FIRMWARE, "protocol": "LWM2M", "make": "Acme", "model": "X1"}
    fleet = {
        "accounts": [
            {
                "name": ACCOUNT,
                "subscription": {"purchaseType": "TS-HFOTA-MRC", "licenseCount": COUNT},
            }
        ],
        "applications": [{"key": LOGIN.key, "secret": LOGIN.secret}],
        "users": [{"username": LOGIN.username, "password": LOGIN.password, "accounts": [ACCOUNT]}],
        "packages": [{**package, "from": "01", "to": "02", "file": "x1-02.bin"}],
        "devicesFile": devices.name,
    }
    (place.directory / "fleet.json").write_text(json.dumps(fleet))
    place.command("import", str(place.directory / "fleet.json"))
    return devices


async def scheduled(operator: Operator, imeis: list[str], today: Any) -> str:
    """A campaign through v3, from tomorrow on for a month."""
    made = await operator.call(
        "POST",
        "/campaigns/firmware/{}",
        {
            "campaignName": "cells",
            "firmwareName": FIRMWARE,
            "firmwareFrom": "01",
            "firmwareTo": "02",
            "protocol": "LWM2M",
            "startDate": (today + timedelta(days=1)).isoformat(),
            "endDate": (today + timedelta(days=25)).isoformat(),
            "deviceList": imeis,
        },
        version=3,
    )
    return str(made["id"])


async def test_a_campaign_over_real_sockets(place: Installation) -> None:
    """Devices in cells, some of which fail, are updated slot by slot; report and recount agree with them."""
    file = prepare(place)
    server = place.serve()
    imeis = [json.loads(line)["deviceId"] for line in file.read_text().splitlines()]
    fleet = place.spawn(
        "simulate", f"coap://{place.settings['lwm2m.coap']}", "--protocol", "lwm2m",
        "--roster", str(file), "--cells", "4", "--lifetime", "86400", "--rate", str(RATE),
        "--ack-timeout", "0.5", "--push-only", "0.3", "--lwm2m-1.0", "0.3", "--odd", "0.3",
        "--install-failure", "0.1", "--fallback", "0.1", "--cut", "0.2",
        "--until-updated", str(COUNT), "--duration", str(30 * 86_400),
        own_flags=False,
    )  # fmt: skip
    try:
        async with operating(server) as operator:
            campaign_id = await scheduled(operator, imeis, SystemClock().now().date())

            async def over() -> bool:
                shown = await operator.call(
                    "GET", f"/reports/{{}}/campaigns/{campaign_id}/devices", version=3
                )
                said = {one["status"] for one in shown["deviceList"]}
                assert said == {"UpgradeSuccess"}, said
                return True

            await until(over, "every device to be updated", LIMIT_S)
        out, error = fleet.communicate(timeout=60)
    finally:
        if fleet.poll() is None:
            fleet.kill()
    assert fleet.returncode == 0, error
    counters = json.loads(out)
    assert counters["updated"] == COUNT
    assert counters["failed"] > 0
    assert counters["restarts"] >= COUNT
    assert place.command("campaign", "show", campaign_id)["devices"] == {"succeeded": COUNT}
    assert place.command("verify")["findings"] == []
    assert server.stop() == 0
