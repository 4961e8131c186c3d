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
from dataclasses import dataclass
from datetime import datetime

from overair.protocols.omadm.account import Account
from overair.protocols.omadm.events import Event
from overair.protocols.omadm.knowledge import Knowledge
from overair.protocols.omadm.session import Session
from overair.protocols.omadm.task import Profile, Server, Task
from overair.protocols.syncml.auth import HmacHeader
from overair.protocols.syncml.codec import Form, MediaType
from overair.protocols.syncml.message import Message

DEFAULT_PROFILE = Profile()


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
    def session_id(self) -> str:
        """The session that it belongs to."""
        return self.message.header.session_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What a message said, on its way to ``proceed``. Of interest to the edge:"""

    events: tuple[Event, ...]
    """For the engine, in order, before the task is asked for."""
    settled: bool
    """The reply needs no task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The reply, and what is to be kept before it is sent."""

    status: int
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


def read(body: bytes, kind: MediaType, hmac: str | None = None) -> Request:
    """Read a body; raise ``MalformedError`` or ``LimitError``, and nothing else."""
    raise NotImplementedError


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
    raise NotImplementedError


def proceed(received: Received, task: Task | None, profile: Profile = DEFAULT_PROFILE) -> Outcome:
    """Decide and write the reply. ``task`` is the active attempt after ``received.events``."""
    raise NotImplementedError
