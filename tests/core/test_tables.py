"""The three state machines: total, closed at their ends, and saying what the specification says.

The moves are written out here a second time, as lines of the specification, so that a slip in a
table is seen beside the sentence that it breaks.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from itertools import pairwise, product
from typing import Any

import pytest

from overair.core import attempt, campaign, upgrade
from overair.core.attempt import AttemptEvent, AttemptState
from overair.core.campaign import CampaignEvent, CampaignStatus
from overair.core.upgrade import Reason, UpgradeEvent, UpgradeState

MACHINES = [
    pytest.param(campaign.TABLE, CampaignStatus, CampaignEvent, id="campaign"),
    pytest.param(upgrade.TABLE, UpgradeState, UpgradeEvent, id="upgrade"),
    pytest.param(attempt.TABLE, AttemptState, AttemptEvent, id="attempt"),
]
Table = Mapping[tuple[Any, Any], Any]


def moves(table: Table) -> dict[tuple[str, str], str]:
    """What changes the state: (from, event) → to, in words."""
    return {
        (state.value, event.value): after.value
        for (state, event), after in table.items()
        if isinstance(after, StrEnum) and after is not state
    }


def lines(text: str) -> dict[tuple[str, str], str]:
    """``from > to: event, event`` to the same."""
    found = {}
    for line in text.strip().splitlines():
        way, _, events = line.partition(":")
        start, _, end = way.partition(">")
        for event in events.split(","):
            found[start.strip(), event.strip()] = end.strip()
    return found


@pytest.mark.parametrize(("table", "states", "events"), MACHINES)
def test_tables_are_total(table: Table, states: Any, events: Any) -> None:
    """Every pair of a state and an event has an answer, and there are no others."""
    assert set(table) == set(product(states, events))
    for answer in table.values():
        assert answer in ("ignore", "refuse") or isinstance(answer, states)


@pytest.mark.parametrize(("table", "states", "events"), MACHINES)
def test_every_state_is_reached_and_left(table: Table, states: Any, events: Any) -> None:
    """From the first state every other can be reached, and from each a state that is an end."""
    ways: dict[str, set[str]] = {state.value: set() for state in states}
    for (start, _), end in moves(table).items():
        ways[start].add(end)
    first = next(iter(states)).value
    assert reach(ways, [first]) == set(ways)
    ends = {state for state, after in ways.items() if not after}
    assert ends
    for state in ways:
        assert reach(ways, [state]) & ends


def reach(ways: Mapping[str, set[str]], start: Iterable[str]) -> set[str]:
    found: set[str] = set()
    todo = list(start)
    while todo:
        state = todo.pop()
        if state not in found:
            found.add(state)
            todo += ways[state]
    return found


@pytest.mark.parametrize(("table", "states", "events"), MACHINES)
def test_a_repeated_event_changes_nothing_more(table: Table, states: Any, events: Any) -> None:
    """Whoever says the same thing twice in a row has said it once."""
    for (_, event), after in table.items():
        if isinstance(after, StrEnum):
            again = table[after, event]
            assert again in ("ignore", "refuse") or again is after


def test_campaign_follows_its_lifecycle() -> None:
    """The moves of a campaign are those of lifecycle.md 4.1 and 5.1."""
    assert moves(campaign.TABLE) == lines(
        """
        request_pending > request_failed: rejected, ended
        request_pending > request_queued: accepted
        request_pending > cancelled: stopped, withdrawn, emptied
        request_pending > failed: failed
        request_queued > scheduled: started
        request_queued > pre_scheduled: located
        request_queued > cancelled: stopped, withdrawn, emptied
        request_queued > request_failed: rejected
        request_queued > ended: ended
        request_queued > failed: failed
        pre_scheduled > scheduled: started
        pre_scheduled > cancelled: stopped, withdrawn, emptied
        pre_scheduled > request_failed: rejected
        pre_scheduled > ended: ended
        pre_scheduled > failed: failed
        scheduled > pre_scheduled: replanned
        scheduled > aborted: stopped
        scheduled > cancelled: withdrawn
        scheduled > ended: ended
        scheduled > failed: failed
        """
    )


def test_a_campaign_that_is_over_stays_over() -> None:
    """No event moves a campaign from an end, and a user who tries to stop it is told no."""
    assert {
        status
        for status in CampaignStatus
        if not any(start == status for start, _ in moves(campaign.TABLE))
    } == campaign.FINAL
    for status in campaign.FINAL:
        for event in CampaignEvent:
            told = event in (
                CampaignEvent.STOPPED,
                CampaignEvent.WITHDRAWN,
                CampaignEvent.EMPTIED,
            )
            assert campaign.after(status, event) == ("refuse" if told else "ignore")
    assert campaign.after(CampaignStatus.SCHEDULED, CampaignEvent.EMPTIED) == campaign.REFUSE


def test_campaign_sets() -> None:
    """A campaign is before its start, running, or over."""
    assert {
        CampaignStatus.REQUEST_PENDING,
        CampaignStatus.REQUEST_QUEUED,
        CampaignStatus.PRE_SCHEDULED,
    } == campaign.BEFORE_START
    assert set(CampaignStatus) - campaign.FINAL - campaign.BEFORE_START == {
        CampaignStatus.SCHEDULED
    }


def test_upgrade_follows_its_lifecycle() -> None:
    """The moves of a device in a campaign are those of lifecycle.md 3.5 and 4.4."""
    assert moves(upgrade.TABLE) == lines(
        """
        requested > accepted: accept
        requested > rejected: reject
        requested > failed: end, queue
        requested > cancelled: cancel
        requested > aborted: abort
        accepted > rejected: reject
        accepted > pending: offer
        accepted > failed: end
        accepted > queued: queue
        accepted > cancelled: cancel
        accepted > aborted: abort
        pending > succeeded: succeed
        pending > failed: exhaust, end
        pending > queued: queue
        pending > cancelled: cancel
        pending > aborted: abort
        queued > succeeded: succeed
        queued > failed: exhaust, end, supersede
        queued > cancelled: cancel
        queued > aborted: abort
        failed > succeeded: succeed
        cancelled > succeeded: succeed
        aborted > succeeded: succeed
        """
    )
    stays = {
        pair
        for pair, after in upgrade.TABLE.items()
        if isinstance(after, StrEnum) and after is pair[0]
    }
    assert stays == {
        (state, event)
        for state in (UpgradeState.PENDING, UpgradeState.QUEUED)
        for event in (UpgradeEvent.OFFER, UpgradeEvent.PROGRESS)
    } | {(UpgradeState.ACCEPTED, UpgradeEvent.PROGRESS)}


def test_only_success_is_never_too_late() -> None:
    """A device at its end stays there, unless it shows that it succeeded after all."""
    assert set(UpgradeState) == upgrade.FINAL | upgrade.OPEN | {UpgradeState.QUEUED}
    assert not upgrade.FINAL & upgrade.OPEN
    for state, event in product(upgrade.FINAL, UpgradeEvent):
        late = event is UpgradeEvent.SUCCEED and state in (
            UpgradeState.FAILED,
            UpgradeState.CANCELLED,
            UpgradeState.ABORTED,
        )
        expected = UpgradeState.SUCCEEDED if late else upgrade.IGNORE
        assert upgrade.after(state, event) == expected


def test_what_ends_a_campaign_ends_every_open_device() -> None:
    """No open state survives the end, the cancellation or the abortion of its campaign."""
    for state in upgrade.OPEN:
        assert upgrade.after(state, UpgradeEvent.QUEUE) not in upgrade.OPEN
        assert upgrade.after(state, UpgradeEvent.END) == UpgradeState.FAILED
        assert upgrade.after(state, UpgradeEvent.CANCEL) == UpgradeState.CANCELLED
        assert upgrade.after(state, UpgradeEvent.ABORT) == UpgradeState.ABORTED


def test_attempt_follows_the_action() -> None:
    """The moves of an attempt are those of an action in http-ddi.md 6."""
    assert moves(attempt.TABLE) == lines(
        """
        offered > retrieved: retrieve
        offered > running: progress
        offered > downloaded: download
        offered > finished: succeed
        offered > failed: fail, give_up
        offered > cancelled: cancel
        offered > expired: expire
        retrieved > running: progress
        retrieved > downloaded: download
        retrieved > finished: succeed
        retrieved > failed: fail, give_up
        retrieved > cancelling: cancel
        retrieved > expired: expire
        running > downloaded: download
        running > finished: succeed
        running > failed: fail, give_up
        running > cancelling: cancel
        running > expired: expire
        downloaded > finished: succeed
        downloaded > failed: fail, give_up
        downloaded > cancelling: cancel
        downloaded > expired: expire
        cancelling > running: cancel_refuse
        cancelling > cancelled: cancel_confirm, expire
        cancelling > finished: succeed
        cancelling > failed: fail, give_up
        expired > finished: succeed
        expired > failed: fail
        """
    )


def test_a_closed_attempt_stays_closed() -> None:
    """Nothing moves a finished, failed or cancelled attempt, and a device that reports hears so."""
    internal = {
        AttemptEvent.DOWNLOAD,  # bytes are still being sent
        AttemptEvent.GIVE_UP,
        AttemptEvent.CANCEL,
        AttemptEvent.EXPIRE,
    }
    closed = (AttemptState.FINISHED, AttemptState.FAILED, AttemptState.CANCELLED)
    for state, event in product(closed, AttemptEvent):
        answer = attempt.after(state, event)
        repeated = (state, event) == (AttemptState.CANCELLED, AttemptEvent.CANCEL_CONFIRM)
        assert answer == ("ignore" if event in internal or repeated else "refuse")


def test_an_expired_attempt_only_learns_how_it_ended() -> None:
    """After its time an attempt takes the device's last word, and ignores or refuses all else."""
    assert {
        event: after
        for event in AttemptEvent
        if isinstance(after := attempt.after(AttemptState.EXPIRED, event), AttemptState)
    } == {
        AttemptEvent.SUCCEED: AttemptState.FINISHED,
        AttemptEvent.FAIL: AttemptState.FAILED,
    }
    for event in (AttemptEvent.PROGRESS, AttemptEvent.NOTE, AttemptEvent.DOWNLOAD):
        # Feedback to an expired action is taken with 200, not 410 (http-ddi.md 6).
        assert attempt.after(AttemptState.EXPIRED, event) == attempt.IGNORE


