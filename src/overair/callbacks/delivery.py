"""The loop that delivers callbacks: claims streams that are due, and sends their messages.

Each claimed stream is sent by a task of its own, many side by side; what they bring back is settled
by the next turn (``engine/deliveries.py``), which is one transaction for all of them and claims
anew. So one deliverer has one transaction under way at a time, however many listeners there are.

A turn follows each commit that queued something, each end of a stream's run, and at least each
second, because another process may have queued something or left something behind. A second without
work costs two point reads.

Time-outs are of the wall's time, all else of the clock's: where that runs faster, so do retries.
Several deliverers need leases that outlast a time-out, so with a faster clock leases grow with it.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import structlog

from overair.callbacks.sender import Courier, Sender
from overair.clock import Clock, FastClock
from overair.config import Settings
from overair.core.listener import acknowledges
from overair.engine import deliveries
from overair.engine.deliveries import FIRST, Bounds, Finished, Run
from overair.store import callback_log, callbacks
from overair.store.callback_log import Attempt
from overair.store.callbacks import ListenerKey
from overair.store.database import Database, StoreError

POLL_S: Final = 1.0
LEAST_PAUSE_S: Final = 0.05  # between polls, of the wall's time, however fast the clock runs
PURGE_S: Final = 3600.0
PURGED: Final = 500  # messages looked at in one transaction

log = structlog.get_logger()


class CallbackDelivery:
    """Delivers queued callbacks; ``owner`` is unique among the processes on the database."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        settings: Settings,
        owner: str,
        bounds: Bounds | None = None,
        sender: Courier | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._settings = settings
        self._owner = owner
        self._bounds = bounds or Bounds()
        self._sender = sender or Sender(settings, self._bounds.streams)
        slowest_s = max(float(settings.lease_s), 3 * settings.callback_timeout_s)
        rate = max(1.0, clock.rate) if isinstance(clock, FastClock) else 1.0
        self._lease = timedelta(seconds=slowest_s * rate)
        self._time_for_one = timedelta(seconds=settings.callback_timeout_s * rate)
        self._wake = asyncio.Event()
        self._sending: dict[int, tuple[Run, asyncio.Task[None]]] = {}  # by the head's id
        self._finished: list[Finished] = []
        self._placed_to = FIRST
        db.on_hint("callbacks", self._wake.set)

    async def run(self) -> None:
        """Deliver until cancelled. What is not sent then is due at once for whoever is next."""
        async with self._sender:
            loops = [asyncio.create_task(self._poll()), asyncio.create_task(self._purge())]
            try:
                while True:
                    self._wake.clear()
                    if not await self._turn():
                        await self._wake.wait()
            finally:
                for task in loops:
                    task.cancel()
                await asyncio.gather(*loops, return_exceptions=True)
                await self._stop()

    async def _poll(self) -> None:
        while True:
            await self._clock.sleep(POLL_S)
            self._wake.set()
            await asyncio.sleep(LEAST_PAUSE_S)

    async def _turn(self) -> bool:
        """One turn; whether another is worth having at once."""
        done = list(self._finished)
        now = self._clock.now()
        try:
            if not done and not await self._db.read(callbacks.work_waits, now):
                return False
            turn = asyncio.create_task(
                self._db.transact(
                    deliveries.turn,
                    self._owner,
                    done,
                    self._heads(),
                    self._bounds,
                    self._settings.callback_retry_s,
                    self._lease,
                    self._placed_to,
                    now,
                )
            )
            try:
                result = await asyncio.shield(turn)
            except asyncio.CancelledError:
                # It is being committed: what it claims has to be given back.
                result = await turn
                self._finished[: len(done)] = [Finished(run=r, attempts=()) for r in result.runs]
                raise
        except StoreError as error:
            # What came back is settled by a later turn.
            log.warning("callbacks wait for the database", error=str(error))
            return False
        del self._finished[: len(done)]
        self._placed_to = result.placed_to
        for run in result.runs:
            task = asyncio.create_task(self._send(run))
            self._sending[run.messages[0].id] = (run, task)
        return result.more

    def _heads(self) -> Mapping[int, ListenerKey]:
        return {head: run.key for head, (run, _) in self._sending.items()}

    async def _send(self, run: Run) -> None:
        """Send a run's messages in order, up to the first that is not acknowledged."""
        attempts: list[Attempt] = []
        try:
            for message in run.messages:
                if not await self._may_send(run):
                    break
                attempt = await self._sender.send(run.url, message, self._clock.now())
                attempts.append(attempt)
                if not acknowledges(attempt.status):
                    log.info(
                        "callback not acknowledged",
                        message=message.id,
                        attempt=message.attempts + 1,
                        status=attempt.status,
                        error=attempt.error,
                    )
                    break
        except StoreError as error:
            log.warning("callbacks wait for the database", error=str(error))
        finally:
            del self._sending[run.messages[0].id]
            self._finished.append(Finished(run=run, attempts=tuple(attempts)))
            self._wake.set()

    async def _may_send(self, run: Run) -> bool:
        """Whether the stream is ours for long enough, and its listener still registered."""
        if self._clock.now() + self._time_for_one > run.lease_until:
            return False
        return await self._db.read(callbacks.is_current, run.key, run.generation)

    async def _stop(self) -> None:
        tasks = [task for _, task in self._sending.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        done, self._finished = self._finished, []
        if not done:
            return
        try:
            await self._db.transact(
                deliveries.release,
                self._owner,
                done,
                self._settings.callback_retry_s,
                self._clock.now(),
            )
        except StoreError as error:
            log.warning("callbacks under way will be sent again", error=str(error))

    async def _purge(self) -> None:
        """Forget what was over long ago, a little at a time."""
        while True:
            before = self._clock.now() - timedelta(days=self._settings.callback_keep_days)
            after: int | None = 0
            try:
                while after is not None:
                    after = await self._db.transact(callback_log.forget, before, after, PURGED)
            except StoreError as error:
                log.warning("the callback log was not shortened", error=str(error))
            await self._clock.sleep(PURGE_S)
