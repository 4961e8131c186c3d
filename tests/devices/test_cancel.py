"""Cancelling an action, and who wins (http-ddi 5.6)."""

import pytest

from overair.core.ids import CampaignId
from tests.devices.field import Field, Peer

ABORTED = ("CampaignAborted", "Campaign aborted by user.")
CANCELLED = ("CampaignCancelled", "Campaign canceled by user.")
SUCCESS = ("UpgradeSuccess", "DownloadInstallSucceeded")


async def cancelling(field: Field, number: int = 1) -> tuple[Peer, int, CampaignId]:
    """A device at work, and its campaign stopped."""
    peer = await field.new_peer(number)
    campaign = await field.campaign(number)
    action = await peer.begin()
    await field.stop(campaign)
    assert await field.state(action) == "cancelling"
    return peer, action, campaign


async def test_the_cancel_resource(field: Field) -> None:
    """Both ids are the same string of digits; it is linked without a query string."""
    peer, action, _ = await cancelling(field)
    links = await peer.links()
    assert "deploymentBase" not in links
    assert links["cancelAction"] == f"http://fota.example:8443{peer.base}/cancelAction/{action}"
    reply = await peer.get(f"/cancelAction/{action}")
    assert reply.status == 200
    assert reply.json() == {"id": str(action), "cancelAction": {"stopId": str(action)}}


async def test_there_is_none_unless_it_is_cancelled(field: Field) -> None:
    """404 before, for others, and for what ended otherwise; 200 once it is cancelled too."""
    await field.add(1, 2)
    campaign = await field.campaign(1)
    peer, other = field.peer(1), field.peer(2)
    action, _ = await peer.retrieve()
    assert (await peer.get(f"/cancelAction/{action}")).status == 404
    await field.stop(campaign)
    assert (await peer.get(f"/cancelAction/{action}")).status == 200
    assert (await other.get(f"/cancelAction/{action}")).status == 404
    assert (await peer.get(f"/cancelAction/{action + 1}")).status == 404
    await peer.say(action, "closed", "success", about="cancelAction")
    assert (await peer.get(f"/cancelAction/{action}")).status == 200
    await field.add(3)
    await field.campaign(3)
    done = await field.peer(3).succeed()
    assert (await field.peer(3).get(f"/cancelAction/{done}")).status == 404


@pytest.mark.parametrize("finished", ["success", "none"])
async def test_acknowledged(each_field: Field, finished: str) -> None:
    """`closed` with anything but failure: cancelled, and nothing is linked."""
    field = each_field
    peer, action, campaign = await cancelling(field)
    reply = await peer.say(action, "closed", finished, about="cancelAction")
    assert (reply.status, reply.body) == (200, b"")
    assert await field.state(action) == "cancelled"
    assert set(await peer.links()) == {"configData"}
    assert await field.word(1, campaign) == ABORTED
    again = await peer.say(action, "closed", finished, about="cancelAction")
    assert again.status == 200  # it is what it is
    assert (await peer.say(action, "closed", "success")).status == 410


@pytest.mark.parametrize(
    ("execution", "finished"),
    [("rejected", "none"), ("rejected", "success"), ("closed", "failure")],
)
async def test_refused(each_field: Field, execution: str, finished: str) -> None:
    """A refused cancel: back to running, linked again, recorded; and then it may succeed."""
    field = each_field
    peer, action, campaign = await cancelling(field)
    reply = await peer.say(action, execution, finished, "busy", about="cancelAction")
    assert reply.status == 200
    assert await field.state(action) == "running"
    assert (await field.attempt(action)).cancel_refused_at is not None
    assert await peer.offered() == action
    assert (await peer.get(f"/cancelAction/{action}")).status == 404
    _, document = await peer.retrieve()
    assert (await peer.download(document)).status == 200
    await peer.close_with(action, "success")
    assert await field.word(1, campaign) == SUCCESS
    assert await peer.version() == "02"


async def test_other_words_are_notes(field: Field) -> None:
    """Anything else about the cancel is kept and changes nothing."""
    peer, action, _ = await cancelling(field)
    for execution in ("proceeding", "scheduled", "resumed", "canceled", "download", "downloaded"):
        assert (await peer.say(action, execution, "success", about="cancelAction")).status == 200
        assert await field.state(action) == "cancelling"
    assert (await field.messages(action))[0].execution == "downloaded"
    assert (await field.attempt(action)).downloaded_at is None


