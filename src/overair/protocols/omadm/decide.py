"""What the server does next: the table of oma-dm 8, row by row, and the first that fits wins.

``ROWS`` is that table; each of its functions is one row, and says with None that it does not fit. They
see one ``Situation`` and change nothing. To lay beside the specification:

- A row that asks for something fits as long as something is left to ask, so rows 9 and 10 may take two
  packages where the update object has to be looked for (``roots``).
- Row 12a is 7.5, which the table leaves to its text: a success that was reported, and a version that is
  still the old one.
- Row 14 serves an earlier attempt's download, too, once: a device that has declined to install keeps it,
  and would otherwise never be tried again.
- Row 15 has, from 7.2, also State 40 and 50 of a download that is not ours.
- Statuses are not here: every reply begins with those that are owed (``outgoing``).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from overair.protocols.omadm import nodes, roots
from overair.protocols.omadm.answers import EXEC_ACCEPTED, state_of, version_of, why_refused
from overair.protocols.omadm.events import (
    Audit,
    AuditKind,
    Event,
    ExecRefused,
    Failed,
    Meaning,
    Step,
    Succeeded,
    VersionAwaited,
    Why,
)
from overair.protocols.omadm.knowledge import Knowledge
from overair.protocols.omadm.session import Ask, Report, Sent, Session, Verb
from overair.protocols.omadm.task import Method, Profile, Server, Task
from overair.protocols.syncml.codes import StatusCode, is_success
from overair.protocols.syncml.fumo import Fumo, State

# Nothing goes on at the device: an Exec that it took has come to its end (oma-dm 8, row 13).
_SETTLED = frozenset(
    {
        State.IDLE,
        State.DOWNLOAD_FAILED,
        State.UPDATE_FAILED_HAVE_DATA,
        State.UPDATE_FAILED_NO_DATA,
        State.UPDATE_OK_HAVE_DATA,
        State.UPDATE_OK_NO_DATA,
    }
)
_DOWNLOADED = frozenset({State.DOWNLOAD_COMPLETE, State.READY_TO_UPDATE})
_BUSY = frozenset({State.DOWNLOAD_PROGRESSING, State.UPDATE_PROGRESSING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Who is speaking, what is known, what this session already did, the active attempt."""

    server: Server
    session: Session
    knowledge: Knowledge
    profile: Profile
    task: Task | None
    now: datetime
    refusal: int | None = None
    """The client is not let in: with which status."""
    open: bool = False
    """Its package is not complete."""
    aborted: bool = False
    answered: tuple[Sent, ...] = ()
    """Commands that were answered just now."""
    piece: int | None = None
    """How the last piece of a large object went, if it was not the end of it."""
    object_lost: bool = False
    package_size: int | None = None
    """How long the package is as it stands in Data; None: there is none."""

    @property
    def version(self) -> str | None:
        """The version read in this session."""
        return version_of(self.session)

    @property
    def root(self) -> str | None:
        """Where the update object is."""
        return roots.root_of(self.session, self.knowledge, self.profile)

    @property
    def state(self) -> int | None:
        """The State read in this session."""
        return None if self.root is None else state_of(self.session, self.root)


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What the reply holds beside its statuses; without anything it is the end."""

    asks: tuple[Ask, ...] = ()
    events: tuple[Event, ...] = ()
    next_message: bool = False
    """Alert 1222: go on with your package."""
    abort: bool = False
    """Alert 1223."""
    again: bool = False
    """The commands under way once more, or the same piece."""
    next_piece: bool = False
    from_start: bool = False
    """The large object under way from its first piece."""
    refuse: bool = False

    @property
    def ends(self) -> bool:
        """Tell whether the session is over with this reply."""
        return not (
            self.asks or self.next_message or self.again or self.next_piece or self.from_start
        )


END = Next()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The first row that fits, and what it says."""

    row: str
    next: Next


