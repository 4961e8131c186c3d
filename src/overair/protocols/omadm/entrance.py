"""Who is let in, before anything of a message is believed (oma-dm 5.5, 11.2, 14, 15).

In this order: a version that is not ours; a message of the session that the device is in, which needs
no credentials but its number; anything else, which does. A repeat of the last message gets the reply
that it got. Message 1 is never answered from memory: it begins a session, and needs a nonce that is not
spent. What is not let in changes nothing but nonces that are given out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from overair.protocols.omadm import account as accounts
from overair.protocols.omadm.account import Account
from overair.protocols.omadm.device_id import is_of
from overair.protocols.omadm.events import Audit, AuditKind, Event, Refused
from overair.protocols.omadm.outgoing import frame, write_bare
from overair.protocols.omadm.session import Owed, Session
from overair.protocols.omadm.task import Server
from overair.protocols.syncml import auth
from overair.protocols.syncml.auth import HmacHeader
from overair.protocols.syncml.codec import Form
from overair.protocols.syncml.codes import (
    DEFAULT_MAX_MSG_SIZE,
    VER_DTD,
    VER_PROTO,
    VER_PROTO_1_3,
    StatusCode,
)
from overair.protocols.syncml.message import Chal, Message, Results, Status, command_name

_FORBIDDEN = 403
_FIRST = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A message that could be read. Nothing of it is believed yet."""

    message: Message
    form: Form
    body: bytes
    hmac: HmacHeader | None
    hmac_given: bool
    """There was a header; without ``hmac`` it could not be read, which is as good as wrong."""

    @property
    def user(self) -> str | None:
        """Who it says it is; look its account up by this first."""
        return self.hmac.username if self.hmac is not None else self.message.header.source.name

    @property
    def device(self) -> str:
        """The device that it says it is: look the account up by this if it gives no user."""
        return self.message.header.source.uri

    @property
    def gives_credentials(self) -> bool:
        """Tell whether it tries to show who it is; within a session it need not."""
        return self.hmac_given or self.message.header.cred is not None

    @property
    def session_id(self) -> str:
        """The session that it belongs to."""
        return self.message.header.session_id

    @property
    def digest(self) -> str:
        """What tells a repeat from a message that only has the same number."""
        return sha256(self.body).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A reply that needs no task."""

    status: int = 200
    body: bytes = b""
    content_type: str = ""
    hmac: str | None = None
    account: Account
    session: Session | None
    events: tuple[Event, ...] = ()
    row: str = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """One who may speak: in a session that goes on, or in a new one."""

    account: Account
    session: Session
    begins: bool
    code: int
    """The Status that the message as a whole gets."""
    chal: Chal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """What is there when a message comes."""

    request: Request
    server: Server
    account: Account
    session: Session | None
    secure: bool
    now: datetime
    nonce: Callable[[], bytes]

    def enter(self) -> Admitted | Settled:
        """Let a message in, or answer it here."""
        header = self.request.message.header
        if header.ver_dtd != VER_DTD:
            return self._settle(StatusCode.DTD_VERSION, AuditKind.VERSION, bare=True)
        if header.ver_proto not in {VER_PROTO, VER_PROTO_1_3}:
            return self._settle(StatusCode.PROTOCOL_VERSION, AuditKind.VERSION, bare=True)
        session = self._of_message()
        return self._begin() if session is None else self._go_on(session)

    @property
    def live(self) -> Session | None:
        """The session that the device is in; one that has been idle for too long is forgotten."""
        session = self.session
        if session is None or self.now - session.seen_at > self.server.session_idle:
            return None
        return session

    def _of_message(self) -> Session | None:
        """Return the session that the message goes on with."""
        session, header = self.live, self.request.message.header
        if session is None or session.id != header.session_id or header.msg_id == _FIRST:
            return None
        return None if self._comes_again(session) else session

    def _comes_again(self, session: Session) -> bool:
        """Tell whether it is of a later session that says the same SessionID.

        Its message 1 was refused, so the session before is still there, and this is its package 1 once
        more: a client that always says 1 and has to be asked for credentials (oma-dm 5.5, 19).
        """
        request, header = self.request, self.request.message.header
        is_behind = session.ended or header.msg_id <= session.client_msg
        answers = any(isinstance(command, Status) for command in request.message.commands)
        if (answers and not is_behind) or request.digest == session.body:
            return False
        if not accounts.was_refused(self.account, header.session_id, self.now):
            return False
        return self._is_right_mac() if request.hmac_given else self._is_right()

    def _go_on(self, session: Session) -> Admitted | Settled:
        request, header = self.request, self.request.message.header
        if header.msg_id == session.client_msg and request.digest == session.body:
            return Settled(
                body=session.reply,
                content_type=session.reply_type,
                hmac=session.reply_mac or None,
                account=self.account,
                session=session,
                row="5.5",
            )
        if not is_of(self.account.device, header.source.uri):
            return self._settle(StatusCode.FORBIDDEN, AuditKind.OTHER_DEVICE)
        if session.messages >= self.server.session_messages:
            return self._settle(
                StatusCode.TIMEOUT, AuditKind.TOO_MANY_MESSAGES, bare=True, forget=True
            )
        if session.kind == auth.MAC:
            if self._is_struck_out():
                return self._shut()
            if not self._is_right_mac():
                return self._refuse(wrong=request.gives_credentials)
        if self.account.blocked:
            return self._settle(StatusCode.FORBIDDEN, AuditKind.BLOCKED, forget=True)
        if header.msg_id <= session.client_msg:
            return self._settle(
                StatusCode.BAD_REQUEST, AuditKind.OUT_OF_ORDER, abort=True, bare=True
            )
        if session.kind == auth.MAC or self._is_right():
            # Credentials that nobody asked for: if they are right their nonce is spent.
            return self._admit(session, session.kind, begins=False)
        return Admitted(
            account=self.account, session=session, begins=False, code=StatusCode.AUTHENTICATED
        )

    def _begin(self) -> Admitted | Settled:
        request, header, account = self.request, self.request.message.header, self.account
        starts = header.msg_id == _FIRST
        known = accounts.was_refused(account, header.session_id, self.now)
        given = request.gives_credentials
        if not starts and not given and not known:
            return self._settle(StatusCode.TIMEOUT, AuditKind.UNKNOWN_SESSION, bare=True)
        if not starts and self._is_struck_out():
            return self._shut()
        if request.hmac_given:
            kind = auth.MAC if self._is_right_mac() else ""
        else:
            kind = self._cred_kind() if self._is_right() else ""
        if not kind:
            return self._refuse(wrong=given)
        session = Session(
            id=header.session_id,
            kind=kind,
            seen_at=self.now,
        )
        admitted = self._admit(session, kind, begins=True)
        if not is_of(account.device, header.source.uri):
            return self.turn_out(admitted, AuditKind.OTHER_DEVICE)
        if account.blocked:
            return self.turn_out(admitted, AuditKind.BLOCKED)
        return admitted

    def _admit(self, session: Session, kind: str, *, begins: bool) -> Admitted:
        fresh = self.nonce()
        return Admitted(
            account=accounts.accept(self.account, fresh),
            session=session,
            begins=begins,
            # With a MAC every message is vouched for by itself (oma-dm 11.4).
            code=StatusCode.OK if kind == auth.MAC else StatusCode.AUTHENTICATED,
            chal=None if kind == auth.BASIC else auth.challenge(kind, fresh),
        )

    def turn_out(self, admitted: Admitted, why: AuditKind) -> Settled:
        """Answer one with right credentials who may not speak all the same; nothing is kept."""
        kept = self.live if admitted.begins else None
        settled = self._settle(StatusCode.FORBIDDEN, why, chal=admitted.chal)
        return replace(settled, account=admitted.account, session=kept)

    def _is_struck_out(self) -> bool:
        session_id = self.request.session_id
        return accounts.strikes(self.account, session_id, self.now) >= self.server.strikes

    def _shut(self) -> Settled:
        return Settled(
            status=_FORBIDDEN,
            account=self.account,
            session=self.live,
            events=(Audit(kind=AuditKind.TOO_MANY_REFUSALS),),
        )

    def _refuse(self, *, wrong: bool) -> Settled:
        code = StatusCode.INVALID_CREDENTIALS if wrong else StatusCode.MISSING_CREDENTIALS
        header = self.request.message.header
        account, nonce = accounts.refuse(
            self.account,
            self.server,
            session_id=header.session_id,
            starts=header.msg_id == _FIRST,
            wrong=wrong,
            now=self.now,
            fresh=self.nonce,
        )
        kind = accounts.demanded(account, secure=self.secure)
        settled = self._settle(
            code,
            AuditKind.WRONG_CREDENTIALS if wrong else None,
            chal=auth.challenge(kind, None if kind == auth.BASIC else nonce),
        )
        refused = Refused(code=code, wrong=wrong)
        return replace(settled, account=account, events=(refused, *settled.events))

    def _settle(
        self,
        code: StatusCode,
        why: AuditKind | None,
        *,
        chal: Chal | None = None,
        bare: bool = False,
        abort: bool = False,
        forget: bool = False,
    ) -> Settled:
        """Answer with one code throughout: the header and, unless it is bare, every command."""
        message = self.request.message
        header, session, mine = message.header, self.live, self._of_message()
        reply = frame(
            told_sizes(Session(id=header.session_id, kind="", seen_at=self.now), message),
            form=self.request.form,
            asked=header,
            code=code,
            address=self.server.address,
            # Outside of a session a reply has the number of what it answers.
            msg_id=max(header.msg_id, _FIRST) if mine is None else mine.server_msg + 1,
            chal=chal,
        )
        if abort and session is not None:
            session = session.but(ended=True)
        owed = () if bare else _same_for_all(message, code)
        return Settled(
            body=write_bare(reply, owed, abort=abort),
            content_type=self.request.form.media_type.value,
            account=self.account,
            session=None if forget else session,
            events=() if why is None else (Audit(kind=why, text=f"answered {code:d}"),),
            row="5.5" if bare else "1",
        )

    def _is_right(self) -> bool:
        header = self.request.message.header
        return header.cred is not None and accounts.is_right(
            self.account,
            header.cred,
            user=header.source.name,
            session_id=header.session_id,
            secure=self.secure,
            now=self.now,
        )

    def _is_right_mac(self) -> bool:
        request = self.request
        return request.hmac is not None and accounts.is_right_mac(
            self.account,
            request.hmac,
            body=request.body,
            session_id=request.session_id,
            now=self.now,
        )

    def _cred_kind(self) -> str:
        cred = self.request.message.header.cred
        kind = "" if cred is None or cred.meta is None else cred.meta.type or ""
        return auth.BASIC if kind.lower() == auth.BASIC.lower() else auth.MD5


def told_sizes(session: Session, message: Message) -> Session:
    """Take what the client says of the sizes that it manages; it may say so in every message."""
    meta = message.header.meta
    if meta is None:
        return session
    return session.but(
        max_msg_size=meta.max_msg_size or session.max_msg_size or DEFAULT_MAX_MSG_SIZE,
        max_obj_size=session.max_obj_size if meta.max_obj_size is None else meta.max_obj_size,
    )


def _same_for_all(message: Message, code: int) -> tuple[Owed, ...]:
    return tuple(
        Owed(
            msg=str(message.header.msg_id),
            cmd=command.cmd_id,
            name=command_name(command),
            code=code,
        )
        for command in message.commands
        if not isinstance(command, Status | Results) and not command.no_resp
    )
