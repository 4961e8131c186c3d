"""A load generator for images over CoAP, in a process of its own: very many devices that take one at the same time.

`python -m bench.lwm2m_images_load` reads one order (a line of JSON) from standard input. It writes a line
for each step that the measurement waits for, and one result (JSON) at the end:

    registered   every device is, and has answered what it was asked
    begun        every device was given its image, or the address of it, and now they all go on at once
    transferred  every device has it, byte for byte
    updated      every device was told to update, and is registered with the new version

Each device has a socket of its own, one place in a loop over epoll, and one datagram under way. What goes
to and fro ten thousand times a second is packed and read by hand; the rest goes through our codec. Each block
is compared with the image's, and of every 50th device the whole by its digest.

Not in here: the check-ins of other devices meanwhile (`check_ins_load`).
"""

import hashlib
import itertools
import select
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from overair.protocols.coap.message import Message, decode_message, start
from overair.protocols.coap.numbers import Code, Option, Type
from overair.protocols.coap.request import request_body, response_body
from overair.protocols.coap.values import Request, Response
from overair.protocols.lwm2m.formats import ContentFormat, encode
from overair.protocols.lwm2m.registration import ObjectList, Register, register_request
from overair.protocols.lwm2m.values import Readings

MAKE, MODEL, FROM, TO = "Acme", "X1", "01", "02"
BLOCK = 1024
SAMPLED = 50
PER_CELL = 20
REGISTER_AT_ONCE = 64
REPEAT_S = 3.0  # what was not answered is said again
LOOK_S, QUIET_S = 0.25, 1.0  # after the latter nobody is asked anything any more
PUSH, PULL = "push", "pull"
_OBJECTS = ObjectList(paths=frozenset({(3, 0), (4, 0), (5, 0)}))
_PACKAGE_HEAD = b"\xb15\x010\x010\x11\x2a"  # Uri-Path 5, 0, 0; Content-Format 42
_PULLED_HEAD = 0x48  # ETag of eight bytes


class Order(msgspec.Struct, kw_only=True):
    """What to do, against which server."""

    kind: str  # push | pull; of devices that only check in, none
    coap: int
    image: str = ""
    first: int = 0  # IMEIs: 99 and 13 digits, from this one on
    count: int = 1000
    seconds: float = 60.0  # for each step, at most


class Taken(msgspec.Struct, kw_only=True):
    """What came of the transfers. Times are of the machine's monotonic clock."""

    devices: int
    begun_at: float = 0.0
    ended_at: float = 0.0
    began_together: int = 0
    bytes: int = 0
    complete: int = 0
    sampled: int = 0  # wholes whose digests are looked at
    digests: int = 0  # and are right
    updated: int = 0
    said_again: int = 0  # datagrams that a device repeated
    heard_again: int = 0  # and that the server did
    cpu_s: float = 0.0
    errors: int = 0
    first_error: str = ""


def imei(number: int) -> str:
    """Return the device's name."""
    return f"99{number:013d}"


