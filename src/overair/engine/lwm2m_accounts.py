"""What operators say of LwM2M devices: the endpoint name, and the identity and key of DTLS.

Keys are sealed as secrets of OMA-DM accounts are (``engine/dm_accounts.py``), because DTLS needs them
themselves. The identity is explicit data: whatever a device calls itself in a Register, its session says
who it is (``lwm2m.md`` 12).

Not in here: sessions and registrations (``devices/lwm2m``).
"""

from collections.abc import Sequence
from dataclasses import replace

from msgspec import UNSET
from msgspec.json import decode as json_decode

from overair.core.ids import DeviceId
from overair.engine.fleet import given
from overair.fleetfile import shapes
from overair.sealing import Seal, SealError
from overair.store import lwm2m_accounts as store
from overair.store.database import Tx
from overair.store.lwm2m_accounts import Terms

ADOPTED = 500  # documents in one transaction


def _place(device_id: DeviceId) -> str:
    return f"LwM2M key of device {device_id}"


def find_key(tx: Tx, identity: str, seal: Seal) -> tuple[DeviceId, bytes] | None:
    """Whose an identity is, and its key; None: nobody has it. Raises SealError."""
    found = store.key_of(tx, identity)
    if found is None:
        return None
    device_id, sealed = found
    return device_id, seal.open(sealed, _place(device_id))


def keys_by_device(
    tx: Tx, device_ids: Sequence[DeviceId], seal: Seal
) -> dict[DeviceId, tuple[str, bytes]]:
    """(identity, key) of these devices, of those that have one that opens."""
    found: dict[DeviceId, tuple[str, bytes]] = {}
    for device_id, (identity, sealed) in store.identities_of(tx, device_ids).items():
        try:
            found[device_id] = (identity, seal.open(sealed, _place(device_id)))
        except SealError:
            continue  # sealed with another installation's key: it opens nothing, nor does a session
    return found


# What operators say ------------------------------------------------------------------------------


def put_blocks(
    tx: Tx, blocks: Sequence[tuple[DeviceId, shapes.Lwm2m]], seal: Seal
) -> set[DeviceId]:
    """Keep what is said of devices; those for which it is news. Raises SealError."""
    kept = store.terms_of(tx, sorted({device_id for device_id, _ in blocks}))
    rows: dict[DeviceId, Terms] = {}
    for device_id, block in blocks:
        present = kept.get(device_id) or Terms()
        terms = replace(
            present,
            endpoint=given(block.endpoint, present.endpoint),
            identity=given(block.psk_identity, present.identity),
            key=_sealed(block, present.key, device_id, seal),
        )
        if terms != present:
            rows[device_id] = terms
    store.put_terms(tx, rows.items())
    return set(rows)


def _sealed(
    told: shapes.Lwm2m, before: bytes | None, device_id: DeviceId, seal: Seal
) -> bytes | None:
    """The key to keep: the one that is there if it is the same, for sealed anew it differs."""
    if told.psk_key_hex is UNSET:
        return before
    if told.psk_key_hex is None:
        return None
    key = bytes.fromhex(told.psk_key_hex)
    place = _place(device_id)
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
    for device_id, terms in store.terms_of(tx, device_ids).items():
        key = None if terms.key is None else seal.open(terms.key, _place(device_id))
        block = shapes.Lwm2m(
            endpoint=terms.endpoint or UNSET,
            psk_identity=terms.identity or UNSET,
            psk_key_hex=UNSET if key is None else key.hex(),
        )
        if block != shapes.Lwm2m():
            found[device_id] = block
    return found


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
