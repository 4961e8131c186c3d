"""A loopback HTTP proxy that records every exchange and can cut or hold a response in its middle.

It stands between a real client and the server and changes no byte: the client is simply given its address as base
URL. The server builds its links from the Host it was asked with, so they lead through the proxy too (a server with a
fixed public base URL must have that set to the proxy's). A rule names requests by a pattern over "METHOD target" and
the number of body bytes after which the response is broken off (`cut`), stopped until released (`hold`) or let
through drop by drop until released (`trickle`). The first lets a test see a download resumed, the others give it time
to cancel during one; swupdate needs the trickle, because it looks for a cancel only as bytes arrive.
"""

import asyncio
import contextlib
import enum
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.peers.wire import HEAD_LIMIT, Head, WireError, read_body, read_head

PIECE = 4096
DROP = 512
DROP_EVERY_S = 0.05


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request and what came back so far."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    status: int | None = None
    body_bytes: int = 0
    cut: bool = False
    done: bool = False

    def header(self, name: str) -> str | None:
        """Return the first value of a request header, compared without case."""
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    @property
    def line(self) -> str:
        """Return "METHOD target", which rules are matched against."""
        return f"{self.method} {self.target}"


class Action(enum.Enum):
    """What happens to a response when it reaches the rule's number of bytes."""

    CUT = enum.auto()
    HOLD = enum.auto()
    TRICKLE = enum.auto()


@dataclass(slots=True, kw_only=True)
class Rule:
    """Break into the next `times` responses whose request matches."""

    pattern: re.Pattern[str]
    after_bytes: int
    action: Action
    times: int = 1
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)


class CuttingProxy:
    """Listens on a free loopback port while entered; `base_url` is what the client gets."""

    def __init__(self, upstream_host: str, upstream_port: int) -> None:
        self.upstream = (upstream_host, upstream_port)
        self.exchanges: list[Exchange] = []
        self.port = 0
        self._rules: list[Rule] = []
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        """Return the address to give to the client."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=HEAD_LIMIT)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, pattern: str, *, after_bytes: int, times: int = 1) -> Rule:
        """Drop the client's connection after so many body bytes of a matching response."""
        return self._add(pattern, Action.CUT, after_bytes=after_bytes, times=times)

    def hold(self, pattern: str, *, after_bytes: int) -> Rule:
        """Stop a matching response after so many body bytes, until `rule.release.set()`."""
        return self._add(pattern, Action.HOLD, after_bytes=after_bytes, times=1)

    def trickle(self, pattern: str, *, after_bytes: int) -> Rule:
        """Let a matching response through drop by drop after so many body bytes, until `rule.release.set()`."""
        return self._add(pattern, Action.TRICKLE, after_bytes=after_bytes, times=1)

    def matching(self, pattern: str) -> list[Exchange]:
        """Return the exchanges whose "METHOD target" matches, in order of arrival."""
        return [e for e in self.exchanges if re.search(pattern, e.line)]

    async def wait_for(
        self, condition: Callable[[list[Exchange]], bool], timeout_s: float = 30.0
    ) -> None:
        """Wait until the recorded exchanges satisfy a condition."""
        async with self._changed:
            try:
                await asyncio.wait_for(
                    self._changed.wait_for(lambda: condition(self.exchanges)), timeout_s
                )
            except TimeoutError:
                seen = "\n".join(f"{e.line} -> {e.status}" for e in self.exchanges[-40:])
                raise AssertionError(
                    f"not seen within {timeout_s} s; last exchanges:\n{seen}"
                ) from None

    def _add(self, pattern: str, action: Action, *, after_bytes: int, times: int) -> Rule:
        rule = Rule(
            pattern=re.compile(pattern), after_bytes=after_bytes, action=action, times=times
        )
        self._rules.append(rule)
        return rule

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        upstream: asyncio.StreamWriter | None = None
        try:
            answers, upstream = await asyncio.open_connection(*self.upstream, limit=HEAD_LIMIT)
            while (head := await read_head(reader)) is not None:
                if not await self._exchange(head, reader, writer, answers, upstream):
                    break
        except (OSError, WireError, asyncio.IncompleteReadError):
            pass  # Either side went away; the exchange keeps what was seen of it.
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            for stream in (writer, upstream):
                if stream is not None:
                    stream.close()
                    with contextlib.suppress(OSError, asyncio.CancelledError):
                        await stream.wait_closed()

    async def _exchange(
        self,
        head: Head,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
    ) -> bool:
        exchange = Exchange(method=head.method, target=head.target, headers=head.headers)
        upstream.write(head.raw)
        # Side by side, because a client may hold its body back until it reads "100 Continue" (libcurl on PUT).
        sending = asyncio.create_task(read_body(reader, head, upstream.write))
        try:
            await self._record(exchange)
            answer = await read_head(answers)
            while answer is not None and answer.status == 100:
                writer.write(answer.raw)
                answer = await read_head(answers)
            if answer is None:
                return False
            refused_early = not sending.done() and answer.status >= 400
            if not refused_early:
                exchange.body = await sending
        finally:
            sending.cancel()
        exchange.status = answer.status
        writer.write(answer.raw)
        if head.method == "HEAD" or answer.status in (204, 304):
            await writer.drain()
        elif answer.length is not None:
            if not await self._body(exchange, answer.length, answers, writer):
                return False
        elif answer.chunked:
            exchange.body_bytes = len(await read_body(answers, answer, writer.write))
            await writer.drain()
        else:
            while data := await answers.read(PIECE):
                exchange.body_bytes += len(data)
                writer.write(data)
            await writer.drain()
            return False
        exchange.done = True
        await self._notify()
        return not refused_early

    async def _body(
        self,
        exchange: Exchange,
        length: int,
        answers: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        rule = self._rule_for(exchange)
        while exchange.body_bytes < length:
            room = min(PIECE, length - exchange.body_bytes)
            if rule is not None and exchange.body_bytes >= rule.after_bytes:
                rule.reached.set()
                await self._notify()
                if rule.release.is_set():
                    rule = None
                elif rule.action is Action.CUT:
                    exchange.cut = True
                    await self._notify()
                    return False
                elif rule.action is Action.HOLD:
                    await rule.release.wait()
                else:
                    await asyncio.sleep(DROP_EVERY_S)
                    room = min(room, DROP)
            elif rule is not None:
                room = min(room, rule.after_bytes - exchange.body_bytes)
            data = await answers.read(room)
            if not data:
                return False
            writer.write(data)
            await writer.drain()
            exchange.body_bytes += len(data)
        return True

    def _rule_for(self, exchange: Exchange) -> Rule | None:
        for rule in self._rules:
            if rule.times > 0 and rule.pattern.search(exchange.line):
                rule.times -= 1
                return rule
        return None

    async def _record(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
