"""From a message to elements, in exactly the order of the document type (oma-dm 4).

Small XML parsers in modems expect that order, so it stands here once, as code, for both forms of bytes.
"""

from collections.abc import Iterable, Iterator
from typing import assert_never

from overair.protocols.syncml.codes import Format
from overair.protocols.syncml.elements import Element
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
from overair.protocols.syncml.tokens import METINF
from overair.protocols.syncml.values import UnencodableError

_Other = Results | Alert | Add | Replace | Copy | Delete | Exec | Atomic | Sequence | Unsupported


def write_message(message: Message) -> Element:
    """Make a document of a message."""
    body = [_command(command) for command in message.commands]
    body += _flag("Final", message.final)
    return _node("SyncML", [_header(message.header), _node("SyncBody", body)])


def _header(header: Header) -> Element:
    return _node(
        "SyncHdr",
        [
            Element("VerDTD", header.ver_dtd),
            Element("VerProto", header.ver_proto),
            Element("SessionID", header.session_id),
            Element("MsgID", str(header.msg_id)),
            *_location("Target", header.target),
            *_location("Source", header.source),
            *_text("RespURI", header.resp_uri),
            *_flag("NoResp", header.no_resp),
            *_cred(header.cred),
            *_meta(header.meta),
        ],
    )


def _command(command: Command) -> Element:
    # In every message several, and written in one go therefore.
    if isinstance(command, Status):
        return Element("Status", "", _status(command))
    if isinstance(command, Get):
        return Element("Get", "", _get(command))
    return _node(command_name(command), [Element("CmdID", command.cmd_id), *_content(command)])


def _content(command: _Other) -> Iterator[Element]:
    """Yield what follows the CmdID."""
    match command:
        case Results():
            yield Element("MsgRef", command.msg_ref)
            yield Element("CmdRef", command.cmd_ref)
            yield from _meta(command.meta)
            yield from _text("TargetRef", command.target_ref)
            yield from _text("SourceRef", command.source_ref)
            yield from _items(command.items)
        case Alert():
            yield from _flag("NoResp", command.no_resp)
            yield from _cred(command.cred)
            yield Element("Data", str(command.code))
            yield from _text("Correlator", command.correlator)
            yield from _items(command.items)
        case Add() | Replace() | Copy():
            yield from _flag("NoResp", command.no_resp)
            yield from _cred(command.cred)
            yield from _meta(command.meta)
            yield from _items(
                command.items, stored=not isinstance(command, Copy), meta=command.meta
            )
        case Delete():
            yield from _flag("NoResp", command.no_resp)
            yield from _flag("Archive", command.archive)
            yield from _flag("SftDel", command.soft)
            yield from _cred(command.cred)
            yield from _meta(command.meta)
            yield from _items(command.items)
        case Exec():
            yield from _flag("NoResp", command.no_resp)
            yield from _cred(command.cred)
            yield from _meta(command.meta)
            yield from _text("Correlator", command.correlator)
            yield from _items(() if command.item is None else (command.item,))
        case Atomic() | Sequence():
            yield from _flag("NoResp", command.no_resp)
            yield from _meta(command.meta)
            yield from map(_command, command.commands)
        case Unsupported():
            if command.name not in UNSUPPORTED:
                raise UnencodableError(f"there is no command {command.name!r}")
            yield from _flag("NoResp", command.no_resp)
        case _:
            assert_never(command)


def _status(status: Status) -> list[Element]:
    children = [
        Element("CmdID", status.cmd_id),
        Element("MsgRef", status.msg_ref),
        Element("CmdRef", status.cmd_ref),
        Element("Cmd", status.cmd),
    ]
    children += [Element("TargetRef", uri) for uri in status.target_refs]
    children += [Element("SourceRef", uri) for uri in status.source_refs]
    if status.cred is not None:
        children += _cred(status.cred)
    if status.chal is not None:
        children.append(_node("Chal", _meta(status.chal.meta)))
    # `int`: the codes that have names are shown by an enum's own, slow, way.
    children.append(Element("Data", str(int(status.code))))
    if status.items:
        children += _items(status.items)
    return children


def _get(get: Get) -> list[Element]:
    children = [Element("CmdID", get.cmd_id)]
    children += _flag("NoResp", get.no_resp)
    if get.lang is not None:
        children.append(Element("Lang", get.lang))
    if get.cred is not None:
        children += _cred(get.cred)
    if get.meta is not None:
        children += _meta(get.meta)
    children += _items(get.items)
    return children


def _items(
    items: Iterable[Item], *, stored: bool = False, meta: Meta | None = None
) -> Iterator[Element]:
    for item in items:
        # What is to be stored goes opaque; but text that is called binary would come out as bytes.
        opaque = stored and data_format(item.meta, meta) != Format.BIN
        children: list[Element] = []
        if item.target is not None:
            children += _location("Target", item.target)
        if item.source is not None:
            children += _location("Source", item.source)
        if item.meta is not None:
            children += _meta(item.meta)
        if item.data is not None:
            children.append(Element("Data", item.data, opaque=opaque))
        children += _flag("MoreData", item.more_data)
        yield Element("Item", "", children)


def _location(name: str, location: Location | None) -> Iterator[Element]:
    if location is not None:
        yield _node(name, [Element("LocURI", location.uri), *_text("LocName", location.name)])


def _cred(cred: Cred | None) -> Iterator[Element]:
    if cred is not None:
        yield _node("Cred", [*_meta(cred.meta), Element("Data", cred.data)])


def _meta(meta: Meta | None) -> Iterator[Element]:
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
    yield _node(
        "Meta",
        [Element(name, str(value), page=METINF) for name, value in values if value is not None],
    )


def _text(name: str, text: str | None) -> Iterator[Element]:
    if text is not None:
        yield Element(name, text)


def _flag(name: str, flag: bool) -> list[Element]:
    return [Element(name)] if flag else []


def _node(name: str, children: Iterable[Element]) -> Element:
    return Element(name, "", list(children))
