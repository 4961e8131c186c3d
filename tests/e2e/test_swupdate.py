"""Debian's real swupdate, in hawkBit mode, and a real server process: whole updates, and broken ones.

Between them stands a proxy that records and cuts. The operator's side is the published v2 API and the
commands beside the server; what the device did is looked at in its own directory and log.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from overair.cli.demo.client import Operator
from overair.sim.http.roster import SimDevice
from tests.installation import (
    ALIAS,
    PACKAGE,
    Installation,
    campaign,
    installation,
    operating,
)
from tests.peers.proxy import CuttingProxy, Exchange
from tests.peers.swu import Fault, Signer, build_swu, make_signer
from tests.peers.swupdate import Confirm, SwUpdate, Target, installed
from tests.peers.wire import read_body, read_head
from tests.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.swupdate,
    pytest.mark.skipif(not installed(), reason="Debian's swupdate is not installed"),
]

DEVICE = SimDevice(
    controller_id="990013907835573",
    token="0123456789abcdefghijABCDEFGHIJ01",
    make="Acme",
    model="X1",
    version="01",
)
PAYLOAD = os.urandom(300_000)
SOFTWARE = PACKAGE.format(model=DEVICE.model)
DOWNLOAD = r"^GET .*/artifacts/[^/]+\.swu$"
NO_REPORT = ("UpgradePending", "RovaClientDidNotReportStatus")
DOWNLOADED = ("UpgradePending", "RovaClientDownloadNotInstalledYet")
SUCCESS = ("UpgradeSuccess", "DownloadInstallSucceeded")
ABORTED = ("CampaignAborted", "Campaign aborted by user.")


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """One signer for all images."""
    return make_signer(tmp_path_factory.mktemp("signer"))


@dataclass(slots=True, kw_only=True)
class Scene:
    """A server, the operator, a proxy, and one device behind it."""

    place: Installation
    operator: Operator
    proxy: CuttingProxy
    signer: Signer
    directory: Path
    campaign_id: str = field(default="")

    @property
    def target(self) -> Path:
        """The file that the update puts on the device."""
        return self.directory / "installed.bin"

    def device(self, version: str = "01") -> SwUpdate:
        """The device as it runs that version."""
        return SwUpdate(
            directory=self.directory / "device",
            target=Target(
                base_url=self.proxy.base_url,
                tenant=ALIAS,
                controller_id=DEVICE.controller_id,
                token=DEVICE.token,
            ),
            certificate=self.signer.certificate,
            poll_s=1,
            identify={"make": "Acme", "model": "X1", "version": version},
        )

    def add_image(self, fault: Fault | None = None, payload: bytes = PAYLOAD) -> None:
        """Put a signed image, or a faulty one, into the package."""
        image = build_swu(
            self.directory / "x1-02.swu",
            signer=self.signer,
            payload=payload,
            target=self.target,
            version="02",
            fault=fault,
        )
        added = self.place.command("package", "add", str(image), "--name", SOFTWARE)
        assert added["changed"]

    async def schedule(self) -> None:
        """A campaign that runs at once."""
        self.campaign_id = await self.operator.schedule(campaign([DEVICE]))

        async def runs() -> bool:
            return await self.operator.status(self.campaign_id) == "CampaignScheduled"

        await until(runs, "the campaign to run")

    async def stop(self) -> None:
        await self.operator.call("DELETE", f"/campaigns/{{}}/{self.campaign_id}")

    async def standing(self) -> tuple[str, str]:
        """The device's status and reason in the campaign's report."""
        found = await self.operator.report(self.campaign_id)
        (standing,) = found.values()
        return standing.status, standing.reason

    async def becomes(self, expected: tuple[str, str]) -> None:
        async def is_so() -> bool:
            found = await self.standing()
            assert found == expected
            return True

        await until(is_so, f"the device to be {expected}")

    async def said(self, resource: str, execution: str, finished: str) -> Exchange:
        """The first report of that kind, once it is answered."""

        def matching() -> list[Exchange]:
            return [e for e in self.reports(resource) if words(e) == (execution, finished)]

        await self.proxy.wait_for(lambda _: any(e.done for e in matching()))
        return matching()[0]

    def reports(self, resource: str) -> list[Exchange]:
        return self.proxy.matching(rf"^POST .*/{resource}/[0-9]+/feedback")

    async def polls(self, count: int) -> None:
        """Wait for so many further check-ins."""
        start = len(self.proxy.matching(POLL))
        await self.proxy.wait_for(lambda _: len(self.proxy.matching(POLL)) >= start + count)

    def version(self) -> str:
        """The version on record, as the command beside the server shows it."""
        shown = self.place.command("device", "show", DEVICE.controller_id)
        return str(shown["version"])

    async def history(self) -> list[dict[str, Any]]:
        """The device's upgrade history."""
        found = await self.operator.call("GET", f"/reports/{{}}/devices/{DEVICE.controller_id}")
        assert isinstance(found, list)
        return found

    async def retrieve_by_hand(self) -> None:
        """Take the offer up as the device would, and do nothing with it."""
        host, port = self.proxy.upstream
        base = f"/{ALIAS}/controller/v1/{DEVICE.controller_id}"
        polled = await fetch(host, port, base)
        href = polled["_links"]["deploymentBase"]["href"]
        assert (await fetch(host, port, base + href.partition(base)[2]))["id"]


