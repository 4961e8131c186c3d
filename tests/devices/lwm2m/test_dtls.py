"""DTLS with pre-shared keys, against OpenSSL as a client, datagram by datagram."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from overair.core.ids import DeviceId
from overair.devices.lwm2m import psk, records
from overair.devices.lwm2m.dtls import (
    HANDSHAKE_S,
    Credential,
    DtlsLimits,
    DtlsServer,
    Session,
)
from overair.devices.lwm2m.psk import PskClient, pending
from overair.devices.lwm2m.udp import Address
from overair.protocols.coap.memory import key_of
from tests.waiting import wait_for

KEY = bytes(range(16))
HERE: Address = ("192.0.2.1", 40000)
THERE: Address = ("192.0.2.2", 40000)


class Wire:
    """A server, with what it sent, and what it knows."""

    def __init__(self, **limits: int) -> None:
        self.sent: list[tuple[bytes, Address]] = []
        self.ended: list[Session] = []
        self.keys = {b"dev1": KEY}
        self.asked: list[bytes] = []
        self.now = 1000.0
        self.server = DtlsServer(
            lambda datagram, address: self.sent.append((datagram, address)),
            self.ended.append,
            DtlsLimits(**limits),
        )

    def deliver(self, datagram: bytes, address: Address = HERE) -> list[tuple[Session, bytes]]:
        """Give the server a datagram, with the keys that it wants."""
        identity = self.server.wanted_identity(datagram, address, self.now)
        if identity is not None:
            self.asked.append(identity)
            if identity in self.keys:
                self.server.offer(
                    Credential(device_id=DeviceId(1), identity=identity, key=self.keys[identity])
                )
        return self.server.receive(datagram, address, self.now)

    def taken(self, address: Address = HERE) -> list[bytes]:
        """Take what was sent to an address."""
        mine = [datagram for datagram, to in self.sent if to == address]
        self.sent = [(datagram, to) for datagram, to in self.sent if to != address]
        return mine


class Client:
    """A device: OpenSSL's client on a wire that a test may disturb."""

    def __init__(
        self,
        wire: Wire,
        address: Address = HERE,
        identity: bytes = b"dev1",
        key: bytes = KEY,
    ) -> None:
        self.wire = wire
        self.address = address
        self.psk = PskClient(identity, key)
        self.connection = self.psk.connection
        self.heard: list[tuple[Session, bytes]] = []

    def flight(self) -> list[bytes]:
        """What it sends now."""
        return list(records.datagrams(pending(self.connection), psk.MTU))

    def shake(self, lose: Callable[[bytes], bool] = lambda _: False) -> bool:
        """Shake hands until nothing moves; whether it is done."""
        done = False
        for _ in range(8):
            done = psk.step(self.connection)
            for datagram in self.flight():
                if not lose(datagram):
                    self.heard += self.wire.deliver(datagram, self.address)
            for datagram in self.wire.taken(self.address):
                self.connection.bio_write(datagram)
        return done

    def say(self, plaintext: bytes) -> list[tuple[Session, bytes]]:
        self.connection.send(plaintext)
        (datagram,) = self.flight()
        return self.wire.deliver(datagram, self.address)

    def hear(self) -> bytes:
        for datagram in self.wire.taken(self.address):
            self.connection.bio_write(datagram)
        return self.connection.recv(2048)


def test_the_hook_for_keys_is_checked_by_a_handshake() -> None:
    """The check at the start passes with the libraries that are pinned."""
    psk.check()


def test_a_binding_without_the_hook_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """A binding that lost its callback for pre-shared keys is a clear error at the start."""

    real = psk._lib

    class Without:
        def __getattr__(self, name: str) -> object:
            if "psk" in name:
                raise AttributeError(name)
            return getattr(real, name)

    monkeypatch.setattr(psk, "_lib", Without())
    with pytest.raises(psk.PskUnavailableError, match="pre-shared keys"):
        psk.check()


