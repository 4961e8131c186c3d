"""What stories of devices over OMA-DM have in common."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from overair.config import Omadm
from overair.core.ids import AttemptId, CampaignId
from overair.core.upgrade import Reason
from overair.engine import push
from overair.engine.catalog import put_software
from overair.engine.push import Job, Wake
from overair.store.database import from_ms
from tests.engine.world import World, imei, settings, software

FIRMWARE = "FW_Acme_X1_01To02"
LIMIT = 1000


def rules(**changes: Any) -> Any:
    """Settings with those of OMA-DM changed."""
    return settings(omadm=Omadm(**changes))


def fleet(w: World, *numbers: int) -> None:
    """Devices over OMA-DM, and the firmware for them."""
    put_software(w.tx, software(name=FIRMWARE, protocol="OMADM"), w.now)
    w.add_devices(*numbers, protocol="OMADM")


def campaign(w: World, devices: Iterable[int], *, version: int = 1, **asked: Any) -> CampaignId:
    """A campaign of v1, carried as far as it goes now."""
    plain = {
        "api_version": version,
        "package_name": FIRMWARE,
        "from_version": None if version == 1 else "01",
        "protocols": frozenset({"OMADM", "LWM2M"}),
        "distribution_type": "OMD-DM",
    }
    return w.campaign(devices, **(plain | asked))


def due(w: World, limit: int = LIMIT) -> list[Wake]:
    """Look at what is due now."""
    return push.due(w.tx, w.settings, w.now, limit)


def woken(w: World) -> list[str]:
    """Who is notified now."""
    return sorted(wake.imei for wake in due(w))


def pass_time(w: World, **delta: float) -> list[tuple[datetime, str]]:
    """Let the time pass, looking at each instant at which something is due; who was notified when."""
    until = w.now + timedelta(**delta)
    told = []
    while True:
        row = w.tx.one("select min(due_at) from device_upgrade where due_at is not null")
        at = None if row is None or row[0] is None else from_ms(row[0])
        if at is None or at > until:
            break
        w.wait_until(max(at, w.now))
        told += [(w.now, wake.imei) for wake in due(w)]
    w.wait_until(until)
    return told


def told(w: World, number: int) -> tuple[str, datetime | None]:
    """What a person is told that the device waits for, and until when."""
    explained = w.explain(number)
    assert explained.sentence
    return explained.wait, explained.until


def attach(w: World, *numbers: int) -> int:
    """The network sees the devices."""
    ids = [w.device(number).id for number in numbers]
    return push.attached(w.tx, ids, w.settings, w.now)


def session(w: World, number: int) -> Job | None:
    """The device opens a session; its job."""
    device_id = w.device(number).id
    push.begin_session(w.tx, device_id, w.settings, w.now)
    return push.job_of(w.tx, device_id, w.settings, w.now)


def job(w: World, number: int) -> Job:
    """The job that the device has; there must be one that it may be given now or is at."""
    found = session(w, number)
    assert found is not None
    assert found.in_window
    return found


def execute(w: World, number: int) -> Job:
    """The device takes its command."""
    taken = job(w, number)
    push.executed(w.tx, taken, w.settings, w.now)
    return taken


def fail(w: World, number: int, reason: Reason = Reason.INSTALL_FAILED, code: int = 410) -> Job:
    """The device takes its command and reports that it failed."""
    taken = execute(w, number)
    push.failed(w.tx, taken, reason, w.settings, w.now, code=code)
    return taken


def succeed(w: World, number: int) -> Job:
    """The device is upgraded, and shows it."""
    taken = execute(w, number)
    push.succeeded(w.tx, taken, "02", w.settings, w.now, code=200)
    return taken


def runs(w: World, number: int) -> str:
    """The version on record."""
    row = w.tx.one("select version from device where imei = ?", (imei(number),))
    assert row is not None
    return str(row[0])


def open_attempt(w: World, number: int) -> AttemptId:
    """The device's attempt under way."""
    found = w.device(number).open_attempt_id
    assert found is not None
    return found
