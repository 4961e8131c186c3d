"""Messages of real clients: what is missing, out of order, or unknown (oma-dm 4, 15, 19)."""

from typing import Any

import pytest

from overair.protocols.syncml.codec import Form, MediaType, decode, encode, media_type
from overair.protocols.syncml.message import (
    Add,
    Alert,
    Atomic,
    Chal,
    Command,
    Copy,
    Cred,
    Delete,
    Exec,
    Get,
    Header,
    Item,
    Location,
    Message,
    Meta,
    Replace,
    Results,
    Sequence,
    Status,
    Unsupported,
    command_name,
)
from overair.protocols.syncml.values import MalformedError, SyncmlLimits, UnencodableError

HEADER = "<SessionID>1</SessionID><MsgID>1</MsgID><Source><LocURI>IMEI:1</LocURI></Source>"


def message(body: str, header: str = HEADER) -> Message:
    """Read a message with this body."""
    text = f"<SyncML><SyncHdr>{header}</SyncHdr><SyncBody>{body}</SyncBody></SyncML>"
    return decode(text.encode(), MediaType.XML)[0]


def command(body: str) -> Command:
    """Read the one command of a body."""
    (read,) = message(body).commands
    return read


def opaque(data: bytes, item_format: str = "", command_format: str = "") -> object:
    """Return an Item's data as it is read when WBXML carried it opaque."""

    def meta(text: str) -> bytes:
        return b"\x5a\x00\x01\x47\x03" + text.encode() + b"\x00\x01\x00\x00\x01" if text else b""

    document = b"".join(
        [
            b"\x02\xa4\x01\x6a\x00\x6d\x6c\x65\x031\x00\x01\x5b\x031\x00\x01\x01\x6b\x60",
            meta(command_format),
            b"\x54" + meta(item_format) + b"\x4f\xc3" + bytes([len(data)]) + data,
            b"\x01\x01\x01\x01\x01",
        ]
    )
    (replace,) = decode(document, MediaType.WBXML)[0].commands
    assert isinstance(replace, Replace)
    return replace.items[0].data


@pytest.mark.parametrize(
    "document",
    [
        "<SyncMl/>",
        "<SyncML/>",
        "<SyncML><SyncBody/></SyncML>",
        "<SyncML><SyncHdr/></SyncML>",
        "<SyncML><SyncHdr><SessionID>1</SessionID></SyncHdr></SyncML>",
        "<SyncML><SyncHdr><MsgID>1</MsgID></SyncHdr></SyncML>",
        "<SyncML><SyncHdr><SessionID> </SessionID><MsgID>1</MsgID></SyncHdr></SyncML>",
        "<SyncML><SyncHdr><SessionID>12345678901234567</SessionID><MsgID>1</MsgID></SyncHdr></SyncML>",
        "<SyncML><SyncHdr><SessionID>1</SessionID><MsgID>one</MsgID></SyncHdr></SyncML>",
        "<SyncML><SyncHdr><SessionID>1</SessionID><MsgID>-1</MsgID></SyncHdr></SyncML>",
        "<SyncML><SyncHdr><SessionID>1</SessionID><MsgID>1234567890</MsgID></SyncHdr></SyncML>",
        "<SyncML><SyncHdr><SessionID>1</SessionID><MsgID>\u0661</MsgID></SyncHdr></SyncML>",
    ],
)
def test_what_cannot_be_answered_is_refused(document: str) -> None:
    """Without SyncML, SyncHdr, a session id and a message number there is no message."""
    with pytest.raises(MalformedError):
        decode(document.encode(), MediaType.XML)


def test_the_least_message() -> None:
    """A session id and a message number are enough to be answered."""
    body = b"<SyncML><SyncHdr><SessionID>1</SessionID><MsgID>1</MsgID></SyncHdr></SyncML>"
    nobody = Location(uri="")
    assert decode(body, MediaType.XML)[0] == Message(
        header=Header(
            ver_dtd="", ver_proto="", session_id="1", msg_id=1, target=nobody, source=nobody
        )
    )


