"""What an attempt's steps leave in the store: one transaction function for each.

What is about to be sent is written before it leaves, and what was heard before anything follows from it;
so whoever goes on with an attempt, after a restart too, knows as much as whoever began it.
"""

import contextlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from overair.config import Settings
from overair.core.attempt import AttemptEvent, AttemptState
from overair.core.ids import AttemptId, DeviceId
from overair.core.slots.radio import CellKey, cell_key
from overair.core.upgrade import Reason
from overair.engine import push
from overair.engine.inventory import TooManyAttributesError, record_attributes
from overair.engine.licenses import is_monitored
from overair.engine.outcome import DeviceEvent, record
from overair.engine.push import Job
from overair.protocols.lwm2m import firmware
from overair.protocols.lwm2m.firmware import Next
from overair.protocols.lwm2m.objects import ConnectivityReading, DeviceReading, FirmwareReading
from overair.protocols.lwm2m.results import Result, ResultClass, is_final
from overair.store import lwm2m_attempts as store
from overair.store import lwm2m_watch as watch
from overair.store import slots
from overair.store.database import Tx
from overair.store.lwm2m_attempts import Track

UNDER_WAY: Final = (AttemptState.OFFERED, AttemptState.RUNNING, AttemptState.DOWNLOADED)
NO_IMAGE: Final = "The image cannot be read"
_REASONS: Final = {
    NO_IMAGE: Reason.INTERNAL,
    firmware.RESTARTED: Reason.VERSION_UNCHANGED,
    firmware.UNEXPECTED_VERSION: Reason.UNEXPECTED_VERSION,
    firmware.NO_RESULT: Reason.REPORT_LOST,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """An attempt that is under way, and how far it is."""

    job: Job
    track: Track
    same_image: bool
    """The image that the device was given last is the one that it is to have."""


def load(tx: Tx, device_id: DeviceId, settings: Settings, now: datetime) -> Work | None:
    """What the device is to do; None: nothing."""
    job = push.job_of(tx, device_id, settings, now)
    if job is None or job.state not in UNDER_WAY:
        return None
    if job.state is AttemptState.OFFERED and not job.in_window:
        return None
    return Work(
        job=job,
        track=store.find(tx, job.attempt_id),
        same_image=store.wrote_image(tx, device_id, job.sha256),
    )


def cell_of_place(tx: Tx, work: Work) -> CellKey | None:
    """The cell in which the device has its slot; None: its campaign has none."""
    place = slots.places(tx, [work.job.upgrade_id]).get(work.job.upgrade_id)
    return None if place is None else place.held.cell


def stays(
    tx: Tx,
    work: Work,
    reading: ConnectivityReading,
    place: CellKey,
    settings: Settings,
    now: datetime,
) -> bool:
    """Write down where the device is, and whether it is still where it has its slot; else it moves on."""
    if note_radio(tx, work.job.device_id, reading, now) == place:
        return True
    push.moved(tx, work.job.device_id, settings, now)
    return False


def begin(tx: Tx, work: Work, track: Track, settings: Settings, now: datetime) -> None:
    """The device is about to be given the image."""
    store.put(tx, track)
    event = DeviceEvent(
        device_id=work.job.device_id,
        attempt_id=work.job.attempt_id,
        event=AttemptEvent.PROGRESS,
    )
    record(tx, event, settings, now)


def written(tx: Tx, work: Work, track: Track, settings: Settings, now: datetime) -> None:
    """The device took the address, or the image."""
    store.put(tx, track)
    push.note(tx, work.job, settings, now, text=f"takes the image ({track.method})")


def keep(tx: Tx, track: Track) -> None:
    """Keep how far it is."""
    store.put(tx, track)


def downloaded(tx: Tx, work: Work, settings: Settings, now: datetime) -> None:
    """The device has the image."""
    if work.job.state is not AttemptState.DOWNLOADED:
        push.downloaded(tx, work.job, settings, now, code=2, text="state 2, downloaded")


def execute(
    tx: Tx, work: Work, location: str, former_result: int, settings: Settings, now: datetime
) -> Track | None:
    """The device is about to be told to update; None: it is not, for the attempt was called off."""
    current = load(tx, work.job.device_id, settings, now)
    if current is None or current.job.attempt_id != work.job.attempt_id:
        return None
    timeout_s = settings.lwm2m.result_timeout_s
    push.executed(tx, work.job, settings, now, timeout_s=timeout_s)
    track = replace(
        current.track,
        location=location,
        former_result=former_result,
        accepted=False,
        deferred_until=None,
        executes=current.track.executes + 1,
    )
    store.put(tx, track)
    return track


def put_off(tx: Tx, work: Work, track: Track, settings: Settings, now: datetime) -> None:
    """The device's user puts the update off."""
    store.put(tx, track)
    push.note(tx, work.job, settings, now, code=Result.DEFERRED, text="Update deferred")


def succeed(
    tx: Tx, work: Work, version: str | None, why: Next, settings: Settings, now: datetime
) -> None:
    """The device runs what it was to run."""
    store.put(tx, store.find(tx, work.job.attempt_id))
    store.settle(tx, work.job.attempt_id)
    store.forget_setbacks(tx, work.job.device_id)
    push.succeeded(
        tx,
        work.job,
        version or work.job.to_version,
        settings,
        now,
        code=why.result,
        text=why.note,
    )


def fail(
    tx: Tx, work: Work, why: Next, *, other_way: bool, settings: Settings, now: datetime
) -> None:
    """The device did not do it: whether there is sense in another try is a matter of the result."""
    earlier = 0
    if why.result is not None:
        earlier = store.count_setback(tx, work.job.device_id, work.job.sha256, why.result)
    final = is_final(why.kind, earlier=earlier, other_way=other_way)
    store.settle(tx, work.job.attempt_id)
    push.failed(
        tx,
        work.job,
        _reason(work.job, why),
        settings,
        now,
        code=why.result,
        text=why.reason,
        final=final,
    )


def _reason(job: Job, why: Next) -> Reason:
    if why.reason in _REASONS:
        return _REASONS[why.reason]
    if why.kind is ResultClass.WAIT:
        return Reason.DECLINED
    executed = job.executed_at is not None
    return Reason.INSTALL_FAILED if executed else Reason.DOWNLOAD_FAILED


def called_off(tx: Tx, device_id: DeviceId) -> AttemptId | None:
    """An attempt that was called off, and of which the device may still have our image."""
    return store.unsettled(tx, device_id)


def take_back(tx: Tx, attempt_id: AttemptId) -> None:
    """The device has nothing of ours any more."""
    store.settle(tx, attempt_id)


# What the device says of itself ------------------------------------------------------------------


def note_device(
    tx: Tx,
    device_id: DeviceId,
    reading: DeviceReading,
    machine: FirmwareReading | None,
    settings: Settings,
    now: datetime,
) -> bool:
    """Write down what it is and runs; whether an upgrade has succeeded by that.

    ``machine``: what its update machine shows, if that was read.
    """
    if not reading.firmware_version:
        # It was asked what it runs, and does not say: what is on record of that is as old as it was.
        watch.refused(tx, device_id)
        return False
    told = {
        "Manufacturer": reading.manufacturer,
        "ModelNumber": reading.model,
        "HwV": reading.hardware_version,
        "SwV": reading.software_version,
    }
    if machine is not None:
        told |= {
            "UpdateState": _number(machine.state),
            "UpdateResult": _number(machine.result),
            "PkgName": machine.package_name,
            "PkgVersion": machine.package_version,
        }
    data: dict[str, str | None] = {name: value for name, value in told.items() if value}
    if data:
        # One that has said enough of itself is not heard of that any more.
        with contextlib.suppress(TooManyAttributesError):
            record_attributes(tx, device_id, "merge", data, settings.attribute_names, now)
    watch.told(tx, device_id)
    return push.version_seen(tx, device_id, reading.firmware_version, settings, now)


def _number(number: int | None) -> str | None:
    return None if number is None else str(number)


def note_radio(tx: Tx, device_id: DeviceId, reading: ConnectivityReading, now: datetime) -> CellKey:
    """Write down in which cell it is, and how well it hears it; that cell."""
    cell = cell_key(reading.mcc, reading.mnc, reading.cell_id, reading.bearer)
    signal, bearer = _small(reading.signal), _small(reading.bearer)
    slots.set_location(tx, device_id, cell, signal, bearer, now)
    return cell


def _small(number: int | None) -> int | None:
    """A number that may be one of these; devices report any."""
    return number if number is not None and -1000 < number < 1000 else None


def monitored(tx: Tx, device_id: DeviceId) -> bool:
    """Whether its cell is followed."""
    return is_monitored(tx, device_id)
