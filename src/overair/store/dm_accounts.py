"""OMA-DM accounts as rows: one for each device of which somebody said how it proves itself.

Nonces and knowledge are JSON of ``protocols/omadm``, which this room does not read; secrets are sealed
(``overair/sealing.py``), and opened by the engine.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from overair.core.ids import DeviceId
from overair.store.database import Row, Tx, for_update, marks

CHUNK = 500  # values to one IN list
EMPTY = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an operator says of an account."""

    client_name: str
    auth: str | None = None
    secrets: bytes | None = None
    notify_host: str | None = None
    notify_port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DmAccount:
    """An account, and what its sessions have to know of the device."""

    device_id: DeviceId
    imei: str
    mdn: str
    make: str
    model: str
    status: str
    active: bool  # the customer's account
    terms: Terms
    server_nonce: bytes
    nonces: str
    knowledge: str
    zero_nonce_session: str | None


class Speaking(NamedTuple):
    """An account as a message needs it. A tuple, because every message makes one."""

    device_id: DeviceId
    imei: str
    make: str
    model: str
    status: str
    active: bool  # the customer's account
    client_name: str
    auth: str | None
    secrets: bytes | None
    server_nonce: bytes
    nonces: str
    knowledge: str
    zero_nonce_session: str | None
    session: str | None  # that the device is in (``dm_sessions``)


_COLUMNS = """a.device_id, d.imei, d.mdn, d.make, d.model, d.status, t.active, a.client_name, a.auth,
 a.secrets, a.notify_host, a.notify_port, a.server_nonce, a.nonces, a.knowledge,
 a.zero_nonce_session"""
_FROM = """from dm_account a join device d on d.id = a.device_id join account t on t.id = d.account_id"""


def _account(row: Row) -> DmAccount:
    return DmAccount(
        device_id=DeviceId(row[0]),
        imei=row[1],
        mdn=row[2],
        make=row[3],
        model=row[4],
        status=row[5],
        active=bool(row[6]),
        terms=_terms(row[7:12]),
        server_nonce=bytes(row[12] or b""),
        nonces=row[13],
        knowledge=row[14],
        zero_nonce_session=row[15],
    )


def _terms(row: Row) -> Terms:
    return Terms(
        client_name=row[0],
        auth=row[1],
        secrets=None if row[2] is None else bytes(row[2]),
        notify_host=row[3],
        notify_port=row[4],
    )


def of_device(tx: Tx, device_id: DeviceId, *, lock: bool = False) -> DmAccount | None:
    """The device's account."""
    locking = f"{for_update(tx)} of a" if lock and for_update(tx) else ""
    row = tx.one(f"select {_COLUMNS} {_FROM} where a.device_id = ?{locking}", (device_id,))
    return None if row is None else _account(row)


def speaking(tx: Tx, device_id: DeviceId) -> Speaking | None:
    """The account of a device whose lock we have, and the session that it is in."""
    locking = f"{for_update(tx)} of a" if for_update(tx) else ""
    row = tx.one(
        "select a.device_id, d.imei, d.make, d.model, d.status, t.active, a.client_name, a.auth,"
        " a.secrets, a.server_nonce, a.nonces, a.knowledge, a.zero_nonce_session, s.state"
        f" {_FROM} left join dm_session s on s.device_id = a.device_id"
        f" where a.device_id = ?{locking}",
        (device_id,),
    )
    if row is None:
        return None
    return Speaking(
        row[0], row[1], row[2], row[3], row[4],
        bool(row[5]),
        row[6], row[7],
        None if row[8] is None else bytes(row[8]),
        bytes(row[9] or b""),
        row[10], row[11], row[12], row[13],
    )  # fmt: skip


def named(tx: Tx, client_name: str) -> list[DeviceId]:
    """Devices whose credentials have this user: none, one, or two of however many."""
    rows = tx.all(
        "select device_id from dm_account where client_name = ? order by device_id limit 2",
        (client_name,),
    )
    return [DeviceId(row[0]) for row in rows]


