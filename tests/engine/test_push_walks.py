"""Random walks of devices over OMA-DM: whatever they, operators and the network do, the rules hold.

As in ``test_walks.py``, with what is particular to devices that are told to come: a notification goes
out only for an attempt that is under way, within its window and a pause after the last one; whoever
may still be tried is tried when it is seen.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from overair.core.campaign import FINAL
from overair.core.upgrade import Reason, UpgradeState
from overair.engine import push
from overair.engine.push import Job
from overair.store import Tx
from tests.engine import pushed
from tests.engine.test_walks import Step, Walk, database
from tests.engine.world import imei

DEVICES = range(11, 15)
PAUSE = timedelta(minutes=1)
REASONS = [Reason.DOWNLOAD_FAILED, Reason.INSTALL_FAILED, Reason.DECLINED, Reason.VERSION]


@dataclass(slots=True)
class Heard:
    """The last notification that a device got."""

    at: datetime
    attempt: int
    session: int


class PushWalk(Walk):
    """A world of devices over OMA-DM, and what they were told."""

    def __init__(self, tx: Tx) -> None:
        super().__init__(tx)
        pushed.fleet(self.w, *DEVICES)
        self.heard: dict[str, Heard] = {}
        self.jobs: dict[int, Job] = {}

    def notify(self, limit: int = 100) -> None:
        """Look at what is due, and at what is sent for it."""
        now = self.w.now
        for wake in pushed.due(self.w, limit):
            last = self.heard.get(wake.imei)
            assert now < wake.valid_until
            attempt = self.w.attempt(wake.attempt_id)
            assert attempt.closed_at is None
            if last is not None:
                assert now - last.at >= PAUSE or last.attempt != wake.attempt_id
                assert (last.session != wake.session) or last.attempt == wake.attempt_id
            self.heard[wake.imei] = Heard(at=now, attempt=wake.attempt_id, session=wake.session)


devices = st.sampled_from(DEVICES)
some_devices = st.lists(devices, min_size=1, max_size=4, unique=True)


@st.composite
def scheduling(draw: st.DrawFn) -> Step:
    wanted = draw(some_devices)
    start, days = draw(st.integers(0, 1)), draw(st.integers(0, 3))
    version = draw(st.sampled_from([1, 1, 1, 2]))

    def schedule(walk: Walk) -> None:
        end = start + days
        made = pushed.campaign(walk.w, wanted, version=version, start=start, end=end)
        walk.campaigns.append(made)

    return Step(f"schedule v{version} {wanted} from day {start} for {days}", schedule)


@st.composite
def stopping(draw: st.DrawFn) -> Step:
    which = draw(st.integers(0, 5))

    def stop(walk: Walk) -> None:
        if walk.campaigns:
            walk.w.stop(walk.campaigns[which % len(walk.campaigns)])

    return Step(f"stop campaign {which}", stop)


@st.composite
def attaching(draw: st.DrawFn) -> Step:
    seen = draw(some_devices)
    return Step(f"attach {seen}", lambda walk: _ignore(pushed.attach(walk.w, *seen)))


def _ignore(_: object) -> None:
    return None


@st.composite
def meeting(draw: st.DrawFn) -> Step:
    """A session of a device, and how far it gets."""
    device = draw(devices)
    what = draw(
        st.sampled_from(
            ["look", "execute", "execute", "download", "await", "fail", "succeed", "late", "shows"]
        )
    )
    reason = draw(st.sampled_from(REASONS))

    def meet(walk: Walk) -> None:
        assert isinstance(walk, PushWalk)
        w, now = walk.w, walk.w.now
        job = pushed.session(w, device)
        device_id = w.device(device).id
        if what == "shows":
            push.version_seen(w.tx, device_id, "02", w.settings, now)
            return
        if what == "late" and device in walk.jobs:
            push.succeeded(w.tx, walk.jobs[device], "02", w.settings, now, code=200)
            return
        if job is None:
            return
        walk.jobs[device] = job
        if what == "execute" and job.in_window:
            push.executed(w.tx, job, w.settings, now)
        elif job.executed_at is not None:
            if what == "download":
                push.downloaded(w.tx, job, w.settings, now)
            elif what == "await":
                push.await_version(w.tx, job, w.settings, now, code=200)
            elif what == "fail":
                push.failed(w.tx, job, reason, w.settings, now, code=410)
            elif what == "succeed":
                push.succeeded(w.tx, job, "02", w.settings, now, code=200)

    return Step(f"session of {device}: {what}", meet)


@st.composite
def waiting(draw: st.DrawFn) -> Step:
    delta = draw(
        st.sampled_from([timedelta(seconds=20), timedelta(minutes=16), timedelta(hours=5)])
    )
    works, limit = draw(st.booleans()), draw(st.sampled_from([1, 100]))

    def wait(walk: Walk) -> None:
        assert isinstance(walk, PushWalk)
        walk.w.now += delta
        if works:
            walk.w.carry_on()
            walk.notify(limit)

    return Step(f"wait {delta}{f' and work, {limit}' if works else ''}", wait)


steps = st.one_of(
    scheduling(), stopping(), attaching(), meeting(), meeting(), meeting(), waiting(), waiting()
)


@settings(max_examples=100)
@given(st.lists(steps, min_size=10, max_size=60))
def test_any_walk_keeps_the_rules_and_loses_nobody(taken: list[Step]) -> None:
    """After each step all invariants hold; in the end every device that may be tried is, when seen."""
    with database() as tx:
        walk = PushWalk(tx)
        for step in taken:
            walk.take(step)
        walk.take(Step("end", lambda walk: walk.w.wait(days=30)))
        walk.take(Step("end", lambda walk: walk.w.wait(days=2)))
        pushed.pass_time(walk.w, days=2)
        for campaign in walk.campaigns:
            assert walk.w.status(campaign) in FINAL
        for number in DEVICES:
            assert walk.w.device(number).open_upgrade_id is None
            queued = tx.one(
                "select count(*) from device_upgrade where imei = ? and state = 'queued'",
                (imei(number),),
            )
            assert queued is not None
            assert queued[0] <= 1
            if queued[0]:
                job = pushed.session(walk.w, number)
                assert job is not None
                push.succeeded(tx, job, "02", walk.w.settings, walk.w.now, code=200)
        left = tx.all("select id from device_upgrade where state = 'queued'")
        assert left == []
        walk.look_around()
        assert pushed.pass_time(walk.w, days=3) == []
        assert UpgradeState.QUEUED not in walk.upgrades.values()
