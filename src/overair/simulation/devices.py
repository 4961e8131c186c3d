"""Simulated devices among simulated surroundings: who drives ``overair.sim``'s cores here.

A device over HTTP is a task that carries out what its core asks for. It may be rebooted at any moment: then
all that it had in mind is gone, and what it runs is not. A device over OMA-DM is told of time, of
notifications and of its power; its nonces, its tree and its reports outlive everything.

What a device did is in its core's journal; what all its lives did is in ``truths``.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from random import Random
from typing import Any, Final, assert_never
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from overair.sim import requests
from overair.sim.http import device as http_core
from overair.sim.http import profile as http_profile
from overair.sim.http import steps as http_steps
from overair.sim.http.roster import SimDevice
from overair.sim.http.tally import DeviceTruth, Tally
from overair.sim.omadm import device as omadm_core
from overair.sim.omadm import profile as omadm_profile
from overair.sim.omadm import steps as omadm_steps
from overair.sim.omadm.roster import OmadmDevice
from overair.sim.omadm.tally import Tally as OmadmTally
from overair.simulation.loop import VirtualLoop
from overair.simulation.net import BASE, Network, NoAnswerError, Response
from overair.simulation.scenario import SimulatedDevice
from overair.simulation.template import ACCOUNT, NETWORK
from overair.simulation.transcript import Transcript

_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-[0-9]*/([0-9]{1,18})")
_TWO_PHASE_AGENT: Final = "rauc-hawkbit-simulated/1"
_EVENTS: Final = f"{BASE}/api/network/v1/events"
_TRIES: Final = 20

CLUMSY_HTTP: Final = http_profile.Behaviour(
    download_failure=0.1,
    corruption=0.05,
    install_failure=0.15,
    fallback=0.1,
    silence=0.05,
    cut=0.2,
    cancel_refusal=0.3,
)
CAREFUL_HTTP: Final = http_profile.Behaviour()
CLUMSY_OMADM: Final = omadm_profile.Behaviour(
    download_failure=0.1,
    corruption=0.05,
    install_failure=0.1,
    fallback=0.05,
    silent_fallback=0.05,
    lost_report=0.05,
    decline=0.05,
    silence=0.05,
    cut=0.2,
    says_downloaded=0.3,
    early_report=0.2,
    double_report=0.2,
    odd=0.3,
    xml=0.3,
)
CAREFUL_OMADM: Final = omadm_profile.Behaviour()


class Surroundings:
    """What every device has to do with."""

    def __init__(
        self, loop: VirtualLoop, network: Network, transcript: Transcript, seed: int
    ) -> None:
        self.loop = loop
        self.network = network
        self.transcript = transcript
        self.seed = seed

    def now(self) -> datetime:
        return self.transcript.now()

    async def ask(
        self,
        who: str,
        dice: Random,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
    ) -> Response:
        """A request, and a line of it. Raises NoAnswerError."""
        shown = urlsplit(url).path.removeprefix(f"/{ACCOUNT}/controller/v1/")
        try:
            answer = await self.network.request(who, dice, method, url, headers, body)
        except NoAnswerError as error:
            self.transcript.note(who, f"{method} {shown}: {error}")
            raise
        self.transcript.note(who, f"{method} {shown} {answer.status} {len(answer.body)}")
        return answer


class HttpActor:
    """A device over HTTP."""

    def __init__(self, plan: SimulatedDevice, sim: SimDevice, around: Surroundings) -> None:
        self.plan = plan
        self.name = plan.name
        self.imei = sim.controller_id
        self._around = around
        self._sim = replace(sim, two_phase=plan.two_phase)
        self._tally = Tally()
        self._dice = Random(f"{around.seed}/{plan.name}/network")
        self._lives: list[http_core.Device] = []
        self._task: asyncio.Task[None] | None = None
        self._file: tuple[bytes, int, bool] | None = None
        self._zone: tzinfo = ZoneInfo(plan.zone) if plan.zone else UTC
        self.skew_s = 0.0
        self._headers = {
            "Authorization": f"TargetToken {sim.token}",
            "User-Agent": _TWO_PHASE_AGENT if plan.two_phase else "swupdate-simulated/1",
            "Accept": "application/hal+json",
        }

    @property
    def version(self) -> str:
        return self._lives[-1].version if self._lives else self._sim.version

    def truths(self) -> list[DeviceTruth]:
        """What it did, life by life."""
        return [life.truth() for life in self._lives]

    def start(self, after_s: float) -> None:
        """Switch it on."""
        behaviour = CLUMSY_HTTP if self.plan.clumsy else CAREFUL_HTTP
        if self.plan.slow:
            behaviour = replace(behaviour, install_s=(600.0, 100_000.0), reboot_s=(10.0, 3600.0))
        self._lives.append(
            http_core.Device(
                replace(self._sim, version=self.version),
                f"{BASE}/{ACCOUNT}/controller/v1/{self.imei}",
                behaviour=behaviour,
                tally=self._tally,
                seed=self._around.seed * 1000 + len(self._lives),
                start_after_s=after_s,
            )
        )
        self._task = self._around.loop.create_task(self._live(self._lives[-1]))

    def stop(self) -> None:
        """Pull its plug: it forgets all but what it runs."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._file = None

    def set_clock(self, off_s: float) -> None:
        """Set its clock so far off: it polls by it, and says what it shows."""
        self.skew_s = off_s

    def fates(self) -> Counter[str]:
        """What was to become of its attempts."""
        return self._tally.fates

    @property
    def is_on(self) -> bool:
        return self._task is not None

    @property
    def died_of(self) -> BaseException | None:
        """What is wrong with the simulation, if its task has ended."""
        task = self._task
        if task is None or not task.done() or task.cancelled():
            return None
        return task.exception()

    async def _live(self, core: http_core.Device) -> None:
        life = core.run()
        step = next(life)
        while True:
            step = life.send(await self._perform(step))

    def _reply(self, **known: Any) -> http_steps.Reply:
        return http_steps.Reply(now=self._around.now().timestamp() + self.skew_s, **known)

    def _dated(self, body: bytes) -> bytes:
        """A report with the time of its clock: local, and without a zone, as clients write it."""
        at = self._around.now() + timedelta(seconds=self.skew_s)
        report = json.loads(body)
        report["time"] = f"{at.astimezone(self._zone):%Y%m%dT%H%M%S}"
        return json.dumps(report).encode()

    async def _perform(self, step: http_steps.Step) -> http_steps.Reply:
        try:
            match step:
                case http_steps.Ask():
                    headers, body = dict(self._headers), step.body or b""
                    if step.body is not None:
                        headers["Content-Type"] = "application/json"
                    if step.url.endswith("/feedback") and (self.plan.zone or self.skew_s):
                        body = self._dated(body)
                    answer = await self._ask(step.method, step.url, headers, body)
                    if answer.cut:
                        return self._reply(error="cut")
                    return self._reply(status=answer.status, body=answer.body)
                case http_steps.Open():
                    return await self._open(step)
                case http_steps.Read():
                    return self._read(step)
                case http_steps.Close():
                    self._file = None
                case http_steps.Sleep() | http_steps.BackOff():
                    await asyncio.sleep(step.seconds)
        except NoAnswerError as error:
            return self._reply(error=str(error))
        return self._reply()

    async def _ask(
        self, method: str, url: str, headers: dict[str, str], body: bytes = b""
    ) -> Response:
        return await self._around.ask(self.name, self._dice, method, url, headers, body)

    async def _open(self, step: http_steps.Open) -> http_steps.Reply:
        headers = dict(self._headers)
        if step.offset:
            headers["Range"] = f"bytes={step.offset}-"
        answer = await self._ask("GET", step.url, headers)
        self._file = (answer.body, 0, answer.cut)
        found = _RANGE.fullmatch(answer.headers.get("content-range", ""))
        return self._reply(status=answer.status, start=int(found[1]) if found else 0)

    def _read(self, step: http_steps.Read) -> http_steps.Reply:
        if self._file is None:
            return self._reply(error="no file is open")
        body, at, cut = self._file
        piece = body[at : at + step.limit]
        self._file = (body, at + len(piece), cut)
        if not piece and cut:
            return self._reply(error="cut")
        return self._reply(status=200, body=piece)


