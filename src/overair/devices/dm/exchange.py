"""One message of a device, in one transaction: from who speaks to what is kept.

    account, session, knowledge ─> receive ─ events ─> engine ─ job ─> proceed ─ events ─> engine ─> kept

The transaction may be run again, by the database or because a package that goes inside the session was
not at hand, so nothing leaves it but its value. The reply is sent after the commit; if it is lost, the
device sends its message again and gets the same reply, from whichever process it asks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from overair.config import Settings
from overair.config.omadm import OmadmModel
from overair.core.attempt import AttemptState
from overair.core.ids import DeviceId
from overair.devices.dm.accounts import Accounts
from overair.devices.dm.effects import Effects, line_of
from overair.devices.dm.rules import Models
from overair.devices.dm.stored import decode_session, encode
from overair.engine.push import Job
from overair.ids import new_bytes
from overair.protocols.omadm.events import Audit, Event, Refused
from overair.protocols.omadm.exchange import Outcome, Request, proceed, receive
from overair.protocols.omadm.session import Session
from overair.protocols.omadm.task import Method, Server, Task
from overair.store import dm_sessions
from overair.store.database import Tx

NONCE_BYTES: Final = 16
# A package that goes inside a session is held in memory, and in pieces of a few kilobytes it takes long.
MOST_DATA_BYTES: Final = 1024 * 1024
_UNDER_WAY: Final = (AttemptState.OFFERED, AttemptState.RUNNING, AttemptState.DOWNLOADED)


class DataWantedError(Exception):
    """The package has to go inside the session, and is not at hand: read it, and begin again."""

    def __init__(self, sha256: str) -> None:
        super().__init__(sha256)
        self.sha256 = sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a message comes into, beside the database."""

    settings: Settings
    accounts: Accounts
    models: Models
    server: Server
    url_of: Callable[[Job, str], str]
    """The address that a device is told to fetch, for a job and a kind of delivery."""
    secure: bool
    now: datetime
    data: tuple[str, bytes] | None = None
    """A package by its SHA-256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """The reply, and what is left to do when it is committed."""

    outcome: Outcome
    device_id: DeviceId | None = None
    imei: str = ""
    authenticated: bool = False
    wrong: bool = False
    """Credentials were given, and are not right."""
    failure: str = ""
    lines: tuple[tuple[str, dict[str, object]], ...] = ()


def handle(tx: Tx, request: Request, told: Surroundings) -> Handled:
    """Take the message, and decide and keep the reply. Raises DataWantedError."""
    speaker = told.accounts.find(tx, request)
    row = speaker.row
    session = None if row is None or row.session is None else decode_session(row.session)
    received = receive(
        request,
        server=told.server,
        account=speaker.account,
        session=session,
        knowledge=speaker.knowledge,
        secure=told.secure,
        now=told.now,
        nonce=lambda: new_bytes(NONCE_BYTES),
    )
    if row is None:
        outcome = proceed(received, None)
        told.accounts.keep(tx, speaker, outcome.account, outcome.knowledge)
        events = received.events + outcome.events
        lines = [line_of(event) for event in events if isinstance(event, Audit)]
        if speaker.problem:
            lines.append(("a device cannot have a session", {"why": speaker.problem}))
        return Handled(outcome=outcome, wrong=_is_wrong(events), lines=tuple(lines))
    effects = Effects(tx, row.device_id, told.settings, told.now)
    for event in received.events:
        effects.apply(event)
    model, profile = told.models.of(row.make, row.model)
    task = None if received.settled else _task(effects, model, told)
    outcome = proceed(received, task, profile)
    for event in outcome.events:
        effects.apply(event)
    told.accounts.keep(tx, speaker, outcome.account, outcome.knowledge)
    _keep_session(tx, row.device_id, session, outcome.session, told.now)
    return Handled(
        outcome=outcome,
        device_id=row.device_id,
        imei=row.imei,
        authenticated=effects.authenticated,
        wrong=_is_wrong(received.events + outcome.events),
        failure=effects.failure,
        lines=tuple(effects.lines),
    )


def _is_wrong(events: tuple[Event, ...]) -> bool:
    return any(isinstance(event, Refused) and event.wrong for event in events)


def _keep_session(
    tx: Tx, device_id: DeviceId, before: Session | None, after: Session | None, now: datetime
) -> None:
    if after is None:
        if before is not None:
            dm_sessions.drop(tx, device_id)
    elif after != before:
        dm_sessions.put(tx, device_id, after.id, encode(after), now)


def _task(effects: Effects, model: OmadmModel, told: Surroundings) -> Task | None:
    job = effects.job()
    if job is None or job.state not in _UNDER_WAY:
        return None
    data = None
    if model.method == Method.DATA and job.size_bytes <= MOST_DATA_BYTES:
        if told.data is None or told.data[0] != job.sha256:
            raise DataWantedError(job.sha256)
        data = told.data[1]
    return Task(
        correlator=job.correlator,
        from_version=job.from_version,
        to_version=job.to_version,
        url=told.url_of(job, model.delivery or told.settings.omadm.delivery),
        executed_at=job.executed_at,
        download_only=job.download_only,
        verify_until=job.verify_until,
        in_window=job.in_window,
        data=data,
    )
