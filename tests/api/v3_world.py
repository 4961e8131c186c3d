"""The world of ``v1_world`` with devices over LwM2M in their cells, and its clients on v3.

Devices register and say where they are here to the store itself: their own protocol is proven elsewhere
(``tests/devices/lwm2m``), and v3 shows what became of it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from overair.clock import ManualClock
from overair.config import Limits, Lwm2m, Slots
from overair.core.slots.radio import CellKey
from overair.core.upgrade import Reason
from overair.engine import push
from overair.store import Tx, slots
from tests.api.v1_world import LIGHT_FIRMWARE, V1, v1_world
from tests.api.v2_world import Client
from tests.engine import stock, world
from tests.engine.stock import device_of, imei

BASE = "/api/fota/v3"
FIRMWARE = LIGHT_FIRMWARE
AIR = range(401, 421)
"""Numbers of the account's devices over LwM2M that are registered, all in one cell with a good signal."""
FAR = range(421, 424)
"""And of those that nobody can reach."""
THEIRS = range(501, 503)
HERE, THERE = CellKey("311-480-1"), CellKey("311-480-2")
GOOD_DBM = -80
PER_SLOT = 2


@dataclass(kw_only=True)
class V3(V1):
    """The server, and two users who know nothing of each other."""

    async def advance(self, delta: timedelta = timedelta()) -> None:
        """Move the time on, let the engine do what is due, and open the slots that are."""
        self.clock.advance(delta)
        for _ in range(2):
            await self.tell(_carry_on)
            await self.run(push.due, self.v2.server.settings, self.clock.now(), 1000)

    def campaign(self, numbers: Any = AIR[:3], **changes: Any) -> dict[str, Any]:
        """The body of a request for a campaign that starts tomorrow."""
        body = {
            "campaignName": "smart firmware",
            "firmwareName": FIRMWARE,
            "firmwareFrom": "01",
            "firmwareTo": "02",
            "protocol": "LWM2M",
            "startDate": self.day(1),
            "endDate": self.day(5),
            "deviceList": [imei(number) for number in numbers],
            "autoAssignLicenseFlag": False,
            "autoAddDevicesFlag": False,
        }
        return {name: value for name, value in (body | changes).items() if value is not ...}

    async def asked(self, numbers: Any = AIR[:3], **changes: Any) -> str:
        """The id of a new campaign that the engine has not seen yet."""
        body = self.campaign(numbers, **changes)
        found = await self.ada.ok("POST", "/campaigns/firmware/{}", body)
        return str(found["id"])

    async def scheduled(self, numbers: Any = AIR[:3], **changes: Any) -> str:
        """The id of a new campaign whose devices were checked, and have their slots."""
        found = await self.asked(numbers, **changes)
        await self.advance()
        return found

    async def shown(self, campaign: str) -> Any:
        """The campaign as it is."""
        return await self.ada.ok("GET", f"/campaigns/{{}}/{campaign}")

    async def status(self, campaign: str) -> str:
        return str((await self.shown(campaign))["status"])

    async def standings(self, campaign: str) -> dict[str, Any]:
        """What the report says of each device of a campaign."""
        page = await self.ada.ok("GET", f"/reports/{{}}/campaigns/{campaign}/devices")
        return {one.pop("deviceId"): one for one in page["deviceList"]}

    async def devices(self, campaign: str) -> dict[str, tuple[str, str | None]]:
        """Status and reason of each device of a campaign."""
        return {
            device: (one["status"], one["resultReason"])
            for device, one in (await self.standings(campaign)).items()
        }

    async def succeed(self, number: int) -> None:
        """The device, whose slot is open, is updated."""
        await self.tell(_succeed, number)

    async def fail(self, number: int, reason: Reason = Reason.DOWNLOAD_FAILED) -> None:
        """An attempt that fails."""
        await self.tell(_fail, number, reason)

    async def come(self, *numbers: int, registered: bool = True) -> None:
        """Devices register, or are gone."""
        for number in numbers:
            await self.tell(_come, number, registered=registered)


def _carry_on(w: world.World) -> None:
    w.carry_on()


def _come(w: world.World, number: int, *, registered: bool = True) -> None:
    device_id = device_of(w.tx, number)
    slots.set_registration(
        w.tx,
        device_id,
        registered=registered,
        queue_mode=False,
        lifetime_s=400 * 86_400,
        heard_at=w.now,
    )
    if registered:
        push.attached(w.tx, [device_id], w.settings, w.now)


def _job(w: world.World, number: int) -> push.Job:
    found = push.job_of(w.tx, device_of(w.tx, number), w.settings, w.now)
    assert found is not None
    assert found.in_window
    push.executed(w.tx, found, w.settings, w.now)
    return found


def _succeed(w: world.World, number: int) -> None:
    push.succeeded(w.tx, _job(w, number), "02", w.settings, w.now)


def _fail(w: world.World, number: int, reason: Reason) -> None:
    push.failed(w.tx, _job(w, number), reason, w.settings, w.now)


def _populate(tx: Tx, v1: V1) -> None:
    stock.add_devices(tx, v1.v2.account_id, [*AIR, *FAR], protocol="LWM2M")
    stock.add_devices(tx, v1.v2.other_id, THEIRS, protocol="LWM2M")
    now = v1.clock.now()
    for number in AIR:
        device_id = device_of(tx, number)
        slots.set_registration(
            tx,
            device_id,
            registered=True,
            queue_mode=False,
            lifetime_s=400 * 86_400,
            heard_at=now,
        )
        slots.set_location(tx, device_id, HERE, GOOD_DBM, 6, now)
    for number in FAR:
        slots.set_reachable(tx, device_of(tx, number), False, now)


@asynccontextmanager
async def v3_world(
    database_url: str, data: Path, clock: ManualClock, limits: Limits, **changes: Any
) -> AsyncIterator[V3]:
    """A server with everything in it that the tests speak of; two devices of a cell begin in a slot."""
    plain = {
        "lwm2m": Lwm2m(coap="127.0.0.1:0", no_sec=True),
        "slots": Slots(good=PER_SLOT, fair=1, poor=1),
    }
    async with v1_world(database_url, data, clock, limits, **(plain | changes)) as v1:
        await v1.run(_populate, v1)
        yield V3(v2=v1.v2, ada=_on_v3(v1.ada), bob=_on_v3(v1.bob))


def _on_v3(user: Client) -> Client:
    return replace(user, base=BASE)
