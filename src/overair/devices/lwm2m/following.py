"""Where devices are: object 4 is read, and the cell observed, of those that are monitored (``lwm2m.md`` 6, 11).

A licence, or a v3 campaign, begins that, and its end ends it: the device is told to notify no more. Whose
monitoring has changed is noted in the store, by whoever changed it; a device that is there is seen to at
once, one that sleeps at its next contact.

Not in here: what a cell is good for (``core/slots``); the look at a device's cell before its first block
(``attempt.py``).
"""

import contextlib
from datetime import datetime, timedelta
from typing import Final

from overair.clock import Clock
from overair.config import Lwm2m
from overair.devices.lwm2m import effects, machine
from overair.devices.lwm2m.clients import Client, Clients
from overair.devices.lwm2m.device import Device
from overair.protocols.coap.errors import FullError
from overair.protocols.coap.events import Handle
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request
from overair.protocols.lwm2m.formats import ContentFormat
from overair.protocols.lwm2m.objects import CELL_ID, CONNECTIVITY
from overair.protocols.lwm2m.values import path_segments
from overair.store import lwm2m_watch as store
from overair.store.database import Database

CELL_PMIN_S: Final = 300
TAKEN: Final = 500  # devices of one transaction
_SECOND: Final = timedelta(seconds=1)
# The same for all devices: what is observed is kept for each of them.
_PATH: Final = path_segments(CELL_ID)
_SELDOM: Final = Request(method=Code.PUT, path=_PATH, query=(f"pmin={CELL_PMIN_S}",))
_OBSERVE: Final = Request(method=Code.GET, path=_PATH, observe=0, accept=ContentFormat.TEXT)


class Following:
    """The devices whose cells are known, and how they are kept known."""

    def __init__(self, db: Database, clock: Clock, rules: Lwm2m, clients: Clients) -> None:
        self._db = db
        self._clock = clock
        self._rules = rules
        self._clients = clients
        self._lately: datetime | None = None

    @staticmethod
    def is_cell(client: Client, handle: Handle) -> bool:
        """Whether a notification is one of its cell."""
        return handle == client.cell_handle

    def is_old(self, radio_at: datetime | None) -> bool:
        """Whether what was read then is to be read again."""
        if radio_at is None:
            return True
        age = self._clock.now() - radio_at
        return age >= timedelta(seconds=self._rules.cell_max_age_s)

    def forget(self, client: Client) -> None:
        """Its observation is no more: it has ended it, or has registered anew."""
        client.cell_handle = None

    async def changed(self) -> list[Client]:
        """Devices that are registered, and that are monitored from now on, or no more. Raises StoreError."""
        found: list[Client] = []
        while await self._db.read(store.any_followed):
            for device_id in await self._db.transact(store.take_followed, TAKEN):
                client = self._clients.of_device(device_id)
                if client is not None:
                    client.radio_at = None  # should it sleep: at its next contact
                    found.append(client)
        return found

    async def read(self, device: Device) -> None:
        """Read where it is, and have it told; or have it told no more. Raises SilentError, StoreError."""
        client, begun_at = device.client, self._about_now()
        await self._read(device, client)
        # Whoever falls asleep in the middle is asked again at its next contact.
        client.radio_at = begun_at

    def _about_now(self) -> datetime:
        """The time, to the second: one object for all that were read in it."""
        now = self._clock.now()
        if self._lately is None or not timedelta() <= now - self._lately < _SECOND:
            self._lately = now
        return self._lately

    async def _read(self, device: Device, client: Client) -> None:
        if not client.objects.has(CONNECTIVITY):
            return
        if not await self._db.read(effects.monitored, device.id):
            self._leave(device, client)
            return
        reading = await machine.read_connectivity(device)
        if reading is not None:
            await self._db.transact_brief(effects.note_radio, device.id, reading, self._clock.now())
        if self._rules.observe_cell:
            await self._observe(device, client)

    def _leave(self, device: Device, client: Client) -> None:
        handle = client.cell_handle
        if handle is not None:
            self.forget(client)
            device.cancel(handle)

    async def _observe(self, device: Device, client: Client) -> None:
        if client.cell_handle is not None:
            return
        await device.ask(_SELDOM, droppable=True)
        with contextlib.suppress(FullError):
            _, handle = await device.observe(_OBSERVE)
            if handle is not None:
                client.cell_handle = handle
