"""Keeps callbacks out of the network that this server stands in.

The check is made where a socket is made, for each address that is about to be connected to. By then a
name has been resolved and an odd number been read, so nothing can change between check and use: a
name that answers differently the second time (DNS rebinding) gains nothing. Redirects are not
followed and proxies not used, so there is no second way out.

Which addresses those are: ``core/addresses.py``.
"""

import asyncio
import errno
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType

from overair.core.addresses import not_public

REFUSED: Final = "refused: the address is not one of the public Internet"
RESOLVING: Final = 8  # names at once


class AddressRefusedError(OSError):
    """A listener's address is one that callbacks must not go to."""

    def __init__(self, word: str) -> None:
        # EACCES sets it apart: connecting never fails with that otherwise.
        super().__init__(errno.EACCES, f"{REFUSED} ({word})")


def guarded_socket(info: AddrInfoType) -> socket.socket:
    """A socket to connect to the address, which must be public. Raises AddressRefusedError."""
    family, kind, protocol, _, address = info
    word = not_public(str(address[0]))
    if word is not None:
        raise AddressRefusedError(word)
    return socket.socket(family, kind, protocol)


def any_socket(info: AddrInfoType) -> socket.socket:
    """A socket to connect to any address, where the operator allows it."""
    family, kind, protocol, _, _ = info
    return socket.socket(family, kind, protocol)


class PooledResolver(AbstractResolver):
    """The system's resolver in threads of its own.

    A name server that does not answer holds a thread for longer than we wait; those of the rest of
    the process, which read artifacts, must not be the ones.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(RESOLVING, thread_name_prefix="overair-resolver")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._pool,
            lambda: socket.getaddrinfo(
                host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            ),
        )
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=of,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for of, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
