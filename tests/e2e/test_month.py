"""A month of OMA-DM under simulated time: a thousand devices with power schedules of their own."""

import os
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from overair.core.attempt import AttemptState
from overair.core.campaign import CampaignStatus
from overair.core.upgrade import UpgradeState
from overair.sim.omadm.profile import Behaviour
from overair.sim.omadm.tally import DeviceTruth
from overair.store.verify import verify
from tests.e2e.month import BEGIN, Month

DEVICES = 1000
DAYS = 30
START = (BEGIN + timedelta(days=1)).date()  # dated: its notifications begin at midnight
END = (BEGIN + timedelta(days=20)).date()  # the last ten days are those of who is tried on
LONG = timedelta(days=5)  # with power for so long in all, a device ends updated

WORLD = Behaviour(
    download_failure=0.08,
    corruption=0.03,
    install_failure=0.08,
    fallback=0.05,
    silent_fallback=0.03,
    lost_report=0.05,
    decline=0.05,
    silence=0.03,
    cut=0.1,
    says_downloaded=0.3,
    early_report=0.2,
    double_report=0.1,
    off_at_night=0.3,
    off_for_days=0.2,
    erratic=0.15,
    late=0.05,
    odd=0.3,
    xml=0.3,
    wrong_credentials=0.02,
    boot_session=0.2,
    slow=0.1,
)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, where there is one: a month has more commits than a disk likes."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


async def test_a_month_of_oma_dm(memory: Path) -> None:
    """Every device that is on long enough ends updated; each is told only when it may be; all agree."""
    month = Month(memory, DEVICES, WORLD, seed=7)
    await month.open()
    try:
        campaign = await month.schedule(START, END)
        await month.pass_time(BEGIN + timedelta(days=DAYS))
        assert await month.status(campaign) is CampaignStatus.ENDED
        places = await month.upgrades(campaign)
        histories = await month.histories()
        truths = {imei: device.truth() for imei, device in month.devices.items()}
        findings = await month.server.db.report(
            lambda tx: [found for _, found in verify(tx) if found is not None]
        )
    finally:
        await month.close()

    assert findings == []
    assert not [error for error in month.errors if not error.endswith((" 403", " 429"))]
    # The server says what the devices are, one history entry each.
    assert len(places) == DEVICES
    for imei, place in places.items():
        updated = truths[imei].version == "02"
        assert (place.state is UpgradeState.SUCCEEDED) == updated, (place, truths[imei])
        assert updated or place.state is UpgradeState.QUEUED
        (entry,) = histories[imei]
        assert (entry.state, entry.reason, entry.started_at) == (
            place.state,
            place.reason,
            place.started_at,
        )
    # Whoever had power for long enough, and the right secrets, was updated.
    for imei, truth in truths.items():
        plan = month.devices[imei].plan
        if plan.wrong_client_secret or plan.wrong_server_secret:
            assert truth.version == "01"
        elif _powered(truth) >= LONG:
            assert truth.version == "02", truth
    assert sum(truth.version == "02" for truth in truths.values()) > 0.95 * DEVICES
    assert sum(place.attempts > 3 for place in places.values()) > 0.05 * DEVICES
    # Nobody was told at a time, or in a state, in which he may not be.
    begin = datetime.combine(START, datetime.min.time(), BEGIN.tzinfo)
    for told in month.told:
        assert begin <= told.at < told.valid_until <= told.at + timedelta(hours=4)
        assert told.upgrade in (UpgradeState.PENDING, UpgradeState.QUEUED)
        assert told.attempt in (
            AttemptState.OFFERED,
            AttemptState.RUNNING,
            AttemptState.DOWNLOADED,
        )
    for line in month.told_by_device().values():
        for before, after in pairwise(line):
            assert after.at - before.at >= timedelta(minutes=1)
            assert (after.session == before.session) <= (after.attempt_id == before.attempt_id)


def _powered(truth: DeviceTruth) -> timedelta:
    """For how long the device had power, in all."""
    end = BEGIN + timedelta(days=DAYS)
    return sum(((until or end) - since for since, until in truth.on), timedelta())
