"""What a client's message says: its answers to our commands, and what it brings by itself (oma-dm 5).

The message is of a client that was let in. Read is leniently, because clients are (oma-dm 19): any order,
a Status of the header by its name alone, Results by the node that they are about, duplicate ids.

Three rules decide what counts. Every command of the client gets exactly one Status. Statuses and Results
of a client that did not believe our credentials do not exist. And a command of ours that has no Status
when the client's package is complete has failed with 500.

Not in here: what the answers mean (``answers``), and what follows (``decide``).
"""

from dataclasses import replace
from typing import NamedTuple, assert_never

from overair.protocols.omadm import nodes, reports
from overair.protocols.omadm.account import Account
from overair.protocols.omadm.device_id import is_of
from overair.protocols.omadm.events import (
    Audit,
    AuditKind,
    DevInfoRead,
    Event,
    UpdateAskedFor,
)
from overair.protocols.omadm.objects import Joiner
from overair.protocols.omadm.session import Done, Owed, Proof, Report, Sent, Session, Verb
from overair.protocols.syncml import auth
from overair.protocols.syncml.codes import HEADER_REF, SYNC_HDR, AlertCode, StatusCode, is_success
from overair.protocols.syncml.fumo import AlertType
from overair.protocols.syncml.message import (
    Add,
    Alert,
    Atomic,
    Copy,
    Delete,
    Exec,
    Get,
    Item,
    Location,
    Message,
    Replace,
    Results,
    Sequence,
    Status,
    Unsupported,
    command_name,
)

# What only a server may send (oma-dm 5.1).
_Other = Add | Atomic | Copy | Delete | Exec | Get | Sequence | Unsupported

# What a session keeps of one value: a version, a State, the names of some nodes.
_MOST_KEPT = 4096
# What a session keeps of reports; the engine has had all of them.
_MOST_REPORTS = 8
_ALERTS = {
    AlertCode.SERVER_INITIATED,
    AlertCode.CLIENT_INITIATED,
    AlertCode.NEXT_MESSAGE,
    AlertCode.SESSION_ABORT,
    AlertCode.CLIENT_EVENT,
    AlertCode.NO_END_OF_DATA,
}
_LEAVES = {
    "DevId": "device_id",
    "Man": "make",
    "Mod": "model",
    "DmV": "dm_version",
    "Lang": "language",
}


class Heard(NamedTuple):
    """A message, understood. A tuple, because every message makes two."""

    session: Session
    server_nonce: bytes | None = None
    """What the account's server nonce becomes; None: it stays."""
    events: tuple[Event, ...] = ()
    answered: tuple[Sent, ...] = ()
    """Our commands that this message answered, all at once when the client's package is complete."""
    piece: int | None = None
    """The Status of the piece of our object that went out last."""
    open: bool = False
    """More of the client's package, or of its object, is to come: nothing new goes out."""
    by_server: bool = False
    aborted: bool = False
    object_lost: bool = False
    """The client has lost our object (Alert 1225)."""
    tell_lost: bool = False
    """We have lost the client's."""
    other_device: bool = False


