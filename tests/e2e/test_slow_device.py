"""A slow device at a real server, with all its settings: what it does not take is not sent."""

import asyncio
import json
import socket
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from overair.serving import DRAIN_S
from overair.sim.http.roster import SimDevice, generate_roster
from tests.installation import Process, campaign, installation, operating
from tests.waiting import until

MIB = 1024 * 1024
IMAGE_MIB = 48
QUEUED_MIB = 16  # more than pieces in the server and buffers of the kernel hold


def _get(device: SimDevice, url: str) -> Any:
    asked = urllib.request.Request(url, headers={"Authorization": f"TargetToken {device.token}"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return json.load(answer)


def _resident_mib(server: Process) -> int:
    status = Path(f"/proc/{server.popen.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line) // 1024


async def test_a_device_that_stops_reading_holds_little(tmp_path: Path) -> None:
    """The server keeps neither the file in memory, nor the device for one that has it, nor itself up."""
    (device,) = devices = generate_roster(1, seed=3)
    with installation(tmp_path) as place:
        place.prepare(devices)
        image = tmp_path / "large.swu"
        image.write_bytes(bytes(IMAGE_MIB * MIB))
        software = ("--make", device.make, "--model", device.model, "--from", "01", "--to", "03")
        place.command(
            "package", "add", str(image), "--name", "LARGE", "--protocol", "HTTP", *software
        )
        server = place.serve()
        server.wait_ready()
        base = f"{server.base}/acme/controller/v1/{device.controller_id}"
        async with operating(server) as operator:
            await operator.schedule(
                campaign(devices) | {"softwareName": "LARGE", "softwareTo": "03"}
            )

            async def offered() -> bool:
                links = (await asyncio.to_thread(_get, device, base)).get("_links", {})
                return "deploymentBase" in links

            await until(offered, "the offer")
        found = _get(device, _get(device, base)["_links"]["deploymentBase"]["href"])
        (artifact,) = found["deployment"]["chunks"][0]["artifacts"]
        path = urlsplit(artifact["_links"]["download-http"]["href"]).path
        before = _resident_mib(server)
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", server.port))
            slow.sendall(
                f"GET {path} HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: TargetToken {device.token}\r\n\r\n".encode()
            )
            assert slow.recv(1000).startswith(b"HTTP/1.1 200 ")

            async def begun() -> bool:
                return state() in ("running", "downloaded")

            def state() -> str:
                (action,) = place.command("explain", device.controller_id)["attempts"]
                return str(action["state"])

            await until(begun, "the download to be noted")
            assert state() == "running"
            assert _resident_mib(server) - before < QUEUED_MIB
            # Nor does it keep the server from stopping, while it is still there.
            server.popen.terminate()
            assert server.popen.wait(DRAIN_S + 10) == 0
        told = server.log.read_text()
        assert "requests that do not end are cut" in told
        assert "could not be noted" not in told
        assert "Traceback" not in told
