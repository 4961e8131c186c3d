"""What brings notifications to simulated devices over OMA-DM."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from datetime import timedelta
from random import Random
from types import TracebackType
from typing import Self

from overair.push.transport import Contact, Sent
from overair.simulation.devices import OmadmActor
from overair.simulation.loop import VirtualLoop
from overair.simulation.net import Network
from overair.simulation.scenario import Trouble
from overair.simulation.transcript import Transcript


class SimulatedCarrier:
    """Brings notifications to devices; who has no power does not hear them."""

    name = "simulated"

    def __init__(
        self,
        loop: VirtualLoop,
        network: Network,
        transcript: Transcript,
        actor: Callable[[str], OmadmActor | None],
        seed: int,
    ) -> None:
        self._loop = loop
        self._network = network
        self._transcript = transcript
        self._actor = actor
        self._seed = seed
        self._count = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    async def send(self, contact: Contact, package: bytes, validity: timedelta) -> Sent:
        actor = self._actor(contact.imei)
        if actor is None:
            return Sent.NO_ADDRESS
        self._count += 1
        dice = Random(f"{self._seed}/{actor.name}/push/{self._count}")
        await asyncio.sleep(0.01)
        if self._network.strikes(Trouble.LOSS, dice, actor.name):
            self._transcript.note(actor.name, "a notification is lost")
            return Sent.SENT
        self._transcript.note(actor.name, "is notified")
        # In no process's name: what it does outlives the one that notified it.
        self._loop.call_later(0.05, actor.hear, package, context=Context())
        return Sent.SENT
