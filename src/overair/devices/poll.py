"""The poll, which is the check-in (``http-ddi.md`` 5.1, 8): the hottest request of all.

An idle poll is one point read and a note in memory; a device that has an action or is in a campaign
costs a second read, and only a new offer writes.
"""

import math
import zlib
from datetime import datetime
from typing import Final

from overair.core.plan import Link, poll_interval
from overair.devices.artifacts import described
from overair.devices.asgi import Answer, Request
from overair.devices.desk import HAL, DeviceRooms, two_phases
from overair.devices.gate import Caller
from overair.engine import assign
from overair.engine.assign import Look
from overair.protocols.ddi import encode
from overair.protocols.ddi.route import Route
from overair.protocols.http.ranges import names_tag
from overair.store.database import to_ms

SPREAD: Final = 0.1  # of the poll interval, so that a fleet does not come all at once
NOTHING: Final = Look()


async def poll(
    rooms: DeviceRooms, request: Request, route: Route, caller: Caller, now: datetime
) -> Answer:
    device = caller.device
    now_ms = to_ms(now)
    rooms.on_poll()
    if request.method == "GET":
        rooms.seen.note(device.id, now_ms)
    two_phase = two_phases(rooms, request)
    look = NOTHING
    if device.open_attempt_id is not None or device.open_upgrade_id is not None:
        look = await rooms.db.read(assign.look, device, rooms.settings, now, two_phase=two_phase)
        if look.may_offer:
            look = await rooms.db.transact(
                assign.offer, device.id, rooms.settings, now, two_phase=two_phase
            )
    links: list[tuple[str, str]] = []
    base = encode.base_href(rooms.gate.public_url(request), route.tenant, route.controller_id)
    if look.deployment is not None:
        action = look.deployment.attempt_id
        if look.link is Link.CANCEL:
            links.append(("cancelAction", encode.cancel_href(base, action)))
        else:
            _, tag = described(look)
            links.append(("deploymentBase", encode.deployment_href(base, action, tag)))
    if device.wants_attributes:
        links.append(("configData", encode.config_data_href(base)))
    if device.installed_attempt_id is not None:
        links.append(("installedBase", encode.installed_href(base, device.installed_attempt_id)))
    if device.logging_until_ms is not None and now_ms < device.logging_until_ms:
        links.append(("log", encode.log_href(base)))
    body = encode.encode_base(encode.format_sleep(_sleep_s(rooms, caller, look, now)), links)
    tag = encode.etag(body)
    headers = ((b"etag", tag.encode()),)
    if_none_match = request.header(b"if-none-match")
    if if_none_match is not None and (if_none_match == tag or names_tag(if_none_match, tag)):
        return Answer(304, headers=headers)
    return Answer(200, body, HAL, headers)


def _sleep_s(rooms: DeviceRooms, caller: Caller, look: Look, now: datetime) -> float:
    """The next check-in, in seconds, spread over the fleet but stable for the device."""
    device, settings = caller.device, rooms.settings
    normal = device.poll_interval_s or caller.tenant.poll_interval_s or settings.poll_interval_s
    if look.deployment is not None:
        interval = min(normal, settings.active_poll_interval_s)
    else:
        interval = poll_interval(normal, now, look.waits_until, settings.minimum_poll_interval_s)
    share = zlib.crc32(device.imei.encode()) % 1024 / 1024
    # Upwards, so that a second does not become none; and the shortest interval is not spread.
    spread = math.ceil(interval * (1 - SPREAD * share))
    return max(spread, min(interval, settings.minimum_poll_interval_s))
