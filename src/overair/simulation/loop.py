"""An event loop in virtual time, whose callbacks belong to simulated processes.

- Nothing is waited for: when nobody is ready, the time jumps to the next timer. There are no sockets and
  no threads: what would be given to a thread is a callback of its own here, so that others come between.
- Each callback carries the process (``PROCESS``) that it was made in, by its context. Of a process that is
  dead none is run any more, and nothing else of it either: no ``finally``, no ``except``. Those of one that
  is stopped are kept until it goes on.
- Whose turn it is among those that are ready is the order in which they became so, or, with ``shuffled``, any
  order that the dice give: what must not depend on it is found out so.

That nobody is ready, and no timer runs, is an error: everybody waits for somebody.
"""

import asyncio
import heapq
from asyncio import Handle, TimerHandle
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import Context, ContextVar
from random import Random
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MANY_CANCELLED: Final = 200


class StuckError(Exception):
    """Everybody waits, and nothing will ever happen."""


class EndlessError(Exception):
    """Callbacks make callbacks, and the time does not go on."""


class Process(Protocol):
    """What the loop has to know of a process."""

    alive: bool
    held: list[Handle] | None
    """Where its callbacks go while it is stopped."""
    dropped: list[Handle]
    """Those that came up after its death."""


PROCESS: ContextVar[Process | None] = ContextVar("PROCESS", default=None)

AT_ONCE: Final = 200_000  # callbacks without the time going on


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop. ``delay`` says how long what is given to a thread takes to begin."""

    # asyncio's own, which its types do not name.
    _ready: "asyncio.Queue[Any]"
    _scheduled: list[TimerHandle]
    _timer_cancelled_count: int

    def __init__(self, *, shuffled: Random | None = None) -> None:
        super().__init__()
        self._virtual_s = 0.0
        self._shuffled = shuffled
        self._here = 0
        self.turns = 0

    def time(self) -> float:
        return self._virtual_s

    # Asyncio's own look, each time, whether the loop is closed and whether it is being debugged.

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]  # a deque
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimerHandle:
        return self.call_at(self._virtual_s + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> TimerHandle:
        timer = TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True  # type: ignore[attr-defined]  # asyncio's own
        return timer

    def get_debug(self) -> bool:
        return False

    def _run_once(self) -> None:
        ready: Any = self._ready
        scheduled = self._scheduled
        if self._timer_cancelled_count > max(MANY_CANCELLED, len(scheduled) // 2):
            kept = [handle for handle in scheduled if not handle.cancelled()]
            heapq.heapify(kept)
            scheduled[:] = kept
            self._timer_cancelled_count = 0
        while scheduled and scheduled[0].cancelled():
            self._timer_cancelled_count -= 1
            heapq.heappop(scheduled)
        if not ready:
            if not scheduled:
                raise StuckError("everybody waits, and nothing will ever happen")
            if scheduled[0].when() > self._virtual_s:
                self._virtual_s = scheduled[0].when()
                self._here = 0
        while scheduled and scheduled[0].when() <= self._virtual_s:
            ready.append(heapq.heappop(scheduled))
        batch: list[Handle] = list(ready)
        ready.clear()
        if self._shuffled is not None and len(batch) > 1:
            self._shuffled.shuffle(batch)
        self._here += len(batch)
        self.turns += len(batch)
        if self._here > AT_ONCE:
            raise EndlessError(f"callbacks make callbacks; the next is {batch[0]!r}")
        for handle in batch:
            if handle._cancelled:
                continue
            process = handle._context.get(PROCESS)  # type: ignore[attr-defined]  # asyncio's own
            if process is not None:
                if not process.alive:
                    process.dropped.append(handle)
                    continue
                if process.held is not None:
                    process.held.append(handle)
                    continue
            handle._run()

    def resume(self, handles: list[Handle]) -> None:
        """Run what was held, in the order in which it would have been run."""
        self._ready.extend(handles)  # type: ignore[attr-defined]  # a deque

    def drop_timers(self) -> None:
        """Nothing that waits for its time happens any more."""
        self._scheduled.clear()
        self._timer_cancelled_count = 0

    def run_in_executor(  # type: ignore[override]  # asyncio's own has type variables of 3.11 and later
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> "asyncio.Future[T]":
        future: asyncio.Future[T] = self.create_future()

        def run() -> None:
            if future.cancelled():
                return
            try:
                value = func(*args)
            except Exception as error:  # noqa: BLE001 - it is whoever waits who is told
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
                    future.set_result(value)

        self.call_soon(run)
        return future

    # What asyncio's base asks of a loop with sockets -----------------------------------------------

    def _write_to_self(self) -> None:
        """Nobody has to be woken: there are no other threads."""

    def _process_events(self, event_list: object) -> None:
        """There are none."""
