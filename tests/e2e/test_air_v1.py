"""Devices over LwM2M in a campaign of v1, with the real edge: 00:00 and 04:00 of three days (``lifecycle.md`` 3.4)."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from overair.core.campaign import CampaignStatus
from overair.core.ids import CampaignId
from overair.core.upgrade import Reason, UpgradeState
from overair.sim.lwm2m.profile import Behaviour
from overair.sim.lwm2m.roster import Kinds, generate_cells, generate_roster
from tests.e2e.air import BEGIN, TURN_S, Air
from tests.virtual import run_virtually

CELLS = generate_cells(1)
START = datetime.combine(BEGIN.date() + timedelta(days=1), datetime.min.time(), UTC)
TRIES = [START + timedelta(days=day, hours=hour) for day in range(3) for hour in (0, 4)]
LATE = timedelta(seconds=2 * TURN_S)  # by which the engine may look at what is due


def _played(
    directory: Path,
    count: int,
    behaviour: Behaviour,
    story: Callable[[Air, CampaignId], Awaitable[None]],
    absent: tuple[int, ...] = (),
) -> None:
    async def play() -> None:
        # They say something every hour: who comes back is heard of soon.
        roster = generate_roster(count, kinds=Kinds(lifetime_s=3600))
        air = Air(directory, roster, behaviour, CELLS, seed=1)
        await air.open(absent)
        try:
            campaign = await air.schedule(
                START.date(), START.date() + timedelta(days=7), (), api_version=1
            )
            await story(air, campaign)
            assert await air.findings() == []
        finally:
            await air.close()

    run_virtually(play)


def _begun(air: Air, number: int) -> list[datetime]:
    """When the server opened attempts for a device."""
    rows = air.db.connection.execute(
        "select s.offered_at from started s join device d on d.id = s.device_id"
        " where d.imei = ? order by s.attempt_id",
        (air.roster[number].imei,),
    ).fetchall()
    return [datetime.fromtimestamp(row[0] / 1000, UTC) for row in rows]


def _are_at(begun: list[datetime], planned: list[datetime]) -> bool:
    return len(begun) == len(planned) and all(
        at <= found < at + LATE for found, at in zip(begun, planned, strict=True)
    )


def test_who_is_there_when(tmp_path: Path) -> None:
    """One is updated at the start, one when it comes back on the second day, one never: six tries, then failed."""

    async def story(air: Air, campaign: CampaignId) -> None:
        back = TRIES[3] + timedelta(hours=3)
        await air.pass_time(START - timedelta(hours=1))
        air.reach(1, reached=False)
        assert not _begun(air, 0)  # not before its day
        await air.pass_time(START + timedelta(hours=2))
        assert air.devices[0].truth().version == "02"
        await air.pass_time(back)
        assert air.devices[1].truth().version == "01"
        air.reach(1, reached=True)
        await air.pass_time(TRIES[4] - timedelta(hours=1))
        assert air.devices[1].truth().version == "02"
        await air.pass_time(TRIES[5] + timedelta(hours=5))
        places = await air.upgrades(campaign)
        states = [places[sim.imei].state for sim in air.roster]
        assert states == [UpgradeState.SUCCEEDED, UpgradeState.SUCCEEDED, UpgradeState.FAILED]
        assert places[air.roster[2].imei].reason is Reason.NO_RESPONSE
        assert _are_at(_begun(air, 0), TRIES[:1])
        assert _are_at(_begun(air, 1), TRIES[:4])
        assert _are_at(_begun(air, 2), TRIES)
        assert await air.status(campaign) is CampaignStatus.ENDED

    _played(tmp_path, 3, Behaviour(), story, absent=(2,))


def test_one_that_fails_each_time(tmp_path: Path) -> None:
    """What a device could not install is tried again at the next of the hours, six times, and then no more."""

    async def story(air: Air, campaign: CampaignId) -> None:
        await air.pass_time(TRIES[5] + timedelta(days=1))
        for number, place in enumerate((await air.upgrades(campaign)).values()):
            assert (place.state, place.reason) == (UpgradeState.FAILED, Reason.INSTALL_FAILED)
            assert place.attempts == len(TRIES)
            assert _are_at(_begun(air, number), TRIES)
            assert air.devices[number].truth().version == "01"
        assert await air.status(campaign) is CampaignStatus.ENDED

    _played(tmp_path, 2, Behaviour(install_failure=1.0), story)
