"""Proxies in front of us: whose word about the client is believed (``http-ddi.md`` 2, 3).

Done once for every request, before any edge sees it: where the peer is a trusted proxy, the scope's
client becomes the one that the proxy names, its scheme the one that the client spoke, and
``PROXIED`` says so, for headers that only a trusted proxy may set.
"""

import ipaddress
from collections.abc import MutableMapping, Sequence
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PROXIED = "overair.proxied"


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks as written in the settings. Raises ValueError."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def within(address: str, nets: Sequence[Network]) -> bool:
    """Whether the address is in one of the networks."""
    if not nets or not address:
        return False
    parsed = parse_address(address)
    return parsed is not None and any(parsed in net for net in nets)


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address; None if it is none. An IPv4 peer on an IPv6 socket is its IPv4 address."""
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed


def see_through(scope: MutableMapping[str, Any], proxies: Sequence[Network]) -> None:
    """Put the client in the proxy's place, if the peer is a trusted one.

    Of several addresses in ``X-Forwarded-For`` the last that is no trusted proxy's counts: the ones
    before it are only what the client claims.
    """
    client = scope.get("client")
    if not client or not within(client[0], proxies):
        return
    scope[PROXIED] = True
    forwarded = [v for n, v in scope["headers"] if n == b"x-forwarded-for"]
    hops = [hop.strip() for hop in b",".join(forwarded).decode("latin-1").split(",")]
    for hop in reversed(hops):
        if not hop:
            break
        scope["client"] = (hop, 0)
        if not within(hop, proxies):
            break
    for name, value in scope["headers"]:
        if name == b"x-forwarded-proto":
            # Of a chain of proxies the first one tells what the client spoke.
            scheme = value.split(b",")[0].strip().lower()
            if scheme in (b"http", b"https"):
                scope["scheme"] = scheme.decode()