def decide(situation: Situation) -> Decision:
    """Return what the server does next."""
    # The last row fits whatever the others leave.
    return next(
        Decision(row=row, next=found)
        for row, says in ROWS
        if (found := says(situation)) is not None
    )


def _not_authenticated(s: Situation) -> Next | None:
    return None if s.refusal is None else Next(refuse=True)


def _package_open(s: Situation) -> Next | None:
    return Next(next_message=True) if s.open and not s.aborted else None


def _large_object(s: Situation) -> Next | None:
    outgoing = s.session.outgoing
    if outgoing is None or s.piece is None or s.aborted:
        return None
    if s.task is None or s.package_size != outgoing.size:
        # The attempt is over, or it is another one's package by now.
        return Next(abort=True)
    if s.object_lost and not outgoing.restarted:
        return Next(from_start=True)
    if is_success(s.piece) and not s.object_lost:
        return Next(next_piece=True)
    code = StatusCode.SIZE_MISMATCH if s.object_lost else s.piece
    return Next(events=(_refused(s.task, code, "the package was not taken"),))


def _we_were_refused(s: Situation) -> Next | None:
    if not s.session.refused or s.aborted:
        return None
    if s.session.tries <= s.server.our_tries and not s.session.sent:
        # Nothing was asked yet: the other rows ask it, with fresh credentials.
        return None
    of_task = {None, None if s.task is None else s.task.correlator}
    stale = any(sent.ask.correlator not in of_task for sent in s.session.sent)
    if s.session.tries <= s.server.our_tries and not stale:
        return Next(again=True)
    lost = tuple(
        ExecRefused(
            correlator=sent.ask.correlator or "",
            step=sent.ask.step,
            code=StatusCode.INVALID_CREDENTIALS,
            why=Why.REFUSED,
        )
        for sent in s.session.sent
        if sent.ask.step is not None
    )
    return Next(events=(Audit(kind=AuditKind.SERVER_REFUSED), *lost))


def _aborted(s: Situation) -> Next | None:
    return END if s.aborted or s.session.ended else None


def _exec_accepted(s: Situation) -> Next | None:
    return END if any(sent.code in EXEC_ACCEPTED for sent in _execs(s)) else None


def _exec_refused(s: Situation) -> Next | None:
    # That the attempt has failed was said when the Status came (``answers``).
    return END if any(_execs(s)) else None


def _result(s: Situation) -> Next | None:
    if not s.session.reports:
        return None
    ours = [report.meaning for report in s.session.reports if s.task and _is_of(s.task, report)]
    done = Meaning.INSTALLED in ours
    if s.task is not None and s.root is not None and Meaning.DOWNLOADED in ours and not done:
        update = Fumo(s.root).update
        if not s.session.asked(Verb.EXEC, update):
            return Next(asks=(_exec(s.task, update, Step.UPDATE),))
    if asks := _gets(s, [nodes.FIRMWARE_VERSION]):
        return Next(asks=asks)
    if s.task is not None and done:
        return Next(events=(_verdict(s, s.task),))
    if s.task is not None and Meaning.PROGRESS in ours and s.version == s.task.to_version:
        return Next(events=(Succeeded(correlator=s.task.correlator, version=s.version),))
    return END


def _nothing_to_do(s: Situation) -> Next | None:
    if s.task is not None:
        return None
    wanted = [nodes.FIRMWARE_VERSION]
    # Begun today, it is finished: also when its first answers made it today's.
    before = s.knowledge.inventory_at
    begun = s.session.asked(Verb.GET, nodes.SOFTWARE_VERSION)
    if begun or before is None or s.now - before >= s.server.inventory_every:
        wanted += [nodes.SOFTWARE_VERSION, nodes.HARDWARE_VERSION, nodes.LARGE_OBJECTS]
        wanted += roots.to_ask(s.session, s.knowledge, s.profile)
    return Next(asks=_gets(s, wanted))


