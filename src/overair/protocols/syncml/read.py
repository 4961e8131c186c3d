"""From elements to a message: any order, unknown elements ignored (oma-dm 4, 15, 19).

Refused is only what leaves nothing to answer: another root, no SyncHdr, no session id, no message
number. Everything else that is missing becomes the value that ``message`` names for it, and the session
answers it with the status that it deserves. Of repeated elements the first one counts.

Text is taken without the white space around it, since some clients indent; data, correlators and names
are taken exactly.
"""

import re
from collections.abc import Callable, Iterable, Mapping

from overair.protocols.syncml.codes import Format
from overair.protocols.syncml.elements import Content, Element
from overair.protocols.syncml.message import (
    UNSUPPORTED,
    Add,
    Alert,
    Atomic,
    Chal,
    Command,
    Copy,
    Cred,
    Delete,
    Exec,
    Get,
    Header,
    Item,
    Location,
    Message,
    Meta,
    Replace,
    Results,
    Sequence,
    Status,
    Unsupported,
    data_format,
)
from overair.protocols.syncml.values import LIMITS, MalformedError, SyncmlLimits

_NUMBER = re.compile(r"[0-9]{1,10}")
_MSG_ID = re.compile(r"[0-9]{1,9}")


class _Parts:
    """The children of an element by name."""

    __slots__ = ("_first", "children", "name")

    def __init__(self, element: Element) -> None:
        self.name, content = element
        self.children = content if isinstance(content, list) else []
        # Of several with one name the first stays.
        self._first = dict(reversed(self.children))

    def get(self, name: str) -> Element | None:
        content = self._first.get(name)
        return None if content is None else (name, content)

    def has(self, name: str) -> bool:
        return name in self._first

    def content(self, name: str) -> Content | None:
        return self._first.get(name)

    def exact(self, name: str) -> str | None:
        content = self._first.get(name)
        return content if content is None or isinstance(content, str) else _text(name, content)

    def word(self, name: str) -> str | None:
        content = self._first.get(name)
        if isinstance(content, str):
            return content.strip()
        return None if content is None else _text(name, content).strip()

    def number(self, name: str) -> int | None:
        text = self.word(name)
        return int(text) if text is not None and _NUMBER.fullmatch(text) else None

    def words(self, name: str) -> tuple[str, ...]:
        if name not in self._first:
            return ()
        return tuple(_text(name, content).strip() for of, content in self.children if of == name)


def read_message(root: Element, limits: SyncmlLimits = LIMITS) -> Message:
    """Make a message of a document."""
    parts = _Parts(root)
    if parts.name != "SyncML":
        raise MalformedError("the root element is not SyncML")
    header = parts.get("SyncHdr")
    if header is None:
        raise MalformedError("there is no SyncHdr")
    body = parts.get("SyncBody")
    if body is None:
        return Message(header=_header(header, limits))
    inside = _Parts(body)
    return Message(
        header=_header(header, limits),
        commands=_commands(inside.children),
        final=inside.has("Final"),
    )


def _header(element: Element, limits: SyncmlLimits) -> Header:
    parts = _Parts(element)
    session_id = parts.word("SessionID")
    if not session_id or len(session_id) > limits.session_id_chars:
        raise MalformedError(f"a SessionID has 1 to {limits.session_id_chars} characters")
    msg_id = parts.word("MsgID")
    if msg_id is None or not _MSG_ID.fullmatch(msg_id):
        raise MalformedError("the MsgID is not a number")
    return Header(
        ver_dtd=parts.word("VerDTD") or "",
        ver_proto=parts.word("VerProto") or "",
        session_id=session_id,
        msg_id=int(msg_id),
        target=_location(parts.get("Target")) or Location(uri=""),
        source=_location(parts.get("Source")) or Location(uri=""),
        resp_uri=parts.word("RespURI"),
        no_resp=parts.has("NoResp"),
        cred=_cred(parts.get("Cred")),
        meta=_meta(parts.get("Meta")),
    )


def _commands(elements: Iterable[Element]) -> tuple[Command, ...]:
    known = ((_READERS.get(element[0]), element) for element in elements)
    return tuple(read(_Parts(element)) for read, element in known if read is not None)


def _status(parts: _Parts) -> Status:
    chal = parts.get("Chal")
    return Status(
        cmd_id=_cmd_id(parts),
        msg_ref=parts.word("MsgRef") or "",
        cmd_ref=parts.word("CmdRef") or "",
        cmd=parts.word("Cmd") or "",
        target_refs=parts.words("TargetRef"),
        source_refs=parts.words("SourceRef"),
        cred=_cred(parts.get("Cred")),
        chal=None if chal is None else Chal(meta=_meta(_Parts(chal).get("Meta")) or Meta()),
        code=parts.number("Data") or 0,
        items=_items(parts),
    )


def _results(parts: _Parts) -> Results:
    return Results(
        cmd_id=_cmd_id(parts),
        msg_ref=parts.word("MsgRef") or "1",
        cmd_ref=parts.word("CmdRef") or "",
        meta=_meta(parts.get("Meta")),
        target_ref=parts.word("TargetRef"),
        source_ref=parts.word("SourceRef"),
        items=_items(parts),
    )