def test_an_attempt_goes_forward() -> None:
    """Only a refused cancellation leads back; nothing else undoes what was reached."""
    order = [
        AttemptState.OFFERED,
        AttemptState.RETRIEVED,
        AttemptState.RUNNING,
        AttemptState.DOWNLOADED,
    ]
    rank = {state: n for n, state in enumerate(order)}
    for (state, _), after in attempt.TABLE.items():
        if state in rank and isinstance(after, AttemptState) and after in rank:
            assert rank[after] > rank[state]
    assert all(rank[a] < rank[b] for a, b in pairwise(order))


def test_attempt_sets() -> None:
    """What is linked is not closed, and what is neither is being cancelled."""
    assert {
        AttemptState.FINISHED,
        AttemptState.FAILED,
        AttemptState.CANCELLED,
        AttemptState.EXPIRED,
    } == attempt.CLOSED
    assert set(AttemptState) - attempt.LINKED - attempt.CLOSED == {AttemptState.CANCELLING}


def test_stored_words_are_stable() -> None:
    """States and reasons are text in databases: no two are the same, and none was renamed."""
    for states in (CampaignStatus, UpgradeState, AttemptState):
        assert all(state.value == state.name.lower() for state in states)
    for reason in set(Reason) - {Reason.NONE}:
        assert reason.value == reason.name.lower()
    assert Reason.NONE.value == ""
