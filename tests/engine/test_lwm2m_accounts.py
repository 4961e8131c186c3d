"""Names and keys of LwM2M devices: sealed, merged, adopted, and found by their identities."""

import json

import pytest

from overair.engine import lwm2m_accounts as engine
from overair.fleetfile import shapes
from overair.sealing import Seal, SealError
from overair.store import lwm2m_accounts as store
from tests.engine.world import World, story

SEAL = Seal(b"k" * 32)
OTHER = Seal(b"o" * 32)
KEY = "000102030405060708090a0b0c0d0e0f"
WHOLE = shapes.Lwm2m(endpoint="meter-7", psk_identity="me", psk_key_hex=KEY)


def put(w: World, block: shapes.Lwm2m, seal: Seal = SEAL, number: int = 1) -> bool:
    """Say something of the device; whether it was news."""
    device_id = w.device(number).id
    return device_id in engine.put_blocks(w.tx, [(device_id, block)], seal)


def back(w: World, seal: Seal = SEAL, number: int = 1) -> shapes.Lwm2m | None:
    """What a fleet file says of it."""
    device_id = w.device(number).id
    return engine.blocks_of(w.tx, [device_id], seal).get(device_id)


@story
def test_what_is_said_comes_back(w: World) -> None:
    """Import and export are inverse, the same again is no news, and what is not said stays."""
    w.add_devices(1)
    assert put(w, WHOLE)
    assert back(w) == WHOLE
    assert not put(w, WHOLE)
    assert put(w, shapes.Lwm2m(endpoint="other"))
    assert back(w) == shapes.Lwm2m(endpoint="other", psk_identity="me", psk_key_hex=KEY)
    assert put(w, shapes.Lwm2m(endpoint=None, psk_identity=None, psk_key_hex=None))
    assert back(w) is None


@story
def test_keys_are_sealed(w: World) -> None:
    """Nothing that is kept has the key in it, and with another installation key it opens nothing."""
    w.add_devices(1)
    put(w, WHOLE)
    kept = store.terms_of(w.tx, [w.device(1).id])[w.device(1).id]
    assert kept.key is not None
    assert bytes.fromhex(KEY) not in kept.key
    assert KEY.encode() not in kept.key
    with pytest.raises(SealError, match="another installation key"):
        engine.find_key(w.tx, "me", OTHER)
    assert engine.keys_by_device(w.tx, [w.device(1).id], OTHER) == {}
    assert put(w, WHOLE, OTHER)
    assert back(w, OTHER) == WHOLE


@story
def test_an_identity_is_one_devices(w: World) -> None:
    """Its key is found by the identity; one that two devices have is nobody's."""
    w.add_devices(1, 2)
    put(w, WHOLE)
    assert engine.find_key(w.tx, "me", SEAL) == (w.device(1).id, bytes.fromhex(KEY), False)
    assert engine.find_key(w.tx, "you", SEAL) is None
    assert engine.keys_by_device(w.tx, [w.device(1).id, w.device(2).id], SEAL) == {
        w.device(1).id: {("me", bytes.fromhex(KEY))}
    }
    put(w, shapes.Lwm2m(psk_identity="me", psk_key_hex="22" * 16), number=2)
    assert engine.find_key(w.tx, "me", SEAL) is None


@story
def test_what_was_kept_in_clear_is_sealed(w: World) -> None:
    """Documents of an earlier version become accounts, once, and are gone."""
    w.add_devices(1, 2)
    for number in (1, 2):
        document = {"pskIdentity": f"old{number}", "pskKeyHex": KEY}
        w.tx.execute(
            "insert into device_protocol (device_id, protocol, document) values (?, 'LWM2M', ?)",
            (w.device(number).id, json.dumps(document)),
        )
    put(w, WHOLE)
    assert engine.adopt(w.tx, SEAL) == 2
    assert engine.adopt(w.tx, SEAL) == 0
    assert w.tx.all("select * from device_protocol") == []
    assert back(w) == WHOLE
    assert back(w, number=2) == shapes.Lwm2m(psk_identity="old2", psk_key_hex=KEY)
