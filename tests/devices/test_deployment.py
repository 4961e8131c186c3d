"""What a device is told to install, and what it has installed (http-ddi 5.3, 5.7, 5.8)."""

import re

import pytest

from overair.core.window import Window
from tests.devices.field import FILE_NAME, IMAGE, SOFTWARE, Field, Peer, token
from tests.serving import ask

SHA1, MD5, SHA256 = (
    re.compile("[0-9a-f]{40}"),
    re.compile("[0-9a-f]{32}"),
    re.compile("[0-9a-f]{64}"),
)


async def test_the_deployment_exactly(field: Field) -> None:
    """The document has the specified members, values and types, and no others."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    action, document = await peer.retrieve()
    module = document["deployment"]["chunks"][0]["artifacts"][0]["_links"]["download"]["href"]
    base = f"http://fota.example:8443{peer.base}/softwaremodules/"
    assert module.startswith(base)
    number = module.removeprefix(base).split("/")[0]
    assert number.isdigit()
    download = {"href": f"{base}{number}/artifacts/{FILE_NAME}"}
    md5sum = {"href": f"{base}{number}/artifacts/{FILE_NAME}.MD5SUM"}
    uuid = document["deployment"]["chunks"][0]["metadata"][0]["value"]
    assert document == {
        "id": str(action),
        "deployment": {
            "download": "forced",
            "update": "forced",
            "chunks": [
                {
                    "part": "os",
                    "name": SOFTWARE,
                    "version": "02",
                    "metadata": [{"key": "campaignId", "value": uuid}],
                    "artifacts": [
                        {
                            "filename": FILE_NAME,
                            "size": len(IMAGE),
                            "hashes": {
                                "sha1": field.image.sha1,
                                "md5": field.image.md5,
                                "sha256": field.image.sha256,
                            },
                            "_links": {
                                "download": download,
                                "download-http": download,
                                "md5sum": md5sum,
                                "md5sum-http": md5sum,
                            },
                        }
                    ],
                }
            ],
        },
    }
    assert SHA1.fullmatch(field.image.sha1)
    assert MD5.fullmatch(field.image.md5)
    assert SHA256.fullmatch(field.image.sha256)


async def test_action_ids_come_from_one_counter(field: Field) -> None:
    """Ids are numbers below 2^31, different for every attempt of every device."""
    await field.add(1, 2)
    await field.campaign(1)
    await field.campaign(2)
    first, second = await field.peer(1).fail(), (await field.peer(2).retrieve())[0]
    await field.wait(hours=2)
    third, _ = await field.peer(1).retrieve()
    assert len({first, second, third}) == 3
    assert all(0 < action < 2**31 for action in (first, second, third))


async def test_it_answers_without_a_tag_and_with_a_stale_one(field: Field) -> None:
    """`c` is only there to tell changes: any value, or none, gets the same document."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    action, document = await peer.retrieve()
    for query in ("", "?c=stale", "?c=", "?", "?c=1&c=2&x=%ff", "?actionHistory=0"):
        reply = await peer.get(f"/deploymentBase/{action}{query}")
        assert reply.json() == document, query


async def test_the_first_200_marks_it_retrieved(field: Field) -> None:
    """Offered until the deployment was given, retrieved from then on."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    action = await peer.offered()
    assert action is not None
    assert await field.state(action) == "offered"
    await peer.get(f"/deploymentBase/{action}", {"Accept": "text/html"})
    assert await field.state(action) == "offered"
    await peer.get(f"/deploymentBase/{action}")
    assert await field.state(action) == "retrieved"


async def test_nobody_else_s_action(field: Field) -> None:
    """Unknown, another device's, closed, cancelled or cancelling: 404."""
    await field.add(1, 2, 3, 4)
    campaign = await field.campaign(1, 3, 4)
    action, _ = await field.peer(1).retrieve()
    stranger = field.peer(2)
    for path in (f"/deploymentBase/{action}", f"/deploymentBase/{action + 1000}"):
        assert (await stranger.get(path)).status == 404
        assert (await stranger.ask("HEAD", path)).status == 404
    await field.peer(1).close_with(action, "failure")
    assert (await field.peer(1).get(f"/deploymentBase/{action}")).status == 404
    cancelling, _ = await field.peer(3).retrieve()
    offered = await field.peer(4).offered()
    await field.stop(campaign)
    assert (await field.peer(3).get(f"/deploymentBase/{cancelling}")).status == 404
    assert (await field.peer(4).get(f"/deploymentBase/{offered}")).status == 404
    await field.peer(3).say(cancelling, "closed", "success", about="cancelAction")
    assert (await field.peer(3).get(f"/deploymentBase/{cancelling}")).status == 404


async def test_an_action_that_is_called_off_meanwhile(field: Field) -> None:
    """A stopped campaign's offer is gone at once, before the engine has carried the stop on."""
    peer = await field.new_peer(1)
    campaign = await field.campaign(1)
    action = await peer.offered()
    await field.stop(campaign, carry_on=False)
    assert (await peer.get(f"/deploymentBase/{action}")).status == 404
    assert "deploymentBase" not in await peer.links()
    await field.carry_on()


