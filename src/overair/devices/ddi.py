"""HTTP devices: hawkBit's Direct Device Integration, as ``http-ddi.md`` has it.

One handler a resource. Each learns who asks (``devices/gate.py``), makes one call into the engine
and writes the answer (``protocols/ddi``). The poll is the hot one: an idle poll is one point read
and a note in memory.

Mapping of a device's words to events is the table ``_EVENTS``; what an event does is the engine's.
Not in here: artifact bytes (``devices/artifacts.py``).
"""

import zlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

import structlog

from overair.clock import Clock
from overair.config import Settings
from overair.core.attempt import AttemptEvent, AttemptState
from overair.core.ids import AttemptId
from overair.core.plan import Link, poll_interval
from overair.devices.artifacts import Artifacts, described
from overair.devices.asgi import (
    Answer,
    DisconnectError,
    Receive,
    Request,
    Scope,
    Send,
    TooLargeError,
    respond,
)
from overair.devices.gate import Caller, Gate, UnauthorizedError
from overair.devices.seen import SeenBuffer
from overair.devices.throttle import Throttle, is_public
from overair.engine import assign, devicelog
from overair.engine.assign import Look
from overair.engine.inventory import TooManyAttributesError, record_attributes
from overair.engine.outcome import DeviceEvent, Taken, record
from overair.protocols.ddi import decode, encode
from overair.protocols.ddi.route import Resource, Route, accepts_json, is_json, parse_path
from overair.protocols.ddi.values import DdiError, Execution, Feedback
from overair.store import attempts
from overair.store.attempts import Message
from overair.store.database import Database, StoreError, to_ms

log = structlog.get_logger()

HAL: Final = encode.CONTENT_TYPE.encode()
ERROR: Final = encode.ERROR_CONTENT_TYPE.encode()
SPREAD: Final = 0.1  # of the poll interval, so that a fleet does not come all at once
HISTORY_LIMIT: Final = 100

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


