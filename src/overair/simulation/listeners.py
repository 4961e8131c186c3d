"""Callback listeners, and the way to them.

A listener writes down everything that reaches it, and how it answered. It may fail, hang, or take a message
whose acknowledgement nobody hears.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Final, Self

from overair.simulation.loop import VirtualLoop
from overair.simulation.scenario import Fault, Trouble
from overair.simulation.transcript import Transcript
from overair.store.callback_log import Attempt
from overair.store.callbacks import Message

TIMEOUT_S: Final = 10.0
SLOW_S: Final = 7.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message that reached a listener."""

    url: str
    message: int
    body: str
    taken: bool  # it was acknowledged, whether or not anybody heard
    heard: bool


@dataclass
class Listeners:
    """All of them."""

    loop: VirtualLoop
    transcript: Transcript
    faults: list[Fault] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    troubles: dict[Trouble, int] = field(default_factory=dict)

    def trouble(self) -> Trouble | None:
        now = self.loop.time()
        for fault in self.faults:
            if fault.at <= now < fault.until:
                self.troubles[fault.trouble] = self.troubles.get(fault.trouble, 0) + 1
                return fault.trouble
        return None


class SimulatedCourier:
    """Brings messages from one process."""

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    async def send(self, url: str, message: Message, at: datetime) -> Attempt:
        listeners = self._listeners
        begun = listeners.loop.time()
        await asyncio.sleep(0.02)
        trouble = listeners.trouble()
        taken = trouble in (None, Trouble.LISTENER_SLOW, Trouble.LISTENER_ACCEPTS_UNHEARD)
        heard = trouble in (None, Trouble.LISTENER_SLOW)
        listeners.received.append(
            Received(url=url, message=message.id, body=message.body, taken=taken, heard=heard)
        )
        answer = "" if trouble is None else f", {trouble}"
        listeners.transcript.note("listener", f"message {message.id} of {url}{answer}")
        if trouble is Trouble.LISTENER_FAILS:
            return self._attempt(message, at, begun, 500, "")
        if not heard:
            await asyncio.sleep(TIMEOUT_S)
            return self._attempt(message, at, begun, None, "no answer in time")
        await asyncio.sleep(0.02 if trouble is None else SLOW_S)
        return self._attempt(message, at, begun, 200, "")

    def _attempt(
        self, message: Message, at: datetime, begun: float, status: int | None, error: str
    ) -> Attempt:
        return Attempt(
            message_id=message.id,
            at=at,
            status=status,
            error=error,
            duration_ms=round((self._listeners.loop.time() - begun) * 1000),
        )
