"""A scripted OMA-DM client: a device tree, two sets of credentials, and raw HTTP.

It answers what it is asked from its tree and executes what it is told, as the specification has it. What
a test wants to be odd is an attribute, or a message that the test makes itself. Messages are written with
the codec that the server has too; in ``tests/protocols`` libwbxml and the specification's own bytes hold it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from overair.protocols.syncml import auth
from overair.protocols.syncml.codec import Form, MediaType, decode, encode
from overair.protocols.syncml.message import (
    Add,
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
from tests.devices.field import Field, Reply, Wire

ROOT = "./FwUpdate/pkg"
EXEC = f"{ROOT}/DownloadAndUpdate"
URL = f"{EXEC}/PkgURL"
VERSION = "./DevDetail/FwV"
RESULT = "org.openmobilealliance.dm.firmwareupdate.downloadandupdate"
SERVER_ID = "fota"
SERVER_SECRET = "srvsecret1"
CLIENT_SECRET = "devsecret1"
MOST_MESSAGES = 40
XML = Form(media_type=MediaType.XML)
WBXML = Form(media_type=MediaType.WBXML)


@dataclass(slots=True, kw_only=True)
class Modem:
    """One device."""

    home: Field
    imei: str
    user: str
    form: Form = XML
    base_url: str = ""
    tree: dict[str, str] = field(default_factory=dict)
    client_nonce: bytes = b""
    server_nonce: bytes = b"servernonce-0000"
    client_secret: str = CLIENT_SECRET
    server_id: str = SERVER_ID
    server_secret: str = SERVER_SECRET
    exec_code: int = 202
    sessions: int = 0
    session_id: str = "1"
    msg_id: int = 0
    nonces: int = 0
    proven: bool = False
    """The server has proved itself in this session."""
    wanted: str = ""
    """What the last Exec names: node and correlator."""
    correlator: str = ""
    seen: list[str] = field(default_factory=list)
    """Commands of the server, as ``Get ./DevDetail/FwV``."""
    last: Message | None = None
    reply: Reply | None = None
    body: bytes = b""
    data: bytes = b""
    """What it was given of a package inside a session."""
    headers: dict[str, str] = field(default_factory=dict)
    """More headers of all its messages."""
    change: Callable[[Message], Message] | None = None
    """Changes what it sends."""

    def __post_init__(self) -> None:
        self.base_url = self.base_url or self.home.base_url
        self.tree = {
            VERSION: "01",
            f"{ROOT}/State": "10",
            "./FwUpdate": "pkg",
            "./DevDetail/SwV": "sw-7",
            "./DevDetail/HwV": "B2",
            "./DevDetail/LrgObj": "true",
        } | self.tree

    # One message ------------------------------------------------------------------------------

    @property
    def device(self) -> str:
        return f"IMEI:{self.imei}"

    @property
    def address(self) -> str:
        return f"{self.base_url}/dm"

    def cred(self, nonce: bytes | None = None) -> Cred:
        """Right credentials, over what it was given last unless the test says otherwise."""
        key = auth.key(self.user, self.client_secret)
        return auth.md5_cred(key, self.client_nonce if nonce is None else nonce)

    def message(
        self, commands: list[Command], *, cred: Cred | None = None, final: bool = True
    ) -> Message:
        """The next message."""
        self.msg_id += 1
        numbered = tuple(replace(c, cmd_id=str(at)) for at, c in enumerate(commands, start=1))
        return Message(
            header=Header(
                session_id=self.session_id,
                msg_id=self.msg_id,
                target=Location(uri=self.address),
                source=Location(uri=self.device, name=self.user if cred else None),
                cred=cred,
                meta=Meta(max_msg_size=16384),
            ),
            commands=numbered,
            final=final,
        )

    async def send(
        self, commands: list[Command], *, cred: Cred | None = None, final: bool = True
    ) -> Message:
        """Send a message; the reply, which has to be one."""
        message = self.message(commands, cred=cred, final=final)
        if self.change is not None:
            message = self.change(message)
        self.body = encode(message, self.form)
        return await self.again()

    async def again(self) -> Message:
        """Send the last body, byte for byte."""
        reply = await self.post(self.body)
        assert reply.status == 200, reply
        assert reply.header("content-type") == self.form.media_type.value
        self.last, form = decode(reply.body, self.form.media_type)
        assert form == self.form
        return self.last

    async def post(self, body: bytes, content_type: str | None = None, **headers: str) -> Reply:
        """One request, as it is."""
        told = {"Content-Type": content_type or self.form.media_type.value, "Host": self._host()}
        wire = await Wire.open(self.base_url)
        try:
            self.reply = await wire.ask("POST", "/dm", told | self.headers | headers, body)
        finally:
            await wire.close()
        return self.reply

    async def fetch(
        self, url: str, method: str = "GET", body: bytes = b"", **headers: str
    ) -> Reply:
        """Ask for an address that the server told."""
        parts = urlsplit(url)
        assert url.startswith(self.base_url), url
        wire = await Wire.open(self.base_url)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await wire.ask(method, parts.path, {"Host": self._host()} | named, body)
        finally:
            await wire.close()

    def _host(self) -> str:
        return urlsplit(self.base_url).netloc

    # A session --------------------------------------------------------------------------------

    async def begin(
        self, *alerts: Alert, code: int = 1201, cred: Cred | None = None, without: bool = False
    ) -> Message:
        """Package 1, until it is let in or refused for good."""
        self.sessions += 1
        self.session_id = f"{self.sessions:X}"
        self.msg_id = 0
        self.proven = False
        self.seen = []
        given = None if without else cred or self.cred()
        for _ in range(2):
            reply = await self.send(self.package_1(*alerts, code=code), cred=given)
            status = header_status(reply)
            self._take_challenge(status)
            if status.code not in (401, 407):
                break
            given = self.cred()
        assert self.last is not None
        return self.last

    def package_1(self, *alerts: Alert, code: int = 1201) -> list[Command]:
        """Who it is, and why it calls."""
        told = {"DevId": self.device, "Man": "Acme", "Mod": "M1", "DmV": "1.2", "Lang": "en-US"}
        items = tuple(
            Item(source=Location(uri=f"./DevInfo/{name}"), data=value)
            for name, value in told.items()
        )
        return [Alert(cmd_id="", code=code), Replace(cmd_id="", items=items), *alerts]

    async def session(self, *alerts: Alert, code: int = 1201) -> Message:
        """A whole session; the server's last message."""
        reply = await self.begin(*alerts, code=code)
        for _ in range(MOST_MESSAGES):
            if is_end(reply):
                return reply
            reply = await self.send(self.answers(reply))
        raise AssertionError("the session does not end")

    def answers(self, reply: Message) -> list[Command]:
        """What it answers to a message of the server."""
        reference = str(reply.header.msg_id)
        ours = self._prove(reply)
        statuses: list[Command] = [ours]
        results: list[Command] = []
        for command in reply.commands:
            if isinstance(command, Status | Results):
                continue
            uri = uri_of(command)
            code, value = (200, None) if ours.code in (200, 212) else (ours.code, None)
            if code == 200:
                self.seen.append(f"{command_name(command)} {uri}".strip())
                code, value = self._do(command, uri)
            statuses.append(
                Status(
                    cmd_id="",
                    msg_ref=reference,
                    cmd_ref=command.cmd_id,
                    cmd=command_name(command),
                    target_refs=(uri,) if uri else (),
                    code=code,
                )
            )
            if value is not None:
                item = Item(
                    source=Location(uri=uri), meta=Meta(format="chr", type="text/plain"), data=value
                )
                results.append(
                    Results(cmd_id="", msg_ref=reference, cmd_ref=command.cmd_id, items=(item,))
                )
        if any(isinstance(status, Status) and status.code == 213 for status in statuses):
            results.append(Alert(cmd_id="", code=1222))
        return statuses + results

    def _prove(self, reply: Message) -> Status:
        """Its Status for the message as a whole: whether it believes who sent it."""
        code, chal = 212, None
        if not self.proven:
            expected = auth.digest(auth.key(self.server_id, self.server_secret), self.server_nonce)
            given = reply.header.cred
            self.nonces += 1
            nonce = b"servernonce-%04d" % self.nonces
            self.proven = given is not None and given.data == expected
            code = 212 if self.proven else (407 if given is None else 401)
            chal = auth.challenge(auth.MD5, nonce)
            self.server_nonce = nonce
        return Status(
            cmd_id="",
            msg_ref=str(reply.header.msg_id),
            cmd_ref="0",
            cmd="SyncHdr",
            chal=chal,
            code=code,
        )

    def _do(self, command: Command, uri: str) -> tuple[int, str | None]:
        match command:
            case Get():
                found = self.tree.get(uri)
                return (404, None) if found is None else (200, found)
            case Replace(items=(Item(data=str(value)),)) | Add(items=(Item(data=str(value)),)):
                self.tree[uri] = value
                return 200, None
            case Replace(items=(Item(data=bytes(piece), more_data=more),)):
                self.data += piece
                return (213 if more else 200), None
            case Exec():
                self.wanted, self.correlator = uri, command.correlator or ""
                return self.exec_code, None
            case Alert():
                return 200, None
            case _:
                return 405, None

    def _take_challenge(self, status: Status) -> None:
        if status.chal is not None and status.chal.meta.next_nonce is not None:
            self.client_nonce = auth.decode_nonce(status.chal.meta.next_nonce)

    def result(self, code: int, *, correlator: str | None = None, kind: str = RESULT) -> Alert:
        """What it reports of the Exec."""
        item = Item(source=Location(uri=ROOT), meta=Meta(format="int", type=kind), data=str(code))
        told = self.correlator if correlator is None else correlator
        return Alert(cmd_id="", code=1226, correlator=told or None, items=(item,))

    @property
    def url(self) -> str:
        """What it was told to download."""
        return self.tree[URL]


def header_status(reply: Message) -> Status:
    """The Status for the message as a whole, which comes first."""
    first = reply.commands[0]
    assert isinstance(first, Status)
    assert first.cmd == "SyncHdr"
    return first


def codes(reply: Message) -> list[int]:
    """All statuses of a reply."""
    return [command.code for command in reply.commands if isinstance(command, Status)]


def is_end(reply: Message) -> bool:
    """Statuses and Final only: the session is over."""
    return reply.final and all(isinstance(command, Status) for command in reply.commands)


def uri_of(command: Command) -> str:
    """The node that a command is about."""
    if isinstance(command, Exec):
        item = command.item
    else:
        items = getattr(command, "items", ())
        item = items[0] if items else None
    return item.target.uri if item is not None and item.target is not None else ""
