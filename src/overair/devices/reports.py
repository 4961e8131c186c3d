"""What a device tells of itself: attributes and logs; and its artifacts in words.

Attributes fill the device record (``http-ddi.md`` 5.2, 8); logs are taken while logging is on (9).
"""

from datetime import datetime

from overair.devices.asgi import Answer, Request
from overair.devices.desk import HAL, DeviceRooms, json_body
from overair.devices.gate import Caller
from overair.engine import devicelog
from overair.engine.inventory import TooManyAttributesError, record_attributes
from overair.protocols.ddi import decode, encode
from overair.protocols.ddi.route import Route
from overair.protocols.ddi.values import DdiError
from overair.store.database import to_ms
from overair.store.devicelog import LogEntry


async def config_data(
    rooms: DeviceRooms, request: Request, route: Route, caller: Caller, now: datetime
) -> Answer:
    body = await json_body(rooms, request)
    told = decode.decode_config_data(body, rooms.limits)
    try:
        await rooms.db.transact_brief(
            record_attributes,
            caller.device.id,
            told.mode.value,
            told.data,
            rooms.settings.attribute_names,
            now,
        )
    except TooManyAttributesError:
        raise DdiError(
            "ddi.quota", "the device would have too many attributes", status=429
        ) from None
    until = caller.device.logging_until_ms
    if until is not None and to_ms(now) < until:
        text = "Attributes: " + ", ".join(f"{k}={v}" for k, v in sorted(told.data.items()))
        await rooms.db.transact(
            devicelog.note_event, caller.device.id, text, rooms.settings.limits, now
        )
    return Answer()


async def artifact_list(
    rooms: DeviceRooms, request: Request, route: Route, caller: Caller, now: datetime
) -> Answer:
    base = encode.base_href(rooms.gate.public_url(request), route.tenant, route.controller_id)
    found = await rooms.artifacts.listed(base, route, caller, now)
    return Answer(200, encode.encode_artifacts(found), HAL)


async def md5sum(
    rooms: DeviceRooms, request: Request, route: Route, caller: Caller, now: datetime
) -> Answer:
    found = await rooms.artifacts.allowed(route, caller, now)
    return Answer(200, encode.encode_md5sum(found.md5, found.file_name), b"text/plain")


async def upload_log(
    rooms: DeviceRooms, request: Request, route: Route, caller: Caller, now: datetime
) -> Answer:
    until = caller.device.logging_until_ms
    if until is None or to_ms(now) >= until:
        raise DdiError("ddi.log_off", "logging is off for this device", status=403)
    limits = rooms.settings.limits
    body = await request.body(max(limits.log_bytes, limits.device_body_bytes), rooms.slow)
    entries = decode.decode_log(
        body,
        request.header(b"content-type"),
        request.header(b"content-disposition"),
        rooms.limits,
    )
    await rooms.db.transact(
        devicelog.add_entries,
        caller.device.id,
        [
            LogEntry(
                at=entry.log_time or now,
                type=entry.log_type.value,
                text=entry.event_log,
                binary=entry.content,
                binary_name=entry.file_name,
            )
            for entry in entries
        ],
        limits,
        now,
    )
    return Answer()
