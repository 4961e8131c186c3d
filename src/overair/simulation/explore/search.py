"""Breadth first through all that may happen, to a depth: every state once, every event from each.

A state is the content of a real database at an instant (``canonical``); an event is a transaction of
the real engine. After each transition the invariants are checked, in each new state ``verify`` is run, and
from each state at the edge the engine is left alone, to see that it comes to an end. What is found first
is found by a shortest way, and told as the list of its events.

The clock's moving on is an event like all others, so a state that is not at the edge leads, if nobody does
anything any more, to one that is; with those at the edge all states are known to reach an end.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from overair.core.errors import RequestError
from overair.core.ids import AccountId
from overair.simulation.explore.canonical import Key, key_of
from overair.simulation.explore.ground import Event, Game, Ground
from overair.simulation.explore.invariants import Transition, broken, unfinished
from overair.simulation.explore.operating import carry_on
from overair.simulation.explore.view import View
from overair.store.database import Tx, to_ms
from overair.store.snapshots import Branch, Content, SmallDatabase
from overair.store.verify import verify

ALONE = "and nobody does anything any more"
_MESSAGES = "callback_message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Something that must not be, and how it came to be."""

    invariant: str
    what: str
    events: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Found:
    """What an exploration came to."""

    version: int
    depth: int = 0  # to which every interleaving was followed
    complete: bool = False  # there is nothing beyond that depth
    states: int = 0
    transitions: int = 0
    refused: int = 0  # of these: the operator was told that it cannot be
    by_depth: list[int] = field(default_factory=list)  # new states
    endings: int = 0  # states from which the engine was left alone
    seconds: float = 0.0
    violation: Violation | None = None


class Node(NamedTuple):
    """A state to go on from."""

    number: int
    content: Content
    moment: int  # the number of its instant
    last: str  # what happened last
    key: Key


class _BrokenError(Exception):
    """An invariant does not hold."""

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(invariant, what)
        self.invariant = invariant
        self.what = what


