"""What a firmware attempt does next: the tables of lwm2m 8, as functions that have an answer to anything.

    WAIT ── prepare ── (next_reset) ── deliver ── apply ── check ── done or failed

Each takes what was read and what the attempt remembers, and says what is next and why. What a device
reports is believed only as far as it was read: a notification makes the server read again, and no
sequence of states is waited for, since devices skip some and never leave others.

Not in here: exchanges, the attempt that is stored at every step, the times at which any of this is
called (they come as seconds since something), and how to deliver (``delivery``).
"""

from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from overair.protocols.coap.numbers import Code
from overair.protocols.lwm2m.objects import FirmwareReading
from overair.protocols.lwm2m.results import Meaning, Result, ResultClass, State, meaning

NO_OBJECT = "No firmware update object"
NOT_IDLE = "The update machine does not reset"
RESTARTED = "Device restarted without updating"
NOT_EXECUTED = "Update command refused"
NO_RESULT = "No result after the update"
NOT_DOWNLOADED = "Package not downloaded"
UNEXPECTED_VERSION = "Unexpected firmware version after the update"

# A device that is updating is looked at again after this, and given up after that (CHECK).
UPDATING_S = 30 * 60
CHECK_S = 4 * 3600
# After this much time a result that stayed the same is taken for a new one.
SAME_RESULT_S = 120


class Step(Enum):
    """What is to be done."""

    # Read state and result again: at least one of them is missing.
    READ = "read"
    DELIVER = "deliver"
    # It is downloading what we want it to: wait as after DELIVER.
    ADOPT = "adopt"
    RESET = "reset"
    APPLY = "apply"
    # It has been told to update: wait for the result.
    CHECK = "check"
    # It puts the update off.
    DEFERRED = "deferred"
    # The package is there but the device has forgotten that it was told to.
    EXECUTE = "execute"
    WAIT = "wait"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What is next, and why; with FAILED, of which class, and with the result if one says it."""

    step: Step
    reason: str = ""
    kind: ResultClass = ResultClass.NONE
    result: int | None = None
    # For the history: true, and changes nothing.
    note: str = ""


def failed(reason: str, kind: ResultClass = ResultClass.RETRY, result: int | None = None) -> Next:
    """End the attempt."""
    return Next(step=Step.FAILED, reason=reason, kind=kind, result=result)


def _by_result(result: int, found: Meaning) -> Next:
    if found.kind is ResultClass.WAIT:
        return Next(step=Step.DEFERRED, reason=found.reason, kind=ResultClass.WAIT, result=result)
    return failed(found.reason, found.kind, result)


def _machine(state: int) -> tuple[State, str]:
    """Return the state, and what to note of one that is none: it counts as idle."""
    if State.IDLE <= state <= State.UPDATING:
        return State(state), ""
    return State.IDLE, f"state {state} is none, taken as idle"


# PREPARE


def holds_ours(
    reading: FirmwareReading,
    *,
    stored: bool = False,
    uri: str | None = None,
    package: tuple[str, str] | None = None,
) -> bool:
    """Tell whether what the device has, or fetches, is our image.

    By the stored attempt (it was the last to write one), by the URI, or by name and version of the package.
    """
    by_uri = uri is not None and reading.uri == uri
    named = (reading.package_name, reading.package_version)
    return stored or by_uri or (package is not None and named == package)


def prepare(
    reading: FirmwareReading | None,
    *,
    version: str | None,
    target: str,
    ours: bool,
    pull: bool,
) -> Next:
    """Decide by what is found before anything is sent.

    ``reading`` is None if there is no object 5; ``pull``: this attempt may wait for a download.
    """
    if version == target:
        return Next(step=Step.SUCCEEDED, note="the version was there already")
    if reading is None:
        return failed(NO_OBJECT, ResultClass.PERMANENT)
    if reading.state is None or reading.result is None:
        return Next(step=Step.READ)
    state, note = _machine(reading.state)
    match state:
        case State.IDLE:
            return Next(step=Step.DELIVER, note=note)
        case State.DOWNLOADING:
            adopted = ours and pull and reading.result == Result.INITIAL
            return Next(step=Step.ADOPT if adopted else Step.RESET)
        case State.DOWNLOADED:
            return Next(step=Step.APPLY if ours else Step.RESET)
        case State.UPDATING:
            return Next(step=Step.CHECK)
        case _:
            assert_never(state)


# RESET


class ResetMove(Enum):
    """A way to make the machine idle."""

    EMPTY_URI = "PUT 5/0/1, empty"
    CANCEL = "POST 5/0/10"
    ZERO_BYTE = "PUT 5/0/0, one zero byte"


def next_reset(
    tried: tuple[ResetMove, ...], state: int | None, *, has_cancel: bool, cancel_first: bool = False
) -> ResetMove | Next:
    """Decide what to try next, after reading the state again; DELIVER when the machine is idle.

    ``cancel_first``: the user wants it cancelled, and result 10 is expected.
    """
    if state is not None and tried and _machine(state)[0] is State.IDLE:
        return Next(step=Step.DELIVER)
    order = [ResetMove.EMPTY_URI, ResetMove.CANCEL, ResetMove.ZERO_BYTE]
    if cancel_first:
        order = [ResetMove.CANCEL, ResetMove.EMPTY_URI, ResetMove.ZERO_BYTE]
    for move in order:
        if move not in tried and (has_cancel or move is not ResetMove.CANCEL):
            return move
    return failed(NOT_IDLE)


# DELIVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What the attempt knows since it wrote the URI, or the first block."""

    # The result before that; it is none of this attempt's.
    remembered: int
    # Whether the state was ever another, or the result 0, since then.
    state_changed: bool = False
    result_cleared: bool = False
    # Since the URI or the last block was accepted; None: not yet, and then no result is new by age.
    accepted_for_s: float | None = None
    # How long a state of 2 may take; ``delivery`` knows.
    patience_s: float


