"""The door: one message of a device in two steps (oma-dm 5, 8, 11).

    request = read(body, kind, hmac_header)         # SyncmlError: HTTP 400, nothing to answer
    account, session, knowledge = ...               # by request.user, or else by request.device
    received = receive(request, ...)                # what it said
    ... received.events to the engine ...           # in order
    outcome = proceed(received, task, profile)      # what the server says; task as the engine has it now
    ... outcome.events to the engine ...
    ... keep outcome.account, .session, .knowledge; commit; then send

All in one transaction. ``receive`` may settle everything by itself (a refusal, a repeat, a session that
is forgotten): then no task is needed, and ``proceed`` takes None.

An unknown user is given ``account.decoy(...)``; keep its nonces for some minutes as well, in memory, so
that it is answered like one who exists.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from overair.protocols.omadm import account as accounts
from overair.protocols.omadm.account import Account
from overair.protocols.omadm.answers import learn
from overair.protocols.omadm.decide import Decision, Next, Situation, decide
from overair.protocols.omadm.entrance import Admitted, Entrance, Request, Settled, told_sizes
from overair.protocols.omadm.events import (
    Audit,
    AuditKind,
    Authenticated,
    Ended,
    Event,
    ExecLeaving,
    Step,
)
from overair.protocols.omadm.incoming import Heard, listen
from overair.protocols.omadm.knowledge import Knowledge
from overair.protocols.omadm.outgoing import frame, payload, write
from overair.protocols.omadm.session import Owed, Proof, Session, Verb
from overair.protocols.omadm.task import Profile, Server, Task
from overair.protocols.syncml import auth
from overair.protocols.syncml.codec import MediaType, decode
from overair.protocols.syncml.codes import StatusCode
from overair.protocols.syncml.fumo import Fumo
from overair.protocols.syncml.message import Cred, Meta
from overair.protocols.syncml.values import MalformedError

__all__ = ["Outcome", "Received", "Request", "proceed", "read", "receive"]

DEFAULT_PROFILE = Profile()
# More Statuses than this are not kept for later messages.
_MOST_OWED = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The reply, and what is to be kept before it is sent."""

    status: int = 200
    """HTTP: 200 with a body; 403 without, for one who was refused too often."""
    body: bytes = b""
    content_type: str = ""
    hmac: str | None = None
    """The header x-syncml-hmac, where it is used."""
    account: Account
    session: Session | None
    """None: there is none (any more)."""
    knowledge: Knowledge
    events: tuple[Event, ...] = ()
    row: str = ""
    """The row of the decision table, for the log."""


class Received(NamedTuple):
    """What a message said, on its way to ``proceed``. The edge needs the first two."""

    events: tuple[Event, ...]
    """For the engine, in order, before the task is asked for."""
    outcome: Outcome | None
    """The reply, where no task is needed for it."""
    request: Request
    server: Server
    account: Account
    knowledge: Knowledge
    now: datetime
    admitted: Admitted | None = None
    heard: Heard | None = None

    @property
    def settled(self) -> bool:
        """Tell whether the reply needs no task."""
        return self.outcome is not None


def read(body: bytes, kind: MediaType, hmac: str | None = None) -> Request:
    """Read a body; raise ``MalformedError`` or ``LimitError``, and nothing else."""
    header: auth.HmacHeader | None = None
    if hmac is not None:
        try:
            header = auth.read_hmac_header(hmac)
        except MalformedError:
            header = None
    message, form = decode(body, kind)
    return Request(message=message, form=form, body=body, hmac=header, hmac_given=hmac is not None)


def receive(
    request: Request,
    *,
    server: Server,
    account: Account,
    session: Session | None,
    knowledge: Knowledge,
    secure: bool,
    now: datetime,
    nonce: Callable[[], bytes],
) -> Received:
    """Understand a message of the device whose account, live session and knowledge these are.

    ``secure``: the transport keeps passwords (TLS, or loopback). ``nonce`` gives 16 random bytes.
    """
    entrance = Entrance(
        request=request,
        server=server,
        account=account,
        session=session,
        secure=secure,
        now=now,
        nonce=nonce,
    )
    admitted = entrance.enter()
    if isinstance(admitted, Settled):
        return _settle(entrance, admitted, knowledge)
    message = request.message
    current = told_sizes(admitted.session, message).but(
        seen_at=now,
        messages=admitted.session.messages + 1,
        client_msg=message.header.msg_id,
        body=request.digest,
    )
    heard = listen(current, admitted.account, message, server.max_obj_size)
    if heard.other_device:
        turned_out = entrance.turn_out(admitted, AuditKind.OTHER_DEVICE)
        return _settle(entrance, turned_out, knowledge)
    if heard.session.refused and not heard.open:
        tries = heard.session.tries + 1
        heard = heard._replace(session=heard.session.but(tries=tries))
    account = admitted.account
    if heard.server_nonce is not None:
        account = accounts.with_server_nonce(account, heard.server_nonce)
    learned = learn(knowledge, heard.answered, now)
    events = (*heard.events, *learned.events)
    if admitted.begins:
        opened = Authenticated(session_id=current.id, by_server=heard.by_server)
        events = (opened, *events)
    return Received(
        events=events,
        outcome=None,
        request=request,
        server=server,
        account=account,
        knowledge=learned.knowledge,
        now=now,
        admitted=admitted,
        heard=heard,
    )


