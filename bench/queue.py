"""What it costs to wake queued devices over OMA-DM, as the queue grows.

A database with so many devices that wait to be seen; then, again and again, the network sees a hundred
of them, and what is due is looked at as the server does it: an attempt is opened for each, and the
notification that has to be sent comes out. In this process, on SQLite on disk, each step its own commit.

The rows are written by SQL, because a million devices through the front door would take an hour; they
are what the engine leaves of a device whose window has closed.
"""

import asyncio
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from overair.clock import SystemClock
from overair.config import Settings
from overair.core.ids import AccountId, DeviceId, PackageId
from overair.engine import push
from overair.store import Tx, open_database
from overair.store.database import to_ms

SEEN = 100  # devices that the network tells of at once
ROUNDS = 40
PIECE = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Waking:
    """What one size of queue cost."""

    devices: int
    attach_us: float  # for each device seen
    wake_us: float  # for each device woken
    cpu_us: float  # for both, of this process: what others on the machine take is not in it


def measure(directory: Path, sizes: tuple[int, ...]) -> list[Waking]:
    """Fill and empty a queue of each size."""
    return [asyncio.run(_measure(directory / f"queue-{size}.db", size)) for size in sizes]


async def _measure(path: Path, size: int) -> Waking:
    settings = Settings()
    db = open_database(f"sqlite:///{path}", SystemClock())
    await db.start()
    try:
        now = datetime.now(UTC)
        await db.transact(_campaign, now)
        for start in range(0, size, PIECE):
            await db.transact(_devices, start, min(PIECE, size - start), now)
        attach: list[float] = []
        wake: list[float] = []
        cpu: list[float] = []
        for number in range(min(ROUNDS, size // SEEN)):
            step = size // (min(ROUNDS, size // SEEN) * SEEN)
            ids = [DeviceId(1 + (number * SEEN + n) * step) for n in range(SEEN)]
            began, worked = time.perf_counter(), time.process_time()
            woken = await db.transact(push.attached, ids, settings, now)
            seen = time.perf_counter()
            wakes = await db.transact(push.due, settings, now, SEEN)
            ended = time.perf_counter()
            cpu.append((time.process_time() - worked) / SEEN)
            assert woken == len(wakes) == SEEN, (woken, len(wakes))
            attach.append((seen - began) / SEEN)
            wake.append((ended - seen) / SEEN)
        return Waking(
            devices=size,
            attach_us=statistics.median(attach) * 1e6,
            wake_us=statistics.median(wake) * 1e6,
            cpu_us=statistics.median(cpu) * 1e6,
        )
    finally:
        await db.close()


def _campaign(tx: Tx, now: datetime) -> None:
    ms = to_ms(now)
    account = AccountId(1)
    package = PackageId(1)
    tx.execute(
        "insert into account (id, name, created_at) values (?, '0000123456-00001', ?)",
        (account, ms),
    )
    tx.execute(
        "insert into artifact (sha256, sha1, md5, size_bytes, created_at)"
        " values ('a', 'b', 'c', 1, ?)",
        (ms,),
    )
    tx.execute(
        "insert into package (id, kind, name, protocol, make, model, from_version, to_version,"
        " launch_at, file_name, artifact_sha256, created_at, updated_at)"
        " values (?, 'software', 'FW', 'OMADM', 'Acme', 'X1', '01', '02', ?, 'fw.bin', 'a', ?, ?)",
        (package, ms, ms, ms),
    )
    end = (now + timedelta(days=30)).date().isoformat()
    tx.execute(
        "insert into campaign (id, uuid, account_id, api_version, kind, package_id,"
        " distribution_type, status, start_date, end_date, created_at, started_at, due_at)"
        " values (1, 'u', ?, 1, 'software', ?, 'OMD-DM', 'scheduled', ?, ?, ?, ?, ?)",
        (account, package, now.date().isoformat(), end, ms, ms, to_ms(now + timedelta(days=1))),
    )


def _devices(tx: Tx, start: int, count: int, now: datetime) -> None:
    ms, later = to_ms(now), to_ms(now + timedelta(days=1))
    numbers = range(start + 1, start + count + 1)
    tx.many(
        "insert into device (id, account_id, imei, controller_id, protocol, make, model, version,"
        " open_upgrade_id, created_at, updated_at)"
        " values (?, 1, ?, ?, 'OMADM', 'Acme', 'X1', '01', ?, ?, ?)",
        ((n, f"99{n:013d}", f"99{n:013d}", n, ms, ms) for n in numbers),
    )
    tx.many(
        "insert into device_upgrade (id, campaign_id, device_id, imei, state, reason, attempts,"
        " started_at, updated_at, due_at)"
        " values (?, 1, ?, ?, 'pending', 'retry_queued', 1, ?, ?, ?)",
        ((n, n, f"99{n:013d}", ms, ms, later + n) for n in numbers),
    )
    tx.many(
        "insert into attempt (id, upgrade_id, campaign_id, device_id, package_id, artifact_sha256,"
        " file_name, number, state, offered_at, closed_at, reason)"
        " values (?, ?, 1, ?, 1, 'a', 'fw.bin', 1, 'expired', ?, ?, 'no_response')",
        ((n, n, n, ms, ms) for n in numbers),
    )
    tx.many(
        "insert into push_attempt (attempt_id, correlator, session, called_at, window_ends_at)"
        " values (?, ?, 1, ?, ?)",
        ((n, f"c-{n:x}", ms, ms) for n in numbers),
    )
    if start == 0:
        tx.execute(
            "insert into tally (campaign_id, state, slot, count) values (1, 'pending', 0, 0)"
        )
