"""What is written is read as what it was, in both encodings; nothing else ever comes out."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.syncml.codec import Form, MediaType, decode, encode
from overair.protocols.syncml.message import Add, Get, Item, Message, Meta, Replace
from overair.protocols.syncml.values import LimitError, MalformedError, UnencodableError
from tests.protocols.syncml.messages import binary_items, messages, text_items
from tests.protocols.syncml.vectors import NAMES, wbxml, xml

KINDS = st.sampled_from(MediaType)


def read(body: bytes, kind: MediaType) -> Message | None:
    """Read a body that may be anything: a message, or one of the two errors that decoding has."""
    try:
        return decode(body, kind)[0]
    except (MalformedError, LimitError):
        return None


@given(messages(), KINDS, st.integers(1, 3))
def test_any_message_survives_both_encodings(
    message: Message, kind: MediaType, version: int
) -> None:
    """A message that was written is read as itself, and names the form that it came in."""
    form = Form(media_type=kind, wbxml_version=version if kind.is_wbxml else 2)
    assert decode(encode(message, form), kind) == (message, form)


@given(messages(text_items | binary_items))
def test_binary_data_survives_wbxml(message: Message) -> None:
    """Bytes come out of WBXML as they went in."""
    assert decode(encode(message, Form()), MediaType.WBXML)[0] == message


@given(messages(), st.sampled_from(["AAEC", "x"]))
def test_text_that_is_called_binary_stays_text(message: Message, data: str) -> None:
    """Base64 that its sender calls binary survives WBXML, without being taken for what it stands for."""
    items = (Item(meta=Meta(format="bin"), data=data), Item(data=data))
    commands = tuple(
        kind(cmd_id="1", meta=Meta(format="bin"), items=items) for kind in (Add, Replace, Get)
    )
    changed = replace(message, commands=commands)
    assert decode(encode(changed, Form()), MediaType.WBXML)[0] == changed


@given(st.binary(max_size=200), KINDS)
def test_any_bytes_are_a_message_or_our_own_error(body: bytes, kind: MediaType) -> None:
    """Garbage ends in one of our errors."""
    read(body, kind)


@given(st.binary(max_size=100), st.sampled_from([b"\x02\xa4\x01\x6a\x00", b"\x01\x9f\x53\x6a\x00"]))
def test_any_bytes_behind_a_good_frame(body: bytes, frame: bytes) -> None:
    """Garbage ends in one of our errors behind a good WBXML frame too."""
    read(frame + body, MediaType.WBXML)


@given(
    st.lists(
        st.sampled_from(
            [bytes([token]) for token in b"\x01\x12GHKNOTZ[`eiklm"]
            + [bytes.fromhex(more) for more in ("0000", "0001", "0002", "036100", "03313400")]
            + [bytes.fromhex(more) for more in ("8300", "c302fffe")]
        ),
        max_size=60,
    ).map(b"".join)
)
def test_any_tokens_in_any_order(tokens: bytes) -> None:
    """Tokens that each are good, in an order that is not, end in one of our errors."""
    read(b"\x02\xa4\x01\x6a\x03ab\x00" + tokens, MediaType.WBXML)


@given(st.text(max_size=60), KINDS)
def test_any_text_in_a_message(text: str, kind: MediaType) -> None:
    """Whatever text a document holds in any place, it is read or refused."""
    body = xml("m1").decode().replace("B7", text).replace("1.2", text).replace("b64", text)
    read(body.encode("utf-8", "surrogatepass"), kind)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [MediaType.XML, MediaType.WBXML])
def test_no_beginning_of_a_message_is_a_message(name: str, kind: MediaType) -> None:
    """Every truncation of a message is refused."""
    body = wbxml(name) if kind.is_wbxml else xml(name)
    for length in range(len(body)):
        with pytest.raises(MalformedError):
            decode(body[:length], kind)


@pytest.mark.parametrize("name", ["m1", "m5", "r1"])
@pytest.mark.parametrize("kind", [MediaType.XML, MediaType.WBXML])
def test_every_single_bit_may_be_wrong(name: str, kind: MediaType) -> None:
    """Every change of one bit is read or refused; and what is read can be written again."""
    body = wbxml(name) if kind.is_wbxml else xml(name)
    for bit in range(len(body) * 8):
        changed = bytearray(body)
        changed[bit // 8] ^= 1 << bit % 8
        message = read(bytes(changed), kind)
        if message is not None:
            again = encode(message, Form(media_type=kind))
            assert decode(again, kind)[0] == message


@given(st.text(), KINDS)
def test_what_a_form_cannot_carry_is_refused_as_such(text: str, kind: MediaType) -> None:
    """Text that XML, or Unicode, has no place for is our own error too."""
    message = decode(xml("m4"), MediaType.XML)[0]
    changed = replace(message, header=replace(message.header, resp_uri=text))
    with contextlib.suppress(UnencodableError):
        again = decode(encode(changed, Form(media_type=kind)), kind)[0]
        assert again.header.resp_uri == text.strip()
