"""The HTTP connections of a fleet."""

import ssl

import aiohttp

_CONNECT_S = 10.0
_READ_S = 60.0


def http_session(limit: int, tls: ssl.SSLContext | bool) -> aiohttp.ClientSession:
    """Return so many connections that know no cookies and take what comes as it is."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=limit, ssl=tls),
        cookie_jar=aiohttp.DummyCookieJar(),
        # Waiting for a free connection is not the server's fault, so it has no limit.
        timeout=aiohttp.ClientTimeout(
            total=None, connect=None, sock_connect=_CONNECT_S, sock_read=_READ_S
        ),
        auto_decompress=False,
    )
