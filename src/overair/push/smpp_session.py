"""A session with an SMS centre: SMPP 3.4 as its client, on one connection.

The PDUs are ``smpplib``'s; the connection is our own, because the library's client blocks its thread, does
not know IPv6, and does not verify whom it speaks TLS with. We bind as a transmitter: nothing is to be
received. What the centre asks (``enquire_link``, ``unbind``) is answered; what it may not send to a
transmitter is refused with a ``generic_nack``, and it stays connected.

A session that says nothing is asked whether it is there. One that does not answer in time, or sends what
is no SMPP, is over: ``run`` returns by raising, and whoever waits for an answer hears of it.

Not here: when to connect again, and what an SMS is made of (``push/smpp.py``).
"""

import asyncio
import ssl
import struct
from dataclasses import dataclass
from typing import Any, Final

from smpplib import consts, smpp
from smpplib.client import SimpleSequenceGenerator

from overair.config import Smpp

MAX_PDU_BYTES: Final = 64 * 1024
_HEADER: Final = struct.Struct(">LLLL")  # length, command id, status, sequence (SMPP 3.2.1)
_RESPONSE: Final = 0x80000000

_ENQUIRE_LINK: Final = 0x00000015
_UNBIND: Final = 0x00000006
_RINVCMDID: Final = 0x00000003
_RINVBNDSTS: Final = 0x00000004


