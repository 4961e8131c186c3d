"""Which network addresses a server may be sent to by somebody who only knows its API.

Whoever registers a callback chooses where this server connects to, from inside its network. So only
addresses of the public Internet will do, unless the operator says otherwise. The networks are those
of the IANA special-purpose registries (RFC 6890 and its updates), written out, because what the
standard library calls private differs between Python versions. IPv6 addresses that carry an IPv4
address inside (mapped, NAT64, 6to4, ISATAP) are judged by what they carry.

Not here: names. What a name stands for is known only when a connection is made
(``callbacks/guard.py``); here are numbers, also in the odd forms that resolvers understand.
"""

import ipaddress
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

_V4: Final = tuple(
    (IPv4Network(network), word)
    for network, word in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared (carrier-grade NAT)"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_V6: Final = tuple(
    (IPv6Network(network), word)
    for network, word in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),  # Teredo and ORCHID among them
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
    )
)
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
# Where an IPv4 address stands inside: how far its last bit is from the end.
_CARRIERS: Final = (
    (IPv6Network("::ffff:0:0/96"), 0),  # mapped, RFC 4291 2.5.5.2
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64, RFC 6052 2.1
    (IPv6Network("2002::/16"), 80),  # 6to4, RFC 3056 2
)
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214 6.1

_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]*|0[0-7]*|[1-9][0-9]*")


def not_public(address: str) -> str | None:
    """What kind of address it is, where it is none of the public Internet; None where it is."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "malformed"
    if isinstance(parsed, IPv4Address):
        return _not_public_v4(parsed)
    return _not_public_v6(parsed)


def _not_public_v4(address: IPv4Address) -> str | None:
    for network, word in _V4:
        if address in network:
            return word
    return None


def _not_public_v6(address: IPv6Address) -> str | None:
    value = int(address)
    for network, shift in _CARRIERS:
        if address in network:
            return _not_public_v4(IPv4Address(value >> shift & 0xFFFF_FFFF))
    for v6_network, word in _V6:
        if address in v6_network:
            return word
    if address not in _GLOBAL_UNICAST:
        return "reserved"
    if value >> 32 & 0xFFFF_FFFF in _ISATAP:
        return _not_public_v4(IPv4Address(value & 0xFFFF_FFFF))
    return None


def literal(host: str) -> str | None:
    """The address that ``host`` is in numbers, None where it is a name.

    Resolvers take IPv4 addresses of one to four parts, each decimal, octal (0…) or hexadecimal
    (0x…), the last filling what is left: ``127.1`` and ``0x7f000001`` are the loopback address.
    """
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        pass
    parts = host.removesuffix(".").split(".")
    if len(parts) > 4:
        return None
    numbers = []
    for part in parts:
        number = _number(part)
        if number is None:
            return None
        numbers.append(number)
    *first, last = numbers
    if any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
        return None
    value = last
    for place, number in enumerate(first):
        value += number << (24 - 8 * place)
    return str(IPv4Address(value))


def _number(text: str) -> int | None:
    if len(text) > 16 or not _NUMBER.fullmatch(text):
        return None
    if text[:2] in ("0x", "0X"):
        return int(text[2:] or "0", 16)
    return int(text, 8 if text[0] == "0" else 10)
