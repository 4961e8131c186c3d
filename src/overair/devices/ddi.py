"""HTTP devices: hawkBit's Direct Device Integration, as ``http-ddi.md`` has it.

Here is what surrounds every request: where it goes, who asks (``devices/gate.py``), how much may be
asked, and how what goes wrong is answered. The handlers, one a resource, are in ``poll.py``,
``actions.py``, ``reports.py`` and ``artifacts.py``: each makes one call into the engine and writes the
answer with ``protocols/ddi``.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

import structlog

from overair.devices import actions, reports
from overair.devices.asgi import (
    Answer,
    CrowdedError,
    DisconnectError,
    Receive,
    Request,
    Scope,
    Send,
    SlowError,
    TooLargeError,
    respond,
)
from overair.devices.desk import ERROR, DeviceRooms
from overair.devices.gate import Caller, UnauthorizedError
from overair.devices.poll import poll
from overair.devices.quiet import Quiet
from overair.devices.throttle import Throttle, is_public
from overair.protocols.ddi import encode
from overair.protocols.ddi.route import Resource, Route, accepts_json, parse_path
from overair.protocols.ddi.values import DdiError
from overair.store.database import StoreError

_log = structlog.get_logger()

Handler = Callable[[DeviceRooms, Request, Route, Caller, datetime], Awaitable[Answer]]

HANDLERS: Final[Mapping[Resource, Handler]] = {
    Resource.BASE: poll,
    Resource.CONFIG_DATA: reports.config_data,
    Resource.DEPLOYMENT: actions.deployment,
    Resource.DEPLOYMENT_FEEDBACK: actions.deployment_feedback,
    Resource.CANCEL: actions.cancel,
    Resource.CANCEL_FEEDBACK: actions.cancel_feedback,
    Resource.INSTALLED: actions.installed,
    Resource.ARTIFACTS: reports.artifact_list,
    Resource.ARTIFACT_MD5SUM: reports.md5sum,
    Resource.LOG: reports.upload_log,
}

_JSON: Final = frozenset(
    {
        Resource.BASE,
        Resource.DEPLOYMENT,
        Resource.CANCEL,
        Resource.INSTALLED,
        Resource.ARTIFACTS,
    }
)
COME_AGAIN_S: Final = 1  # a device whose body made room for others
ADDRESS_BURST_S: Final = 10  # seconds whose requests an address may send at once


class Ddi:
    """The device endpoints, as an ASGI application for paths ``/{tenant}/controller/v1/…``."""

    def __init__(self, rooms: DeviceRooms) -> None:
        self._rooms = rooms
        limits = rooms.settings.limits
        self._quiet = Quiet(rooms.clock.monotonic)
        self._devices: Throttle[str] = Throttle(
            "imei", limits.device_requests_per_s, limits.device_burst
        )
        self._reads: Throttle[str] = Throttle(
            "address",
            limits.address_requests_per_s,
            limits.address_requests_per_s * ADDRESS_BURST_S,
        )
        self._writes: Throttle[str] = Throttle(
            "address", limits.address_writes_per_s, limits.address_writes_per_s * ADDRESS_BURST_S
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        answer: Answer | None
        try:
            answer = await self._answer(request, send)
        except UnauthorizedError:
            self._quiet.warn("a device is not let in", request.client, path=scope["path"])
            answer = Answer(401, b"")
        except DdiError as error:
            answer = _refusal(error)
        except TooLargeError:
            answer = _refusal(DdiError("ddi.too_large", "the body is too long", status=413))
        except SlowError:
            answer = _refusal(DdiError("ddi.slow", "the body did not arrive in time", status=408))
        except CrowdedError:
            answer = _refusal(_TooManyError(COME_AGAIN_S))
        except DisconnectError:
            # It may have closed its own side only, and reads on; unanswered, it would be told 500.
            answer = _refusal(DdiError("ddi.not_readable", "the body ends too early"))
        except StoreError as error:
            _log.error("a device could not be answered", path=scope["path"], error=str(error))
            body = encode.encode_error("ddi.unavailable", "the database is not available")
            answer = Answer(503, body, ERROR, ((b"retry-after", b"30"),))
        except Exception:  # noqa: BLE001 - the last door: nothing leaves but an answer
            _log.exception("a device could not be answered", path=scope["path"])
            answer = _refusal(DdiError("ddi.internal", "internal error", status=500))
        if answer is not None:
            await respond(send, answer, head=request.method == "HEAD")

    async def _answer(self, request: Request, send: Send) -> Answer | None:
        """The answer; None where it has been sent already (artifacts)."""
        route = parse_path(request.path)
        if route is None:
            raise DdiError("ddi.not_found", "there is no such resource", status=404)
        if self._rooms.gate.is_blocked(request):
            raise DdiError("ddi.blocked", "this address is blocked", status=403)
        if request.method not in route.allowed:
            raise _MethodError(route.allowed)
        download = route.resource is Resource.ARTIFACT
        now = self._rooms.clock.now()
        if not download:
            self._limit_address(request)
        caller = await self._rooms.gate.admit(request, route, now)
        if download:
            return await self._rooms.artifacts.serve(request, send, route, caller, now)
        self._limit(self._devices.admit(caller.device.imei, self._rooms.clock.monotonic()))
        # A report gets an empty answer, which is acceptable to everybody.
        if route.resource in _JSON and not accepts_json(request.header(b"accept")):
            raise DdiError("ddi.not_acceptable", "the answer is JSON", status=406)
        return await HANDLERS[route.resource](self._rooms, request, route, caller, now)

    def _limit_address(self, request: Request) -> None:
        address = request.client
        if is_public(address):
            throttle = self._reads if request.method in ("GET", "HEAD") else self._writes
            self._limit(throttle.admit(address, self._rooms.clock.monotonic()))

    @staticmethod
    def _limit(wait_s: int) -> None:
        if wait_s:
            raise _TooManyError(wait_s)


class _MethodError(DdiError):
    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__("ddi.method", "the resource has no such method", status=405)
        self.allowed = allowed


class _TooManyError(DdiError):
    def __init__(self, wait_s: int) -> None:
        super().__init__("ddi.too_many", "too many requests", status=429)
        self.wait_s = wait_s


def _refusal(error: DdiError) -> Answer:
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if isinstance(error, _TooManyError):
        headers = ((b"retry-after", b"%d" % error.wait_s),)
    elif isinstance(error, _MethodError):
        headers = ((b"allow", ", ".join(error.allowed).encode()),)
    return Answer(
        error.status, encode.encode_error(error.error_code, error.message), ERROR, headers
    )
