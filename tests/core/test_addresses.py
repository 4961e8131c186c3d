"""Addresses that callbacks must not go to, in all the ways to write them."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.core.addresses import literal, not_public

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]
NOT_PUBLIC = [
    ("0.0.0.0", "unspecified"),
    ("0.1.2.3", "unspecified"),
    ("10.1.2.3", "private"),
    ("100.64.0.1", "shared (carrier-grade NAT)"),
    ("100.127.255.255", "shared (carrier-grade NAT)"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("169.254.169.254", "link-local"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.8", "reserved"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "reserved"),
    ("198.51.100.7", "documentation"),
    ("203.0.113.255", "documentation"),
    ("192.168.1.1", "private"),
    ("198.18.0.1", "benchmarking"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.250", "multicast"),
    ("255.255.255.255", "reserved"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("fc00::1", "private"),
    ("fd00:ec2::254", "private"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("fec0::1", "private"),
    ("ff02::1", "multicast"),
    ("2001:db8::1", "documentation"),
    ("3fff::1", "documentation"),
    ("2001::1", "reserved"),
    ("100::1", "reserved"),
    ("64:ff9b:1::1", "reserved"),
    ("::127.0.0.1", "reserved"),
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:10.0.0.1", "private"),
    ("::ffff:0:127.0.0.1", "reserved"),
    ("64:ff9b::127.0.0.1", "loopback"),
    ("64:ff9b::a9fe:a9fe", "link-local"),
    ("2002:7f00:1::", "loopback"),
    ("2002:a00:1::1", "private"),
    ("2606:4700::5efe:10.0.0.1", "private"),
    ("2606:4700::200:5efe:127.0.0.1", "loopback"),
    ("nonsense", "malformed"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_fine(address: str) -> None:
    """An address of the public Internet may be called."""
    assert not_public(address) is None


@pytest.mark.parametrize(("address", "word"), NOT_PUBLIC)
def test_all_others_are_named(address: str, word: str) -> None:
    """Any other address is told by its kind, also inside another."""
    assert not_public(address) == word


@given(st.ip_addresses(v=4))
def test_what_carries_an_address_is_judged_by_it(address: object) -> None:
    """Mapped, NAT64 and 6to4 addresses are as public as the IPv4 address inside."""
    word = not_public(str(address))
    assert not_public(f"::ffff:{address}") == word
    assert not_public(f"64:ff9b::{address}") == word
    packed = socket.inet_aton(str(address)).hex()
    assert not_public(f"2002:{packed[:4]}:{packed[4:]}::1") == word


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("10.0.256", "10.0.1.0"),
        ("127.0.0.1.", "127.0.0.1"),
        ("0X7F.1", "127.0.0.1"),
        ("0xff.1", "255.0.0.1"),
        ("0000000000000177", "0.0.0.127"),
        ("0", "0.0.0.0"),
        ("0x", "0.0.0.0"),
        ("[::1]", "::1"),
        ("::1", "::1"),
    ],
)
def test_odd_numbers_are_addresses(host: str, address: str) -> None:
    """Every way of writing an address that resolvers take is read as they read it."""
    assert literal(host) == address


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.com",
        "1.2.3.4.5",
        "1.2.3.4.0",
        "X::1",
        "00000000000000177",
        "256.1.1.1",
        "1.2.3.256",
        "4294967296",
        "08.1",
        "0xg",
        "1_0",
        "+1",
        "-1",
        "0x-1",
        "１２７.0.0.1",
        "1..2",
        "127.0.0.1.example.com",
        "9" * 5000,
    ],
)
def test_names_are_no_addresses(host: str) -> None:
    """What is no number is a name, for the resolver to make something of."""
    assert literal(host) is None


@given(
    st.from_regex(
        r"\A(0x[0-9a-f]{0,8}|0[0-7]{0,9}|[1-9][0-9]{0,9})(\.(0x[0-9a-f]{1,3}|0[0-7]{0,3}|[0-9]{1,3})){0,3}\Z"
    )
)
def test_numbers_are_read_as_the_system_reads_them(host: str) -> None:
    """Whatever the system's own parser takes for an address, so do we, and the same one."""
    try:
        expected = socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return
    assert literal(host) == expected
