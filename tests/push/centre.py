"""An SMS centre on loopback, written from the SMPP 3.4 specification and from nothing else.

It reads what a client sends field by field and refuses what does not fit, so that it does not share the
misreadings of the library that the client is made with.
"""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

HEADER: Final = struct.Struct(">IIII")
RESPONSE: Final = 0x80000000
GENERIC_NACK, BIND_TRANSMITTER, SUBMIT_SM, UNBIND, ENQUIRE_LINK = 0x80000000, 2, 4, 6, 0x15
DELIVER_SM: Final = 5
RINVPASWD: Final = 0x0E


@dataclass(frozen=True, slots=True, kw_only=True)
class Pdu:
    """A PDU: its header and its body."""

    command: int
    status: int
    sequence: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """bind_transmitter (4.1.1)."""

    system_id: str
    password: str
    system_type: str
    interface_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """submit_sm (4.4.1), as far as there is something to say about it."""

    source_ton: int
    source_npi: int
    source: str
    number_ton: int
    number_npi: int
    number: str
    esm_class: int
    validity: str
    registered_delivery: int
    data_coding: int
    message: bytes


class Fields:
    """The fields of a body, in their order."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def octet(self) -> int:
        value, self._body = self._body[0], self._body[1:]
        return value

    def text(self, size: int) -> str:
        """A C-octet string of at most ``size`` octets with its NUL."""
        value, nul, self._body = self._body.partition(b"\0")
        assert nul, "a string without its end"
        assert len(value) < size, f"a string of more than {size} octets"
        return value.decode("ascii")

    def octets(self, count: int) -> bytes:
        assert len(self._body) >= count
        value, self._body = self._body[:count], self._body[count:]
        return value

    def end(self) -> None:
        assert not self._body, f"left over: {self._body!r}"


def read_bind(body: bytes) -> Bind:
    fields = Fields(body)
    system_id, password, system_type = fields.text(16), fields.text(9), fields.text(13)
    version = fields.octet()
    fields.octet()
    fields.octet()
    fields.text(41)
    fields.end()
    return Bind(
        system_id=system_id, password=password, system_type=system_type, interface_version=version
    )


def read_submit(body: bytes) -> Submitted:
    fields = Fields(body)
    assert fields.text(6) == "", "no service type"
    source_ton, source_npi, source = fields.octet(), fields.octet(), fields.text(21)
    number_ton, number_npi, number = fields.octet(), fields.octet(), fields.text(21)
    esm_class, protocol, priority = fields.octet(), fields.octet(), fields.octet()
    assert (protocol, priority) == (0, 0)
    assert fields.text(17) == "", "at once"
    validity, registered, replace = fields.text(17), fields.octet(), fields.octet()
    data_coding, canned = fields.octet(), fields.octet()
    assert (replace, canned) == (0, 0)
    message = fields.octets(fields.octet())
    fields.end()
    return Submitted(
        source_ton=source_ton,
        source_npi=source_npi,
        source=source,
        number_ton=number_ton,
        number_npi=number_npi,
        number=number,
        esm_class=esm_class,
        validity=validity,
        registered_delivery=registered,
        data_coding=data_coding,
        message=message,
    )


@dataclass(slots=True)
class Centre:
    """What the centre was sent, and how it answers."""

    port: int = 0
    password: str = "secret"
    status: int = 0
    silent: bool = False
    """Whether it leaves everything but binds unanswered."""
    binds: list[Bind] = field(default_factory=list)
    submitted: list[Submitted] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    others: list[Pdu] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _sequence: int = 0

    @property
    def connections(self) -> int:
        return len(self._writers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while True:
                self._take(await _read(reader), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception as error:
            self.faults.append(error)
        finally:
            self._writers.remove(writer)
            writer.close()

    def _take(self, pdu: Pdu, writer: asyncio.StreamWriter) -> None:
        if pdu.command == BIND_TRANSMITTER:
            bind = read_bind(pdu.body)
            self.binds.append(bind)
            right = bind.password == self.password
            _write(writer, pdu, b"centre\0" if right else b"", status=0 if right else RINVPASWD)
        elif pdu.command == SUBMIT_SM:
            self.submitted.append(read_submit(pdu.body))
            self.raw.append(HEADER.pack(16 + len(pdu.body), 4, 0, pdu.sequence) + pdu.body)
            if not self.silent:
                body = b"" if self.status else b"id-%d\0" % len(self.submitted)
                _write(writer, pdu, body, status=self.status)
        else:
            self.others.append(pdu)
            if pdu.command in (ENQUIRE_LINK, UNBIND) and not self.silent:
                _write(writer, pdu, b"")

    def ask(self, command: int, body: bytes = b"") -> int:
        """Send a request of the centre's own; its number."""
        self._sequence += 1
        for writer in self._writers:
            writer.write(HEADER.pack(16 + len(body), command, 0, self._sequence) + body)
        return self._sequence

    def say(self, raw: bytes) -> None:
        """Send bytes as they are."""
        for writer in self._writers:
            writer.write(raw)

    def drop(self) -> None:
        """Break every connection."""
        for writer in self._writers:
            writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> Pdu:
    length, command, status, sequence = HEADER.unpack(await reader.readexactly(16))
    assert 16 <= length <= 4096
    body = await reader.readexactly(length - 16)
    return Pdu(command=command, status=status, sequence=sequence, body=body)


def _write(writer: asyncio.StreamWriter, pdu: Pdu, body: bytes, status: int = 0) -> None:
    head = HEADER.pack(16 + len(body), pdu.command | RESPONSE, status, pdu.sequence)
    writer.write(head + body)


@contextlib.asynccontextmanager
async def running(centre: Centre, tls: ssl.SSLContext | None = None) -> AsyncIterator[Centre]:
    """The centre, while it listens; on the same port again if it had one."""
    server = await asyncio.start_server(centre.serve, "127.0.0.1", centre.port, ssl=tls)
    centre.port = server.sockets[0].getsockname()[1]
    try:
        yield centre
    finally:
        server.close()
        centre.drop()
        await server.wait_closed()
