"""How far the firmware attempts of LwM2M devices are with their devices, and what failed before."""

from dataclasses import dataclass
from datetime import datetime

from overair.core.ids import AttemptId, DeviceId
from overair.store.database import Tx, opt_from_ms, opt_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """What an attempt over LwM2M has beside its own row."""

    attempt_id: AttemptId
    method: str = ""  # push, or the scheme of a pull; "": not begun
    former_result: int = 0  # that the device showed before we began
    begins: int = 0  # how often it was begun with
    written_at: datetime | None = None  # since when it has, or fetches, our image
    executes: int = 0  # how often it was told to update
    accepted: bool = False  # it took the last of these
    location: str = ""  # its registration then: another means a restart
    deferred_until: datetime | None = None


def find(tx: Tx, attempt_id: AttemptId) -> Track:
    """The attempt's track; a new one before anything was done."""
    row = tx.one(
        "select method, former_result, written_at, executes, accepted, location, deferred_until,"
        " begins"
        " from lwm2m_attempt where attempt_id = ?",
        (attempt_id,),
    )
    if row is None:
        return Track(attempt_id=attempt_id)
    return Track(
        attempt_id=attempt_id,
        method=row[0],
        former_result=row[1],
        written_at=opt_from_ms(row[2]),
        executes=row[3],
        accepted=bool(row[4]),
        location=row[5],
        deferred_until=opt_from_ms(row[6]),
        begins=row[7],
    )


def put(tx: Tx, track: Track) -> None:
    """Keep it."""
    tx.execute(
        "insert into lwm2m_attempt (attempt_id, method, former_result, written_at, executes,"
        " accepted, location, deferred_until, begins) values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " on conflict (attempt_id) do update set method = excluded.method,"
        " former_result = excluded.former_result, written_at = excluded.written_at,"
        " executes = excluded.executes, accepted = excluded.accepted,"
        " location = excluded.location, deferred_until = excluded.deferred_until,"
        " begins = excluded.begins",
        (
            track.attempt_id,
            track.method,
            track.former_result,
            opt_ms(track.written_at),
            track.executes,
            track.accepted,
            track.location,
            opt_ms(track.deferred_until),
            track.begins,
        ),
    )


def settle(tx: Tx, attempt_id: AttemptId) -> None:
    """The attempt has left nothing on its device."""
    tx.execute("update lwm2m_attempt set settled = true where attempt_id = ?", (attempt_id,))


def unsettled(tx: Tx, device_id: DeviceId) -> AttemptId | None:
    """The device's latest attempt, if that was called off with our image on its way."""
    row = tx.one(
        "select l.attempt_id from attempt t join lwm2m_attempt l on l.attempt_id = t.id"
        " where t.device_id = ? and t.closed_at is not null and not l.settled and l.method <> ''"
        " and t.id = (select max(id) from attempt where device_id = ?)",
        (device_id, device_id),
    )
    return None if row is None else AttemptId(row[0])


def wrote_image(tx: Tx, device_id: DeviceId, sha256: str) -> bool:
    """Whether the image that the device was given last is this one."""
    row = tx.one(
        "select t.artifact_sha256 from attempt t join lwm2m_attempt l on l.attempt_id = t.id"
        " where t.device_id = ? and l.written_at is not null order by t.id desc limit 1",
        (device_id,),
    )
    return row is not None and row[0] == sha256


def count_setback(tx: Tx, device_id: DeviceId, sha256: str, result: int) -> int:
    """Count a result of the device with an image; how often it was there before."""
    tx.execute(
        "insert into lwm2m_setback (device_id, sha256, result, times) values (?, ?, ?, 1)"
        " on conflict (device_id, sha256, result) do update set times = lwm2m_setback.times + 1",
        (device_id, sha256, result),
    )
    row = tx.one(
        "select times from lwm2m_setback where device_id = ? and sha256 = ? and result = ?",
        (device_id, sha256, result),
    )
    assert row is not None
    return int(row[0]) - 1


def forget_setbacks(tx: Tx, device_id: DeviceId) -> None:
    """The device has succeeded."""
    tx.execute("delete from lwm2m_setback where device_id = ?", (device_id,))
