"""One simulated OMA-DM device, without any I/O and without a clock.

Whoever drives it tells it what happens, always with the time: ``start`` once, ``handle_timer`` when
``wake_at`` has come, ``receive_push`` for a datagram, ``receive`` for the answer to what it asked for,
``switch`` to pull or put the plug by hand. Each returns what the device asks for next (``steps``), or None
if it asks for nothing new; after each, ``wake_at`` may have changed. It asks for one thing at a time. An
answer that comes after its power went is dropped.

    step = device.start(now)
    while True:
        while step is not None:
            step = device.receive(step, perform(step), now)
        now = device.wake_at
        step = device.handle_timer(now)

Its life between two power cuts is a generator; what outlives a cut is its account's nonces, its tree, its
job and the reports that nobody has taken yet. Time passes for it only between steps, so a caller who
stands still meanwhile sees whole sessions in no time.
"""

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from overair.sim.omadm.account import Account, Nonces, Wakeup, read_push
from overair.sim.omadm.manners import Oddity
from overair.sim.omadm.power import changes
from overair.sim.omadm.profile import Behaviour
from overair.sim.omadm.reports import Reports
from overair.sim.omadm.roster import OmadmDevice
from overair.sim.omadm.session import Session
from overair.sim.omadm.steps import Attach, Part, Pause, Step
from overair.sim.omadm.tally import (
    DeviceTruth,
    Dialogue,
    Fortune,
    Journal,
    Phase,
    Tally,
)
from overair.sim.omadm.tree import Facts, Tree
from overair.sim.omadm.update import Job, Updater
from overair.sim.requests import Answer, Post

# Pauses before a message is sent again that got no answer; then the session is given up.
_RESEND_S = (5.0, 20.0, 60.0)
# A notification whose session failed on the way is taken up again so often (oma-dm 18.2).
_TRIGGER_RETRIES = 2
_TRIGGER_RETRY_S = 120.0
_KNOWN_TRIGGERS = 16
_NONCE_BYTES = 16
_BUSY = (0, 408, 429)
_NEVER = datetime.max.replace(tzinfo=UTC)