def _alert(parts: _Parts) -> Alert:
    return Alert(
        cmd_id=_cmd_id(parts),
        no_resp=parts.has("NoResp"),
        cred=_cred(parts.get("Cred")),
        code=parts.number("Data") or 0,
        correlator=parts.exact("Correlator"),
        items=_items(parts),
    )


def _get(parts: _Parts) -> Get:
    return Get(
        cmd_id=_cmd_id(parts),
        no_resp=parts.has("NoResp"),
        lang=parts.word("Lang"),
        cred=_cred(parts.get("Cred")),
        meta=_meta(parts.get("Meta")),
        items=_items(parts),
    )


def _writing(command: type[Add] | type[Replace] | type[Copy]) -> "Callable[[_Parts], Command]":
    def read(parts: _Parts) -> Add | Replace | Copy:
        return command(
            cmd_id=_cmd_id(parts),
            no_resp=parts.has("NoResp"),
            cred=_cred(parts.get("Cred")),
            meta=_meta(parts.get("Meta")),
            items=_items(parts),
        )

    return read


def _delete(parts: _Parts) -> Delete:
    return Delete(
        cmd_id=_cmd_id(parts),
        no_resp=parts.has("NoResp"),
        archive=parts.has("Archive"),
        soft=parts.has("SftDel"),
        cred=_cred(parts.get("Cred")),
        meta=_meta(parts.get("Meta")),
        items=_items(parts),
    )


def _exec(parts: _Parts) -> Exec:
    meta = _meta(parts.get("Meta"))
    item = parts.get("Item")
    return Exec(
        cmd_id=_cmd_id(parts),
        no_resp=parts.has("NoResp"),
        cred=_cred(parts.get("Cred")),
        meta=meta,
        correlator=parts.exact("Correlator"),
        item=None if item is None else _item(item, meta),
    )


def _group(command: type[Atomic] | type[Sequence]) -> "Callable[[_Parts], Command]":
    # Groups in groups end where the decoder's limit on depth ends them.
    def read(parts: _Parts) -> Atomic | Sequence:
        return command(
            cmd_id=_cmd_id(parts),
            no_resp=parts.has("NoResp"),
            meta=_meta(parts.get("Meta")),
            commands=_commands(parts.children),
        )

    return read


def _unsupported(parts: _Parts) -> Unsupported:
    return Unsupported(cmd_id=_cmd_id(parts), no_resp=parts.has("NoResp"), name=parts.name)


_READERS: Mapping[str, Callable[[_Parts], Command]] = {
    "Status": _status,
    "Results": _results,
    "Alert": _alert,
    "Get": _get,
    "Add": _writing(Add),
    "Replace": _writing(Replace),
    "Copy": _writing(Copy),
    "Delete": _delete,
    "Exec": _exec,
    "Atomic": _group(Atomic),
    "Sequence": _group(Sequence),
    **dict.fromkeys(UNSUPPORTED, _unsupported),
}


def _cmd_id(parts: _Parts) -> str:
    return parts.word("CmdID") or ""


def _location(element: Element | None) -> Location | None:
    if element is None:
        return None
    parts = _Parts(element)
    return Location(uri=parts.word("LocURI") or "", name=parts.exact("LocName"))


def _meta(element: Element | None) -> Meta | None:
    if element is None:
        return None
    parts = _Parts(element)
    return Meta(
        format=parts.word("Format"),
        type=parts.word("Type"),
        mark=parts.word("Mark"),
        size=parts.number("Size"),
        next_nonce=parts.word("NextNonce"),
        max_msg_size=parts.number("MaxMsgSize"),
        max_obj_size=parts.number("MaxObjSize"),
    )


def _cred(element: Element | None) -> Cred | None:
    if element is None:
        return None
    parts = _Parts(element)
    return Cred(meta=_meta(parts.get("Meta")), data=parts.word("Data") or "")


def _items(parts: _Parts) -> tuple[Item, ...]:
    if not parts.has("Item"):
        return ()
    meta = _meta(parts.get("Meta"))
    return tuple(_item(child, meta) for child in parts.children if child[0] == "Item")


def _item(element: Element, command_meta: Meta | None) -> Item:
    parts = _Parts(element)
    meta = _meta(parts.get("Meta"))
    data = parts.content("Data")
    return Item(
        target=_location(parts.get("Target")),
        source=_location(parts.get("Source")),
        meta=meta,
        data=None if data is None else _data(data, meta, command_meta),
        more_data=parts.has("MoreData"),
    )


def _data(value: Content, meta: Meta | None, command_meta: Meta | None) -> str | bytes:
    """Return data as text, unless it came opaque and is binary by its format or by its look."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ""  # a tree, of which nothing is kept
    if data_format(meta, command_meta) == Format.BIN:
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _text(name: str, content: Content) -> str:
    """Return an element's text; one with children has none."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return ""
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise MalformedError(f"{name} is not text") from None
