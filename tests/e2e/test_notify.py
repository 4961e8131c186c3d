"""A device over OMA-DM is notified by a real server: at its campaign's start, and when it attaches.

The device is a socket and a secret; what it gets is verified with that secret alone. It never opens a
session, so its window closes, and it is queued.
"""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from overair.cli.demo.client import Operator
from overair.clock import SystemClock
from overair.core.credentials import dm_key
from overair.protocols.syncml.notification import is_genuine
from tests.installation import ACCOUNT, LOGIN, Installation, Process, installation, operating
from tests.push.centre import Centre, running
from tests.push.receiver import Receiver, receiving
from tests.waiting import until

pytestmark = pytest.mark.slow

IMEI = "990013907835573"
SECRET = "a-server-secret-of-its-own"
FIRMWARE = "FW_Acme_M1_01To02"


def prepare(place: Installation, port: int) -> None:
    """An account with one device over OMA-DM, and firmware for it."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in place.settings.items()]
    (place.directory / "overair.toml").write_text(
        "\n".join(sorted(lines, key=lambda line: "." in line.split("=")[0]))
    )
    (place.directory / "m1-02.bin").write_bytes(b"firmware")
    omadm = {"clientSecret": "a-client-secret-of-its-own", "serverSecret": SECRET}
    fleet = {
        "accounts": [
            {
                "name": ACCOUNT,
                "subscription": {"purchaseType": "TS-HFOTA-EVNT", "licenseCount": 0},
            }
        ],
        "applications": [{"key": LOGIN.key, "secret": LOGIN.secret}],
        "users": [{"username": LOGIN.username, "password": LOGIN.password, "accounts": [ACCOUNT]}],
        "packages": [
            {
                "name": FIRMWARE,
                "protocol": "OMADM",
                "make": "Acme",
                "model": "M1",
                "from": "01",
                "to": "02",
                "file": "m1-02.bin",
            }
        ],
        "devices": [
            {
                "account": ACCOUNT,
                "deviceId": IMEI,
                "mdn": "+15551230001",
                "make": "Acme",
                "model": "M1",
                "version": "01",
                "protocol": "OMADM",
                "omadm": {**omadm, "notify": {"host": "127.0.0.1", "port": port}},
            }
        ],
    }
    (place.directory / "fleet.json").write_text(json.dumps(fleet))
    place.command("import", str(place.directory / "fleet.json"))


async def upgrade(operator: Operator) -> str:
    """An upgrade through v1 that starts on demand."""
    made = await operator._call(
        "POST",
        "/api/fota/v1/upgrades",
        json={
            "accountName": ACCOUNT,
            "firmwareName": FIRMWARE,
            "firmwareTo": "02",
            "startDate": SystemClock().now().date().isoformat(),
            "deviceList": [IMEI],
        },
    )
    return str(made["id"])


async def came(receiver: Receiver, count: int) -> None:
    async def enough() -> bool:
        return await receiver.came() >= count

    await until(enough, f"{count} datagrams", 60)


def figures(process: Process) -> str:
    with urllib.request.urlopen(f"{process.base}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


async def test_by_datagram(tmp_path: Path) -> None:
    """At the start, and after a missed window when an operator says that the device is there."""
    settings: dict[str, Any] = {"omadm.notify": "udp", "omadm.window_s": 2}
    settings |= {"omadm.retry_pause_s": 0, "omadm.requeue_push_s": 0}
    with installation(tmp_path, **settings) as place, receiving() as home, receiving() as away:
        prepare(place, home.port)
        server = place.serve()
        async with operating(server) as operator:
            await upgrade(operator)
            await came(home, 1)
            (first,) = home.notifications()
            assert is_genuine(first, dm_key("overair", SECRET), b"")

            async def queued() -> bool:
                explained = place.command("explain", IMEI)
                return "retry" in json.dumps(explained).lower()

            await until(queued, "the device to be queued", 60)
            address = f"127.0.0.1:{away.port}"
            shown = place.command("network", "attach", IMEI, "--address", address)
            assert shown["attached"] is True
            await came(away, 1)
            (second,) = away.notifications()
            assert is_genuine(second, dm_key("overair", SECRET), b"")
            assert second.trigger.session == first.trigger.session + 1
            assert len(home.datagrams) == 1
            assert 'overair_pushes_total{result="sent",transport="udp"} 2.0' in figures(server)
        assert server.stop() == 0


async def test_by_sms(tmp_path: Path) -> None:
    """The server stays bound to its SMS centre, sends through it, and says goodbye at its end."""
    async with running(Centre()) as centre:
        smpp = {"host": "127.0.0.1", "port": centre.port, "system_id": "us", "password": "secret"}
        settings: dict[str, Any] = {f"omadm.smpp.{name}": value for name, value in smpp.items()}
        with installation(tmp_path, **settings, **{"omadm.notify": "smpp"}) as place:
            prepare(place, 2948)
            server = place.serve()
            async with operating(server) as operator:
                await upgrade(operator)

                async def submitted() -> bool:
                    return bool(centre.submitted)

                await until(submitted, "the SMS", 60)
            assert centre.submitted[0].number == "15551230001"
            assert not centre.faults

            async def ended() -> bool:
                return server.popen.poll() is not None

            server.popen.terminate()
            await until(ended, "the server to end", 60)
            assert server.popen.returncode == 0
            assert centre.others[-1].command == 6
