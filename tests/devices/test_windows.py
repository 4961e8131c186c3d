"""Campaign dates and windows on the wire, and poll intervals around them (http-ddi 7)."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from overair.core.window import Window, Windows
from tests.devices.field import MONDAY, Field, Peer, open_field

RAUC = "rauc-hawkbit-c-agent/1.4"


def hours(*pairs: tuple[int, int]) -> Windows:
    return tuple(Window(start, end) for start, end in pairs)


async def at(field: Field, day: int, hour: int, minute: int = 0) -> None:
    """Let it be that time, ``day`` days after Monday."""
    midnight = MONDAY.replace(hour=0)
    await field.wait_until(midnight + timedelta(days=day, hours=hour, minutes=minute))


async def is_shown(peer: Peer) -> bool:
    return await peer.offered() is not None


async def handling(peer: Peer) -> tuple[str, str, str | None] | None:
    """download, update and maintenanceWindow as the device is told; None: no link."""
    if not await is_shown(peer):
        return None
    _, document = await peer.retrieve()
    told = document["deployment"]
    return told["download"], told["update"], told.get("maintenanceWindow")


BOTH = ("forced", "forced", "available")
AHEAD = ("forced", "skip", "unavailable")
PLAIN = ("forced", "forced", None)


async def test_an_ordinary_device_is_offered_only_while_both_may_start(field: Field) -> None:
    """It downloads and installs in one go, so both windows have to be open; never `skip`."""
    await field.campaign_of(24, download_windows=hours((9, 14)), install_windows=hours((12, 18)))
    seen = {}
    for hour in range(9, 24):
        await at(field, 0, hour)
        seen[hour] = await handling(field.peer(hour))
    assert {hour for hour, told in seen.items() if told} == {12, 13}
    assert {told for told in seen.values() if told} == {PLAIN}


async def test_hours_are_inclusive_and_exclusive(field: Field) -> None:
    """A window is open from its first hour's first second to before its end."""
    await field.campaign_of(6, download_windows=hours((10, 11), (23, 24)))
    for number, (hour, minute, shown) in enumerate(
        ((9, 59, False), (10, 0, True), (10, 59, True), (11, 0, False), (22, 59, False)), 1
    ):
        await at(field, 0, hour, minute)
        assert await is_shown(field.peer(number)) is shown, (hour, minute)
    await at(field, 0, 23, 59)
    assert await is_shown(field.peer(6))


async def test_windows_apply_to_each_day(field: Field) -> None:
    """What was closed today is open tomorrow."""
    await field.campaign_of(3, download_windows=hours((8, 9)))
    await at(field, 0, 9)
    assert not await is_shown(field.peer(1))
    for day in (1, 2):
        await at(field, day, 8, 30)
        assert await is_shown(field.peer(day + 1))


async def test_dates_before_which_nothing_starts(field: Field) -> None:
    """downloadAfterDate and installAfterDate hold the offer back until they have come."""
    await field.campaign_of(
        3, download_after=field.day(1), install_after=field.day(2), download_windows=hours((6, 9))
    )
    for day, hour, shown in ((0, 8, False), (1, 8, False), (2, 5, False), (2, 6, True)):
        await at(field, day, hour)
        assert await is_shown(field.peer(1)) is shown, (day, hour)


async def test_an_offer_not_taken_up_is_withheld_again(field: Field) -> None:
    """Linked and not fetched while the window was open: not linked after it, and linked later."""
    await field.campaign_of(1, download_windows=hours((8, 9)))
    peer = field.peer(1)
    action = await peer.offered()
    assert action is not None
    await at(field, 0, 9)
    assert await peer.offered() is None
    assert (await peer.get(f"/deploymentBase/{action}")).status == 404
    await at(field, 1, 8)
    assert await peer.offered() == action


@pytest.mark.parametrize(("alone", "open_hours"), [(True, {20, 21}), (False, set())])
async def test_windows_that_never_overlap(
    tmp_path: Path, alone: bool, open_hours: set[int]
) -> None:
    """By default the install window alone counts; by a setting nothing is offered."""
    async with open_field(tmp_path, install_window_alone=alone) as field:
        await field.campaign_of(
            24, download_windows=hours((9, 11)), install_windows=hours((20, 22))
        )
        seen = set()
        for hour in range(9, 24):
            await at(field, 0, hour)
            if await is_shown(field.peer(hour)):
                seen.add(hour)
        assert seen == open_hours


async def test_the_table_for_two_phase_devices(field: Field) -> None:
    """Withheld; then download with skip and unavailable; then both, forced and available."""
    await field.campaign_of(
        1, {"two_phase": True}, download_windows=hours((9, 20)), install_windows=hours((12, 14))
    )
    peer = field.peer(1)
    tags = set()
    for hour, expected in ((8, None), (9, AHEAD), (11, AHEAD), (12, BOTH), (13, BOTH), (14, AHEAD)):
        await at(field, 0, hour)
        assert await handling(peer) == expected, hour
        if expected:
            tags.add(((await peer.links())["deploymentBase"].partition("?c=")[2], expected))
    assert len(tags) == 2  # the tag changes with the window's state, and only with it


