"""What LwM2M devices are called, and the keys that they prove themselves with: one row for a device.

Keys are sealed (``overair/sealing.py``), and opened by the engine. A device of which nothing is said has
no row: it may register without DTLS under its IMEI, where that is allowed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from overair.core.ids import DeviceId
from overair.store.database import Row, Tx, marks

CHUNK = 500  # values to one IN list


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an operator says of a device."""

    endpoint: str | None = None  # None: its identity, or its IMEI in one of the usual forms
    identity: str | None = None
    key: bytes | None = None  # sealed


class Owner(NamedTuple):
    """A device that may register."""

    device_id: DeviceId
    imei: str
    make: str
    model: str
    protocol: str
    status: str
    active: bool  # the customer's account
    endpoint: str | None
    identity: str | None


_COLUMNS = """d.id, d.imei, d.make, d.model, d.protocol, d.status, t.active, a.endpoint,
 a.psk_identity"""
_OWNER = f"""{_COLUMNS} from device d join account t on t.id = d.account_id
 left join lwm2m_account a on a.device_id = d.id"""
# By what stands in the account itself: with the outer join SQLite goes through all devices for it.
_NAMED = f"""{_COLUMNS} from lwm2m_account a join device d on d.id = a.device_id
 join account t on t.id = d.account_id"""


def _owner(row: Row) -> Owner:
    return Owner(
        DeviceId(row[0]), row[1], row[2], row[3], row[4], row[5], bool(row[6]), row[7], row[8],
    )  # fmt: skip


def by_ids(tx: Tx, device_ids: Sequence[DeviceId]) -> dict[DeviceId, Owner]:
    """These devices. The caller bounds their number."""
    if not device_ids:
        return {}
    rows = tx.all(f"select {_OWNER} where d.id in ({marks(len(device_ids))})", device_ids)
    return {DeviceId(row[0]): _owner(row) for row in rows}


def by_imeis(tx: Tx, imeis: Sequence[str]) -> dict[str, Owner]:
    """Devices by their IMEIs. The caller bounds their number."""
    if not imeis:
        return {}
    rows = tx.all(f"select {_OWNER} where d.imei in ({marks(len(imeis))})", imeis)
    return {row[1]: _owner(row) for row in rows}


def by_first_digits(tx: Tx, digits: str) -> Owner | None:
    """The device whose IMEI begins so, if there is exactly one: the check digit is open."""
    rows = tx.all(
        f"select {_OWNER} where d.imei >= ? and d.imei <= ? limit 2", (digits + "0", digits + "9")
    )
    return _owner(rows[0]) if len(rows) == 1 else None


def by_endpoints(tx: Tx, endpoints: Sequence[str]) -> dict[str, Owner]:
    """Devices by the names that were given to them; a name that several have is nobody's."""
    if not endpoints:
        return {}
    rows = tx.all(f"select {_NAMED} where a.endpoint in ({marks(len(endpoints))})", endpoints)
    found: dict[str, list[Owner]] = {}
    for row in rows:
        found.setdefault(row[7], []).append(_owner(row))
    return {endpoint: owners[0] for endpoint, owners in found.items() if len(owners) == 1}


def key_of(tx: Tx, identity: str) -> tuple[DeviceId, bytes] | None:
    """(device, sealed key) of an identity; one that several have is nobody's."""
    rows = tx.all(
        "select device_id, psk_key from lwm2m_account where psk_identity = ? limit 2", (identity,)
    )
    if len(rows) != 1 or rows[0][1] is None:
        return None
    return DeviceId(rows[0][0]), bytes(rows[0][1])


def identities_of(tx: Tx, device_ids: Sequence[DeviceId]) -> dict[DeviceId, tuple[str, bytes]]:
    """(identity, sealed key) of those of these devices that have one. The caller bounds their number."""
    if not device_ids:
        return {}
    rows = tx.all(
        "select device_id, psk_identity, psk_key from lwm2m_account where psk_key is not null"
        f" and psk_identity is not null and device_id in ({marks(len(device_ids))})",
        device_ids,
    )
    return {DeviceId(row[0]): (row[1], bytes(row[2])) for row in rows}


# What operators say ------------------------------------------------------------------------------


def terms_of(tx: Tx, device_ids: Sequence[DeviceId]) -> dict[DeviceId, Terms]:
    """What was said of these devices."""
    found: dict[DeviceId, Terms] = {}
    for start in range(0, len(device_ids), CHUNK):
        chunk = device_ids[start : start + CHUNK]
        for row in tx.all(
            "select device_id, endpoint, psk_identity, psk_key from lwm2m_account"
            f" where device_id in ({marks(len(chunk))})",
            chunk,
        ):
            found[DeviceId(row[0])] = Terms(
                endpoint=row[1],
                identity=row[2],
                key=None if row[3] is None else bytes(row[3]),
            )
    return found


def put_terms(tx: Tx, rows: Iterable[tuple[DeviceId, Terms]]) -> None:
    """Write what was said."""
    tx.many(
        "insert into lwm2m_account (device_id, endpoint, psk_identity, psk_key)"
        " values (?, ?, ?, ?) on conflict (device_id) do update set"
        " endpoint = excluded.endpoint, psk_identity = excluded.psk_identity,"
        " psk_key = excluded.psk_key",
        [(device_id, terms.endpoint, terms.identity, terms.key) for device_id, terms in rows],
    )


def take_documents(tx: Tx, limit: int) -> list[tuple[DeviceId, str]]:
    """Take (device, document) of devices whose keys an earlier version kept in clear."""
    rows = tx.all(
        "select device_id, document from device_protocol where protocol = 'LWM2M'"
        " order by device_id limit ?",
        (limit,),
    )
    tx.many(
        "delete from device_protocol where device_id = ? and protocol = 'LWM2M'",
        [(row[0],) for row in rows],
    )
    return [(DeviceId(row[0]), row[1]) for row in rows]
