"""Random walks: whatever operators, devices and the clock do, in any order, the rules hold.

Each walk has a few devices and campaigns on an SQLite database in memory, and takes steps that
hypothesis chooses and, when one fails, shortens. After each step the database is verified, and
compared with the step before: what is closed stays closed, what succeeded stays so.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from overair.core.attempt import CLOSED, AttemptEvent, AttemptState
from overair.core.campaign import FINAL, CampaignStatus
from overair.core.errors import RequestError
from overair.core.ids import AttemptId, CampaignId
from overair.core.plan import Link, Place, decide
from overair.core.upgrade import UpgradeState
from overair.core.window import Windows
from overair.store import Tx
from overair.store.connection import SqliteTx, connect
from overair.store.migrations import migrate
from overair.store.verify import verify
from tests.engine.world import MONDAY, SIZE, World, hours
from tests.engine.world import settings as world_settings

DEVICES = range(1, 5)
A = AttemptState
E = AttemptEvent

# What a device may say, over DDI or by what it does (``devices/actions.py``).
SAID = [E.PROGRESS, E.NOTE, E.DOWNLOAD, E.SUCCEED, E.FAIL, E.CANCEL_CONFIRM, E.CANCEL_REFUSE]
WINDOWS: list[Windows] = [(), (), hours((8, 10)), hours((0, 4), (20, 24))]


@dataclass(frozen=True, slots=True, repr=False)
class Step:
    """Something that happens, and how a failure names it."""

    text: str
    happen: Callable[["Walk"], None]

    def __repr__(self) -> str:
        return self.text


class Walk:
    """A world under way, and what was seen of it."""

    def __init__(self, tx: Tx) -> None:
        self.w = World(
            tx,
            settings=world_settings(sweep_devices=2, retry_delay_s=600, downloads_per_attempt=3),
        )
        self.w.add_devices(*DEVICES)
        self.campaigns: list[CampaignId] = []
        self.attempts: dict[AttemptId, AttemptState] = {}
        self.upgrades: dict[int, UpgradeState] = {}
        self.statuses: dict[CampaignId, CampaignStatus] = {}

    def take(self, step: Step) -> None:
        """One step, in a savepoint: what is refused has changed nothing."""
        before = self.w.now
        self.w.tx.execute("savepoint step")
        try:
            step.happen(self)
        except RequestError:
            assert self.w.now == before
            self.w.tx.execute("rollback to step")
        self.w.tx.execute("release step")
        self.look_around()

    def look_around(self) -> None:
        tx = self.w.tx
        findings = [found for _, found in verify(tx) if found is not None]
        assert not findings, findings
        attempts = {
            AttemptId(id_): AttemptState(state)
            for id_, state in tx.all("select id, state from attempt")
        }
        for attempt, state in self.attempts.items():
            if state in CLOSED and attempts[attempt] is not state:
                assert state is A.EXPIRED
                assert attempts[attempt] in (A.FINISHED, A.FAILED)
        upgrades = {
            id_: UpgradeState(state)
            for id_, state in tx.all("select id, state from device_upgrade")
        }
        for upgrade, was in self.upgrades.items():
            if was is UpgradeState.SUCCEEDED:
                assert upgrades[upgrade] is was
        for campaign in self.campaigns:
            status = self.w.status(campaign)
            if self.statuses.get(campaign) in FINAL:
                assert status is self.statuses[campaign]
            self.statuses[campaign] = status
        self.attempts, self.upgrades = attempts, upgrades

    def attempts_of(self, device: int) -> list[AttemptId]:
        rows = self.w.tx.all(
            "select id from attempt where device_id = ? order by id", (self.w.device(device).id,)
        )
        return [AttemptId(row[0]) for row in rows]


# Steps -------------------------------------------------------------------------------------------

devices = st.sampled_from(DEVICES)
some_devices = st.lists(devices, min_size=1, max_size=4, unique=True)


@st.composite
def scheduling(draw: st.DrawFn) -> Step:
    wanted = draw(some_devices)
    start = draw(st.integers(0, 2))
    end = start + draw(st.integers(0, 3))
    windows = draw(st.sampled_from(WINDOWS))

    def schedule(walk: Walk) -> None:
        campaign = walk.w.schedule(wanted, start=start, end=end, download_windows=windows)
        walk.campaigns.append(campaign)

    return Step(f"schedule {wanted} from day {start} to {end}, {windows}", schedule)


@st.composite
def operating(draw: st.DrawFn) -> Step:
    which, wanted = draw(st.integers(0, 5)), draw(some_devices)
    what = draw(st.sampled_from(["append", "remove", "stop", "end", "windows"]))
    days = draw(st.integers(0, 5))

    def operate(walk: Walk) -> None:
        if not walk.campaigns:
            return
        campaign = walk.campaigns[which % len(walk.campaigns)]
        if what == "stop":
            walk.w.stop(campaign, carry_on=False)
        elif what == "end":
            walk.w.dates(campaign, end_date=walk.w.day(days))
        elif what == "windows":
            present = walk.w.get(campaign).download_windows
            walk.w.dates(campaign, download_windows=(*present, *hours((8, 9))))
        else:
            walk.w.change(campaign, what, *wanted)

    return Step(f"{what} campaign {which} {wanted} {days}", operate)


@st.composite
def polling(draw: st.DrawFn) -> Step:
    device = draw(devices)
    fetches = draw(st.booleans())

    def poll(walk: Walk) -> None:
        w = walk.w
        known = set(walk.attempts_of(device))
        look = w.poll(device)
        if look.link is not Link.DEPLOYMENT:
            return
        assert look.deployment is not None
        rules = look.deployment.rules
        attempt = look.deployment.attempt_id
        if attempt not in known:
            assert decide(rules, Place(state=UpgradeState.PENDING), w.now).offer
        refused = w.attempt(attempt).cancel_refused_at is not None
        assert rules.status in (CampaignStatus.SCHEDULED, CampaignStatus.ENDED) or refused
        if fetches:
            assert w.begin(device) == attempt

    return Step(f"poll {device}{' and fetch' if fetches else ''}", poll)


@st.composite
def reporting(draw: st.DrawFn) -> Step:
    device, event = draw(devices), draw(st.sampled_from(SAID))
    back = draw(st.integers(0, 3))  # mostly of the latest action, sometimes of an earlier one

    def report(walk: Walk) -> None:
        made = walk.attempts_of(device)
        if made:
            walk.w.report(device, event, made[-1 - min(back // 2, len(made) - 1)], "words")

    return Step(f"report {device} {event.value} {back}", report)


@st.composite
def downloading(draw: st.DrawFn) -> Step:
    device = draw(devices)
    part = draw(st.sampled_from([(0, SIZE), (0, SIZE // 2), (SIZE // 2, SIZE)]))

    def download(walk: Walk) -> None:
        if walk.w.device(device).open_attempt_id is not None:
            walk.w.download(device, part)

    return Step(f"download {device} {part}", download)


@st.composite
def waiting(draw: st.DrawFn) -> Step:
    delta = draw(
        st.sampled_from(
            [timedelta(0), timedelta(minutes=11), timedelta(hours=5), timedelta(days=1)]
        )
    )
    engine = draw(st.booleans())

    def wait(walk: Walk) -> None:
        walk.w.now += delta
        if engine:
            walk.w.carry_on()

    return Step(f"wait {delta}{' and work' if engine else ''}", wait)


def one_step(walk: Walk) -> None:
    for campaign in walk.campaigns[-1:]:
        walk.w.step(campaign)


steps = st.one_of(
    scheduling(),
    operating(),
    polling(),
    polling(),
    reporting(),
    reporting(),
    downloading(),
    waiting(),
    waiting(),
    st.just(Step("one step", one_step)),
)


@contextmanager
def database() -> Iterator[Tx]:
    connection = connect(":memory:")
    tx = SqliteTx(connection)
    connection.execute("begin")
    migrate(tx, MONDAY)
    try:
        yield tx
    finally:
        connection.close()


@settings(max_examples=100)
@given(st.lists(steps, min_size=10, max_size=80))
def test_any_walk_keeps_the_rules_and_comes_to_an_end(taken: list[Step]) -> None:
    """After each step all invariants hold; left alone, all campaigns end and all devices are free."""
    with database() as tx:
        walk = Walk(tx)
        walk.take(Step("begin", lambda walk: walk.campaigns.append(walk.w.campaign(DEVICES))))
        for step in taken:
            walk.take(step)
        walk.take(Step("end", lambda walk: walk.w.wait(days=30)))
        walk.take(Step("end", lambda walk: walk.w.wait(days=2)))
        for campaign in walk.campaigns:
            assert walk.w.status(campaign) in FINAL
            assert walk.w.get(campaign).due_at is None
        for number in DEVICES:
            device = walk.w.device(number)
            assert (device.open_upgrade_id, device.open_attempt_id) == (None, None)
            assert walk.w.poll(number).link is Link.NOTHING
