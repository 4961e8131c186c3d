"""The swupdate harness, proven with the real program against a scripted server."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.peers.proxy import CuttingProxy
from tests.peers.scripted_ddi import ScriptedDdi
from tests.peers.swu import Fault, Signer, build_swu, make_signer
from tests.peers.swupdate import Confirm, SwUpdate, Target, installed

pytestmark = [
    pytest.mark.swupdate,
    pytest.mark.skipif(not installed(), reason="Debian's swupdate is not installed"),
]

TOKEN = "0123456789abcdefghijABCDEFGHIJ01"
DEVICE = "990013907835573"
PAYLOAD = os.urandom(300_000)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """Return one signer for all images."""
    return make_signer(tmp_path_factory.mktemp("signer"))


class Bench:
    """A scripted server with an image, a proxy before it and a device behind that."""

    def __init__(
        self, ddi: ScriptedDdi, proxy: CuttingProxy, device: SwUpdate, target: Path
    ) -> None:
        self.ddi = ddi
        self.proxy = proxy
        self.device = device
        self.target = target

    async def feedback(self, resource: str, execution: str, finished: str) -> None:
        """Wait for a status report."""
        await self.proxy.wait_for(
            lambda _: any(
                (f.resource, f.execution, f.finished) == (resource, execution, finished)
                for f in self.ddi.feedback
            )
        )


@pytest.fixture
async def bench(
    request: pytest.FixtureRequest, tmp_path: Path, signer: Signer
) -> AsyncIterator[Bench]:
    """Put the three together; the parameter is the fault built into the image."""
    fault: Fault | None = getattr(request, "param", None)
    target = tmp_path / "installed.bin"
    swu = build_swu(
        tmp_path / "x1-02.swu",
        signer=signer,
        payload=PAYLOAD,
        target=target,
        version="02",
        fault=fault,
    )
    ddi = ScriptedDdi(
        tenant="acme",
        controller_id=DEVICE,
        token=TOKEN,
        artifact=swu.read_bytes(),
        filename=swu.name,
    )
    async with ddi, CuttingProxy("127.0.0.1", ddi.port) as proxy:
        device = SwUpdate(
            directory=tmp_path / "device",
            target=Target(
                base_url=proxy.base_url, tenant="acme", controller_id=DEVICE, token=TOKEN
            ),
            certificate=signer.certificate,
            poll_s=1,
            identify={"make": "Acme", "version": "01"},
        )
        async with device:
            yield Bench(ddi, proxy, device, target)


async def test_install_and_confirm(bench: Bench) -> None:
    """An image is installed, and the start after it reports the success."""
    await bench.device.start()
    await bench.device.wait_log("SWUPDATE successful|Update Installed|All Chunks Installed")
    await bench.feedback("deploymentBase", "proceeding", "none")
    await bench.proxy.wait_for(lambda _: bench.target.exists())
    assert bench.target.read_bytes() == PAYLOAD
    assert not [f for f in bench.ddi.feedback if f.execution == "closed"]
    await bench.device.stop()
    assert not bench.device.running
    await bench.device.start(confirm=Confirm.SUCCESS)
    await bench.feedback("deploymentBase", "closed", "success")
    await bench.proxy.wait_for(lambda _: bool(bench.ddi.attributes))
    assert bench.ddi.attributes[0]["data"] == {"make": "Acme", "version": "01"}


async def test_confirm_failure(bench: Bench) -> None:
    """A device that fell back reports a failure at its next start."""
    await bench.device.start(confirm=Confirm.FAILED)
    await bench.feedback("deploymentBase", "closed", "failure")


@pytest.mark.parametrize("bench", list(Fault), indirect=True, ids=[f.name for f in Fault])
async def test_failed_install(bench: Bench) -> None:
    """A faulty image is downloaded, refused by the installer and reported as a failure."""
    await bench.device.start()
    await bench.feedback("deploymentBase", "closed", "failure")
    assert not bench.target.exists()


async def test_cut_download_is_resumed(bench: Bench) -> None:
    """A download broken off in its middle goes on with a range and installs the same bytes."""
    rule = bench.proxy.cut(r"^GET .*/artifacts/", after_bytes=100_000, times=2)
    await bench.device.start()
    await bench.proxy.wait_for(lambda _: bench.target.exists() and len(bench.ddi.ranges) >= 1)
    await bench.device.wait_log("SWUPDATE successful|Update Installed|All Chunks Installed")
    assert rule.times == 0
    assert bench.target.read_bytes() == PAYLOAD
    starts = [int(r.removeprefix("bytes=").rstrip("-")) for r in bench.ddi.ranges]
    assert starts == [100_000, 200_000]


async def test_cancel_during_download(bench: Bench) -> None:
    """A cancel shown while a slow download goes on is acknowledged, and the download given up."""
    rule = bench.proxy.trickle(r"^GET .*/artifacts/", after_bytes=50_000)
    await bench.device.start()
    await asyncio.wait_for(rule.reached.wait(), 30)
    bench.ddi.show = "cancel"
    await bench.feedback("cancelAction", "closed", "success")
    assert not bench.proxy.matching(r"^GET .*/artifacts/")[0].done
    assert not bench.target.exists()


async def test_wrong_token_is_seen(bench: Bench, tmp_path: Path, signer: Signer) -> None:
    """A device with a wrong token polls and gets nowhere."""
    stranger = SwUpdate(
        directory=tmp_path / "stranger",
        target=Target(
            base_url=bench.proxy.base_url, tenant="acme", controller_id=DEVICE, token="wrong"
        ),
        certificate=signer.certificate,
        poll_s=1,
    )
    async with stranger:
        await stranger.start()
        await bench.proxy.wait_for(lambda seen: sum(e.status == 401 for e in seen) >= 2)
    assert all(e.status == 401 for e in bench.proxy.exchanges)