def test_what_is_said_arrives_both_ways() -> None:
    """After a handshake with CCM_8 the plaintext of each side reaches the other, and who said it."""
    wire = Wire()
    client = Client(wire)
    assert client.shake()
    assert client.connection.get_cipher_name() == "PSK-AES128-CCM8"
    ((session, plaintext),) = client.say(b"hello")
    assert plaintext == b"hello"
    assert session.credential is not None
    assert session.credential.identity == b"dev1"
    wire.server.send(session, b"and back")
    assert client.hear() == b"and back"
    assert wire.asked == [b"dev1"]


def test_a_session_is_not_taken_for_one_that_is_over() -> None:
    """The same message in session after session is another each time, though nothing is left of the former."""
    wire = Wire()
    keys: set[int] = set()
    for _ in range(20):
        client = Client(wire)
        assert client.shake()
        ((session, plaintext),) = client.say(b"\x40\x02\x00\x01\xb2rd")
        keys.add(key_of(session, plaintext))
        wire.server.close(session)
        wire.ended.clear()
        wire.taken()
        del client, session
    assert len(keys) == 20


@pytest.mark.parametrize(("identity", "key"), [(b"dev1", b"x" * 16), (b"nobody", KEY)])
def test_a_wrong_key_and_an_unknown_identity_look_alike(identity: bytes, key: bytes) -> None:
    """Neither gets a session, nor any answer to its last flight."""
    wire = Wire()
    client = Client(wire, identity=identity, key=key)
    assert not client.shake()
    assert len(wire.server) == 0
    assert wire.taken() == []
    assert wire.server.handshakes == 1


def test_nothing_is_kept_before_the_cookie() -> None:
    """First hellos from a thousand addresses get a cookie each, no more bytes than they sent, and no place."""
    wire = Wire()
    for number in range(1000):
        address: Address = ("192.0.2.7", 1024 + number)
        client = Client(wire, address)
        psk.step(client.connection)
        (hello,) = client.flight()
        assert wire.deliver(hello, address) == []
        (answer,) = wire.taken(address)
        assert len(answer) < len(hello)
    assert wire.server.handshakes == 0


def test_a_cookie_is_for_one_address_one_client_and_some_time() -> None:
    """A hello with the cookie of another address, or an old one, is answered with a new cookie."""
    wire = Wire()
    client = Client(wire)
    psk.step(client.connection)
    wire.deliver(client.flight()[0])
    client.connection.bio_write(wire.taken()[0])
    psk.step(client.connection)
    (hello,) = client.flight()
    wire.deliver(hello, THERE)
    assert wire.server.handshakes == 0
    wire.now += 3600
    wire.deliver(hello)
    assert wire.server.handshakes == 0
    wire.now -= 3600
    wire.deliver(hello)
    assert wire.server.handshakes == 1


def test_our_flight_is_sent_again() -> None:
    """A hello that is repeated, because our answer to it was lost, gets the same answer."""
    wire = Wire()
    client = Client(wire)
    psk.step(client.connection)
    wire.deliver(client.flight()[0])
    client.connection.bio_write(wire.taken()[0])
    psk.step(client.connection)
    (hello,) = client.flight()
    wire.deliver(hello)
    first = wire.taken()
    wire.deliver(hello)
    assert wire.taken() == first
    for datagram in first:
        client.connection.bio_write(datagram)
    assert client.shake()


def test_a_handshake_does_not_end_the_session_before_it_is_done() -> None:
    """A second handshake at the same address leaves the session alive until its end, and then takes over."""
    wire = Wire()
    first = Client(wire)
    assert first.shake()
    ((session, _),) = first.say(b"one")
    second = Client(wire)
    psk.step(second.connection)
    wire.deliver(second.flight()[0])
    second.connection.bio_write(wire.taken()[0])
    psk.step(second.connection)
    wire.deliver(second.flight()[0])
    assert wire.server.handshakes == 1
    assert [text for _, text in first.say(b"still here")] == [b"still here"]
    for datagram in wire.taken():
        second.connection.bio_write(datagram)
    assert second.shake()
    assert wire.ended == [session]
    ((newer, text),) = second.say(b"two")
    assert newer is not session
    assert text == b"two"


