"""A bad network: a UDP relay between a device and the server that loses, doubles and reorders."""

import asyncio
import random
import socket

Address = tuple[str, int]


class Noise:
    """Datagrams of one device to the server and back, as many as get through."""

    def __init__(self, server: Address, *, seed: int, loss: float, doubled: float = 0.1) -> None:
        self._server = server
        self._random = random.Random(seed)
        self._loss = loss
        self._doubled = doubled
        self._outside = self._bound()
        self._inside = self._bound()
        self._device: Address | None = None
        self.lost = 0
        self.passed = 0
        self.longest = 0  # of what the server sends

    @staticmethod
    def _bound() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", 0))
        made.setblocking(False)
        return made

    @property
    def address(self) -> str:
        """Where the device finds the server."""
        port: int = self._outside.getsockname()[1]
        return f"coap://127.0.0.1:{port}"

    def __enter__(self) -> "Noise":
        loop = asyncio.get_running_loop()
        loop.add_reader(self._outside, self._from_device)
        loop.add_reader(self._inside, self._from_server)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for each in (self._outside, self._inside):
            loop.remove_reader(each)
            each.close()

    def _from_device(self) -> None:
        datagram, self._device = self._outside.recvfrom(2048)
        self._pass_on(self._inside, datagram, self._server)

    def _from_server(self) -> None:
        datagram, _ = self._inside.recvfrom(2048)
        self.longest = max(self.longest, len(datagram))
        if self._device is not None:
            self._pass_on(self._outside, datagram, self._device)

    def _pass_on(self, via: socket.socket, datagram: bytes, to: Address) -> None:
        if self._random.random() < self._loss:
            self.lost += 1
            return
        self.passed += 1
        copies = 2 if self._random.random() < self._doubled else 1
        for _ in range(copies):
            # Some take a detour, and come behind others.
            delay = self._random.choice((0.0, 0.0, 0.0, 0.02))
            asyncio.get_running_loop().call_later(delay, self._send, via, datagram, to)

    @staticmethod
    def _send(via: socket.socket, datagram: bytes, to: Address) -> None:
        if via.fileno() >= 0:
            via.sendto(datagram, to)
