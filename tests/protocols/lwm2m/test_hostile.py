"""Fuzzing: a hundred and twenty thousand payloads from one seed, grown from real ones; more in ``make fuzz``.

Whatever a device sends, it is readings or an error of this room; and what comes of it can be looked at.
"""

import random
import tracemalloc
from collections import Counter

from overair.protocols.coap.values import Request
from overair.protocols.lwm2m.bootstrap import (
    free_instance,
    read_bootstrap_request,
    read_discovery,
)
from overair.protocols.lwm2m.errors import LwM2MError
from overair.protocols.lwm2m.formats import decode
from overair.protocols.lwm2m.objects import read_connectivity, read_device, read_firmware
from overair.protocols.lwm2m.registration import read_register, read_update
from overair.protocols.lwm2m.values import (
    as_boolean,
    as_integer,
    as_link,
    as_number,
    as_opaque,
    as_text,
)
from tests.protocols.coap.test_hostile import SEED, TIMES, mutated
from tests.protocols.lwm2m.payloads import LISTS, PAYLOADS

PAYLOAD_COUNT = 80_000 * TIMES
REGISTERS = 20_000 * TIMES
BOOTSTRAPS = 20_000 * TIMES
# At least so many of each: TLV, SenML JSON, SenML CBOR, LwM2M JSON, LwM2M CBOR, CBOR, text.
EACH = {11542: 10_000, 110: 5_000, 112: 10_000, 11543: 5_000, 11544: 5_000, 60: 5_000, 0: 5_000}
# JSON is built before it can be counted: 64 KiB of empty records are 6 MiB.
MOST_MEMORY = 8 * 1024 * 1024


def test_any_payload_is_read_or_missing() -> None:
    """In every format, its own or another's."""
    dice = random.Random(SEED)
    formats = [content_format for content_format, _ in PAYLOADS]
    read = 0
    tried = Counter[int | None]()
    for _ in range(PAYLOAD_COUNT):
        content_format, original = dice.choice(PAYLOADS)
        if dice.random() < 0.1:
            content_format = dice.choice(formats)
        tried[content_format] += 1
        path = dice.choice([(), (4,), (4, 0), (5, 0, 3), (5, 0, 8, 1)])
        try:
            readings = decode(content_format, path, mutated(dice, original), 1_700_000_000)
        except LwM2MError:
            continue
        read += 1
        for raw in readings.values():
            for take in (as_boolean, as_integer, as_link, as_number, as_opaque, as_text):
                take(raw)
        read_device(readings)
        read_connectivity(readings)
        read_firmware(readings)
    assert read > PAYLOAD_COUNT // 10
    assert not {kind: tried[kind] for kind, least in EACH.items() if tried[kind] < least}


def test_any_registration_is_read_or_refused() -> None:
    """Whatever is in its query and its list."""
    dice = random.Random(SEED)
    queries = [b"ep=urn:imei:490154203237518", b"lt=86400", b"lwm2m=1.1", b"b=UQ", b"Q", b"sms=1"]
    for _ in range(REGISTERS):
        chosen = dice.choices(queries, k=3)
        request = Request(
            method=2,
            path=("rd",),
            query=tuple(mutated(dice, each).decode(errors="replace") for each in chosen),
            content_format=40,
            payload=mutated(dice, dice.choice(LISTS)),
        )
        for reader in (read_register, read_update):
            try:
                reader(request)
            except LwM2MError:
                continue


def test_any_bootstrap_is_read_or_refused() -> None:
    """What a device asks of the bootstrap server, and which instances it says it has."""
    dice = random.Random(SEED)
    queries = [b"ep=urn:imei:490154203237518", b"pct=112", b"pct=11542", b"ep="]
    lists = [b'</>;lwm2m=1.0,</0/0>,</0/1>;ssid=101;uri="coaps://a",</1/0>;ssid=101', b"</1>,</.x>"]
    read = 0
    for _ in range(BOOTSTRAPS):
        chosen = dice.choices(queries, k=2)
        request = Request(
            method=2,
            path=("bs",),
            query=tuple(mutated(dice, each).decode(errors="replace") for each in chosen),
        )
        try:
            asked = read_bootstrap_request(request)
            assert asked.preferred in (None, 110, 112, 11542)
        except LwM2MError:
            pass
        try:
            used = read_discovery(mutated(dice, dice.choice(lists)))
        except LwM2MError:
            continue
        read += 1
        assert (0, free_instance(used, 0)) not in used
    assert read > BOOTSTRAPS // 10


def test_payloads_that_are_made_to_cost() -> None:
    """They are refused at once, in little memory."""
    bombs = [
        (112, b"\x9b" + b"\xff" * 8), (112, b"\x81" * 65_000), (112, b"\x9f" * 65_000),
        (112, b"\xbb\x00\x00\x00\xff\xff\xff\xff\xff"), (112, b"\x5b\x00\x00\x00\xff\xff\xff\xff\xff"),
        (110, b"[" * 65_000), (110, b'{"a":' * 10_000), (110, b"[" + b"{}," * 20_000 + b"{}]"),
        (11542, b"\xc1\x00\x00" * 20_000), (11542, b"\x08\x00\xff" * 20_000),
        (11544, b"\xa1\x81\x05" * 20_000), (60, b"\x7f" + b"\x60" * 65_000 + b"\xff"),
    ]  # fmt: skip
    tracemalloc.start()
    try:
        for content_format, bomb in bombs:
            try:
                decode(content_format, (4, 0), bomb)
            except LwM2MError:
                continue
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