async def test_two_phases_by_date(field: Field) -> None:
    """An installAfterDate alone makes two phases too."""
    await field.campaign_of(1, {"two_phase": True}, install_after=field.day(2))
    peer = field.peer(1)
    for day, expected in ((0, AHEAD), (1, AHEAD), (2, BOTH)):
        await at(field, day, 8)
        assert await handling(peer) == expected


async def test_without_install_rules_there_is_one_phase(field: Field) -> None:
    """maintenanceWindow is only for actions with install rules."""
    await field.campaign_of(1, {"two_phase": True}, download_windows=hours((8, 9)))
    assert await handling(field.peer(1)) == PLAIN


async def test_a_user_agent_may_preset_two_phases(tmp_path: Path) -> None:
    """Where the setting names the agent; what the device's record says counts before it."""
    rules: dict[str, Any] = {"install_windows": hours((20, 22))}
    async with open_field(
        tmp_path / "on", two_phase_user_agents=("rauc-hawkbit-c-agent/",)
    ) as field:
        await field.campaign_of(2, **rules)
        assert await handling(field.peer(1, User_Agent=RAUC)) == AHEAD
        assert await handling(field.peer(2, User_Agent="SWUpdate")) is None
        await field.campaign_of(1, {"two_phase": False}, first=3, **rules)
        assert await handling(field.peer(3, User_Agent=RAUC)) is None
    async with open_field(tmp_path / "off") as field:
        await field.campaign_of(1, **rules)
        assert await handling(field.peer(1, User_Agent=RAUC)) is None


async def test_a_two_phase_update(field: Field) -> None:
    """Downloads ahead, finds its file complete by a 416 when the window opens, and installs."""
    campaign = await field.campaign_of(1, {"two_phase": True}, install_windows=hours((20, 22)))
    peer = field.peer(1)
    action, document = await peer.retrieve()
    assert document["deployment"]["update"] == "skip"
    assert (await peer.download(document)).status == 200
    assert (await peer.say(action, "downloaded", "success")).status == 200
    assert (await field.word(1, campaign))[1] == "RovaClientDownloadNotInstalledYet"
    await at(field, 0, 20)
    again, document = await peer.retrieve()
    assert again == action
    assert document["deployment"]["update"] == "forced"
    size = document["deployment"]["chunks"][0]["artifacts"][0]["size"]
    href = document["deployment"]["chunks"][0]["artifacts"][0]["_links"]["download"]["href"]
    assert (await peer.get(href, {"Range": f"bytes={size}-"})).status == 416
    await peer.close_with(action, "success")
    assert (await field.word(1, campaign))[0] == "UpgradeSuccess"


async def test_the_interval_gets_shorter_before_a_window(field: Field) -> None:
    """A scheduled device polls about three times before the window opens, never below 30 s."""
    await field.campaign_of(1, download_windows=hours((20, 22)))
    peer = field.peer(1)
    opens = MONDAY.replace(hour=20)
    polls = []
    while not await is_shown(peer):
        sleep = await peer.sleep_s()
        left = (opens - field.clock.now()).total_seconds()
        polls.append((left, sleep))
        assert 30 <= sleep <= 43_200
        assert sleep <= max(30, left / 3), (left, sleep)
        await field.wait(seconds=sleep)
        assert len(polls) < 60
    assert field.clock.now() - opens <= timedelta(seconds=60)
    assert len(polls) >= 3


async def test_the_interval_before_a_start_date(field: Field) -> None:
    """A campaign of tomorrow shortens the interval as well; one of next month does not."""
    await field.campaign_of(1, start=1)
    await field.campaign_of(1, first=2, start=30, end=40)
    assert await field.peer(1).sleep_s() <= 16 * 3600 / 3
    assert await field.peer(2).sleep_s() >= 38_880


async def test_the_interval_during_an_action(field: Field) -> None:
    """While an action runs or is cancelled: at most five minutes."""
    campaign = await field.campaign_of(1)
    peer = field.peer(1)
    assert 270 <= await peer.sleep_s() <= 300
    action = await peer.begin()
    assert 270 <= await peer.sleep_s() <= 300
    await field.stop(campaign)
    assert 270 <= await peer.sleep_s() <= 300
    await peer.say(action, "closed", "success", about="cancelAction")
    assert await peer.sleep_s() >= 38_880


async def test_an_interval_of_a_device_that_is_shorter_anyway(field: Field) -> None:
    """A device that polls every ten seconds goes on doing so."""
    await field.campaign_of(1, {"poll_interval_s": 10}, download_windows=hours((20, 22)))
    peer = field.peer(1)
    assert await peer.sleep_s() == 10
    await at(field, 0, 20)
    assert await peer.sleep_s() == 10


async def test_hours_may_be_the_device_s_own(tmp_path: Path) -> None:
    """By a setting windows are read in the device's time zone, where it has one."""
    rules: dict[str, Any] = {"download_windows": hours((9, 10))}
    for own, expected in ((True, {8}), (False, {9})):
        async with open_field(tmp_path / str(own), windows_in_device_time=own) as field:
            await field.campaign_of(12, {"time_zone": "Europe/Berlin"}, **rules)
            seen = set()
            for hour in range(8, 12):
                await at(field, 0, hour)
                if await is_shown(field.peer(hour)):
                    seen.add(hour)
            assert seen == expected
