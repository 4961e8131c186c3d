"""OMA-DM accounts: kept sealed, merged from fleet files, given to those who notify."""

import json

import pytest
from msgspec import UNSET

from overair.core.credentials import dm_key
from overair.core.ids import DeviceId
from overair.engine import dm_accounts as engine
from overair.engine.dm_accounts import Secrets
from overair.fleetfile import shapes
from overair.protocols.syncml import auth
from overair.sealing import Seal, SealError
from overair.store import dm_accounts as store
from tests.engine.world import World, imei, story

SEAL = Seal(b"an installation key of 32 bytes!")
OTHER = Seal(b"another installation's key, long")
CLIENT, SERVER = "client-secret-1", "server-secret-1"
WHOLE = shapes.Omadm(
    client_name="dev1",
    client_secret=CLIENT,
    server_secret=SERVER,
    auth="hmac",
    notify=shapes.Notify(host="10.0.0.7", port=4000),
)


def put(w: World, block: shapes.Omadm, seal: Seal = SEAL) -> bool:
    """Say something of the device; whether it was news."""
    device_id = w.device(1).id
    return device_id in engine.put_blocks(w.tx, [(device_id, imei(1), block)], seal)


def back(w: World, seal: Seal = SEAL) -> shapes.Omadm | None:
    """What a fleet file says of it."""
    device_id = w.device(1).id
    return engine.blocks_of(w.tx, {device_id: imei(1)}, seal).get(device_id)


def columns(w: World) -> str:
    """Everything that is kept of it, as somebody sees it who has the database."""
    return repr(
        [
            [bytes(v) if isinstance(v, memoryview) else v for v in row]
            for row in w.tx.all("select * from dm_account")
        ]
    )


@story
def test_what_is_said_comes_back(w: World) -> None:
    """Import and export are inverse, and the same again is no news."""
    w.add_devices(1)
    assert put(w, WHOLE)
    assert back(w) == WHOLE
    kept = columns(w)
    assert not put(w, WHOLE)
    assert columns(w) == kept


@story
def test_secrets_are_not_kept_in_clear(w: World) -> None:
    """Who has the database has neither secret, nor what stands for it, nor two that are the same."""
    w.add_devices(1, 2)
    ids = [w.device(1).id, w.device(2).id]
    engine.put_blocks(w.tx, [(ids[0], imei(1), WHOLE), (ids[1], imei(2), WHOLE)], SEAL)
    kept = columns(w)
    for secret in (CLIENT, SERVER, dm_key("dev1", CLIENT)):
        assert secret not in kept
    sealed = store.terms_of(w.tx, ids)
    assert sealed[ids[0]].secrets != sealed[ids[1]].secrets
    assert CLIENT not in repr(engine.open_secrets(SEAL, ids[0], sealed[ids[0]].secrets))


@story
def test_what_is_not_said_stays(w: World) -> None:
    """A block names what changes; null takes something away."""
    w.add_devices(1)
    put(w, WHOLE)
    assert put(w, shapes.Omadm(server_secret="new"))
    assert put(w, shapes.Omadm(auth=None, notify=None, client_name=None))
    assert back(w) == shapes.Omadm(client_secret=CLIENT, server_secret="new")
    assert put(w, shapes.Omadm(client_secret=None, server_secret=None))
    assert back(w) is None
    assert not put(w, shapes.Omadm())


@story
def test_nothing_said_is_nothing_kept(w: World) -> None:
    """A device of which nothing is said has no account, and the default name is its IMEI."""
    w.add_devices(1)
    assert not put(w, shapes.Omadm(client_name=imei(1), client_secret=None))
    assert store.of_device(w.tx, w.device(1).id) is None
    put(w, shapes.Omadm(client_secret=CLIENT))
    found = store.of_device(w.tx, w.device(1).id)
    assert found is not None
    assert found.terms.client_name == imei(1)


