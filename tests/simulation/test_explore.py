"""The exhaustive check of small worlds: nothing is found, what is planted is, and no state is left out."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import msgspec
import pytest

from overair.core import attempt, plan
from overair.core.attempt import AttemptEvent, AttemptState
from overair.core.errors import RequestError
from overair.core.plan import Link
from overair.core.push import Call, CallStep, carry_on
from overair.core.retry import next_try
from overair.core.window import Windows
from overair.engine import assign, setbacks, slots, upgrades
from overair.engine.push import turns
from overair.simulation.explore import Game, HttpGame, Lwm2mGame, OmadmGame, Violation, explore
from overair.simulation.explore.ground import Event, Ground
from overair.simulation.explore.search import ALONE, Exploration, Node
from overair.simulation.explore.view import View
from overair.store import attempts, campaigns, licenses, tally

SMALL: list[tuple[Callable[[], Game], int]] = [(HttpGame, 4), (OmadmGame, 2), (Lwm2mGame, 2)]
NAMES = ["v2", "v1", "v3"]


@pytest.mark.parametrize(("game", "depth"), SMALL, ids=NAMES)
def test_every_interleaving_keeps_the_rules(game: Callable[[], Game], depth: int) -> None:
    """To a small depth every invariant holds in every state, and every state comes to an end."""
    found = explore(game(), depth)
    assert found.violation is None
    assert found.depth == depth
    assert found.states == sum(found.by_depth) > 300
    assert found.transitions > found.states
    assert found.endings == found.by_depth[-1]


@pytest.mark.parametrize(("game", "depth"), SMALL, ids=NAMES)
def test_what_is_left_out_of_a_state_decides_nothing(game: Callable[[], Game], depth: int) -> None:
    """Contents that are taken for one state lead to the same states, by the same events."""
    exploration = Exploration(game())
    try:
        compared = 0
        for same in _doubles(exploration, depth):
            compared += 1
            assert _leads_to(exploration, same[0]) == _leads_to(exploration, same[1])
        assert compared
    finally:
        exploration.close()


def _doubles(exploration: Exploration, depth: int) -> Iterator[tuple[Node, Node]]:
    """Pairs of different contents with the same key, some of each depth."""
    first: dict[bytes, Node] = {}
    edge = list(exploration.roots())
    for _ in range(depth):
        beyond: list[Node] = []
        pairs: list[tuple[Node, Node]] = []
        for node in edge:
            for event in exploration.events(node):
                exploration.keys.clear()
                for made in exploration.take(node, event):
                    known = first.setdefault(made.key, made)
                    if known is made:
                        beyond.append(made)
                    elif known.content != made.content:
                        pairs.append((known, made))
        yield from islice(pairs, 0, None, max(1, len(pairs) // 60))
        edge = beyond[:: max(1, len(beyond) // 60)]


def _leads_to(exploration: Exploration, node: Node) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for event in exploration.events(node):
        exploration.keys.clear()
        made = exploration.take(node, event)
        found[event.text] = made[0].key if made else None
    return found


def test_what_was_written_is_read_again() -> None:
    """After an event, a content of which only written tables were read is all that there is."""
    exploration = Exploration(OmadmGame())
    try:
        for node in exploration.roots():
            exploration.database.restore(node.content)
            for event in exploration.events(node):
                with exploration.database.branch() as tx:
                    with contextlib.suppress(RequestError):
                        event.happen(exploration._ground(tx, node.moment))
                    assert tx.content() == exploration.database.read()
                assert exploration.database.read() == node.content
    finally:
        exploration.close()


# Planted bugs ------------------------------------------------------------------------------------

Plant = Callable[[pytest.MonkeyPatch], None]


class OneTry(HttpGame):
    """A device gets one attempt."""

    settings = msgspec.structs.replace(
        HttpGame.settings, limits=msgspec.structs.replace(HttpGame.settings.limits, max_attempts=1)
    )


class OneDay(HttpGame):
    """A campaign runs, nobody intervenes, and the clock moves once, to after its end."""

    instants = (HttpGame.instants[0], HttpGame.instants[-1])

    def roots(self) -> Sequence[tuple[str, Sequence[Callable[[Ground], object]]]]:
        return super().roots()[1:2]

    def events(self, view: View, now: datetime) -> Iterator[Event]:
        return (each for each in super().events(view, now) if "operator" not in each.text)


def _reopened(patch: pytest.MonkeyPatch) -> None:
    cancelled = (AttemptState.CANCELLED, AttemptEvent.SUCCEED)
    patch.setitem(attempt.TABLE, cancelled, AttemptState.FINISHED)


def _offered_after_a_stop(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(assign, "link", lambda *_, **__: Link.DEPLOYMENT)


def _an_hour_too_long(patch: pytest.MonkeyPatch) -> None:
    def wrong(windows: Windows, now: Any, zone: Any = None) -> bool:
        return not windows or any(each.start <= now.hour <= each.end for each in windows)

    patch.setattr(plan, "is_open", wrong)


def _without_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        setbacks, "next_try", lambda policy, **said: next_try(policy, **said | {"made": 0})
    )


def _lost_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tally, "move", lambda *_: None)


def _nobody_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(upgrades, "notify_devices", lambda *_: None)


def _leaking_licences(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(licenses, "drop", lambda *_: None)


def _late_results_dropped(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(attempt.TABLE, (AttemptState.EXPIRED, AttemptEvent.SUCCEED), attempt.IGNORE)


def _never_let_go(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempts, "release_device", lambda *_: None)


def _nothing_expires(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempts, "due", lambda *_: [])


def _cells_without_end(patch: pytest.MonkeyPatch) -> None:
    right = slots._limits
    patch.setattr(
        slots,
        "_limits",
        lambda settings: right(
            msgspec.structs.replace(settings, slots=msgspec.structs.replace(settings.slots, good=9))
        ),
    )


def _called_for_ever(patch: pytest.MonkeyPatch) -> None:
    def wrong(call: Call, now: datetime, pause: timedelta) -> CallStep:
        step = carry_on(call, now, pause)
        return CallStep(push=True, due_at=now + pause) if step.over else step

    patch.setattr(turns, "carry_on", wrong)


def _never_done(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(campaigns, "end_closing", lambda *_: None)


PLANTED: list[tuple[Plant, Callable[[], Game], int, str]] = [
    (_reopened, HttpGame, 4, "closed attempts stay closed"),
    (_offered_after_a_stop, HttpGame, 4, "nothing is shown after its end"),
    (_an_hour_too_long, HttpGame, 3, "nothing begins outside its campaign"),
    (_without_end, OneTry, 4, "nothing begins after the end of a device"),
    (_lost_count, HttpGame, 2, "verify: tally"),
    (_nobody_told, HttpGame, 2, "changes are told once"),
    (_leaking_licences, HttpGame, 1, "licences fit the pool"),
    (_late_results_dropped, OneDay, 6, "told success is believed"),
    (_never_let_go, HttpGame, 2, "verify: open action open"),
    (_nothing_expires, HttpGame, 2, "everything ends"),
    (_cells_without_end, Lwm2mGame, 1, "slots are kept"),
    (_called_for_ever, OmadmGame, 3, "calls are few and in time"),
    (_never_done, HttpGame, 1, "everything ends"),
]


@pytest.mark.parametrize(
    ("plant", "game", "depth", "invariant"), PLANTED, ids=[each[0].__name__ for each in PLANTED]
)
def test_a_planted_bug_is_found(
    monkeypatch: pytest.MonkeyPatch,
    plant: Plant,
    game: Callable[[], Game],
    depth: int,
    invariant: str,
) -> None:
    """Break a rule, and the search says which invariant does not hold, and how to get there."""
    plant(monkeypatch)
    violation = explore(game(), depth).violation
    assert violation is not None
    assert violation.invariant == invariant
    _is_a_way(game(), violation)


def _is_a_way(game: Game, violation: Violation) -> None:
    """It begins where the search begins, and each step is one that may be taken there."""
    first, *steps = violation.events
    exploration = Exploration(game)
    try:
        node = next(node for node in exploration.roots() if node.last == first)
        for text in steps[:-1]:
            event = next(each for each in exploration.events(node) if each.text == text)
            exploration.keys.clear()
            (node,) = exploration.take(node, event)
        assert steps[-1] in {ALONE, *(event.text for event in exploration.events(node))}
    finally:
        exploration.close()
