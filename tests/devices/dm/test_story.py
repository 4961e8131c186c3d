"""A whole update over real sockets, in both encodings (oma-dm 2)."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from overair.config import OmadmModel
from overair.protocols.syncml.codec import Form
from tests.devices.dm.modem import EXEC, ROOT, URL, VERSION, WBXML, XML, header_status
from tests.devices.dm.yard import FIRMWARE, IMAGE, Yard, open_yard

FORMS = pytest.mark.parametrize("form", [XML, WBXML], ids=["xml", "wbxml"])
DD = "{http://www.openmobilealliance.org/xmlns/dd}"


@FORMS
async def test_the_whole_story(each_yard: Yard, form: Form) -> None:
    """Notified, let in, commanded, downloaded, reported, verified: the upgrade has succeeded."""
    yard = each_yard
    modem = await yard.modem(1, form)
    campaign = await yard.campaign(1)
    assert await yard.place(1, campaign) == ("pending", "notified")

    # Steps 2 to 5: a session that ends with the Exec.
    await modem.session(code=1200)
    assert modem.seen == [
        f"Get {VERSION}",
        "Get ./FwUpdate",
        *modem.seen[2:-2],
        f"Replace {URL}",
        f"Exec {EXEC}",
    ]
    attempt = await yard.attempt(1)
    assert attempt.state.value == "running"
    assert modem.correlator

    # Step 6: descriptor, package, install notification.
    reply = await modem.fetch(modem.url)
    assert (reply.status, reply.header("content-type")) == (200, "application/vnd.oma.dd+xml")
    told = {child.tag.removeprefix(DD): child.text or "" for child in ET.fromstring(reply.body)}
    assert (told["size"], told["name"], told["version"]) == (str(len(IMAGE)), FIRMWARE, "02")
    package = await modem.fetch(told["objectURI"])
    assert (package.status, package.body) == (200, IMAGE)
    assert package.header("content-type") == told["type"]
    notified = await modem.fetch(told["installNotifyURI"], "POST", b"900 Success")
    assert (notified.status, notified.body) == (200, b"")
    assert await yard.state(1) == "downloaded"
    assert await yard.place(1, campaign) == ("pending", "not_installed_yet")

    # Steps 7 and 8: the result in a session of its own, and the version that proves it.
    modem.tree[VERSION] = "02"
    over = await modem.session(modem.result(200))
    assert header_status(over).code in (200, 212)
    assert modem.seen == [f"Get {VERSION}"]
    assert await yard.place(1, campaign) == ("succeeded", "success")
    assert await yard.state(1) == "finished"
    assert await yard.version(1) == "02"
    # What it downloaded from is closed with its attempt.
    assert (await modem.fetch(told["objectURI"])).status == 410
    assert (await modem.fetch(modem.url)).status == 410


async def test_what_the_device_is_goes_beside_what_the_operator_says(each_yard: Yard) -> None:
    """DevInfo and DevDetail become attributes; make and model of the record stay, FwV is its version."""
    modem = await each_yard.modem(1, tree={VERSION: "01.5"})
    await modem.session()
    assert await each_yard.version(1) == "01.5"
    told = await each_yard.attributes(1)
    assert told == {
        "Man": "Acme",
        "Mod": "M1",
        "DmV": "1.2",
        "Lang": "en-US",
        "SwV": "sw-7",
        "HwV": "B2",
        "LrgObj": "true",
        "FumoRoot": ROOT,
        "FumoState": "10",
    }
    device = (await each_yard.field.peer(1).record()).id
    row = await each_yard.field.run(
        lambda tx: tx.one("select make, model from device where id = ?", (device,))
    )
    assert row == ("Acme", "X1")


async def test_a_session_is_a_check_in(yard: Yard) -> None:
    """A device that opened a session was seen."""
    modem = await yard.modem(1)
    await modem.session()
    (seen,) = await yard.field.peer(1).check_ins()
    assert (seen.at, seen.result) == (yard.field.clock.now(), "Success")


async def test_a_device_of_its_own_accord_is_served_at_once(each_yard: Yard) -> None:
    """Who comes by itself while a campaign wants it is given the command there and then."""
    modem = await each_yard.modem(1)
    campaign = await each_yard.campaign(1)
    await modem.session(code=1201)
    assert modem.wanted == EXEC
    assert await each_yard.state(1) == "running"
    # It comes again while it works, and is left alone.
    modem.tree[f"{ROOT}/State"] = "30"
    modem.wanted = ""
    await modem.session()
    assert modem.wanted == ""
    assert await each_yard.place(1, campaign) == ("pending", "notified")


async def test_a_failure_is_queued_and_tried_again(each_yard: Yard) -> None:
    """A report of failure ends the attempt; after the pause the next session is the next try."""
    modem = await each_yard.modem(1)
    campaign = await each_yard.campaign(1)
    await modem.session()
    first = modem.correlator
    await modem.session(modem.result(410))
    assert modem.seen == [f"Get {VERSION}"]
    attempt = await each_yard.attempt(1)
    assert (attempt.state.value, attempt.number) == ("failed", 1)
    assert (410, "download and update") in await each_yard.told(1)
    modem.wanted = ""
    await modem.session()
    assert modem.wanted == ""
    await each_yard.wait(seconds=901)
    await modem.session()
    assert modem.wanted == EXEC
    assert modem.correlator != first
    assert (await each_yard.attempt(1)).number == 2
    assert (await each_yard.place(1, campaign))[0] == "pending"


async def test_a_report_that_was_lost(each_yard: Yard) -> None:
    """A device that shows the target version has succeeded, whatever it says of it."""
    modem = await each_yard.modem(1)
    campaign = await each_yard.campaign(1)
    await modem.session()
    modem.tree[VERSION] = "02"
    await modem.session()
    assert await each_yard.place(1, campaign) == ("succeeded", "success")
    # Its report, late, changes nothing.
    await modem.session(modem.result(410))
    assert await each_yard.place(1, campaign) == ("succeeded", "success")


async def test_a_report_of_an_unknown_attempt(yard: Yard) -> None:
    """It is acknowledged and changes nothing."""
    modem = await yard.modem(1)
    campaign = await yard.campaign(1)
    reply = await modem.begin(modem.result(410, correlator="c-of-somebody"))
    assert [s.code for s in reply.commands if hasattr(s, "code")][1:] == [200, 200, 200]
    assert await yard.place(1, campaign) == ("pending", "notified")
    assert await yard.state(1) == "offered"
    assert await yard.told(1) == []


@pytest.mark.parametrize("code", [200, 255, 410])
async def test_a_report_of_an_earlier_attempt(yard: Yard, code: int) -> None:
    """It is about the attempt that it names, and not about the one that is under way."""
    modem = await yard.modem(1)
    campaign = await yard.campaign(1)
    await modem.session()
    first = modem.correlator
    await modem.session(modem.result(410))
    await yard.wait(seconds=901)
    await modem.session()
    before = await yard.attempt(1)
    assert (before.state.value, before.number) == ("running", 2)
    await modem.session(modem.result(code, correlator=first))
    assert await yard.attempt(1) == before
    assert await yard.place(1, campaign) == ("pending", "notified")
    # Nor does it keep the device from telling how that went.
    await modem.session(modem.result(410))
    assert await yard.place(1, campaign) == ("pending", "retry_queued")


async def test_a_report_without_a_command(yard: Yard) -> None:
    """One that names no attempt is about the one that was given a command; before that it is about none."""
    modem = await yard.modem(1)
    campaign = await yard.campaign(1)
    await modem.begin(modem.result(410, correlator=""))
    assert await yard.place(1, campaign) == ("pending", "notified")
    modem.session_id = "7"
    await modem.session()
    assert await yard.state(1) == "running"
    await modem.session(modem.result(410, correlator=""))
    assert await yard.place(1, campaign) == ("pending", "retry_queued")


async def test_direct_delivery_is_a_setting_of_the_model(tmp_path: Path) -> None:
    """With ``direct`` the device is sent to the package itself."""
    models = {"Acme X1": OmadmModel(delivery="direct")}
    async with open_yard(tmp_path, omadm={"models": models}) as yard:
        modem = await yard.modem(1)
        await yard.campaign(1)
        await modem.session()
        reply = await modem.fetch(modem.url)
        assert (reply.status, reply.body) == (200, IMAGE)


async def test_the_package_inside_the_session(tmp_path: Path) -> None:
    """With ``data`` the package goes to the device in pieces, and no address is told."""
    models = {"Acme X1": OmadmModel(method="data", fumo_root=ROOT)}
    async with open_yard(tmp_path, omadm={"models": models}) as yard:
        modem = await yard.modem(1, WBXML)
        await yard.campaign(1)
        await modem.session()
        assert modem.data == IMAGE
        assert modem.wanted == f"{ROOT}/Update"
        assert URL not in modem.tree
