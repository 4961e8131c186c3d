"""Looks at a run: at each commit at what changed, at each answer to a device at what it shows, now and then
at everything, and at the end.

With a reading connection of its own, so that what it sees is what was committed. Nothing is raised in the
middle of somebody's commit: what does not hold is kept, and raised by the next look at everything.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import Any

from overair.config import Settings
from overair.simulation.answers import ANSWERS, Answered
from overair.simulation.audit import told_truly
from overair.simulation.commits import COMMITS
from overair.simulation.endings import ENDS
from overair.simulation.invariants import CHANGES, DAY, BrokenError, midnight
from overair.simulation.net import Heard, Host, NoAnswerError
from overair.simulation.transcript import Transcript
from overair.store import verify, witness
from overair.store.connection import SqliteTx, connect
from overair.store.database import Tx
from overair.store.witness import Seen


class Judge:
    """Looks at a run, by itself: with a reading connection of its own."""

    def __init__(self, database: Path, settings: Settings, transcript: Transcript) -> None:
        self.settings = settings
        self.transcript = transcript
        self._connection = connect(str(database), read_only=True)
        self.tx: Tx = SqliteTx(self._connection)
        self._last = 0
        self._looked = -1
        self.broken: list[BrokenError] = []
        self.attempts = 0
        self.leases_lost = 0
        self.moves: Counter[str] = Counter()  # of campaigns, by where to
        self.begun_in: dict[tuple[str, int], set[str]] = {}
        self.installed: dict[str, set[int]] = {}
        self.polls: Counter[str] = Counter()
        self.given: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()
        self.members: set[tuple[str, str]] = set()
        self.polled_at: dict[str, datetime] = {}
        self.listeners: dict[tuple[int, int], str] = {}
        self._two_phase: frozenset[str] = frozenset()
        self._zones: dict[str, tzinfo] = {}

    def set_two_phase(self, imeis: frozenset[str]) -> None:
        """Say which devices over HTTP download first and install later."""
        self._two_phase = imeis

    def two_phase(self, imei: str) -> bool:
        """Whether a device does."""
        return imei in self._two_phase

    def set_zones(self, zones: Mapping[str, tzinfo]) -> None:
        """Say where devices are that have hours of their own."""
        self._zones.update(zones)

    def zone(self, imei: str) -> tzinfo:
        """Whose hours count for a device over HTTP."""
        return self._zones.get(imei, UTC)

    def http_truths(self, world: Any) -> Iterator[tuple[str, Any]]:
        """What devices over HTTP did, life by life."""
        for actor in world.actors.values():
            if hasattr(actor, "truths"):
                for truth in actor.truths():
                    yield actor.imei, truth

    def told_actors(self, world: Any) -> Iterator[Any]:
        """Devices over OMA-DM and LwM2M."""
        return (actor for actor in world.actors.values() if hasattr(actor, "installed"))

    def look(self) -> None:
        """At what was committed since the last time."""
        found = witness.since(self.tx, self._last)
        if not found:
            return
        self._last = found[-1].id
        for seen in found:
            self._note(seen)
            for rule in CHANGES:
                for text in rule(self, seen):
                    self.find(rule.__name__.replace("_", " "), text)
        for together in COMMITS:
            for text in together(self, found):
                self.find(together.__name__.replace("_", " "), text)

    def overhear(self, host: Host, method: str, url: str, body: bytes) -> Heard | None:
        """What is to be told of the answer to a request that arrives."""
        for rule in ANSWERS:
            asked = rule(self, host, method, url, body)
            if asked is not None:
                return partial(self._heard, rule.__name__.replace("_", " "), asked)
        return None

    def _heard(self, name: str, asked: Answered, status: int, body: bytes) -> None:
        for text in asked(status, body):
            self.find(name, text)

    def _note(self, seen: Seen) -> None:
        note = self.transcript.note
        match seen.what:
            case "begun":
                self.attempts += 1
                note("engine", f"attempt {seen.row_id} of {seen.facts['imei']} begins")
            case "attempt":
                note("engine", f"attempt {seen.row_id}: {seen.old} -> {seen.new}")
            case "upgrade":
                facts = seen.facts
                moved = f"{seen.old} -> {facts['state']} ({facts['reason']})"
                note("engine", f"{facts['imei']} in {facts['uuid'][:8]}: {moved}")
            case "campaign":
                self.moves[seen.facts["status"]] += 1
                note("engine", f"{seen.facts['uuid'][:8]}: {seen.old} -> {seen.facts['status']}")
            case "license":
                (self.given if seen.new else self.taken)[seen.new or seen.old] += 1
                note(
                    "engine",
                    f"licence of {seen.new or seen.old}: {'gone' if seen.old else 'given'}",
                )
            case "member":
                self.members.add((seen.old, seen.new))
            case "lease":
                self.leases_lost += 1
                note("engine", f"the lease of {seen.row_id} goes from {seen.old} to {seen.new}")
            case "listener":
                self.listeners[int(seen.old), seen.row_id] = seen.new
                note("engine", f"listener {seen.row_id} of v{seen.old}: {seen.new or 'gone'}")
            case "bill":
                note("engine", f"the upgrade of {seen.new} is billed")
            case "message":
                note("engine", f"message {seen.row_id} is written")
            case _:
                note("engine", f"message {seen.row_id}: {seen.old} -> {seen.new}")

    def find(self, name: str, text: str) -> None:
        """Something does not hold."""
        self.transcript.note("judge", f"{name}: {text}")
        self.broken.append(BrokenError(name, text))

    def look_at_all(self) -> None:
        """Recount everything. Raises BrokenError if anything does not hold, or did not."""
        if self._looked != self._last:
            self._looked = self._last
            for check, finding in verify.verify(self.tx):
                if finding is not None:
                    self.find(check.name, str(finding.rows[:3]))
        if self.broken:
            raise self.broken[0]

    def last_end(self) -> datetime | None:
        """When the last campaign's last day is over."""
        days = [end for _, _, end in witness.campaigns(self.tx).values()]
        return midnight(max(days)) + DAY if days else None

    async def at_the_end(self, world: Any) -> None:
        """Everything, and what only holds at the end. Raises BrokenError."""
        self._looked = -1
        for rule in ENDS:
            for text in rule(self, world):
                self.find(rule.__name__.replace("_", " "), text)
        try:
            async for text in told_truly(self, world):
                self.find("told truly", text)
        except NoAnswerError as error:
            self.find("told truly", f"an operator gets no answer when all is over: {error}")
        self.look_at_all()

    def content(self) -> list[tuple[str, list[tuple[Any, ...]]]]:
        """Everything that the database holds; the last look."""
        with closing(self._connection):
            return list(witness.content(self.tx))
