"""The specification's messages, byte for byte, in both encodings (oma-dm 17)."""

import pytest

from overair.protocols.syncml.codec import Form, MediaType, decode, encode
from overair.protocols.syncml.codes import AlertCode, StatusCode
from overair.protocols.syncml.fumo import AlertType, alert_type, result_code
from overair.protocols.syncml.message import (
    Alert,
    Exec,
    Get,
    Header,
    Item,
    Location,
    Message,
    Replace,
    Results,
    Status,
)
from tests.protocols.syncml.vectors import IN_OUR_ORDER, NAMES, wbxml, xml

SERVER = "http://127.0.0.1:8099/dm"
DEVICE = "IMEI:004999010640000"


def message(name: str) -> Message:
    """Read a message from its XML."""
    return decode(xml(name), MediaType.XML)[0]


@pytest.mark.parametrize("name", NAMES)
def test_xml_and_wbxml_say_the_same(name: str) -> None:
    """The two encodings of a message are read as the same message."""
    assert decode(wbxml(name), MediaType.WBXML) == (message(name), Form())


@pytest.mark.parametrize("name", IN_OUR_ORDER)
def test_messages_are_written_in_xml_byte_for_byte(name: str) -> None:
    """A message is written as the specification has it."""
    assert encode(message(name), Form(media_type=MediaType.XML)) == xml(name)


@pytest.mark.parametrize("name", IN_OUR_ORDER)
def test_messages_are_written_in_wbxml_byte_for_byte(name: str) -> None:
    """A message is written as the specification, or else an independent encoder, has it."""
    assert encode(message(name), Form()) == wbxml(name)


def test_the_exec_of_the_specification() -> None:
    """M5, made from values, is the 240 bytes of section 17.5."""
    exec_ = Message(
        header=Header(
            session_id="B7", msg_id=3, target=Location(uri=DEVICE), source=Location(uri=SERVER)
        ),
        commands=(
            Status(
                cmd_id="1",
                msg_ref="3",
                cmd_ref="0",
                cmd="SyncHdr",
                target_refs=(SERVER,),
                source_refs=(DEVICE,),
                code=StatusCode.AUTHENTICATED,
            ),
            Exec(
                cmd_id="2",
                correlator="c-7f3a",
                item=Item(target=Location(uri="./FwUpdate/pkg/DownloadAndUpdate")),
            ),
        ),
        final=True,
    )
    assert encode(exec_, Form()) == wbxml("m5")
    assert len(wbxml("m5")) == 240
    assert encode(exec_, Form(media_type=MediaType.XML)) == xml("m5")


def test_package_1() -> None:
    """M1 is read as the device's identity, its credentials, an alert and its DevInfo."""
    read = message("m1")
    assert read.header.session_id == "B7"
    assert read.header.msg_id == 1
    assert read.header.source == Location(uri=DEVICE, name="dev1")
    assert read.header.target == Location(uri=SERVER)
    assert read.header.meta is not None
    assert read.header.meta.max_msg_size == 16384
    assert read.header.cred is not None
    assert read.header.cred.data == "mpEvbGT7hseAEbznuqwTTw=="
    alert, replace = read.commands
    assert alert == Alert(cmd_id="1", code=AlertCode.SERVER_INITIATED)
    assert isinstance(replace, Replace)
    assert {item.source.uri: item.data for item in replace.items if item.source} == {
        "./DevInfo/DevId": DEVICE,
        "./DevInfo/Man": "Acme",
        "./DevInfo/Mod": "M1",
        "./DevInfo/DmV": "1.2",
        "./DevInfo/Lang": "en-US",
    }
    assert read.final


def test_package_2() -> None:
    """M2 has a challenge in its first status, and two Gets."""
    status, _, _, version, state = message("m2").commands
    assert isinstance(status, Status)
    assert status.chal is not None
    assert status.chal.meta.next_nonce == "Y2xpZW50bm9uY2UtMDAwMg=="
    assert status.code == StatusCode.AUTHENTICATED
    assert version == Get(cmd_id="4", items=(Item(target=Location(uri="./DevDetail/FwV")),))
    assert isinstance(state, Get)


def test_package_3() -> None:
    """M3 answers the Gets with Results that name them."""
    version, state = (c for c in message("m3").commands if isinstance(c, Results))
    assert (version.msg_ref, version.cmd_ref) == ("1", "4")
    assert [item.data for item in version.items + state.items] == ["1.0.0", "10"]


def test_a_result() -> None:
    """R1 reports the result of an Exec under its correlator."""
    alert = message("r1").commands[2]
    assert isinstance(alert, Alert)
    assert alert.code == AlertCode.GENERIC
    assert alert.correlator == "c-7f3a"
    (item,) = alert.items
    assert item.meta is not None
    assert item.meta.type is not None
    assert alert_type(item.meta.type) is AlertType.DOWNLOAD_AND_UPDATE
    assert result_code(item.data) == 200
