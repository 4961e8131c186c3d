"""From a decision to a message that is no bigger than the client takes (oma-dm 5.2 to 5.4).

A message begins with the Status of what it answers, then those that are owed, then what was decided.
What does not fit waits: a Status for the next message, for which the client asks; a command until it is
decided anew. A package inside the session goes in pieces, each the same command with a new id; the first
says how long the whole is, and all but the last that there is more.

``Final`` is in every message but one that asks for the client's next, and one whose package goes on.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import NamedTuple

from overair.protocols.omadm.decide import Next
from overair.protocols.omadm.session import Ask, Outgoing, Owed, Sent, Session, Verb
from overair.protocols.syncml.codec import Form, encode
from overair.protocols.syncml.codes import HEADER_REF, SYNC_HDR, AlertCode, Format, is_success
from overair.protocols.syncml.message import (
    Add,
    Alert,
    Chal,
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
    Status,
)

_TEXT = "text/plain"
_BYTES = "application/octet-stream"
# So much goes out however little the client says that it takes.
_LEAST_PARTS = 2
_LEAST_PIECE = 16
# What the length of opaque data may take more than that of none.
_LENGTH_BYTES = 4


class Frame(NamedTuple):
    """Everything of a message but its commands."""

    form: Form
    most: int
    """How big it may be."""
    header: Header
    answers: Header | None
    """The header that gets a Status; None: it asked for none."""
    code: int
    chal: Chal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A message, and what it leaves of the session."""

    body: bytes
    session: Session


def frame(
    session: Session,
    *,
    form: Form,
    asked: Header,
    code: int,
    address: str,
    msg_id: int,
    name: str | None = None,
    cred: Cred | None = None,
    chal: Chal | None = None,
    meta: Meta | None = None,
) -> Frame:
    """Return the frame of the reply to a message with the header ``asked``."""
    return Frame(
        form=form,
        most=session.max_msg_size,
        header=Header(
            session_id=asked.session_id,
            msg_id=msg_id,
            target=Location(uri=asked.source.uri),
            source=Location(uri=address, name=name),
            cred=cred,
            meta=meta,
        ),
        # Who is not let in has to be told, and how to get in.
        answers=None if asked.no_resp and is_success(code) and chal is None else asked,
        code=code,
        chal=chal,
    )


def payload(data: bytes, form: Form) -> str | bytes:
    """Return a package as it stands in Data: raw where that can be, otherwise as base64 text."""
    return data if form.media_type.is_wbxml else base64.b64encode(data).decode()


def write_bare(frame: Frame, owed: Sequence[Owed] = (), *, abort: bool = False) -> bytes:
    """Write a message of nothing but Statuses, which ends what it answers."""
    alerts = [AlertCode.SESSION_ABORT] if abort else []
    fitted = _fit(frame, len(owed), lambda n: _message(frame, owed[:n], alerts, (), final=True))
    return fitted.body


def write(
    frame: Frame, session: Session, decided: Next, *, tell_lost: bool, package: str | bytes | None
) -> Written:
    """Write what was decided; ``package`` is there where the decision may need it."""
    alerts = _alerts(decided, tell_lost)
    owed = session.owed
    asks = decided.asks
    if decided.again:
        asks = tuple(sent.ask for sent in session.sent)
    outgoing = _from_where(session, decided, asks, package)
    if outgoing is not None and package is not None:
        return _write_piece(frame, session, alerts, outgoing, package)

    def first(n: int) -> Message:
        final = n >= len(owed) and not decided.next_message
        now = asks[: max(0, n - len(owed))]
        return _message(
            frame, owed[:n], alerts, [partial(_command, ask) for ask in now], final=final
        )

    fitted = _fit(frame, len(owed) + len(asks), first)
    n, message = fitted.parts, fitted.message
    sent = asks[: max(0, n - len(owed))]
    kept = session.sent if decided.next_message else _sent(message, sent)
    return Written(
        body=fitted.body,
        session=session.but(
            server_msg=frame.header.msg_id,
            sent=kept,
            owed=owed[n:],
            outgoing=session.outgoing if decided.next_message else None,
            refused=session.refused and decided.next_message,
            more=not message.final and not decided.next_message,
            ended=session.ended or decided.ends,
        ),
    )


def _alerts(decided: Next, tell_lost: bool) -> list[AlertCode]:
    wanted = [
        (AlertCode.NO_END_OF_DATA, tell_lost),
        (AlertCode.NEXT_MESSAGE, decided.next_message),
        (AlertCode.SESSION_ABORT, decided.abort),
    ]
    return [code for code, is_wanted in wanted if is_wanted]


def _from_where(
    session: Session, decided: Next, asks: tuple[Ask, ...], package: str | bytes | None
) -> Outgoing | None:
    """Return where the next piece of a package begins; None: none is to be sent."""
    under_way = session.outgoing
    if under_way is not None and decided.next_piece:
        return replace(under_way, begin=under_way.end)
    if under_way is not None and decided.from_start:
        return replace(under_way, begin=0, restarted=True)
    if under_way is not None and decided.again:
        return under_way
    if package is not None and asks and asks[0].package:
        return Outgoing(ask=asks[0], size=len(package))
    return None


