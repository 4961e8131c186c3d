"""Single devices in a v3 campaign, under simulated time: what their cells and slots come to."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from overair.core.upgrade import UpgradeState
from overair.core.window import Window
from overair.sim.lwm2m.profile import Behaviour
from overair.sim.lwm2m.roster import Kinds, generate_cells, generate_roster
from tests.e2e.air import BEGIN, Air
from tests.virtual import run_virtually

CELLS = generate_cells(2)
POOR = Behaviour(signal_dbm=(-120, -115), install_s=(20.0, 30.0))  # one to a cell and slot
NIGHT = (Window(start=20, end=24), Window(start=0, end=6))
EVENING = datetime.combine(BEGIN.date() + timedelta(days=1), datetime.min.time(), BEGIN.tzinfo)


def _played(directory: Path, count: int, story: Callable[[Air], Awaitable[None]]) -> Air:
    """Let a story happen to devices that sit in one cell each."""

    async def play() -> Air:
        roster = [
            replace(sim, cell=CELLS[number % 2])
            for number, sim in enumerate(generate_roster(count, kinds=Kinds(lifetime_s=86_400)))
        ]
        air = Air(directory, roster, POOR, CELLS, seed=1)
        await air.open()
        try:
            day = EVENING.date()
            campaign = await air.schedule(day, day + timedelta(days=3), NIGHT)
            await story(air)
            places = await air.upgrades(campaign)
            assert {place.state for place in places.values()} == {UpgradeState.SUCCEEDED}
            assert await air.findings() == []
        finally:
            await air.close()
        return air

    played: Air = run_virtually(play)
    return played


def _began(air: Air, number: int) -> datetime:
    (work,) = air.devices[number].truth().work
    return datetime.fromtimestamp(work.began_at, BEGIN.tzinfo)


def test_each_slot_has_its_device(tmp_path: Path) -> None:
    """Of two devices in one cell, with room for one in a slot, the second begins in the next slot."""

    async def story(air: Air) -> None:
        await air.pass_time(EVENING + timedelta(days=1))

    air = _played(tmp_path, 3, story)
    assert EVENING <= _began(air, 0) < EVENING + timedelta(hours=4)
    assert EVENING <= _began(air, 1) < EVENING + timedelta(hours=4)
    assert EVENING + timedelta(hours=4) <= _began(air, 2) < EVENING + timedelta(hours=6)


def test_one_that_comes_back_elsewhere(tmp_path: Path) -> None:
    """Who missed the beginning of its slot and comes back in a cell that is full waits for room there."""

    async def story(air: Air) -> None:
        await air.pass_time(EVENING - timedelta(hours=1))
        air.reach(0, reached=False)
        air.move(0, CELLS[1])
        await air.pass_time(EVENING + timedelta(hours=2))
        assert air.devices[1].truth().version == "02"  # it had the slot of that cell
        air.reach(0, reached=True)
        await air.pass_time(EVENING + timedelta(days=1))

    air = _played(tmp_path, 2, story)
    assert EVENING + timedelta(hours=4) <= _began(air, 0) < EVENING + timedelta(hours=6)


@pytest.mark.parametrize("way", ["push", "http", "coap"])
def test_a_bad_network(tmp_path: Path, way: str) -> None:
    """With a tenth of all datagrams lost the image arrives whole, whichever way it goes."""

    async def play() -> None:
        kinds = Kinds(lifetime_s=86_400, push=way == "push", http=way == "http")
        air = Air(tmp_path, generate_roster(4, kinds=kinds), Behaviour(), CELLS, seed=2, loss=0.1)
        await air.open()
        try:
            day = EVENING.date()
            campaign = await air.schedule(day, day + timedelta(days=3), ())
            await air.pass_time(EVENING + timedelta(days=2))
            places = await air.upgrades(campaign)
            assert {place.state for place in places.values()} == {UpgradeState.SUCCEEDED}
        finally:
            await air.close()
        assert air.datagrams["lost"] > 10
        images = {device.truth().sha256 for device in air.devices}
        assert images == {air.image_sha256}

    run_virtually(play)
