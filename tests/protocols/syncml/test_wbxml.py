"""WBXML: frames, tokens, lengths, and how it is written (oma-dm 15, 16)."""

import pytest

from overair.protocols.syncml.as_wbxml import WbxmlSink, decode_wbxml
from overair.protocols.syncml.codec import Form, MediaType, decode, encode
from overair.protocols.syncml.elements import Content, Element
from overair.protocols.syncml.message import Item, Replace
from overair.protocols.syncml.read import read_message
from overair.protocols.syncml.tokens import CODES, DMDDF, METINF, SYNCML, TAGS
from overair.protocols.syncml.values import (
    LimitError,
    MalformedError,
    SyncmlLimits,
    UnencodableError,
)
from tests.protocols.syncml.vectors import wbxml

FRAME = bytes.fromhex("02a4016a00")
PUBLIC = b"-//SYNCML//DTD SyncML 1.2//EN"


def value(content: bytes, table: bytes = b"") -> Content:
    """Return what a Data with this content is read as."""
    frame = FRAME[:-1] + bytes([len(table)]) + table
    return decode_wbxml(frame + b"\x4f" + content + b"\x01")[0][1]


def written(value: str | bytes, *, stored: bool = False) -> bytes:
    """Return a document of nothing but this Data."""
    out = WbxmlSink(2)
    out.data(value, stored=stored)
    return out.body()


@pytest.mark.parametrize(
    ("frame", "version"),
    [
        (FRAME, 2),
        (b"\x01\x9f\x53\x6a\x00", 1),
        (b"\x01\x9f\x51\x6a\x00", 1),
        (b"\x03\xa4\x01\x6a\x00", 3),
        # The public id as text, as it was seen in the field: without a zero at its end.
        (b"\x02\x00\x00\x6a\x1d" + PUBLIC, 2),
        (b"\x02\x00\x00\x6a\x1e" + PUBLIC + b"\x00", 2),
        (b"\x02\x00\x02\x6a\x1f" + b"a\x00" + PUBLIC, 2),
        # US-ASCII, a character set that is not named, and a number written longer than it has to be.
        (b"\x02\xa4\x01\x03\x00", 2),
        (b"\x02\xa4\x01\x00\x00", 2),
        (b"\x02\x80\x80\xa4\x01\x6a\x80\x00", 2),
    ],
)
def test_frames_of_real_clients(frame: bytes, version: int) -> None:
    """Versions 1.1 to 1.3 and public ids as number or text; the answer has the same version."""
    message, form = decode(frame + wbxml("m1")[5:], MediaType.WBXML)
    assert message == decode(wbxml("m1"), MediaType.WBXML)[0]
    assert form.wbxml_version == version
    assert encode(message, form)[:5] == bytes([version]) + FRAME[1:]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00\xa4\x01\x6a\x00",
        b"\x04\xa4\x01\x6a\x00",
        b"<?xml",
        # Public ids: unknown, of something else (the provisioning document), beyond the table.
        b"\x02\x01\x6a\x00",
        b"\x02\x0b\x6a\x00",
        b"\x02\x00\x00\x6a\x00",
        b"\x02\x00\x1d\x6a\x1d" + PUBLIC,
        b"\x02\x00\x00\x6a\x1d" + PUBLIC.lower(),
        b"\x02\x00\x00\x6a\x01\xff",
        # ISO-8859-1.
        b"\x02\xa4\x01\x04\x00",
        # A table beyond the end, a number of six bytes, and one of 33 bits.
        b"\x02\xa4\x01\x6a\x90\x00",
        b"\x02\xa4\x01\x80\x80\x80\x80\x80\x6a\x00",
        b"\x02\x90\x80\x80\x80\x00\x6a\x00",
    ],
)
def test_frames_that_are_not_ours(frame: bytes) -> None:
    """Anything else before the root element is refused."""
    with pytest.raises(MalformedError):
        decode_wbxml(frame + b"\x2d")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ""),
        (b"\x03abc\x00", "abc"),
        (b"\x03\xc3\xa9\x00", "é"),
        (b"\x83\x00", "first"),
        (b"\x83\x02", "rst"),
        (b"\x83\x06", "last"),
        (b"\xc3\x00", ""),
        (b"\xc3\x03a\x00b", b"a\x00b"),
        (b"\xc3\x80\x01a", b"a"),
        (b"\x03a\x00\x83\x06\x03\x00\x03b\x00", "alastb"),
        (b"\x03a\x00\xc3\x01\xff\x03\xc3\xa9\x00", b"a\xff\xc3\xa9"),
    ],
)
def test_text_in_all_its_forms(content: bytes, expected: str | bytes) -> None:
    """Text inline, from the table, opaque, and several of them in a row are one value."""
    assert value(content, b"first\x00last") == expected


@pytest.mark.parametrize(
    "content",
    [
        b"\x03abc",
        b"\x03\xff\x00",
        b"\x83\x04",
        b"\x83\x09",
        b"\x83\x00",
        b"\xc3\x05abc",
        b"\xc3\x8f\xff\xff\xff\x7fabc",
        b"\xc3\xff\xff\xff\xff\xff\xff\x7f",
        # ENTITY, LITERAL, PI, EXT, and attributes.
        b"\x02\x41",
        b"\x04\x00",
        b"\x43\x00",
        b"\x40\x03",
        b"\x80\x00",
        b"\xc0",
        b"\xc4\x00",
        b"\x84\x00",
        b"\x87",
        # Tags that no page has: a reserved one, a number beyond the last, a page that is not there.
        b"\x30",
        b"\x3f",
        b"\x00\x01\x17",
        b"\x00\x03\x05",
        b"\x00\xff\x45",
    ],
)
def test_content_that_is_refused(content: bytes) -> None:
    """Wrong lengths, wrong text, and what SyncML does not use are refused."""
    with pytest.raises(MalformedError):
        value(content, b"\xff\xff\xff\x00")


