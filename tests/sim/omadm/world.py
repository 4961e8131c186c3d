"""A world for simulated OMA-DM devices: the scripted server behind every address, and time by hand.

No sockets: the devices have none either. Time moves only from one timer to the next.
"""

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

from overair.protocols.syncml import codec
from overair.sim.omadm.device import Device
from overair.sim.omadm.profile import Behaviour
from overair.sim.omadm.roster import OmadmDevice, generate_roster
from overair.sim.omadm.steps import Attach, Step
from overair.sim.omadm.tally import Tally
from overair.sim.requests import Answer, Fetch, Post
from tests.sim.omadm.dm_server import DmServer

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FILE = b"overair-sim version 02\n" + bytes(range(256)) * 1200


class World:
    """Some devices and their server."""

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        devices: int = 1,
        seed: int = 0,
        file: bytes = FILE,
        becomes: str = "",
        roster: tuple[OmadmDevice, ...] | None = None,
    ) -> None:
        self.now = START
        self.roster = roster or generate_roster(devices, seed=seed)
        self.server = DmServer(self.roster, file=file)
        self.tally = Tally()
        self.devices = {
            sim.imei: Device(
                sim,
                self.server.url,
                behaviour=behaviour or Behaviour(),
                tally=self.tally,
                seed=seed,
                becomes=becomes,
            )
            for sim in self.roster
        }
        self.transcript: list[str] = []
        self.attached: list[tuple[datetime, str]] = []
        # The next answers of the server, in place of its own: a status, or 0 for none.
        self.statuses: dict[str, list[int]] = {}
        # What comes of a download, and what happens to the device before an answer arrives.
        self.on_file: Callable[[Fetch, Answer], Answer] = lambda _fetch, answer: answer
        self.on_step: Callable[[Step], None] = lambda _step: None
        self._pushes = count(1)
        self._timers: list[tuple[datetime, int, str]] = []
        self._order = count()

    @property
    def device(self) -> Device:
        """Return the first device."""
        return next(iter(self.devices.values()))

    @property
    def imei(self) -> str:
        """Return its IMEI."""
        return self.device.sim.imei

    def start(self) -> None:
        """Begin every schedule."""
        for device in self.devices.values():
            self._drive(device, device.start(self.now))

    def push(self, imei: str | None = None, session: int | None = None) -> None:
        """Notify a device; a notification without a number is a new one."""
        imei = imei or self.imei
        number = next(self._pushes) if session is None else session
        self.deliver(self.server.push(imei, number), imei)

    def deliver(self, payload: bytes, imei: str | None = None) -> None:
        """Have a datagram arrive."""
        device = self.devices[imei or self.imei]
        self._drive(device, device.receive_push(payload, self.now))

    def switch(self, *, on: bool) -> None:
        """Pull or put the first device's plug."""
        self._drive(self.device, self.device.switch(self.now, on=on))

    def run(self, **span: float) -> None:
        """Let that much time pass."""
        self.run_until(self.now + timedelta(**span))

    def run_until(self, end: datetime) -> None:
        """Let time pass until then."""
        for imei, device in self.devices.items():
            self._arm(imei, device)
        while self._timers and self._timers[0][0] <= end:
            at, _, imei = heapq.heappop(self._timers)
            device = self.devices[imei]
            if device.wake_at != at:
                continue
            self.now = max(self.now, at)
            self._drive(device, device.handle_timer(self.now))
        self.now = end

    def _arm(self, imei: str, device: Device) -> None:
        if device.wake_at is not None:
            heapq.heappush(self._timers, (device.wake_at, next(self._order), imei))

    def _drive(self, device: Device, step: Step | None) -> None:
        while step is not None:
            answer = self._perform(step)
            self.on_step(step)
            step = device.receive(step, answer, self.now)
        self._arm(device.sim.imei, device)

    def _perform(self, step: Step) -> Answer:
        if isinstance(step, Attach):
            self.attached.append((self.now, step.imei))
            return Answer()
        path = step.url.removeprefix(self.server.base)
        line = f"POST {path}" if isinstance(step, Post) else f"GET {path} {step.offset}"
        self.transcript.append(line)
        for beginning, statuses in self.statuses.items():
            if line.startswith(beginning) and statuses:
                return Answer(status=statuses.pop(0))
        if isinstance(step, Post):
            return self._post(path, step)
        return self.on_file(step, self._file(path, step))

    def _post(self, path: str, post: Post) -> Answer:
        if path.startswith("/notify/"):
            self.server.notices.append(post.body.decode())
            return Answer(status=200)
        assert path == "/dm"
        kind = codec.media_type(post.media_type)
        assert kind is not None
        return Answer(
            status=200, media_type=post.media_type, body=self.server.handle(post.body, kind)
        )

    def _file(self, path: str, fetch: Fetch) -> Answer:
        if path.startswith("/dd/"):
            body = self.server.descriptor_of(path.removeprefix("/dd/"))
            return Answer(status=200, media_type="application/vnd.oma.dd+xml", body=body)
        assert path.startswith("/package/")
        file = self.server.file
        if fetch.offset >= len(file):
            return Answer(status=416)
        return Answer(
            status=206 if fetch.offset else 200,
            media_type="application/octet-stream",
            body=file[fetch.offset : fetch.offset + fetch.limit],
            start=fetch.offset,
            total=len(file),
        )
