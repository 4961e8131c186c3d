"""Someone else's WBXML codec reads what we write, and we read what it writes."""

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from overair.protocols.syncml.codec import Form, MediaType, decode, encode
from overair.protocols.syncml.message import Header, Item, Location, Message, Meta, Replace, Results
from tests.protocols.syncml.libwbxml import DOCTYPE, needed, to_wbxml, to_xml
from tests.protocols.syncml.messages import messages
from tests.protocols.syncml.vectors import IN_OUR_ORDER, NAMES, wbxml, xml

pytestmark = needed

XML = Form(media_type=MediaType.XML)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_it_reads_our_documents(name: str, version: int) -> None:
    """Each message of the specification, written by us in any version, means the same to it."""
    message = decode(xml(name), MediaType.XML)[0]
    theirs = to_xml(encode(message, Form(wbxml_version=version)))
    assert decode(theirs, MediaType.XML)[0] == message


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_we_read_its_documents(name: str, version: int, table: bool) -> None:
    """Each message, written by it in any version, with a string table or without, means the same to us."""
    message = decode(xml(name), MediaType.XML)[0]
    theirs = to_wbxml(DOCTYPE + xml(name), f"1.{version}", table=table)
    assert decode(theirs, MediaType.WBXML) == (message, Form(wbxml_version=version))


@pytest.mark.parametrize("name", IN_OUR_ORDER)
def test_its_bytes_are_the_vectors(name: str) -> None:
    """The vectors that are said to come from it do, and those of the specification agree with it."""
    assert to_wbxml(DOCTYPE + xml(name)) == wbxml(name)


@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much])
@given(messages())
def test_it_reads_any_message_of_ours(message: Message) -> None:
    """Any message that we write in WBXML is the same message after it."""
    assume(not _has_line_break(message))
    assert decode(to_xml(encode(message, Form())), MediaType.XML)[0] == message


@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much])
@given(messages(), st.booleans(), st.integers(1, 3))
def test_we_read_any_message_of_its(message: Message, table: bool, version: int) -> None:
    """Any message that it writes in WBXML is the same message to us."""
    assume(not _has_line_break(message))
    theirs = to_wbxml(DOCTYPE + encode(message, XML), f"1.{version}", table=table)
    assert decode(theirs, MediaType.WBXML) == (message, Form(wbxml_version=version))


def _has_line_break(message: Message) -> bool:
    # It writes carriage returns as they are, which in XML makes them line feeds, and line feeds in
    # opaque data as both.
    document = encode(message, XML)
    return b"&#13;" in document or b"\n" in document


@pytest.mark.parametrize("named", [Replace, Results])
def test_it_reads_our_binary_data(named: type[Replace] | type[Results]) -> None:
    """Bytes that we send opaque are the bytes that it takes out."""
    item = Item(meta=Meta(format="bin", size=5), data=b"|{}~\n")
    command = (
        Replace(cmd_id="1", items=(item,))
        if named is Replace
        else Results(cmd_id="1", cmd_ref="2", items=(item,))
    )
    here = Location(uri="a")
    header = Header(session_id="1", msg_id=1, target=here, source=here)
    theirs = to_xml(encode(Message(header=header, commands=(command,)), Form()))
    (read,) = decode(theirs, MediaType.XML)[0].commands
    assert isinstance(read, Replace | Results)
    assert read.items[0].data == "|{}~\n"