@pytest.mark.parametrize(
    "document",
    [
        b"\x01",
        b"\x03a\x00",
        b"\x6d",
        b"\x6d\x01\x01",
        b"\x2d\x2d",
        b"\x2d\x00",
        b"\x00",
        b"\x6d\x00",
    ],
)
def test_documents_that_are_not_one_element(document: bytes) -> None:
    """There is exactly one root element, it ends, and nothing follows."""
    with pytest.raises(MalformedError):
        decode_wbxml(FRAME + document)


def test_the_code_page_stays_across_elements() -> None:
    """The page is the parser's: an element that ends does not end it."""
    # Meta( page 1, Type, page 0 ) Item, and Meta( page 1, Type ) page 0, Item.
    for switched in (b"\x5a\x00\x01\x13\x00\x00\x01\x14", b"\x5a\x00\x01\x13\x01\x00\x00\x14"):
        root = decode_wbxml(FRAME + b"\x6d" + switched + b"\x01")[0]
        assert root == ("SyncML", [("Meta", [("Type", "")]), ("Item", "")])
    # Without the switch the same number is another element.
    root = decode_wbxml(FRAME + b"\x6d\x5a\x00\x01\x13\x01\x14\x01")[0]
    assert root == ("SyncML", [("Meta", [("Type", "")]), ("Version", "")])


def test_trees_of_devices_are_read() -> None:
    """TNDS on page 2 is accepted in a message, whose Data then has no text."""
    root = decode_wbxml(FRAME + b"\x4f\x00\x02\x60\x64\x66\x03State\x00\x01\x01\x01\x01")[0]
    assert root == ("Data", [("MgmtTree", [("Node", [("NodeName", "State")])])])
    header: Element = ("SyncHdr", [("SessionID", "1"), ("MsgID", "1")])
    body: Element = ("SyncBody", [("Replace", [("Item", [root])])])
    (command,) = read_message(("SyncML", [header, body])).commands
    assert command == Replace(cmd_id="", items=(Item(data=""),))


def test_the_tables() -> None:
    """The ends of the specification's tables are where it has them."""
    assert (TAGS[SYNCML][0x05], TAGS[SYNCML][0x2F], TAGS[SYNCML][0x31], TAGS[SYNCML][0x3C]) == (
        "Add",
        "TargetRef",
        "VerDTD",
        "Correlator",
    )
    assert 0x30 not in TAGS[SYNCML]
    assert (TAGS[METINF][0x05], TAGS[METINF][0x10], TAGS[METINF][0x16]) == (
        "Anchor",
        "NextNonce",
        "FieldLevel",
    )
    assert (TAGS[DMDDF][0x1A], TAGS[DMDDF][0x2A], TAGS[DMDDF][0x3C]) == (
        "Exec",
        "OneOrMore",
        "ZeroOrOne",
    )
    assert all(len(CODES[page]) == len(TAGS[page]) for page in TAGS)


def test_text_is_written_inline_or_opaque() -> None:
    """Text goes inline, bytes and text with a NUL opaque, and what is asked for that way."""
    assert written("a") == FRAME + b"\x4f\x03a\x00\x01"
    assert written("a\x00") == FRAME + b"\x4f\xc3\x02a\x00\x01"
    assert written(b"\xff") == FRAME + b"\x4f\xc3\x01\xff\x01"
    assert written("a", stored=True) == FRAME + b"\x4f\xc3\x01a\x01"
    for nothing in (written(""), written(b""), written("", stored=True)):
        assert nothing == FRAME + b"\x0f"


@pytest.mark.parametrize("length", [0x7F, 0x80, 0x3FFF, 0x4000, 0xFFFF])
def test_lengths_of_any_size(length: int) -> None:
    """Opaque data of any length is read as it was written."""
    limits = SyncmlLimits(body_bytes=2**20)
    assert decode_wbxml(written(b"x" * length), limits)[0] == ("Data", b"x" * length)


def test_what_wbxml_cannot_hold() -> None:
    """Half characters and versions that do not exist cannot be written."""
    with pytest.raises(UnencodableError):
        written("\ud800")
    with pytest.raises(UnencodableError):
        WbxmlSink(4)


def test_limits() -> None:
    """A body, its depth, its elements and its text have their bounds, also out of a string table."""
    limits = SyncmlLimits(body_bytes=40, depth=2, elements=3, text=8)
    frame = FRAME[:-1] + b"\x04aaaa"
    for good in (b"\x6d\x6b\x01\x01", b"\x6d\x0f\x0f\x01", b"\x4f\x83\x00\x83\x00\x01"):
        decode_wbxml(frame + good, limits)
    for bad in (
        b"\x6d\x6b\x0f\x01\x01",
        b"\x6d\x0f\x0f\x0f\x01",
        b"\x4f\x83\x00\x83\x00\x83\x03\x01",
        b"\x4f\x03" + b"a" * 40 + b"\x00\x01",
    ):
        with pytest.raises(LimitError):
            decode_wbxml(frame + bad, limits)


def test_the_form_that_nobody_asked_for() -> None:
    """A first message goes out as WBXML 1.2."""
    assert Form() == Form(media_type=MediaType.WBXML, wbxml_version=2)
