"""A load generator for LwM2M, in a process of its own: up to 100,000 devices behind one socket.

`python -m bench.lwm2m_load` reads a `Crowd` (JSON, one line), then one `Step` a line, and writes a `Result` for
each. Between the steps it does nothing; what devices know (locations, tokens) stays.

Every device has an address of its own in 127.0.0.0/8, which the one socket sends from and hears at
(IP_PKTINFO): that costs the same for one device as for all. Steps are closed loops: so many devices ask at
once, each waits for its answer, and asks again after 2 s if there is none. Whatever the server asks meanwhile
is answered at once (`lwm2m_wire`), so that each endpoint that is registered is read, and really observed.
"""

import gc
import random
import select
import socket
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec
from OpenSSL import SSL

from bench import lwm2m_wire as wire
from bench.wire import Measure, Result
from overair.devices.lwm2m import records
from overair.devices.lwm2m.psk import MTU, PskClient, pending, step

REPEAT_S = 2.0
QUIET_S = 10.0  # nothing was heard for so long: what is open stays so
_IP_PKTINFO = 8  # not named before Python 3.14
_FIRST = 0x7F010000  # 127.1.0.0
_MOST_BYTES = 2048
_BUFFER_BYTES = 4 * 1024 * 1024
_READ = 64
_NOT_FOUND = 0x84


class Crowd(msgspec.Struct, kw_only=True):
    """Who there is, and whom they speak with."""

    port: int
    count: int
    first: int = 0  # the number of the first device
    secure: bool = False
    registered: bool = False  # the other side takes them for that, wherever they say they are
    echoes: bool = False  # it sends back what it gets


class Step(msgspec.Struct, kw_only=True):
    """What they do next."""

    kind: str  # connect | register | bare | update | notify
    at_once: int = 256
    seconds: float = 5.0  # of updates; of the others at most
    count: int = 0  # of devices; 0: all. Updates come from any
    seed: int = 1


class Outcome(msgspec.Struct, kw_only=True):
    """A result, and what belongs to it."""

    result: Result
    repeats: int = 0
    answers: int = 0  # given to the server
    observed: int = 0  # devices that the server observes
    observed_s: float = 0.0  # from the beginning of the step to the last that it began


class Port(Protocol):
    """Where datagrams of devices go out and come in."""

    def send(self, number: int, datagram: bytes) -> None: ...

    def receive(self) -> list[tuple[int, bytes]]: ...


class Plain:
    """One socket for all."""

    def __init__(self, port: int) -> None:
        self._socket = made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            made.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        made.bind(("0.0.0.0", 0))
        self._server = ("127.0.0.1", port)
        self._poll = select.poll()
        self._poll.register(made, select.POLLIN)

    def send(self, number: int, datagram: bytes) -> None:
        """Send it from the device's address; what the kernel has no room for is lost."""
        address = b"\0\0\0\0" + (_FIRST + number).to_bytes(4, "big") + b"\0\0\0\0"
        try:  # contextlib.suppress takes as long as the rest of it
            self._socket.sendmsg(
                (datagram,), ((socket.IPPROTO_IP, _IP_PKTINFO, address),), 0, self._server
            )
        except BlockingIOError:
            return

    def receive(self) -> list[tuple[int, bytes]]:
        """Return what came, after waiting for it for a while."""
        found: list[tuple[int, bytes]] = []
        receive = self._socket.recvmsg
        if not self._poll.poll(100):
            return found
        try:
            while len(found) < _READ:
                datagram, told, _, _ = receive(_MOST_BYTES, 64)
                found.append((int.from_bytes(told[0][2][4:8], "big") - _FIRST, datagram))
        except BlockingIOError:
            pass
        return found


class Secure:
    """The same through one DTLS session for each device."""

    def __init__(self, plain: Plain) -> None:
        self._plain = plain
        # The client is kept, for OpenSSL calls back into it.
        self._clients: dict[int, PskClient] = {}
        self.done: set[int] = set()

    def shake(self, number: int) -> None:
        """Begin a handshake, or go on with it."""
        client = self._clients.get(number)
        if client is None:
            identity = wire.imei(number).encode()
            client = self._clients[number] = PskClient(identity, key_of(number))
        self._shake(number, client.connection)

    def _shake(self, number: int, connection: SSL.Connection) -> None:
        if step(connection):
            self.done.add(number)
        for each in records.datagrams(pending(connection), MTU):
            self._plain.send(number, each)

    def send(self, number: int, datagram: bytes) -> None:
        connection = self._clients[number].connection
        connection.send(datagram)
        self._plain.send(number, connection.bio_read(_MOST_BYTES))

    def receive(self) -> list[tuple[int, bytes]]:
        """Return what was said in sessions; handshakes go on meanwhile."""
        found: list[tuple[int, bytes]] = []
        for number, datagram in self._plain.receive():
            connection = self._clients[number].connection
            connection.bio_write(datagram)
            if number not in self.done:
                self._shake(number, connection)
                continue
            try:
                found.append((number, connection.recv(_MOST_BYTES)))
            except SSL.WantReadError:
                continue
        return found


