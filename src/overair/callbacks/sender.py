"""One HTTP request with one message in it, and what came of it.

Any 2xx whose head arrives within the time-out acknowledges; the body is of no interest, and only a
little of it is read, so that the connection can be used again. Certificates are verified against the
system's authorities and those of ``callback_ca_file``. Redirects are not followed, cookies not kept,
proxies and ``.netrc`` not looked at.

``X-Overair-Message-Id`` is the same each time a message is sent, so that a listener can recognise
one that it has had already.

Errors are told in words of ours: those of libraries have addresses in them, and a listener's address
may carry a secret.
"""

import asyncio
import os
import ssl
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Final, Protocol, Self

import aiohttp
import structlog
from yarl import URL

from overair import __version__
from overair.callbacks.guard import REFUSED, PooledResolver, any_socket, guarded_socket
from overair.config import ConfigError, Settings
from overair.store.callback_log import Attempt
from overair.store.callbacks import Message

MESSAGE_ID: Final = "X-Overair-Message-Id"
ANSWER_BYTES: Final = 16 * 1024  # of an answer's body, read and thrown away
ANSWER_S: Final = 1.0  # for that
IDLE_S: Final = 30.0  # after which an unused connection is closed

_HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": "application/json; charset=utf-8",
    "User-Agent": f"overair/{__version__}",
    "Accept-Encoding": "identity",
}

log = structlog.get_logger()


def tls_context(settings: Settings) -> ssl.SSLContext:
    """How listeners' certificates are verified. Raises ConfigError."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.callback_ca_file:
        try:
            context.load_verify_locations(cafile=settings.callback_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"settings: callback_ca_file: {settings.callback_ca_file}: {error}"
            ) from error
    return context


class Courier(Protocol):
    """What delivery needs of whoever sends: ``Sender``, or somebody in a simulated network."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def send(self, url: str, message: Message, at: datetime) -> Attempt: ...


class Sender:
    """Sends messages, within the context that it is."""

    def __init__(self, settings: Settings, connections: int) -> None:
        self._timeout_s = settings.callback_timeout_s
        self._context = tls_context(settings)
        self._factory = any_socket if settings.callback_private_addresses else guarded_socket
        self._connections = connections
        self._resolver: PooledResolver | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._resolver = PooledResolver()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections,
                # Listeners of several accounts may share a host: that is no reason to wait.
                limit_per_host=0,
                resolver=self._resolver,
                socket_factory=self._factory,
                ssl=self._context,
                keepalive_timeout=IDLE_S,
            ),
            headers=_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=None),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def send(self, url: str, message: Message, at: datetime) -> Attempt:
        """Try once. Whatever goes wrong is in the attempt; nothing but cancellation is raised."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        status: int | None = None
        problem = ""
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._post(url, message)
            status = answer.status
            if 300 <= status <= 399:
                problem = "redirects are not followed"
            took_s = loop.time() - begun
            await _discard(answer)
        except Exception as error:  # noqa: BLE001 - whatever it is, this attempt has failed
            took_s = loop.time() - begun
            if status is None:
                problem = describe(error)
        return Attempt(
            message_id=message.id,
            at=at,
            status=status,
            error=problem,
            duration_ms=round(took_s * 1000),
        )

    async def _post(self, url: str, message: Message) -> aiohttp.ClientResponse:
        assert self._session is not None
        return await self._session.post(
            # As registered: quoting it anew could change what it means to its owner.
            URL(url, encoded=True),
            data=message.body.encode(),
            headers={MESSAGE_ID: str(message.id)},
            allow_redirects=False,
        )


async def _discard(answer: aiohttp.ClientResponse) -> None:
    """Read the rest of a short answer, so that its connection may be kept; cut off a long one."""
    try:
        async with asyncio.timeout(ANSWER_S):
            left = ANSWER_BYTES
            while left > 0 and (part := await answer.content.read(left)):
                left -= len(part)
        if left > 0:
            answer.release()
            return
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass  # it has acknowledged, or not, with its head
    answer.close()


def describe(error: BaseException) -> str:
    """What went wrong, without any address."""
    match error:
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ClientConnectorCertificateError():
            cause = error.certificate_error
            reason = getattr(cause, "verify_message", "") or "not valid"
            return f"certificate refused: {reason}"
        case aiohttp.ClientConnectorSSLError():
            reason = getattr(error.os_error, "reason", None) or "handshake failed"
            return f"TLS failed: {reason}"
        case aiohttp.ClientConnectorDNSError():
            return "the host's name could not be resolved"
        case aiohttp.ClientConnectorError() if REFUSED in str(error.os_error):
            word = str(error.os_error).rpartition("(")[2].partition(")")[0]
            return f"{REFUSED} ({word})"
        case aiohttp.ClientConnectorError():
            # Not its own text, which has the address in it.
            number = error.os_error.errno
            return f"could not connect: {os.strerror(number) if number else 'no address answered'}"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | ConnectionError():
            return "the connection was closed before an answer"
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            return "the answer was no valid HTTP"
        case aiohttp.InvalidURL() | ValueError():
            return "the listener's URL cannot be used"
        case _:
            # The type only, for its text may have an address in it.
            log.error("callback attempt failed in an unforeseen way", error=type(error).__name__)
            return f"unforeseen: {type(error).__name__}"
