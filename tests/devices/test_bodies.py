"""Bodies of requests: whole, too long, too slow, or never."""

import asyncio

import pytest

from overair.devices import asgi
from overair.devices.asgi import DisconnectError, Message, Request, SlowError, TooLargeError


def _request(*messages: Message) -> Request:
    """A request whose client sends these messages, and then nothing more."""
    left = list(messages)

    async def receive() -> Message:
        if left:
            return left.pop(0)
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nothing comes")

    return Request({"method": "PUT", "path": "/", "headers": []}, receive)


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


async def test_a_stop_is_no_slowness(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that is cancelled while it waits for a body ends as cancelled."""
    monkeypatch.setattr(asgi, "BODY_S", 60.0)
    waiting = asyncio.ensure_future(_request(_piece(b"one")).body(5))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
