"""One request: certificates, addresses that are out of bounds, and answers that are no answers."""

import asyncio
import socket
from pathlib import Path

import msgspec
import pytest

from overair.callbacks.guard import REFUSED, AddressRefusedError, guarded_socket
from overair.callbacks.sender import Sender, tls_context
from overair.config import ConfigError, Settings
from overair.store.callback_log import Attempt
from overair.store.callbacks import Message
from tests.callbacks.conftest import SETTINGS
from tests.callbacks.listening import Authority, listening
from tests.conftest import START

SECRET = "s3cret"
CAREFUL = Settings()
BODY = '{"campaignName": "x"}'


async def send(url: str, settings: Settings) -> Attempt:
    async with Sender(settings, 4) as sender:
        return await sender.send(url, Message(id=1, body=BODY, attempts=0), START)


async def test_a_trusted_certificate_is_taken(authority: Authority) -> None:
    """A certificate of an authority in the CA file is good."""
    settings = msgspec.structs.replace(SETTINGS, callback_ca_file=str(authority.file))
    async with listening(authority.server()) as listener:
        attempt = await send(listener.url, settings)
        assert (attempt.status, attempt.error) == (200, "")
        assert listener.names() == ["x"]


async def test_an_unknown_authority_is_refused(authority: Authority) -> None:
    """Without the CA file the same certificate is not good, and nothing is sent."""
    async with listening(authority.server()) as listener:
        attempt = await send(listener.url, SETTINGS)
        assert attempt.status is None
        assert attempt.error.startswith("certificate refused: ")
        assert listener.received == []


async def test_a_self_signed_certificate_is_refused(authority: Authority) -> None:
    """A self-signed certificate is refused, also where there is a CA file."""
    settings = msgspec.structs.replace(SETTINGS, callback_ca_file=str(authority.file))
    async with listening(authority.server(trusted=False)) as listener:
        attempt = await send(listener.url, settings)
        assert "self-signed" in attempt.error.replace(" ", "-")
        assert listener.received == []


async def test_a_certificate_for_another_host_is_refused(authority: Authority) -> None:
    """The certificate has to be for the host that was registered."""
    settings = msgspec.structs.replace(SETTINGS, callback_ca_file=str(authority.file))
    async with listening(authority.server()) as listener:
        attempt = await send(listener.url.replace("127.0.0.1", "localhost"), settings)
        assert attempt.error.startswith("certificate refused: ")
        assert listener.received == []


async def test_plain_text_behind_https_is_no_answer() -> None:
    """A server that speaks no TLS fails the attempt."""
    async with listening() as listener:
        attempt = await send(listener.url.replace("http:", "https:"), SETTINGS)
        assert attempt.error.startswith("TLS failed: ")
        assert listener.received == []


def test_a_ca_file_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    """A CA file that is missing or no certificate is refused when the server starts."""
    for path in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        if path.stem == "empty":
            path.write_text("no certificate")
        with pytest.raises(ConfigError, match="callback_ca_file"):
            tls_context(msgspec.structs.replace(SETTINGS, callback_ca_file=str(path)))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "0x7f.1", "localhost", "[::1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]"]
)
async def test_private_addresses_are_refused_when_connecting(host: str) -> None:
    """However the loopback address is written, and by name, nothing is connected to."""
    async with listening() as listener:
        url = listener.url.replace("127.0.0.1", host) + f"?token={SECRET}"
        attempt = await send(url, CAREFUL)
        assert attempt.status is None
        assert attempt.error.startswith(REFUSED)
        assert SECRET not in attempt.error
        assert listener.received == []


async def test_a_name_that_changes_its_mind_gains_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name is judged by the address that is connected to, each time it is resolved anew."""
    answers = iter(["192.0.2.1", "127.0.0.1"])

    def rebinding(host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    async with listening() as listener:
        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        url = listener.url.replace("127.0.0.1", "rebinding.example")
        for word in ("documentation", "loopback"):
            attempt = await send(url, CAREFUL)
            assert attempt.error == f"{REFUSED} ({word})"
        assert listener.received == []


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0177.0.0.1", "0x7f000001"])
async def test_odd_addresses_are_not_called(host: str) -> None:
    """Loopback addresses in odd forms are not called, whoever it is that stops at them."""
    async with listening() as listener:
        attempt = await send(listener.url.replace("127.0.0.1", host), CAREFUL)
        assert attempt.status is None
        assert attempt.error
        assert listener.received == []


def test_sockets_are_made_for_public_addresses_only() -> None:
    """The guard makes a socket for a public address and raises for any other."""
    info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 443))
    guarded_socket(info).close()
    for address in ("10.0.0.1", "169.254.169.254", "100.64.0.1"):
        with pytest.raises(AddressRefusedError):
            guarded_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)))


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy could connect where we may not: the environment's are not looked at."""
    async with listening() as proxy, listening() as listener:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        attempt = await send(listener.url, SETTINGS)
        assert attempt.status == 200
        assert proxy.received == []


async def test_cookies_are_not_kept() -> None:
    """What a listener sets as a cookie does not come back to it."""
    async with listening() as listener, Sender(SETTINGS, 4) as sender:
        listener.headers = {"Set-Cookie": "a=b"}
        for _ in range(2):
            await sender.send(listener.url, Message(id=1, body=BODY, attempts=0), START)
        assert [r.headers.get("Cookie") for r in listener.received] == [None, None]


async def test_nobody_listening_is_told_without_the_address() -> None:
    """A refused connection says so and keeps the address to itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    attempt = await send(f"http://127.0.0.1:{port}/?token={SECRET}", SETTINGS)
    assert attempt.error.startswith("could not connect: ")
    assert SECRET not in attempt.error
    assert str(port) not in attempt.error


async def test_an_unknown_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that nobody knows fails the attempt."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    attempt = await send("https://listener.example/", SETTINGS)
    assert attempt.error == "the host's name could not be resolved"


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 999999 x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x" * 100_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: minus\r\n\r\n",
        b"\x00" * 64,
    ],
)
async def test_what_is_no_http_is_no_answer(answer: bytes) -> None:
    """Bytes that are no HTTP response fail the attempt and nothing else."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        attempt = await send(f"http://127.0.0.1:{port}/", SETTINGS)
    assert attempt.status is None
    assert attempt.error in (
        "the answer was no valid HTTP",
        "the connection was closed before an answer",
    )
