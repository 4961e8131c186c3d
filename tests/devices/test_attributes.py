"""Attributes, and what of the device record they fill (http-ddi 5.2, 8)."""

import json
from pathlib import Path
from typing import Any

import pytest

from overair.core.credentials import fingerprint
from overair.engine import inventory
from tests.devices.field import Field, Peer, Reply, imei, open_field

JSON = {"Content-Type": "application/json"}


async def put(peer: Peer, document: Any) -> Reply:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return await peer.ask("PUT", "/configData", JSON, body)


async def facts(peer: Peer) -> tuple[str, str, str, str]:
    """Make, model, MDN and version on record."""
    device = await peer.record()
    row = await peer.field.run(
        lambda tx: tx.one("select make, model, mdn, version from device where id = ?", (device.id,))
    )
    assert row is not None
    return tuple(row)


async def test_modes(peer: Peer) -> None:
    """Merge adds and replaces, replace keeps nothing else, remove takes away; merge is default."""
    for document, expected in (
        ({"data": {"a": "1", "b": "2"}}, {"a": "1", "b": "2"}),
        ({"mode": "merge", "data": {"b": "3", "c": "4"}}, {"a": "1", "b": "3", "c": "4"}),
        ({"mode": None, "data": {"a": None}}, {"b": "3", "c": "4"}),
        ({"mode": "remove", "data": {"b": "whatever", "x": ""}}, {"c": "4"}),
        ({"mode": "replace", "data": {"z": "9", "y": None}}, {"z": "9"}),
    ):
        assert (await put(peer, document)).status == 200
        assert await peer.attributes() == expected


async def test_numbers_and_booleans_are_taken_as_their_text(peer: Peer) -> None:
    """Values that are no strings become what was written."""
    assert (await put(peer, b'{"data": {"n": 1.10, "i": 7, "t": true, "f": false}}')).status == 200
    assert await peer.attributes() == {"n": "1.10", "i": "7", "t": "true", "f": "false"}


async def test_left_overs_of_older_protocols_are_ignored(peer: Peer) -> None:
    """`id`, `time` and `status`, which C clients still send, are noise."""
    document = {
        "id": "",
        "time": "20260102T030405",
        "status": {"result": {"finished": "success"}, "execution": "closed", "details": [""]},
        "data": {"hw": "2"},
    }
    assert (await put(peer, document)).status == 200
    assert await peer.attributes() == {"hw": "2"}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"data": {}},
        {"data": None},
        {"data": []},
        {"data": "x"},
        {"mode": "merge"},
        {"mode": "MERGE", "data": {"a": "1"}},
        {"mode": 1, "data": {"a": "1"}},
        {"data": {"a": {}}},
        {"data": {"a": ["1"]}},
        {"data": {"": "1"}},
        {"data": {"k" * 129: "1"}},
        {"data": {"a": "v" * 1025}},
        [],
        "text",
        b"",
        b"{",
        b"null",
        b"\xff",
        b"[" * 5000,
        b'{"data":' * 3000,
    ],
)
async def test_anything_else_is_refused(peer: Peer, document: Any) -> None:
    """What is no attributes is 400, and nothing of it is kept."""
    assert (await put(peer, document)).status == 400
    assert await peer.attributes() == {}
    assert "configData" in await peer.links()


async def test_limits_of_keys_and_values(peer: Peer) -> None:
    """Keys of 128 and values of 1024 characters are kept whole."""
    data = {"k" * 128: "v" * 1024, "ü" * 128: "ß" * 1024}
    assert (await put(peer, {"data": data})).status == 200
    assert await peer.attributes() == data


async def test_a_hundred_attributes_and_no_more(each_field: Field) -> None:
    """The hundred-first is 429, whether sent at once or later, and nothing of that is kept."""
    peer = await each_field.new_peer(1)
    hundred = {f"k{n}": str(n) for n in range(100)}
    assert (await put(peer, {"data": hundred | {"more": "1"}})).status == 429
    assert await peer.attributes() == {}
    assert (await put(peer, {"data": hundred})).status == 200
    assert (await put(peer, {"data": {"k1": "changed", "more": "1"}})).status == 429
    assert await peer.attributes() == hundred
    assert (await put(peer, {"data": {"k0": None, "more": "1"}})).status == 200
    assert len(await peer.attributes()) == 100


async def test_unasked_attributes_are_taken(peer: Peer) -> None:
    """SWUpdate sends its attributes at each start: 200 each time, and none are wanted after."""
    for _ in range(3):
        assert (await put(peer, {"data": {"hw": "2"}})).status == 200
        assert "configData" not in await peer.links()


