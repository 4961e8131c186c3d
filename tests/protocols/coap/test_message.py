"""Datagrams are read strictly: the first half of the table of lwm2m 14."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.coap.errors import MalformedError, UnencodableError
from overair.protocols.coap.message import (
    Message,
    decode_message,
    empty_ack,
    encode_message,
    reset,
)
from overair.protocols.coap.numbers import Type, dotted

SILENT = {
    "empty": "",
    "three bytes": "400100",
    "version 0": "0001000a",
    "version 2": "8001000a",
}
WRONG = {
    "a token of 9 bytes": "4901000a" + "00" * 9,
    "a token of 15 bytes": "4f01000a" + "00" * 15,
    "class 1": "4020000a",
    "class 6": "40c0000a",
    "class 7": "40e1000a",
    "empty with a token": "4100000a01",
    "empty with an option": "4000000ab0",
    "empty with a payload": "4000000aff01",
    "a token past the end": "4401000a01",
    "an option past the end": "4001000ab5616263",
    "a long delta past the end": "4001000ad0",
    "a longer delta past the end": "4001000ae000",
    "a long length past the end": "4001000a0d",
    "a longer length past the end": "4001000a0eff",
    "delta 15": "4001000af1",
    "length 15": "4001000a1f",
    "a marker without payload": "4001000aff",
    "a marker without payload, after an option": "4001000ab161ff",
}


@pytest.mark.parametrize("datagram", SILENT.values(), ids=SILENT)
def test_what_is_no_message_gets_silence(datagram: str) -> None:
    """Too short, or of another version: nobody is told."""
    with pytest.raises(MalformedError) as error:
        decode_message(bytes.fromhex(datagram))
    assert error.value.rejection is None


@pytest.mark.parametrize("datagram", WRONG.values(), ids=WRONG)
def test_a_confirmable_message_of_wrong_form_is_reset(datagram: str) -> None:
    """Whatever is wrong with the form of a CON, its id comes back in a reset."""
    with pytest.raises(MalformedError) as error:
        decode_message(bytes.fromhex(datagram))
    assert error.value.rejection == reset(10)


@pytest.mark.parametrize("type_", [Type.NON, Type.ACK, Type.RST])
@pytest.mark.parametrize("datagram", WRONG.values(), ids=WRONG)
def test_other_messages_of_wrong_form_get_silence(datagram: str, type_: Type) -> None:
    """What asks for no acknowledgement gets no reset either."""
    wrong = bytearray.fromhex(datagram)
    wrong[0] = wrong[0] & 0xCF | type_ << 4
    with pytest.raises(MalformedError) as error:
        decode_message(bytes(wrong))
    assert error.value.rejection is None


def test_messages_that_say_nothing() -> None:
    """A reset and an empty acknowledgement are four bytes."""
    assert decode_message(reset(0x1234)) == Message(type=Type.RST, code=0, mid=0x1234)
    assert decode_message(empty_ack(0x1234)) == Message(type=Type.ACK, code=0, mid=0x1234)


def test_codes_are_written_as_people_do() -> None:
    """4.04 is a class and a detail."""
    assert dotted(0x84) == "4.04"
    assert dotted(0x5F) == "2.31"


OPTIONS = st.lists(
    st.tuples(
        st.integers(0, 2000) | st.integers(0, 65535),
        st.binary(max_size=20) | st.binary(max_size=400),
    ),
    max_size=6,
).map(lambda options: tuple(sorted(options, key=lambda each: each[0])))
MESSAGES = st.builds(
    Message,
    type=st.sampled_from(list(Type)).map(int),
    code=st.integers(1, 0x1F) | st.integers(0x40, 0xBF),
    mid=st.integers(0, 65535),
    token=st.binary(max_size=8),
    options=OPTIONS,
    payload=st.binary(max_size=50),
)


@given(MESSAGES)
def test_any_message_survives(message: Message) -> None:
    """Whatever is written is read as the same."""
    assert decode_message(encode_message(message)) == message


@given(MESSAGES, st.data())
def test_every_truncation_is_read_or_refused(message: Message, data: st.DataObject) -> None:
    """The beginning of a message is a message or an error of ours."""
    whole = encode_message(message)
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    try:
        again = decode_message(cut)
    except MalformedError:
        return
    assert encode_message(again) == cut


def test_what_cannot_be_written_is_our_mistake() -> None:
    """Tokens that are too long, options out of order or too long are refused when writing."""
    plain = Message(type=0, code=1, mid=1)
    for wrong in (
        plain._replace(token=b"123456789"),
        plain._replace(options=((11, b"a"), (1, b"b"))),
        plain._replace(options=((11, b"a" * 66_000),)),
    ):
        with pytest.raises(UnencodableError):
            encode_message(wrong)
