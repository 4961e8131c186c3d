"""Payloads of real messages, by their content formats."""

from overair.protocols.coap.message import decode_message
from tests.protocols.coap.vectors import DATAGRAMS


def _payload(name: str) -> bytes:
    return decode_message(DATAGRAMS[name]).payload


PAYLOADS: list[tuple[int | None, bytes]] = [
    (11542, _payload("Connectivity object in TLV")),
    (11542, _payload("Bootstrap write security instance 10")),
    (112, _payload("The same four values in SenML CBOR")),
    (112, _payload("Send after reboot: state 0, result 1, version")),
    (
        110,
        b'[{"bn":"/3/0/","bt":1700000000,"n":"3","vs":"1.0"},{"n":"9","v":95.5,"t":-1},{"n":"4","vd":"AQI"}]',
    ),
    (
        11543,
        b'{"bn":"/3/0/","e":[{"n":"0","sv":"Acme"},{"n":"20","bv":true},{"n":"21","ov":"66:0"}]}',
    ),
    (60, b"\x1a\x05\x06\x08\x01"),
    (11544, bytes.fromhex("a104a100a30238600 81a0506080109 1901e0".replace(" ", ""))),
    (0, b"-97"),
    (42, b"\x00\x01"),
    (None, b"2"),
]
LISTS = [
    _payload("Register, LwM2M 1.1, queue mode"),
    b'</lwm2m>;rt="oma.lwm2m";ct=110,</lwm2m/1/0>, </lwm2m/5>;ver="1.1"',
]