def device_between(tx: Tx, first_imei: str, last_imei: str) -> DeviceId | None:
    """The device with an account whose IMEI is within these bounds, if there is exactly one."""
    rows = tx.all(
        "select d.id from device d join dm_account a on a.device_id = d.id"
        " where d.imei >= ? and d.imei <= ? limit 2",
        (first_imei, last_imei),
    )
    return DeviceId(rows[0][0]) if len(rows) == 1 else None


def set_nonces(
    tx: Tx,
    device_id: DeviceId,
    *,
    server_nonce: bytes,
    nonces: str,
    zero_nonce_session: str | None,
) -> None:
    """Keep the nonces that are good from now on."""
    tx.execute(
        "update dm_account set server_nonce = ?, nonces = ?, zero_nonce_session = ?"
        " where device_id = ?",
        (server_nonce, nonces, zero_nonce_session, device_id),
    )


def set_knowledge(tx: Tx, device_id: DeviceId, knowledge: str) -> None:
    """Keep what was found out of the device."""
    tx.execute("update dm_account set knowledge = ? where device_id = ?", (knowledge, device_id))


def set_zero_nonce_session(tx: Tx, device_id: DeviceId, session_id: str) -> None:
    """The device was notified with the zero nonce: in this session it may prove itself over it."""
    tx.execute(
        "update dm_account set zero_nonce_session = ? where device_id = ?", (session_id, device_id)
    )


# What operators say ------------------------------------------------------------------------------


def terms_of(tx: Tx, device_ids: Sequence[DeviceId]) -> dict[DeviceId, Terms]:
    """What was said of these devices."""
    found: dict[DeviceId, Terms] = {}
    for start in range(0, len(device_ids), CHUNK):
        chunk = device_ids[start : start + CHUNK]
        for row in tx.all(
            "select client_name, auth, secrets, notify_host, notify_port, device_id"
            f" from dm_account where device_id in ({marks(len(chunk))})",
            chunk,
        ):
            found[DeviceId(row[5])] = _terms(row)
    return found


def put_terms(tx: Tx, rows: Iterable[tuple[DeviceId, Terms]]) -> None:
    """Write accounts, new ones and others; nonces and knowledge stay."""
    tx.many(
        "insert into dm_account (device_id, client_name, auth, secrets, notify_host, notify_port)"
        " values (?, ?, ?, ?, ?, ?) on conflict (device_id) do update set"
        " client_name = excluded.client_name, auth = excluded.auth, secrets = excluded.secrets,"
        " notify_host = excluded.notify_host, notify_port = excluded.notify_port",
        [
            (
                device_id,
                terms.client_name,
                terms.auth,
                terms.secrets,
                terms.notify_host,
                terms.notify_port,
            )
            for device_id, terms in rows
        ],
    )


def take_documents(tx: Tx, limit: int) -> list[tuple[DeviceId, str, str]]:
    """Take (device, IMEI, document) of accounts that an earlier version kept in clear."""
    rows = tx.all(
        "select p.device_id, d.imei, p.document from device_protocol p"
        " join device d on d.id = p.device_id where p.protocol = 'OMADM'"
        " order by p.device_id limit ?",
        (limit,),
    )
    tx.many(
        "delete from device_protocol where device_id = ? and protocol = 'OMADM'",
        [(row[0],) for row in rows],
    )
    return [(DeviceId(row[0]), row[1], row[2]) for row in rows]


# Users that do not exist -------------------------------------------------------------------------


def decoy(tx: Tx, slot: int) -> str:
    """The nonces of a slot."""
    row = tx.one(f"select nonces from dm_decoy where slot = ?{for_update(tx)}", (slot,))
    return EMPTY if row is None else str(row[0])


def set_decoy(tx: Tx, slot: int, nonces: str) -> None:
    """Keep them."""
    tx.execute(
        "insert into dm_decoy (slot, nonces) values (?, ?)"
        " on conflict (slot) do update set nonces = excluded.nonces",
        (slot, nonces),
    )