async def test_a_configuration_file(field: Field) -> None:
    """Part config, the generated name, the file's version and where it belongs; the version stays."""
    peer = await field.new_peer(1)
    campaign = await field.file_campaign(1)
    action, document = await peer.retrieve()
    (chunk,) = document["deployment"]["chunks"]
    assert (chunk["part"], chunk["version"]) == ("config", "7")
    assert chunk["name"]
    assert {"key": "localTargetPath", "value": "/etc/acme"} in chunk["metadata"]
    assert (await peer.download(document)).body == b"a=1\n"
    await peer.close_with(action, "success")
    assert await peer.version() == "01"
    device = await peer.record()
    rows = await field.run(
        lambda tx: tx.all(
            "select name, version, kind from device_software where device_id = ?", (device.id,)
        )
    )
    assert [tuple(row) for row in rows] == [(chunk["name"], "7", "file")]
    assert await field.word(1, campaign) == ("UpgradeSuccess", "DownloadInstallSucceeded")


async def test_files_need_no_version(field: Field) -> None:
    """A configuration file goes to a device of any version."""
    peer = await field.new_peer(1, version="whatever")
    campaign = await field.file_campaign(1)
    assert (await field.word(1, campaign))[0] != "DeviceRejected"
    assert await peer.offered() is not None


async def test_action_history(field: Field) -> None:
    """With n the device's own texts, newest first, at most n and at most 100."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    action, document = await peer.retrieve()
    assert "actionHistory" not in document
    for number in range(0, 120, 2):
        await peer.say(action, "proceeding", "none", f"line {number}", f"line {number + 1}")
    newest = [f"line {n}" for n in reversed(range(120))]
    for query, expected in (
        ("1", 1),
        ("3", 3),
        ("100", 100),
        ("101", 100),
        ("999999999", 100),
        ("-1", 100),
        ("-50", 100),
    ):
        reply = await peer.get(f"/deploymentBase/{action}?c=x&actionHistory={query}")
        history = reply.json()["actionHistory"]
        assert history["messages"] == newest[:expected], query
        assert history["status"]
    for nonsense in ("", "0", "x", "--5", "%C2%B2", "1.5", "99999999999999999999", "+1"):
        reply = await peer.get(f"/deploymentBase/{action}?actionHistory={nonsense}")
        assert reply.status == 200, nonsense
        assert "actionHistory" not in reply.json(), nonsense


async def test_a_history_query_of_odd_bytes(field: Field) -> None:
    """Bytes that look like digits elsewhere are no number and no server error."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    action, _ = await peer.retrieve()
    path = f"{peer.base}/deploymentBase/{action}?actionHistory=".encode()
    for raw in (b"\xb2", b"\xd9\xa1", b"-" * 50 + b"1", b"9" * 5000):
        # By ASGI: granian itself refuses some of these bytes.
        answer = await ask(field.server, "GET", path + raw, headers=peer.headers)
        assert answer.status == 200


async def test_the_last_installation(field: Field) -> None:
    """installedBase has the deployment's form for the latest successful action, and no other."""
    await field.add(1, 2)
    peer = field.peer(1)
    await field.campaign(1)
    action, document = await peer.retrieve()
    assert (await peer.get(f"/installedBase/{action}")).status == 404
    await peer.close_with(action, "success")
    assert (await peer.get(f"/installedBase/{action}")).json() == document
    assert (await peer.get(f"/installedBase/{action + 1}")).status == 404
    assert (await field.peer(2).get(f"/installedBase/{action}")).status == 404
    await field.file_campaign(1)
    later = await peer_finishes(peer)
    assert (await peer.get(f"/installedBase/{later}")).status == 200
    assert (await peer.get(f"/installedBase/{action}")).status == 404


async def peer_finishes(peer: Peer) -> int:
    action, _ = await peer.retrieve()
    await peer.close_with(action, "success")
    return action


async def test_no_feedback_on_what_is_installed(field: Field) -> None:
    """installedBase takes no feedback, and hawkBit's report of what is installed is 405."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    action = await peer.succeed()
    assert (await peer.ask("POST", f"/installedBase/{action}/feedback")).status == 404
    assert (await peer.ask("PUT", "/installedBase", {}, b'{"name":"x"}')).status == 405


async def test_there_is_no_confirmation(field: Field) -> None:
    """Confirmation resources are 404, and never linked."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    assert "confirmationBase" not in await peer.links()
    for method, path in (
        ("GET", "/confirmationBase"),
        ("GET", "/confirmationBase/1"),
        ("POST", "/confirmationBase/1/feedback"),
        ("POST", "/confirmationBase/activateAutoConfirm"),
    ):
        assert (await peer.ask(method, path)).status == 404


@pytest.mark.parametrize("number", [1, 2])
async def test_another_account_s_device(field: Field, number: int) -> None:
    """An action is nobody's who comes through another account, with whatever token."""
    await field.set_account(alias="acme")
    other = await field.add_account("0000123456-00002", "globex")
    await field.forget_accounts()
    await field.add(1)
    await field.add(2, account=other)
    await field.campaign(1, download_windows=(Window(0, 24),))
    mine = field.peer(1)
    mine.tenant = "acme"
    action, _ = await mine.retrieve()
    stranger = field.peer(2, Authorization=f"TargetToken {token(number)}")
    stranger.tenant = "globex"
    reply = await stranger.get(f"/deploymentBase/{action}")
    assert reply.status == (404 if number == 2 else 401)
