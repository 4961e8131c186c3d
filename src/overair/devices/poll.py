"""The poll, which is the check-in (``http-ddi.md`` 5.1, 8): the hottest request of all.

An idle poll is one point read and a note in memory; a device that has an action or is in a campaign
costs a second read, and only a new offer writes.
"""

import math
import zlib
from datetime import datetime
from functools import lru_cache
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
SHARES: Final = 1024  # different intervals in a fleet
NOTHING: Final = Look()


async def poll(
    rooms: DeviceRooms, request: Request, route: Route, caller: Caller, now: datetime
) -> Answer:
    device = caller.device
    now_ms = to_ms(now)
    rooms.on_poll()
    if request.method == "GET":
        rooms.seen.note(device.id, now_ms)
    look = NOTHING
    if device.open_attempt_id is not None or device.open_upgrade_id is not None:
        two_phase = two_phases(rooms, request)
        look = await rooms.db.read(assign.look, device, rooms.settings, now, two_phase=two_phase)
        if look.may_offer:
            look = await rooms.db.transact_brief(
                assign.offer, device.id, rooms.settings, now, two_phase=two_phase
            )
    links = _links(rooms, request, route, caller, look, now_ms)
    sleep = _sleep(rooms, caller, look, now)
    answer, tag = _answer(sleep, links) if links else _idle(sleep)
    if_none_match = request.header(b"if-none-match")
    if if_none_match is not None and (if_none_match == tag or names_tag(if_none_match, tag)):
        return Answer(304, headers=answer.headers)
    return answer


def _links(
    rooms: DeviceRooms, request: Request, route: Route, caller: Caller, look: Look, now_ms: int
) -> list[tuple[str, str]]:
    """What the device is told of, each with its address."""
    device = caller.device
    logs = device.logging_until_ms is not None and now_ms < device.logging_until_ms
    installed = device.installed_attempt_id
    if look.deployment is None and not device.wants_attributes and installed is None and not logs:
        return []
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
    if installed is not None:
        links.append(("installedBase", encode.installed_href(base, installed)))
    if logs:
        links.append(("log", encode.log_href(base)))
    return links


def _answer(sleep: str, links: list[tuple[str, str]]) -> tuple[Answer, str]:
    """The answer and its entity tag."""
    body = encode.encode_base(sleep, links)
    tag = encode.etag(body)
    return Answer(200, body, HAL, ((b"etag", tag.encode()),)), tag


@lru_cache(maxsize=4096)
def _idle(sleep: str) -> tuple[Answer, str]:
    """The answer without links, of which there are no more than intervals."""
    return _answer(sleep, [])


def _sleep(rooms: DeviceRooms, caller: Caller, look: Look, now: datetime) -> str:
    """The time to the next check-in, spread over the fleet but stable for the device."""
    device, settings = caller.device, rooms.settings
    interval = device.poll_interval_s or caller.tenant.poll_interval_s or settings.poll_interval_s
    if look.deployment is not None:
        interval = min(interval, settings.active_poll_interval_s)
    elif look.waits_until is not None:
        interval = poll_interval(interval, now, look.waits_until, settings.minimum_poll_interval_s)
    share = zlib.crc32(device.imei.encode()) % SHARES
    return _spread(interval, share, settings.minimum_poll_interval_s)


@lru_cache(maxsize=8192)
def _spread(interval_s: int, share: int, shortest_s: int) -> str:
    # Upwards, so that a second does not become none; and the shortest interval is not spread.
    spread = math.ceil(interval_s * (1 - SPREAD * share / SHARES))
    return encode.format_sleep(max(spread, min(interval_s, shortest_s)))
