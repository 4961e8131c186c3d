"""Bodies of requests: whole, too long, too slow, or never."""

import asyncio

import pytest

from overair.devices import asgi
from overair.devices.asgi import (
    CrowdedError,
    DisconnectError,
    Message,
    Request,
    SlowError,
    TooLargeError,
)
from overair.devices.slow import SlowBodies
from tests.waiting import until


def _request(*messages: Message, client: str = "") -> Request:
    """A request whose client sends these messages, and then nothing more."""
    left = list(messages)

    async def receive() -> Message:
        if left:
            return left.pop(0)
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nothing comes")

    scope = {"method": "PUT", "path": "/", "headers": [], "client": (client, 1)}
    return Request(scope, receive)


def _piece(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_in_pieces_is_one() -> None:
    """Pieces are joined, up to the limit."""
    assert await _request(_piece(b"one"), _piece(b"two", more=False)).body(6) == b"onetwo"
    with pytest.raises(TooLargeError):
        await _request(_piece(b"one"), _piece(b"two", more=False)).body(5)


async def test_a_client_that_leaves_is_told_apart() -> None:
    """A connection that ends before the body does is no body."""
    with pytest.raises(DisconnectError):
        await _request(_piece(b"one"), {"type": "http.disconnect"}).body(5)


async def test_a_slow_body_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come in time is given up, and the task goes on as if nothing had been."""
    monkeypatch.setattr(asgi, "BODY_S", 0.01)
    with pytest.raises(SlowError):
        await _request(_piece(b"one")).body(5)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_the_longest_waiting_makes_room() -> None:
    """Of one address its own, beyond all of them whoever is first; those that are whole count no more."""
    bodies = SlowBodies(after_s=0.0, of_an_address=2, in_all=3)
    waiting: list[tuple[str, asyncio.Task[bytes]]] = []

    async def begin(address: str) -> None:
        before = len(bodies)
        made = asyncio.create_task(_request(_piece(b"x"), client=address).body(5, bodies))
        waiting.append((address, made))
        await until(lambda: joined(before), f"{address} to be waited for")

    async def joined(before: int) -> bool:
        return len(bodies) > before or any(task.done() for _, task in waiting)

    async def cut() -> str:
        found = [(address, task) for address, task in waiting if task.done()]
        assert len(found) == 1
        waiting.remove(found[0])
        with pytest.raises(CrowdedError):
            await found[0][1]
        return found[0][0]

    await begin("one")
    await begin("two")
    await begin("two")
    assert len(bodies) == 3
    await begin("two")
    assert await cut() == "two"
    await begin("three")
    assert await cut() == "one"
    assert len(bodies) == 3
    for _, task in waiting:
        task.cancel()
    await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
    assert len(bodies) == 0


async def test_a_stop_is_no_slowness(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that is cancelled while it waits for a body ends as cancelled."""
    monkeypatch.setattr(asgi, "BODY_S", 60.0)
    waiting = asyncio.ensure_future(_request(_piece(b"one")).body(5))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
