"""What LwM2M is measured against: `python -m bench.lwm2m_peers echo|aiocoap PORT`.

- `echo` sends every datagram back, on the socket code of our server and the event loop that it has: what an
  exchange costs before anybody has read a byte of it.
- `aiocoap` is a server made of that library with one resource, which answers 2.04 to whatever is posted there, and
  keeps nothing: what others would begin with.
"""

import asyncio
import sys

import aiocoap
import aiocoap.resource
import uvloop

from overair.devices.lwm2m.udp import Address, UdpSocket

KINDS = ("echo", "aiocoap")


async def echo(port: int) -> None:
    """Send back."""

    def back(datagrams: list[tuple[bytes, Address]]) -> None:
        for datagram, address in datagrams:
            opened.send(datagram, address)

    opened = UdpSocket("127.0.0.1", port, back)
    opened.start()
    await asyncio.get_running_loop().create_future()


class _Changed(aiocoap.resource.Resource, aiocoap.resource.PathCapable):
    """Answers for all locations below it."""

    async def render_post(self, request: aiocoap.Message) -> aiocoap.Message:
        return aiocoap.Message(code=aiocoap.CHANGED)


async def with_aiocoap(port: int) -> None:
    """Answer 2.04."""
    site = aiocoap.resource.Site()
    site.add_resource(["rd"], _Changed())
    await aiocoap.Context.create_server_context(site, bind=("127.0.0.1", port))
    await asyncio.get_running_loop().create_future()


def main() -> None:
    """Serve until ended."""
    kind, port = sys.argv[1], int(sys.argv[2])
    uvloop.run((echo if kind == "echo" else with_aiocoap)(port))


if __name__ == "__main__":
    main()