def key_of(number: int) -> bytes:
    """Return the key of a device, as the fleet file has it."""
    return (0x6F76657261697200 << 64 | number).to_bytes(16, "big")


class Devices:
    """All of them, and what they know."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._plain = Plain(crowd.port)
        self._port: Port = self._plain
        self._secure: Secure | None = None
        if crowd.secure:
            self._port = self._secure = Secure(self._plain)
        self._numbers = range(crowd.first, crowd.first + crowd.count)
        chance = random.Random(7)
        self._mids = array("H", (chance.randrange(1 << 16) for _ in range(crowd.count)))
        self._updates: dict[int, bytes] = {}
        if crowd.registered:
            location = b"x" * wire.LOCATION_BYTES
            self._updates = {each: wire.update(each, location) for each in self._numbers}
        self._answers = wire.Answers()
        self._tokens: dict[int, bytes] = {}

    def carry_out(self, what: Step) -> Outcome:
        """Do what a step says."""
        count = what.count or len(self._numbers)
        loop = _Loop(self._port, self._heard, what)
        self._repeats = self._given = 0
        self._loop = loop
        self._observed_at = loop.started
        before = len(self._tokens)
        if what.kind == "connect":
            self._connect(what, count)
        elif what.kind in ("register", "bare"):
            objects = wire.OBJECTS if what.kind == "register" else wire.BARE_OBJECTS
            wanted = {n: wire.register(n, objects) for n in self._numbers[:count]}
            gc.collect()
            gc.freeze()
            loop.run(((n, self._post(n, tail)) for n, tail in wanted.items()), self._registered)
            if what.kind == "register":
                loop.wait(lambda: len(self._tokens) - before >= count, self._sign)
        elif what.kind == "update":
            loop.run(self._any(what.seed), self._updated, what.seconds)
        else:
            self._notify(what.count)
        return Outcome(
            result=loop.measure.result(what.kind, loop.done, loop.seconds),
            repeats=loop.repeats,
            answers=self._given,
            observed=len(self._tokens),
            observed_s=self._observed_at - loop.started,
        )

    def _sign(self) -> int:
        return self._given

    def _post(self, number: int, tail: bytes) -> bytes:
        index = number - self._crowd.first
        mid = self._mids[index] = (self._mids[index] + 1) & 0xFFFF
        return wire.POST + mid.to_bytes(2, "big") + tail

    def _any(self, seed: int) -> Iterator[tuple[int, bytes]]:
        """Updates of devices by chance, without end."""
        chance = random.Random(seed)
        known = list(self._updates.items())
        while True:
            for number, tail in chance.choices(known, k=4096):
                yield number, self._post(number, tail)

    # What comes ---------------------------------------------------------------------------------

    def _heard(self, number: int, datagram: bytes) -> bool:
        """See to what is no answer to a request of ours; whether it was that."""
        if self._crowd.echoes or datagram[1] >= 0x20 or datagram[0] & 0x30 == 0x20:
            return False
        if datagram[1] == 0:
            return True
        answer, observes = self._answers.to(datagram, number)
        if observes:
            self._tokens[number] = datagram[4 : 4 + (datagram[0] & 0x0F)]
            self._observed_at = time.perf_counter()
        self._given += 1
        self._port.send(number, answer)
        return True

    def _registered(self, number: int, answer: bytes) -> str:
        location = wire.location_of(answer) if answer[1] == wire.CREATED else None
        if location is None:
            return f"Register of {wire.endpoint(number)}: {answer.hex()}"
        self._updates[number] = wire.update(number, location)
        return ""

    def _updated(self, number: int, answer: bytes) -> str:
        if self._crowd.echoes or answer[1] == wire.CHANGED:
            return ""
        return f"Update of {wire.endpoint(number)}: {answer.hex()}"

    # Sessions, and notifications ----------------------------------------------------------------

    def _connect(self, what: Step, count: int) -> None:
        assert self._secure is not None
        secure, loop = self._secure, self._loop
        waiting = iter(self._numbers[:count])
        out: dict[int, float] = {}
        heard = loop.started
        while True:
            now = time.perf_counter()
            for number in [each for each in out if each in secure.done]:
                loop.measure.latencies.append(now - out.pop(number))
                heard = now
            while len(out) < what.at_once and (number := next(waiting, -1)) >= 0:
                out[number] = time.perf_counter()
                secure.shake(number)
            if not out:
                break
            if now - heard > QUIET_S:
                loop.measure.error(f"{len(out)} handshakes came to nothing")
                break
            secure.receive()
        loop.finish(len(secure.done))

    def _notify(self, count: int) -> None:
        """Let some tell that their cell is another; whoever is not heard is reset."""
        loop = self._loop
        told: dict[tuple[int, bytes], float] = {}
        some = random.Random(3).sample(sorted(self._tokens), min(count, len(self._tokens)))
        for number in some:
            index = number - self._crowd.first
            mid = self._mids[index] = (self._mids[index] + 1) & 0xFFFF
            said = wire.notification(self._tokens[number], mid, number + 1)
            told[number, said[2:4]] = time.perf_counter()
            self._port.send(number, said)
        deadline = time.perf_counter() + QUIET_S
        heard = 0
        while told and time.perf_counter() < deadline:
            for number, datagram in self._port.receive():
                sent = told.pop((number, datagram[2:4]), None) if datagram[1] == 0 else None
                if sent is None:
                    self._heard(number, datagram)
                elif datagram[0] & 0x30 == 0x20:
                    heard += 1
                    loop.measure.latencies.append(time.perf_counter() - sent)
        if heard < len(some):
            loop.measure.error(f"{len(some) - heard} of {len(some)} notifications were not wanted")
        loop.finish(heard)
        quiet = self._given
        loop.wait(lambda: False, self._sign, 0.5)
        assert self._given >= quiet


class _Loop:
    """So many at once, each until it has its answer."""

    def __init__(self, port: Port, heard: Callable[[int, bytes], bool], what: Step) -> None:
        self._port = port
        self._heard = heard
        self._at_once = what.at_once
        self._most_s = what.seconds
        self.measure = Measure()
        self.started = time.perf_counter()
        self.seconds = 0.0
        self.done = 0
        self.repeats = 0

    def finish(self, done: int) -> None:
        self.seconds = time.perf_counter() - self.started
        self.done = done

    def run(
        self,
        asking: Iterator[tuple[int, bytes]],
        check: Callable[[int, bytes], str],
        seconds: float = 1e9,
    ) -> None:
        """Ask until nobody has a question, or the time is over."""
        clock, send, receive, heard = (
            time.perf_counter,
            self._port.send,
            self._port.receive,
            self._heard,
        )
        out: dict[int, tuple[float, bytes]] = {}
        record = self.measure.latencies.append
        self.started = clock()
        deadline = self.started + seconds
        looked = last = self.started
        more = True
        while True:
            while more and len(out) < self._at_once:
                number, datagram = next(asking, (-1, b""))
                if number < 0:
                    more = False
                elif number not in out:
                    out[number] = (clock(), datagram)
                    send(number, datagram)
            if not out:
                break
            for number, datagram in receive():
                waiting = out.get(number)
                if waiting is None or waiting[1][2:4] != datagram[2:4] or datagram[1] == 0:
                    if not heard(number, datagram):
                        self._separate(number, datagram, out, check)
                    continue
                if heard(number, datagram):
                    continue
                last = clock()
                record(last - waiting[0])
                del out[number]
                if problem := check(number, datagram):
                    self.measure.error(problem)
            now = clock()
            if now >= deadline:
                more = False
            if now - looked >= REPEAT_S / 4:
                looked = now
                self._repeat(out, now)
                if now - last > QUIET_S:
                    self.measure.error(f"{len(out)} requests without an answer")
                    break
        self.finish(len(self.measure.latencies))

    def _separate(
        self,
        number: int,
        datagram: bytes,
        out: dict[int, tuple[float, bytes]],
        check: Callable[[int, bytes], str],
    ) -> None:
        """An answer that comes by itself, after an acknowledgement without one."""
        kind, size = datagram[0] & 0x30, datagram[0] & 0x0F
        if datagram[1] < 0x40 or kind == 0x20:
            return
        if kind == 0:
            self._port.send(number, bytes((wire.ACK, 0)) + datagram[2:4])
        waiting = out.get(number)
        if waiting is None or waiting[1][4 : 4 + size] != datagram[4 : 4 + size]:
            return
        self.measure.latencies.append(time.perf_counter() - waiting[0])
        del out[number]
        if problem := check(number, datagram):
            self.measure.error(problem)

    def _repeat(self, out: dict[int, tuple[float, bytes]], now: float) -> None:
        for number, (sent, datagram) in out.items():
            waited, before = now - sent, now - sent - REPEAT_S / 4
            if int(waited / REPEAT_S) > int(max(0.0, before) / REPEAT_S):
                self.repeats += 1
                self._port.send(number, datagram)

    def wait(
        self, over: Callable[[], bool], sign: Callable[[], int], quiet_s: float = QUIET_S
    ) -> None:
        """Answer the server until it has what it wants, or nothing has come for a while."""
        last, seen = time.perf_counter(), sign()
        while not over():
            for number, datagram in self._port.receive():
                if not self._heard(number, datagram):
                    self._separate(number, datagram, {}, lambda *_: "")
            now = time.perf_counter()
            if sign() != seen:
                last, seen = now, sign()
            elif now - last > quiet_s:
                return


def main() -> None:
    """Take steps until there are no more."""
    lines = sys.stdin.buffer
    devices = Devices(msgspec.json.decode(lines.readline(), type=Crowd))
    for line in lines:
        outcome = devices.carry_out(msgspec.json.decode(line, type=Step))
        sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