class _Listener:
    """Gathers what the commands of one message say."""

    def __init__(self, session: Session, account: Account, most: int) -> None:
        self.account = account
        self.joiner = Joiner(session.incoming, most)
        self.sent = list(session.sent)
        self.owed: list[Owed] = []
        self.events: list[Event] = []
        self.reports: list[Report] = []
        self.info: dict[str, str] = {}
        self.alerts: set[int] = set()
        self.other_device = False
        self.believed = not session.refused

    def hear(self, msg_id: int, command: Status | Results | Alert | Replace) -> None:
        """Take one command of those that a client may send."""
        match command:
            case Status():
                self._status(command)
            case Results():
                self._results(msg_id, command)
            case Alert():
                self._owe(msg_id, command, *self._alert(command))
            case Replace():
                self._owe(msg_id, command, self._replace(command))
            case _:
                assert_never(command)

    def refuse(self, msg_id: int, command: _Other) -> None:
        """Answer a command that only a server may send."""
        known = not isinstance(command, Unsupported)
        self._owe(msg_id, command, StatusCode.NOT_ALLOWED if known else StatusCode.NOT_SUPPORTED)

    def _owe(
        self,
        msg_id: int,
        command: Results | Alert | Replace | _Other,
        code: int,
        asked: bool = False,
    ) -> None:
        if not isinstance(command, Results) and command.no_resp:
            return
        cmd_id = command.cmd_id if nodes.is_name(command.cmd_id) else ""
        if not cmd_id:
            code, asked = StatusCode.INCOMPLETE_COMMAND, False
        name = command_name(command)
        self.owed.append(Owed(msg=str(msg_id), cmd=cmd_id, name=name, code=code, asked=asked))

    def _status(self, status: Status) -> None:
        for at, sent in enumerate(self.sent):
            if (
                sent.code is None
                and status.cmd_ref == sent.cmd
                and status.msg_ref in {"", str(sent.msg)}
                and status.cmd != SYNC_HDR
            ):
                self.sent[at] = _answered(sent, status.code, sent.value)
                return

    def _results(self, msg_id: int, results: Results) -> None:
        refused: int | None = None
        for item in results.items:
            if not nodes.node_of(item):
                # One node asked, one value: some name it only in the command.
                item = _named(item, results)
            taken = self.joiner.take(
                f"Results {results.msg_ref} {results.cmd_ref}", results.meta, item
            )
            if isinstance(taken, Item):
                self._value(results, taken)
            else:
                refused = refused or taken
        if refused is not None:
            # Results that are well get no Status (oma-dm 5.2).
            self._owe(msg_id, results, refused)
            self._audit(refused, "Results")

    def _value(self, results: Results, item: Item) -> None:
        gets = [at for at, sent in enumerate(self.sent) if sent.ask.verb is Verb.GET]
        named = [at for at in gets if nodes.same_node(self.sent[at].ask.uri, nodes.node_of(item))]
        if not named:
            named = [
                at
                for at in gets
                if (results.msg_ref, results.cmd_ref) == (str(self.sent[at].msg), self.sent[at].cmd)
            ]
        # Of values for the same node the first counts.
        for at in (at for at in named[:1] if self.sent[at].value is None):
            value = nodes.text_of(item.data)[:_MOST_KEPT]
            self.sent[at] = _answered(self.sent[at], self.sent[at].code, value)

    def _alert(self, alert: Alert) -> tuple[int, bool]:
        self.alerts.add(alert.code)
        items: list[Item] = []
        for item in alert.items:
            taken = self.joiner.take("Alert", None, item)
            if not isinstance(taken, Item):
                self._audit(taken, "Alert")
                return taken, False
            items.append(taken)
        if alert.code == AlertCode.GENERIC:
            return self._generic(alert, items)
        if alert.code == 0:
            return StatusCode.INCOMPLETE_COMMAND, False
        known = alert.code in _ALERTS
        return (StatusCode.OK if known else StatusCode.OPTIONAL_FEATURE_MISSING), False

    def _generic(self, alert: Alert, items: list[Item]) -> tuple[int, bool]:
        if not items:
            return StatusCode.INCOMPLETE_COMMAND, False
        read = reports.read_items(alert.correlator or "", items)
        self.events += read.reported
        self.reports += read.reports
        self.events += (
            UpdateAskedFor(by_user=kind is AlertType.USER_REQUEST) for kind in read.requests
        )
        return StatusCode.OK, bool(read.requests)

    def _replace(self, command: Replace) -> int:
        code: int = StatusCode.OK if command.items else StatusCode.INCOMPLETE_COMMAND
        if command.items and not any(
            nodes.is_below(nodes.DEV_INFO, nodes.node_of(item)) for item in command.items
        ):
            return StatusCode.NOT_ALLOWED
        for item in command.items:
            taken = self.joiner.take("Replace", command.meta, item)
            if isinstance(taken, Item):
                self._dev_info(taken)
            else:
                self._audit(taken, "Replace")
                code = taken
        return code

    def _dev_info(self, item: Item) -> None:
        leaf = nodes.leaf_below(nodes.DEV_INFO, nodes.node_of(item))
        value = nodes.short_text(item.data)
        if leaf not in _LEAVES or value is None:
            return
        self.info[_LEAVES[leaf]] = value
        if leaf == "DevId":
            self.other_device |= not is_of(self.account.device, value)

    def _audit(self, code: int, what: str) -> None:
        kinds = {
            StatusCode.OBJECT_TOO_BIG: AuditKind.OBJECT_TOO_BIG,
            StatusCode.SIZE_MISMATCH: AuditKind.SIZE_MISMATCH,
        }
        for known, kind in kinds.items():
            if code == known:
                self.events.append(Audit(kind=kind, text=what))


