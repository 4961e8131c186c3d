"""One OMA-DM session from the device's side: bytes in, bytes out (oma-dm 5, 11).

``open`` gives the first message; each answer goes to ``receive``, which gives the next one, or None at
the end. The server's commands are carried out only once it has proved itself; the nonces that its
answers bring are kept in the account's ``Nonces``.

What became of it stands in ``problem`` ("" is good), ``reported`` (the alerts that the server has taken)
and ``authenticated``. Not in here: HTTP, retries, what a command does (``commands``), how a package is
cut into messages (``outbox``).
"""

from collections.abc import Callable, Sequence

from overair.protocols.syncml import auth, codec
from overair.protocols.syncml.codes import (
    HEADER_REF,
    SYNC_HDR,
    AlertCode,
    StatusCode,
    is_success,
)
from overair.protocols.syncml.message import (
    Alert,
    Chal,
    Command,
    Header,
    Location,
    Message,
    Meta,
    Results,
    Status,
    command_name,
)
from overair.protocols.syncml.values import SyncmlError
from overair.sim.omadm.account import (
    Account,
    Nonces,
    is_server,
    is_server_mac,
    mac_header,
    own_cred,
)
from overair.sim.omadm.commands import Desk, dev_info
from overair.sim.omadm.manners import Manners, Oddity
from overair.sim.omadm.outbox import Outbox
from overair.sim.omadm.tree import Tree

_REFUSED = (StatusCode.INVALID_CREDENTIALS, StatusCode.MISSING_CREDENTIALS)
# Package 1 is sent so often at most, and the server may prove itself so often in vain.
_TRIES = 3

# Tells whether the server has proved itself over one of these nonces.
_Proof = Callable[[tuple[bytes, ...]], bool]