def test_the_bound_on_session_ids_is_a_limit() -> None:
    """A setting moves it."""
    body = b"<SyncML><SyncHdr><SessionID>12345</SessionID><MsgID>1</MsgID></SyncHdr></SyncML>"
    with pytest.raises(MalformedError):
        decode(body, MediaType.XML, SyncmlLimits(session_id_chars=4))


def test_a_status_in_any_order() -> None:
    """Data before TargetRef, no CmdRef, and elements that nobody knows."""
    read = command(
        "<Status><Data>212</Data><TargetRef>a</TargetRef><New><Data>1</Data></New><Cmd>SyncHdr</Cmd>"
        "<MsgRef>1</MsgRef><CmdID>1</CmdID></Status>"
    )
    assert read == Status(
        cmd_id="1", msg_ref="1", cmd_ref="", cmd="SyncHdr", target_refs=("a",), code=212
    )


@pytest.mark.parametrize(
    "data", ["", "<Data/>", "<Data>ok</Data>", "<Data>0</Data>", "<Data>-1</Data>"]
)
def test_a_code_that_is_none_is_zero(data: str) -> None:
    """A status or alert without a number has the code 0, which is no success."""
    status = command(f"<Status><CmdID>1</CmdID>{data}</Status>")
    alert = command(f"<Alert><CmdID>1</CmdID>{data}</Alert>")
    assert isinstance(status, Status)
    assert isinstance(alert, Alert)
    assert (status.code, alert.code) == (0, 0)


def test_commands_that_lack_everything() -> None:
    """A command without its parts is there all the same, so that it can be answered 412."""
    read = message(
        "<Get/><Exec/><Results/><Add/><Copy/><Delete/><Atomic/><Sequence/><Put/>"
    ).commands
    assert [command_name(one) for one in read] == [
        "Get",
        "Exec",
        "Results",
        "Add",
        "Copy",
        "Delete",
        "Atomic",
        "Sequence",
        "Put",
    ]
    assert all(one.cmd_id == "" for one in read)
    assert read[0] == Get(cmd_id="")
    assert read[1] == Exec(cmd_id="")
    assert read[2] == Results(cmd_id="", msg_ref="1", cmd_ref="")
    assert read[8] == Unsupported(cmd_id="", name="Put")


def test_unknown_elements_are_passed_over() -> None:
    """What is no command of SyncML is not there."""
    assert message("<Bogus><CmdID>1</CmdID></Bogus><SyncHdr/><Final/>") == Message(
        header=message("").header, final=True
    )


def test_repeated_elements_count_once() -> None:
    """Of two elements where one belongs, the first counts."""
    read = command("<Alert><CmdID>1</CmdID><CmdID>2</CmdID><Data>1201</Data><Data>1</Data></Alert>")
    assert read == Alert(cmd_id="1", code=1201)


def test_duplicate_ids_are_both_there() -> None:
    """Two commands with one id stay two commands, in their order."""
    read = message("<Get><CmdID>1</CmdID></Get><Alert><CmdID>1</CmdID></Alert>").commands
    assert [one.cmd_id for one in read] == ["1", "1"]


def test_exec_takes_one_item() -> None:
    """Of several Items of an Exec the first counts."""
    read = command(
        "<Exec><CmdID>1</CmdID><Correlator> c </Correlator>"
        "<Item><Target><LocURI>a</LocURI></Target></Item><Item/></Exec>"
    )
    assert read == Exec(cmd_id="1", correlator=" c ", item=Item(target=Location(uri="a")))


def test_groups_hold_commands() -> None:
    """Atomic and Sequence hold commands, and each other."""
    read = command("<Atomic><CmdID>1</CmdID><Sequence><Get/></Sequence></Atomic>")
    assert read == Atomic(cmd_id="1", commands=(Sequence(cmd_id="", commands=(Get(cmd_id=""),)),))


def test_dev_info_of_odd_clients() -> None:
    """Items without Meta, with empty Data, without Data, and interior nodes are all there."""
    read = command(
        "<Replace><CmdID>1</CmdID><Item><Source><LocURI>./DevInfo/Lang</LocURI></Source><Data/></Item>"
        "<Item><Source><LocURI>./DevInfo</LocURI></Source><Meta><Format>node</Format></Meta></Item>"
        "<Item/></Replace>"
    )
    assert read == Replace(
        cmd_id="1",
        items=(
            Item(source=Location(uri="./DevInfo/Lang"), data=""),
            Item(source=Location(uri="./DevInfo"), meta=Meta(format="node")),
            Item(),
        ),
    )


