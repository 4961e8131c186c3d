"""The simulated network: requests to processes, in memory, and what the weather does to them.

A request takes a while each way. It may be lost, arrive twice, or be held up; so may its answer, and an
answer may break off. A process that is gone refuses; one that dies with a request in its hands breaks the
connection off; one that stands still answers nothing until the client has waited for long enough.

The dice are those of whoever asks, and of the request's number: who else asks, and when, changes nothing.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from overair.simulation.clock import ProcessClock
from overair.simulation.loop import VirtualLoop
from overair.simulation.scenario import Fault, Trouble

BASE: Final = "http://fota.test"
PATIENCE_S: Final = 60.0
REORDERED: Final = "reordered"
"""What arrived after something that was sent later: held up, or repeated."""
LOST_S: Final = (1.0, 60.0, 300.0)
"""For how long a client waits for an answer that does not come, and tries to connect."""


class NoAnswerError(Exception):
    """The request had no answer; whether it had an effect nobody can say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer; ``cut`` if it broke off."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool = False


Heard = Callable[[int, bytes], None]
"""What is to be told of the status and the body of an answer."""


class Host(Protocol):
    """A process that requests may go to."""

    name: str
    alive: bool
    context: Context
    clock: ProcessClock
    exchanges: "set[Exchange]"

    async def answer(self, scope: Any, receive: Any, send: Any) -> None: ...


@dataclass(eq=False)
class Exchange:
    """A request in a process's hands."""

    head: Any = None
    parts: list[bytes] = field(default_factory=list)
    done: "asyncio.Future[bool] | None" = None

    def end(self, *, whole: bool) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_result(whole)


class Network:
    """The way from everybody to the processes."""

    def __init__(
        self,
        loop: VirtualLoop,
        hosts: Callable[[], list[Host]],
        count: Callable[[str], None],
        failed: Callable[[str], None],
        overhear: Callable[[Host, str, str, bytes], Heard | None],
    ) -> None:
        self._loop = loop
        self._hosts = hosts
        self.count = count
        self._failed = failed
        self._overhear = overhear
        self._weather: list[Fault] = []
        self.requests = 0
        self._latest: dict[str, int] = {}  # who asked when for the last time

    def set_weather(self, faults: list[Fault]) -> None:
        self._weather = faults

    def strikes(self, trouble: Trouble, dice: Random, who: str) -> bool:
        """Whether the weather of that kind hits a request now."""
        now = self._loop.time()
        for fault in self._weather:
            if (
                fault.trouble is trouble
                and fault.at <= now < fault.until
                and (not fault.who or who.startswith(fault.who))
                and dice.random() < fault.rate
            ):
                self.count(trouble)
                return True
        return False

    async def request(
        self,
        who: str,
        dice: Random,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
    ) -> Response:
        """Ask for something. Raises NoAnswerError."""
        self.requests += 1
        self._latest[who] = number = self.requests
        await asyncio.sleep(self._latency(dice, who))
        if self.strikes(Trouble.LOSS, dice, who):
            await asyncio.sleep(dice.choice(LOST_S))
            raise NoAnswerError("lost on the way there")
        hosts = self._hosts()
        if not hosts:
            # Who is down refuses nothing, so whoever connects waits.
            await asyncio.sleep(dice.choice(LOST_S))
            raise NoAnswerError("nobody is there")
        host = hosts[dice.randrange(len(hosts))]
        if self.strikes(Trouble.DUPLICATE, dice, who):
            other = hosts[dice.randrange(len(hosts))]
            later = dice.choice((0.0, 0.5, 30.0))
            self._loop.call_later(
                later, self._repeat, other, who, number, method, url, headers, body
            )
        heard = self._overhear(host, method, url, body)
        exchange = self._begin(host, method, url, headers, body)
        assert exchange.done is not None
        timer = self._loop.call_later(PATIENCE_S, lambda: exchange.end(whole=False))
        whole = await exchange.done
        timer.cancel()
        host.exchanges.discard(exchange)
        if not whole:
            raise NoAnswerError("no answer")
        # The management API says so of a full disk, too; what was not foreseen is in its log.
        if exchange.head["status"] == 500 and "/api/" not in url:
            self._failed(f"{method} {url} was answered 500")
        if heard is not None:
            heard(exchange.head["status"], b"".join(exchange.parts))
        await asyncio.sleep(self._latency(dice, who))
        if self.strikes(Trouble.REPLY_LOSS, dice, who):
            await asyncio.sleep(dice.choice(LOST_S))
            raise NoAnswerError("lost on the way back")
        answer = b"".join(exchange.parts)
        cut = bool(answer) and self.strikes(Trouble.CUT, dice, who)
        if cut:
            answer = answer[: dice.randrange(len(answer))]
        return Response(
            status=exchange.head["status"],
            headers={n.decode().lower(): v.decode() for n, v in exchange.head["headers"]},
            body=answer,
            cut=cut,
        )

    def _latency(self, dice: Random, who: str) -> float:
        if self.strikes(Trouble.DELAY, dice, who):
            return dice.choice((1.0, 8.0, 40.0)) * dice.random()
        return 0.005 + 0.02 * dice.random()

    def _repeat(
        self,
        host: Host,
        who: str,
        number: int,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> None:
        if host.alive:
            if self._latest[who] != number:
                self.count(REORDERED)
            exchange = self._begin(host, method, url, headers, body)
            assert exchange.done is not None
            exchange.done.add_done_callback(lambda _: host.exchanges.discard(exchange))

    def _begin(
        self, host: Host, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Exchange:
        exchange = Exchange(done=self._loop.create_future())
        host.exchanges.add(exchange)
        parts = urlsplit(url)
        scope = {
            "type": "http",
            "method": method,
            "scheme": "http",
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "headers": [
                (b"host", b"fota.test"),
                (b"content-length", str(len(body)).encode()),
                *((n.lower().encode(), v.encode("latin-1")) for n, v in headers.items()),
            ],
            "client": ("127.0.0.1", 1),
        }
        given = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if given:
                return given.pop()
            await asyncio.sleep(PATIENCE_S)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                exchange.head = message
                return
            exchange.parts.append(message.get("body", b""))
            if not message.get("more_body"):
                exchange.end(whole=True)

        async def serve() -> None:
            try:
                await host.answer(scope, receive, send)
            finally:
                exchange.end(whole=False)

        self._loop.create_task(serve(), context=host.context.copy())
        return exchange
