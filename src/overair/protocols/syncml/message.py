"""A SyncML DM message as values, in the words and the order of its document type (oma-dm 4).

Rules that hold throughout:

- Ids and references are text, echoed as they came. A CmdID that is missing is "", so that the session
  can answer 412 for it. Only ``msg_id`` is a number, because its order matters.
- A code that is missing or no number is 0: clients that refuse with status 0 exist, and both mean the
  same (oma-dm 11.3).
- An Item's data is ``bytes`` only where WBXML carried it opaque as binary: its format is bin, or it is
  no text. In XML binary data is text in base64, and stays text, because the pieces of a large object
  cannot be decoded one by one.
- None is "not there"; an empty element is an empty value.

Not in here: what a message may hold in which package, and whose turn it is (the session).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Target or Source: an address, and the user's name where credentials need one."""

    uri: str
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """What describes data, a challenge or the sender; ``next_nonce`` is base64, as on the wire."""

    format: str | None = None
    type: str | None = None
    mark: str | None = None
    size: int | None = None
    next_nonce: str | None = None
    max_msg_size: int | None = None
    max_obj_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cred:
    """Credentials: base64 text of the type that the meta names."""

    meta: Meta | None = None
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chal:
    """A challenge: the type wanted, and the next nonce."""

    meta: Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A node, a value, or a piece of one: ``more_data`` says that the next piece follows."""

    target: Location | None = None
    source: Location | None = None
    meta: Meta | None = None
    data: str | bytes | None = None
    more_data: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The answer to one command, or with ``cmd`` SyncHdr to a message."""

    cmd_id: str
    msg_ref: str
    cmd_ref: str
    cmd: str
    target_refs: tuple[str, ...] = ()
    source_refs: tuple[str, ...] = ()
    cred: Cred | None = None
    chal: Chal | None = None
    code: int
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What a Get found. Without a MsgRef it is about message 1."""

    cmd_id: str
    msg_ref: str = "1"
    cmd_ref: str
    meta: Meta | None = None
    target_ref: str | None = None
    source_ref: str | None = None
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something to be known, by its number (``codes.AlertCode``)."""

    cmd_id: str
    no_resp: bool = False
    cred: Cred | None = None
    code: int
    correlator: str | None = None
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Get:
    """Read nodes."""

    cmd_id: str
    no_resp: bool = False
    lang: str | None = None
    cred: Cred | None = None
    meta: Meta | None = None
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Add:
    """Make nodes."""

    cmd_id: str
    no_resp: bool = False
    cred: Cred | None = None
    meta: Meta | None = None
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Set nodes; from a device, what it is (its DevInfo)."""

    cmd_id: str
    no_resp: bool = False
    cred: Cred | None = None
    meta: Meta | None = None
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """Copy nodes. Not sent by this server (oma-dm 1)."""

    cmd_id: str
    no_resp: bool = False
    cred: Cred | None = None
    meta: Meta | None = None
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Take nodes away."""

    cmd_id: str
    no_resp: bool = False
    archive: bool = False
    soft: bool = False
    cred: Cred | None = None
    meta: Meta | None = None
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exec:
    """Start what one node stands for; its result comes later, under the correlator."""

    cmd_id: str
    no_resp: bool = False
    cred: Cred | None = None
    meta: Meta | None = None
    correlator: str | None = None
    item: Item | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Atomic:
    """Commands that are done all or none. Not sent: some clients crash on it (oma-dm 5.6)."""

    cmd_id: str
    no_resp: bool = False
    meta: Meta | None = None
    commands: "tuple[Command, ...]" = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """Commands that are done in order. Not sent: some clients crash on it (oma-dm 5.6)."""

    cmd_id: str
    no_resp: bool = False
    meta: Meta | None = None
    commands: "tuple[Command, ...]" = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """A command of SyncML that device management does not have: it is answered 501."""

    cmd_id: str
    no_resp: bool = False
    name: str


Command = (
    Status
    | Results
    | Alert
    | Get
    | Add
    | Replace
    | Copy
    | Delete
    | Exec
    | Atomic
    | Sequence
    | Unsupported
)

# Commands of data synchronisation, which an `Unsupported` may stand for (oma-dm 14, 501).
UNSUPPORTED = frozenset({"Map", "Move", "Put", "Search", "Sync"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Who speaks to whom, in which session, and with which right."""

    ver_dtd: str = "1.2"
    ver_proto: str = "DM/1.2"
    session_id: str
    msg_id: int
    target: Location
    source: Location
    resp_uri: str | None = None
    no_resp: bool = False
    cred: Cred | None = None
    meta: Meta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message; ``final`` ends the sender's package."""

    header: Header
    commands: tuple[Command, ...] = ()
    final: bool = False


def command_name(command: Command) -> str:
    """Return the name of a command, as a Status repeats it."""
    return command.name if isinstance(command, Unsupported) else type(command).__name__


def data_format(item_meta: Meta | None, command_meta: Meta | None) -> str | None:
    """Return the format of an Item's data: its own, or else its command's."""
    if item_meta is not None and item_meta.format:
        return item_meta.format
    return None if command_meta is None else command_meta.format
