"""The DM bootstrap message: the account as a subtree, added node by node (oma-dm 12)."""

from dataclasses import replace
from xml.etree import ElementTree

from overair.protocols.syncml.bootstrap import bootstrap_message, bootstrap_wbxml
from overair.protocols.syncml.codec import MediaType, decode
from overair.protocols.syncml.message import Add, Message
from tests.protocols.syncml.libwbxml import needed, to_xml
from tests.protocols.syncml.test_provisioning import ACCOUNT

DEVICE = "IMEI:004999010640000"


def nodes(message: Message) -> dict[str, tuple[str | None, str | bytes | None]]:
    """Format and value of each node, in the order in which they are added."""
    found = {}
    for command in message.commands:
        assert isinstance(command, Add)
        (item,) = command.items
        assert item.target is not None
        assert item.meta is not None
        found[item.target.uri] = (item.meta.format, item.data)
    assert len(found) == len(message.commands)
    return found


def test_the_whole_account() -> None:
    """Everything that the device needs stands where the standard object has it."""
    found = nodes(bootstrap_message(ACCOUNT, DEVICE, "fota"))
    root = "./DMAcc/fota"
    leaves = {uri: value for uri, (form, value) in found.items() if form != "node"}
    assert leaves == {
        f"{root}/AppID": "w7",
        f"{root}/ServerID": "fota",
        f"{root}/Name": "Firmware updates",
        f"{root}/AppAddr/1/Addr": "http://127.0.0.1/dm",
        f"{root}/AppAddr/1/AddrType": "URI",
        f"{root}/AppAddr/1/Port/1/PortNbr": "8099",
        f"{root}/AAuthPref": "DIGEST",
        f"{root}/AppAuth/1/AAuthLevel": "CLCRED",
        f"{root}/AppAuth/1/AAuthType": "DIGEST",
        f"{root}/AppAuth/1/AAuthName": "dev1",
        f"{root}/AppAuth/1/AAuthSecret": "devsecret1",
        f"{root}/AppAuth/1/AAuthData": b"clientnonce-0001",
        f"{root}/AppAuth/2/AAuthLevel": "SRVCRED",
        f"{root}/AppAuth/2/AAuthType": "HMAC",
        f"{root}/AppAuth/2/AAuthName": "fota",
        f"{root}/AppAuth/2/AAuthSecret": "srvsecret1",
    }


def test_parents_are_added_first() -> None:
    """No client has to make a node by itself; without a port there is none."""
    for account in (ACCOUNT, replace(ACCOUNT, port=None)):
        found = nodes(bootstrap_message(account, DEVICE, "fota"))
        there = {"./DMAcc"}
        for uri in found:
            assert uri.rpartition("/")[0] in there
            there.add(uri)
        assert any("Port" in uri for uri in found) is (account.port is not None)


def test_it_is_one_message_to_the_device() -> None:
    """It is WBXML, from the server to the device, and complete."""
    body = bootstrap_wbxml(ACCOUNT, DEVICE, "fota")
    message, _ = decode(body, MediaType.WBXML)
    assert message == bootstrap_message(ACCOUNT, DEVICE, "fota")
    assert (message.header.target.uri, message.header.source.uri) == (DEVICE, "fota")
    assert message.final


@needed
def test_someone_else_reads_the_message() -> None:
    """libwbxml finds the same nodes in it."""
    told = to_xml(bootstrap_wbxml(ACCOUNT, DEVICE, "fota")).partition(b"<SyncML")
    root = ElementTree.fromstring(b"".join(told[1:]))
    uris = [element.text for element in root.iter() if element.tag.endswith("LocURI")][2:]
    assert uris == list(nodes(bootstrap_message(ACCOUNT, DEVICE, "fota")))
