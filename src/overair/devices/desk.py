"""What every device endpoint works with, and the checks that they share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from overair.clock import Clock
from overair.config import Settings
from overair.devices.artifacts import Artifacts
from overair.devices.asgi import Request
from overair.devices.gate import Gate
from overair.devices.seen import SeenBuffer
from overair.devices.slow import SlowBodies
from overair.protocols.ddi.encode import CONTENT_TYPE, ERROR_CONTENT_TYPE
from overair.protocols.ddi.route import is_json
from overair.protocols.ddi.values import DdiError, DdiLimits
from overair.store.database import Database

HAL = CONTENT_TYPE.encode()
ERROR = ERROR_CONTENT_TYPE.encode()

SLOW_S: Final = 1.0  # after which a body that is not whole is one of those that are counted
SLOW_OF_ONE: Final = 256  # of them from one address: all devices of a carrier may be behind one
SLOW_IN_ALL: Final = 1024


def _slow_bodies() -> SlowBodies:
    return SlowBodies(after_s=SLOW_S, of_an_address=SLOW_OF_ONE, in_all=SLOW_IN_ALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRooms:
    """What handlers work with; built once, in ``app.py``."""

    db: Database
    clock: Clock
    settings: Settings
    gate: Gate
    seen: SeenBuffer
    artifacts: Artifacts
    on_poll: Callable[[], None]
    slow: SlowBodies = field(default_factory=_slow_bodies)

    @property
    def limits(self) -> DdiLimits:
        """The bounds on bodies, as they are set."""
        limits = self.settings.limits
        return _limits(limits.device_body_bytes, limits.log_bytes)


@lru_cache(maxsize=8)
def _limits(body_bytes: int, log_bytes: int) -> DdiLimits:
    return DdiLimits(body_bytes=body_bytes, binary_log_bytes=log_bytes)


def two_phases(rooms: DeviceRooms, request: Request) -> bool:
    """Whether the client says of itself that it can download first and install later."""
    beginnings = rooms.settings.two_phase_user_agents
    return bool(beginnings) and (request.header(b"user-agent") or "").startswith(beginnings)


async def json_body(rooms: DeviceRooms, request: Request) -> bytes:
    """The body of a request that has to be JSON. Raises DdiError (415), and what ``body`` does."""
    if not is_json(request.header(b"content-type")):
        raise DdiError("ddi.media_type", "the body is application/json", status=415)
    return await request.body(rooms.settings.limits.device_body_bytes, rooms.slow)


def no_action() -> DdiError:
    """The action is unknown, another device's, or not to be seen now: not told apart."""
    return DdiError("ddi.not_found", "there is no such action of this device", status=404)