def test_an_alert_in_the_clear_ends_no_session() -> None:
    """A forged fatal alert is ignored; so are records that do not verify, and old ones."""
    wire = Wire()
    client = Client(wire)
    assert client.shake()
    client.connection.send(b"once")
    (datagram,) = client.flight()
    assert [text for _, text in wire.deliver(datagram)] == [b"once"]
    assert wire.deliver(datagram) == []
    assert wire.deliver(bytes.fromhex("15fefd00000000000000090002022a")) == []
    assert wire.deliver(datagram[:-1] + bytes([datagram[-1] ^ 1])) == []
    assert wire.deliver(b"\x17\xfe\xfd\x00\x01" + bytes(40)) == []
    assert [text for _, text in client.say(b"twice")] == [b"twice"]
    assert wire.ended == []


def test_a_device_may_say_good_bye() -> None:
    """close_notify ends the session."""
    wire = Wire()
    client = Client(wire)
    assert client.shake()
    client.connection.shutdown()
    for datagram in client.flight():
        wire.deliver(datagram)
    assert len(wire.server) == 0
    assert len(wire.ended) == 1


def test_the_session_that_was_silent_longest_goes() -> None:
    """Above the limit, the least recently used session is told good-bye and ended."""
    wire = Wire(sessions=2)
    clients = [Client(wire, ("192.0.2.1", port)) for port in (1001, 1002)]
    for client in clients:
        assert client.shake()
    clients[0].say(b"I am here")
    third = Client(wire, ("192.0.2.1", 1003))
    assert third.shake()
    assert [session.address[1] for session in wire.ended] == [1002]
    assert [text for _, text in clients[0].say(b"still")] == [b"still"]
    with pytest.raises(SSL.ZeroReturnError):
        clients[1].hear()


def test_handshakes_are_bounded_in_number_and_time() -> None:
    """The oldest handshake gives way to one more, and each ends after a minute."""
    wire = Wire(handshakes=3)
    for port in range(1001, 1006):
        client = Client(wire, ("192.0.2.1", port))
        client.shake(lambda datagram: not records.is_client_hello(datagram))
    assert wire.server.handshakes == 3
    wire.server.tick(wire.now + HANDSHAKE_S)
    assert wire.server.handshakes == 0


def test_a_lost_last_flight_is_sent_again() -> None:
    """A client that did not get our last flight repeats its own, and gets it."""
    wire = Wire()
    client = Client(wire)
    for _ in range(3):
        psk.step(client.connection)
        for datagram in client.flight():
            wire.deliver(datagram)
        answer = wire.taken()
        if len(wire.server) == 1:
            break  # and this answer is lost
        for datagram in answer:
            client.connection.bio_write(datagram)
    assert len(wire.server) == 1
    assert not psk.step(client.connection)

    def repeated() -> list[bytes]:
        client.connection.DTLSv1_handle_timeout()
        return client.flight()

    for datagram in wait_for(repeated, "the client to repeat itself"):
        wire.deliver(datagram)
    for datagram in wire.taken():
        client.connection.bio_write(datagram)
    assert psk.step(client.connection)
    assert [text for _, text in client.say(b"at last")] == [b"at last"]


@given(st.binary(max_size=200))
def test_nothing_disturbs(datagram: bytes) -> None:
    """Whatever the bytes, nothing is raised and a session goes on."""
    for prefix in (
        b"",
        b"\x16\xfe\xfd\x00\x00",
        b"\x16\xfe\xff\x00\x00\0\0\0\0\0\0",
        b"\x17\xfe\xfd\0\1",
    ):
        assert WORLD.deliver(prefix + datagram) == []
        assert WORLD.deliver(prefix + datagram, THERE) == []


WORLD = Wire()
WORLD_CLIENT = Client(WORLD)


def setup_module() -> None:
    """The session that nothing disturbs."""
    assert WORLD_CLIENT.shake()


def teardown_module() -> None:
    """It is still there."""
    assert [text for _, text in WORLD_CLIENT.say(b"here")] == [b"here"]