def test_numbers_in_meta_that_are_none() -> None:
    """A size that is no number was not given; an unlikely one is a number like others."""
    read = message(
        "", HEADER + "<Meta><MaxMsgSize>big</MaxMsgSize><MaxObjSize>4294967295</MaxObjSize></Meta>"
    )
    assert read.header.meta == Meta(max_obj_size=4294967295)


def test_credentials_and_challenges_without_their_parts() -> None:
    """An empty Cred and an empty Chal are there, and empty."""
    read = message("<Status><Chal/></Status>", HEADER + "<Cred/>")
    assert read.header.cred == Cred(data="")
    (status,) = read.commands
    assert isinstance(status, Status)
    assert status.chal == Chal(meta=Meta())


def test_data_is_taken_exactly_and_words_without_layout() -> None:
    """White space is part of data and of no number, address or type."""
    read = command(
        "<Add><CmdID>\n 1 </CmdID><Item><Target><LocURI> ./a\n</LocURI></Target>"
        "<Meta><Type>\ttext/plain </Type></Meta><Data> x\n</Data><MoreData/></Item></Add>"
    )
    (item,) = read.items  # type: ignore[union-attr]  # an Add
    assert read.cmd_id == "1"
    assert item == Item(
        target=Location(uri="./a"), meta=Meta(type="text/plain"), data=" x\n", more_data=True
    )


def test_opaque_data() -> None:
    """Opaque data is text if it can be, unless its format, or its command's, says binary."""
    assert opaque(b"text") == "text"
    assert opaque(b"\xff\x00") == b"\xff\x00"
    assert opaque(b"text", "chr") == "text"
    assert opaque(b"text", "bin") == b"text"
    assert opaque(b"text", "", "bin") == b"text"
    assert opaque(b"text", "chr", "bin") == "text"
    assert opaque(b"text", "", "chr") == "text"


def test_opaque_words() -> None:
    """Anything else may come opaque too, if it is text."""
    frame = b"\x02\xa4\x01\x6a\x00\x6d\x6c\x5b\x031\x00\x01\x65\xc3"
    assert decode(frame + b"\x021A\x01\x01\x01", MediaType.WBXML)[0].header.session_id == "1A"
    with pytest.raises(MalformedError, match="SessionID is not text"):
        decode(frame + b"\x01\xff\x01\x01\x01", MediaType.WBXML)


def test_a_command_that_does_not_exist_is_not_written() -> None:
    """Only names of SyncML can stand for an unsupported command."""
    header = message("").header
    with pytest.raises(UnencodableError):
        encode(Message(header=header, commands=(Unsupported(cmd_id="1", name="Bogus"),)), Form())


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/vnd.syncml.dm+xml", MediaType.XML),
        ("Application/vnd.SyncML.dm+WBXML; charset=utf-8", MediaType.WBXML),
        (" application/vnd.syncml+xml ;x", MediaType.OLD_XML),
        ("application/vnd.syncml+wbxml", MediaType.OLD_WBXML),
        ("application/xml", None),
        ("", None),
    ],
)
def test_media_types(content_type: str, expected: MediaType | None) -> None:
    """The four types are known in any case and with parameters."""
    assert media_type(content_type) is expected
    if expected is not None:
        assert expected.is_wbxml is ("wbxml" in content_type.lower())