@story
def test_another_key_opens_nothing(w: World) -> None:
    """With another installation key secrets are refused, until both are given anew."""
    w.add_devices(1)
    put(w, WHOLE)
    with pytest.raises(SealError, match="another installation key"):
        back(w, OTHER)
    with pytest.raises(SealError):
        put(w, shapes.Omadm(client_secret=CLIENT), OTHER)
    assert put(w, shapes.Omadm(auth="md5"), OTHER)
    assert put(w, shapes.Omadm(client_secret=CLIENT, server_secret=SERVER), OTHER)
    found = back(w, OTHER)
    assert found is not None
    assert found.client_secret == CLIENT


@story
def test_a_secret_belongs_to_its_row(w: World) -> None:
    """Somebody who copies one device's secrets to another has nothing from it."""
    w.add_devices(1, 2)
    put(w, WHOLE)
    kept = store.terms_of(w.tx, [w.device(1).id])[w.device(1).id]
    with pytest.raises(SealError):
        engine.open_secrets(SEAL, w.device(2).id, kept.secrets)


@story
def test_what_was_kept_in_clear_is_sealed(w: World) -> None:
    """Documents of an earlier version become accounts, once, and are gone."""
    w.add_devices(1, 2)
    for number in (1, 2):
        document = {"clientName": f"old{number}", "clientSecret": CLIENT, "serverSecret": SERVER}
        w.tx.execute(
            "insert into device_protocol (device_id, protocol, document) values (?, 'OMADM', ?)",
            (w.device(number).id, json.dumps(document)),
        )
    put(w, WHOLE)
    assert engine.adopt(w.tx, SEAL) == 2
    assert engine.adopt(w.tx, SEAL) == 0
    assert w.tx.all("select * from device_protocol") == []
    assert back(w) == WHOLE
    two = w.device(2).id
    block = engine.blocks_of(w.tx, {two: imei(2)}, SEAL)[two]
    assert (block.client_name, block.client_secret, block.auth) == ("old2", CLIENT, UNSET)


@story
def test_what_a_notification_is_made_with(w: World) -> None:
    """Server id, key, nonce and address; nothing for a device without a server secret."""
    w.add_devices(1)
    device_id = w.device(1).id
    assert engine.push_account(w.tx, device_id, SEAL, "fota") is None
    put(w, shapes.Omadm(client_secret=CLIENT))
    assert engine.push_account(w.tx, device_id, SEAL, "fota") is None
    put(w, WHOLE)
    store.set_nonces(
        w.tx, device_id, server_nonce=b"\x00\xff", nonces="{}", zero_nonce_session=None
    )
    found = engine.push_account(w.tx, device_id, SEAL, "fota")
    assert found is not None
    assert (found.server_key, found.nonce) == (auth.key("fota", SERVER), b"\x00\xff")
    assert found.address == "10.0.0.7:4000"
    assert found.server_key not in repr(found)
    put(w, shapes.Omadm(notify=shapes.Notify(host="2001:db8::1")))
    found = engine.push_account(w.tx, device_id, SEAL, "fota")
    assert found is not None
    assert found.address == "[2001:db8::1]:2948"


def test_the_key_is_the_protocol_s() -> None:
    """What the engine makes of a name and a secret is what the protocol makes of them."""
    assert dm_key("Bruce2", "OhBehavé") == auth.key("Bruce2", "OhBehavé")


def test_what_was_tampered_with_does_not_open() -> None:
    """A single changed bit, a cut, or an unknown format is a SealError."""
    place = DeviceId(1)
    sealed = engine.seal_secrets(SEAL, place, Secrets(client=CLIENT, server=SERVER))
    assert sealed is not None
    assert engine.open_secrets(SEAL, place, sealed) == Secrets(client=CLIENT, server=SERVER)
    for at in range(len(sealed)):
        broken = bytearray(sealed)
        broken[at] ^= 1
        with pytest.raises(SealError):
            engine.open_secrets(SEAL, place, bytes(broken))
    for cut in (b"", sealed[:10], sealed[:-1]):
        with pytest.raises(SealError):
            engine.open_secrets(SEAL, place, cut)