def _not_yet_asked(s: Situation) -> Next | None:
    wanted = [nodes.FIRMWARE_VERSION]
    if s.task is not None and s.task.data is not None and s.knowledge.large_objects is None:
        wanted.append(nodes.LARGE_OBJECTS)
    wanted += roots.to_ask(s.session, s.knowledge, s.profile)
    asks = _gets(s, wanted)
    return Next(asks=asks) if asks else None


def _is_target(s: Situation) -> Next | None:
    task = _task(s)
    if s.version is None or s.version != task.to_version:
        return None
    return Next(events=(Succeeded(correlator=task.correlator, version=s.version),))


def _is_other_version(s: Situation) -> Next | None:
    task = _task(s)
    if s.version is None or not task.from_version or s.version == task.from_version:
        return None
    why = Why.VERSION if task.verify_until is None else Why.UNEXPECTED_VERSION
    return Next(events=(_failed(task, why, text=f"runs {s.version}"),))


def _is_being_verified(s: Situation) -> Next | None:
    task = _task(s)
    if task.verify_until is None:
        return None
    if s.version is not None and s.now >= task.verify_until:
        return Next(events=(_failed(task, Why.VERSION_UNCHANGED, text=f"runs {s.version}"),))
    return END


def _report_lost(s: Situation) -> Next | None:
    task = _task(s)
    if task.executed_at is None or s.now - task.executed_at <= s.server.exec_grace:
        return None
    if s.state not in _SETTLED:
        return None
    text = f"no report, State {s.state}"
    return Next(events=(_failed(task, Why.REPORT_LOST, code=s.state, text=text),))


def _downloaded(s: Situation) -> Next | None:
    task = _task(s)
    # An earlier attempt's download counts if it was of the same version, and nothing is under way.
    earlier = task.executed_at is None and s.knowledge.downloaded == task.to_version
    if s.root is None or s.state not in _DOWNLOADED or not (task.download_only or earlier):
        return None
    return Next(asks=(_exec(task, Fumo(s.root).update, Step.UPDATE),))


def _under_way(s: Situation) -> Next | None:
    task = _task(s)
    somebody_elses = s.state in _DOWNLOADED and s.knowledge.downloaded is None
    return END if s.state in _BUSY or task.executed_at is not None or somebody_elses else None


def _outside_window(s: Situation) -> Next | None:
    return None if _task(s).in_window else END


def _address(s: Situation) -> Next | None:
    task = _task(s)
    if s.root is None:
        text = "no firmware update object was found"
        return Next(
            events=(_failed(task, Why.NO_UPDATE_OBJECT, code=StatusCode.NOT_FOUND, text=text),)
        )
    if any(done.correlator not in {None, task.correlator} for done in s.session.done):
        # The address is that of an attempt which is over, and no command is sent twice.
        return END
    code: int = StatusCode.NOT_FOUND
    for way in _ways(s, task, s.root):
        code, ask = _set(s, task, way)
        if ask is not None:
            return Next(asks=(ask,))
        if is_success(code):
            return None
        if s.session.code(Verb.REPLACE, way.node) != StatusCode.NOT_FOUND:
            break
    return Next(events=(_refused(task, code, "the package's address was not taken"),))


def _accepted(s: Situation) -> Next | None:
    task = _task(s)
    assert s.root is not None, "row 17 ends a session without an update object"
    for way in _ways(s, task, s.root):
        if is_success(_set(s, task, way)[0]) and not s.session.asked(Verb.EXEC, way.exec):
            return Next(asks=(_exec(task, way.exec, way.step),))
    return END


