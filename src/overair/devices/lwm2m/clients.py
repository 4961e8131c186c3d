"""Who is registered, in memory: the same as in the store, and where each can be reached just now.

There may be hundreds of thousands, so a client is an object with slots, and what many have in common,
such as a model's list of objects, is there once.

Not in here: who may register (``registering.py``), and what is said to clients.
"""

import asyncio
import heapq
from collections.abc import Hashable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Final

from overair.core.ids import DeviceId
from overair.protocols.coap.events import Handle
from overair.protocols.coap.links import decode_links
from overair.protocols.lwm2m.registration import ObjectList, object_list
from overair.store.lwm2m_registrations import Registration

Peer = Hashable

_DEVICE_BITS: Final = 63  # of a number of the database
_NONE: Final[frozenset[int]] = frozenset()  # an empty one is an object of its own, each time


@lru_cache(maxsize=4096)
def objects_of(links: str) -> ObjectList:
    """The objects of a list that was read once before."""
    return object_list(decode_links(links.encode()))


class Client:
    """One registered device."""

    __slots__ = (
        "armed",
        "awake_until",
        "cell_handle",
        "former_peer",
        "machine_handles",
        "model",
        "news",
        "objects",
        "observed_before",
        "peer",
        "radio_at",
        "refused",
        "registration",
        "silent",
        "stirred",
    )

    def __init__(self, registration: Registration, model: str) -> None:
        # Without its address, which is written down and else stands in ``peer``.
        self.registration = registration._replace(address="")
        self.model = model
        self.objects = objects_of(registration.objects)
        # Where it is; None: over DTLS, and without a session now.
        self.peer: Peer | None = None
        # Where it was before that; observations are moved from there.
        self.former_peer: Peer | None = None
        # Of the clock that does not jump: until when it listens, if it is in queue mode.
        self.awake_until = 0.0
        # It did not answer, and has said nothing since.
        self.silent = False
        # Formats that it does not write (4.06).
        self.refused = _NONE
        # When its cell was asked for last.
        self.radio_at: datetime | None = None
        self.cell_handle: Handle | None = None
        # State and result of its update machine, while there is an attempt.
        self.machine_handles: tuple[Handle, ...] = ()
        # It has said something that whoever waits for it may want to know, since that was asked last;
        # the event is there while somebody waits.
        self.stirred = True
        self.news: asyncio.Event | None = None
        self.armed = False
        # It was registered when we began: what it tells of, it was asked for by somebody before us.
        self.observed_before = False

    @property
    def device_id(self) -> DeviceId:
        """Which device it is."""
        return self.registration.device_id

    def is_there(self, now: float) -> bool:
        """Whether it makes sense to send it something."""
        if self.peer is None or self.silent:
            return False
        return not self.registration.queue_mode or now < self.awake_until

    def tell(self) -> None:
        """Wake whoever waits for news of it."""
        self.stirred = True
        if self.news is not None:
            self.news.set()


class Clients:
    """All of them."""

    def __init__(self) -> None:
        self._by_device: dict[DeviceId, Client] = {}
        self._by_location: dict[str, Client] = {}
        self._by_peer: dict[Peer, Client] = {}
        # When, and whose: one number for each, the time above the device.
        self._ends: list[int] = []

    def __len__(self) -> int:
        return len(self._by_device)

    def __iter__(self) -> Iterator[Client]:
        return iter(list(self._by_device.values()))

    def of_device(self, device_id: DeviceId) -> Client | None:
        """The device's."""
        return self._by_device.get(device_id)

    def at(self, location: str) -> Client | None:
        """The one whose registration that is."""
        return self._by_location.get(location)

    def of_peer(self, peer: Peer) -> Client | None:
        """The one that is there."""
        return self._by_peer.get(peer)

    def add(self, client: Client) -> Client | None:
        """Take in a new registration; returns the client whose registration it replaces."""
        before = self._by_device.get(client.device_id)
        if before is not None:
            self.remove(before)
        self._by_device[client.device_id] = client
        self._by_location[client.registration.location] = client
        if client.peer is not None:
            self._by_peer[client.peer] = client
        self._arm(client)
        return before

    def remove(self, client: Client) -> None:
        """Let go of one."""
        if self._by_device.get(client.device_id) is client:
            del self._by_device[client.device_id]
        if self._by_location.get(client.registration.location) is client:
            del self._by_location[client.registration.location]
        self.leave(client)

    def change(self, client: Client, registration: Registration) -> None:
        """Let a registration go on, otherwise."""
        if registration.objects != client.registration.objects:
            client.objects = objects_of(registration.objects)
        client.registration = registration
        self._arm(client)

    def place(self, client: Client, peer: Peer) -> None:
        """Let it be somewhere else."""
        if client.peer != peer:
            self.leave(client)
            client.peer = peer
        self._by_peer[peer] = client

    def leave(self, client: Client) -> None:
        """Let it be nowhere."""
        if client.peer is not None:
            client.former_peer = client.peer
            if self._by_peer.get(client.peer) is client:
                del self._by_peer[client.peer]
            client.peer = None

    def displace(self, client: Client) -> None:
        """Let it be nowhere, and have been nowhere: where it was, another device is by now.

        That is how plain CoAP goes behind a NAT. What was on its way to it, and what it was observed in, is
        nobody's any more; all of that begins anew with its next Update.
        """
        self.leave(client)
        client.former_peer = None
        client.machine_handles = ()
        client.cell_handle = None
        client.radio_at = None
        client.registration = client.registration._replace(address="")

    def _arm(self, client: Client) -> None:
        expires_ms = client.registration.expires_ms
        if expires_ms is not None and not client.armed:
            client.armed = True
            heapq.heappush(self._ends, expires_ms << _DEVICE_BITS | client.device_id)

    def expired(self, now_ms: int, limit: int) -> list[Client]:
        """Those whose registrations are over, at most ``limit``; they are still here."""
        found: list[Client] = []
        while self._ends and self._ends[0] >> _DEVICE_BITS <= now_ms and len(found) < limit:
            device_id = heapq.heappop(self._ends) & ((1 << _DEVICE_BITS) - 1)
            client = self._by_device.get(DeviceId(device_id))
            if client is None:
                continue
            client.armed = False
            expires_ms = client.registration.expires_ms
            if expires_ms is not None and expires_ms <= now_ms:
                found.append(client)
            else:
                self._arm(client)
        return found
