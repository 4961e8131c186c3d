"""Actions: the deployment, its cancellation, and what the device reports of either.

The table ``_EVENTS`` maps a device's words to events (``http-ddi.md`` 5.5, 5.6); what an event does is
the engine's.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from overair.core.attempt import AttemptEvent, AttemptState
from overair.core.ids import AttemptId
from overair.core.plan import Link
from overair.devices.asgi import Answer, Request
from overair.devices.desk import HAL, DeviceRooms, json_body, no_action, two_phases
from overair.devices.gate import Caller
from overair.engine import assign
from overair.engine.assign import Look
from overair.engine.outcome import DeviceEvent, Taken, record
from overair.protocols.ddi import decode, encode
from overair.protocols.ddi.route import Route
from overair.protocols.ddi.values import DdiError, Execution, Feedback
from overair.store import attempts
from overair.store.attempts import Message
from overair.store.database import to_ms

HISTORY_LIMIT: Final = 100
_HISTORY: Final = re.compile(r"(?:^|&)actionHistory=(-?[0-9]{1,9})(?:&|$)")

# What a report on a deployment means (http-ddi.md 5.5); "closed" depends on how it ended.
_EVENTS: Final[Mapping[Execution, AttemptEvent]] = {
    Execution.PROCEEDING: AttemptEvent.PROGRESS,
    Execution.SCHEDULED: AttemptEvent.PROGRESS,
    Execution.RESUMED: AttemptEvent.PROGRESS,
    Execution.DOWNLOAD: AttemptEvent.PROGRESS,
    Execution.DOWNLOADED: AttemptEvent.DOWNLOAD,
    Execution.CANCELED: AttemptEvent.NOTE,
    Execution.REJECTED: AttemptEvent.NOTE,
}


def deployment_event(feedback: Feedback) -> AttemptEvent:
    """What a report on a deployment means."""
    if feedback.closed is None:
        return _EVENTS[feedback.execution]
    return AttemptEvent.SUCCEED if feedback.closed else AttemptEvent.FAIL


def cancel_event(feedback: Feedback) -> AttemptEvent:
    """What a report on a cancellation means (``http-ddi.md`` 5.6)."""
    if feedback.closed is True:
        return AttemptEvent.CANCEL_CONFIRM
    if feedback.closed is False or feedback.execution is Execution.REJECTED:
        return AttemptEvent.CANCEL_REFUSE
    return AttemptEvent.NOTE


async def deployment(
    rooms: DeviceRooms, request: Request, route: Route, caller: Caller, now: datetime
) -> Answer:
    look = await _look_at(rooms, request, route, caller, now)
    if look.link is not Link.DEPLOYMENT or look.deployment is None:
        raise no_action()
    if look.deployment.state is AttemptState.OFFERED and request.method == "GET":
        action = look.deployment.attempt_id
        if not await rooms.db.transact_brief(assign.retrieve, caller.device.id, action, now):
            raise no_action()  # called off between the look and here
    return await _deployment_answer(rooms, request, route, look)


async def _look_at(
    rooms: DeviceRooms, request: Request, route: Route, caller: Caller, now: datetime
) -> Look:
    return await rooms.db.read(
        assign.deployment_for,
        caller.device,
        AttemptId(route.action_id),
        rooms.settings,
        now,
        two_phase=two_phases(rooms, request),
    )


async def _deployment_answer(
    rooms: DeviceRooms, request: Request, route: Route, look: Look
) -> Answer:
    assert look.deployment is not None
    base = encode.base_href(rooms.gate.public_url(request), route.tenant, route.controller_id)
    deployment = rooms.artifacts.deployment(base, look)
    history = None
    if (wanted := _history_limit(request.query)) > 0:
        said = await rooms.db.read(attempts.messages, look.deployment.attempt_id, wanted)
        history = encode.ActionHistory(
            status=look.deployment.state.value.upper(),
            messages=[text for message in said for text in reversed(message.details)][:wanted],
        )
    return Answer(200, encode.encode_deployment(deployment, history), HAL)


async def installed(
    rooms: DeviceRooms, request: Request, route: Route, caller: Caller, now: datetime
) -> Answer:
    found = await rooms.db.read(assign.installed, caller.device, AttemptId(route.action_id))
    if found is None:
        raise no_action()
    look = Look(link=Link.DEPLOYMENT, deployment=found)
    return await _deployment_answer(rooms, request, route, look)


async def cancel(
    rooms: DeviceRooms, request: Request, route: Route, caller: Caller, now: datetime
) -> Answer:
    attempt = await rooms.db.read(attempts.find, AttemptId(route.action_id))
    if (
        attempt is None
        or attempt.device_id != caller.device.id
        or attempt.state not in (AttemptState.CANCELLING, AttemptState.CANCELLED)
    ):
        raise no_action()
    return Answer(200, encode.encode_cancel(attempt.id), HAL)


async def deployment_feedback(
    rooms: DeviceRooms, request: Request, route: Route, caller: Caller, now: datetime
) -> Answer:
    feedback = decode.decode_feedback(await json_body(rooms, request), rooms.limits)
    event = deployment_event(feedback)
    await rooms.artifacts.settled(caller.device.id)
    taken = await _record(rooms, route, caller, feedback, event, now)
    if taken is Taken.GONE:
        raise DdiError("ddi.gone", "the action is closed", status=410)
    if event is AttemptEvent.FAIL:
        attempt = await rooms.db.read(attempts.find, AttemptId(route.action_id))
        downloaded = attempt is not None and attempt.downloaded_at is not None
        rooms.seen.note_failure(caller.device.id, "Install" if downloaded else "Download")
    return Answer()


async def cancel_feedback(
    rooms: DeviceRooms, request: Request, route: Route, caller: Caller, now: datetime
) -> Answer:
    feedback = decode.decode_feedback(await json_body(rooms, request), rooms.limits)
    event = cancel_event(feedback)
    await rooms.artifacts.settled(caller.device.id)
    taken = await _record(rooms, route, caller, feedback, event, now, to_cancel=True)
    if taken is Taken.GONE:
        raise DdiError("ddi.not_found", "the action is not being cancelled", status=404)
    return Answer()


async def _record(
    rooms: DeviceRooms,
    route: Route,
    caller: Caller,
    feedback: Feedback,
    event: AttemptEvent,
    now: datetime,
    *,
    to_cancel: bool = False,
) -> Taken:
    message = Message(
        at=now,
        execution=feedback.execution.value,
        finished=feedback.finished.value,
        code=feedback.code,
        details=feedback.details,
    )
    until = caller.device.logging_until_ms
    taken = await rooms.db.transact_brief(
        record,
        DeviceEvent(
            device_id=caller.device.id,
            attempt_id=AttemptId(route.action_id),
            event=event,
            message=message,
            to_cancel=to_cancel,
            logged=until is not None and to_ms(now) < until,
        ),
        rooms.settings,
        now,
    )
    if taken is Taken.UNKNOWN:
        raise no_action()
    return taken


def _history_limit(query: str) -> int:
    """``actionHistory``: n of up to 100 messages, any negative number for 100 (``http-ddi.md`` 5.3)."""
    found = _HISTORY.search(query)
    wanted = 0 if found is None else int(found[1])
    return HISTORY_LIMIT if wanted < 0 else min(wanted, HISTORY_LIMIT)
