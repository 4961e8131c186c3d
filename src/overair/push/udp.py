"""Notifications as datagrams: in a WSP push to port 2948, or bare (``oma-dm.md`` 10.2).

Nothing answers, so nothing is read: one unconnected socket for each family of addresses, made when the
first of its kind is needed. Sending to a socket does not wait, and what the kernel refuses is known at
once. Whatever happens to a datagram after that, the repeats of the window make good.

Names are looked up in threads of their own: those that a name server leaves waiting must not be the ones
that the rest of the process needs.
"""

import asyncio
import errno
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Self

from overair.core.network import AddressError, split_address
from overair.protocols.syncml.notification import PUSH_PORT, wrap_push
from overair.push.transport import Contact, Sent

RESOLVING: Final = 4  # names at once
RESOLVE_S: Final = 5.0

# Ours, or the network's between: it can be otherwise in a minute. All else is the address's own fault.
_PASSING: Final = frozenset(
    {
        errno.EAGAIN,
        errno.EINTR,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.EHOSTDOWN,
        errno.ECONNREFUSED,
        errno.ENOBUFS,
        errno.ENOMEM,
    }
)

Target = tuple[socket.AddressFamily, tuple[Any, ...]]


class UdpTransport:
    """Sends datagrams; ``bare`` leaves the WSP header out."""

    name = "udp"

    def __init__(self, *, bare: bool) -> None:
        self._bare = bare
        self._sockets: dict[socket.AddressFamily, socket.socket] = {}
        self._resolvers: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> Self:
        self._resolvers = ThreadPoolExecutor(RESOLVING, thread_name_prefix="overair-push-names")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in self._sockets.values():
            each.close()
        self._sockets.clear()
        if self._resolvers is not None:
            self._resolvers.shutdown(wait=False, cancel_futures=True)

    async def send(self, contact: Contact, package: bytes, validity: timedelta) -> Sent:
        """Send one datagram."""
        if not contact.address:
            return Sent.NO_ADDRESS
        try:
            host, port = split_address(contact.address, PUSH_PORT)
        except AddressError:
            return Sent.REFUSED
        target = _literal(host, port)
        try:
            if target is None:
                target = await self._look_up(host, port)
            family, address = target
            self._socket(family).sendto(package if self._bare else wrap_push(package), address)
        except TimeoutError:
            return Sent.LATER
        except socket.gaierror as error:
            return Sent.LATER if error.errno == socket.EAI_AGAIN else Sent.REFUSED
        except UnicodeError:  # a name that the resolver's encoding has no room for
            return Sent.REFUSED
        except OSError as error:
            return Sent.LATER if error.errno in _PASSING else Sent.REFUSED
        return Sent.SENT

    def _socket(self, family: socket.AddressFamily) -> socket.socket:
        if family not in self._sockets:
            made = socket.socket(family, socket.SOCK_DGRAM)
            made.setblocking(False)
            self._sockets[family] = made
        return self._sockets[family]

    async def _look_up(self, host: str, port: int) -> Target:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(RESOLVE_S):
            found = await loop.run_in_executor(
                self._resolvers, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            )
        family, _, _, _, address = found[0]
        return socket.AddressFamily(family), address


def _literal(host: str, port: int) -> Target | None:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    return family, (host, port)
