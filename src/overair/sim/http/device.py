"""One simulated device, without any I/O: it yields steps and is sent replies (``steps``).

Its manners are those of the real clients (http-ddi 12). An ordinary device behaves as SWUpdate: one
thing per poll, a look at the server at the poll interval while it is busy, a broken download resumed
with a range, any HTTP error on the artifact closes the action as failed, success reported only after
the restart and only if the poll still links the deployment, every cancellation accepted, "skip"
answered by closing without installing. A two-phase device behaves as rauc-hawkbit-updater: it waits
for its maintenance window, finds its file complete by a 416, refuses a cancellation once it installs
and reports its result whatever the poll shows. A report is kept until it is answered, across any
number of server restarts.

What happens to it by chance is drawn before (``profile``). What it did is in ``truth()``.
"""

from collections.abc import Generator
from random import Random

from overair.protocols.ddi import client
from overair.protocols.ddi.client import ActionLink, Chunk, Download, Offer, Poll
from overair.sim.http.incoming import IncomingFile
from overair.sim.http.profile import AttemptPlan, Behaviour, Fate
from overair.sim.http.roster import SimDevice
from overair.sim.http.steps import Ask, BackOff, Close, Open, Part, Read, Reply, Sleep, Step
from overair.sim.http.tally import Closing, DeviceTruth, Install, Journal, Phase, Report, Tally

# Until the first answer says otherwise; SWUpdate's own default.
_FIRST_INTERVAL_S = 45.0
_PIECE_BYTES = 256 * 1024
_SLOW_PIECE_S = 5.0
_BACK_OFF_S = (0.2, 15.0)
# Fruitless attempts in a row to go on with a download before the device gives it up.
_DOWNLOAD_TRIES = 30
# A report is over: taken, or too late for anybody. The others of _HOPELESS would be the same again.
_TAKEN = (200, 404, 405, 410)
_HOPELESS = (400, 413, 415)


class _GoneError(Exception):
    """The action that the device works on is no more: cancelled, or nobody's."""


