"""Handshakes of small and of moving devices: messages in pieces, sessions that are resumed."""

import random
from collections.abc import Callable

import pytest
from OpenSSL import SSL

from overair.devices.lwm2m import dtls, psk, records
from overair.devices.lwm2m.dtls import HANDSHAKE_S
from overair.devices.lwm2m.hellos import Hellos
from overair.devices.lwm2m.psk import PskClient, pending
from overair.devices.lwm2m.udp import Address
from tests.devices.lwm2m.test_dtls import HERE, KEY, THERE, Client, Wire
from tests.waiting import wait_for

SMALL = 256  # about the smallest MTU that OpenSSL takes
Cut = Callable[[bytes], list[bytes]]


def in_pieces(size: int, order: Callable[[list[bytes]], list[bytes]] = list) -> Cut:
    """Cut each message of a handshake in the clear into pieces of so many bytes, a datagram each."""

    def cut(datagram: bytes) -> list[bytes]:
        found: list[bytes] = []
        at = 0
        while at + 13 <= len(datagram):
            end = at + 13 + int.from_bytes(datagram[at + 11 : at + 13], "big")
            record, at = datagram[at:end], end
            if record[3:5] != b"\0\0":
                found.append(record)
                continue
            if record[0] != records.HANDSHAKE:
                found.append(numbered(record, record[13:], 0))
                continue
            head, body = record[13:25], record[25:]
            parts: list[bytes] = []
            for offset in range(0, len(body), size):
                part = body[offset : offset + size]
                place = offset.to_bytes(3, "big") + len(part).to_bytes(3, "big")
                parts.append(numbered(record, head[:6] + place + part, len(parts)))
            found += order(parts)
        return found

    return cut


def numbered(record: bytes, fragment: bytes, part: int) -> bytes:
    """A record in place of another; what was one number is room for 64."""
    number = int.from_bytes(record[5:11], "big") * 64 + part
    return record[:5] + number.to_bytes(6, "big") + len(fragment).to_bytes(2, "big") + fragment


class SmallClient(Client):
    """A client whose link is narrow."""

    def __init__(self, wire: Wire, cut: Cut, identity: bytes = b"dev1") -> None:
        super().__init__(wire, identity=identity)
        self._cut = cut

    def flight(self) -> list[bytes]:
        return [piece for datagram in super().flight() for piece in self._cut(datagram)]


@pytest.mark.parametrize("size", [36, 40, 68, 100, 120])
def test_a_hello_in_pieces(size: int) -> None:
    """Whatever the size of the pieces, the handshake is done, and the key was found in time."""
    wire = Wire()
    client = SmallClient(wire, in_pieces(max(size, 70)))
    hello_first = in_pieces(size)
    psk.step(client.connection)
    for datagram in records.datagrams(pending(client.connection), psk.MTU):
        for piece in hello_first(datagram):
            wire.deliver(piece)
    for datagram in wire.taken():
        client.connection.bio_write(datagram)
    assert client.shake()
    assert [text for _, text in client.say(b"hello")] == [b"hello"]
    assert wire.asked == [b"dev1"]


def test_a_long_identity_in_pieces() -> None:
    """The identity is read although it comes in several datagrams."""
    wire = Wire()
    identity = b"urn:imei:990013907835573." + b"x" * 100
    wire.keys[identity] = KEY
    client = SmallClient(wire, in_pieces(70), identity=identity)
    assert client.shake()
    assert wire.asked == [identity]


def test_the_real_pieces_of_a_client() -> None:
    """OpenSSL itself cuts a long hello for a small MTU, and is understood."""
    wire = Wire()
    client = Client(wire)
    client.psk = PskClient(b"dev1", KEY, SMALL)
    client.connection = client.psk.connection
    client.connection.set_alpn_protos([b"a-protocol-nobody-speaks-%03d" % n for n in range(20)])
    sent: list[bytes] = []
    client.flight = lambda: [  # type: ignore[method-assign]  # each record a datagram, and kept
        datagram
        for datagram in records.datagrams(pending(client.connection), SMALL)
        if sent.append(datagram) is None  # type: ignore[func-returns-value]  # only kept
    ]
    assert client.shake()
    hellos = [each for each in sent if records.is_client_hello(each)]
    assert len(hellos) > 3
    assert max(map(len, hellos)) <= SMALL
    assert [text for _, text in client.say(b"hello")] == [b"hello"]


def test_pieces_come_in_any_order_behind_the_first() -> None:
    """Twice, overlapping and in another order; the first has the cookie, and comes first."""
    dice = random.Random(7)

    def shuffled(parts: list[bytes]) -> list[bytes]:
        rest = parts[1:] * 2
        dice.shuffle(rest)
        return [parts[0], *rest]

    wire = Wire()
    client = SmallClient(wire, in_pieces(70, shuffled))
    assert client.shake()
    assert [text for _, text in client.say(b"hello")] == [b"hello"]


def test_nothing_is_kept_of_pieces_before_the_cookie() -> None:
    """First pieces get a cookie and no place, of fewer bytes than they are; others get nothing."""
    wire = Wire()
    for number in range(300):
        address: Address = ("192.0.2.9", 1024 + number)
        client = Client(wire, address)
        psk.step(client.connection)
        (hello,) = client.flight()
        for piece in in_pieces(36)(hello):
            wire.deliver(piece, address)
            said = wire.taken(address)
            assert sum(map(len, said)) <= len(piece)
            assert bool(said) == (piece[19:22] == b"\0\0\0")
    assert wire.server.handshakes == 0
    assert len(wire.server._hellos) == 0


