"""What a simulated device has and answers: objects 1, 3, 4 and 5.

Not in here: how values are written (``tree``), and what becomes of an image (``update``).
"""

from functools import lru_cache
from typing import Protocol

from overair.protocols.coap.events import Incoming
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request, Response
from overair.protocols.lwm2m.errors import UnreadableError
from overair.protocols.lwm2m.formats import decode
from overair.protocols.lwm2m.objects import FIRMWARE_VERSION, RESULT, STATE, Cell
from overair.protocols.lwm2m.values import (
    Path,
    Raw,
    Readings,
    as_integer,
    as_text,
    parse_path,
)
from overair.sim.lwm2m.link import UPDATE, Link
from overair.sim.lwm2m.profile import DevicePlan
from overair.sim.lwm2m.roster import Lwm2mDevice
from overair.sim.lwm2m.tree import read
from overair.sim.lwm2m.update import Machine

REBOOT = "reboot"
_CHANGED = Response(code=Code.CHANGED)
_BAD = Response(code=Code.BAD_REQUEST)
_NOT_FOUND = Response(code=Code.NOT_FOUND)
_NOT_ALLOWED = Response(code=Code.METHOD_NOT_ALLOWED)
_LTE_FDD = 6


class Host(Protocol):
    """The device, as its objects see it."""

    cell: Cell

    def ring(self, name: str, after_s: float | None) -> None:
        """Set one of its timers."""


class Objects:
    """The objects of one device."""

    def __init__(
        self, host: Host, sim: Lwm2mDevice, plan: DevicePlan, machine: Machine, link: Link
    ) -> None:
        self._host = host
        self._sim = sim
        self._plan = plan
        self._machine = machine
        self._link = link
        self._fixed: Readings = {
            (1, 0, 0): 1,
            (1, 0, 7): "UQ" if sim.queue_mode and sim.enabler == "1.0" else "U",
            (3, 0, 0): sim.make,
            (3, 0, 1): sim.model,
            (3, 0, 2): sim.imei,
            (3, 0, 9): 80,
            (3, 0, 16): "U",
            (4, 0, 0): _LTE_FDD,
            (4, 0, 2): plan.signal,
            (4, 0, 4, 0): "127.0.0.1",
        }

    def values(self) -> Readings:
        """Everything that can be read."""
        cell = self._host.cell
        return {
            **self._fixed,
            (1, 0, 1): self._link.lifetime_s,
            FIRMWARE_VERSION: self._machine.version,
            (4, 0, 8): cell.cell_id,
            (4, 0, 9): cell.mnc,
            (4, 0, 10): cell.mcc,
            **self._machine.readings(),
        }

    def result(self) -> Readings:
        """State, result and version."""
        machine = self._machine
        return {
            STATE: int(machine.state),
            RESULT: int(machine.result),
            FIRMWARE_VERSION: machine.version,
        }

    def value(self, path: Path, accept: int | None) -> Response:
        """What a read gets."""
        return read(self.values(), path, accept, self._plan, self._sim.enabler)

    def asked(self, incoming: Incoming) -> Response | None:
        """Answer a request; None: the power went before the answer."""
        request = incoming.request
        path = _path(request.path)
        if path is None:
            return _NOT_FOUND
        if request.method == Code.GET:
            return self._read(incoming, path)
        if request.method == Code.PUT or (request.method == Code.POST and len(path) == 2):
            return self._write(request, path)
        if request.method == Code.POST:
            return self._execute(path)
        return _NOT_ALLOWED

    def _read(self, incoming: Incoming, path: Path) -> Response:
        request = incoming.request
        response = self.value(path, request.accept)
        if request.observe == 1:
            self._link.forget(path)
        elif request.observe == 0:
            return self._link.observe(path, incoming.exchange, response)
        return response

    def _write(self, request: Request, path: Path) -> Response | None:
        if request.query and not request.payload:
            # Attributes such as pmin: taken, and of no effect, for values change every few hours.
            return _CHANGED
        if path == (5, 0, 0):
            return self._machine.write_package(request)
        try:
            values = decode(request.content_format, path, request.payload)
        except UnreadableError:
            return _BAD
        answer = _CHANGED
        for each, raw in sorted(values.items()):
            answer = self._write_one(each, raw)
            if not answer.ok:
                break
        return answer

    def _write_one(self, path: Path, raw: Raw) -> Response:
        if path == (5, 0, 1):
            uri = as_text(raw)
            return _BAD if uri is None else self._machine.write_uri(uri)
        known = self.values()
        if path not in ((1, 0, 1), (5, 0, 11), (5, 0, 13)) or path not in known:
            return _NOT_ALLOWED if path in known else _NOT_FOUND
        number = as_integer(raw)
        if number is None or number < 0:
            return _BAD
        if path == (1, 0, 1):
            self._link.lifetime_s = number or self._link.lifetime_s
            self._host.ring(UPDATE, 1.0)
        elif path == (5, 0, 11):
            self._machine.severity = number
        else:
            self._machine.defer_s = number
        return _CHANGED

    def _execute(self, path: Path) -> Response:
        match path:
            case (5, 0, 2):
                return self._machine.execute()
            case (5, 0, 10):
                return self._machine.cancel()
            case (3, 0, 4):
                self._host.ring(REBOOT, 1.0)
                return _CHANGED
            case (1, 0, 8):
                self._host.ring(UPDATE, 0.1)
                return _CHANGED
            case _:
                return _NOT_ALLOWED


@lru_cache(maxsize=256)
def _path(segments: tuple[str, ...]) -> Path | None:
    try:
        return parse_path("/".join(segments))
    except UnreadableError:
        return None
