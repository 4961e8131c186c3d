"""From a message to a form of bytes, in exactly the order of the document type (oma-dm 4).

Small XML parsers in modems expect that order, so it stands here once, as code, for both forms: ``Sink``
is what they have in common.
"""

from collections.abc import Iterable
from typing import Protocol, assert_never

from overair.protocols.syncml.codes import Format
from overair.protocols.syncml.message import (
    UNSUPPORTED,
    Add,
    Alert,
    Atomic,
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
    command_name,
    data_format,
)
from overair.protocols.syncml.values import UnencodableError

_Other = Results | Alert | Add | Replace | Copy | Delete | Exec | Atomic | Sequence | Unsupported


class Sink(Protocol):
    """A document that is being written."""

    def open(self, name: str) -> int:
        """Begin an element; return what its end has to be given."""
        ...

    def close(self, name: str, mark: int) -> None:
        """End it."""
        ...

    def leaves(self, leaves: Iterable[tuple[str, str]]) -> None:
        """Write elements that have text, or nothing."""
        ...

    def meta(self, leaves: list[tuple[str, str]]) -> None:
        """Write a Meta of these elements."""
        ...

    def data(self, value: str | bytes, *, stored: bool) -> None:
        """Write an Item's Data; ``stored``: it is to be kept as it is."""
        ...


def write_message(message: Message, out: Sink) -> None:
    """Write a message. Raises UnencodableError."""
    root = out.open("SyncML")
    _header(out, message.header)
    body = out.open("SyncBody")
    for command in message.commands:
        _command(out, command)
    _flag(out, "Final", message.final)
    out.close("SyncBody", body)
    out.close("SyncML", root)


def _header(out: Sink, header: Header) -> None:
    mark = out.open("SyncHdr")
    out.leaves(
        (
            ("VerDTD", header.ver_dtd),
            ("VerProto", header.ver_proto),
            ("SessionID", header.session_id),
            ("MsgID", str(header.msg_id)),
        )
    )
    _location(out, "Target", header.target)
    _location(out, "Source", header.source)
    _text(out, "RespURI", header.resp_uri)
    _flag(out, "NoResp", header.no_resp)
    _cred(out, header.cred)
    _meta(out, header.meta)
    out.close("SyncHdr", mark)


def _command(out: Sink, command: Command) -> None:
    name = command_name(command)
    if isinstance(command, Unsupported) and name not in UNSUPPORTED:
        raise UnencodableError(f"there is no command {name!r}")
    mark = out.open(name)
    if isinstance(command, Status):
        _status(out, command)
    else:
        out.leaves((("CmdID", command.cmd_id),))
        if isinstance(command, Get):
            _get(out, command)
        else:
            _content(out, command)
    out.close(name, mark)


def _content(out: Sink, command: _Other) -> None:
    """Write what follows the CmdID."""
    match command:
        case Results():
            out.leaves((("MsgRef", command.msg_ref), ("CmdRef", command.cmd_ref)))
            _meta(out, command.meta)
            _text(out, "TargetRef", command.target_ref)
            _text(out, "SourceRef", command.source_ref)
            _items(out, command.items)
        case Alert():
            _flag(out, "NoResp", command.no_resp)
            _cred(out, command.cred)
            out.leaves((("Data", str(int(command.code))),))
            _text(out, "Correlator", command.correlator)
            _items(out, command.items)
        case Add() | Replace() | Copy():
            _flag(out, "NoResp", command.no_resp)
            _cred(out, command.cred)
            _meta(out, command.meta)
            _items(out, command.items, stored=not isinstance(command, Copy), meta=command.meta)
        case Delete():
            _flag(out, "NoResp", command.no_resp)
            _flag(out, "Archive", command.archive)
            _flag(out, "SftDel", command.soft)
            _cred(out, command.cred)
            _meta(out, command.meta)
            _items(out, command.items)
        case Exec():
            _flag(out, "NoResp", command.no_resp)
            _cred(out, command.cred)
            _meta(out, command.meta)
            _text(out, "Correlator", command.correlator)
            _items(out, () if command.item is None else (command.item,))
        case Atomic() | Sequence():
            _flag(out, "NoResp", command.no_resp)
            _meta(out, command.meta)
            for inner in command.commands:
                _command(out, inner)
        case Unsupported():
            _flag(out, "NoResp", command.no_resp)
        case _:
            assert_never(command)


def _status(out: Sink, status: Status) -> None:
    leaves = [
        ("CmdID", status.cmd_id),
        ("MsgRef", status.msg_ref),
        ("CmdRef", status.cmd_ref),
        ("Cmd", status.cmd),
    ]
    leaves += [("TargetRef", uri) for uri in status.target_refs]
    leaves += [("SourceRef", uri) for uri in status.source_refs]
    out.leaves(leaves)
    _cred(out, status.cred)
    if status.chal is not None:
        mark = out.open("Chal")
        _meta(out, status.chal.meta)
        out.close("Chal", mark)
    # `int`: the codes that have names are shown by an enum's own, slow, way.
    out.leaves((("Data", str(int(status.code))),))
    _items(out, status.items)


def _get(out: Sink, get: Get) -> None:
    _flag(out, "NoResp", get.no_resp)
    _text(out, "Lang", get.lang)
    _cred(out, get.cred)
    _meta(out, get.meta)
    _items(out, get.items)


def _items(
    out: Sink, items: Iterable[Item], *, stored: bool = False, meta: Meta | None = None
) -> None:
    for item in items:
        mark = out.open("Item")
        _location(out, "Target", item.target)
        _location(out, "Source", item.source)
        _meta(out, item.meta)
        if item.data is not None:
            # Text that is called binary would come out as bytes, were it opaque.
            opaque = stored and data_format(item.meta, meta) != Format.BIN
            out.data(item.data, stored=opaque)
        _flag(out, "MoreData", item.more_data)
        out.close("Item", mark)


def _location(out: Sink, name: str, location: Location | None) -> None:
    if location is None:
        return
    mark = out.open(name)
    out.leaves((("LocURI", location.uri),))
    _text(out, "LocName", location.name)
    out.close(name, mark)


def _cred(out: Sink, cred: Cred | None) -> None:
    if cred is None:
        return
    mark = out.open("Cred")
    _meta(out, cred.meta)
    out.leaves((("Data", cred.data),))
    out.close("Cred", mark)


def _meta(out: Sink, meta: Meta | None) -> None:
    if meta is None:
        return
    values = (
        ("Format", meta.format),
        ("Type", meta.type),
        ("Mark", meta.mark),
        ("Size", meta.size),
        ("NextNonce", meta.next_nonce),
        ("MaxMsgSize", meta.max_msg_size),
        ("MaxObjSize", meta.max_obj_size),
    )
    out.meta([(name, str(value)) for name, value in values if value is not None])


def _text(out: Sink, name: str, text: str | None) -> None:
    if text is not None:
        out.leaves(((name, text),))


def _flag(out: Sink, name: str, flag: bool) -> None:
    if flag:
        out.leaves(((name, ""),))
