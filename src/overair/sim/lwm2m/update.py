"""Object 5 of a simulated device: its update machine, and how its attempts fare (lwm2m 7, 9, 10).

    state       0 idle ── 1 downloading ── 2 downloaded ── 3 updating ── (restart) ── 0
    a push      is taken block by block; a wrong order is 4.08, and 4.13 means that nothing was kept
    a URI       is fetched by the device (``Host.fetch``), which tells of each block and of the end

State 2 and 3 outlive a loss of power, a transfer does not. What is planned for an attempt is drawn when its
first byte comes, or its URI; an image that is executed again after a failure gets a new draw.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol
from urllib.parse import urlsplit

from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Block, Request, Response
from overair.protocols.lwm2m.objects import RESULT, STATE, Cell
from overair.protocols.lwm2m.results import Result, State
from overair.protocols.lwm2m.values import Path, Readings
from overair.sim.lwm2m.intake import Becomes, Intake
from overair.sim.lwm2m.profile import AttemptPlan, DevicePlan, Fate, Oddity
from overair.sim.lwm2m.roster import PULL, PUSH, Lwm2mDevice
from overair.sim.lwm2m.tally import Journal, Tally, Work

_SMALL_SZX = 4
_LONGEST_URI = 255
_RESETS = (b"", b"\0")
_DEFERRED_S = 2.0
_AT_ONCE_S = 1.0
INSTALL = "install"
# What each scheme has for a number in resource 8.
_SCHEMES = {"coap": 0, "http": 2, "https": 3}
# What a device thinks of before it has an image: these fates concern the way to one.
_BEFORE = (Fate.DOWNLOAD_FAILS, Fate.CORRUPTED, Fate.UNSUPPORTED, Fate.BAD_URI)

_CHANGED = Response(code=Code.CHANGED)
_BAD = Response(code=Code.BAD_REQUEST)
_NOT_NOW = Response(code=Code.METHOD_NOT_ALLOWED)


class Host(Protocol):
    """The device, as its update machine sees it."""

    now: float
    cell: Cell

    def changed(self, *paths: Path) -> None:
        """Tell whoever observes them."""

    def fetch(self, uri: str) -> None:
        """Begin a download."""

    def stop_fetching(self) -> None:
        """Give it up."""

    def ring(self, name: str, after_s: float | None) -> None:
        """Call ``installed`` (or the like) after that time; None: no more."""

    def restart(self, off_s: float) -> None:
        """Go down, and come up after that time."""


class Machine:
    """The state of object 5, and which version runs."""

    def __init__(
        self,
        host: Host,
        sim: Lwm2mDevice,
        plan: DevicePlan,
        journal: Journal,
        tally: Tally,
        draw: Callable[[int], AttemptPlan],
        becomes: Becomes,
    ) -> None:
        self._host = host
        self._sim = sim
        self._device = plan
        self._journal = journal
        self._tally = tally
        self._draw = draw
        self._becomes = becomes
        self.version = sim.version
        self.sha256 = ""
        self.state = State.IDLE
        self.result = Result.INITIAL
        self.uri = ""
        self.severity = 1
        self.defer_s = 0
        self._held_version = ""
        self._plan = AttemptPlan()
        self._attempts = 0
        self._intake: Intake | None = None
        # How long a push is to be, as its first block says.
        self._size: int | None = None
        self._pushed = False
        # What the next start shows, and whether the image runs then.
        self._after: tuple[State, Result, bool] | None = None
        self._tried = False

    @property
    def is_busy(self) -> bool:
        """Whether it must stay awake."""
        return self.state in (State.DOWNLOADING, State.UPDATING) or self._intake is not None

    def readings(self) -> Readings:
        """Return the values of the object."""
        values: Readings = {
            (5, 0, 1): self.uri,
            (5, 0, 3): int(self.state),
            (5, 0, 5): int(self.result),
            (5, 0, 7): self._held_version,
            (5, 0, 9): self._sim.delivery,
        }
        for place, scheme in enumerate(self._sim.schemes):
            values[(5, 0, 8, place)] = scheme
        if self._sim.enabler != "1.0":
            values |= {(5, 0, 11): self.severity, (5, 0, 13): self.defer_s}
        return values

    # What the server does

    def write_package(self, request: Request) -> Response | None:
        """Take a block of an image, or the whole; None: the power went before the answer."""
        block = request.block1 or Block(0, False, 6)
        if block.number == 0 and not block.more and request.payload in _RESETS:
            return self._reset()
        if self._sim.delivery == PULL or self.state in (State.DOWNLOADED, State.UPDATING):
            return _BAD
        if self.state == State.DOWNLOADING and not self._pushed:
            return _BAD
        small = self._device.has(Oddity.SMALL_BLOCKS) or self._device.has(Oddity.SMALL_BUFFER)
        if small and block.szx > _SMALL_SZX and (block.more or block.number):
            self._intake = None
            hint = Block(block.number, block.more, _SMALL_SZX)
            shown = hint if self._device.has(Oddity.SMALL_BLOCKS) else None
            return Response(code=Code.REQUEST_ENTITY_TOO_LARGE, block1=shown)
        if block.number == 0:
            self._begin_push(request)
        intake = self._intake
        if intake is None or block.offset > intake.size:
            return Response(code=Code.REQUEST_ENTITY_INCOMPLETE)
        if block.offset == intake.size:
            self._take(intake, request.payload)
        elif block.offset + len(request.payload) != intake.size:
            return Response(code=Code.REQUEST_ENTITY_INCOMPLETE)
        size = self._size
        if self._is_past(self._plan.cut_at, size):
            self._plan = replace(self._plan, cut_at=None)
            self._host.restart(self._plan.reboot_s)
            return None
        if self._fails_now(size, last=not block.more):
            self._fail(self._plan.code)
            return Response(code=Code.INTERNAL_SERVER_ERROR)
        if block.more:
            return Response(code=Code.CONTINUE, block1=block)
        self._arrived(intake)
        unsupported = self.result == Result.UNSUPPORTED_PACKAGE
        return _BAD if unsupported else _CHANGED._replace(block1=request.block1)

    def write_uri(self, uri: str) -> Response:
        """Fetch an image from there, or reset the machine."""
        if not uri:
            return self._reset()
        if self._sim.delivery == PUSH or self.state != State.IDLE or self._intake is not None:
            return _BAD
        parts = urlsplit(uri)
        if len(uri.encode()) > _LONGEST_URI or not parts.hostname:
            self._show(State.IDLE, Result.INVALID_URI)
            return _BAD
        self._begin("pull", uri)
        if _SCHEMES.get(parts.scheme) not in self._sim.schemes:
            self._fail(Result.UNSUPPORTED_PROTOCOL)
            return _BAD
        if self._plan.fate is Fate.BAD_URI:
            self._fail(self._plan.uri_code)
            return _BAD
        self.uri = uri
        self._intake = Intake()
        self._pushed = False
        self._show(State.DOWNLOADING, Result.INITIAL)
        self._host.fetch(uri)
        return _CHANGED

    def cancel(self) -> Response:
        """Give up what is not being installed."""
        if self._sim.enabler == "1.0" or self.state == State.UPDATING:
            return _NOT_NOW
        self._clear(Result.CANCELLED)
        return _CHANGED

    def execute(self) -> Response:
        """Install what is there."""
        if self.state != State.DOWNLOADED:
            return _NOT_NOW
        if self._tried:
            self._attempts += 1
            self._plan = _with_image(self._draw(self._attempts))
        self._tried = True
        work = self._journal.work[-1]
        executed_at = work.executed_at or self._host.now
        self._journal.change(
            executed_at=executed_at, executes=work.executes + 1, ended_at=None, result=None
        )
        self._tally.executed += 1
        self._show(State.UPDATING, Result.INITIAL)
        self._install()
        return _CHANGED

    def _reset(self) -> Response:
        if self.state == State.UPDATING:
            return _BAD
        self._clear(Result.INITIAL)
        return _CHANGED

    def _clear(self, result: Result) -> None:
        if self.state != State.IDLE or self._intake is not None:
            self._end(result)
        self._host.stop_fetching()
        self._intake = None
        self.uri = self._held_version = ""
        self._show(State.IDLE, result)

    # An image on its way

    def _begin(self, by: str, uri: str = "") -> None:
        self._attempts += 1
        self._plan = self._draw(self._attempts)
        self._tried = False
        self._journal.begin(
            Work(
                began_at=self._host.now,
                cell=self._host.cell,
                by=by,
                uri=uri,
                from_version=self.version,
                fate=self._plan.fate.value,
            )
        )

    def _begin_push(self, request: Request) -> None:
        # One that begins again in the middle is the same attempt.
        if not self._pushed or self._intake is None:
            self._begin("push")
        self._intake = Intake()
        self._size = request.size1
        self._pushed = True
        self.uri = ""
        shown = State.IDLE if self._device.has(Oddity.SKIPS_DOWNLOADING) else State.DOWNLOADING
        self._show(shown, Result.INITIAL)

    def _take(self, intake: Intake, payload: bytes) -> None:
        intake.add(payload)
        self._tally.received_bytes += len(payload)

    def fetched(self, payload: bytes, size: int | None) -> bool:
        """Take a block of a download; False: it is over, or the power is gone."""
        intake = self._intake
        assert intake is not None, "a download has somewhere to go"
        self._take(intake, payload)
        if self._is_past(self._plan.cut_at, size):
            self._plan = replace(self._plan, cut_at=None)
            self._host.restart(self._plan.reboot_s)
            return False
        if self._fails_now(size, last=False):
            self._host.stop_fetching()
            self._fail(self._plan.code)
            return False
        return True

    def fetch_ended(self, result: Result | None) -> None:
        """The download is over; None: all has come."""
        if self._intake is None:
            return
        if result is not None:
            self._fail(result)
        elif self._plan.fate is Fate.DOWNLOAD_FAILS:
            self._fail(self._plan.code)
        else:
            self._arrived(self._intake)

    def _is_past(self, share: float | None, size: int | None) -> bool:
        if share is None or size is None or self._intake is None:
            return False
        return self._intake.size >= share * size

    def _fails_now(self, size: int | None, *, last: bool) -> bool:
        if self._plan.fate is not Fate.DOWNLOAD_FAILS:
            return False
        return last or self._is_past(self._plan.stops_at, size)

    def _arrived(self, intake: Intake) -> None:
        self._intake = None
        self._pushed = False
        self._tally.arrived += 1
        self._journal.change(
            arrived_at=self._host.now, size_bytes=intake.size, sha256=intake.sha256
        )
        if self._plan.fate is Fate.CORRUPTED:
            self._fail(Result.INTEGRITY_FAILED)
        elif self._plan.fate is Fate.UNSUPPORTED:
            self._fail(Result.UNSUPPORTED_PACKAGE)
        else:
            self._held_version = intake.version(self._becomes)
            self._show(State.DOWNLOADED, Result.INITIAL)

    def _fail(self, code: int) -> None:
        self._intake = None
        self._pushed = False
        self._end(code)
        self._show(State.IDLE, Result(code))

    # Installing

    def _install(self) -> None:
        match self._plan.fate:
            case Fate.DEFERS:
                self._host.ring(INSTALL, _DEFERRED_S)
            case Fate.RESTARTS_FIRST:
                self._host.ring(INSTALL, _AT_ONCE_S)
            case Fate.HANGS:
                self._host.ring(INSTALL, self._plan.hang_s)
            case _:
                self._host.ring(INSTALL, self._plan.install_s)

    def installed(self) -> None:
        """The time that it takes is over."""
        plan = self._plan
        match plan.fate:
            case Fate.RESTARTS_FIRST:
                self._plan = replace(plan, fate=Fate.INSTALLS)
                self._tried = False
                self._after = (State.DOWNLOADED, Result.INITIAL, False)
                self._host.restart(plan.reboot_s)
                return
            case Fate.DEFERS:
                self._plan = replace(plan, fate=Fate.INSTALLS)
                self._tried = False
                self._show(State.DOWNLOADED, Result.DEFERRED)
                return
            case Fate.INSTALL_FAILS:
                self._end(Result.UPDATE_FAILED)
                kept = State.DOWNLOADED if plan.keeps_image else State.IDLE
                self._show(kept, Result.UPDATE_FAILED)
                return
            case Fate.FALLS_BACK | Fate.HANGS:
                self._after = (State.IDLE, Result.UPDATE_FAILED, False)
            case Fate.VANISHES:
                self._after = (State.IDLE, Result.INITIAL, False)
            case Fate.LOST_RESULT:
                self._after = (State.IDLE, Result.INITIAL, True)
            case _:
                self._after = (State.IDLE, Result.SUCCESS, True)
        if self._device.in_place and plan.fate is Fate.INSTALLS:
            self._settle()
        else:
            self._host.restart(plan.reboot_s)

    def powered_down(self) -> None:
        """What is in memory only is gone."""
        if self._intake is not None:
            self._end(Result.INITIAL)
            self._intake = None
            self._pushed = False
            self.uri = ""
        if self.state in (State.IDLE, State.DOWNLOADING):
            self._tally.transferring -= self.state == State.DOWNLOADING
            self.state, self.result = State.IDLE, Result.INITIAL

    def powered_up(self) -> None:
        """It starts, with the image that it is to start with."""
        if self._after is not None:
            self._settle()
        elif self.state == State.UPDATING:
            # It was cut off: it begins again where it was.
            self._install()

    def _settle(self) -> None:
        assert self._after is not None, "it was installed"
        state, result, runs = self._after
        self._after = None
        if state == State.IDLE:
            if runs:
                self.version = self._held_version
                self.sha256 = self._journal.work[-1].sha256
            self._held_version = self.uri = ""
            self._end(result, installed=runs)
        self._show(state, result)

    def _end(self, result: int, *, installed: bool = False) -> None:
        self._journal.end(self._host.now, int(result), installed=installed)

    def _show(self, state: State, result: Result) -> None:
        before = (self.state, self.result)
        self._tally.transferring += (state == 1) - (self.state == 1)
        self._tally.installing += (state == 3) - (self.state == 3)
        self.state, self.result = state, result
        paths = (STATE,) if before[0] != state else ()
        self._host.changed(*paths, *((RESULT,) if before[1] != result else ()))


def _with_image(plan: AttemptPlan) -> AttemptPlan:
    return replace(plan, fate=Fate.INSTALLS) if plan.fate in _BEFORE else plan