async def test_attributes_fill_the_device_record(peer: Peer) -> None:
    """make, model, mdn and version, in any case, are the record's."""
    assert (
        await put(peer, {"data": {"MAKE": "Beta", "Model": "Y", "mdn": "555", "Version": "7"}})
    ).status == 200
    assert await facts(peer) == ("Beta", "Y", "555", "7")
    assert (await put(peer, {"data": {"hw": "2"}})).status == 200
    assert await facts(peer) == ("Beta", "Y", "555", "7")


@pytest.mark.parametrize("name", ["firmware", "fw_version", "sw_version", "FW_Version"])
async def test_aliases_of_the_version(peer: Peer, name: str) -> None:
    """Other names by which clients tell their version."""
    assert (await put(peer, {"data": {name: "1.9"}})).status == 200
    assert (await facts(peer))[3] == "1.9"


async def test_names_can_be_set(tmp_path: Path) -> None:
    """An installation's own attribute names fill the record too."""
    async with open_field(tmp_path, attribute_names={"Rel": "version", "oem": "make"}) as field:
        peer = await field.new_peer(1)
        assert (await put(peer, {"data": {"REL": "5", "oem": "Gamma"}})).status == 200
        assert await facts(peer) == ("Gamma", "X1", "", "5")


async def test_an_empty_or_removed_attribute_leaves_the_record(peer: Peer) -> None:
    """Taking an attribute away does not make the record forget what it knows."""
    assert (await put(peer, {"data": {"version": "7"}})).status == 200
    for document in (
        {"data": {"version": None}},
        {"data": {"version": ""}},
        {"mode": "remove", "data": {"version": "8"}},
        {"mode": "replace", "data": {"hw": "1"}},
    ):
        assert (await put(peer, document)).status == 200
        assert (await facts(peer))[3] == "7"


async def test_a_known_device_keeps_its_imei(peer: Peer) -> None:
    """A device that is known by its IMEI cannot become another one."""
    assert (await put(peer, {"data": {"imei": imei(2)}})).status == 200
    assert (await peer.record()).imei == imei(1)


async def test_a_gateway_s_device_tells_its_imei(each_field: Field) -> None:
    """A device that was registered under another name may fill in an IMEI that nobody has."""
    field = each_field
    await field.set_account(gateway_token_hash=fingerprint("g"), auto_register=True)
    await field.add(1)
    peer = field.peer(2, "board-0011", Authorization="GatewayToken g")
    for told, expected in (
        ("nonsense", "board-0011"),
        (imei(1), "board-0011"),
        (imei(2), imei(2)),
        (imei(3), imei(2)),
    ):
        assert (await put(peer, {"data": {"IMEI": told}})).status == 200
        assert (await peer.record()).imei == expected


async def test_the_reported_version_is_what_campaigns_check(field: Field) -> None:
    """A device that reports another version than the package's is rejected."""
    peer = await field.new_peer(1)
    await peer.send_attributes(version="00")
    campaign = await field.campaign(1)
    assert await field.word(1, campaign) == (
        "DeviceRejected",
        "Current device software version does not meet software prerequisites.",
    )


async def test_success_sets_the_version_until_the_device_says_otherwise(field: Field) -> None:
    """A finished action sets the target version; what the device reports later counts."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    await peer.succeed()
    assert await peer.version() == "02"
    await peer.send_attributes(version="01-fallback")
    assert await peer.version() == "01-fallback"


async def test_text_that_no_database_takes_is_mended(each_field: Field) -> None:
    """NUL and broken text in names and values are replaced, not an error."""
    peer = await each_field.new_peer(1)
    assert (await put(peer, b'{"data": {"a\\u0000": "x\\u0000\\ud800\xff"}}')).status == 200
    assert await peer.attributes() == {"a\ufffd": "x\ufffd\ufffd\ufffd"}


async def test_attributes_are_asked_for_again_on_request(each_field: Field) -> None:
    """A device that has said what it is is not asked, until somebody wants to know anew."""
    peer = await each_field.new_peer(1)
    assert (await put(peer, {"data": {"version": "01"}})).status == 200
    assert "configData" not in await peer.links()
    device = await peer.record()
    await each_field.run(lambda tx: inventory.ask_again(tx, device.id, each_field.clock.now()))
    assert "configData" in await peer.links()
    assert (await put(peer, {"data": {"version": "02"}})).status == 200
    assert "configData" not in await peer.links()
