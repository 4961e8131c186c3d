"""One session, as it is kept from one message to the next (oma-dm 5).

Any process continues it: everything is in the value, also the reply that went out last, because a reply
that was lost is sent again as it was. A session that has ended stays for that reason until it has been
idle for too long.

Only a client that was let in has one. Who is refused leaves no more than a nonce and a count in the
account, so a stranger's message 1 does not end the session that the device is in.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from overair.protocols.omadm.events import Meaning, Step
from overair.protocols.syncml.codes import DEFAULT_MAX_MSG_SIZE
from overair.protocols.syncml.fumo import AlertType


class Verb(StrEnum):
    """The commands that we send (oma-dm 5.6)."""

    GET = "Get"
    ADD = "Add"
    REPLACE = "Replace"
    EXEC = "Exec"


class Proof(StrEnum):
    """Whether the client believes us (oma-dm 11.3)."""

    OPEN = "open"
    """Not yet: our credentials go with every message."""
    DONE = "done"
    """For this session: they go no more."""
    EACH = "each"
    """For the last message only: they go with every message, over the nonce just given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One command of ours, as the decision wants it."""

    verb: Verb
    uri: str
    data: str | None = None
    package: bool = False
    """The data is the task's package, in pieces if need be."""
    correlator: str | None = None
    """The attempt that it is for; only an Exec says so."""
    step: Step | None = None
    """Which Exec it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A command under way: where it stands, and what has come for it so far."""

    msg: int
    cmd: str
    ask: Ask
    code: int | None = None
    value: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command that was answered. Without a Status it counts as 500."""

    verb: Verb
    uri: str
    code: int
    value: str | None = None
    correlator: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """A Status of ours that is still to be sent."""

    msg: str
    cmd: str
    name: str
    code: int
    asked: bool = False
    """It answers the device's question whether there is an update: 200 or 202, as is decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A result that this session carried."""

    correlator: str
    kind: AlertType
    meaning: Meaning
    root: str = ""
    """The update object's root, if its source tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A large object of ours under way; offsets count what stands in Data (oma-dm 5.4)."""

    ask: Ask
    size: int
    begin: int = 0
    """Where the piece that was sent last begins, and where it ends."""
    end: int = 0
    restarted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A large object of the client's under way: of which command and node, and what is there."""

    command: str
    uri: str
    size: int | None
    data: bytes


@dataclass(frozen=True, kw_only=True)  # without slots, for `but`
class Session:
    """A session with a client that was let in."""

    id: str
    kind: str
    """How it was let in: ``auth.MD5``, ``auth.BASIC`` or ``auth.MAC``."""
    seen_at: datetime
    messages: int = 0
    """How many of the client's were taken."""
    client_msg: int = 0
    body: str = ""
    """SHA-256 of the last body."""
    reply: bytes = b""
    reply_type: str = ""
    reply_mac: str = ""
    """The header x-syncml-hmac that went with it."""
    server_msg: int = 0
    ended: bool = False

    proof: Proof = Proof.OPEN
    nonce: bytes | None = None
    """What a client that refused us gave: for this session, kept only if it leads to acceptance."""
    tries: int = 0

    max_msg_size: int = DEFAULT_MAX_MSG_SIZE
    max_obj_size: int | None = None

    sent: tuple[Sent, ...] = ()
    refused: bool = False
    """The client has not believed us: what it says of our commands does not exist."""
    more: bool = False
    """Our package is not complete: a piece of an object, or a Status, is still to come."""
    done: tuple[Done, ...] = ()
    owed: tuple[Owed, ...] = ()
    reports: tuple[Report, ...] = ()
    outgoing: Outgoing | None = None
    incoming: Incoming | None = None

    def but(self, **changes: Any) -> "Session":
        """Return it with some members changed: ``replace``, in a tenth of its time.

        A message changes its session eight times, and every time there are two dozen members to copy.
        """
        if not changes.keys() <= self.__dict__.keys():
            raise TypeError(f"a session has no {', '.join(changes.keys() - self.__dict__.keys())}")
        session = object.__new__(Session)
        session.__dict__.update(self.__dict__, **changes)
        return session

    def code(self, verb: Verb, uri: str) -> int | None:
        """Return how a command of this session went; None: not asked, or not answered yet."""
        for done in self.done:
            if done.verb is verb and done.uri == uri:
                return done.code
        return None

    def value(self, uri: str) -> str | None:
        """Return what a Get of this session found."""
        for done in self.done:
            if done.verb is Verb.GET and done.uri == uri and 200 <= done.code < 300:
                return done.value
        return None

    def asked(self, verb: Verb, uri: str) -> bool:
        """Tell whether a command has been sent in this session."""
        return any(done.verb is verb and done.uri == uri for done in self.done) or any(
            sent.ask.verb is verb and sent.ask.uri == uri for sent in self.sent
        )