def test_pieces_behind_a_cookie_are_bounded() -> None:
    """The oldest unfinished hello gives way, each ends after a minute, and too long a one has no place."""
    wire = Wire(handshakes=3)
    first = b""
    for port in range(5):
        client = Client(wire, ("192.0.2.1", 1001 + port))
        psk.step(client.connection)
        wire.deliver(client.flight()[0], client.address)
        client.connection.bio_write(wire.taken(client.address)[0])
        psk.step(client.connection)
        first = in_pieces(80)(client.flight()[0])[0]
        wire.deliver(first, client.address)
        assert len(wire.server._hellos) == min(port + 1, 3)
    wire.server.tick(wire.now + HANDSHAKE_S)
    assert len(wire.server._hellos) == 0
    huge = first[:14] + b"\xff\xff\xff" + first[17:]
    wire.deliver(huge, ("192.0.2.1", 1005))
    assert len(wire.server._hellos) == 0


def test_what_is_no_hello_is_none() -> None:
    """A beginning that is cut, or whose lengths lie, has no random and no cookie."""
    for body in (b"", b"\xfe\xfd" + bytes(32), b"\xfe\xfd" + bytes(32) + b"\x21" + bytes(64)):
        assert records.opening(body) is None
    whole = records.Piece(records.CLIENT_HELLO, 4, 0, 0, b"abcd")
    assert records.opening(whole.body) is None
    short = b"\x16\xfe\xfd" + bytes(8) + b"\x00\x10\x01\0\0\x04\0\0\0\0\0\0\0\x04abcd"
    assert Hellos(1, 1.0).read(short, HERE, 0.0) is None


# Sessions that are resumed


def resumed(wire: Wire, former: Client, address: Address) -> Client:
    """A client that has the former one's session, at an address."""
    client = Client(wire, address)
    client.psk = former.psk
    client.connection = former.psk.resuming(former.connection)
    return client


def test_a_device_that_moved_resumes_its_session() -> None:
    """From another address half a handshake is enough, it is known whose it is, and the old one goes on."""
    wire = Wire()
    first = Client(wire)
    assert first.shake()
    second = resumed(wire, first, THERE)
    sent = 0

    def count(datagram: bytes) -> bool:
        nonlocal sent
        sent += 1
        return False

    assert second.shake(count)
    assert psk.is_resumed(second.connection)
    assert sent == 3  # two hellos and one flight; anew there is no fewer, but with more in it
    ((session, text),) = second.say(b"it is me")
    assert text == b"it is me"
    assert session.credential is not None
    assert session.credential.identity == b"dev1"
    assert session.address == THERE
    assert [text for _, text in first.say(b"and me")] == [b"and me"]
    assert wire.asked == [b"dev1", b"dev1"]


def test_a_session_is_resumed_again_and_after_its_end() -> None:
    """Neither another session in its place nor a good-bye of ours takes that away."""
    wire = Wire()
    first = Client(wire)
    assert first.shake()
    second = resumed(wire, first, HERE)
    assert second.shake()
    assert psk.is_resumed(second.connection)
    assert len(wire.ended) == 1
    wire.server.close(wire.server.sessions()[0])
    wire.taken()
    third = resumed(wire, second, THERE)
    assert third.shake()
    assert psk.is_resumed(third.connection)


@pytest.mark.parametrize("key", [None, b"another key here"])
def test_a_session_whose_key_is_gone_is_not_resumed(key: bytes | None) -> None:
    """With the key taken away nothing opens; with another one the device has to prove that it has it."""
    wire = Wire()
    first = Client(wire)
    assert first.shake()
    if key is None:
        del wire.keys[b"dev1"]
    else:
        wire.keys[b"dev1"] = key
    assert not resumed(wire, first, THERE).shake()
    if key is not None:
        second = resumed(wire, first, ("192.0.2.3", 40000))
        second.psk._key = key
        assert second.shake()
        assert not psk.is_resumed(second.connection)


def test_a_session_that_nobody_knows_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart, or when too many came since, a whole handshake follows by itself."""
    first = Client(Wire())
    assert first.shake()
    wire = Wire()
    again = resumed(wire, first, HERE)
    assert again.shake()
    assert not psk.is_resumed(again.connection)
    monkeypatch.setattr(dtls, "MOST_RESUMABLE", 1)
    one, two = Client(wire, ("192.0.2.1", 1)), Client(wire, ("192.0.2.1", 2))
    assert one.shake()
    assert two.shake()
    for client, kept in ((one, False), (two, True)):
        later = resumed(wire, client, THERE)
        assert later.shake()
        assert psk.is_resumed(later.connection) is kept


def test_a_lost_last_word_is_asked_for_again() -> None:
    """The client ends a resumed handshake; if that is lost we repeat ourselves, and it does, too."""
    wire = Wire()
    first = Client(wire)
    assert first.shake()
    second = resumed(wire, first, THERE)
    assert second.shake(lambda datagram: not records.is_client_hello(datagram))
    assert len(wire.server) == 1
    second.connection.send(b"nobody hears this")
    for datagram in second.flight():
        assert wire.deliver(datagram, THERE) == []

    def repeated() -> list[bytes]:
        wire.server.tick(wire.now)
        return wire.taken(THERE)

    for datagram in wait_for(repeated, "the server to repeat itself"):
        second.connection.bio_write(datagram)
    with pytest.raises(SSL.WantReadError):
        second.connection.recv(2048)
    for datagram in second.flight():
        wire.deliver(datagram, THERE)
    assert len(wire.server) == 2
    assert [text for _, text in second.say(b"at last")] == [b"at last"]