class OmadmActor:
    """A device over OMA-DM."""

    def __init__(self, plan: SimulatedDevice, sim: OmadmDevice, around: Surroundings) -> None:
        self.plan = plan
        self.name = plan.name
        self.imei = sim.imei
        self._around = around
        self._dice = Random(f"{around.seed}/{plan.name}/network")
        self._tally = OmadmTally()
        behaviour = CLUMSY_OMADM if plan.clumsy else CAREFUL_OMADM
        if plan.sleepy:
            behaviour = replace(behaviour, off_at_night=0.4, off_for_days=0.3, erratic=0.3)
        self.core = omadm_core.Device(
            sim,
            f"{BASE}/dm",
            behaviour=behaviour,
            tally=self._tally,
            seed=around.seed,
        )
        self.skew_s = 0.0
        self._started = False
        self._task: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.died_of: BaseException | None = None

    @property
    def version(self) -> str:
        return self.core.tree.version

    def installed(self) -> list[str]:
        """The versions that it has started, in order."""
        return [install.version for install in self.core.truth().installs]

    def start(self, after_s: float) -> None:
        """Switch it on."""
        if self._started:
            self._follow(self.core.switch(self._now(), on=True))
            return
        self._around.loop.call_later(after_s, self._begin)

    def _begin(self) -> None:
        self._started = True
        self._follow(self.core.start(self._now()))

    def stop(self) -> None:
        """Pull its plug."""
        if self._started:
            self._follow(self.core.switch(self._now(), on=False))

    def set_clock(self, off_s: float) -> None:
        """Set its clock so far off."""
        self.skew_s = off_s
        if self._started:
            self._arm()

    def fates(self) -> Counter[str]:
        """What was to become of its attempts."""
        return self._tally.fates

    def _now(self) -> datetime:
        return self._around.now() + timedelta(seconds=self.skew_s)

    def hear(self, package: bytes) -> None:
        """A notification reached it."""
        if self._started:
            self._follow(self.core.receive_push(package, self._now()))

    def _follow(self, step: omadm_steps.Step | None) -> None:
        running = self._task
        if running is not None and (step is not None or not self.core.is_on):
            running.cancel()
        if step is not None:
            self._task = self._around.loop.create_task(self._drive(step))
            self._task.add_done_callback(self._ended)
        self._arm()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self.died_of = task.exception()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self.core.wake_at
        if at is not None:
            seconds = max(0.0, (at - self._now()).total_seconds())
            self._timer = self._around.loop.call_later(seconds, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._follow(self.core.handle_timer(self._now()))

    async def _drive(self, step: omadm_steps.Step | None) -> None:
        while step is not None:
            answer = await self._perform(step)
            step = self.core.receive(step, answer, self._now())
            self._arm()

    async def _perform(self, step: omadm_steps.Step) -> requests.Answer:
        try:
            match step:
                case omadm_steps.Attach():
                    task = self._around.loop.create_task(self._tell())
                    self._telling.add(task)
                    task.add_done_callback(self._telling.discard)
                    return requests.Answer(status=200)
                case requests.Post():
                    headers = {"content-type": step.media_type, **dict(step.headers)}
                    answer = await self._ask("POST", step.url, headers, step.body)
                case requests.Fetch():
                    ranged = {"range": f"bytes={step.offset}-"} if step.offset else {}
                    answer = await self._ask("GET", step.url, ranged)
                    if len(answer.body) > step.limit:
                        answer = replace(answer, body=answer.body[: step.limit], cut=True)
                case _:
                    assert_never(step)
        except NoAnswerError as error:
            return requests.Answer(error=str(error))
        if answer.cut and not isinstance(step, requests.Fetch):
            return requests.Answer(error="cut")
        return as_answer(answer)

    async def _ask(
        self, method: str, url: str, headers: dict[str, str], body: bytes = b""
    ) -> Response:
        return await self._around.ask(self.name, self._dice, method, url, headers, body)

    async def _tell(self) -> None:
        """Its network says that it attached, until it is heard."""
        event = {"imei": self.imei, "type": "attach", "address": "192.0.2.1:2948"}
        headers = {"Authorization": f"Bearer {NETWORK}", "Content-Type": "application/json"}
        body = json.dumps({"events": [event]}).encode()
        dice = Random(f"{self._around.seed}/{self.name}/attach/{self._dice.random()}")
        for _ in range(_TRIES):
            try:
                answer = await self._around.ask("network", dice, "POST", _EVENTS, headers, body)
            except NoAnswerError:
                pass
            else:
                if answer.status in (200, 202):
                    return
            await asyncio.sleep(30.0)


def as_answer(answer: Response) -> requests.Answer:
    """What a device over OMA-DM, or LwM2M, makes of an answer."""
    headers = answer.headers
    found = _RANGE.fullmatch(headers.get("content-range", ""))
    retry = headers.get("retry-after", "")
    length = headers.get("content-length", "")
    return requests.Answer(
        status=answer.status,
        body=answer.body,
        media_type=headers.get("content-type", "").partition(";")[0].strip().lower(),
        start=int(found[1]) if found else 0,
        total=int(found[2]) if found else (int(length) if length else None),
        retry_after_s=float(retry) if retry.isdigit() else None,
        mac=headers.get("x-syncml-hmac", ""),
        error="cut" if answer.cut else "",
    )
