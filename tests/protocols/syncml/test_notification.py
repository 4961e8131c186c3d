"""Package 0 and what carries it (oma-dm 10, 17.2)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.syncml.auth import ZERO_NONCE, key
from overair.protocols.syncml.notification import (
    SMS_BYTES,
    Trigger,
    UiMode,
    decode_notification,
    encode_notification,
    encode_trigger,
    is_genuine,
    sms_user_data,
    unwrap_push,
    wrap_push,
)
from overair.protocols.syncml.values import MalformedError, UnencodableError

KEY = key("fota", "srvsecret1")
NONCE = b"servernonce-0001"
M0 = Trigger(session=0xB7, server_id="fota")
SIGNED = bytes.fromhex("02d800000000b704666f7461")
PACKAGE = bytes.fromhex("4c3b101ff461273904d674f6e86b1d45") + SIGNED
PUSH = bytes.fromhex("010603c4af87") + PACKAGE

triggers = st.builds(
    Trigger,
    version=st.integers(0, 1023),
    ui_mode=st.sampled_from(UiMode),
    by_server=st.booleans(),
    session=st.integers(1, 0xFFFF),
    server_id=st.text(max_size=60),
    vendor=st.binary(max_size=20),
)


def test_the_notification_of_the_specification() -> None:
    """M0 is the specification's bytes: the trigger, the package, the zero nonce's, the datagram."""
    assert encode_trigger(M0) == SIGNED
    assert encode_notification(M0, KEY, NONCE) == PACKAGE
    assert encode_notification(M0, KEY, ZERO_NONCE)[:16].hex() == "16c9d0db1cd677a4d2f6130b61ab507d"
    assert wrap_push(PACKAGE) == PUSH
    assert M0.session_id == "B7"


def test_a_device_verifies_it() -> None:
    """M0 is genuine with the right key and nonce, and with no other."""
    read = decode_notification(unwrap_push(PUSH))
    assert read.trigger == M0
    assert is_genuine(read, KEY, NONCE)
    assert not is_genuine(read, KEY, b"servernonce-0002")
    assert not is_genuine(read, key("fota", "other"), NONCE)
    for bit in range(len(PACKAGE) * 8):
        changed = bytearray(PACKAGE)
        changed[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(MalformedError):
            assert not is_genuine(decode_notification(bytes(changed)), KEY, NONCE)


def test_another_maker_s_header() -> None:
    """A captured header is read as version 11, no mode, by the server."""
    read = decode_notification(bytes(16) + bytes.fromhex("02c800000000b704") + b"fota").trigger
    assert (read.version, read.ui_mode, read.by_server) == (11, UiMode.NOT_SPECIFIED, True)


@given(triggers, st.binary(max_size=20))
def test_any_notification_survives(trigger: Trigger, nonce: bytes) -> None:
    """What is sent is read as it was, vendor's part included."""
    with contextlib.suppress(UnencodableError):
        read = decode_notification(unwrap_push(wrap_push(encode_notification(trigger, KEY, nonce))))
        assert read.trigger == trigger
        assert is_genuine(read, KEY, nonce)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Garbage ends in our own error."""
    for read in (decode_notification, unwrap_push):
        with contextlib.suppress(MalformedError):
            read(data)


@pytest.mark.parametrize(
    "package",
    [b"", PACKAGE[:23], PACKAGE[:-1], PACKAGE[:-1] + b"\xff"],
)
def test_notifications_that_are_none(package: bytes) -> None:
    """Too few bytes, and a server id that is no text, are refused."""
    with pytest.raises(MalformedError):
        decode_notification(package)


@pytest.mark.parametrize(
    "payload", [b"", PUSH[:5], PACKAGE, PUSH.replace(b"\xaf\x87", b"\xaf\x86")]
)
def test_pushes_that_are_none(payload: bytes) -> None:
    """Only the short headers, in their order, are a push."""
    with pytest.raises(MalformedError):
        unwrap_push(payload)


@pytest.mark.parametrize(
    "trigger",
    [
        Trigger(session=0, server_id="a"),
        Trigger(session=0x10000, server_id="a"),
        Trigger(session=1, server_id="a" * 256),
        Trigger(session=1, server_id="a", version=1024),
        Trigger(session=1, server_id="a", version=-1),
    ],
)
def test_triggers_that_cannot_be_written(trigger: Trigger) -> None:
    """Numbers and names have to fit their fields."""
    with pytest.raises(UnencodableError):
        encode_trigger(trigger)


def test_an_sms() -> None:
    """An SMS has the port header and the same bytes; a name too long for one message is refused."""
    assert sms_user_data(PACKAGE).hex() == "0605040b84c002" + PUSH.hex()
    longest = encode_notification(Trigger(session=1, server_id="a" * 103), KEY, NONCE)
    assert len(sms_user_data(longest)) == 140
    assert len(wrap_push(longest)) == SMS_BYTES
    with pytest.raises(UnencodableError):
        sms_user_data(longest + b"a")
