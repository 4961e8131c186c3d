"""Hears notifications over UDP for a whole fleet, each device with an address of its own.

On one machine a fleet has thousands of addresses (127.77.0.1, 127.77.0.2, …) and one port. A socket bound
to the wildcard hears them all, and learns from IP_PKTINFO for which of them a datagram was; one that is
for nobody is dropped. Where a port has only one address, its socket is bound to that.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

# Linux's number; the module has no name for it before Python 3.14.
_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
_PKTINFO = struct.Struct("=I4s4s")
_DATAGRAM_BYTES = 2048
_BUFFER_BYTES = 4 * 1024 * 1024
# Datagrams taken at once, before the others have their turn.
_AT_ONCE = 200

Address = tuple[str, int]


class Listener:
    """The sockets of a fleet. ``deliver`` is called with the device's name and the datagram."""

    def __init__(self, names: Mapping[Address, str], deliver: Callable[[str, bytes], None]) -> None:
        self._names = dict(names)
        self._deliver = deliver
        self._sockets: list[socket.socket] = []

    async def __aenter__(self) -> Self:
        ports: dict[int, set[str]] = {}
        for host, port in self._names:
            ports.setdefault(port, set()).add(host)
        try:
            for port, hosts in ports.items():
                self._open(port, hosts)
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _open(self, port: int, hosts: set[str]) -> None:
        only = next(iter(hosts)) if len(hosts) == 1 else None
        family = socket.AF_INET6 if only is not None and ":" in only else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_DGRAM)
        self._sockets.append(opened)
        opened.setblocking(False)
        # As much as the system grants: a whole region may be notified at once.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        if only is None:
            opened.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        opened.bind((only or "", port))
        asyncio.get_running_loop().add_reader(opened, self._read, opened, port, only)

    def _close(self) -> None:
        loop = asyncio.get_running_loop()
        for opened in self._sockets:
            loop.remove_reader(opened)
            opened.close()
        self._sockets.clear()

    def _read(self, opened: socket.socket, port: int, only: str | None) -> None:
        for _ in range(_AT_ONCE):
            try:
                payload, ancillary, _, _ = opened.recvmsg(_DATAGRAM_BYTES, 256)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                # An ICMP error for something that this socket never sent; nobody's loss.
                continue
            host = only or _destination(ancillary)
            name = None if host is None else self._names.get((host, port))
            if name is not None:
                self._deliver(name, payload)


def _destination(ancillary: list[tuple[int, int, bytes]]) -> str | None:
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO and len(data) >= _PKTINFO.size:
            return socket.inet_ntoa(_PKTINFO.unpack_from(data)[2])
    return None
