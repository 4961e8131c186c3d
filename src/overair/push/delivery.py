"""The loop that notifies devices: takes what is due, and hands it to a carrier.

A turn is one transaction of the engine's (``engine.push.due``), which also sees to windows that end and
devices that were silent for too long. What it gives to be sent is sent after the commit, many side by
side; what no carrier took is taken back by the next turn and is due again after a pause that grows
(``engine/carriage.py``).

Two things share the pace (``pushes_per_s``): what is due, and the line of devices that the network saw
(``engine/network.py``). The line has what is left over, and a quarter at least, so neither a region that
comes back after a power cut nor the start of a large campaign makes the other wait for its end.

A turn follows each commit that made something due, and at least each second. The pace is of the wall's
time, all else of the clock's.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog

from overair.clock import Clock, FastClock
from overair.config import Settings
from overair.core.ids import UpgradeId
from overair.engine import carriage, network
from overair.engine import push as engine
from overair.engine.push import Wake
from overair.push import letters
from overair.push.letters import Letter
from overair.push.pace import Pace
from overair.push.transport import Sent, Transport
from overair.sealing import Seal
from overair.store import network as line
from overair.store import push as store
from overair.store.database import Database, StoreError

POLL_S: Final = 1.0
LEAST_PAUSE_S: Final = 0.05  # between polls, of the wall's time, however fast the clock runs
AT_ONCE: Final = 200  # notifications under way
HANDFUL_S: Final = 0.1  # of the pace that a turn waits for: a transaction each would be a waste
LINE_SHARE: Final = 4  # the line has at least this part of the pace
FIRST_PAUSE_S: Final = 5.0  # after which a carrier is tried again
LONGEST_PAUSE_S: Final = 60.0
TOLD_S: Final = 60.0  # a carrier that comes and goes is logged once in that time
NO_ACCOUNT: Final = "no_account"

log = structlog.get_logger()


class PushDelivery:
    """Notifies devices; ``count`` is told each carrier and result."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        wall: Clock,
        settings: Settings,
        seal: Seal,
        transport: Transport,
        count: Callable[[str, str], None],
    ) -> None:
        self._db = db
        self._clock = clock
        self._wall = wall
        self._settings = settings
        self._seal = seal
        self._transport = transport
        self._count = count
        self._pace = Pace(settings.omadm.pushes_per_s, wall.monotonic())
        self._wake = asyncio.Event()
        self._sending: dict[asyncio.Task[None], Wake] = {}
        self._returned: list[Wake] = []
        self._pause_s = FIRST_PAUSE_S
        self._grows_at_s: float | None = None
        self._down = False
        self._told = False  # the log, of that
        self._told_at_s = -TOLD_S
        self._owed = 0.0  # to the line, of the pace
        # Who waits for no date, from a time when nobody was called unasked, is looked for once.
        self._dated: UpgradeId | None = UpgradeId(0) if settings.omadm.requeue_push_s else None
        db.on_hint("push", self._wake.set)

    async def run(self) -> None:
        """Notify until cancelled. What is not sent then is due at once for whoever is next."""
        async with self._transport:
            poll = asyncio.create_task(self._poll())
            try:
                while True:
                    self._wake.clear()
                    if not await self._turn():
                        await self._wake.wait()
            finally:
                poll.cancel()
                await asyncio.gather(poll, return_exceptions=True)
                await self._stop()

    async def _poll(self) -> None:
        while True:
            await self._clock.sleep(POLL_S)
            self._wake.set()
            if isinstance(self._clock, FastClock):
                await asyncio.sleep(LEAST_PAUSE_S)

    async def _turn(self) -> bool:
        """One turn; whether another is worth having at once."""
        now_s = self._wall.monotonic()
        room = min(self._pace.left(now_s), AT_ONCE - len(self._sending))
        try:
            await self._put_back()
            await self._give_dates()
            now = self._clock.now()
            first = await self._db.read(store.next_due)
            due = first is not None and first <= now
            waiting = await self._db.read(line.any_waking)
            if not due and not waiting:
                return self._dated is not None
            if room < 1:
                await self._wait_for_room()
                return True
            wakes = await self._claim(room) if due else []
            if wakes:
                self._pace.take(len(wakes))
                self._owed += len(wakes) / LINE_SHARE
                await self._send(wakes)
            share = max(room - len(wakes), int(self._owed))
            moved = len(wakes)
            if waiting and share:
                self._owed = max(0.0, self._owed - share)
                moved += await self._db.transact(network.wake, self._settings, now, share)
            if not waiting:
                self._owed = 0.0
        except StoreError as error:
            log.warning("notifications wait for the database", error=str(error))
            return False
        if not moved:
            # Windows that end, or devices that another process has in hand: no reason to hurry.
            await asyncio.sleep(LEAST_PAUSE_S)
        return True

    async def _give_dates(self) -> None:
        if self._dated is None:
            return
        limit = self._settings.limits.sweep_devices
        found = await self._db.report(store.undated, self._dated, limit)
        if found:
            now = self._clock.now()
            await self._db.transact(engine.give_dates, found, self._settings, now)
        self._dated = found[-1] if len(found) == limit else None

    async def _claim(self, limit: int) -> list[Wake]:
        now = self._clock.now()
        try:
            return await self._db.transact(engine.due, self._settings, now, limit)
        except StoreError:
            raise
        except Exception:
            # A bug of ours, on one of them. The others must not wait behind it.
            log.exception("a device cannot be carried on")
            await self._db.transact(engine.set_aside, now)
            return []

    async def _wait_for_room(self) -> None:
        """Until the pace, or those under way, allow for another one."""
        wait_s = self._pace.wait_s(self._wall.monotonic(), HANDFUL_S)
        if wait_s > 0:
            await self._wall.sleep(wait_s)
        elif self._sending:
            await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)

    async def _send(self, wakes: list[Wake]) -> None:
        try:
            # Only a notification over the zero nonce has to be written down first.
            run = self._db.transact if self._settings.omadm.zero_nonce_after else self._db.read
            written = await run(letters.write, wakes, self._settings, self._seal)
        except BaseException:
            self._returned += wakes
            raise
        for letter in written:
            task = asyncio.create_task(self._carry(letter))
            self._sending[task] = letter.wake
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        wake = self._sending.pop(task, None)
        if wake is None:
            return
        if task.cancelled() or task.exception() is not None:
            self._returned.append(wake)
            self._wake.set()

    async def _carry(self, letter: Letter) -> None:
        if letter.package is None:
            self._count(self._transport.name, NO_ACCOUNT)
            return
        validity = letter.wake.valid_until - self._clock.now()
        try:
            sent = await self._transport.send(letter.contact, letter.package, validity)
        except Exception:
            log.exception("a notification was not sent", imei=letter.wake.imei)
            raise
        self._count(self._transport.name, sent.value)
        if sent is Sent.LATER:
            self._returned.append(letter.wake)
            self._wake.set()
            self._note(down=True)
        elif sent is Sent.SENT:
            self._pause_s, self._grows_at_s = FIRST_PAUSE_S, None
            self._note(down=False)

    def _note(self, *, down: bool) -> None:
        """Say when the carrier goes away and comes back, and not of each device."""
        if down == self._down:
            return
        self._down = down
        now_s = self._wall.monotonic()
        if down and now_s >= self._told_at_s + TOLD_S:
            log.warning("notifications wait for their carrier", carrier=self._transport.name)
            self._told, self._told_at_s = True, now_s
        elif not down and self._told:
            log.info("notifications go out again", carrier=self._transport.name)
            self._told = False

    async def _put_back(self) -> None:
        """Take back what nobody took."""
        returned = self._returned[:]
        if not returned:
            return
        now_s = self._wall.monotonic()
        if self._grows_at_s is not None and now_s >= self._grows_at_s:
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        if self._grows_at_s is None or now_s >= self._grows_at_s:
            self._grows_at_s = now_s + self._pause_s
        again_at = self._clock.now() + timedelta(seconds=self._pause_s)
        await self._db.transact(carriage.take_back, returned, again_at)
        del self._returned[: len(returned)]

    async def _stop(self) -> None:
        for task in list(self._sending):
            task.cancel()
        wakes = [*self._returned, *self._sending.values()]
        await asyncio.gather(*self._sending, return_exceptions=True)
        self._returned.clear()
        if not wakes:
            return
        try:
            await self._db.transact(carriage.take_back, wakes, self._clock.now())
        except StoreError as error:
            log.warning("notifications under way will be repeated later", error=str(error))