def _write_piece(
    frame: Frame,
    session: Session,
    alerts: list[AlertCode],
    outgoing: Outgoing,
    package: str | bytes,
) -> Written:
    def piece(n: int, end: int) -> Message:
        commands = [] if n < len(session.owed) else [partial(_piece, outgoing, package, end)]
        final = bool(commands) and end == len(package)
        return _message(frame, session.owed[:n], alerts, commands, final=final)

    begin = outgoing.begin
    # What there is beside the data, measured with one byte of it.
    one = len(encode(piece(len(session.owed), min(begin + 1, len(package))), frame.form))
    room = max(frame.most - one - _LENGTH_BYTES, _LEAST_PIECE)
    end = min(begin + room, len(package))
    fitted = _fit(frame, len(session.owed), lambda n: piece(n, end))
    n, message = fitted.parts, fitted.message
    sent = _sent(message, (outgoing.ask,) if n == len(session.owed) else ())
    return Written(
        body=fitted.body,
        session=session.but(
            server_msg=frame.header.msg_id,
            sent=sent,
            owed=session.owed[n:],
            # Where there was no room for it, it goes next.
            outgoing=replace(outgoing, end=end if sent else outgoing.begin),
            refused=False,
            more=not message.final,
        ),
    )


def _piece(outgoing: Outgoing, package: str | bytes, end: int, cmd_id: str) -> Command:
    more = end < len(package)
    binary = isinstance(package, bytes)
    meta = Meta(
        format=Format.BIN if binary else Format.B64,
        type=_BYTES,
        size=len(package) if more and outgoing.begin == 0 else None,
    )
    data = package[outgoing.begin : end]
    return _writing(outgoing.ask, cmd_id, meta, data, more=more)


def _command(ask: Ask, cmd_id: str) -> Command:
    target = Location(uri=ask.uri)
    if ask.verb is Verb.GET:
        return Get(cmd_id=cmd_id, items=(Item(target=target),))
    if ask.verb is Verb.EXEC:
        return Exec(cmd_id=cmd_id, correlator=ask.correlator, item=Item(target=target))
    return _writing(ask, cmd_id, Meta(format=Format.CHR, type=_TEXT), ask.data or "")


def _writing(
    ask: Ask, cmd_id: str, meta: Meta, data: str | bytes, *, more: bool = False
) -> Add | Replace:
    items = (Item(target=Location(uri=ask.uri), meta=meta, data=data, more_data=more),)
    return (Add if ask.verb is Verb.ADD else Replace)(cmd_id=cmd_id, items=items)


def _sent(message: Message, asks: Sequence[Ask]) -> tuple[Sent, ...]:
    """Return the commands under way: they are the last of the message."""
    last = message.commands[len(message.commands) - len(asks) :]
    return tuple(
        Sent(msg=message.header.msg_id, cmd=command.cmd_id, ask=ask)
        for command, ask in zip(last, asks, strict=True)
    )


def _message(
    frame: Frame,
    owed: Sequence[Owed],
    alerts: Sequence[AlertCode],
    commands: Sequence[Callable[[str], Command]],
    *,
    final: bool,
) -> Message:
    """Put a message together; its commands are numbered from 1."""
    ids = map(str, count(1))
    body: list[Command] = []
    if frame.answers is not None:
        asked = frame.answers
        body.append(
            Status(
                cmd_id=next(ids),
                msg_ref=str(asked.msg_id),
                cmd_ref=HEADER_REF,
                cmd=SYNC_HDR,
                target_refs=_uris(asked.target),
                source_refs=_uris(asked.source),
                chal=frame.chal,
                code=frame.code,
            )
        )
    for each in owed:
        status = Status(
            cmd_id=next(ids), msg_ref=each.msg, cmd_ref=each.cmd, cmd=each.name, code=each.code
        )
        body.append(status)
    body += (Alert(cmd_id=next(ids), code=code) for code in alerts)
    body += (command(next(ids)) for command in commands)
    return Message(header=frame.header, commands=tuple(body), final=final)


def _uris(location: Location) -> tuple[str, ...]:
    return (location.uri,) if location.uri else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fitted:
    """A message of the first parts of what there is to say."""

    parts: int
    message: Message
    body: bytes


def _fit(frame: Frame, most: int, first: Callable[[int], Message]) -> _Fitted:
    """Return the message of as many parts as fit into it.

    Where not even one does, the client's word on its size is no use: two of them go, because one is owed
    for the very wish to have the next message.
    """

    def fitted(parts: int) -> _Fitted:
        message = first(parts)
        return _Fitted(parts=parts, message=message, body=encode(message, frame.form))

    whole = fitted(most)
    if most <= 1 or len(whole.body) <= frame.most:
        return whole
    best, too_many = fitted(1), most
    if len(best.body) > frame.most:
        return fitted(_LEAST_PARTS)
    while too_many - best.parts > 1:
        middle = fitted((best.parts + too_many) // 2)
        if len(middle.body) <= frame.most:
            best = middle
        else:
            too_many = middle.parts
    return best
