"""A server's side of one device, for tests: what the edge keeps, without the edge.

Session, account and knowledge go through their JSON between any two messages, because another process
may take the next one. The engine is a list of events, and a task that the test changes as it likes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from overair.devices.dm import stored
from overair.protocols.omadm.account import Account, Nonces
from overair.protocols.omadm.events import Event
from overair.protocols.omadm.exchange import Outcome, proceed, read, receive
from overair.protocols.omadm.knowledge import Knowledge
from overair.protocols.omadm.session import Session
from overair.protocols.omadm.task import Profile, Server, Task
from overair.protocols.syncml import auth
from overair.protocols.syncml.codec import Form, MediaType, decode, encode
from overair.protocols.syncml.message import (
    Alert,
    Command,
    Cred,
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

ADDRESS = "http://127.0.0.1:8099/dm"
IMEI = "004999010640000"
DEVICE = f"IMEI:{IMEI}"
ROOT = "./FwUpdate/pkg"
CLIENT_KEY = auth.key("dev1", "devsecret1")
SERVER_KEY = auth.key("fota", "srvsecret1")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
VERSION = "./DevDetail/FwV"
STATE = f"{ROOT}/State"
TASK = Task(
    correlator="c-7f3a",
    from_version="1.0.0",
    to_version="2.0.0",
    url="http://127.0.0.1:8099/dd/7f3a",
)
PROFILE = Profile(fumo_root=ROOT)
# The specification's messages do not tell our sizes.
SERVER = Server(address=ADDRESS, name="fota", max_msg_size=None)
XML, WBXML = MediaType.XML, MediaType.WBXML

_E = TypeVar("_E")


def account(**changes: object) -> Account:
    """Return the account of the specification's examples."""
    fields: dict[str, object] = {
        "device": IMEI,
        "user": "dev1",
        "client_key": CLIENT_KEY,
        "server_key": SERVER_KEY,
        "nonces": Nonces(client=b"clientnonce-0001", server=b"servernonce-0001"),
    }
    return Account(**{**fields, **changes})  # type: ignore[arg-type] # names of its own fields


def numbered_nonces() -> Iterator[bytes]:
    """Yield clientnonce-0002 and so on."""
    number = 1
    while True:
        number += 1
        yield b"clientnonce-%04d" % number