class Device:
    """The state of one device. ``run`` is its life; all else is for looking at it."""

    def __init__(
        self,
        sim: SimDevice,
        base: str,
        *,
        behaviour: Behaviour,
        tally: Tally,
        seed: int = 0,
        start_after_s: float = 0.0,
    ) -> None:
        self.sim = sim
        self.version = sim.version
        self._base = base
        self._behaviour = behaviour
        self._tally = tally
        self._seed = seed
        self._start_after_s = start_after_s
        self._speed = behaviour.link_speed(seed, sim.controller_id)
        self._jitter = Random(f"{seed}/{sim.controller_id}/jitter")
        self._phase = Phase.IDLE
        tally.phases[Phase.IDLE] += 1
        self._now = 0.0
        self._interval_s = behaviour.poll_interval_s or _FIRST_INTERVAL_S
        self._next_poll_at = 0.0
        self._action_id: int | None = None
        self._plan = AttemptPlan()
        self._silent_about: int | None = None
        self._attempts = 0
        self._journal = Journal(sim.controller_id, tally)

    @property
    def phase(self) -> Phase:
        """What the device is busy with."""
        return self._phase

    def truth(self) -> DeviceTruth:
        """What the device really is and did."""
        return self._journal.truth(self.version)

    def run(self) -> Generator[Step, Reply, None]:
        """Poll for ever."""
        yield from self._sleep(self._start_after_s)
        while True:
            poll = yield from self._poll()
            if poll is not None:
                try:
                    yield from self._attend(poll)
                except _GoneError:
                    self._note("the action is gone")
                self._become(Phase.IDLE)
            yield from self._sleep(self._next_poll_at - self._now)

    # --- the server ----------------------------------------------------------------------------

    def _poll(self) -> Part[Poll | None]:
        """Check in. None: refused or unusable, so there is nothing to do until the next one."""
        reply = yield from self._ask("GET", self._base)
        self._tally.polls += 1
        poll = None
        if reply.status == 200:
            try:
                poll = client.read_poll(reply.body)
                self._interval_s = self._behaviour.poll_interval_s or max(1.0, poll.sleep_s)
            except client.DdiAnswerError as error:
                self._wrong(f"poll: {error}")
        else:
            self._wrong(f"poll answered {reply.status}")
        self._next_poll_at = self._now + self._interval_s
        return poll

    def _attend(self, poll: Poll) -> Part[None]:
        if poll.log is not None and self._journal.log:
            yield from self._upload_log(poll.log)
        if poll.cancel is not None:
            yield from self._answer_cancel(poll.cancel)
            return
        if poll.config_data is not None:
            yield from self._send_attributes(poll.config_data)
            if not self.sim.two_phase:
                # SWUpdate does not look at the deployment in this poll (http-ddi 5.2).
                return
        if poll.deployment is not None and poll.deployment.action_id != self._silent_about:
            offer = yield from self._fetch_offer(poll.deployment)
            if offer is not None:
                yield from self._update(offer)

    def _fetch_offer(self, link: ActionLink) -> Part[Offer | None]:
        reply = yield from self._ask("GET", link.href)
        if reply.status != 200:
            # Withdrawn between the poll and now: not an error.
            self._note(f"deployment {link.action_id} answered {reply.status}")
            return None
        try:
            offer = client.read_offer(reply.body)
        except client.DdiAnswerError as error:
            self._wrong(f"deployment {link.action_id}: {error}")
            return None
        if offer.action_id != link.action_id:
            self._wrong(f"deployment {link.action_id} says it is {offer.action_id}")
            return None
        return offer

    def _send_attributes(self, url: str) -> Part[None]:
        attributes = {
            "make": self.sim.make,
            "model": self.sim.model,
            "version": self.version,
        }
        if len(self.sim.controller_id) == 15 and self.sim.controller_id.isdigit():
            attributes["imei"] = self.sim.controller_id
        reply = yield from self._ask("PUT", url, client.write_config_data(attributes))
        if reply.status != 200:
            self._wrong(f"configData answered {reply.status}")

    def _upload_log(self, url: str) -> Part[None]:
        entries = list(self._journal.log)
        reply = yield from self._ask("POST", url, client.write_log(entries))
        if reply.status == 200:
            self._journal.log.clear()
        elif reply.status != 403:
            self._wrong(f"log answered {reply.status}")

    def _answer_cancel(self, link: ActionLink) -> Part[None]:
        """Accept or refuse a cancellation; raises when it takes away what the device works on."""
        reply = yield from self._ask("GET", link.href)
        if reply.status != 200:
            self._note(f"cancellation {link.action_id} answered {reply.status}")
            return
        try:
            action_id = client.read_cancel(reply.body)
        except client.DdiAnswerError as error:
            self._wrong(f"cancellation {link.action_id}: {error}")
            return
        own = action_id == self._action_id and self._phase is not Phase.IDLE
        installing = own and self._phase not in (Phase.DOWNLOADING, Phase.WAITING)
        if installing and (self.sim.two_phase or self._plan.refuses_cancel):
            yield from self._report("cancelAction", action_id, "rejected", "none", "installing")
            return
        status = yield from self._report("cancelAction", action_id, "closed", "success", "stopped")
        if status == 200:
            self._tally.cancelled += 1
            self._journal.cancels.append(action_id)
        if own:
            raise _GoneError

    def _report(
        self, resource: str, action_id: int, execution: str, finished: str, detail: str
    ) -> Part[int]:
        """Report until it is answered; returns the status."""
        url = client.feedback_url(self._base, resource, action_id)
        body = client.write_feedback(action_id, execution, finished, [detail])
        while (reply := (yield from self._ask("POST", url, body))).status not in _TAKEN:
            self._wrong(f"feedback to {resource} {action_id} answered {reply.status}")
            if reply.status in _HOPELESS:
                break
            yield from self._sleep(self._interval_s)
        self._note(f"{execution}/{finished} {detail}")
        told = Report(resource, action_id, execution, finished, detail, reply.status)
        self._journal.reports.append(told)
        return reply.status

    def _ask(self, method: str, url: str, body: bytes | None = None) -> Part[Reply]:
        """Ask until there is an answer that is one: a server may be restarting or overloaded."""
        tries = 0
        while True:
            reply = self._seen((yield Ask(method=method, url=url, body=body)))
            if reply.status != 0 and reply.status != 429 and reply.status < 500:
                return reply
            self._wrong(f"{method} {url}: {reply.error or reply.status}")
            yield from self._back_off(tries)
            tries += 1

    # --- an update -----------------------------------------------------------------------------

    def _update(self, offer: Offer) -> Part[None]:
        self._begin(offer.action_id)
        if offer.update == "skip" and not (self.sim.two_phase and offer.window):
            # What both clients do with it: done, and nothing installed (http-ddi 7).
            yield from self._close(offer.action_id, "success", "nothing to install")
            return
        self._become(Phase.DOWNLOADING)
        yield from self._proceed(offer, "Installing Update Chunk Artifacts.")
        for chunk in offer.chunks:
            for download in chunk.downloads:
                failure = yield from self._download(download)
                if failure is not None:
                    yield from self._close(offer.action_id, "failure", failure)
                    return
        self._journal.downloads.append(offer.action_id)
        if self.sim.two_phase:
            yield from self._await_window(offer)
        self._become(Phase.INSTALLING)
        yield from self._work(self._plan.install_s)
        if self._plan.fate is Fate.INSTALL_FAILS:
            yield from self._close(offer.action_id, "failure", "Installation failed.")
            return
        yield from self._proceed(offer, "Installed Chunk.")
        if self._plan.fate is Fate.SILENT:
            self._silent_about = offer.action_id
        software = [chunk for chunk in offer.chunks if chunk.part != "config"]
        if software:
            yield from self._reboot()
        if self._plan.fate is not Fate.FALLS_BACK:
            self._run_new(offer)
        if self._plan.fate in (Fate.SILENT, Fate.FORGETFUL):
            return
        yield from self._confirm(offer, software)

    def _begin(self, action_id: int) -> None:
        if action_id == self._action_id:
            # Again the same one: after a refused cancellation, or because it was forgotten.
            return
        self._action_id = action_id
        self._attempts += 1
        self._plan = self._behaviour.draw(self._seed, self.sim.controller_id, self._attempts)
        self._tally.fates[self._plan.fate.value] += 1
        self._tally.offered += 1
        self._journal.offers.append(action_id)
        self._note(f"offered {action_id}")

    def _proceed(self, offer: Offer, detail: str) -> Part[None]:
        status = yield from self._report(
            "deploymentBase", offer.action_id, "proceeding", "none", detail
        )
        if status in (404, 410):
            raise _GoneError

    def _close(self, action_id: int, finished: str, detail: str) -> Part[None]:
        self._become(Phase.REPORTING)
        status = yield from self._report("deploymentBase", action_id, "closed", finished, detail)
        self._journal.closings.append(
            Closing(action_id=action_id, finished=finished, status=status)
        )
        if status == 200 and finished == "success":
            self._tally.updated += 1
        elif status == 200:
            self._tally.failed += 1
        # The next offer is a new attempt, even if a server should repeat the number.
        self._action_id = None

    def _await_window(self, offer: Offer) -> Part[None]:
        """Wait until the installation may start, then see that the file is still complete."""
        yield from self._report(
            "deploymentBase", offer.action_id, "downloaded", "none", "File checksum OK."
        )
        self._become(Phase.WAITING)
        while offer.update == "skip" or offer.window == "unavailable":
            yield from self._sleep(self._next_poll_at - self._now)
            poll = yield from self._look()
            if poll is None:
                continue
            if poll.deployment is None or poll.deployment.action_id != offer.action_id:
                raise _GoneError
            offer = (yield from self._fetch_offer(poll.deployment)) or offer
        for chunk in offer.chunks:
            for download in chunk.downloads:
                reply = self._seen((yield Open(url=download.href, offset=download.size_bytes)))
                yield Close()
                if reply.status not in (0, 416):
                    self._wrong(f"complete {download.file_name} answered {reply.status}")

    def _reboot(self) -> Part[None]:
        self._become(Phase.REBOOTING)
        self._note("restarting")
        yield from self._sleep(self._plan.reboot_s)

    def _run_new(self, offer: Offer) -> None:
        for chunk in offer.chunks:
            self._journal.installs.append(self._install(offer, chunk))
            if chunk.part != "config":
                self.version = chunk.version
        self._note(f"running {self.version}")

    @staticmethod
    def _install(offer: Offer, chunk: Chunk) -> Install:
        return Install(
            action_id=offer.action_id, part=chunk.part, name=chunk.name, version=chunk.version
        )

    def _confirm(self, offer: Offer, software: list[Chunk]) -> Part[None]:
        """After the restart: report what came of it."""
        self._become(Phase.REPORTING)
        if software and not self.sim.two_phase:
            poll = yield from self._look()
            while poll is None:
                yield from self._sleep(self._next_poll_at - self._now)
                poll = yield from self._look()
            if poll.deployment is None or poll.deployment.action_id != offer.action_id:
                # SWUpdate drops the result silently then, hence the sticky offer (http-ddi 6).
                self._tally.dropped += 1
                self._note(f"the result of {offer.action_id} was dropped")
                return
            yield from self._fetch_offer(poll.deployment)
        if self._plan.fate is Fate.FALLS_BACK and software:
            detail = f"Booted {self.version}, expected {software[-1].version}."
            yield from self._close(offer.action_id, "failure", detail)
        else:
            yield from self._close(offer.action_id, "success", "Update Installed.")
        # Sent at every start, asked for or not (http-ddi 5.2).
        yield from self._send_attributes(f"{self._base}/configData")

    def _download(self, download: Download) -> Part[str | None]:
        """Fetch and check a file; returns what went wrong. Nothing is kept but the digests."""
        # For the size only; a failure is a warning (http-ddi 4.7).
        self._seen((yield Ask(method="HEAD", url=download.href)))
        file = IncomingFile(download, self._plan)
        tries = 0
        while tries < _DOWNLOAD_TRIES:
            before = file.received
            try:
                failure = yield from self._fetch(file)
            except _GoneError:
                yield Close()
                raise
            yield Close()
            if failure is not None:
                return failure
            if file.is_complete:
                return self._verify(file)
            tries = tries + 1 if file.received == before else 0
            yield from self._back_off(tries)
        return "Download failed: connection lost."

    def _fetch(self, file: IncomingFile) -> Part[str | None]:
        """Read on from where the file stands, until its end or until the connection is lost."""
        opened = self._seen((yield Open(url=file.wanted.href, offset=file.received)))
        if opened.status == 0:
            self._wrong(f"{file.wanted.file_name}: {opened.error}")
            return None
        if opened.status != (206 if file.received else 200) or opened.start != file.received:
            # Also a 200 to a range: the clients cannot go on with it (http-ddi 5.4).
            self._wrong(f"{file.wanted.file_name} answered {opened.status} at {opened.start}")
            return f"Download failed: status {opened.status}."
        while True:
            piece = self._seen((yield Read(limit=file.next_bytes(self._piece_bytes()))))
            if piece.status == 0 or not piece.body:
                return None
            self._tally.bytes_received += len(piece.body)
            file.take(piece.body)
            if file.received > file.wanted.size_bytes:
                self._wrong(f"{file.wanted.file_name} is longer than announced")
                return "Download failed: longer than announced."
            if file.is_broken_off():
                return "Download failed: timeout."
            if file.is_cut():
                return None
            yield from self._work(len(piece.body) / self._speed if self._speed else 0.0)

    def _verify(self, file: IncomingFile) -> str | None:
        if file.matches():
            return None
        if self._plan.fate is not Fate.CORRUPTED:
            self._wrong(f"{file.wanted.file_name} has other bytes than announced")
        return "Checksum mismatch."

    def _piece_bytes(self) -> int:
        if self._speed is None:
            return _PIECE_BYTES
        return max(1, min(_PIECE_BYTES, int(self._speed * _SLOW_PIECE_S)))

    # --- time ----------------------------------------------------------------------------------

    def _work(self, seconds: float) -> Part[None]:
        """Let time pass with an eye on the server, at the poll interval."""
        until = self._now + seconds
        while self._now < until or self._now >= self._next_poll_at:
            yield from self._sleep(min(until, self._next_poll_at) - self._now)
            if self._now >= self._next_poll_at:
                yield from self._look()

    def _look(self) -> Part[Poll | None]:
        """A poll in the middle of an update: only a cancellation matters."""
        poll = yield from self._poll()
        if poll is not None and poll.cancel is not None:
            yield from self._answer_cancel(poll.cancel)
            return None
        return poll

    def _sleep(self, seconds: float) -> Part[None]:
        self._seen((yield Sleep(seconds=max(0.0, seconds))))

    def _back_off(self, tries: int) -> Part[None]:
        shortest, longest = _BACK_OFF_S
        seconds = min(longest, shortest * 2 ** min(tries, 10)) * self._jitter.uniform(0.5, 1.0)
        self._seen((yield BackOff(seconds=seconds)))

    # --- what is written down ------------------------------------------------------------------

    def _seen(self, reply: Reply) -> Reply:
        self._now = reply.now
        return reply

    def _become(self, phase: Phase) -> None:
        self._tally.phases[self._phase] -= 1
        self._tally.phases[phase] += 1
        self._phase = phase

    def _note(self, text: str) -> None:
        self._journal.note(self._now, text)

    def _wrong(self, text: str) -> None:
        self._journal.wrong(text)
