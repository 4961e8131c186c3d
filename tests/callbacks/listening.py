"""A callback listener on a real socket that behaves as a test tells it to.

It takes down each request with the moments at which it came and was answered, so that a test can see
order and overlap. What it answers is decided for each message: ``answer`` gets the message and its
number among the requests for it, and returns a status, or ``HANG``, or ``CLOSE``.
"""

import asyncio
import contextlib
import datetime
import ipaddress
import itertools
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HANG = -1
CLOSE = -2


@dataclass(slots=True, kw_only=True)
class Received:
    """One request."""

    path: str
    id: str
    headers: dict[str, str]
    body: dict[str, Any]
    begun: int
    ended: int | None = None


@dataclass(slots=True, kw_only=True)
class Listening:
    """A listener that is up."""

    url: str = ""
    answer: Callable[[Received, int], int] = lambda received, number: 200
    received: list[Received] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)  # ends what hangs
    body: bytes = b"thank you"
    headers: dict[str, str] = field(default_factory=dict)
    moments: Iterator[int] = field(default_factory=itertools.count)

    def names(self, path: str = "") -> list[str]:
        """The campaign names that came to a path, in order of arrival."""
        return [r.body["campaignName"] for r in self.received if not path or r.path == path]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        received = Received(
            path=request.path_qs,
            id=request.headers["X-Overair-Message-Id"],
            headers=dict(request.headers),
            body=json.loads(await request.read()),
            begun=next(self.moments),
        )
        self.received.append(received)
        number = sum(1 for other in self.received if other.id == received.id)
        status = self.answer(received, number)
        if status == HANG:
            await self.go.wait()
            status = 200
        if status == CLOSE:
            assert request.transport is not None
            request.transport.close()
            status = 500
        received.ended = next(self.moments)
        return web.Response(status=status, body=self.body, headers=self.headers)


@contextlib.asynccontextmanager
async def listening(
    tls: ssl.SSLContext | None = None, path: str = "/callbacks"
) -> AsyncIterator[Listening]:
    """A listener for the length of the block, at ``127.0.0.1``."""
    listener = Listening()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", listener.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    listener.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}{path}"
    try:
        yield listener
    finally:
        listener.go.set()
        await runner.cleanup()


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A certificate authority of the test's own."""

    directory: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def file(self) -> Path:
        return self.directory / "ca.pem"

    def server(self, *, trusted: bool = True) -> ssl.SSLContext:
        """A server's side of TLS for 127.0.0.1, signed by the authority or by itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "listener")])
        issuer = self.certificate.subject if trusted else name
        certificate = (
            _builder(name, issuer, key)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
            .sign(self.key if trusted else key, hashes.SHA256())
        )
        stem = "trusted" if trusted else "alone"
        chain, private = self.directory / f"{stem}.pem", self.directory / f"{stem}.key"
        chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, private)
        return context


def make_authority(directory: Path) -> Authority:
    """A fresh authority, its certificate in ``ca.pem``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    certificate = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    authority = Authority(directory=directory, certificate=certificate, key=key)
    authority.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return authority


def _builder(
    name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    # TLS lives in the wall's time, whatever the clock of the test says.
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
    )
