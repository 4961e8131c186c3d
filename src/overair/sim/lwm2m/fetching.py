"""The download that a device is at, if it is at one: over CoAP from a socket of its own, or over HTTP."""

from random import Random
from typing import Protocol

from overair.protocols.coap.events import Event
from overair.protocols.lwm2m.results import Result
from overair.sim.lwm2m.download import PEER, Download, HttpDownload, source
from overair.sim.lwm2m.steps import Address
from overair.sim.requests import Answer, Fetch

FETCH = "fetch"


class Host(Protocol):
    """The device, as its downloads see it."""

    wire: float

    def ring(self, name: str, after_s: float | None) -> None:
        """Set one of its timers; None: no more."""

    def new_channel(self) -> int:
        """Open another socket."""

    def stop_fetching(self) -> None:
        """The download is over."""


class Taker(Protocol):
    """Who gets the image."""

    def fetched(self, payload: bytes, size: int | None) -> bool:
        """Take a piece; False: no more of it."""

    def fetch_ended(self, result: Result | None) -> None:
        """It is over; None: all has come."""


class Fetching:
    """The downloads of one device, one after the other."""

    def __init__(self, host: Host, taker: Taker, dice: Random, bytes_per_s: float | None) -> None:
        self._host = host
        self._taker = taker
        self._dice = dice
        self._bytes_per_s = bytes_per_s
        self._now: Download | HttpDownload | None = None
        self._wanted: Fetch | None = None
        self.channel: int | None = None

    @property
    def next_due(self) -> float | None:
        """When ``tick`` is to be called, by the time of the wire."""
        return self._now.endpoint.next_due if isinstance(self._now, Download) else None

    def begin(self, uri: str) -> None:
        """Begin a download."""
        if uri.startswith("coap:"):
            where = source(uri)
            if where is None:
                self._taker.fetch_ended(Result.INVALID_URI)
                return
            self.channel = self._host.new_channel()
            self._now = Download(where, self._dice.randbytes, self._taker.fetched, self._ended)
        else:
            self._now = HttpDownload(uri, self._taker.fetched, self._ended)
        self.ask()

    def drop(self) -> None:
        """Let go of it."""
        self._now = self._wanted = self.channel = None
        self._host.ring(FETCH, None)

    def _ended(self, result: Result | None) -> None:
        self._host.stop_fetching()
        self._taker.fetch_ended(result)

    def take_fetch(self) -> Fetch | None:
        """Return what is to be fetched over HTTP now, once."""
        wanted, self._wanted = self._wanted, None
        return wanted

    def ask(self) -> None:
        """Ask for the next piece."""
        if isinstance(self._now, Download):
            self._now.ask(self._host.wire)
        elif self._now is not None:
            self._wanted = self._now.ask()

    def receive(self, data: bytes) -> None:
        """Take a datagram."""
        if isinstance(self._now, Download):
            self._handle(self._now, self._now.endpoint.receive(PEER, data, self._host.wire))

    def tick(self) -> None:
        """Do what is due."""
        if isinstance(self._now, Download):
            self._handle(self._now, self._now.endpoint.tick(self._host.wire))

    def fetched(self, fetch: Fetch, answer: Answer) -> None:
        """Take what came over HTTP; too late, and it is dropped."""
        if isinstance(self._now, HttpDownload) and self._now.fetch is fetch:
            self._go_on(self._now, self._now.handle(answer))

    def drain(self) -> list[tuple[Address, bytes]]:
        """Return what is to be sent, and where, and forget it."""
        if not isinstance(self._now, Download):
            return []
        where = (self._now.where.host, self._now.where.port)
        return [(where, data) for _, data in self._now.endpoint.drain()]

    def _handle(self, download: Download, events: list[Event]) -> None:
        for event in events:
            if self._now is download:
                self._go_on(download, download.handle(event, self._host.wire))

    def _go_on(self, download: Download | HttpDownload, pause_s: float | None) -> None:
        """Ask for the next piece; None: the download is over, or what came was nothing of it."""
        if pause_s is None or self._now is not download:
            return
        if self._bytes_per_s is not None:
            pause_s += download.piece_bytes / self._bytes_per_s
        if pause_s:
            self._host.ring(FETCH, pause_s)
        else:
            self.ask()
