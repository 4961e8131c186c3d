"""From elements to a message: any order, unknown elements ignored (oma-dm 4, 15, 19).

Refused is only what leaves nothing to answer: another root, no SyncHdr, no session id, no message
number. Everything else that is missing becomes the value that ``message`` names for it, and the session
answers it with the status that it deserves. Of repeated elements the first one counts.

Text is taken without the white space around it, since some clients indent; data, correlators and names
are taken exactly.
"""

import re
from collections.abc import Callable, Mapping

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


# The children of an element by name; of several with one name the first.
_Parts = Mapping[str, Content]


def _parts(content: Content) -> _Parts:
    return dict(reversed(content)) if isinstance(content, list) else {}


def _exact(parts: _Parts, name: str) -> str | None:
    content = parts.get(name)
    return content if content is None or isinstance(content, str) else _text(name, content)


def _word(parts: _Parts, name: str) -> str | None:
    content = parts.get(name)
    if isinstance(content, str):
        return content.strip()
    return None if content is None else _text(name, content).strip()


def _number(parts: _Parts, name: str) -> int | None:
    text = _word(parts, name)
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None


def _words(content: Content, name: str) -> tuple[str, ...]:
    return tuple(_text(name, found).strip() for of, found in _children(content) if of == name)


def _children(content: Content | None) -> list[Element]:
    return content if isinstance(content, list) else []


def read_message(root: Element, limits: SyncmlLimits = LIMITS) -> Message:
    """Make a message of a document."""
    name, content = root
    if name != "SyncML":
        raise MalformedError("the root element is not SyncML")
    parts = _parts(content)
    header = parts.get("SyncHdr")
    if header is None:
        raise MalformedError("there is no SyncHdr")
    body = parts.get("SyncBody")
    if body is None:
        return Message(header=_header(header, limits))
    return Message(
        header=_header(header, limits),
        commands=_commands(body),
        final="Final" in _parts(body),
    )


def _header(content: Content, limits: SyncmlLimits) -> Header:
    parts = _parts(content)
    session_id = _word(parts, "SessionID")
    if not session_id or len(session_id) > limits.session_id_chars:
        raise MalformedError(f"a SessionID has 1 to {limits.session_id_chars} characters")
    msg_id = _word(parts, "MsgID")
    if msg_id is None or not _MSG_ID.fullmatch(msg_id):
        raise MalformedError("the MsgID is not a number")
    return Header(
        ver_dtd=_word(parts, "VerDTD") or "",
        ver_proto=_word(parts, "VerProto") or "",
        session_id=session_id,
        msg_id=int(msg_id),
        target=_location(parts.get("Target")) or Location(uri=""),
        source=_location(parts.get("Source")) or Location(uri=""),
        resp_uri=_word(parts, "RespURI"),
        no_resp="NoResp" in parts,
        cred=_cred(parts.get("Cred")),
        meta=_meta(parts.get("Meta")),
    )


def _commands(content: Content) -> tuple[Command, ...]:
    known = ((_READERS.get(name), inside) for name, inside in _children(content))
    return tuple(read(inside, _parts(inside)) for read, inside in known if read is not None)


# What makes a command of what is in its element.
_Reader = Callable[[Content, _Parts], Command]


def _status(content: Content, parts: _Parts) -> Status:
    chal = parts.get("Chal")
    return Status(
        cmd_id=_cmd_id(parts),
        msg_ref=_word(parts, "MsgRef") or "",
        cmd_ref=_word(parts, "CmdRef") or "",
        cmd=_word(parts, "Cmd") or "",
        target_refs=_words(content, "TargetRef") if "TargetRef" in parts else (),
        source_refs=_words(content, "SourceRef") if "SourceRef" in parts else (),
        cred=_cred(parts.get("Cred")),
        chal=None if chal is None else Chal(meta=_meta(_parts(chal).get("Meta")) or Meta()),
        code=_number(parts, "Data") or 0,
        items=_items(content, parts),
    )


def _results(content: Content, parts: _Parts) -> Results:
    return Results(
        cmd_id=_cmd_id(parts),
        msg_ref=_word(parts, "MsgRef") or "1",
        cmd_ref=_word(parts, "CmdRef") or "",
        meta=_meta(parts.get("Meta")),
        target_ref=_word(parts, "TargetRef"),
        source_ref=_word(parts, "SourceRef"),
        items=_items(content, parts),
    )


