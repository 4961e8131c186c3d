"""A device's end of a datagram: a socket that reads notifications with the protocol's own eyes."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

from overair.protocols.syncml.notification import Notification, decode_notification, unwrap_push


@dataclass(slots=True)
class Receiver:
    """Datagrams that came to a port."""

    socket: socket.socket
    datagrams: list[bytes] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    async def came(self) -> int:
        """Read what there is; how many came so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.datagrams.append(self.socket.recv(2048))
        return len(self.datagrams)

    def notifications(self) -> list[Notification]:
        return [decode_notification(unwrap_push(datagram)) for datagram in self.datagrams]


@contextlib.contextmanager
def receiving(host: str = "127.0.0.1") -> Iterator[Receiver]:
    """A receiver on loopback."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
        sock.bind((host, 0))
        yield Receiver(sock)