POLL = rf"^GET /{ALIAS}/controller/v1/{DEVICE.controller_id}$"


def words(exchange: Exchange) -> tuple[str, str]:
    """Execution and result of a report; it holds raw control characters sometimes."""
    if not exchange.body:
        return "", ""
    status = json.loads(exchange.body, strict=False)["status"]
    return status["execution"], status["result"]["finished"]


async def fetch(host: str, port: int, target: str) -> Any:
    """One GET with the device's token, by hand."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(
        f"GET {target} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Authorization: TargetToken {DEVICE.token}\r\n\r\n".encode()
    )
    head = await read_head(reader)
    assert head is not None
    assert head.status == 200
    body = await read_body(reader, head)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return json.loads(body)


@pytest.fixture
async def scene(
    request: pytest.FixtureRequest, tmp_path: Path, signer: Signer
) -> AsyncIterator[Scene]:
    """A served installation with a running campaign; the parameter is the fault in its image."""
    fault: Fault | None = getattr(request, "param", None)
    with installation(tmp_path, retry_delay_s=3600) as place:
        place.prepare([DEVICE])
        process = place.serve()
        async with (
            operating(process) as operator,
            CuttingProxy("127.0.0.1", process.port) as proxy,
        ):
            made = Scene(
                place=place, operator=operator, proxy=proxy, signer=signer, directory=tmp_path
            )
            made.add_image(fault)
            await made.schedule()
            yield made
            assert not [e for e in proxy.exchanges if (e.status or 0) >= 500]
        assert place.command("verify")["findings"] == []
        assert process.stop() == 0


async def test_installed_and_confirmed_after_the_restart(scene: Scene) -> None:
    """Success counts once the restarted device says so; its version is what it then shows."""
    async with scene.device() as device:
        await device.start()
        await scene.proxy.wait_for(lambda _: scene.target.exists())
        await device.wait_log("SWUPDATE successful")
        await scene.becomes(DOWNLOADED)
        await scene.polls(2)
        assert scene.target.read_bytes() == PAYLOAD
        assert await scene.standing() == DOWNLOADED
        assert scene.version() == "01"
        assert await scene.history() == []
        await device.stop()
    async with scene.device("02") as restarted:
        await restarted.start(confirm=Confirm.SUCCESS)
        report = await scene.said("deploymentBase", "closed", "success")
        assert report.status == 200
        await scene.becomes(SUCCESS)
        assert scene.version() == "02"
        (past,) = await scene.history()
        assert (past["id"], past["status"]) == (scene.campaign_id, "UpgradeSuccess")
        # It is asked for its attributes again, and says the same.
        asked = len(scene.proxy.matching("^PUT .*/configData"))
        await scene.proxy.wait_for(
            lambda _: (
                len(scene.proxy.matching("^PUT .*/configData")) > asked
                or any(b'"02"' in e.body for e in scene.proxy.matching("^PUT .*/configData"))
            )
        )
        assert scene.version() == "02"
        await scene.polls(2)
    assert len(scene.proxy.matching(DOWNLOAD)) == 1

    async def has_ended() -> bool:
        return await scene.operator.status(scene.campaign_id) == "CampaignEnded"

    await until(has_ended, "the campaign to end with its only device")


async def test_a_device_that_fell_back(scene: Scene) -> None:
    """Installed, restarted with the old version: a failed installation, and not offered at once."""
    async with scene.device() as device:
        await device.start()
        await device.wait_log("SWUPDATE successful")
        await scene.becomes(DOWNLOADED)
        await device.stop()
        await device.start(confirm=Confirm.FAILED)
        await scene.said("deploymentBase", "closed", "failure")
        await scene.becomes(("UpgradePending", "RovaClientDownloadedInstallFailed"))
        await scene.polls(3)
    assert scene.version() == "01"
    assert len(scene.proxy.matching(DOWNLOAD)) == 1


@pytest.mark.parametrize("scene", list(Fault), indirect=True, ids=[f.name for f in Fault])
async def test_a_failed_installation(scene: Scene) -> None:
    """A faulty image is refused by the installer: failed after its download, retried later."""
    async with scene.device() as device:
        await device.start()
        report = await scene.said("deploymentBase", "closed", "failure")
        assert report.status == 200
        await scene.polls(3)
        found = await scene.standing()
    assert found[0] == "UpgradePending"
    assert found[1] in ("RovaClientDownloadedInstallFailed", "RovaClientDownloadFailed")
    assert not scene.target.exists()
    assert scene.version() == "01"
    assert len(scene.proxy.matching(DOWNLOAD)) == 1  # no new offer in the very next poll


async def test_a_download_that_is_cut_and_resumed(scene: Scene) -> None:
    """A download broken off twice goes on with ranges, and installs the same bytes."""
    rule = scene.proxy.cut(DOWNLOAD, after_bytes=100_000, times=2)
    async with scene.device() as device:
        await device.start()
        await device.wait_log("SWUPDATE successful")
        await scene.becomes(DOWNLOADED)
        await device.stop()
        await device.start(confirm=Confirm.SUCCESS)
        await scene.becomes(SUCCESS)
    assert rule.times == 0
    assert scene.target.read_bytes() == PAYLOAD
    downloads = scene.proxy.matching(DOWNLOAD)
    assert [e.header("Range") for e in downloads] == [None, "bytes=100000-", "bytes=200000-"]
    assert [e.status for e in downloads] == [200, 206, 206]


async def test_cancelled_before_the_device_saw_it(scene: Scene) -> None:
    """A stopped campaign's update is never shown to a device that comes afterwards."""
    await scene.stop()
    await scene.becomes(ABORTED)
    async with scene.device() as device:
        await device.start()
        await scene.polls(3)
    assert scene.proxy.matching("/deploymentBase/|/cancelAction/|/artifacts/") == []


