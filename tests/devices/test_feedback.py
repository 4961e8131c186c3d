"""What devices report of an action (http-ddi 5.5)."""

import json
from datetime import timedelta
from typing import Any

import pytest

from overair.core.ids import AttemptId
from overair.store import attempts, open_database
from tests.devices.field import Field, Peer, Reply, told

JSON = {"Content-Type": "application/json"}


async def at_work(field: Field, number: int = 1) -> tuple[Peer, int]:
    peer = await field.new_peer(number)
    await field.campaign(number)
    action, _ = await peer.retrieve()
    return peer, action


async def post(peer: Peer, action: int, document: Any) -> Reply:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return await peer.ask("POST", f"/deploymentBase/{action}/feedback", JSON, body)


@pytest.mark.parametrize(
    ("execution", "finished", "state"),
    [
        *[
            (execution, finished, "running")
            for execution in ("proceeding", "scheduled", "resumed", "download")
            for finished in ("none", "success", "failure")
        ],
        *[("downloaded", finished, "downloaded") for finished in ("none", "success", "failure")],
        *[
            (execution, finished, "retrieved")
            for execution in ("canceled", "rejected")
            for finished in ("none", "success", "failure")
        ],
        ("closed", "success", "finished"),
        ("closed", "none", "finished"),
        ("closed", "failure", "failed"),
    ],
)
async def test_the_vocabulary(field: Field, execution: str, finished: str, state: str) -> None:
    """Each pair of words leads to the state of the table, and is kept."""
    peer, action = await at_work(field)
    reply = await peer.say(action, execution, finished, "said so", code=12)
    assert reply.status == 200
    assert await field.state(action) == state
    (message,) = await field.messages(action)
    assert (message.execution, message.finished, message.code) == (execution, finished, 12)
    assert message.details == ("said so",)
    if state in ("retrieved", "running", "downloaded"):
        assert await peer.offered() == action


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"status": None},
        {"status": "closed"},
        {"status": {}},
        {"status": {"execution": "closed"}},
        {"status": {"execution": "closed", "result": "success"}},
        {"status": {"execution": "closed", "result": {}}},
        {"status": {"execution": "closed", "result": {"finished": "SUCCESS"}}},
        {"status": {"execution": "Closed", "result": {"finished": "success"}}},
        {"status": {"execution": "confirmed", "result": {"finished": "none"}}},
        {"status": {"execution": None, "result": {"finished": "none"}}},
        {"status": {"execution": [], "result": {"finished": {}}}},
        {"status": {"result": {"finished": "success"}}},
        {"status": {"execution": "closed", "result": {"finished": "success"}, "details": "x"}},
        {"status": {"execution": "closed", "result": {"finished": "success"}, "details": {}}},
        {"status": {"execution": "closed", "result": {"finished": "success"}, "details": [1]}},
        {"status": {"execution": "closed", "result": {"finished": "success"}, "details": [None]}},
        [],
        "closed",
        None,
        b"",
        b"closed",
        b'{"status":',
        b"[" * 100_000,
    ],
)
async def test_what_is_no_feedback(field: Field, document: Any) -> None:
    """A missing member or a value outside its list is 400, and changes nothing."""
    peer, action = await at_work(field)
    assert (await post(peer, action, document)).status == 400
    assert await field.state(action) == "retrieved"
    assert await field.messages(action) == []


async def test_the_path_s_id_counts(field: Field) -> None:
    """`id` in the body may be anything: a string, a number, empty, another action's, missing."""
    peer, action = await at_work(field)
    document: dict[str, Any] = json.loads(told("proceeding"))
    ids: list[Any] = ["", str(action), action, "99999", None, [], "x"]
    for number in ids:
        document["id"] = number
        assert (await post(peer, action, document)).status == 200, number
    document.pop("id")
    assert (await post(peer, action, document)).status == 200
    assert len(await field.messages(action)) == 8


