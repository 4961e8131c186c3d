"""The sockets of a fleet: each device has its own, and another for each download and after each start.

A device that restarts, or wakes behind a NAT, is somewhere else for its server: that is what a port of
its own is for. Sockets that are in use no more are closed. What the system has no room for is lost, as on
any network.
"""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Callable

from overair.sim.lwm2m.steps import Address, Datagram

_MOST_BYTES = 2048
_AT_ONCE = 16
# Descriptors that the process needs beside.
_SPARE = 256

Deliver = Callable[[str, int, bytes], None]


class Sockets:
    """Where the devices of a fleet are; ``deliver`` is called with name, channel and datagram."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._open: dict[tuple[str, int], socket.socket] = {}
        self._channels: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[Address, Address] = {}

    @staticmethod
    def allow(count: int) -> None:
        """Make room for so many, and as many for downloads. Raises ValueError if there is none."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = (1 << 30) if hard == resource.RLIM_INFINITY else hard
        if count + _SPARE > most:
            raise ValueError(
                f"{count} devices need as many sockets, and this system allows {most} open files"
            )
        wanted = min(2 * count + _SPARE, most)
        if soft != resource.RLIM_INFINITY and wanted > soft:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

    async def find(self, server: Address) -> Address:
        """Return the address of a name. Raises OSError."""
        host, port = server
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        address = (str(found[0][4][0]), port)
        self._addresses[server] = address
        return address

    def keep(self, name: str, channels: tuple[int, ...]) -> None:
        """Close what a device has no more."""
        before = self._channels.get(name, ())
        if before == channels:
            return
        for channel in before:
            if channel not in channels:
                self._close(name, channel)
        self._channels[name] = channels

    def send(self, name: str, datagram: Datagram) -> None:
        """Send from one of a device's sockets."""
        key = (name, datagram.channel)
        address = self._addresses.get(datagram.remote, datagram.remote)
        with contextlib.suppress(OSError, BlockingIOError):
            opened = self._open.get(key)
            if opened is None:
                opened = self._make(key, address)
            opened.sendto(datagram.data, address)

    def _make(self, key: tuple[str, int], address: Address) -> socket.socket:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        made = socket.socket(family, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.bind(("", 0))
        self._open[key] = made
        asyncio.get_running_loop().add_reader(made, self._read, made, *key)
        return made

    def _read(self, opened: socket.socket, name: str, channel: int) -> None:
        for _ in range(_AT_ONCE):
            try:
                data = opened.recv(_MOST_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                # What became of an earlier datagram (ICMP): CoAP finds out by itself.
                continue
            self._deliver(name, channel, data)
            if self._open.get((name, channel)) is not opened:
                return

    def _close(self, name: str, channel: int) -> None:
        opened = self._open.pop((name, channel), None)
        if opened is not None:
            asyncio.get_running_loop().remove_reader(opened)
            opened.close()

    def close(self) -> None:
        """Close all of them."""
        for name, channel in list(self._open):
            self._close(name, channel)
        self._channels.clear()
