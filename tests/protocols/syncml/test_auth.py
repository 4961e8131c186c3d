"""Digests, nonces and the HMAC header (oma-dm 11, 17.1)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.syncml.auth import (
    BASIC,
    MAC,
    MD5,
    HmacHeader,
    basic,
    basic_cred,
    challenge,
    decode_nonce,
    digest,
    encode_nonce,
    key,
    mac,
    md5_cred,
    read_basic,
    read_hmac_header,
    same,
    write_hmac_header,
)
from overair.protocols.syncml.codec import MediaType, decode
from overair.protocols.syncml.message import Chal, Meta, Status
from overair.protocols.syncml.values import MalformedError, UnencodableError
from tests.protocols.syncml.vectors import digests, wbxml, xml

VECTORS = digests()


@pytest.mark.parametrize("vector", VECTORS["keys"], ids=lambda v: v["user"])
def test_keys(vector: dict[str, str]) -> None:
    """User and password come down to the key that is stored."""
    assert key(vector["user"], vector["password"]) == vector["key"]


@pytest.mark.parametrize("vector", VECTORS["md5"], ids=lambda v: v["nonce"])
def test_md5_digests(vector: dict[str, str]) -> None:
    """Digests are the specification's, its own known answer among them."""
    secret = key(vector["user"], vector["password"])
    assert digest(secret, vector["nonce"].encode()) == vector["digest"]


def test_basic_credentials() -> None:
    """Basic credentials are the known answer, and are read back."""
    vector = VECTORS["basic"]
    assert basic(vector["user"], vector["password"]) == vector["data"]
    assert read_basic(vector["data"]) == (vector["user"], vector["password"])
    assert basic_cred("a", "b:c").meta == Meta(format="b64", type=BASIC)
    assert read_basic(basic_cred("a", "b:c").data) == ("a", "b:c")


@pytest.mark.parametrize("data", ["", "YWJj", "YQ", "=", "::", "é", "/w==", "////Og=="])
def test_basic_credentials_that_are_none(data: str) -> None:
    """What is no base64 of user, colon and password is refused."""
    with pytest.raises(MalformedError):
        read_basic(data)


def test_the_mac_of_a_body() -> None:
    """The mac is over the very bytes of the body."""
    vector = VECTORS["hmac"]
    secret = key(vector["user"], vector["password"])
    body = wbxml(vector["body"])
    assert mac(secret, vector["nonce"].encode(), body) == vector["mac"]
    assert mac(secret, vector["nonce"].encode(), body[:-1]) != vector["mac"]


def test_credentials_as_the_messages_have_them() -> None:
    """M1's Cred and M2's Cred and Chal are made from secrets and nonces."""
    client = decode(xml("m1"), MediaType.XML)[0]
    server = decode(xml("m2"), MediaType.XML)[0]
    assert client.header.cred == md5_cred(key("dev1", "devsecret1"), b"clientnonce-0001")
    assert server.header.cred == md5_cred(key("fota", "srvsecret1"), b"servernonce-0001")
    status = server.commands[0]
    assert isinstance(status, Status)
    assert status.chal == challenge(MD5, b"clientnonce-0002")
    assert decode_nonce("Y2xpZW50bm9uY2UtMDAwMg==") == b"clientnonce-0002"


def test_challenges() -> None:
    """A challenge names its type, and a nonce where the type has one."""
    assert challenge(BASIC, None) == Chal(meta=Meta(format="b64", type=BASIC))
    assert challenge(MAC, b"").meta.next_nonce == ""


@given(st.binary(max_size=100))
def test_any_bytes_can_be_a_nonce(nonce: bytes) -> None:
    """Nonces are decoded exactly once, whatever they are, and however their lines are broken."""
    text = encode_nonce(nonce)
    assert decode_nonce(text) == nonce
    assert decode_nonce("\n".join(text[at : at + 20] for at in range(0, len(text), 20))) == nonce
    assert decode_nonce(encode_nonce(text.encode())) == text.encode()


@pytest.mark.parametrize(
    ("text", "nonce"), [("", b""), ("a nonce!", b"a nonce!"), ("abc", b"abc"), ("é", b"\xc3\xa9")]
)
def test_nonces_that_are_not_base64(text: str, nonce: bytes) -> None:
    """Text that is no base64 was meant as it stands."""
    assert decode_nonce(text) == nonce


@given(st.text(), st.text())
def test_digests_are_compared(expected: str, given_: str) -> None:
    """Comparing tells equal from different, whatever was given."""
    with contextlib.suppress(UnicodeEncodeError):
        expected.encode()
        assert same(expected, given_) is (expected == given_)
        assert same(expected, expected)


@pytest.mark.parametrize(
    "value",
    [
        'algorithm=MD5, username="dev1", mac=fJNDYyreJjTK9jvflwZvsw==',
        'algorithm=MD5,username="dev1",mac=fJNDYyreJjTK9jvflwZvsw==',
        'MAC="fJNDYyreJjTK9jvflwZvsw==" ,  UserName = dev1',
        'username="dev1", mac=fJNDYyreJjTK9jvflwZvsw==, algorithm=md5,',
        'username="dev1", mac=fJNDYyreJjTK9jvflwZvsw==, username="other", more=1',
    ],
)
def test_the_hmac_header_is_read(value: str) -> None:
    """Its fields come in any order and spelling; the first of each counts."""
    assert read_hmac_header(value) == HmacHeader(username="dev1", mac="fJNDYyreJjTK9jvflwZvsw==")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "MD5",
        "username=a",
        "mac=a",
        'username="a, mac=b',
        "username=a mac=b",
        "algorithm=SHA1, username=a, mac=b",
        'username=a"b", mac=c',
        "username=a, mac=b" + " " * 1024,
    ],
)
def test_hmac_headers_that_are_none(value: str) -> None:
    """A header without its fields, or that is no list of fields, is refused."""
    with pytest.raises(MalformedError):
        read_hmac_header(value)


@given(st.text(), st.binary(min_size=16, max_size=16))
def test_the_hmac_header_is_written(username: str, body: bytes) -> None:
    """What is written is read as it was; a name that a header cannot hold is not written."""
    header = HmacHeader(username=username, mac=mac("key", b"", body))
    with contextlib.suppress(UnencodableError):
        assert read_hmac_header(write_hmac_header(header)) == header


@pytest.mark.parametrize("username", ['a"b', "a\r\nb", "é", "\x7f"])
def test_names_that_a_header_cannot_hold(username: str) -> None:
    """No name can end its quotes or the header."""
    with pytest.raises(UnencodableError):
        write_hmac_header(HmacHeader(username=username, mac=""))


@given(st.text(max_size=200))
def test_any_header_is_read_or_refused(value: str) -> None:
    """Garbage ends in our own error."""
    with contextlib.suppress(MalformedError):
        read_hmac_header(value)
    with contextlib.suppress(MalformedError):
        read_basic(value)
