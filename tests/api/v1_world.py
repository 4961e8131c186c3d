"""The world of ``v2_world`` with devices that are told to come, and its clients on v1."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from overair.clock import ManualClock
from overair.config import Limits
from overair.engine import push
from overair.engine.catalog import put_software
from overair.store import Tx
from tests.api.v2_world import ACCOUNT, V2, Client, v2_world
from tests.engine import stock, world
from tests.engine.stock import imei

P = ParamSpec("P")
T = TypeVar("T")

BASE = "/api/fota/v1"
FIRMWARE = "FW_Acme_X1_01To02"
LIGHT_FIRMWARE = "FW_Acme_X1_01To02_LWM2M"
MINE = range(201, 231)
"""Numbers of the account's devices over OMA-DM; ``imei`` makes ids of them."""
LIGHT = range(231, 234)
"""Over LWM2M."""
THEIRS = range(301, 304)
NOT_ELIGIBLE, UNKNOWN_TYPE = 241, 242


@dataclass(kw_only=True)
class V1:
    """The server, and two users who know nothing of each other."""

    v2: V2
    ada: Client
    bob: Client

    @property
    def clock(self) -> ManualClock:
        return self.v2.clock

    def day(self, days: int = 0) -> str:
        """A date, so many days from today."""
        return self.v2.day(days)

    async def run(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do something in a transaction."""
        return await self.v2.run(fn, *args, **kwargs)

    async def tell(
        self, fn: Callable[Concatenate[world.World, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """A piece of a story of ``tests/engine``, in a transaction."""
        settings = self.v2.server.settings

        def told(tx: Tx) -> T:
            here = world.World(tx, now=self.clock.now(), settings=settings)
            return fn(here, *args, **kwargs)

        return await self.run(told)

    async def advance(self, delta: timedelta = timedelta()) -> None:
        """Move the time on, and let the engine do what is due, and notify whoever is to be."""
        await self.v2.advance(delta)
        await self.run(push.due, self.v2.server.settings, self.clock.now(), 1000)

    async def until(self, moment: datetime) -> None:
        await self.advance(moment - self.clock.now())

    def upgrade(self, numbers: Any = (201, 202, 203), **changes: Any) -> dict[str, Any]:
        """The body of a request for an upgrade that starts tomorrow."""
        body = {
            "accountName": ACCOUNT,
            "firmwareName": FIRMWARE,
            "firmwareTo": "02",
            "startDate": self.day(1),
            "endDate": self.day(5),
            "deviceList": [imei(number) for number in numbers],
        }
        return {name: value for name, value in (body | changes).items() if value is not ...}

    async def scheduled(self, numbers: Any = (201, 202, 203), **changes: Any) -> str:
        """The id of a new upgrade whose devices were checked."""
        found = await self.ada.ok("POST", "/upgrades", self.upgrade(numbers, **changes))
        await self.advance()
        return str(found["id"])

    async def shown(self, upgrade: str) -> Any:
        """The upgrade as it is."""
        return await self.ada.ok("GET", f"/upgrades/{{}}/upgrade/{upgrade}")

    async def devices(self, upgrade: str) -> dict[str, tuple[str, str | None]]:
        """Status and reason of each device of an upgrade."""
        return {
            one["deviceId"]: (one["status"], one.get("resultReason"))
            for one in (await self.shown(upgrade))["deviceList"]
        }


def _populate(tx: Tx, v2: V2) -> None:
    stock.add_devices(tx, v2.account_id, MINE, protocol="OMADM")
    stock.add_devices(tx, v2.account_id, LIGHT, protocol="LWM2M")
    stock.add_devices(tx, v2.account_id, [NOT_ELIGIBLE], protocol="OMADM", eligible=False)
    stock.add_devices(tx, v2.account_id, [UNKNOWN_TYPE], protocol="")
    stock.add_devices(tx, v2.other_id, THEIRS, protocol="OMADM")
    for name, protocol in ((FIRMWARE, "OMADM"), (LIGHT_FIRMWARE, "LWM2M")):
        put_software(tx, stock.software(name=name, protocol=protocol), stock.NOW)


@asynccontextmanager
async def v1_world(
    database_url: str, data: Path, clock: ManualClock, limits: Limits, **changes: Any
) -> AsyncIterator[V1]:
    """A server with everything in it that the tests speak of."""
    async with v2_world(database_url, data, clock, limits, **changes) as v2:
        await v2.run(_populate, v2)
        yield V1(v2=v2, ada=replace(v2.ada, base=BASE), bob=replace(v2.bob, base=BASE))
