"""From a scenario that fails to a small one that fails in the same way.

Parts are taken away, halves first and then smaller pieces, as long as the same invariant still does not hold
(delta debugging). Each actor throws dice of his own, so what is left does what it did. At last the rules are made
ordinary, one by one.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Final

from overair.simulation.scenario import Rules, Scenario

MOST_RUNS: Final = 400

Fails = Callable[[Scenario], bool]


def shrink(scenario: Scenario, fails: Fails, *, most_runs: int = MOST_RUNS) -> Scenario:
    """The smallest that was found. ``fails`` says whether a scenario fails as the first one did."""
    budget = _Budget(fails, most_runs)
    before = -1
    while scenario.size != before and budget.left:
        before = scenario.size
        for kind in ("faults", "steps", "devices"):
            scenario = _fewer(scenario, kind, budget)
    for rule in fields(Rules):
        values: dict[str, Any] = {rule.name: rule.default}
        plain = replace(scenario.rules, **values)
        if plain != scenario.rules:
            candidate = replace(scenario, rules=plain)
            if budget.fails(candidate):
                scenario = candidate
    return scenario


class _Budget:
    def __init__(self, fails: Fails, left: int) -> None:
        self._fails = fails
        self.left = left

    def fails(self, scenario: Scenario) -> bool:
        if not self.left:
            return False
        self.left -= 1
        return self._fails(scenario)


def _fewer(scenario: Scenario, kind: str, budget: _Budget) -> Scenario:
    """Take away parts of one kind, in pieces that get smaller."""
    piece = len(getattr(scenario, kind))
    while piece >= 1:
        place = 0
        while place < len(getattr(scenario, kind)):
            gone = frozenset(range(place, place + piece))
            candidate = scenario.without(**{kind: gone})
            if budget.fails(candidate):
                scenario = candidate
            else:
                place += piece
        piece //= 2
    return scenario
