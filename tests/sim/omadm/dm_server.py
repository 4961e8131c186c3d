"""A least OMA-DM server, scripted from the text of the specification over the codec: bytes to bytes.

It proves itself and has the client prove itself, asks for FwV and State, sets PkgURL, executes, and notes
what it hears. ``want`` says whether it has an update to offer; knobs make it difficult. It keeps one
account for each device, and nothing else that a real one would.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from overair.protocols.syncml import auth, codec
from overair.protocols.syncml.codes import AlertCode, Format, StatusCode
from overair.protocols.syncml.message import (
    Alert,
    Command,
    Cred,
    Exec,
    Get,
    Header,
    Item,
    Location,
    Message,
    Meta,
    Replace,
    Results,
    Status,
    command_name,
)
from overair.protocols.syncml.notification import Trigger, encode_notification, wrap_push
from overair.sim.omadm.roster import OmadmDevice

NAME = "overair"
FWV = "./DevDetail/FwV"
DESCRIPTOR = """<media xmlns="http://www.openmobilealliance.org/xmlns/dd"><DDVersion>1.0</DDVersion>\
<name>FOTA</name><type>application/octet-stream</type><size>{size}</size>\
<objectURI>{base}/package/{name}</objectURI>\
<installNotifyURI>{base}/notify/{name}</installNotifyURI></media>"""


@dataclass(slots=True, kw_only=True)
class Client:
    """What the server knows of one device, and of its session."""

    device: OmadmDevice
    client_nonce: bytes = b""
    server_nonce: bytes = b""
    accepted: bool = False
    trusted: bool = False
    each: bool = False
    session_id: str = ""
    sent: int = 0
    execs: int = 0
    # The commands that are under way: (message, CmdID) to what was asked.
    asked: dict[tuple[str, str], str] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    todo: deque[str] = field(default_factory=deque)
    statuses: list[tuple[str, int]] = field(default_factory=list)
    reports: list[tuple[str | None, str]] = field(default_factory=list)
    types: set[str] = field(default_factory=set)
    sessions: list[tuple[str, int]] = field(default_factory=list)
    challenges: int = 0
    messages: list[Message] = field(default_factory=list)
    tries: int = 0


class DmServer:
    """Serves the devices of a roster. ``base`` is its own address."""

    def __init__(
        self, roster: Iterable[OmadmDevice], *, base: str = "http://127.0.0.1:8099", file: bytes
    ) -> None:
        self.base = base
        self.file = file
        self.want = "02"
        self.descriptor = True
        self.max_msg_size: int | None = None
        # Additional commands, asked before everything else: "get URI" or "exec URI".
        self.first: tuple[str, ...] = ()
        self.method = "both"
        self.sends_data = False
        self.aborts = False
        self.deaf_to_reports = 0
        self.clients = {f"IMEI:{device.imei}": Client(device=device) for device in roster}
        self.notices: list[str] = []

    @property
    def url(self) -> str:
        """Return the address of the account."""
        return f"{self.base}/dm"

    def client(self, imei: str) -> Client:
        """Return what is known of a device."""
        return self.clients[f"IMEI:{imei}"]

    def push(self, imei: str, session: int, *, nonce: bytes | None = None) -> bytes:
        """Return a notification for a device, as a datagram."""
        client = self.client(imei)
        key = auth.key(NAME, client.device.server_secret)
        trigger = Trigger(session=session, server_id=NAME)
        over = client.server_nonce if nonce is None else nonce
        return wrap_push(encode_notification(trigger, key, over))

    # --- the session ---------------------------------------------------------------------------

    def handle(self, body: bytes, kind: codec.MediaType) -> bytes:
        """Answer a message."""
        message, form = codec.decode(body, kind)
        client = self.clients[message.header.source.uri]
        client.messages.append(message)
        if message.header.msg_id == 1 or message.header.session_id != client.session_id:
            client.session_id = message.header.session_id
            client.accepted = client.trusted = client.each = False
            client.asked, client.known, client.sent = {}, {}, 0
            client.todo = deque([*self.first, f"get {FWV}", f"get {self._root(client)}/State"])
        if not client.accepted and not self._proves(client, message.header.cred):
            return codec.encode(self._refuse(client, message), form)
        fresh = not client.accepted
        client.accepted = True
        return codec.encode(self._answer(client, message, fresh=fresh), form)

    def _root(self, client: Client) -> str:
        return client.device.root

    def _proves(self, client: Client, cred: Cred | None) -> bool:
        if cred is None:
            return False
        device = client.device
        if cred.meta is not None and cred.meta.type == auth.BASIC:
            user, password = auth.read_basic(cred.data)
            return (user, password) == (device.imei, device.client_secret)
        key = auth.key(device.client_name or device.imei, device.client_secret)
        return auth.same(auth.digest(key, client.client_nonce), cred.data)

    def _refuse(self, client: Client, message: Message) -> Message:
        client.challenges += 1
        client.client_nonce = f"clientnonce-{client.challenges:04}".encode()
        shown = message.header.cred is not None
        code = StatusCode.INVALID_CREDENTIALS if shown else StatusCode.MISSING_CREDENTIALS
        commands: list[Command] = [self._header_status(client, message, code, client.client_nonce)]
        commands += [
            self._status(message, command, code)
            for command in message.commands
            if not isinstance(command, Status | Results)
        ]
        return self._message(client, commands, with_cred=False)

    def _answer(self, client: Client, message: Message, *, fresh: bool) -> Message:
        with_cred = not client.trusted
        final = True
        nonce = None
        if fresh:
            client.sessions.append((client.session_id, self._alert_code(message)))
            client.challenges += 1
            nonce = client.client_nonce = f"clientnonce-{client.challenges:04}".encode()
            self.tries = 0
        out: list[Command] = [self._header_status(client, message, StatusCode.AUTHENTICATED, nonce)]
        refused = False
        # Values first: what a Status leads to depends on them.
        for command in sorted(message.commands, key=lambda c: not isinstance(c, Results)):
            match command:
                case Status() if command.cmd == "SyncHdr":
                    refused = self._believed(client, command)
                    with_cred = not client.trusted
                case Status():
                    asked = client.asked.pop((command.msg_ref, command.cmd_ref), None)
                    if asked is not None:
                        client.statuses.append((asked, command.code))
                        self._done(client, asked, command.code, refused=refused)
                case Results():
                    for item in command.items:
                        if item.source is not None:
                            before = client.known.get(item.source.uri, "")
                            client.known[item.source.uri] = before + str(item.data)
                        if item.more_data:
                            out.append(self._status(message, command, StatusCode.CHUNK_ACCEPTED))
                            final = False
                case Alert():
                    out.append(self._status(message, command, self._hear(client, command)))
                case _:
                    out.append(self._status(message, command, StatusCode.OK))
        if not message.final or not final:
            out.append(Alert(cmd_id="", code=AlertCode.NEXT_MESSAGE))
            return self._message(client, out, with_cred=with_cred, final=False)
        if self.aborts:
            out.append(Alert(cmd_id="", code=AlertCode.SESSION_ABORT))
            client.todo.clear()
        self._decide(client)
        final = self._command(client, out)
        return self._message(client, out, with_cred=with_cred, final=final)

    def _alert_code(self, message: Message) -> int:
        return next(
            c.code
            for c in message.commands
            if isinstance(c, Alert) and c.code in (AlertCode.SERVER_INITIATED, 1201)
        )

    def _believed(self, client: Client, status: Status) -> bool:
        """Hear whether we were believed; return whether we were refused."""
        nonce = None
        if status.chal is not None and status.chal.meta.next_nonce is not None:
            nonce = auth.decode_nonce(status.chal.meta.next_nonce)
        if nonce is not None:
            client.server_nonce = nonce
        client.trusted = status.code == StatusCode.AUTHENTICATED
        return status.code not in (StatusCode.OK, StatusCode.AUTHENTICATED)

    def _hear(self, client: Client, alert: Alert) -> int:
        if alert.code == AlertCode.GENERIC:
            item = alert.items[0]
            if self.deaf_to_reports:
                self.deaf_to_reports -= 1
                return StatusCode.COMMAND_FAILED
            client.reports.append((alert.correlator, str(item.data)))
            assert item.meta is not None
            client.types.add(item.meta.type or "")
            client.todo = deque([f"get {FWV}"])
        return StatusCode.OK

    def _done(self, client: Client, asked: str, code: int, *, refused: bool) -> None:
        verb, _, uri = asked.partition(" ")
        if refused:
            client.todo.append(asked)
        elif code == StatusCode.CHUNK_ACCEPTED:
            return
        elif verb in ("set", "data") and code == StatusCode.OK:
            client.todo.append(f"exec {uri}")

    def _decide(self, client: Client) -> None:
        """The client's package is complete: offer the update, if it has shown that it can be."""
        root = self._root(client)
        state = client.known.pop(f"{root}/State", "")
        if not self.want or client.known.get(FWV) == self.want:
            return
        if state in ("10", "20", "70", "80", "90", "100"):
            step = "DownloadAndUpdate" if self.method == "both" else "Download"
            client.todo.append(f"data {root}/Update" if self.sends_data else f"set {root}/{step}")

    # --- what it says --------------------------------------------------------------------------

    def _command(self, client: Client, out: list[Command]) -> bool:
        """Ask for what comes next; return whether it is the whole package."""
        verb = client.todo[0].split()[0] if client.todo else ""
        while client.todo and client.todo[0].split()[0] == verb:
            asked = client.todo.popleft()
            uri = asked.split()[1]
            target = Location(uri=uri)
            place = (str(client.sent + 1), str(len(out) + 1))
            client.asked[place] = asked
            if verb == "get":
                out.append(Get(cmd_id="", items=(Item(target=target),)))
            elif verb == "exec":
                client.execs += 1
                correlator = f"c-{client.execs}"
                out.append(Exec(cmd_id="", correlator=correlator, item=Item(target=target)))
            elif verb == "set":
                name = client.device.imei
                url = f"{self.base}/{'dd' if self.descriptor else 'package'}/{name}"
                out.append(
                    Replace(
                        cmd_id="",
                        items=(
                            Item(
                                target=Location(uri=f"{uri}/PkgURL"),
                                meta=Meta(format=Format.CHR, type="text/plain"),
                                data=url,
                            ),
                        ),
                    )
                )
            else:
                return self._chunk(client, out, asked)
            if verb != "get":
                break
        return True

    def _chunk(self, client: Client, out: list[Command], asked: str) -> bool:
        """The next piece of the package itself: ``data ROOT/Update OFFSET``."""
        _, uri, *rest = asked.split()
        offset = int(rest[0]) if rest else 0
        piece = self.file[offset : offset + 1000]
        more = offset + len(piece) < len(self.file)
        size = len(self.file) if offset == 0 else None
        out.append(
            Replace(
                cmd_id="",
                items=(
                    Item(
                        target=Location(uri=f"{uri}/PkgData"),
                        meta=Meta(format=Format.BIN, size=size),
                        data=piece,
                        more_data=more,
                    ),
                ),
            )
        )
        if more:
            client.todo.append(f"data {uri} {offset + len(piece)}")
        return not more

    def _message(
        self,
        client: Client,
        commands: Iterable[Command],
        *,
        with_cred: bool,
        final: bool = True,
    ) -> Message:
        client.sent += 1
        key = auth.key(NAME, client.device.server_secret)
        return Message(
            header=Header(
                session_id=client.session_id,
                msg_id=client.sent,
                target=Location(uri=f"IMEI:{client.device.imei}"),
                source=Location(uri=self.url, name=NAME if with_cred else None),
                cred=auth.md5_cred(key, client.server_nonce) if with_cred else None,
                meta=None if self.max_msg_size is None else Meta(max_msg_size=self.max_msg_size),
            ),
            commands=tuple(
                replace(command, cmd_id=str(number)) for number, command in enumerate(commands, 1)
            ),
            final=final,
        )

    def _header_status(
        self, client: Client, message: Message, code: int, nonce: bytes | None
    ) -> Status:
        return Status(
            cmd_id="",
            msg_ref=str(message.header.msg_id),
            cmd_ref="0",
            cmd="SyncHdr",
            target_refs=(message.header.target.uri,),
            source_refs=(message.header.source.uri,),
            chal=None if nonce is None else auth.challenge(auth.MD5, nonce),
            code=code,
        )

    @staticmethod
    def _status(message: Message, command: Command, code: int) -> Status:
        return Status(
            cmd_id="",
            msg_ref=str(message.header.msg_id),
            cmd_ref=command.cmd_id,
            cmd=command_name(command),
            code=code,
        )

    # --- files ---------------------------------------------------------------------------------

    def descriptor_of(self, name: str) -> bytes:
        """Return the descriptor for a device."""
        return DESCRIPTOR.format(base=self.base, name=name, size=len(self.file)).encode()