# The numbers are the specification's.
ROWS: tuple[tuple[str, Callable[[Situation], Next | None]], ...] = (
    ("1", _not_authenticated),
    ("2", _package_open),
    ("3", _large_object),
    ("4", _we_were_refused),
    ("5", _aborted),
    ("6", _exec_accepted),
    ("7", _exec_refused),
    ("8", _result),
    ("9", _nothing_to_do),
    ("10", _not_yet_asked),
    ("11", _is_target),
    ("12", _is_other_version),
    ("12a", _is_being_verified),
    ("13", _report_lost),
    ("14", _downloaded),
    ("15", _under_way),
    ("16", _outside_window),
    ("17", _address),
    ("18", _accepted),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """One way for the package: what is set, and what is then executed."""

    node: str
    exec: str
    step: Step
    package: bool = False


def _ways(s: Situation, task: Task, root: str) -> Iterator[_Way]:
    """Yield the ways to try, in order; the next one where the node does not exist (oma-dm 1)."""
    fumo = Fumo(root)
    most = s.session.max_obj_size
    fits = task.data is not None and (most is None or len(task.data) <= most)
    if fits and s.knowledge.large_objects:
        yield _Way(node=fumo.update_data, exec=fumo.update, step=Step.UPDATE, package=True)
        return
    both = s.profile.method is not Method.DOWNLOAD
    if both and not (s.knowledge.download_first and s.profile.method is Method.AUTO):
        yield _Way(
            node=fumo.download_and_update_url,
            exec=fumo.download_and_update,
            step=Step.DOWNLOAD_AND_UPDATE,
        )
    if s.profile.method is not Method.DOWNLOAD_AND_UPDATE:
        yield _Way(node=fumo.download_url, exec=fumo.download, step=Step.DOWNLOAD)


def _set(s: Situation, task: Task, way: _Way) -> tuple[int, Ask | None]:
    """Return how setting a node went, or the command that is still to be sent."""
    ask = Ask(
        verb=Verb.REPLACE,
        uri=way.node,
        data=None if way.package else task.url,
        package=way.package,
        correlator=task.correlator,
    )
    code = s.session.code(Verb.REPLACE, way.node)
    if code is None:
        return 0, ask
    if code != StatusCode.NOT_FOUND or way.package:
        return code, None
    added = s.session.code(Verb.ADD, way.node)
    if added is None:
        return 0, replace(ask, verb=Verb.ADD)
    return (StatusCode.OK if added == StatusCode.ALREADY_EXISTS else added), None


def _verdict(s: Situation, task: Task) -> Event:
    """Compare the version with a report of success (oma-dm 7.5)."""
    version = s.version
    if version is None or version == task.to_version:
        return Succeeded(correlator=task.correlator, version=version)
    if task.from_version and version != task.from_version:
        return _failed(task, Why.UNEXPECTED_VERSION, text=f"runs {version}")
    if task.verify_until is not None and s.now >= task.verify_until:
        return _failed(task, Why.VERSION_UNCHANGED, text=f"runs {version}")
    return VersionAwaited(correlator=task.correlator, version=version)


def _is_of(task: Task, report: Report) -> bool:
    """Tell whether a report is about the active attempt (oma-dm 7.3)."""
    if report.correlator:
        return report.correlator == task.correlator
    return task.executed_at is not None


def _execs(s: Situation) -> Iterator[Sent]:
    return (sent for sent in s.answered if sent.ask.verb is Verb.EXEC)


def _gets(s: Situation, uris: list[str]) -> tuple[Ask, ...]:
    return tuple(Ask(verb=Verb.GET, uri=uri) for uri in uris if not s.session.asked(Verb.GET, uri))


def _exec(task: Task, uri: str, step: Step) -> Ask:
    return Ask(verb=Verb.EXEC, uri=uri, correlator=task.correlator, step=step)


def _failed(task: Task, why: Why, *, code: int | None = None, text: str = "") -> Failed:
    return Failed(correlator=task.correlator, why=why, code=code, text=text)


def _refused(task: Task, code: int, text: str) -> Failed:
    return _failed(task, why_refused(code), code=code, text=text)


def _task(s: Situation) -> Task:
    assert s.task is not None, "row 9 ends a session without an attempt"
    return s.task