class Device:
    """A device as far as it takes part: registered, asked, given an image, told to update."""

    def __init__(self, number: int, fleet: "Fleet") -> None:
        self.number = number
        self.fleet = fleet
        self.version = FROM
        self.state = self.result = 0
        self.location: tuple[bytes, ...] = ()
        self.offset = 0
        self.updated = False
        self.digest = hashlib.sha256() if number % SAMPLED == 0 else None
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect(("127.0.0.1", fleet.port))
        self.send = self.socket.send
        self.recv = self.socket.recv
        self._mid = number * 7 & 0xFFFF
        self._heard = -1  # message id of what came last, and what was said to it
        self._said = b""
        self._asked = b""  # what waits for an answer
        self._asked_at = 0.0
        self._answered: Callable[[Message], None] = self._registered
        self._held: tuple[bytes, bytes] | None = None  # token and Block1 of the first block
        self._tokens: dict[str, bytes] = {}  # of what is observed
        self._sequence, self._fetch = 1, b""
        self._fetch_token = (number & 0xFFFFFFFF).to_bytes(4, "big")

    # What it says

    def _next_mid(self) -> int:
        self._mid = (self._mid + 1) & 0xFFFF
        return self._mid

    def _ask(self, datagram: bytes, answered: Callable[[Message], None]) -> None:
        self._asked, self._answered, self._asked_at = datagram, answered, time.monotonic()
        self.send(datagram)

    def repeat(self, now: float) -> None:
        """Say again what was not answered."""
        if self._asked and now - self._asked_at >= REPEAT_S:
            self._asked_at = now
            self.fleet.taken.said_again += 1
            self.send(self._asked)

    def register(self) -> None:
        """Ask for a registration."""
        asked = Register(endpoint=f"urn:imei:{imei(self.number)}", objects=_OBJECTS)
        head = start(Type.CON, Code.POST, self._next_mid(), b"")
        self._ask(head + request_body(register_request(asked)), self._registered)

    def _registered(self, message: Message) -> None:
        if message.code != Code.CREATED:
            self.fleet.error(f"a Register gets {message.code:#x}")
            return
        self.location = tuple(v for n, v in message.options if n == Option.LOCATION_PATH)
        self.updated = self.version == TO
        self.fleet.registered(self)

    def update(self, answered: Callable[[Message], None]) -> None:
        """Say that the registration goes on."""
        path = tuple(each.decode() for each in self.location)
        head = start(Type.CON, Code.POST, self._next_mid(), b"")
        self._ask(head + request_body(Request(method=Code.POST, path=path)), answered)

    # What it hears

    def heard(self) -> None:
        """Take one datagram."""
        data = self.recv(2048)
        if data[12:20] == _PACKAGE_HEAD and data[0] == 0x48:
            self._pushed(data)
            return
        if data[0] == 0x64 and data[8] == _PULLED_HEAD and self._fetch:
            self._pulled(data)
            return
        self._other(decode_message(data))

    def _pushed(self, data: bytes) -> None:
        """A block; its Block1 follows at once, and then the payload, but for the size with the first."""
        mid = data[2:4]
        if mid == self._said[2:4]:
            self.fleet.taken.heard_again += 1
            self.send(self._said)
            return
        length = data[20] & 0x0F
        at = 22 + length
        block = data[22:at]
        token = data[4:12]
        if self._held is None:
            # The answer comes later, when everybody is there.
            self._held = (token, block)
            self._said = b"\x60\x00" + mid
            self.send(self._said)
            self.fleet.there()
            return
        payload = data[data.index(0xFF, at) + 1 :]
        more = self._take(int.from_bytes(block, "big") >> 4, payload)
        code = b"\x5f" if more else b"\x44"
        self._said = b"\x68" + code + mid + token + bytes((0xD0 | length, 14)) + block
        self.send(self._said)

    def _take(self, number: int, payload: bytes) -> bool:
        """Take a block in its order; whether there are more."""
        fleet = self.fleet
        if number * BLOCK != self.offset or payload != fleet.blocks[number]:
            fleet.error(f"block {number} at {self.offset}: out of order, or other bytes")
            return False
        self.offset += len(payload)
        fleet.taken.bytes += len(payload)
        if self.digest is not None:
            self.digest.update(payload)
        if number + 1 < len(fleet.blocks):
            return True
        self.state = 2
        fleet.finished(self)
        return False

    def begin(self) -> None:
        """Everybody is there: go on."""
        if self._fetch:
            self.state = 1
            self._answered = self._refused
            self._next_block()
        elif self._held is not None:
            token, block = self._held
            self._take(0, self.fleet.blocks[0])
            option = bytes((0xD0 | len(block), 14)) + block
            mid = self._next_mid().to_bytes(2, "big")
            self._ask(b"\x48\x5f" + mid + token + option, _nothing)

    def _next_block(self) -> None:
        value = self.offset // BLOCK << 4 | 6
        block = value.to_bytes((value.bit_length() + 7) >> 3, "big")
        head = b"\x44\x01%b%b%b%c" % (
            self._next_mid().to_bytes(2, "big"),
            self._fetch_token,
            self._fetch,
            0xC0 | len(block),
        )
        self._asked = head + block
        self._asked_at = time.monotonic()
        self.send(self._asked)

    def _pulled(self, data: bytes) -> None:
        """A block: ETag, Content-Format, Block2, and with the first one the size."""
        if data[2:4] != self._asked[2:4]:
            self.fleet.taken.heard_again += 1
            return
        at = 20 + (data[19] & 0x0F)
        number = int.from_bytes(data[20:at], "big") >> 4
        self._go_on(number, data[data.index(0xFF, at) + 1 :])

    def _go_on(self, number: int, payload: bytes) -> None:
        if self._take(number, payload):
            self._next_block()
        else:
            self._asked = b""
            self._notify()

    def _refused(self, message: Message) -> None:
        """No block; if that is no answer at all, the block comes by itself."""
        if message.code != Code.EMPTY:
            self.fleet.error(f"a block is refused with {message.code:#x}")

    def _notify(self) -> None:
        """Tell of its state, if that is observed."""
        token = self._tokens.get("5/0/3")
        if token is None:
            self.fleet.error("its state is not observed")
            return
        self._sequence += 1
        state = b"%d" % self.state
        told = Response(code=Code.CONTENT, observe=self._sequence, content_format=0, payload=state)
        head = start(Type.CON, told.code, self._next_mid(), token)
        self._ask(head + response_body(told), lambda _message: None)

    def _other(self, message: Message) -> None:
        self.fleet.heard_at = time.monotonic()
        if message.type in (Type.ACK, Type.RST):
            if self._asked[2:4] == message.mid.to_bytes(2, "big"):
                self._asked = b""
                self._answered(message)
            return
        if message.code == Code.CONTENT and message.token == self._fetch_token:
            self.send(b"\x60\x00" + message.mid.to_bytes(2, "big"))
            block = dict(message.options)[Option.BLOCK2]
            self._go_on(int.from_bytes(block, "big") >> 4, message.payload)
            return
        if message.mid == self._heard:
            self.fleet.taken.heard_again += 1
            self.send(self._said)
            return
        self._heard = message.mid
        response, after = self._respond(message)
        head = start(Type.ACK, response.code, message.mid, message.token)
        self._said = head + response_body(response)
        self.send(self._said)
        if after is not None:
            after()

    def _respond(self, message: Message) -> tuple[Response, Callable[[], None] | None]:
        path = "/".join(v.decode() for n, v in message.options if n == Option.URI_PATH)
        options = dict(message.options)
        match message.code, path:
            case Code.GET, _:
                return self._read(path, message.token, options.get(Option.OBSERVE)), None
            case Code.PUT, "5/0/1":
                token = message.payload.rpartition(b"/")[2]
                self._fetch = b"\xb2fw" + bytes((0x0D, len(token) - 13)) + token
                return Response(code=Code.CHANGED), self.fleet.there
            case Code.POST, "5/0/2":
                self.version, self.state, self.result = TO, 0, 1
                return Response(code=Code.CHANGED), self.register
            case Code.PUT, _:
                return Response(code=Code.CHANGED), None
            case _:
                self.fleet.error(f"asked for {message.code} {path}")
                return Response(code=Code.NOT_FOUND), None

    def _read(self, path: str, token: bytes, observe: bytes | None) -> Response:
        if observe == b"":
            self._tokens[path] = token
        at = tuple(map(int, path.split("/")))
        found = {p: v for p, v in self._readings().items() if p[: len(at)] == at}
        if not found:
            return Response(code=Code.NOT_FOUND)
        written = ContentFormat.TEXT if len(at) == 3 and at in found else ContentFormat.TLV
        return Response(
            code=Code.CONTENT,
            observe=1 if observe == b"" else None,
            content_format=written,
            payload=encode(written, found, at),
        )

    def _readings(self) -> Readings:
        return {
            (3, 0, 0): MAKE,
            (3, 0, 1): MODEL,
            (3, 0, 3): self.version,
            (4, 0, 0): 6,
            (4, 0, 2): -80,
            (4, 0, 8): 1000 + self.number % 100_000 // PER_CELL,
            (4, 0, 9): 480,
            (4, 0, 10): 311,
            (5, 0, 3): self.state,
            (5, 0, 5): self.result,
            (5, 0, 8, 0): 0,
            (5, 0, 9): 1 if self.fleet.order.kind == PUSH else 0,
        }