async def test_a_repeated_closing_report_is_410(each_field: Field) -> None:
    """What comes after the end is void, whatever it says, and changes nothing."""
    field = each_field
    peer = await field.new_peer(1)
    campaign = await field.campaign(1)
    action, _ = await peer.retrieve()
    await peer.close_with(action, "success")
    before = await field.attempt(action), await field.counts(campaign)
    for execution, finished in (
        ("closed", "success"),
        ("closed", "failure"),
        ("proceeding", "none"),
        ("downloaded", "none"),
        ("canceled", "none"),
    ):
        reply = await peer.say(action, execution, finished)
        assert reply.status == 410, execution
        assert reply.json()["errorCode"]
    assert (await field.attempt(action), await field.counts(campaign)) == before
    assert len(await field.messages(action)) == 1


async def test_feedback_to_a_failed_or_cancelled_action_is_410(field: Field) -> None:
    """A failed one and a cancelled one are closed as well."""
    await field.add(1, 2)
    campaign = await field.campaign(1, 2)
    failed = await field.peer(1).fail()
    cancelled, _ = await field.peer(2).retrieve()
    await field.stop(campaign)
    await field.peer(2).say(cancelled, "closed", "success", about="cancelAction")
    for peer, action in ((field.peer(1), failed), (field.peer(2), cancelled)):
        for finished in ("success", "failure"):
            assert (await peer.say(action, "closed", finished)).status == 410


async def test_feedback_on_what_is_not_there(field: Field) -> None:
    """An unknown action and another device's are 404."""
    await field.add(2)
    peer, action = await at_work(field)
    assert (await peer.say(action + 1000, "closed", "success")).status == 404
    assert (await field.peer(2).say(action, "closed", "success")).status == 404
    assert await field.state(action) == "retrieved"


async def test_details_are_cut(field: Field) -> None:
    """50 details of 2048 characters are kept of each report, the rest is cut."""
    peer, action = await at_work(field)
    lines = [f"{n} " + "ü" * 3000 for n in range(10)] + [f"line {n}" for n in range(100)]
    assert (await peer.say(action, "proceeding", "none", *lines)).status == 200
    (message,) = await field.messages(action)
    assert message.details == tuple(line[:2048] for line in lines[:50])


async def test_a_thousand_reports_are_kept_and_an_ending_always(each_field: Field) -> None:
    """The 1001st report is taken with 200 and not kept; one that ends the action is."""
    field = each_field
    peer, action = await at_work(field)
    wire = await field.wire()
    target = f"{peer.base}/deploymentBase/{action}/feedback"
    for number in range(1005):
        if number % 150 == 0:
            field.clock.advance(timedelta(seconds=10))  # the device's own rate limit
        body = told("proceeding", "none", str(number))
        assert (await wire.ask("POST", target, peer.headers, body)).status == 200
    kept = await field.messages(action)
    assert len(kept) == 1000
    assert kept[0].details == ("999",)
    assert (await peer.say(action, "closed", "success", "the end")).status == 200
    kept = await field.messages(action)
    assert len(kept) == 1001
    assert kept[0].details == ("the end",)


async def test_feedback_before_the_deployment_was_fetched(field: Field) -> None:
    """A device may report on what it was linked without having fetched it."""
    await field.add(1, 2)
    await field.campaign(1, 2)
    first, second = await field.peer(1).offered(), await field.peer(2).offered()
    assert first is not None
    assert second is not None
    await field.peer(1).say(first, "proceeding")
    await field.peer(2).close_with(second, "success")
    assert (await field.state(first), await field.state(second)) == ("running", "finished")


async def test_a_report_is_durable_before_its_answer(each_field: Field) -> None:
    """The answer comes after the commit: another connection of the database sees the report."""
    field = each_field
    peer, action = await at_work(field)
    other = open_database(field.settings.database_url, field.clock)
    await other.start()
    try:
        await peer.close_with(action, "success")
        found = await other.report(lambda tx: attempts.find(tx, AttemptId(action)))
        assert found is not None
        assert found.state.value == "finished"
    finally:
        await other.close()
