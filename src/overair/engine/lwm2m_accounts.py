"""What operators say of LwM2M devices: the endpoint name, and the identity and key of DTLS.

Keys are sealed as secrets of OMA-DM accounts are (``engine/dm_accounts.py``), because DTLS needs them
themselves. The identity is explicit data: whatever a device calls itself in a Register, its session says
who it is (``lwm2m.md`` 12). A second pair, which a device may have for the bootstrap server, is kept
beside it; and an account that a device was given there is as good as its own until it has used it, which
makes it its own (``lwm2m_bootstrap.py``).

Not in here: sessions and registrations (``devices/lwm2m``).
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from msgspec import UNSET, UnsetType
from msgspec.json import decode as json_decode

from overair.core.ids import DeviceId
from overair.engine.fleet import given
from overair.fleetfile import shapes
from overair.sealing import Seal, SealError
from overair.store import lwm2m_accounts as store
from overair.store import lwm2m_bootstrap
from overair.store.database import Tx
from overair.store.lwm2m_accounts import Terms
from overair.store.lwm2m_bootstrap import BootstrapTerms

ADOPTED = 500  # documents in one transaction


class FoundKey(NamedTuple):
    """Whose an identity is."""

    device_id: DeviceId
    key: bytes
    fresh: bool = False
    """It was given to the device by the bootstrap server, and was not used before."""


Pair = tuple[str, bytes]
"""Identity and key."""


def place_of(device_id: DeviceId) -> str:
    """What the key of a device's account is sealed for."""
    return f"LwM2M key of device {device_id}"


def place_of_next(device_id: DeviceId) -> str:
    """What the key is sealed for that it was given and has not used."""
    return f"next LwM2M key of device {device_id}"


def place_of_bootstrap(device_id: DeviceId) -> str:
    """What its key at the bootstrap server is sealed for."""
    return f"LwM2M bootstrap key of device {device_id}"


def find_key(tx: Tx, identity: str, seal: Seal) -> FoundKey | None:
    """Whose an identity is, and its key; None: nobody has it. Raises SealError."""
    found = store.key_of(tx, identity)
    if found is not None:
        device_id, sealed = found
        return FoundKey(device_id, seal.open(sealed, place_of(device_id)))
    found = lwm2m_bootstrap.next_key_of(tx, identity)
    if found is not None:
        device_id, sealed = found
        return FoundKey(device_id, seal.open(sealed, place_of_next(device_id)), fresh=True)
    return None


def keys_by_device(
    tx: Tx, device_ids: Sequence[DeviceId], seal: Seal
) -> dict[DeviceId, frozenset[Pair]]:
    """What is good of these devices, of those that have something that opens."""
    own = store.identities_of(tx, device_ids)
    given_out = lwm2m_bootstrap.next_of(tx, device_ids)
    found: dict[DeviceId, frozenset[Pair]] = {}
    for sealed, place in ((own, place_of), (given_out, place_of_next)):
        for device_id, pair in opened(sealed, place, seal).items():
            found[device_id] = found.get(device_id, frozenset()) | {pair}
    return found


def opened(
    sealed: dict[DeviceId, Pair], place: Callable[[DeviceId], str], seal: Seal
) -> dict[DeviceId, Pair]:
    """Those of these keys that open; what was sealed with another installation's key opens no session."""
    found: dict[DeviceId, Pair] = {}
    for device_id, (identity, key) in sealed.items():
        with contextlib.suppress(SealError):
            found[device_id] = (identity, seal.open(key, place(device_id)))
    return found


# What operators say ------------------------------------------------------------------------------


def put_blocks(
    tx: Tx, blocks: Sequence[tuple[DeviceId, shapes.Lwm2m]], seal: Seal
) -> set[DeviceId]:
    """Keep what is said of devices; those for which it is news. Raises SealError."""
    device_ids = sorted({device_id for device_id, _ in blocks})
    kept = store.terms_of(tx, device_ids)
    second = lwm2m_bootstrap.terms_of(tx, device_ids)
    rows: dict[DeviceId, Terms] = {}
    second_rows: dict[DeviceId, BootstrapTerms] = {}
    for device_id, block in blocks:
        present = kept.get(device_id) or Terms()
        key = _sealed(block.psk_key_hex, present.key, place_of(device_id), seal)
        terms = replace(
            present,
            endpoint=given(block.endpoint, present.endpoint),
            identity=given(block.psk_identity, present.identity),
            key=key,
        )
        if terms != present:
            rows[device_id] = terms
        before = second.get(device_id) or BootstrapTerms()
        key = _sealed(block.bootstrap_key_hex, before.key, place_of_bootstrap(device_id), seal)
        after = BootstrapTerms(identity=given(block.bootstrap_identity, before.identity), key=key)
        if after != before:
            second_rows[device_id] = after
    store.put_terms(tx, rows.items())
    lwm2m_bootstrap.put_terms(tx, second_rows.items())
    # Whoever says anew what is good, means that nothing else is.
    lwm2m_bootstrap.drop_next(tx, sorted(set(rows) | set(second_rows)))
    return set(rows) | set(second_rows)


def _sealed(
    told: str | UnsetType | None, before: bytes | None, place: str, seal: Seal
) -> bytes | None:
    """The key to keep: the one that is there if it is the same, for sealed anew it differs."""
    if isinstance(told, UnsetType):
        return before
    if told is None:
        return None
    key = bytes.fromhex(told)
    if before is not None:
        try:
            if seal.open(before, place) == key:
                return before
        except SealError:
            pass  # what does not open any more is replaced
    return seal.close(key, place)


def blocks_of(tx: Tx, device_ids: Sequence[DeviceId], seal: Seal) -> dict[DeviceId, shapes.Lwm2m]:
    """What a fleet file says of devices. Raises SealError."""
    found: dict[DeviceId, shapes.Lwm2m] = {}
    own = store.terms_of(tx, device_ids)
    second = lwm2m_bootstrap.terms_of(tx, device_ids)
    for device_id in sorted(own.keys() | second.keys()):
        terms = own.get(device_id) or Terms()
        beside = second.get(device_id) or BootstrapTerms()
        block = shapes.Lwm2m(
            endpoint=terms.endpoint or UNSET,
            psk_identity=terms.identity or UNSET,
            psk_key_hex=_hex(terms.key, place_of(device_id), seal),
            bootstrap_identity=beside.identity or UNSET,
            bootstrap_key_hex=_hex(beside.key, place_of_bootstrap(device_id), seal),
        )
        if block != shapes.Lwm2m():
            found[device_id] = block
    return found


def _hex(sealed: bytes | None, place: str, seal: Seal) -> str | UnsetType:
    return UNSET if sealed is None else seal.open(sealed, place).hex()


def adopt(tx: Tx, seal: Seal) -> int:
    """Seal keys that an earlier version kept in clear, some of them; how many."""
    taken = store.take_documents(tx, ADOPTED)
    known = store.terms_of(tx, [device_id for device_id, _ in taken])
    blocks = [
        (device_id, json_decode(document, type=shapes.Lwm2m))
        for device_id, document in taken
        if device_id not in known
    ]
    put_blocks(tx, blocks, seal)
    return len(taken)