def _alert(content: Content, parts: _Parts) -> Alert:
    return Alert(
        cmd_id=_cmd_id(parts),
        no_resp="NoResp" in parts,
        cred=_cred(parts.get("Cred")),
        code=_number(parts, "Data") or 0,
        correlator=_exact(parts, "Correlator"),
        items=_items(content, parts),
    )


def _get(content: Content, parts: _Parts) -> Get:
    return Get(
        cmd_id=_cmd_id(parts),
        no_resp="NoResp" in parts,
        lang=_word(parts, "Lang"),
        cred=_cred(parts.get("Cred")),
        meta=_meta(parts.get("Meta")),
        items=_items(content, parts),
    )


def _writing(command: type[Add] | type[Replace] | type[Copy]) -> _Reader:
    def read(content: Content, parts: _Parts) -> Add | Replace | Copy:
        return command(
            cmd_id=_cmd_id(parts),
            no_resp="NoResp" in parts,
            cred=_cred(parts.get("Cred")),
            meta=_meta(parts.get("Meta")),
            items=_items(content, parts),
        )

    return read


def _delete(content: Content, parts: _Parts) -> Delete:
    return Delete(
        cmd_id=_cmd_id(parts),
        no_resp="NoResp" in parts,
        archive="Archive" in parts,
        soft="SftDel" in parts,
        cred=_cred(parts.get("Cred")),
        meta=_meta(parts.get("Meta")),
        items=_items(content, parts),
    )


def _exec(content: Content, parts: _Parts) -> Exec:
    meta = _meta(parts.get("Meta"))
    item = parts.get("Item")
    return Exec(
        cmd_id=_cmd_id(parts),
        no_resp="NoResp" in parts,
        cred=_cred(parts.get("Cred")),
        meta=meta,
        correlator=_exact(parts, "Correlator"),
        item=None if item is None else _item(item, meta),
    )


def _group(command: type[Atomic] | type[Sequence]) -> _Reader:
    # Groups in groups end where the decoder's limit on depth ends them.
    def read(content: Content, parts: _Parts) -> Atomic | Sequence:
        return command(
            cmd_id=_cmd_id(parts),
            no_resp="NoResp" in parts,
            meta=_meta(parts.get("Meta")),
            commands=_commands(content),
        )

    return read


def _unsupported(name: str) -> _Reader:
    def read(content: Content, parts: _Parts) -> Unsupported:
        return Unsupported(cmd_id=_cmd_id(parts), no_resp="NoResp" in parts, name=name)

    return read


_READERS: Mapping[str, _Reader] = {
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
    **{name: _unsupported(name) for name in UNSUPPORTED},
}


def _cmd_id(parts: _Parts) -> str:
    return _word(parts, "CmdID") or ""


def _location(content: Content | None) -> Location | None:
    if content is None:
        return None
    parts = _parts(content)
    return Location(uri=_word(parts, "LocURI") or "", name=_exact(parts, "LocName"))


def _meta(content: Content | None) -> Meta | None:
    if content is None:
        return None
    parts = _parts(content)
    return Meta(
        format=_word(parts, "Format"),
        type=_word(parts, "Type"),
        mark=_word(parts, "Mark"),
        size=_number(parts, "Size"),
        next_nonce=_word(parts, "NextNonce"),
        max_msg_size=_number(parts, "MaxMsgSize"),
        max_obj_size=_number(parts, "MaxObjSize"),
    )


def _cred(content: Content | None) -> Cred | None:
    if content is None:
        return None
    parts = _parts(content)
    return Cred(meta=_meta(parts.get("Meta")), data=_word(parts, "Data") or "")


def _items(content: Content, parts: _Parts) -> tuple[Item, ...]:
    if "Item" not in parts:
        return ()
    meta = _meta(parts.get("Meta"))
    return tuple(_item(inside, meta) for name, inside in _children(content) if name == "Item")


def _item(content: Content, command_meta: Meta | None) -> Item:
    parts = _parts(content)
    meta = _meta(parts.get("Meta"))
    data = parts.get("Data")
    return Item(
        target=_location(parts.get("Target")),
        source=_location(parts.get("Source")),
        meta=meta,
        data=None if data is None else _data(data, meta, command_meta),
        more_data="MoreData" in parts,
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