async def test_cancelled_before_it_began(scene: Scene) -> None:
    """Taken up and then cancelled: the device acknowledges and never downloads."""
    await scene.retrieve_by_hand()
    await scene.stop()
    async with scene.device() as device:
        await device.start()
        report = await scene.said("cancelAction", "closed", "success")
        assert report.status == 200
        await scene.polls(2)
    assert await scene.standing() == ABORTED
    assert scene.proxy.matching(DOWNLOAD) == []
    assert len(scene.reports("cancelAction")) == 1


async def test_cancelled_during_the_download(scene: Scene) -> None:
    """A slow download is given up when the cancel is seen, and nothing is installed."""
    # More than the buffers between us and a slow device hold: the server sees it at work.
    await scene.stop()
    scene.add_image(payload=os.urandom(24_000_000))
    await scene.schedule()
    rule = scene.proxy.trickle(DOWNLOAD, after_bytes=50_000)
    async with scene.device() as device:
        await device.start()
        await asyncio.wait_for(rule.reached.wait(), 30)
        assert await scene.standing() == NO_REPORT
        await scene.stop()
        report = await scene.said("cancelAction", "closed", "success")
        assert report.status == 200
        await scene.becomes(ABORTED)
        await scene.polls(2)
    assert not scene.target.exists()
    assert scene.version() == "01"
    assert len(scene.reports("cancelAction")) == 1


async def test_cancelled_after_the_installation(scene: Scene) -> None:
    """It acknowledges even then; no success is claimed, and its version is what it then shows."""
    async with scene.device() as device:
        await device.start()
        await device.wait_log("SWUPDATE successful")
        await scene.becomes(DOWNLOADED)
        await scene.stop()
        await scene.said("cancelAction", "closed", "success")
        await scene.becomes(ABORTED)
        await device.stop()
    assert scene.version() == "01"
    async with scene.device("02") as restarted:
        await restarted.start(confirm=Confirm.SUCCESS)
        await scene.proxy.wait_for(
            lambda _: any(b'"02"' in e.body for e in scene.proxy.matching("^PUT .*/configData"))
        )
        await scene.polls(2)
    assert await scene.standing() == ABORTED
    assert scene.version() == "02"


async def test_a_device_that_is_not_told_of_its_restart(scene: Scene) -> None:
    """Started over and over without its result it installs again each time, until the loop guard."""
    async with scene.device() as device:
        for _ in range(5):
            mark = await device.start()
            await device.wait_log("SWUPDATE successful", since=mark)
            await device.stop()
        await scene.becomes(("UpgradeFailed", "Unknown device error."))
        await device.start()
        await scene.polls(3)
    assert len(scene.proxy.matching(DOWNLOAD)) == 5
