"""A world for simulated LwM2M devices: their scripted server, time by hand, and no sockets.

Time moves from one timer to the next; life and wire are the same here, but for where they begin.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request, Response
from overair.protocols.lwm2m.values import Path, path_segments
from overair.sim.lwm2m.device import Device
from overair.sim.lwm2m.profile import Behaviour
from overair.sim.lwm2m.roster import Lwm2mDevice, generate_cells, generate_roster
from overair.sim.lwm2m.steps import Now
from overair.sim.lwm2m.tally import DeviceTruth, Tally
from overair.sim.requests import Answer, Fetch
from tests.sim.lwm2m.head import Head

SERVER = ("server.test", 5683)
START = 1_772_000_000.0
LATENCY_S = 0.05
IMAGE = b"overair-sim version 02\n" + bytes(range(256)) * 20


class World:
    """One device and its server."""

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        sim: Lwm2mDevice | None = None,
        seed: int = 0,
        becomes: str = "",
        loss: float = 0.0,
    ) -> None:
        self.wire = 0.0
        self.head = Head()
        self.head.files["image"] = IMAGE
        self.tally = Tally()
        self.sim = sim or generate_roster(1)[0]
        self.cells = generate_cells(5)
        self.device = Device(
            self.sim,
            SERVER,
            behaviour=behaviour,
            cells=self.cells,
            tally=self.tally,
            seed=seed,
            becomes=becomes,
        )
        self.on_fetch: Callable[[Fetch], Answer] = self._serve
        self.deaf: set[int] = set()
        self._loss = loss
        self._dice = Random(seed)
        self._up: list[tuple[int, bytes]] = []
        self._down: list[tuple[int, bytes]] = []
        self._fetches: list[Fetch] = []

    @property
    def now(self) -> Now:
        """Both times."""
        return Now(START + self.wire, self.wire)

    @property
    def name(self) -> str:
        return self.sim.name

    @property
    def truth(self) -> DeviceTruth:
        return self.device.truth()

    def start(self) -> None:
        """Let the device begin, and register if it can."""
        self.device.start(self.now)
        self.run(10.0)

    def run(self, seconds: float) -> None:
        """Let everything happen for so long."""
        end = self.wire + seconds
        while True:
            self._collect()
            due = self._next()
            if due > end:
                break
            self.wire = max(self.wire, due)
            self._deliver()
            life, wire = self.device.wake_at
            if (life is not None and life <= self.now.life) or (
                wire is not None and wire <= self.wire
            ):
                self.device.handle_timer(self.now)
            if (at := self.head.endpoint.next_due) is not None and at <= self.wire:
                self.head.tick(self.wire)
        self.wire = end

    def _next(self) -> float:
        if self._up or self._down or self._fetches:
            return self.wire + LATENCY_S
        life, wire = self.device.wake_at
        found = [at for at in (wire, self.head.endpoint.next_due) if at is not None]
        found += [] if life is None else [life - START]
        return max(self.wire, min(found, default=float("inf")))

    def _collect(self) -> None:
        for datagram in self.device.drain():
            assert datagram.remote == SERVER
            assert datagram.channel in self.device.channels
            self._up.append((datagram.channel, datagram.data))
        for channel, data in self.head.endpoint.drain():
            assert isinstance(channel, int)
            self._down.append((channel, data))
        fetch = self.device.take_fetch()
        if fetch is not None:
            self._fetches.append(fetch)

    def _deliver(self) -> None:
        up, self._up = self._up, []
        down, self._down = self._down, []
        fetches, self._fetches = self._fetches, []
        for channel, data in up:
            if self._dice.random() >= self._loss:
                self.head.receive(channel, data, self.wire)
        for channel, data in down:
            if self._dice.random() >= self._loss and channel not in self.deaf:
                self.device.receive(channel, data, self.now)
        for fetch in fetches:
            self.device.fetched(fetch, self.on_fetch(fetch), self.now)

    def _serve(self, fetch: Fetch) -> Answer:
        status = 206 if fetch.offset else 200
        body = IMAGE[fetch.offset :][: fetch.limit]
        return Answer(status=status, body=body, start=fetch.offset, total=len(IMAGE))

    # What the server asks

    def ask(self, method: int, path: Path, payload: bytes = b"", **more: Any) -> Response | None:
        """Ask, and wait for what comes of it."""
        request = Request(method=method, path=path_segments(path), payload=payload, **more)
        handle = self.head.ask(self.name, request, self.wire)
        end = self.wire + 120.0
        while handle not in self.head.ends and self.wire < end:
            self.run(0.25)
        return self.head.answer(handle)

    def text(self, *path: int) -> str:
        """Read one resource."""
        found = self.ask(Code.GET, path, accept=0)
        assert found is not None
        assert found.code == Code.CONTENT
        return found.payload.decode()

    def state(self) -> tuple[int, int]:
        """Read state and result of object 5."""
        return int(self.text(5, 0, 3)), int(self.text(5, 0, 5))

    def push(self, image: bytes = IMAGE, szx: int = 6) -> Response | None:
        """Push an image, to its end."""
        handle = self.head.push(self.name, image, self.wire, szx)
        end = self.wire + 300.0
        while handle not in self.head.ends and self.wire < end:
            self.run(0.25)
        return self.head.answer(handle)

    def pull(self, uri: str = "coap://server.test:5683/fw/image") -> Response | None:
        """Write the address of an image, and wait until the device is done with it."""
        answer = self.ask(Code.PUT, (5, 0, 1), uri.encode(), content_format=0)
        self.run(60.0)
        return answer

    def execute(self) -> Response | None:
        """Have it install what it has."""
        return self.ask(Code.POST, (5, 0, 2))
