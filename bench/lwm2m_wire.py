"""What devices over LwM2M say, as bytes that are put together before the clock starts.

    Register, Update        a head of four bytes, with the message id, before what is always the same
    answers to the server   by what follows the token of its request: looked at once, then a dictionary

Every device is of one model, has a serial number, and is in one of some hundred cells. It answers reads of objects 3 and 4, takes
the attributes of the cell (`pmin`), and lets itself be observed there.
"""

from overair.protocols.coap.message import decode_message, encode_options
from overair.protocols.coap.numbers import Code, Option
from overair.protocols.coap.request import read_request, response_body
from overair.protocols.coap.values import Request, Response
from overair.protocols.lwm2m.formats import ContentFormat, encode
from overair.protocols.lwm2m.values import Path, Raw

MAKE, MODEL, VERSION = "Acme", "X1", "01"
CELLS = 500
SERIAL = "000000000000000"  # in its place each device says its own
LOCATION_BYTES = 12
OBJECTS = b'</>;rt="oma.lwm2m";ct="60 110 112 11542 11543",</1/0>,</3/0>,</4/0>,</5/0>;ver=1.1'
# A device with nothing in it that the server would read at once.
BARE_OBJECTS = b"</1/0>,</5/0>"
CON, ACK, RST = 0x40, 0x60, 0x70
CREATED, CHANGED, CONTENT = int(Code.CREATED), int(Code.CHANGED), int(Code.CONTENT)
_ANSWERED_LOCATION = b"\x82rd\x0c"  # Location-Path "rd", and another of 12 bytes
_SERIAL = SERIAL.encode()
_TOKEN_BYTES = 2
POST = bytes((CON | _TOKEN_BYTES, Code.POST))  # message id, token and options follow


def imei(number: int) -> str:
    """Return the device that has this number."""
    return f"{990015000000000 + number}"


def endpoint(number: int) -> str:
    """Return how it calls itself."""
    return f"urn:imei:{imei(number)}"


def register(number: int, objects: bytes) -> bytes:
    """Write what follows the message id of a Register."""
    queries = (f"ep={endpoint(number)}", "lt=86400", "lwm2m=1.1", "b=U")
    options: list[tuple[int, bytes]] = [(Option.URI_PATH, b"rd"), (Option.CONTENT_FORMAT, b"\x28")]
    options += [(Option.URI_QUERY, each.encode()) for each in queries]
    return _token(number) + encode_options(options) + b"\xff" + objects


def update(number: int, location: bytes) -> bytes:
    """Write what follows the message id of an Update that changes nothing."""
    options = [(int(Option.URI_PATH), b"rd"), (int(Option.URI_PATH), location)]
    return _token(number) + encode_options(options)


def _token(number: int) -> bytes:
    return (number & 0xFFFF).to_bytes(_TOKEN_BYTES, "big")


def location_of(answer: bytes) -> bytes | None:
    """Return where a device was registered, from a 2.01."""
    options = answer[4 + (answer[0] & 0x0F) :]
    if not options.startswith(_ANSWERED_LOCATION) or len(options) != 4 + LOCATION_BYTES:
        return None
    return options[4:]


class Answers:
    """What devices answer to the server's requests; those who differ do so by their cell."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[int, tuple[bytes, ...], bool, bool]] = {}

    def to(self, datagram: bytes, number: int) -> tuple[bytes, bool]:
        """Return the answer of a device to a request, and whether that one observes."""
        start = 4 + (datagram[0] & 0x0F)
        asked = datagram[1:2] + datagram[start:]
        known = self._known.get(asked)
        if known is None:
            code, bodies, observes = _answers(read_request(decode_message(datagram)))
            known = (code, bodies, observes, _SERIAL in bodies[0])
            self._known[asked] = known
        code, bodies, observes, personal = known
        body = bodies[number % len(bodies)]
        if personal:
            body = body.replace(_SERIAL, imei(number).encode())
        head = bytes((ACK | datagram[0] & 0x0F, code))
        return head + datagram[2:start] + body, observes


def cell(number: int) -> int:
    """Return the number of a cell."""
    return 84_000_000 + number


def _answers(request: Request) -> tuple[int, tuple[bytes, ...], bool]:
    """Return code, bodies by cell, and whether it is an observation."""
    if request.method == Code.PUT:
        return CHANGED, (b"",), False
    accept = request.accept if request.accept is not None else ContentFormat.TLV
    observe = 1 if request.observe == 0 else None
    path: Path = tuple(int(each) for each in request.path if each.isdecimal())
    here = [_readings(each) for each in range(CELLS)] if path[:1] == (4,) else [_readings(0)]
    values = [{p: raw for p, raw in each.items() if p[: len(path)] == path} for each in here]
    if request.method != Code.GET or not path or not values[0]:
        return int(Code.NOT_FOUND), (b"",), False
    bodies = tuple(
        response_body(
            Response(
                code=CONTENT,
                content_format=accept,
                observe=observe,
                payload=encode(accept, each, path),
            )
        )
        for each in values
    )
    return CONTENT, bodies, observe is not None


def _readings(cell_number: int) -> dict[Path, Raw]:
    return {
        (3, 0, 0): MAKE,
        (3, 0, 1): MODEL,
        (3, 0, 2): SERIAL,
        (3, 0, 3): VERSION,
        (3, 0, 16): "U",
        (3, 0, 18): "A",
        (3, 0, 19): "1.0",
        (4, 0, 0): 6,
        (4, 0, 2): -80 - cell_number % 40,
        (4, 0, 8): cell(cell_number),
        (4, 0, 9): 480,
        (4, 0, 10): 311,
    }


def notification(token: bytes, mid: int, number: int) -> bytes:
    """Write a notification that wants to be acknowledged: the cell is another."""
    response = Response(
        code=CONTENT,
        content_format=ContentFormat.TEXT,
        observe=2,
        payload=str(cell(number % CELLS)).encode(),
    )
    head = bytes((CON | len(token), CONTENT)) + mid.to_bytes(2, "big") + token
    return head + response_body(response)