class Exploration:
    """One exploration of one version."""

    def __init__(self, game: Game) -> None:
        self.game = game
        self.instants = (*game.instants, *game.ends)
        self.database = SmallDatabase(game.instants[0])
        self.account: AccountId = self.database.change(game.prepare)
        self.found = Found(version=game.version)
        self.keys: dict[Key, int] = {}
        self._came: list[tuple[int, str]] = []  # from which state, and by which event
        self._ending: set[Key] = set()  # states that are known to reach an end
        self._looked = View(self.database, self.database.present)
        self._messages = self.database.tables.index(_MESSAGES)

    def close(self) -> None:
        """Forget everything."""
        self.database.close()

    def run(self, depth: int, *, most_states: int | None = None) -> Found:
        """Follow every interleaving of so many events; or stop after a depth with so many states."""
        began = time.perf_counter()
        happened = -1, ""
        try:
            edge = list(self.roots())
            self.found.by_depth.append(len(edge))
            for level in range(1, depth + 1):
                beyond: list[Node] = []
                for node in edge:
                    for event in self.events(node):
                        happened = node.number, event.text
                        beyond += self.take(node, event)
                edge = beyond
                self.found.by_depth.append(len(edge))
                self.found.depth = level
                if not edge:
                    self.found.complete = True
                    break
                if most_states is not None and self.found.states >= most_states:
                    break
            for node in edge:
                happened = node.number, ALONE
                self._leave_alone(node)
        except _BrokenError as error:
            self.found.violation = Violation(
                invariant=error.invariant, what=error.what, events=(*self._way(*happened),)
            )
        self.found.seconds = time.perf_counter() - began
        return self.found

    def _way(self, number: int, last: str) -> list[str]:
        way = [last]
        while number >= 0:
            number, text = self._came[number]
            way.append(text)
        return way[::-1]

    # States --------------------------------------------------------------------------------------

    def roots(self) -> Iterator[Node]:
        """The states to begin with."""
        bare = self.database.present
        for name, steps in self.game.roots():
            self.database.restore(bare)
            with self.database.branch() as tx:
                ground = self._ground(tx, 0)
                for step in steps:
                    step(ground)
                content = self._delivered(tx.content())
            yield from self._enter(content, self.key(content, 0), 0, -1, name)

    def _enter(
        self, content: Content, key: Key, moment: int, came_from: int, by: str
    ) -> list[Node]:
        """The state, if it is new."""
        if key in self.keys:
            return []
        number = self.keys[key] = self.found.states
        self._came.append((came_from, by))
        self.found.states += 1
        return [Node(number, content, moment, by, key)]

    def key(self, content: Content, moment: int) -> Key:
        """What the state is known by."""
        return key_of(View(self.database, content), to_ms(self.instants[moment]))

    def _delivered(self, content: Content) -> Content:
        """The content, with the callbacks delivered."""
        if not content[self._messages]:
            return content
        left = list(content)
        left[self._messages] = ()
        return tuple(left)

    def _ground(self, tx: Tx, moment: int) -> Ground:
        return Ground(tx, self.game.settings, self.instants[moment], self.account)

    # Transitions ---------------------------------------------------------------------------------

    def events(self, node: Node) -> list[Event]:
        """What may happen in a state; the last is the clock's, if it moves on."""
        view = self._view(node)
        found = list(self.game.events(view, self.instants[node.moment]))
        if node.moment + 1 < len(self.game.instants):
            found.append(Event(clock_text(self.instants[node.moment + 1]), lambda _: None))
        return found

    def take(self, node: Node, event: Event) -> list[Node]:
        """Let an event happen in a state; where that leads, if it is new. Raises _BrokenError."""
        self.found.transitions += 1
        self.database.restore(node.content)
        moment = node.moment
        if event.text.startswith(CLOCK):
            moment += 1
            key = self.key(node.content, moment)
            return self._enter(node.content, key, moment, node.number, event.text)
        with self.database.branch() as tx:
            ground = self._ground(tx, moment)
            if not self._happens(event, ground):
                self.found.refused += 1
                return []
            content = tx.content()
            after = View(self.database, content)
            key = key_of(after, to_ms(ground.now))
            self._check(node, event, ground, after, same=key == node.key)
            content = self._delivered(content)
            entered = self._enter(content, key, moment, node.number, event.text)
            if entered:
                self._verify(tx)
        return entered

    def _happens(self, event: Event, ground: Ground) -> bool:
        """Whether it could be; a refusal undoes its transaction, as the writer does it."""
        try:
            event.happen(ground)
        except RequestError:
            return False
        except Exception as error:
            raise _BrokenError("nothing raises", f"{type(error).__name__}: {error}") from error
        return True

    def _check(self, node: Node, event: Event, ground: Ground, after: View, *, same: bool) -> None:
        transition = Transition(
            before=self._view(node),
            after=after,
            event=event,
            ground=ground,
            repeated=event.repeats and event.text == node.last,
            same=same,
        )
        for name, what in broken(transition):
            raise _BrokenError(name, what)

    def _view(self, node: Node) -> View:
        if self._looked.content is not node.content:
            self._looked = View(self.database, node.content)
        return self._looked

    def _verify(self, tx: Branch) -> None:
        if dangling := tx.dangling():
            raise _BrokenError("references hold", f"{dangling}")
        for check, finding in verify(tx):
            if finding is not None:
                raise _BrokenError(f"verify: {check.name}", f"{check.says}: {finding.rows}")

    # Ends ----------------------------------------------------------------------------------------

    def _leave_alone(self, node: Node) -> None:
        """See that a state comes to an end, with the engine at work and nobody else. Raises _BrokenError."""
        self.found.endings += 1
        passed: list[Key] = []
        self.database.restore(node.content)
        with self.database.branch() as tx:
            moment: int | None = node.moment
            while moment is not None:
                if not self._rests(self._ground(tx, moment)):
                    raise _BrokenError("the engine comes to rest", "it has always more to do")
                content = tx.content()
                passed.append(self.key(content, moment))
                if passed[-1] in self._ending:
                    break
                moment = self._next(View(self.database, content), moment)
            else:
                self._finish(tx)
        self._ending.update(passed)

    def _next(self, view: View, moment: int) -> int | None:
        """The next instant at which there is something to do; then the last; then none."""
        last = len(self.instants) - 1
        if moment == last:
            return None
        own = (each.own for each in view.all_tries())
        rows = (*view.campaigns, *view.upgrades, *own)
        first = min((row["due_at"] for row in rows if row["due_at"] is not None), default=None)
        if first is None:
            return last
        later = range(moment + 1, last)
        return next((n for n in later if to_ms(self.instants[n]) >= first), last)

    def _rests(self, ground: Ground) -> bool:
        try:
            return carry_on(ground)
        except Exception as error:
            raise _BrokenError("nothing raises", f"{type(error).__name__}: {error}") from error

    def _finish(self, tx: Branch) -> None:
        ground = self._ground(tx, len(self.instants) - 1)
        self.game.finish(ground, View(self.database, tx.content()))
        self._verify(tx)
        for name, what in unfinished(View(self.database, tx.content()), ground.seen):
            raise _BrokenError(name, what)


CLOCK = "the clock moves to "


def clock_text(instant: datetime) -> str:
    """How a list of events names the clock's moving on."""
    return f"{CLOCK}{instant:%a %H:%M}"


def explore(game: Game, depth: int, *, most_states: int | None = None) -> Found:
    """Follow every interleaving of ``depth`` events, from each state to begin with."""
    exploration = Exploration(game)
    try:
        return exploration.run(depth, most_states=most_states)
    finally:
        exploration.close()


__all__ = ["Exploration", "Found", "Node", "Violation", "explore"]
