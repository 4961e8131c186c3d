"""Verbose logging of devices, what they sent, and their check-ins (API 5.18, lifecycle 8)."""

import base64
from datetime import date, datetime, timedelta
from typing import Annotated, Final

from msgspec import Meta

from overair.api.lookup import device_named
from overair.api.routing import Call, Routes
from overair.api.v2.shapes import PREFIX
from overair.api.wire import Answer, Body, DateTimeText, Imei, Nothing, Query
from overair.config import Settings
from overair.core.errors import Refusal
from overair.core.ids import AccountId
from overair.core.instants import datetime_text
from overair.engine import devicelog as engine
from overair.store import devicelog as store
from overair.store.database import Tx
from overair.store.devicelog import LogEntry, Logging, PastCheckIn

routes = Routes(PREFIX, tag="v2 logging")

CLIENT_TYPE: Final = "RovaClient"
ANSWER_BYTES: Final = 16 * 1024 * 1024
"""Logs that one answer holds; a binary one may be a megabyte, and all of it is in memory."""


class DeviceIds(Body):
    """The devices to log."""

    wrapper = "deviceLogging"

    device_ids: list[Imei]


class DeviceIdsQuery(Query):
    device_ids: list[Imei]


class LoggingStatus(Answer):
    """A device with logging on, and when it goes off by itself."""

    device_id: Imei
    expiry_date: date


class DeviceLog(Answer):
    """Something that a device logged."""

    device_id: Imei
    log_time: DateTimeText
    log_type: Annotated[str, Meta(examples=["SoftwareUpdate"])]
    event_log: str
    binary_log_file_base64: Annotated[str, Meta(extra_json_schema={"contentEncoding": "base64"})]
    binary_log_filename: str


class CheckIn(Answer):
    """A device checked in."""

    device_id: Imei
    client_type: str
    result: Annotated[str, Meta(extra_json_schema={"enum": ["Success", "Failure"]})]
    failure_type: Annotated[str, Meta(examples=["None"])]
    time_completed: DateTimeText


@routes.add("GET", "/logging/{acc}/devices")
async def list_logging(call: Call[None, None]) -> list[LoggingStatus]:
    """List the devices that have logging on."""
    account = await call.account()
    return _statuses(await call.db.read(store.switched_on, account.id, call.now))


@routes.add(
    "PUT",
    "/logging/{acc}/devices",
    errors=(Refusal.DEVICE_LIST_EMPTY, Refusal.DEVICE_NOT_FOUND, Refusal.LOGGING_FULL),
)
async def enable_logging(call: Call[DeviceIds, None]) -> list[LoggingStatus]:
    """Switch logging on, or renew it: for all of these devices, or for none."""
    account = await call.account()
    imeis = call.formats.imeis(call.body.device_ids)
    return _statuses(
        await call.db.transact(engine.switch_on, account.id, imeis, call.settings, call.now)
    )


@routes.add(
    "DELETE",
    "/logging/{acc}/devices",
    errors=(Refusal.DEVICE_LIST_EMPTY, Refusal.DEVICE_NOT_FOUND),
)
async def disable_logging(call: Call[None, DeviceIdsQuery]) -> Nothing:
    """Switch logging off. For a device that has it off this succeeds too."""
    account = await call.account()
    imeis = call.formats.imeis(call.query.device_ids)
    await call.db.transact(engine.switch_off, account.id, imeis)
    return Nothing()


@routes.add(
    "PUT",
    "/logging/{acc}/devices/{deviceId}",
    errors=(Refusal.DEVICE_ID, Refusal.DEVICE_NOT_FOUND, Refusal.LOGGING_FULL),
)
async def enable_device_logging(call: Call[None, None]) -> LoggingStatus:
    """Switch logging on for a device, or renew it."""
    account = await call.account()
    imei = call.formats.imei(call.path["deviceId"])
    switched_on = await call.db.transact(
        engine.switch_on, account.id, [imei], call.settings, call.now
    )
    return _status(next(one for one in switched_on if one.imei == imei))


@routes.add(
    "DELETE",
    "/logging/{acc}/devices/{deviceId}",
    errors=(Refusal.DEVICE_ID, Refusal.DEVICE_NOT_FOUND),
)
async def disable_device_logging(call: Call[None, None]) -> Nothing:
    """Switch logging off for a device, if it is on."""
    account = await call.account()
    imei = call.formats.imei(call.path["deviceId"])
    await call.db.transact(engine.switch_off, account.id, [imei])
    return Nothing()


def _statuses(found: list[Logging]) -> list[LoggingStatus]:
    return [_status(one) for one in found]


def _status(logging: Logging) -> LoggingStatus:
    return LoggingStatus(device_id=logging.imei, expiry_date=logging.expires_at.date())


@routes.add(
    "GET",
    "/logging/{acc}/devices/{deviceId}/logs",
    errors=(Refusal.DEVICE_ID, Refusal.DEVICE_NOT_FOUND),
)
async def list_device_logs(call: Call[None, None]) -> list[DeviceLog]:
    """List what a device has logged, newest first."""
    account = await call.account()
    imei = call.formats.imei(call.path["deviceId"])
    found = await call.db.report(_logs, account.id, imei, call.settings, call.now)
    return [
        DeviceLog(
            device_id=imei,
            log_time=datetime_text(entry.at),
            log_type=entry.type,
            event_log=entry.text,
            binary_log_file_base64=base64.b64encode(entry.binary or b"").decode(),
            binary_log_filename=entry.binary_name,
        )
        for entry in found
    ]


def _logs(
    tx: Tx, account_id: AccountId, imei: str, settings: Settings, now: datetime
) -> list[LogEntry]:
    return store.entries(
        tx,
        device_named(tx, account_id, imei),
        now - timedelta(days=settings.log_keep_days),
        limit=settings.limits.page_size,
        limit_bytes=ANSWER_BYTES,
    )


@routes.add(
    "GET",
    "/logging/{acc}/devices/{deviceId}/checkInHistory",
    errors=(Refusal.DEVICE_ID, Refusal.DEVICE_NOT_FOUND),
)
async def list_check_ins(call: Call[None, None]) -> list[CheckIn]:
    """List when a device has checked in, newest first."""
    account = await call.account()
    imei = call.formats.imei(call.path["deviceId"])
    found = await call.db.report(_check_ins, account.id, imei, call.settings, call.now)
    return [
        CheckIn(
            device_id=imei,
            client_type=CLIENT_TYPE,
            result=check_in.result,
            failure_type=check_in.failure_type,
            time_completed=datetime_text(check_in.at),
        )
        for check_in in found
    ]


def _check_ins(
    tx: Tx, account_id: AccountId, imei: str, settings: Settings, now: datetime
) -> list[PastCheckIn]:
    return store.check_ins(
        tx,
        device_named(tx, account_id, imei),
        now - timedelta(days=settings.check_in_keep_days),
        settings.limits.check_ins_per_device,
    )
