"""Wait for a condition, never for a duration: the one place in the tests that sleeps.

A wait ends the moment its condition holds; its limit is only there to end a test that has failed,
so limits are generous. Where a condition raises AssertionError, it does not hold yet, and the last
such error is what a failed wait shows.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

LIMIT_S = 20.0
PAUSE_S = 0.01


def wait_for(
    condition: Callable[[], T], what: str = "the condition", limit_s: float = LIMIT_S
) -> T:
    """Return the first true value of ``condition``; fail when there is none in time."""
    end = time.monotonic() + limit_s
    pause = threading.Event()
    last: AssertionError | None = None
    while True:
        try:
            value = condition()
        except AssertionError as error:
            last = error
        else:
            if value:
                return value
        if time.monotonic() >= end:
            raise AssertionError(f"waited {limit_s:g} s for {what}") from last
        pause.wait(PAUSE_S)


async def until(
    condition: Callable[[], Awaitable[T]], what: str = "the condition", limit_s: float = LIMIT_S
) -> T:
    """Like ``wait_for`` for a condition that is awaited, leaving the event loop free meanwhile."""
    end = time.monotonic() + limit_s
    last: AssertionError | None = None
    while True:
        try:
            value = await condition()
        except AssertionError as error:
            last = error
        else:
            if value:
                return value
        if time.monotonic() >= end:
            raise AssertionError(f"waited {limit_s:g} s for {what}") from last
        await asyncio.sleep(PAUSE_S)