class Device:
    """The state of one device, and its life. ``becomes`` is what packages hold that do not say it."""

    def __init__(
        self,
        sim: OmadmDevice,
        url: str,
        *,
        server_id: str = "overair",
        behaviour: Behaviour | None = None,
        tally: Tally | None = None,
        seed: int = 0,
        becomes: str = "",
    ) -> None:
        self.sim = sim
        self.now = datetime.min.replace(tzinfo=UTC)
        behaviour = behaviour or Behaviour()
        self._behaviour = behaviour
        self._tally = tally or Tally()
        self._seed = seed
        self.plan = behaviour.draw_device(seed, sim.imei, sim.root)
        self._manners = self.plan.manners
        self._dice = Random(f"{seed}/{sim.imei}/dice")
        self.account = _account(
            sim, url, server_id, self.plan.wrong_client_secret, self.plan.wrong_server_secret
        )
        self.nonces = Nonces()
        self.journal = Journal(sim.imei, self._tally)
        self.tree = Tree(
            Facts(device_id=self.account.device_id, make=sim.make, model=sim.model),
            sim.version,
            self._manners.root,
            two_steps=self._manners.has(Oddity.NO_DOWNLOAD_AND_UPDATE),
            fumo_only=self._manners.has(Oddity.FUMO_ONLY),
        )
        self.updater = Updater(
            self,
            self.tree,
            self.journal,
            self._tally,
            draw=lambda attempt: behaviour.draw(seed, sim.imei, attempt),
            bytes_per_s=behaviour.slow_bytes_per_s if self.plan.slow else None,
            becomes=becomes,
        )
        self.tree.on_exec = self.updater.take_on
        self._phase = Phase.OFF
        self._tally.phases[Phase.OFF] += 1
        # Power: what is next of the schedule, and the life since it came last.
        self._changes: Iterator[tuple[datetime, bool]] = iter(())
        self._next_change: tuple[datetime, bool] | None = None
        self._life: Generator[Step | Pause, Answer, None] | None = None
        self._asked: Step | None = None
        self._pause: Pause | None = None
        self._is_restarting = False
        # What outlives a power cut.
        self._reports = Reports(self.journal, self._manners)
        self._trigger: Wakeup | None = None
        self._trigger_at: datetime | None = None
        self._trigger_tries = 0
        self._known: deque[int] = deque(maxlen=_KNOWN_TRIGGERS)

    # --- what may happen to it -----------------------------------------------------------------

    @property
    def is_on(self) -> bool:
        """Whether it has power."""
        return self._life is not None

    @property
    def phase(self) -> Phase:
        """What it is busy with."""
        return self._phase

    @property
    def wake_at(self) -> datetime | None:
        """When ``handle_timer`` is to be called next; None: no timer runs."""
        change = None if self._next_change is None else self._next_change[0]
        pause = self._wakes_at()
        if pause == _NEVER:
            return change
        if change is None or pause is None:
            return change or pause
        return min(change, pause)

    def truth(self) -> DeviceTruth:
        """What the device really is and did."""
        return self.journal.truth(self.tree.version)

    def start(self, now: datetime) -> Step | None:
        """Begin its power schedule."""
        dice = Random(f"{self._seed}/{self.sim.imei}/power")
        self._changes = changes(self.plan.habit, self._behaviour.hours, dice, now)
        self._next_change = next(self._changes, None)
        return self.handle_timer(now)

    def handle_timer(self, now: datetime) -> Step | None:
        """The time has come for something; too early or too often does no harm."""
        self.now = now
        step = None
        while self._next_change is not None and self._next_change[0] <= now:
            at, on = self._next_change
            self._next_change = next(self._changes, None)
            step = self._switch(on=on, at=at)
        if step is not None:
            return step
        wakes_at = self._wakes_at()
        return self._go_on(Answer()) if wakes_at is not None and wakes_at <= now else None

    def switch(self, now: datetime, *, on: bool) -> Step | None:
        """Pull or put the plug; the schedule's next change comes all the same."""
        self.now = now
        return self._switch(on=on, at=now)

    def receive_push(self, payload: bytes, now: datetime) -> Step | None:
        """A datagram came for it, whether it can hear it or not."""
        self.now = now
        if self._life is None or self._is_restarting:
            self.journal.pushed(now, None, Fortune.OFF)
            return None
        found = read_push(self.account, payload, self.nonces.of_server())
        if isinstance(found, str):
            self.journal.pushed(now, None, Fortune.REFUSED)
            return None
        number = found.trigger.session
        if number in self._known or (
            self._trigger is not None and self._trigger.trigger.session == number
        ):
            # One session for one notification, however often it is repeated (oma-dm 9).
            self.journal.pushed(now, number, Fortune.KNOWN)
            return None
        self.journal.pushed(now, number, Fortune.TAKEN)
        self._trigger = found
        self._trigger_at = now + timedelta(seconds=self._dice.uniform(*self._behaviour.reaction_s))
        self._trigger_tries = 0
        return self.handle_timer(now)

    def receive(self, step: Step, answer: Answer, now: datetime) -> Step | None:
        """The answer to what it asked for."""
        self.now = now
        if step is not self._asked:
            return None
        return self._go_on(answer)

    def _switch(self, *, on: bool, at: datetime) -> Step | None:
        if on == self.is_on:
            return None
        self.journal.powered(at, on=on)
        self._asked = self._pause = None
        self._is_restarting = False
        if not on:
            assert self._life is not None, "only what is on goes off"
            self._life.close()
            self._life = None
            self.become(Phase.OFF)
            return None
        self.become(Phase.IDLE)
        self._life = self._live()
        return self._go_on(None)

    def _go_on(self, answer: Answer | None) -> Step | None:
        """Live on until there is something to ask for or to wait for."""
        assert self._life is not None, "only what is on lives"
        self._asked = self._pause = None
        wanted = next(self._life) if answer is None else self._life.send(answer)
        while isinstance(wanted, Pause):
            self._pause = wanted
            wakes_at = self._wakes_at()
            if wakes_at is None or wakes_at > self.now:
                return None
            wanted = self._life.send(Answer())
        self._pause = None
        self._asked = wanted
        return wanted

    def _wakes_at(self) -> datetime | None:
        if self._pause is None:
            return None
        if self._pause.attentive and self._trigger_at is not None:
            return min(self._pause.until, self._trigger_at)
        return self._pause.until

    # --- its life ------------------------------------------------------------------------------

    def _live(self) -> Part[None]:
        """From one power-on to the next cut."""
        # Triggers are kept in memory only.
        self._trigger = self._trigger_at = None
        yield from self._attach()
        if self.plan.boot_session and not self._reports.due_at:
            yield from self._talk(self._own_id(), by_server=False)
        while True:
            yield from self._attend()
            due_at = self.updater.due_at()
            if due_at is not None and due_at <= self.now:
                yield from self.updater.work()
                continue
            yield Pause(until=_earliest(due_at, self._reports.due_at), attentive=True)

    def _attach(self) -> Part[None]:
        self._tally.attaches += 1
        yield Attach(imei=self.sim.imei)

    def _attend(self) -> Part[None]:
        """Answer the notification that is due, and send the reports that are."""
        trigger, due_at = self._trigger, self._trigger_at
        if trigger is not None and due_at is not None and due_at <= self.now:
            yield from self._answer(trigger)
        due_at = self._reports.due_at
        if due_at is not None and due_at <= self.now:
            yield from self._talk(self._own_id(), by_server=False)

    def _answer(self, wakeup: Wakeup) -> Part[None]:
        trigger = wakeup.trigger
        one = self._manners.has(Oddity.SESSION_ID_ONE)
        session = yield from self._talk(
            "1" if one else trigger.session_id, by_server=True, over_zero=wakeup.zero_nonce
        )
        if self._trigger is not wakeup:
            # A newer one has come meanwhile.
            return
        if session.authenticated:
            self._known.append(trigger.session)
        elif not session.is_refused and self._trigger_tries < _TRIGGER_RETRIES:
            self._trigger_tries += 1
            self._trigger_at = self.now + timedelta(seconds=_TRIGGER_RETRY_S)
            return
        self._trigger = self._trigger_at = None

    def rest(self, seconds: float) -> Part[None]:
        """Let time pass, with an ear for the server."""
        until = self.now + timedelta(seconds=seconds)
        yield from self._attend()
        while self.now < until:
            yield Pause(until=_earliest(until, self._reports.due_at), attentive=True)
            yield from self._attend()

    def restart(self, seconds: float) -> Part[None]:
        """Boot; nothing reaches a device that restarts."""
        self.become(Phase.REBOOTING)
        self._is_restarting = True
        yield Pause(until=self.now + timedelta(seconds=seconds))
        self._is_restarting = False
        yield from self._attach()

    def report(self, job: Job, code: int) -> None:
        """Have a result sent, until the server takes it."""
        self._reports.add(job, code, self.now)

    def become(self, phase: Phase) -> None:
        """Change what it is busy with."""
        self._tally.phases[self._phase] -= 1
        self._tally.phases[phase] += 1
        self._phase = phase

    # --- sessions ------------------------------------------------------------------------------

    def _talk(self, session_id: str, *, by_server: bool, over_zero: bool = False) -> Part[Session]:
        """Hold a session, reports and all."""
        session = Session(
            session_id,
            self.account,
            self.nonces,
            self.tree,
            self._manners,
            new_nonce=lambda: self._dice.randbytes(_NONCE_BYTES),
            over_zero=over_zero,
        )
        self._tally.sessions += 1
        began_at = self.now
        body: bytes | None = session.open(self._reports.alerts(), by_server=by_server)
        while body is not None:
            if self.plan.slow:
                seconds = self._dice.uniform(*self._behaviour.think_s)
                yield Pause(until=self.now + timedelta(seconds=seconds))
            answer = yield from self._send(body, session.headers)
            if answer.status == 200:
                body = session.receive(answer.body, answer.mac)
            else:
                session.give_up(f"HTTP {answer.status} {answer.error}".strip())
                body = None
        self.journal.dialogues.append(
            Dialogue(
                at=began_at, session_id=session.id, by_server=by_server, problem=session.problem
            )
        )
        if session.is_refused:
            self._tally.refused += 1
        elif session.problem and not session.is_aborted:
            self.journal.wrong(f"session {session.id}: {session.problem}")
        self._reports.settle(session.reported, self.now)
        return session

    def _send(self, body: bytes, headers: tuple[tuple[str, str], ...]) -> Part[Answer]:
        """Post a message until there is an answer that is one."""
        media_type = self._manners.form.media_type.value
        post = Post(url=self.account.url, media_type=media_type, body=body, headers=headers)
        for pause_s in _RESEND_S:
            self._tally.messages += 1
            answer = yield post
            if answer.status not in _BUSY and answer.status < 500:
                return answer
            self.journal.wrong(f"message answered {answer.status} {answer.error}".strip())
            seconds = pause_s if answer.retry_after_s is None else answer.retry_after_s
            yield Pause(until=self.now + timedelta(seconds=seconds))
        self._tally.messages += 1
        return (yield post)

    def _own_id(self) -> str:
        if self._manners.has(Oddity.SESSION_ID_ONE):
            return "1"
        while (number := self._dice.randint(1, 0xFFFF)) in self._known:
            pass
        return f"{number:X}"


def _account(
    sim: OmadmDevice, url: str, server_id: str, wrong_client: bool, wrong_server: bool
) -> Account:
    account = Account(
        device_id=f"IMEI:{sim.imei}",
        url=url,
        server_id=server_id,
        server_secret=sim.server_secret,
        client_name=sim.client_name or sim.imei,
        client_secret=sim.client_secret,
        kind=sim.kind,
    )
    if wrong_client:
        account = replace(account, client_secret=f"{sim.client_secret}?")
    if wrong_server:
        account = replace(account, server_secret=f"{sim.server_secret}?")
    return account


def _earliest(*instants: datetime | None) -> datetime:
    known = [instant for instant in instants if instant is not None]
    # A device that waits for nothing but notifications.
    return min(known) if known else _NEVER
