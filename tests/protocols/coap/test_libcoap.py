"""Debian's `coap-client` (package libcoap3-bin), over real sockets: a third stack, in C."""

import asyncio
import random
import shutil
from pathlib import Path

import pytest

from overair.protocols.coap.blocks import block_response, wanted_block
from overair.protocols.coap.events import Event, Incoming
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request, Response
from tests.protocols.coap.udp import Driver

CLIENT = "coap-client-notls"
IMAGE = random.Random(5).randbytes(5000)

pytestmark = pytest.mark.skipif(
    shutil.which(CLIENT) is None,
    reason="Debian's libcoap3-bin is not installed (scripts/setup tools)",
)


async def _run(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        CLIENT,
        "-B",
        "20",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, said
    return said.decode(errors="replace")


class Server:
    """What a client asks of us, and what it gets."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def on_event(self, driver: Driver, event: Event) -> bool:
        """Serve a file, take registrations, and know nothing else."""
        if not isinstance(event, Incoming):
            return False
        request = event.request
        self.asked.append(request)
        match request.path:
            case ("fw", _):
                part = wanted_block(request, len(IMAGE))
                payload = IMAGE[part.offset : part.offset + part.length]
                response = block_response(part, payload, size=len(IMAGE), etag=b"etag")
            case ("rd",):
                response = Response(code=Code.CREATED, location=("rd", "5a3f"))
            case _:
                response = Response(code=Code.NOT_FOUND)
        driver.endpoint.respond(event.exchange, response, driver.now)
        return True


async def test_it_registers() -> None:
    """Its POST with a query and a list comes as it was meant, and it understands the location."""
    server = Server()
    async with Driver(server.on_event) as driver:
        said = await _run(
            "-v", "7", "-m", "post", "-t", "40", "-e", "</3/0>,</5/0>",
            f"coap://127.0.0.1:{driver.port}/rd?ep=urn:imei:490154203237518&lt=300&b=U",
        )  # fmt: skip
    (request,) = server.asked
    assert request.query == ("ep=urn:imei:490154203237518", "lt=300", "b=U")
    assert (request.content_format, request.payload) == (40, b"</3/0>,</5/0>")
    assert "2.01" in said
    assert "5a3f" in said


async def test_it_fetches_a_file(tmp_path: Path) -> None:
    """It puts our blocks together to the image."""
    server = Server()
    async with Driver(server.on_event) as driver:
        file = tmp_path / "image"
        await _run("-o", str(file), f"coap://127.0.0.1:{driver.port}/fw/token")
    assert file.read_bytes() == IMAGE
    assert len(server.asked) == 5


async def test_a_large_register(tmp_path: Path) -> None:
    """Its blocks are one request to us."""
    links = tmp_path / "links"
    links.write_bytes(b",".join(b"</%d/0>" % number for number in range(700)))
    server = Server()
    async with Driver(server.on_event) as driver:
        said = await _run(
            "-v", "7", "-m", "post", "-t", "40", "-b", "256", "-f", str(links),
            f"coap://127.0.0.1:{driver.port}/rd?ep=a",
        )  # fmt: skip
    (request,) = server.asked
    assert request.payload == links.read_bytes()
    assert "2.01" in said


async def test_an_option_that_nobody_knows() -> None:
    """A raw request with a critical option gets 4.02, and nobody is asked."""
    server = Server()
    async with Driver(server.on_event) as driver:
        said = await _run("-v", "7", "-O", "65001,x", f"coap://127.0.0.1:{driver.port}/rd")
    assert server.asked == []
    assert "4.02" in said