class Session:
    """One session. ``over_zero`` is for one that a notification over the zero nonce began."""

    def __init__(
        self,
        session_id: str,
        account: Account,
        nonces: Nonces,
        tree: Tree,
        manners: Manners,
        *,
        new_nonce: Callable[[], bytes],
        over_zero: bool = False,
        agrees: bool = True,
    ) -> None:
        self.id = session_id
        self.problem = ""
        self.authenticated = False
        # One side did not accept the other, or the server ended it before its time.
        self.is_refused = False
        self.is_aborted = False
        self.reported: list[Alert] = []
        # Headers of the message that was given last.
        self.headers: tuple[tuple[str, str], ...] = ()
        self._account = account
        self._nonces = nonces
        self._manners = manners
        self._new_nonce = new_nonce
        self._desk = Desk(tree, manners, agrees=agrees)
        self._outbox = Outbox(manners)
        self._package: tuple[Command, ...] = ()
        self._alerts: dict[tuple[str, str], Alert] = {}
        self._kind = account.kind
        self._client_nonce = auth.ZERO_NONCE if over_zero else nonces.client
        self._shows_cred = not manners.has(Oddity.NO_CRED_FIRST)
        # Good for the whole session: no more credentials, in this direction or the other.
        self._is_known = False
        self._knows_server = False
        self._challenge: bytes | None = None
        self._sent = 0
        self._heard = 0
        self._tries = 1
        self._refusals = 0
        self._is_over = False

    def open(self, reports: Sequence[Alert] = (), *, by_server: bool) -> bytes:
        """Return package 1; the reports are generic alerts."""
        code = AlertCode.SERVER_INITIATED if by_server else AlertCode.CLIENT_INITIATED
        start: list[Command] = [
            Alert(cmd_id="", code=code),
            dev_info(self._desk.tree, self._manners),
        ]
        if self._manners.has(Oddity.DEVINFO_FIRST):
            start.reverse()
        if self._manners.has(Oddity.ALERTS_FIRST):
            self._package = (*reports, *start)
        else:
            self._package = (*start, *reports)
        self._outbox.fill(self._package)
        return self._send(())

    def receive(self, body: bytes, mac: str = "") -> bytes | None:
        """Take an answer, with its HMAC if it has one; return the next message, or None at the end."""
        if self._is_over:
            return None
        try:
            message, _ = codec.decode(body, self._manners.form.media_type)
        except SyncmlError as error:
            return self._fail(f"the answer cannot be read: {error}")
        header = message.header
        if header.session_id != self.id:
            return self._fail("the answer is of another session")
        if header.target.uri != self._account.device_id:
            return self._fail("the answer is for another device")
        if header.msg_id <= self._heard:
            return self._fail(f"message {header.msg_id} came after message {self._heard}")
        self._heard = header.msg_id
        if header.meta is not None and header.meta.max_msg_size is not None:
            self._outbox.limit = header.meta.max_msg_size
        return self._hear(message, lambda nonces: self._is_server(message, body, mac, nonces))

    def give_up(self, why: str) -> None:
        """The carrier could not deliver."""
        self._fail(why)

    # --- who they are --------------------------------------------------------------------------

    def _hear(self, message: Message, is_server: _Proof) -> bytes | None:
        answer = next(
            (c for c in message.commands if isinstance(c, Status) and _of_header(c)), None
        )
        if answer is None:
            return self._fail("the message was not answered")
        if answer.code in _REFUSED:
            return self._show_again(answer)
        if not is_success(answer.code):
            self.is_refused = True
            return self._fail(f"refused with {answer.code}")
        self.authenticated = True
        self._is_known = answer.code == StatusCode.AUTHENTICATED
        nonce = _next_nonce(answer.chal)
        if nonce is not None:
            self._nonces.client = self._client_nonce = nonce
        self._nonces.arrived()
        self._hear_statuses(message.commands)
        code, chal = self._judge(message.header, is_server)
        if code in _REFUSED or code == 0:
            self._refusals += 1
            if self._refusals == _TRIES:
                self.is_refused = True
                return self._fail("the server could not prove itself")
            return self._refuse(message, code, chal)
        return self._obey(message, code, chal)

    def _show_again(self, answer: Status) -> bytes | None:
        """Package 1 once more, over the nonce that the refusal brought."""
        chal = answer.chal
        nonce = _next_nonce(chal)
        if chal is not None and chal.meta.type in (auth.BASIC, auth.MAC, auth.MD5):
            self._kind = chal.meta.type
        # A password needs no nonce.
        answerable = nonce is not None or (chal is not None and self._kind == auth.BASIC)
        if self.authenticated or self._tries == _TRIES or not answerable:
            self.is_refused = True
            return self._fail(f"refused with {answer.code}")
        self._tries += 1
        self._client_nonce = self._client_nonce if nonce is None else nonce
        self._shows_cred = True
        if self._manners.has(Oddity.RESTARTS_MSG_ID):
            self._sent = self._heard = 0
        self._outbox.fill(self._package)
        return self._send(())

    def _is_server(
        self, message: Message, body: bytes, mac: str, nonces: tuple[bytes, ...]
    ) -> bool:
        if self._kind == auth.MAC:
            return is_server_mac(self._account, body, mac, nonces)
        return is_server(self._account, message.header, nonces)

    def _judge(self, header: Header, is_server: _Proof) -> tuple[int, Chal | None]:
        """Return how the server's message is to be answered as a whole."""
        manners = self._manners
        by_mac = self._kind == auth.MAC
        # Every message has an HMAC of its own, over a nonce of its own (oma-dm 11.4).
        always = by_mac or manners.has(Oddity.CHALLENGES_ALWAYS)
        kind = auth.MAC if by_mac else auth.MD5
        again = header.cred is not None and manners.has(Oddity.STRICT)
        if self._knows_server and not always and not again:
            return StatusCode.AUTHENTICATED, None
        nonces = self._nonces.of_server()
        if self._challenge is not None:
            nonces = (self._challenge, *nonces)
        if is_server(nonces):
            self._knows_server = True
            self._challenge = None
            if manners.has(Oddity.NEVER_CHALLENGES):
                return StatusCode.AUTHENTICATED, None
            nonce = b"" if manners.has(Oddity.EMPTY_NONCE) else self._new_nonce()
            self._nonces.offer(nonce)
            code = StatusCode.OK if always else StatusCode.AUTHENTICATED
            return code, auth.challenge(kind, nonce)
        if manners.has(Oddity.NEVER_CHALLENGES):
            return 0, None
        # Good for this session only: a stranger must not take from us the one that the server has.
        self._challenge = self._new_nonce()
        missing = (header.cred is None and not by_mac) or manners.has(Oddity.SAYS_407)
        code = StatusCode.MISSING_CREDENTIALS if missing else StatusCode.INVALID_CREDENTIALS
        return code, auth.challenge(kind, self._challenge)

    # --- what they want ------------------------------------------------------------------------

    def _hear_statuses(self, commands: tuple[Command, ...]) -> None:
        for status in commands:
            if isinstance(status, Status):
                alert = self._alerts.pop((status.msg_ref, status.cmd_ref), None)
                if alert is not None and is_success(status.code):
                    self.reported.append(alert)

    def _refuse(self, message: Message, code: int, chal: Chal | None) -> bytes | None:
        statuses = [
            self._header_status(message.header, code, chal),
            *(
                _status(message.header, command, code)
                for command in message.commands
                if not isinstance(command, Status | Results)
            ),
        ]
        return self._send(statuses)

    def _obey(self, message: Message, code: int, chal: Chal | None) -> bytes | None:
        self._desk.begin(message.header)
        for command in message.commands:
            if not isinstance(command, Status | Results):
                self._desk.take(command)
        done = self._desk.end(is_final=message.final)
        if done.is_aborted:
            self._is_over = True
            self.is_aborted = True
            self.problem = "ended by the server"
            if self._manners.has(Oddity.SILENT_AFTER_ABORT):
                return None
            self._outbox.clear()
        elif not done.statuses and not self._outbox.is_open and message.final:
            # Nothing but answers: that is how the server ends a session (oma-dm 5.1).
            return None
        self._outbox.add(done.results)
        return self._send([self._header_status(message.header, code, chal), *done.statuses])

    # --- what is said --------------------------------------------------------------------------

    def _header_status(self, header: Header, code: int, chal: Chal | None) -> Status:
        return Status(
            cmd_id="",
            msg_ref=str(header.msg_id),
            cmd_ref=HEADER_REF,
            cmd=SYNC_HDR,
            target_refs=(header.target.uri,),
            source_refs=(header.source.uri,),
            chal=chal,
            code=code,
        )

    def _send(self, statuses: Sequence[Command]) -> bytes:
        self._sent += 1
        message = self._outbox.message(self._header(), statuses)
        for command in message.commands:
            if isinstance(command, Alert) and command.code == AlertCode.GENERIC:
                self._alerts[str(self._sent), command.cmd_id] = command
        body = codec.encode(message, self._manners.form)
        if self._kind == auth.MAC:
            self.headers = (mac_header(self._account, self._client_nonce, body),)
        return body

    def _header(self) -> Header:
        account = self._account
        shown = not self._is_known and self._shows_cred
        cred = own_cred(account, self._kind, self._client_nonce) if shown else None
        name = None if cred is None else account.client_name
        size = self._manners.max_msg_size
        objects = self._manners.max_obj_size
        # Said once; it holds for the session.
        says_size = not self.authenticated and (size, objects) != (None, None)
        return Header(
            session_id=self.id,
            msg_id=self._sent,
            target=Location(uri=account.url),
            source=Location(
                uri=account.device_id,
                name=None if self._manners.has(Oddity.NO_LOC_NAME) else name,
            ),
            cred=cred,
            meta=Meta(max_msg_size=size, max_obj_size=objects) if says_size else None,
        )

    def _fail(self, why: str) -> bytes | None:
        self._is_over = True
        self.problem = self.problem or why
        return None


def _of_header(status: Status) -> bool:
    return status.cmd == SYNC_HDR or status.cmd_ref == HEADER_REF


def _status(header: Header, command: Command, code: int) -> Status:
    return Status(
        cmd_id="",
        msg_ref=str(header.msg_id),
        cmd_ref=command.cmd_id,
        cmd=command_name(command),
        code=code,
    )


def _next_nonce(chal: Chal | None) -> bytes | None:
    if chal is None or chal.meta.next_nonce is None:
        return None
    return auth.decode_nonce(chal.meta.next_nonce)
