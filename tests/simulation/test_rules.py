"""Each rule of the judge can fail, and does when what it forbids is planted.

The ten kinds of ``test_planted.py`` are found by whichever rule sees them first; here each of the other
rules has a bug that it must see itself. A seed that sees it is written beside it.
"""

from typing import Any

import pytest

from overair.simulation.answers import ANSWERS
from overair.simulation.audit import told_truly
from overair.simulation.batch import Ground
from overair.simulation.commits import COMMITS
from overair.simulation.endings import ENDS
from overair.simulation.generate import generate
from overair.simulation.invariants import CHANGES
from tests.simulation import plants, rule_plants

RULES: dict[str, tuple[plants.Plant, int]] = {
    "one at a time": (rule_plants.free_while_at_work, 9),
    "only when running": (plants.offer_after_cancel, 825),
    "only in its days": (plants.window_off_by_an_hour, 7),
    "only who fits": (rule_plants.everybody_fits, 8),
    "only when over": (rule_plants.over_before_it_is, 3),
    "only with a licence": (rule_plants.licence_gone_campaign_stays, 54),
    "no more than allowed": (plants.retry_without_end, 23),
    "no pilot too large": (rule_plants.pilot_as_large_as_you_like, 253),
    "no cell too full": (plants.cell_limit_ignored, 76),
    "closed stays closed": (rule_plants.over_and_not_over, 47),
    "told once": (plants.skipped_callback, 1),
    "told in its words": (rule_plants.failure_told_as_success, 8),
    "events are billed": (rule_plants.nothing_is_billed, 1),
    "everything ends": (rule_plants.without_end, 1),
    "reports are kept": (plants.late_result_dropped, 35),
    "pushed success is true": (rule_plants.taken_at_its_word, 17),
    "success is true": (rule_plants.failure_taken_for_success, 8),
    "messages arrive": (rule_plants.dropped_at_the_first_failure, 38),
    "contacts are kept": (rule_plants.every_other_contact, 2),
    "nobody else is told": (rule_plants.the_first_listener_for_ever, 23),
    "nobody is told twice": (plants.lease_ignored, 143),
    "late truth is believed": (plants.late_result_dropped, 35),
    "the word is kept": (rule_plants.stopped_in_words_only, 1),
    "the word on devices is kept": (rule_plants.licensed_in_words_only, 4),
    "nobody is given up early": (rule_plants.half_a_window, 4),
    "called when there": (rule_plants.deaf_to_the_network, 268),
    "shown rightly": (rule_plants.install_at_any_time, 8),
    "told truly": (rule_plants.failure_shown_as_success, 5),
}
# What else a rule looks at.
ALSO: dict[plants.Plant, tuple[str, int]] = {
    rule_plants.added_in_words_only: ("the word on devices is kept", 1),
    rule_plants.only_in_the_first_window: ("shown rightly", 2),
    rule_plants.shown_once: ("shown rightly", 19),
    rule_plants.no_rest_after_a_failure: ("no more than allowed", 47),
    rule_plants.dates_in_words_only: ("the word is kept", 18),
    rule_plants.deaf_to_devices_that_come: ("reports are kept", 17),
    rule_plants.shown_and_not_believed: ("pushed success is true", 5),
    rule_plants.deployment_until_it_is_cancelled: ("shown rightly", 72),
    rule_plants.offer_that_never_ages: ("shown rightly", 158),
    rule_plants.no_history: ("told truly", 1),
    rule_plants.newer_than_it_is: ("success is true", 2),
    rule_plants.v1_says_that_all_failed: ("told truly", 37),
    rule_plants.v3_says_that_all_failed: ("told truly", 22),
    rule_plants.ended_shown_as_aborted: ("told truly", 3),
    rule_plants.an_old_version_is_shown: ("told truly", 1),
    rule_plants.licences_are_not_shown: ("told truly", 4),
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_sees_what_it_forbids(
    ground: Ground, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the bug planted, it is this rule that finds it."""
    plant, seed = RULES[name]
    with monkeypatch.context() as patch:
        plant(patch)
        outcome = ground.run(generate(seed))
    assert name in {finding.name for finding in outcome.broken}


@pytest.mark.parametrize("plant", ALSO, ids=lambda plant: plant.__name__)
def test_a_rule_sees_everything_that_it_forbids(
    ground: Ground, plant: plants.Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions that devices run, what they are shown and say, and in each version of the API what it says of campaigns and devices."""
    name, seed = ALSO[plant]
    with monkeypatch.context() as patch:
        plant(patch)
        outcome = ground.run(generate(seed))
    assert {finding.name for finding in outcome.broken} == {name}


def test_there_is_a_bug_for_each_rule() -> None:
    """No rule is without one."""
    rules: list[Any] = [*CHANGES, *COMMITS, *ENDS, *ANSWERS, told_truly]
    assert set(RULES) == {rule.__name__.replace("_", " ") for rule in rules}
