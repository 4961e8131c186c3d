"""The loop in virtual time: it jumps, it drops what is of the dead, and it notices when nothing can happen."""

import asyncio
import contextvars
from asyncio import Handle
from collections.abc import Callable, Iterator
from random import Random

import pytest

from overair.simulation.loop import PROCESS, EndlessError, StuckError, VirtualLoop


class Process:
    """What the loop knows of one."""

    def __init__(self) -> None:
        self.alive = True
        self.held: list[Handle] | None = None
        self.dropped: list[Handle] = []
        self.context = contextvars.copy_context()
        self.context.run(PROCESS.set, self)


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    made.drop_timers()
    made.close()


def test_a_day_takes_no_time(loop: VirtualLoop) -> None:
    """Nobody waits: a sleep of a day is a jump to its end."""
    loop.run_until_complete(asyncio.sleep(86_400))
    assert loop.time() == 86_400


def test_the_dead_do_nothing(loop: VirtualLoop) -> None:
    """What a process had left to do is not done, and its cleaning up neither."""
    process = Process()
    done: list[object] = []

    async def work() -> None:
        try:
            await asyncio.sleep(10)
            done.append("work")
        finally:
            done.append("end")

    task = loop.create_task(work(), context=process.context)
    loop.call_later(5, setattr, process, "alive", False)
    loop.run_until_complete(asyncio.sleep(60))
    assert done == []
    assert process.dropped
    process.alive = True
    loop.resume(process.dropped)
    loop.run_until_complete(task)


def test_who_stands_still_goes_on_later(loop: VirtualLoop) -> None:
    """What came up while a process stood still is done when it goes on, in its order."""
    process = Process()
    done: list[object] = []
    process.held = []
    for second in (1, 2, 3):
        loop.call_later(second, done.append, second, context=process.context)
    loop.run_until_complete(asyncio.sleep(10))
    assert done == []
    held, process.held = process.held, None
    loop.resume(held)
    loop.run_until_complete(asyncio.sleep(0))
    assert done == [1, 2, 3]


def test_a_deadlock_is_noticed(loop: VirtualLoop) -> None:
    """If everybody waits for somebody, that is said, and not waited for."""
    with pytest.raises(StuckError):
        loop.run_until_complete(loop.create_future())


def test_a_race_without_end_is_noticed(loop: VirtualLoop) -> None:
    """If callbacks make callbacks and the time stands still, that is said."""

    def again(fn: Callable[..., None]) -> None:
        loop.call_soon(fn, fn)

    loop.call_soon(again, again)
    with pytest.raises(EndlessError):
        loop.run_until_complete(asyncio.sleep(1))


def test_what_is_ready_may_have_any_order() -> None:
    """With dice, those that are ready come in an order of theirs, the same for the same dice."""
    orders = set()
    for seed in (1, 1, 2, 3):
        loop, order = VirtualLoop(shuffled=Random(seed)), list[int]()
        for number in range(8):
            loop.call_soon(order.append, number)
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()
        assert sorted(order) == list(range(8))
        orders.add(tuple(order))
    assert len(orders) == 3


def test_threads_are_callbacks(loop: VirtualLoop) -> None:
    """What is given to a thread is done in a turn of its own, and others come before."""
    order: list[str] = []

    async def body() -> None:
        future = loop.run_in_executor(None, order.append, "thread")
        order.append("caller")
        await future
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, lambda: 1 // 0)

    loop.run_until_complete(body())
    assert order == ["caller", "thread"]
