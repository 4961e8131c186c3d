"""Devices over OMA-DM, many at once: each has one attempt, and one notification at a time."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta

from overair.core.ids import CampaignId, DeviceId
from overair.core.upgrade import UpgradeState
from overair.engine import push
from overair.store import Database, Tx, tally
from overair.store import push as store
from tests.engine import pushed
from tests.engine.world import MONDAY, SETTINGS, World

NUMBERS = range(1, 41)


def prepare(tx: Tx) -> tuple[CampaignId, list[DeviceId]]:
    """A campaign that has started, none of whose devices has been told."""
    w = World(tx)
    pushed.fleet(w, *NUMBERS)
    made = pushed.campaign(w, NUMBERS, end=30)
    return made, [w.device(number).id for number in NUMBERS]


async def test_each_device_is_notified_once(verified: Database) -> None:
    """However many look at what is due together, and whoever opens a session meanwhile."""
    campaign, devices = await verified.transact(prepare)
    told: Counter[DeviceId] = Counter()

    async def look() -> None:
        for _ in range(10):
            for wake in await verified.transact(push.due, SETTINGS, MONDAY, 7):
                told[wake.device_id] += 1

    here = devices[::5]
    sessions = [verified.transact(push.begin_session, each, SETTINGS, MONDAY) for each in here]
    await asyncio.gather(*(look() for _ in range(8)), *sessions)
    assert max(told.values()) == 1
    assert set(devices) - set(told) <= set(here)
    assert await verified.read(tally.counts, campaign) == {UpgradeState.PENDING: len(devices)}


async def test_an_attach_storm_wakes_each_once(verified: Database) -> None:
    """All queued devices are seen at once, several times, while they are being woken."""
    _, devices = await verified.transact(prepare)
    while await verified.transact(push.due, SETTINGS, MONDAY, 100):
        pass
    later = MONDAY + timedelta(hours=4)
    while await verified.transact(_due, later):
        await verified.transact(push.due, SETTINGS, later, 100)
    told: Counter[DeviceId] = Counter()

    async def look() -> None:
        for _ in range(12):
            for wake in await verified.transact(push.due, SETTINGS, later, 7):
                told[wake.device_id] += 1

    storm = [verified.transact(push.attached, devices, SETTINGS, later) for _ in range(4)]
    await asyncio.gather(*storm, *(look() for _ in range(6)))
    await look()
    assert told == Counter(devices)


def _due(tx: Tx, now: datetime) -> bool:
    return bool(store.due(tx, now, 1))