def test_every_part_is_written_in_the_order_of_the_document_type() -> None:
    """Each command with all its parts is written as section 4 lists them, and read back."""
    item = Item(
        target=Location(uri="t", name="n"),
        source=Location(uri="s"),
        meta=Meta(format="chr"),
        data="d",
        more_data=True,
    )
    cred = Cred(meta=Meta(type="a"), data="c")
    meta = Meta(
        format="f", type="t", mark="m", size=1, next_nonce="n", max_msg_size=2, max_obj_size=3
    )
    parts: dict[str, Any] = {
        "cmd_id": "1",
        "no_resp": True,
        "cred": cred,
        "meta": Meta(),
        "items": (item,),
    }
    written = Message(
        header=Header(
            session_id="1",
            msg_id=1,
            target=Location(uri="t"),
            source=Location(uri="s"),
            resp_uri="r",
            no_resp=True,
            cred=cred,
            meta=meta,
        ),
        commands=(
            Status(
                cmd_id="1",
                msg_ref="1",
                cmd_ref="1",
                cmd="Get",
                target_refs=("t", "t"),
                source_refs=("s",),
                cred=cred,
                chal=Chal(meta=Meta()),
                code=200,
                items=(item,),
            ),
            Results(
                cmd_id="1", cmd_ref="1", meta=Meta(), target_ref="t", source_ref="s", items=(item,)
            ),
            Alert(cmd_id="1", no_resp=True, cred=cred, code=1, correlator="c", items=(item,)),
            Get(**parts, lang="l"),
            Add(**parts),
            Replace(**parts),
            Copy(**parts),
            Delete(**parts, archive=True, soft=True),
            Exec(cmd_id="1", no_resp=True, cred=cred, meta=Meta(), correlator="c", item=item),
            Atomic(
                cmd_id="1",
                no_resp=True,
                meta=Meta(),
                commands=(Sequence(cmd_id="1", commands=(Exec(cmd_id="1"),)),),
            ),
            Unsupported(cmd_id="1", no_resp=True, name="Put"),
        ),
        final=True,
    )
    body = encode(written, Form(media_type=MediaType.XML))
    assert decode(body, MediaType.XML)[0] == written
    plain = body.replace(b' xmlns="syncml:metinf"', b"").decode()
    items = (
        "<Item><Target><LocURI>t</LocURI><LocName>n</LocName></Target>"
        "<Source><LocURI>s</LocURI></Source><Meta><Format>chr</Format></Meta>"
        "<Data>d</Data><MoreData/></Item>"
    )
    creds = "<Cred><Meta><Type>a</Type></Meta><Data>c</Data></Cred>"
    head = "<CmdID>1</CmdID><NoResp/>"
    assert plain == (
        '<SyncML xmlns="SYNCML:SYNCML1.2"><SyncHdr><VerDTD>1.2</VerDTD><VerProto>DM/1.2</VerProto>'
        "<SessionID>1</SessionID><MsgID>1</MsgID><Target><LocURI>t</LocURI></Target>"
        f"<Source><LocURI>s</LocURI></Source><RespURI>r</RespURI><NoResp/>{creds}"
        "<Meta><Format>f</Format><Type>t</Type><Mark>m</Mark><Size>1</Size><NextNonce>n</NextNonce>"
        "<MaxMsgSize>2</MaxMsgSize><MaxObjSize>3</MaxObjSize></Meta></SyncHdr><SyncBody>"
        "<Status><CmdID>1</CmdID><MsgRef>1</MsgRef><CmdRef>1</CmdRef><Cmd>Get</Cmd>"
        "<TargetRef>t</TargetRef><TargetRef>t</TargetRef><SourceRef>s</SourceRef>"
        f"{creds}<Chal><Meta/></Chal><Data>200</Data>{items}</Status>"
        "<Results><CmdID>1</CmdID><MsgRef>1</MsgRef><CmdRef>1</CmdRef><Meta/>"
        f"<TargetRef>t</TargetRef><SourceRef>s</SourceRef>{items}</Results>"
        f"<Alert>{head}{creds}<Data>1</Data><Correlator>c</Correlator>{items}</Alert>"
        f"<Get>{head}<Lang>l</Lang>{creds}<Meta/>{items}</Get>"
        f"<Add>{head}{creds}<Meta/>{items}</Add>"
        f"<Replace>{head}{creds}<Meta/>{items}</Replace>"
        f"<Copy>{head}{creds}<Meta/>{items}</Copy>"
        f"<Delete>{head}<Archive/><SftDel/>{creds}<Meta/>{items}</Delete>"
        f"<Exec>{head}{creds}<Meta/><Correlator>c</Correlator>{items}</Exec>"
        f"<Atomic>{head}<Meta/><Sequence><CmdID>1</CmdID><Exec><CmdID>1</CmdID></Exec></Sequence>"
        f"</Atomic><Put>{head}</Put><Final/></SyncBody></SyncML>"
    )
