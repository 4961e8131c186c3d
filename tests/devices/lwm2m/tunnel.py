"""DTLS for a device that speaks plain CoAP: a relay beside it that encrypts, with OpenSSL as the client."""

import asyncio
import contextlib
import socket
from types import TracebackType

from OpenSSL import SSL

from overair.devices.lwm2m import psk, records
from overair.devices.lwm2m.psk import PskClient, pending
from tests.waiting import until

Address = tuple[str, int]


class Tunnel:
    """One session to the server."""

    def __init__(self, port: int, identity: bytes, key: bytes, mtu: int = psk.MTU) -> None:
        """``mtu``: how much of a flight goes into one datagram; 1: each record has its own."""
        self._mtu = mtu
        self._server: Address = ("127.0.0.1", port)
        self._identity = identity
        self._key = key
        self._plain = self._bound()
        self._device: Address | None = None
        self._secret = self._bound()
        self.connected = False
        self.closed = False
        # Every datagram to the server, as somebody on the way has it.
        self.seen: list[bytes] = []
        self._begin()

    def _begin(self) -> None:
        self._client = PskClient(self._identity, self._key)
        self._connection = self._client.connection
        self.connected = False

    @staticmethod
    def _bound() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", 0))
        made.setblocking(False)
        return made

    @property
    def address(self) -> str:
        """Where the device finds the server."""
        return f"coap://127.0.0.1:{self._plain.getsockname()[1]}"

    async def __aenter__(self) -> "Tunnel":
        loop = asyncio.get_running_loop()
        loop.add_reader(self._plain, self._from_device)
        loop.add_reader(self._secret, self._from_server)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        for each in (self._plain, self._secret):
            loop.remove_reader(each)
            each.close()

    async def connect(self) -> None:
        """Shake hands; fails if that comes to nothing."""
        self._step()

        async def done() -> bool:
            return self.connected

        await until(done, "the handshake")

    def move(self) -> None:
        """Be behind another port, as after a NAT has forgotten us; the device does not know."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._secret)
        self._secret.close()
        self._secret = self._bound()
        loop.add_reader(self._secret, self._from_server)

    async def reconnect(self, *, new_port: bool = True) -> None:
        """A new session, from another port or from the same."""
        if new_port:
            self.move()
        self._begin()
        await self.connect()

    async def resume(self) -> bool:
        """Shake hands again for the session that is there; whether half of it was enough."""
        self._connection = self._client.resuming(self._connection)
        self.connected = False
        await self.connect()
        return psk.is_resumed(self._connection)

    def begin(self) -> None:
        """Begin a handshake, and see what comes of it."""
        self._step()

    def _step(self) -> None:
        if not self.connected:
            with contextlib.suppress(SSL.Error):
                self.connected = psk.step(self._connection)
        self._flush()

    def _flush(self) -> None:
        for datagram in records.datagrams(pending(self._connection), self._mtu):
            self.seen.append(datagram)
            self._secret.sendto(datagram, self._server)

    def repeat(self, datagram: bytes) -> None:
        """Send somebody's datagram from our address."""
        self._secret.sendto(datagram, self._server)

    def _from_device(self) -> None:
        datagram, self._device = self._plain.recvfrom(4096)
        if self.connected:
            self._connection.send(datagram)
            self._flush()

    def _from_server(self) -> None:
        datagram, _ = self._secret.recvfrom(4096)
        self._connection.bio_write(datagram)
        self._step()
        if not self.connected:
            return
        try:
            while True:
                plaintext = self._connection.recv(4096)
                if self._device is not None:
                    self._plain.sendto(plaintext, self._device)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.closed = True
