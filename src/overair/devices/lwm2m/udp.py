"""A UDP socket in the event loop, up to 256 datagrams a wake-up.

asyncio's own datagram transport makes a callback of every datagram, which costs several times what is
done with one here (``lwm2m.md`` 18); so the socket is read in a loop, and what was read is handled at
once. What does not fit into the socket's buffer waits in a short queue, and then is lost: CoAP repeats
what nobody heard.

Not in here: what the datagrams mean, and DTLS.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from overair.config import ConfigError

AT_ONCE: Final = 256
MOST_BYTES: Final = (
    2048  # longer ones are nobody's; the endpoint refuses what is above its own limit
)
MOST_WAITING: Final = 4096  # datagrams that the socket has no room for
BUFFER_BYTES: Final = 4 * 1024 * 1024

# As the socket gives it: host and port, and two more numbers in IPv6.
Address = tuple[str, int] | tuple[str, int, int, int]
OnDatagrams = Callable[[list[tuple[bytes, Address]]], None]


class DatagramSocket(Protocol):
    """A bound socket, or what stands for one where a whole network is simulated in one process."""

    address: Address

    def start(self) -> None:
        """Read from now on."""

    def close(self) -> None:
        """Read and send no more."""

    def send(self, datagram: bytes, address: Address) -> None:
        """Send, now or as soon as there is room."""


# Host, port and who is told of datagrams. Raises ConfigError.
OpenSocket = Callable[[str, int, OnDatagrams], DatagramSocket]


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of a setting."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class UdpSocket:
    """One bound socket."""

    def __init__(self, host: str, port: int, on_datagrams: OnDatagrams) -> None:
        """Bind it. Raises ConfigError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            # The kernel gives what it allows; a burst of a whole fleet is what this is for.
            self._socket.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise ConfigError(
                f"settings: lwm2m: cannot listen on {host}:{port} (UDP): {error.strerror}"
            ) from error
        self._on_datagrams = on_datagrams
        self._waiting: deque[tuple[bytes, Address]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.address: Address = self._socket.getsockname()

    def start(self) -> None:
        """Read from now on."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        """Read and send no more."""
        if self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._loop = None
        self._socket.close()

    def _readable(self) -> None:
        found: list[tuple[bytes, Address]] = []
        receive = self._socket.recvfrom
        try:
            while len(found) < AT_ONCE:
                datagram, address = receive(MOST_BYTES)
                if datagram and address[:2] != self.address[:2] and address[1]:
                    found.append((datagram, address))
        except BlockingIOError:
            pass
        except OSError:
            # What an earlier datagram came to (ICMP), not this one.
            pass
        if found:
            self._on_datagrams(found)

    def send(self, datagram: bytes, address: Address) -> None:
        """Send, now or as soon as there is room."""
        if self._waiting:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append((datagram, address))
            return
        try:
            self._socket.sendto(datagram, address)
        except BlockingIOError:
            if self._loop is not None:
                self._waiting.append((datagram, address))
                self._loop.add_writer(self._socket.fileno(), self._writable)
        except OSError:
            # Unreachable, or an address that nobody can send to: as good as lost.
            pass

    def _writable(self) -> None:
        while self._waiting:
            datagram, address = self._waiting[0]
            try:
                self._socket.sendto(datagram, address)
            except BlockingIOError:
                return
            except OSError:
                pass
            self._waiting.popleft()
        if self._loop is not None:
            with contextlib.suppress(ValueError):
                self._loop.remove_writer(self._socket.fileno())
