"""What devices are given at the bootstrap server: kept sealed, good beside the old, and theirs once used."""

import pytest

from overair.engine import lwm2m_accounts, lwm2m_bootstrap
from overair.fleetfile import shapes
from overair.sealing import Seal, SealError
from overair.store import lwm2m_bootstrap as store
from tests.engine.test_lwm2m_accounts import KEY, SEAL, back, put
from tests.engine.world import World, story

OLD = shapes.Lwm2m(
    endpoint="meter-7",
    psk_identity="old",
    psk_key_hex=KEY,
    bootstrap_identity="factory",
    bootstrap_key_hex="fa" * 16,
)
NEW = ("new", bytes.fromhex("ab" * 16))
OTHER = Seal(b"o" * 32)


@story
def test_both_pairs_come_back(w: World) -> None:
    """What is said for the bootstrap server is exported again, and is no key of the other server."""
    w.add_devices(1)
    assert put(w, OLD)
    assert back(w) == OLD
    assert not put(w, OLD)
    device_id = w.device(1).id
    assert lwm2m_bootstrap.find_key(w.tx, "factory", SEAL) == (device_id, b"\xfa" * 16, False)
    assert lwm2m_bootstrap.find_key(w.tx, "old", SEAL) is None
    assert lwm2m_accounts.find_key(w.tx, "factory", SEAL) is None
    assert lwm2m_bootstrap.keys_by_device(w.tx, [device_id], SEAL) == {
        device_id: {("factory", b"\xfa" * 16)}
    }
    kept = store.terms_of(w.tx, [device_id])[device_id]
    assert kept.key is not None
    assert b"\xfa" * 16 not in kept.key
    with pytest.raises(SealError):
        lwm2m_bootstrap.find_key(w.tx, "factory", OTHER)
    assert put(w, shapes.Lwm2m(bootstrap_identity=None, bootstrap_key_hex=None))
    assert lwm2m_bootstrap.find_key(w.tx, "factory", SEAL) is None


@story
def test_the_old_key_is_good_until_the_new_one_is_used(w: World) -> None:
    """Both open a session until the device has used what it was given; then that is all it has."""
    w.add_devices(1)
    put(w, OLD)
    device_id = w.device(1).id
    lwm2m_bootstrap.give(w.tx, device_id, NEW, SEAL)
    old = ("old", bytes.fromhex(KEY))
    assert lwm2m_accounts.find_key(w.tx, "old", SEAL) == (device_id, old[1], False)
    assert lwm2m_accounts.find_key(w.tx, "new", SEAL) == (device_id, NEW[1], True)
    assert lwm2m_accounts.keys_by_device(w.tx, [device_id], SEAL) == {device_id: {old, NEW}}
    assert not lwm2m_bootstrap.take_over(w.tx, device_id, "another", SEAL)
    assert lwm2m_bootstrap.take_over(w.tx, device_id, "new", SEAL)
    assert not lwm2m_bootstrap.take_over(w.tx, device_id, "new", SEAL)
    assert lwm2m_accounts.find_key(w.tx, "old", SEAL) is None
    assert lwm2m_accounts.find_key(w.tx, "new", SEAL) == (device_id, NEW[1], False)
    assert lwm2m_accounts.keys_by_device(w.tx, [device_id], SEAL) == {device_id: {NEW}}
    now = back(w)
    assert now is not None
    assert (now.endpoint, now.psk_identity, now.bootstrap_identity) == ("meter-7", "new", "factory")


@story
def test_a_device_without_an_account_is_given_one(w: World) -> None:
    """It needs nothing but its bootstrap credentials; asking again replaces what waits."""
    w.add_devices(1)
    put(w, shapes.Lwm2m(bootstrap_identity="factory", bootstrap_key_hex="fa" * 16))
    device_id = w.device(1).id
    lwm2m_bootstrap.give(w.tx, device_id, ("first", b"1" * 16), SEAL)
    lwm2m_bootstrap.give(w.tx, device_id, NEW, SEAL)
    assert lwm2m_accounts.find_key(w.tx, "first", SEAL) is None
    assert lwm2m_bootstrap.take_over(w.tx, device_id, "new", SEAL)
    assert lwm2m_accounts.find_key(w.tx, "new", SEAL) == (device_id, NEW[1], False)


@story
def test_an_operators_word_ends_what_waits(w: World) -> None:
    """Whoever gives a device another key, of either kind, takes back what it has not used yet."""
    w.add_devices(1)
    put(w, OLD)
    device_id = w.device(1).id
    for word in (
        shapes.Lwm2m(psk_identity="old", psk_key_hex="22" * 16),
        shapes.Lwm2m(bootstrap_identity="factory", bootstrap_key_hex="33" * 16),
    ):
        lwm2m_bootstrap.give(w.tx, device_id, NEW, SEAL)
        assert put(w, word)
        assert lwm2m_accounts.find_key(w.tx, "new", SEAL) is None
        assert not lwm2m_bootstrap.take_over(w.tx, device_id, "new", SEAL)


@story
def test_what_became_of_a_request_is_kept(w: World) -> None:
    """When a device asked last, and what came of it."""
    w.add_devices(1)
    device_id = w.device(1).id
    assert store.given_to(w.tx, device_id) is None
    lwm2m_bootstrap.give(w.tx, device_id, NEW, SEAL)
    lwm2m_bootstrap.note(w.tx, device_id, "done", w.now)
    assert store.given_to(w.tx, device_id) == store.Given(
        identity="new", asked_at=w.now, said="done"
    )