class Ddi:
    """The device endpoints, as an ASGI application for paths ``/{tenant}/controller/v1/…``."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        settings: Settings,
        gate: Gate,
        seen: SeenBuffer,
        artifacts: Artifacts,
        on_poll: Callable[[], None],
    ) -> None:
        self._db = db
        self._clock = clock
        self._settings = settings
        self._gate = gate
        self._seen = seen
        self._artifacts = artifacts
        self._on_poll = on_poll
        limits = settings.limits
        self._devices: Throttle[int] = Throttle(limits.device_requests_per_s, limits.device_burst)
        self._addresses: Throttle[str] = Throttle(
            limits.address_requests_per_s, limits.address_requests_per_s * 10
        )
        self._handlers: dict[
            Resource, Callable[[Request, Route, Caller, datetime], Awaitable[Answer]]
        ] = {
            Resource.BASE: self._poll,
            Resource.CONFIG_DATA: self._config_data,
            Resource.DEPLOYMENT: self._deployment,
            Resource.DEPLOYMENT_FEEDBACK: self._deployment_feedback,
            Resource.CANCEL: self._cancel,
            Resource.CANCEL_FEEDBACK: self._cancel_feedback,
            Resource.INSTALLED: self._installed,
            Resource.ARTIFACTS: self._artifact_list,
            Resource.ARTIFACT_MD5SUM: self._md5sum,
            Resource.LOG: self._log,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        answer: Answer | None
        try:
            answer = await self._answer(request, send)
        except UnauthorizedError:
            answer = Answer(401, b"")
        except DdiError as error:
            answer = _refusal(error)
        except TooLargeError:
            answer = _refusal(DdiError("ddi.too_large", "the body is too long", status=413))
        except DisconnectError:
            return
        except StoreError as error:
            log.error("a device could not be answered", path=scope["path"], error=str(error))
            answer = Answer(503, b"", headers=((b"retry-after", b"30"),))
        except Exception:
            log.exception("a device could not be answered", path=scope["path"])
            answer = _refusal(DdiError("ddi.internal", "internal error", status=500))
        if answer is not None:
            await respond(send, answer, head=request.method == "HEAD")

    async def _answer(self, request: Request, send: Send) -> Answer | None:
        """The answer; None where it has been sent already (artifacts)."""
        route = parse_path(request.path)
        if route is None:
            raise DdiError("ddi.not_found", "there is no such resource", status=404)
        if self._gate.is_blocked(request):
            return Answer(403)
        if request.method not in route.allowed:
            allow = ", ".join(route.allowed).encode()
            return Answer(405, b"", headers=((b"allow", allow),))
        download = route.resource is Resource.ARTIFACT
        now = self._clock.now()
        if not download:
            self._limit_address(request)
        caller = await self._gate.admit(request, route, now)
        if download:
            return await self._artifacts.serve(request, send, route, caller, now)
        self._limit(self._devices.admit(caller.device.id, self._clock.monotonic()))
        if route.resource is not Resource.ARTIFACT_MD5SUM and not accepts_json(
            request.header(b"accept")
        ):
            raise DdiError("ddi.not_acceptable", "the answer is JSON", status=406)
        return await self._handlers[route.resource](request, route, caller, now)

    def _limit_address(self, request: Request) -> None:
        address = self._gate.address(request)
        if is_public(address):
            self._limit(self._addresses.admit(address, self._clock.monotonic()))

    @staticmethod
    def _limit(wait_s: int) -> None:
        if wait_s:
            raise _TooManyError(wait_s)

    # The check-in --------------------------------------------------------------------------------

    async def _poll(self, request: Request, route: Route, caller: Caller, now: datetime) -> Answer:
        device = caller.device
        now_ms = to_ms(now)
        self._on_poll()
        if request.method == "GET":
            self._seen.note(device.id, now_ms)
        two_phase = self._two_phase(request)
        look = NOTHING
        if device.open_attempt_id is not None or device.open_upgrade_id is not None:
            look = await self._db.read(
                assign.look, device, self._settings, now, two_phase=two_phase
            )
            if look.may_offer:
                look = await self._db.transact(
                    assign.offer, device.id, self._settings, now, two_phase=two_phase
                )
        links: list[tuple[str, str]] = []
        base = encode.base_href(self._gate.public_url(request), route.tenant, route.controller_id)
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
            links.append(
                ("installedBase", encode.installed_href(base, device.installed_attempt_id))
            )
        if device.logging_until_ms is not None and now_ms < device.logging_until_ms:
            links.append(("log", encode.log_href(base)))
        body = encode.encode_base(encode.format_sleep(self._sleep_s(caller, look, now)), links)
        tag = encode.etag(body)
        headers = ((b"etag", tag.encode()),)
        if request.header(b"if-none-match") == tag:
            return Answer(304, headers=headers)
        return Answer(200, body, HAL, headers)

    def _two_phase(self, request: Request) -> bool:
        beginnings = self._settings.two_phase_user_agents
        return bool(beginnings) and (request.header(b"user-agent") or "").startswith(beginnings)

    def _sleep_s(self, caller: Caller, look: Look, now: datetime) -> float:
        """The next check-in, in seconds, spread over the fleet but stable for the device."""
        device, settings = caller.device, self._settings
        normal = device.poll_interval_s or caller.tenant.poll_interval_s or settings.poll_interval_s
        if look.deployment is not None:
            interval = min(normal, settings.active_poll_interval_s)
        else:
            interval = poll_interval(
                normal, now, look.waits_until, settings.minimum_poll_interval_s
            )
        # Whole seconds of a short interval would be all of its spread, or nothing.
        share = zlib.crc32(device.imei.encode()) % 1024 / 1024
        return interval * (1 - SPREAD * share)

    # Attributes ----------------------------------------------------------------------------------

    async def _config_data(
        self, request: Request, route: Route, caller: Caller, now: datetime
    ) -> Answer:
        body = await self._json_body(request)
        told = decode.decode_config_data(body)
        try:
            await self._db.transact(
                record_attributes,
                caller.device.id,
                told.mode.value,
                told.data,
                self._settings.attribute_names,
                now,
            )
        except TooManyAttributesError:
            raise DdiError(
                "ddi.quota", "the device would have too many attributes", status=429
            ) from None
        if caller.device.logging_until_ms is not None:
            text = "Attributes: " + ", ".join(f"{k}={v}" for k, v in sorted(told.data.items()))
            await self._db.transact(
                devicelog.note_event, caller.device.id, text, self._settings.limits, now
            )
        return Answer()

    async def _json_body(self, request: Request) -> bytes:
        if not is_json(request.header(b"content-type")):
            raise DdiError("ddi.media_type", "the body is application/json", status=415)
        return await request.body(self._settings.limits.device_body_bytes)

    # Actions -------------------------------------------------------------------------------------

    async def _deployment(
        self, request: Request, route: Route, caller: Caller, now: datetime
    ) -> Answer:
        look = await self._look_at(request, route, caller, now)
        if look.link is not Link.DEPLOYMENT or look.deployment is None:
            raise _no_action()
        if look.deployment.state is AttemptState.OFFERED:
            await self._db.transact(
                assign.retrieve, caller.device.id, look.deployment.attempt_id, now
            )
        return await self._deployment_answer(request, route, look)

    async def _look_at(self, request: Request, route: Route, caller: Caller, now: datetime) -> Look:
        return await self._db.read(
            assign.deployment_for,
            caller.device,
            AttemptId(route.action_id),
            self._settings,
            now,
            two_phase=self._two_phase(request),
        )

    async def _deployment_answer(self, request: Request, route: Route, look: Look) -> Answer:
        assert look.deployment is not None
        base = encode.base_href(self._gate.public_url(request), route.tenant, route.controller_id)
        deployment = self._artifacts.deployment(base, look)
        history = None
        if (wanted := _history_limit(request.query)) > 0:
            said = await self._db.read(attempts.messages, look.deployment.attempt_id, wanted)
            history = encode.ActionHistory(
                status=look.deployment.state.value.upper(),
                messages=[text for message in said for text in reversed(message.details)],
            )
        return Answer(200, encode.encode_deployment(deployment, history), HAL)

    async def _installed(
        self, request: Request, route: Route, caller: Caller, now: datetime
    ) -> Answer:
        found = await self._db.read(assign.installed, caller.device, AttemptId(route.action_id))
        if found is None:
            raise _no_action()
        look = Look(link=Link.DEPLOYMENT, deployment=found)
        return await self._deployment_answer(request, route, look)

    async def _cancel(
        self, request: Request, route: Route, caller: Caller, now: datetime
    ) -> Answer:
        attempt = await self._db.read(attempts.find, AttemptId(route.action_id))
        if (
            attempt is None
            or attempt.device_id != caller.device.id
            or attempt.state not in (AttemptState.CANCELLING, AttemptState.CANCELLED)
        ):
            raise _no_action()
        return Answer(200, encode.encode_cancel(attempt.id), HAL)

    async def _deployment_feedback(
        self, request: Request, route: Route, caller: Caller, now: datetime
    ) -> Answer:
        feedback = decode.decode_feedback(await self._json_body(request))
        event = deployment_event(feedback)
        taken = await self._record(route, caller, feedback, event, now)
        if taken is Taken.GONE:
            raise DdiError("ddi.gone", "the action is closed", status=410)
        if event is AttemptEvent.FAIL:
            attempt = await self._db.read(attempts.find, AttemptId(route.action_id))
            downloaded = attempt is not None and attempt.downloaded_at is not None
            self._seen.note_failure(caller.device.id, "Install" if downloaded else "Download")
        return Answer()

    async def _cancel_feedback(
        self, request: Request, route: Route, caller: Caller, now: datetime
    ) -> Answer:
        feedback = decode.decode_feedback(await self._json_body(request))
        taken = await self._record(route, caller, feedback, cancel_event(feedback), now)
        if taken is Taken.GONE:
            raise DdiError("ddi.not_found", "the action is not being cancelled", status=404)
        return Answer()

    async def _record(
        self,
        route: Route,
        caller: Caller,
        feedback: Feedback,
        event: AttemptEvent,
        now: datetime,
    ) -> Taken:
        message = Message(
            at=now,
            execution=feedback.execution.value,
            finished=feedback.finished.value,
            code=feedback.code,
            details=feedback.details,
        )
        until = caller.device.logging_until_ms
        taken = await self._db.transact(
            record,
            DeviceEvent(
                device_id=caller.device.id,
                attempt_id=AttemptId(route.action_id),
                event=event,
                message=message,
                logged=until is not None and to_ms(now) < until,
            ),
            self._settings,
            now,
        )
        if taken is Taken.UNKNOWN:
            raise _no_action()
        return taken

    # Artifacts, in words -------------------------------------------------------------------------

    async def _artifact_list(
        self, request: Request, route: Route, caller: Caller, now: datetime
    ) -> Answer:
        base = encode.base_href(self._gate.public_url(request), route.tenant, route.controller_id)
        found = await self._artifacts.listed(base, route, caller, now)
        return Answer(200, encode.encode_artifacts(found), HAL)

    async def _md5sum(
        self, request: Request, route: Route, caller: Caller, now: datetime
    ) -> Answer:
        found = await self._artifacts.allowed(route, caller, now)
        return Answer(200, encode.encode_md5sum(found.md5, found.file_name), b"text/plain")

    # Logs ----------------------------------------------------------------------------------------

    async def _log(self, request: Request, route: Route, caller: Caller, now: datetime) -> Answer:
        until = caller.device.logging_until_ms
        if until is None or to_ms(now) >= until:
            raise DdiError("ddi.log_off", "logging is off for this device", status=403)
        limits = self._settings.limits
        body = await request.body(max(limits.log_bytes, limits.device_body_bytes))
        entries = decode.decode_log(
            body, request.header(b"content-type"), request.header(b"content-disposition")
        )
        await self._db.transact(
            devicelog.add_entries,
            caller.device.id,
            [
                devicelog.NewLog(
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


NOTHING: Final = Look()


class _TooManyError(DdiError):
    def __init__(self, wait_s: int) -> None:
        super().__init__("ddi.too_many", "too many requests", status=429)
        self.wait_s = wait_s


def _refusal(error: DdiError) -> Answer:
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if isinstance(error, _TooManyError):
        headers = ((b"retry-after", b"%d" % error.wait_s),)
    return Answer(
        error.status, encode.encode_error(error.error_code, error.message), ERROR, headers
    )


def _no_action() -> DdiError:
    return DdiError("ddi.not_found", "there is no such action of this device", status=404)


def _history_limit(query: str) -> int:
    """``actionHistory``: n of up to 100 messages, any negative number for 100 (``http-ddi.md`` 5.3)."""
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name == "actionHistory" and value.lstrip("-").isdigit() and len(value) < 10:
            wanted = int(value)
            return HISTORY_LIMIT if wanted < 0 else min(wanted, HISTORY_LIMIT)
    return 0
