"""Verbose logging of HTTP devices: on, off, and what they send meanwhile (``lifecycle.md`` 8).

A number of devices of an account may have it on at once; it goes off by itself after some days.
Entries are bounded by number for each device, and go after a month.

Not in here: how a device learns of it and what it may send (``devices/``).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from overair.config import Limits, Settings
from overair.core.errors import Refusal, RequestError
from overair.core.ids import AccountId, DeviceId
from overair.store import devicelog as store
from overair.store import devices
from overair.store.database import Tx
from overair.store.devicelog import LogEntry, Logging

# Log types that the server itself gives (``http-ddi.md`` 8).
SOFTWARE_UPDATE: Final = "SoftwareUpdate"
EVENT: Final = "Event"


def switch_on(
    tx: Tx, account_id: AccountId, imeis: Sequence[str], settings: Settings, now: datetime
) -> list[Logging]:
    """Switch logging on for these devices, or none of them; where it is on, it is renewed.

    All devices of the account that have it on then. Raises RequestError.
    """
    store.lock_account(tx, account_id)
    wanted = _devices(tx, account_id, imeis)
    most = settings.limits.logging_devices
    if len(store.switched_on_ids(tx, account_id, now) | wanted) > most:
        raise RequestError(Refusal.LOGGING_FULL, limit=most)
    store.switch_on(tx, account_id, wanted, now + timedelta(days=settings.logging_days))
    return store.switched_on(tx, account_id, now)


def switch_off(tx: Tx, account_id: AccountId, imeis: Sequence[str]) -> None:
    """Switch logging off; for a device that has it off this succeeds too. Raises RequestError."""
    store.switch_off(tx, _devices(tx, account_id, imeis))


def _devices(tx: Tx, account_id: AccountId, imeis: Sequence[str]) -> set[DeviceId]:
    if not imeis:
        raise RequestError(Refusal.DEVICE_LIST_EMPTY)
    named = list(dict.fromkeys(imeis))
    found = devices.ids_of(tx, account_id, named)
    if len(found) < len(named):
        raise RequestError(Refusal.DEVICE_NOT_FOUND)
    return set(found.values())


def add_entries(
    tx: Tx, device_id: DeviceId, entries: Sequence[LogEntry], limits: Limits, now: datetime
) -> None:
    """Keep what a device sent; its oldest entries go when there are too many."""
    kept = entries[-limits.logs_per_device :]
    store.add(tx, device_id, kept)
    if kept:
        store.keep_latest(tx, device_id, limits.logs_per_device)


def note_details(
    tx: Tx, device_id: DeviceId, details: Iterable[str], limits: Limits, now: datetime
) -> None:
    """Each line of a device's report on an update becomes an entry."""
    lines = [LogEntry(at=now, type=SOFTWARE_UPDATE, text=line) for line in details]
    add_entries(tx, device_id, lines, limits, now)


def note_event(tx: Tx, device_id: DeviceId, text: str, limits: Limits, now: datetime) -> None:
    """Something happened to a device that its log should show."""
    add_entries(tx, device_id, [LogEntry(at=now, type=EVENT, text=text)], limits, now)


def purge(tx: Tx, settings: Settings, now: datetime, limit: int) -> int:
    """Delete what is too old, some at a time; as long as the answer is ``limit`` there is more."""
    old = store.forget_entries(tx, now - timedelta(days=settings.log_keep_days), limit)
    return max(old, store.forget_expired(tx, now, limit))