def listen(session: Session, account: Account, message: Message, most: int) -> Heard:
    """Understand a message; ``most`` is the size of the largest object that is taken."""
    session, server_nonce = _believe(session, account, message)
    listener = _Listener(session, account, most)
    for command in message.commands:
        if isinstance(command, Status | Results | Alert | Replace):
            if listener.believed or not isinstance(command, Status | Results):
                listener.hear(message.header.msg_id, command)
        else:
            listener.refuse(message.header.msg_id, command)
    listener.joiner.finish()
    if listener.info:
        listener.events.append(DevInfoRead(**listener.info))
    next_wanted = AlertCode.NEXT_MESSAGE in listener.alerts
    unfinished = not message.final and not session.more and not next_wanted
    waits = unfinished or listener.joiner.open is not None
    session = session.but(
        sent=tuple(listener.sent),
        owed=(*session.owed, *listener.owed),
        reports=(*session.reports, *listener.reports)[-_MOST_REPORTS:],
        incoming=listener.joiner.open,
    )
    heard = Heard(
        session=session,
        server_nonce=server_nonce,
        events=tuple(listener.events),
        open=waits,
        by_server=AlertCode.SERVER_INITIATED in listener.alerts,
        aborted=AlertCode.SESSION_ABORT in listener.alerts,
        object_lost=AlertCode.NO_END_OF_DATA in listener.alerts,
        tell_lost=listener.joiner.lost,
        other_device=listener.other_device,
    )
    if (waits and not heard.aborted) or session.refused:
        return heard
    return _complete(heard, next_wanted=next_wanted)


def _complete(heard: Heard, *, next_wanted: bool) -> Heard:
    """Take the commands under way as answered: the client's package has ended."""
    session = heard.session
    answered = tuple(
        sent if sent.code is not None else _answered(sent, StatusCode.COMMAND_FAILED, sent.value)
        for sent in session.sent
    )
    piece: int | None = None
    if session.outgoing is not None and session.outgoing.end < session.outgoing.size:
        # The one command under way is a piece, and not the last one: the object's Status comes then.
        # No Status, but the wish for the next message, says that it went well too (oma-dm 5.3).
        silent = StatusCode.CHUNK_ACCEPTED if next_wanted else StatusCode.COMMAND_FAILED
        codes = [sent.code for sent in session.sent]
        # Where there was no room for it yet, nothing was sent.
        piece, answered = (codes[0] or silent) if codes else StatusCode.CHUNK_ACCEPTED, ()
    done = tuple(
        Done(
            verb=sent.ask.verb,
            uri=sent.ask.uri,
            code=sent.code or StatusCode.COMMAND_FAILED,
            value=sent.value,
            correlator=sent.ask.correlator,
        )
        for sent in answered
    )
    outgoing = session.outgoing if piece is not None else None
    session = session.but(sent=(), done=(*session.done, *done), outgoing=outgoing)
    return heard._replace(session=session, answered=answered, piece=piece)


def _answered(sent: Sent, code: int | None, value: str | None) -> Sent:
    return Sent(msg=sent.msg, cmd=sent.cmd, ask=sent.ask, code=code, value=value)


def _believe(session: Session, account: Account, message: Message) -> tuple[Session, bytes | None]:
    """Read how the client took our last message as a whole (oma-dm 11.3)."""
    if session.server_msg == 0:
        return session, None
    status = next((c for c in message.commands if isinstance(c, Status) and _of(session, c)), None)
    code = 0 if status is None else status.code
    given: bytes | None = None
    if status is not None and status.chal is not None and status.chal.meta.next_nonce is not None:
        given = auth.decode_nonce(status.chal.meta.next_nonce)
    if is_success(code):
        challenged = status is not None and status.chal is not None
        each = code != StatusCode.AUTHENTICATED and (challenged or session.kind == auth.MAC)
        # Once it has been accepted, the nonce of this session is the account's.
        kept = given if given is not None else session.nonce
        proof = Proof.EACH if each else Proof.DONE
        return session.but(proof=proof, nonce=None), kept
    asked_again = code in {StatusCode.INVALID_CREDENTIALS, StatusCode.MISSING_CREDENTIALS}
    if session.proof is Proof.DONE and not asked_again:
        return session, None
    return (
        session.but(
            proof=Proof.OPEN,
            refused=True,
            nonce=given if given is not None else session.nonce,
        ),
        None,
    )


def _of(session: Session, status: Status) -> bool:
    about_header = status.cmd == SYNC_HDR or (status.cmd == "" and status.cmd_ref == HEADER_REF)
    return about_header and status.msg_ref in {"", str(session.server_msg)}


def _named(item: Item, results: Results) -> Item:
    uri = results.source_ref or results.target_ref
    return item if uri is None else replace(item, source=Location(uri=uri))