def is_new_result(result: int, delivered: Delivered) -> bool:
    """Tell whether a result belongs to this attempt: devices clear the old one late, or never."""
    if result == Result.INITIAL:
        return False
    return (
        result != delivered.remembered
        or delivered.state_changed
        or delivered.result_cleared
        or (delivered.accepted_for_s is not None and delivered.accepted_for_s >= SAME_RESULT_S)
    )


def deliver(reading: FirmwareReading, delivered: Delivered) -> Next:
    """Decide by what is read while the package is on its way, or just after."""
    if reading.state is None or reading.result is None:
        return Next(step=Step.READ)
    if reading.state == State.DOWNLOADED:
        return Next(step=Step.APPLY)
    if is_new_result(reading.result, delivered):
        found = meaning(reading.result)
        # Result 1 before anything was executed is of an update that we know nothing of.
        if found.kind is not ResultClass.SUCCESS:
            return _by_result(reading.result, found)
    waited = delivered.accepted_for_s
    if waited is not None and waited >= delivered.patience_s:
        return failed(NOT_DOWNLOADED)
    return Next(step=Step.WAIT)


# APPLY


def apply_answered(code: int | None, state: int | None, *, executed: int) -> Next:
    """Decide by the answer to an execute; None: none came, and the device is looked at all the same.

    ``state`` is what was read after a refusal, ``executed`` how often it was told to update.
    """
    if code is None or code >> 5 == 2:
        return Next(step=Step.CHECK)
    if state is None:
        return Next(step=Step.READ)
    if state == State.DOWNLOADED:
        # 4.05 and 4.00 come from clients that were not ready; anything else is no better.
        return Next(step=Step.EXECUTE) if executed < 2 else failed(NOT_EXECUTED)
    return Next(step=Step.CHECK)


# CHECK


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """What the attempt knows since the device was told to update."""

    target: str
    # A registration began after that.
    registered: bool = False
    # How often it was told to.
    executed: int = 1
    elapsed_s: float = 0.0
    # The result before that, and whether state or result were ever another since.
    remembered: int = 0
    changed: bool = False
    require_version: bool = False
    # How long it may take until something is to be seen of it.
    patience_s: float = CHECK_S


def check(reading: FirmwareReading | None, version: str | None, executed: Executed) -> Next:
    """Decide by what is read after the execute; ``reading`` is None if object 5 is gone."""
    if reading is None:
        return failed(NO_OBJECT, ResultClass.PERMANENT)
    found = _checked(reading, version, executed)
    if found.step in {Step.WAIT, Step.READ} and executed.elapsed_s >= executed.patience_s:
        return failed(NO_RESULT)
    return found


def _checked(reading: FirmwareReading, version: str | None, executed: Executed) -> Next:
    if reading.state is None or reading.result is None:
        return Next(step=Step.READ)
    state, note = _machine(reading.state)
    found = meaning(reading.result)
    if state in {State.UPDATING, State.DOWNLOADING}:
        return Next(step=Step.WAIT)
    if found.kind not in {ResultClass.NONE, ResultClass.SUCCESS}:
        if _may_be_old(state, reading.result, executed):
            return Next(step=Step.WAIT)
        return _by_result(reading.result, found)
    if state is State.DOWNLOADED:
        if not executed.registered:
            return Next(step=Step.WAIT)
        # It restarted before it applied anything.
        return Next(step=Step.EXECUTE) if executed.executed < 2 else failed(RESTARTED)
    if found.kind is ResultClass.SUCCESS:
        return _succeeded(version, executed, note)
    if not executed.registered:
        return Next(step=Step.WAIT)
    if version is None:
        return Next(step=Step.READ)
    if version == executed.target:
        return Next(step=Step.SUCCEEDED, note="the device has lost the result")
    return failed(RESTARTED)


def _may_be_old(state: State, result: int, executed: Executed) -> bool:
    """Tell whether a device that was told to update has just not begun yet."""
    return (
        state is State.DOWNLOADED
        and result == executed.remembered
        and not executed.changed
        and not executed.registered
        and executed.elapsed_s < SAME_RESULT_S
    )


def _succeeded(version: str | None, executed: Executed, note: str) -> Next:
    if version in {None, executed.target}:
        if version is None and executed.require_version:
            return Next(step=Step.READ)
        return Next(step=Step.SUCCEEDED, result=Result.SUCCESS, note=note)
    if executed.require_version:
        return failed(UNEXPECTED_VERSION, ResultClass.RETRY, Result.SUCCESS)
    return Next(
        step=Step.SUCCEEDED,
        result=Result.SUCCESS,
        note=f"the device reports version {version}, not {executed.target}",
    )


# Cancel


def cancelled(state: int | None) -> Step:
    """Decide what a cancelled attempt leaves to do at the device: RESET, or nothing (WAIT)."""
    return Step.WAIT if state == State.UPDATING else Step.RESET


def push_refused(code: int) -> Next:
    """Decide by the last answer to a push that is not 2.04; what is read next may say more."""
    if code == Code.REQUEST_ENTITY_TOO_LARGE:
        return failed("The device takes no block of any size", ResultClass.PERMANENT)
    return Next(step=Step.READ)