class SmppError(Exception):
    """The session is over, or was never begun; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """How long anything may take, in seconds."""

    connect_s: float = 10.0
    answer_s: float = 10.0
    enquire_s: float = 30.0
    """Of silence, after which the centre is asked whether it is there."""
    unbind_s: float = 2.0
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """An SMS to one number."""

    source: str
    source_ton: int
    source_npi: int
    number: str
    number_ton: int
    number_npi: int
    validity: str
    """Relative, as SMPP 7.1.1.2 writes it."""
    user_data: bytes
    """With its header."""


class SmppSession:
    """One bound connection; made with ``open_session``."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timers: Timers
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._timers = timers
        self._sequence = SimpleSequenceGenerator()
        self._head: tuple[int, int, int, int] | None = None
        self._waiting: dict[int, asyncio.Future[int]] = {}

    async def submit(self, submission: Submission) -> int:
        """Submit an SMS; the centre's status for it. Raises SmppError."""
        pdu = smpp.make_pdu(
            "submit_sm",
            client=self._sequence,
            source_addr_ton=submission.source_ton,
            source_addr_npi=submission.source_npi,
            source_addr=submission.source,
            dest_addr_ton=submission.number_ton,
            dest_addr_npi=submission.number_npi,
            destination_addr=submission.number,
            esm_class=consts.SMPP_GSMFEAT_UDHI,
            data_coding=consts.SMPP_ENCODING_BINARY2,  # 8 bits, as they are
            validity_period=submission.validity,
            registered_delivery=0,
            short_message=submission.user_data,
        )
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        sequence: int = pdu.sequence
        self._waiting[sequence] = answer
        try:
            async with asyncio.timeout(self._timers.answer_s):
                await self._write(pdu)
                return await answer
        except TimeoutError:
            self.abort()
            raise SmppError("it does not answer") from None
        except OSError as error:
            raise SmppError(str(error)) from error
        finally:
            self._waiting.pop(sequence, None)
            # If the session ended meanwhile, nobody else looks at it.
            if answer.done() and not answer.cancelled():
                answer.exception()

    async def run(self) -> None:
        """Read what the centre sends, until it is over. Raises SmppError, always.

        Cancelled, it leaves the session open, for ``close``.
        """
        try:
            await self._listen()
        except asyncio.CancelledError:
            raise
        except OSError as error:
            self._give_up()
            raise SmppError(str(error)) from error
        except BaseException:
            self._give_up()
            raise

    async def _listen(self) -> None:
        asked = False
        while True:
            limit_s = self._timers.answer_s if asked else self._timers.enquire_s
            try:
                async with asyncio.timeout(limit_s):
                    pdu = await self._next()
            except TimeoutError:
                if asked:
                    raise SmppError("it does not answer") from None
                asked = True
                await self._write(smpp.make_pdu("enquire_link", client=self._sequence))
                continue
            asked = False
            await self._take(*pdu)

    async def bind(self, settings: Smpp) -> None:
        """Say who we are. Raises SmppError."""
        pdu = smpp.make_pdu(
            "bind_transmitter",
            client=self._sequence,
            system_id=settings.system_id,
            password=settings.password,
            system_type=settings.system_type,
            interface_version=consts.SMPP_VERSION_34,
        )
        await self._write(pdu)
        while True:
            command, status, sequence = await self._next()
            if command & _RESPONSE and sequence == pdu.sequence:
                break
            await self._take(command, status, sequence)
        if status:
            raise SmppError(f"it refuses us: {describe(status)}")

    async def close(self) -> None:
        """Say goodbye, and do not wait for long."""
        try:
            async with asyncio.timeout(self._timers.unbind_s):
                await self._write(smpp.make_pdu("unbind", client=self._sequence))
                while (await self._next())[0] != _UNBIND | _RESPONSE:
                    pass
        except (OSError, TimeoutError, SmppError):
            pass  # it is as gone as can be
        finally:
            self._give_up()

    def abort(self) -> None:
        """End it at once; ``run`` notices."""
        self._writer.transport.abort()

    def _give_up(self) -> None:
        self.abort()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(SmppError("the session ended"))

    async def _take(self, command: int, status: int, sequence: int) -> None:
        """Act on a PDU."""
        if command & _RESPONSE:
            answer = self._waiting.get(sequence)
            if answer is not None and not answer.done():
                answer.set_result(status)
        elif command == _ENQUIRE_LINK:
            await self._answer("enquire_link_resp", sequence)
        elif command == _UNBIND:
            await self._answer("unbind_resp", sequence)
            raise SmppError("it says goodbye")
        else:
            known = command in _COMMANDS
            await self._answer("generic_nack", sequence, _RINVBNDSTS if known else _RINVCMDID)

    async def _answer(self, name: str, sequence: int, status: int = 0) -> None:
        pdu = smpp.make_pdu(name, client=self._sequence)
        pdu.sequence, pdu.status = sequence, status
        await self._write(pdu)

    async def _write(self, pdu: Any) -> None:
        self._writer.write(pdu.generate())
        await self._writer.drain()

    async def _next(self) -> tuple[int, int, int]:
        """Command, status and sequence of the next PDU; of its body there is nothing to know.

        May be given up between its parts, and called again.
        """
        try:
            if self._head is None:
                self._head = _HEADER.unpack(await self._reader.readexactly(_HEADER.size))
            length, command, status, sequence = self._head
            if not _HEADER.size <= length <= MAX_PDU_BYTES:
                raise SmppError(f"it sends what is no SMPP: a PDU of {length} bytes")
            await self._reader.readexactly(length - _HEADER.size)
        except asyncio.IncompleteReadError:
            raise SmppError("it closed the connection") from None
        self._head = None
        return command, status, sequence


# Requests of SMPP 3.4 that are not for a transmitter to get (5.1.2.1).
_COMMANDS: Final = frozenset(
    {0x01, 0x02, 0x03, 0x04, 0x05, 0x07, 0x08, 0x09, 0x0B, 0x21, 0x102, 0x103}
)


def describe(status: int) -> str:
    """A status in words."""
    words = consts.DESCRIPTIONS.get(status, "a status of its own")
    return f"{words} (0x{status:08X})"


async def open_session(settings: Smpp, timers: Timers) -> SmppSession:
    """Connect and bind. Raises SmppError."""
    context: ssl.SSLContext | None = None
    if settings.tls:
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        async with asyncio.timeout(timers.connect_s):
            reader, writer = await asyncio.open_connection(
                settings.host, settings.port, ssl=context
            )
    except TimeoutError:
        raise SmppError("it does not accept the connection") from None
    except OSError as error:
        raise SmppError(str(error)) from error
    session = SmppSession(reader, writer, timers)
    try:
        async with asyncio.timeout(timers.answer_s):
            await session.bind(settings)
    except TimeoutError:
        session.abort()
        raise SmppError("it does not answer") from None
    except OSError as error:
        session.abort()
        raise SmppError(str(error)) from error
    except BaseException:
        session.abort()
        raise
    return session