@pytest.mark.parametrize(
    ("execution", "finished"),
    [("closed", "success"), ("closed", "failure"), ("rejected", "none"), ("proceeding", "none")],
)
async def test_a_cancel_that_nobody_asked_for(field: Field, execution: str, finished: str) -> None:
    """Feedback on a cancellation that there is not is 404, and changes nothing."""
    await field.add(1, 2, 3)
    await field.campaign(1, 2)
    running = await field.peer(1).begin()
    offered = await field.peer(2).offered()
    assert offered is not None
    for peer, action, state in (
        (field.peer(1), running, "running"),
        (field.peer(2), offered, "offered"),
        (field.peer(3), running, "running"),
        (field.peer(1), 99999, None),
    ):
        reply = await peer.say(action, execution, finished, about="cancelAction")
        assert reply.status == 404
        if state:
            assert await field.state(action) == state
    done = await field.peer(1).say(running, "closed", "success")
    assert done.status == 200
    assert (
        await field.peer(1).say(running, execution, finished, about="cancelAction")
    ).status == 404


@pytest.mark.parametrize(
    ("finished", "state", "word"),
    [
        ("success", "finished", SUCCESS),
        ("none", "finished", SUCCESS),
        ("failure", "failed", ABORTED),
    ],
)
async def test_the_device_was_faster(
    each_field: Field, finished: str, state: str, word: tuple[str, str]
) -> None:
    """Messages still arrive while cancelling, and a `closed` on the deployment ends it."""
    field = each_field
    peer, action, campaign = await cancelling(field)
    for execution in ("proceeding", "download", "downloaded"):
        assert (await peer.say(action, execution)).status == 200
        assert await field.state(action) == "cancelling"
    await peer.close_with(action, finished)
    assert await field.state(action) == state
    assert await field.word(1, campaign) == word
    assert "cancelAction" not in await peer.links()
    assert (await peer.say(action, "closed", "success", about="cancelAction")).status == 404


async def test_acknowledged_after_it_has_installed(field: Field) -> None:
    """SWUpdate acknowledges even after its installation: cancelled, the version stays unknown."""
    peer, action, campaign = await cancelling(field)
    await peer.say(action, "proceeding", "none", "All Chunks Installed.")
    await peer.say(action, "closed", "success", about="cancelAction")
    assert await field.word(1, campaign) == ABORTED
    assert await peer.version() == "01"


async def test_a_download_that_ends_meanwhile_is_not_forgotten(field: Field) -> None:
    """Refused after its download was complete, a failure is one of the installation."""
    peer = await field.new_peer(1)
    campaign = await field.campaign(1)
    action, document = await peer.retrieve()
    await field.stop(campaign)
    await peer.download(document)
    await peer.say(action, "rejected", about="cancelAction")
    assert (await field.attempt(action)).downloaded_at is not None
    await peer.close_with(action, "failure")
    await peer.poll()
    assert (await peer.check_ins())[0].failure_type == "Install"


async def test_before_it_was_retrieved_it_is_cancelled_at_once(each_field: Field) -> None:
    """Nobody is asked who has not seen the action: no cancel link, and no deployment."""
    field = each_field
    peer = await field.new_peer(1)
    campaign = await field.campaign(1)
    action = await peer.offered()
    assert action is not None
    await field.stop(campaign)
    assert await field.state(action) == "cancelled"
    assert set(await peer.links()) == {"configData"}
    assert await field.word(1, campaign) == ABORTED
    assert (await peer.get(f"/cancelAction/{action}")).status == 200


async def test_before_the_campaign_s_start(field: Field) -> None:
    """A campaign that is stopped before its start was never shown to anybody."""
    peer = await field.new_peer(1)
    campaign = await field.campaign(1, start=2)
    assert await peer.offered() is None
    await field.stop(campaign)
    assert await field.word(1, campaign) == CANCELLED
    assert await peer.offered() is None


async def test_a_device_that_never_answers(each_field: Field) -> None:
    """At the campaign's end date an unanswered cancel is taken as done."""
    field = each_field
    peer, action, _ = await cancelling(field)
    await field.wait(days=5)
    assert await field.state(action) == "cancelling"
    assert "cancelAction" in await peer.links()
    await field.wait(days=1)
    assert await field.state(action) == "cancelled"
    assert "cancelAction" not in await peer.links()


async def test_a_cancelled_device_is_free_for_the_next_campaign(field: Field) -> None:
    """After its answer the device gets the next campaign's action; never two at once."""
    peer, action, _ = await cancelling(field)
    await field.campaign(1)
    assert "cancelAction" in await peer.links()
    assert "deploymentBase" not in await peer.links()
    await peer.say(action, "closed", "success", about="cancelAction")
    later = await peer.offered()
    assert later is not None
    assert later != action