def proceed(received: Received, task: Task | None, profile: Profile = DEFAULT_PROFILE) -> Outcome:
    """Decide and write the reply. ``task`` is the active attempt after ``received.events``."""
    if received.outcome is not None:
        return received.outcome
    heard, admitted, server = received.heard, received.admitted, received.server
    assert heard is not None, "what is not settled was listened to"
    assert admitted is not None, "what is not settled was let in"
    form = received.request.form
    package = None if task is None or task.data is None else payload(task.data, form)
    situation = Situation(
        server=server,
        session=heard.session,
        knowledge=received.knowledge,
        profile=profile,
        task=task,
        now=received.now,
        open=heard.open,
        aborted=heard.aborted,
        answered=heard.answered,
        piece=heard.piece,
        object_lost=heard.object_lost,
        package_size=None if package is None else len(package),
    )
    decision = decide(situation)
    events = decision.next.events
    if heard.session.messages >= server.session_messages and not decision.next.ends:
        # No further message is taken: whatever was to come would never be answered.
        decision = Decision(row="5.5", next=Next(abort=True))
        events = (*events, Audit(kind=AuditKind.TOO_MANY_MESSAGES))
    owed = _decided(heard.session.owed, _will_command(situation, decision))
    if len(owed) > _MOST_OWED:
        # Nobody needs so many, and they would go from message to message.
        decision = Decision(row="5.5", next=Next(abort=True))
        events = (*events, Audit(kind=AuditKind.TOO_MANY_COMMANDS))
        owed = ()
    session = heard.session.but(owed=owed)
    cred = _our_cred(received.account, session)
    header = frame(
        session,
        form=form,
        asked=received.request.message.header,
        code=admitted.code,
        address=server.address,
        msg_id=session.server_msg + 1 if session.server_msg else max(session.client_msg, 1),
        name=None if cred is None else server.name,
        cred=cred,
        chal=admitted.chal,
        meta=_our_sizes(server) if session.server_msg == 0 else None,
    )
    written = write(header, session, decision.next, tell_lost=heard.tell_lost, package=package)
    hmac = _our_mac(received.account, server, session, written.body)
    kept = written.session.but(
        reply=written.body,
        reply_type=form.media_type.value,
        reply_mac=hmac or "",
    )
    leaving = tuple(
        ExecLeaving(correlator=sent.ask.correlator or "", step=sent.ask.step)
        for sent in kept.sent
        if sent.ask.step is not None and not (decision.next.again or decision.next.next_message)
    )
    ended: tuple[Event, ...] = ()
    if kept.ended and not session.ended:
        ended = (Ended(session_id=kept.id, row=decision.row),)
    return Outcome(
        body=written.body,
        content_type=form.media_type.value,
        hmac=hmac,
        account=received.account,
        session=kept,
        knowledge=_remember(situation, leaving),
        events=(*events, *leaving, *ended),
        row=decision.row,
    )


def _settle(entrance: Entrance, settled: Settled, knowledge: Knowledge) -> Received:
    outcome = Outcome(
        status=settled.status,
        body=settled.body,
        content_type=settled.content_type,
        hmac=settled.hmac,
        account=settled.account,
        session=settled.session,
        knowledge=knowledge,
        row=settled.row,
    )
    return Received(
        events=settled.events,
        outcome=outcome,
        request=entrance.request,
        server=entrance.server,
        account=settled.account,
        knowledge=knowledge,
        now=entrance.now,
    )


def _will_command(situation: Situation, decision: Decision) -> bool:
    """Tell whether an update will be commanded in this very session, as far as one can know."""
    task = situation.task
    return (
        task is not None
        and task.in_window
        and task.executed_at is None
        and not situation.session.reports
        and not decision.next.ends
    )


def _decided(owed: tuple[Owed, ...], will_command: bool) -> tuple[Owed, ...]:
    """Answer the device's question whether there is an update (oma-dm 7.3)."""
    code = StatusCode.OK if will_command else StatusCode.ACCEPTED
    return tuple(replace(each, code=code, asked=False) if each.asked else each for each in owed)


def _our_cred(account: Account, session: Session) -> Cred | None:
    """Return our credentials: without being asked, until the client has accepted them for good."""
    if session.kind == auth.MAC or session.proof is Proof.DONE:
        return None
    return auth.md5_cred(account.server_key, _our_nonce(account, session))


def _our_mac(account: Account, server: Server, session: Session, body: bytes) -> str | None:
    if session.kind != auth.MAC:
        return None
    mac = auth.mac(account.server_key, _our_nonce(account, session), body)
    return auth.write_hmac_header(auth.HmacHeader(username=server.name, mac=mac))


def _our_nonce(account: Account, session: Session) -> bytes:
    return account.nonces.server if session.nonce is None else session.nonce


def _our_sizes(server: Server) -> Meta | None:
    if server.max_msg_size is None:
        return None
    return Meta(max_msg_size=server.max_msg_size, max_obj_size=server.max_obj_size)


def _remember(situation: Situation, leaving: tuple[ExecLeaving, ...]) -> Knowledge:
    """Keep what an Exec that leaves says of the device: its way, and what it will then have."""
    knowledge, task, root = situation.knowledge, situation.task, situation.root
    if not leaving or task is None or root is None:
        return knowledge
    step = leaving[0].step
    if step is Step.UPDATE:
        # Should it fail, what is there is not to be tried again.
        return replace(knowledge, downloaded="")
    if step is Step.DOWNLOAD_AND_UPDATE:
        return replace(knowledge, downloaded=task.to_version)
    node = Fumo(root).download_and_update_url
    absent = situation.session.code(Verb.REPLACE, node) == StatusCode.NOT_FOUND
    first = knowledge.download_first or absent
    return replace(knowledge, downloaded=task.to_version, download_first=first)
