"""Devices that are told to come: notified, kept waiting for, tried again without limit.

A device over OMA-DM does not ask by itself. When its turn comes an *attempt* is opened, it is notified,
and what it then does in its sessions is recorded here. An attempt that fails, or whose window closes
without a session, queues the device: it has its next turn when the network sees it, when it opens a
session of its own, or, where nobody tells, once a day (``oma-dm.md`` 9, ``lifecycle.md`` 3.5).

What is due for a device is one instant, ``device_upgrade.due_at``; whoever looks at it moves it on in
the same transaction, under the device's lock. A notification is sent after that is on disk: of two
processes one sends it, and one that is lost with its process is repeated by the schedule of
``core/push.py``.

``turns`` looks at what is due and at devices that come, ``opening`` opens attempts, ``jobs`` says what a
device is to do, ``reports`` takes what it says and shows.

Not here: bytes and sessions (``devices/dm``), carriers (``push/``), what an outcome means for
licences, counters and listeners (``engine/outcome.py``).
"""

from overair.engine.push.jobs import Job, job_by_correlator, job_of
from overair.engine.push.opening import Wake
from overair.engine.push.reports import (
    await_version,
    downloaded,
    executed,
    failed,
    note,
    succeeded,
    version_seen,
)
from overair.engine.push.turns import attached, begin_session, due, give_dates, moved, set_aside

__all__ = [
    "Job",
    "Wake",
    "attached",
    "await_version",
    "begin_session",
    "downloaded",
    "due",
    "executed",
    "failed",
    "give_dates",
    "job_by_correlator",
    "job_of",
    "moved",
    "note",
    "set_aside",
    "succeeded",
    "version_seen",
]
