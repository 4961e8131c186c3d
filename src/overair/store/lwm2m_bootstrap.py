"""What LwM2M devices prove themselves with at the bootstrap server, and what they were given there.

One row for a device of which something is said. Keys are sealed, and opened by the engine, as in
``lwm2m_accounts``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from overair.core.ids import DeviceId
from overair.store.database import Tx, from_ms, marks, to_ms

CHUNK = 500  # values to one IN list


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapTerms:
    """What an operator says of a device."""

    identity: str | None = None
    key: bytes | None = None  # sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What was given to a device, and when it asked."""

    identity: str | None  # None: what it was given it has used, or it was given nothing
    asked_at: datetime | None
    said: str


def key_of(tx: Tx, identity: str) -> tuple[DeviceId, bytes] | None:
    """(device, sealed key) of an identity at the bootstrap server; one that several have is nobody's."""
    rows = tx.all(
        "select device_id, psk_key from lwm2m_bootstrap where psk_identity = ? limit 2", (identity,)
    )
    if len(rows) != 1 or rows[0][1] is None:
        return None
    return DeviceId(rows[0][0]), bytes(rows[0][1])


def next_key_of(tx: Tx, identity: str) -> tuple[DeviceId, bytes] | None:
    """(device, sealed key) of an identity that was given out and not used yet."""
    rows = tx.all(
        "select device_id, next_key from lwm2m_bootstrap where next_identity = ? limit 2",
        (identity,),
    )
    if len(rows) != 1 or rows[0][1] is None:
        return None
    return DeviceId(rows[0][0]), bytes(rows[0][1])


def identities_of(tx: Tx, device_ids: Sequence[DeviceId]) -> dict[DeviceId, tuple[str, bytes]]:
    """(identity, sealed key) of those of these devices that have one. The caller bounds their number."""
    return _pairs(tx, device_ids, "psk_identity", "psk_key")


def next_of(tx: Tx, device_ids: Sequence[DeviceId]) -> dict[DeviceId, tuple[str, bytes]]:
    """The same, of what was given out and not used yet."""
    return _pairs(tx, device_ids, "next_identity", "next_key")


def _pairs(
    tx: Tx, device_ids: Sequence[DeviceId], identity: str, key: str
) -> dict[DeviceId, tuple[str, bytes]]:
    if not device_ids:
        return {}
    rows = tx.all(
        f"select device_id, {identity}, {key} from lwm2m_bootstrap where {key} is not null"
        f" and {identity} is not null and device_id in ({marks(len(device_ids))})",
        device_ids,
    )
    return {DeviceId(row[0]): (row[1], bytes(row[2])) for row in rows}


def put_next(tx: Tx, device_id: DeviceId, identity: str | None, key: bytes | None) -> None:
    """Keep what a device is given, or that nothing waits any more."""
    tx.execute(
        "insert into lwm2m_bootstrap (device_id, next_identity, next_key) values (?, ?, ?)"
        " on conflict (device_id) do update set next_identity = excluded.next_identity,"
        " next_key = excluded.next_key",
        (device_id, identity, key),
    )


def drop_next(tx: Tx, device_ids: Iterable[DeviceId]) -> None:
    """What these devices were given and have not used is good no more."""
    tx.many(
        "update lwm2m_bootstrap set next_identity = null, next_key = null"
        " where device_id = ? and next_identity is not null",
        [(device_id,) for device_id in device_ids],
    )


def note(tx: Tx, device_id: DeviceId, said: str, now: datetime) -> None:
    """Keep that a device asked, and what became of it."""
    tx.execute(
        "insert into lwm2m_bootstrap (device_id, asked_at, said) values (?, ?, ?)"
        " on conflict (device_id) do update set asked_at = excluded.asked_at, said = excluded.said",
        (device_id, to_ms(now), said),
    )


def given_to(tx: Tx, device_id: DeviceId) -> Given | None:
    """What became of a device's latest request; None: nothing is known."""
    row = tx.one(
        "select next_identity, asked_at, said from lwm2m_bootstrap where device_id = ?",
        (device_id,),
    )
    if row is None:
        return None
    return Given(identity=row[0], asked_at=None if row[1] is None else from_ms(row[1]), said=row[2])


# What operators say ------------------------------------------------------------------------------


def terms_of(tx: Tx, device_ids: Sequence[DeviceId]) -> dict[DeviceId, BootstrapTerms]:
    """What was said of these devices."""
    found: dict[DeviceId, BootstrapTerms] = {}
    for start in range(0, len(device_ids), CHUNK):
        chunk = device_ids[start : start + CHUNK]
        for row in tx.all(
            "select device_id, psk_identity, psk_key from lwm2m_bootstrap"
            f" where device_id in ({marks(len(chunk))})",
            chunk,
        ):
            found[DeviceId(row[0])] = BootstrapTerms(
                identity=row[1], key=None if row[2] is None else bytes(row[2])
            )
    return found


def put_terms(tx: Tx, rows: Iterable[tuple[DeviceId, BootstrapTerms]]) -> None:
    """Write what was said."""
    tx.many(
        "insert into lwm2m_bootstrap (device_id, psk_identity, psk_key) values (?, ?, ?)"
        " on conflict (device_id) do update set psk_identity = excluded.psk_identity,"
        " psk_key = excluded.psk_key",
        [(device_id, terms.identity, terms.key) for device_id, terms in rows],
    )