class Fleet:
    """All devices of one order, and what happened to them."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.port = order.coap
        image = Path(order.image).read_bytes() if order.image else b""
        self.sha256 = hashlib.sha256(image).digest()
        self.blocks = [image[at : at + BLOCK] for at in range(0, len(image), BLOCK)]
        self.taken = Taken(devices=order.count)
        self.devices = [Device(order.first + number, self) for number in range(order.count)]
        self.taken.sampled = sum(each.digest is not None for each in self.devices)
        self.heard_at = time.monotonic()
        self._poll = select.epoll()
        self._heard = {each.socket.fileno(): each.heard for each in self.devices}
        for fileno in self._heard:
            self._poll.register(fileno, select.EPOLLIN)
        self._to_register = iter(self.devices)
        self._ready = self._there = 0

    def error(self, text: str) -> None:
        """Count something that must not happen."""
        self.taken.errors += 1
        self.taken.first_error = self.taken.first_error or text

    def registered(self, device: Device) -> None:
        """One is; the next one may."""
        if device.updated:
            self.taken.updated += 1
            return
        self._ready += 1
        following = next(self._to_register, None)
        if following is not None:
            following.register()

    def there(self) -> None:
        """One more could begin."""
        self._there += 1

    def finished(self, device: Device) -> None:
        """One has the whole image."""
        self.taken.complete += 1
        self.taken.ended_at = time.monotonic()
        if device.digest is not None:
            self.taken.digests += device.digest.digest() == self.sha256

    def run(self, done: Callable[[], bool]) -> bool:
        """Serve the devices until something has come about; False: it has not, in the time there is."""
        began = looked = time.monotonic()
        heard, poll = self._heard, self._poll.poll
        while not done():
            for fileno, _ in poll(LOOK_S, 1024):
                try:
                    heard[fileno]()
                except (BlockingIOError, ConnectionRefusedError) as error:
                    self.error(f"{type(error).__name__}: {error}")
            now = time.monotonic()
            if now - looked >= LOOK_S:
                looked = now
                for device in self.devices:
                    device.repeat(now)
                if now - began > self.order.seconds:
                    return False
        return True

    def enroll(self) -> None:
        """Register everybody, and answer what is asked then."""
        for device in itertools.islice(self._to_register, REGISTER_AT_ONCE):
            device.register()
        self.run(lambda: self._ready == self.order.count and self._is_quiet())
        tell("registered", self._ready)

    def take(self) -> Taken:
        """Carry the order out, step by step."""
        order, taken = self.order, self.taken
        self.enroll()
        self.run(lambda: self._there >= order.count)
        taken.began_together = self._there
        worked = time.process_time()
        taken.begun_at = time.monotonic()
        tell("begun", self._there)
        for device in self.devices:
            device.begin()
        self.run(lambda: taken.complete == order.count)
        taken.cpu_s = time.process_time() - worked
        if taken.complete < order.count:
            taken.ended_at = time.monotonic()
        tell("transferred", taken.complete)
        self.run(lambda: taken.updated == order.count and self._is_quiet())
        tell("updated", taken.updated)
        return taken

    def _is_quiet(self) -> bool:
        return time.monotonic() - self.heard_at > QUIET_S


def _nothing(_message: Message) -> None:
    """An acknowledgement."""


def tell(step: str, count: int) -> None:
    """Say how far it is."""
    print(step, count, flush=True)


def main() -> None:
    """Read the order, carry it out, write the result."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    result = Fleet(order).take()
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")


if __name__ == "__main__":
    main()