@dataclass
class Desk:
    """Takes messages as the edge would, and keeps what it would keep."""

    account: Account = field(default_factory=account)
    server: Server = SERVER
    profile: Profile = PROFILE
    task: Task | None = TASK
    session: Session | None = None
    knowledge: Knowledge = field(default_factory=Knowledge)
    now: datetime = NOW
    kind: MediaType = XML
    secure: bool = True
    events: list[Event] = field(default_factory=list)
    outcome: Outcome | None = None
    nonces: Iterator[bytes] = field(default_factory=numbered_nonces)

    def take(self, body: bytes, kind: MediaType | None = None, hmac: str | None = None) -> bytes:
        """Take one body and return the reply's; ``events`` are those of this message."""
        received = receive(
            read(body, self.kind if kind is None else kind, hmac),
            server=self.server,
            account=self.account,
            session=self.session,
            knowledge=self.knowledge,
            secure=self.secure,
            now=self.now,
            nonce=lambda: next(self.nonces),
        )
        self.outcome = outcome = proceed(received, self.task, self.profile)
        self.events = [*received.events, *outcome.events]
        nonces = stored.decode_nonces(stored.encode(outcome.account.nonces))
        assert nonces == outcome.account.nonces
        self.account = outcome.account
        self.session = None
        if outcome.session is not None:
            self.session = stored.decode_session(stored.encode(outcome.session))
            assert self.session == outcome.session
        self.knowledge = stored.decode_knowledge(stored.encode(outcome.knowledge))
        assert self.knowledge == outcome.knowledge
        return outcome.body

    @property
    def row(self) -> str:
        """The row of the decision table that the last reply came from."""
        assert self.outcome is not None
        return self.outcome.row

    def of(self, kind: type[_E]) -> list[_E]:
        """Return the last message's events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def wait(self, **time: float) -> None:
        """Let time pass."""
        self.now += timedelta(**time)


class Client:
    """A client's half, spelled out by the test; it numbers its messages and counts nothing else."""

    def __init__(
        self,
        desk: Desk,
        *,
        session_id: str = "B7",
        form: Form | None = None,
        meta: Meta | None = None,
    ) -> None:
        self.desk = desk
        self.session_id = session_id
        self.form = Form(media_type=XML) if form is None else form
        self.meta = Meta(max_msg_size=16384) if meta is None else meta
        self.msg_id = 0
        self.last: Message | None = None
        self.body = b""

    def send(
        self,
        *commands: Command,
        final: bool = True,
        cred: Cred | None = None,
        name: str | None = None,
        device: str = DEVICE,
        hmac_key: tuple[str, bytes] | None = None,
        header_no_resp: bool = False,
    ) -> Message:
        """Send a message and return the reply."""
        self.msg_id += 1
        numbered = tuple(_with_id(command, at) for at, command in enumerate(commands, start=1))
        message = Message(
            header=Header(
                session_id=self.session_id,
                msg_id=self.msg_id,
                target=Location(uri=ADDRESS),
                source=Location(uri=device, name=name),
                cred=cred,
                meta=self.meta,
                no_resp=header_no_resp,
            ),
            commands=numbered,
            final=final,
        )
        self.body = encode(message, self.form)
        hmac = None
        if hmac_key is not None:
            mac = auth.mac(*hmac_key, self.body)
            hmac = auth.write_hmac_header(auth.HmacHeader(username="dev1", mac=mac))
        return self._take(hmac)

    def repeat(self) -> Message:
        """Send the last message again, byte for byte."""
        return self._take(None)

    def _take(self, hmac: str | None) -> Message:
        reply = self.desk.take(self.body, self.form.media_type, hmac)
        if not reply:
            raise AssertionError("there was no reply")
        self.last, form = decode(reply, self.form.media_type)
        assert form == self.form
        return self.last

    def begin(
        self,
        *more: Command,
        nonce: bytes | None = None,
        alert: int = 1201,
        final: bool = True,
        device_id: str = DEVICE,
    ) -> Message:
        """Send package 1 with right credentials."""
        given = self.desk.account.nonces.client if nonce is None else nonce
        return self.send(
            Alert(cmd_id="", code=alert),
            dev_info(device_id),
            *more,
            cred=auth.md5_cred(CLIENT_KEY, given),
            name="dev1",
            final=final,
        )

    def answer(
        self,
        answers: Mapping[str, tuple[int, str | None]] | None = None,
        *more: Command,
        header: int | None = 212,
        nonce: bytes | None = None,
        default: int = 200,
        final: bool = True,
    ) -> Message:
        """Answer the last reply: each command with a code, and a Get with its value."""
        return self.send(
            *self.answers(answers or {}, header=header, nonce=nonce, default=default),
            *more,
            final=final,
        )

    def answers(
        self,
        answers: Mapping[str, tuple[int, str | None]],
        *,
        header: int | None = 212,
        nonce: bytes | None = None,
        default: int = 200,
    ) -> list[Command]:
        """Return the Statuses and Results of an answer."""
        assert self.last is not None
        reference = str(self.last.header.msg_id)
        statuses: list[Command] = []
        results: list[Command] = []
        if header is not None:
            chal = None if nonce is None else auth.challenge(auth.MD5, nonce)
            statuses.append(
                Status(
                    cmd_id="", msg_ref=reference, cmd_ref="0", cmd="SyncHdr", chal=chal, code=header
                )
            )
        for command in self.last.commands:
            if isinstance(command, Status | Results):
                continue
            uri = target(command)
            code, value = answers.get(uri, (default, None))
            if code:
                statuses.append(
                    Status(
                        cmd_id="",
                        msg_ref=reference,
                        cmd_ref=command.cmd_id,
                        cmd=command_name(command),
                        code=code,
                    )
                )
            if value is not None:
                item = Item(source=Location(uri=uri), data=value)
                results.append(
                    Results(cmd_id="", msg_ref=reference, cmd_ref=command.cmd_id, items=(item,))
                )
        return statuses + results


def _with_id(command: Command, at: int) -> Command:
    return command if command.cmd_id else replace(command, cmd_id=str(at))


def with_code(command: Command, code: int, **changes: object) -> Status:
    """Return a Status with another code, and whatever else."""
    assert isinstance(command, Status)
    return replace(command, code=code, **changes)  # type: ignore[arg-type] # its own fields


def target(command: Command) -> str:
    """Return the node that a command is about."""
    item = getattr(command, "item", None) or next(iter(getattr(command, "items", ())), None)
    return "" if item is None or item.target is None else item.target.uri


def asked(message: Message) -> list[tuple[str, str]]:
    """Return the commands of a reply, as name and node."""
    return [
        (command_name(command), target(command))
        for command in message.commands
        if not isinstance(command, Status | Alert)
    ]


def codes(message: Message) -> list[tuple[str, int]]:
    """Return the Statuses of a message, as name and code."""
    return [
        (command.cmd, command.code) for command in message.commands if isinstance(command, Status)
    ]


def alerts(message: Message) -> list[int]:
    """Return the Alerts of a message."""
    return [command.code for command in message.commands if isinstance(command, Alert)]


def dev_info(device_id: str = DEVICE) -> Replace:
    """Return what every package 1 has."""
    values = {
        "DevId": device_id,
        "Man": "Acme",
        "Mod": "M1",
        "DmV": "1.2",
        "Lang": "en-US",
    }
    return Replace(
        cmd_id="",
        items=tuple(
            Item(source=Location(uri=f"./DevInfo/{name}"), data=value)
            for name, value in values.items()
        ),
    )


def result(
    code: object, kind: str = "downloadandupdate", correlator: str | None = "c-7f3a", *more: Item
) -> Alert:
    """Return a generic alert about an Exec, or a request."""
    item = Item(
        source=Location(uri=ROOT),
        meta=Meta(type=f"org.openmobilealliance.dm.firmwareupdate.{kind}", format="int"),
        data=str(code),
    )
    return Alert(cmd_id="", code=1226, correlator=correlator, items=(item, *more))
