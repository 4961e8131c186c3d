"""What a device does with the server's commands of one message (oma-dm 5.2, 5.4, 5.6)."""

import base64
from dataclasses import dataclass, field, replace
from typing import assert_never

from overair.protocols.syncml.codes import AlertCode, Format, StatusCode
from overair.protocols.syncml.message import (
    Add,
    Alert,
    Atomic,
    Command,
    Copy,
    Delete,
    Exec,
    Get,
    Header,
    Item,
    Location,
    Meta,
    Replace,
    Results,
    Sequence,
    Status,
    Unsupported,
    command_name,
    data_format,
)
from overair.sim.omadm.manners import Manners, Oddity
from overair.sim.omadm.tree import DEV_INFO, Tree

_TEXT = "text/plain"


def dev_info(tree: Tree, manners: Manners) -> Replace:
    """Return the DevInfo of package 1."""
    extras = manners.has(Oddity.DEVINFO_EXTRAS)
    items: list[Item] = []
    if extras:
        items.append(
            Item(source=Location(uri="./DevInfo/Ext"), meta=Meta(format=Format.NODE), data="")
        )
    for name in DEV_INFO:
        uri = f"./DevInfo/{name}"
        leaf = tree.get(uri)
        facts = tree.facts
        # A device that shows only its update object still says who it is.
        value = leaf.value if not isinstance(leaf, int) else _told(name, facts.device_id, tree)
        meta = Meta(format=Format.CHR, type=_TEXT) if extras else None
        items.append(Item(source=Location(uri=uri), meta=meta, data=value))
    return Replace(cmd_id="", items=tuple(items))


def _told(name: str, device_id: str, tree: Tree) -> str:
    facts = tree.facts
    return {"DevId": device_id, "Man": facts.make, "Mod": facts.model}.get(
        name, "1.2" if name == "DmV" else "en-US"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a message's commands came to."""

    statuses: tuple[Command, ...]
    results: tuple[Command, ...]
    is_aborted: bool


@dataclass(slots=True)
class _Large:
    """An object that comes in pieces."""

    uri: str
    size: int | None
    pieces: list[str | bytes] = field(default_factory=list)

    def joined(self) -> str | bytes:
        texts = [piece for piece in self.pieces if isinstance(piece, str)]
        if len(texts) == len(self.pieces):
            return "".join(texts)
        return b"".join(p.encode() if isinstance(p, str) else p for p in self.pieces)


class Desk:
    """Carries commands out on the tree, and writes down what is to be said of it."""

    def __init__(self, tree: Tree, manners: Manners, *, agrees: bool) -> None:
        self.tree = tree
        self._manners = manners
        # What the user says when asked.
        self._agrees = agrees
        self._large: _Large | None = None
        self._header = Header(
            session_id="", msg_id=0, target=Location(uri=""), source=Location(uri="")
        )
        self._statuses: list[Command] = []
        self._results: list[Results] = []
        self._aborted = False
        self._wants_more = False
        self._is_asked = False

    def begin(self, header: Header) -> None:
        """Start on a message."""
        self._header = header
        self._statuses = []
        self._results = []
        self._aborted = self._wants_more = self._is_asked = False

    def take(self, command: Command) -> None:
        """Carry one command out."""
        match command:
            case Alert():
                self._say(command, self._alert(command), no_resp=command.no_resp)
            case Get():
                codes = [self._get(command, item) for item in command.items]
                self._say(command, _worst(codes), no_resp=command.no_resp)
            case Replace() | Add():
                codes = [self._store(command, item) for item in command.items]
                self._say(command, _worst(codes), no_resp=command.no_resp)
            case Exec():
                self._exec(command)
            case Delete() | Copy():
                self._say(command, StatusCode.NOT_ALLOWED, no_resp=command.no_resp)
            case Atomic() | Sequence():
                self._say(command, StatusCode.OPTIONAL_FEATURE_MISSING, no_resp=command.no_resp)
            case Unsupported():
                self._say(command, StatusCode.NOT_SUPPORTED, no_resp=command.no_resp)
            case Status() | Results():
                raise AssertionError("answers are not commands")
            case _:
                assert_never(command)

    def end(self, *, is_final: bool) -> Done:
        """Return what is to be answered; of a package that goes on, the next message is asked for."""
        # A message that asks for more of ours is not Final either, and is not cut.
        if self._wants_more or not (is_final or self._is_asked):
            self._statuses.append(Alert(cmd_id="", code=AlertCode.NEXT_MESSAGE))
        results = self._results
        if self._manners.has(Oddity.RESULTS_IN_ONE) and len(results) > 1:
            results = [
                replace(results[0], items=tuple(item for one in results for item in one.items))
            ]
        return Done(
            statuses=tuple(self._statuses), results=tuple(results), is_aborted=self._aborted
        )

    def _say(
        self, command: Command, code: int, *, no_resp: bool, target_refs: tuple[str, ...] = ()
    ) -> None:
        if not no_resp and not self._header.no_resp:
            self._statuses.append(
                Status(
                    cmd_id="",
                    msg_ref=str(self._header.msg_id),
                    cmd_ref=command.cmd_id,
                    cmd=command_name(command),
                    target_refs=target_refs,
                    code=code,
                )
            )

    def _alert(self, alert: Alert) -> int:
        if alert.code == AlertCode.SESSION_ABORT:
            self._aborted = True
        elif alert.code == AlertCode.NEXT_MESSAGE:
            self._is_asked = True
        elif alert.code == AlertCode.CONFIRM and not self._agrees:
            return StatusCode.NOT_MODIFIED
        return StatusCode.OK

    def _get(self, command: Get, item: Item) -> int:
        if item.target is None:
            return StatusCode.INCOMPLETE_COMMAND
        found = self.tree.get(item.target.uri)
        if isinstance(found, int):
            return found
        self._results.append(
            Results(
                cmd_id="",
                msg_ref=str(self._header.msg_id),
                cmd_ref=command.cmd_id,
                items=(
                    Item(
                        source=Location(uri=item.target.uri),
                        meta=Meta(format=found.format, type=_TEXT),
                        data=found.value,
                    ),
                ),
            )
        )
        return StatusCode.OK

    def _store(self, command: Replace | Add, item: Item) -> int:
        if item.target is None:
            return StatusCode.INCOMPLETE_COMMAND
        uri = item.target.uri
        data: str | bytes = "" if item.data is None else item.data
        large = self._large
        if large is not None and large.uri != uri:
            # It broke off: that is said, and the object is lost (oma-dm 5.4).
            self._large = large = None
            self._statuses.append(Alert(cmd_id="", code=AlertCode.NO_END_OF_DATA))
        if item.more_data or large is not None:
            if large is None:
                size = None if item.meta is None else item.meta.size
                if not self._is_welcome(size):
                    return StatusCode.OBJECT_TOO_BIG
                self._large = large = _Large(uri, size)
            large.pieces.append(data)
            if item.more_data:
                self._wants_more = True
                return StatusCode.CHUNK_ACCEPTED
            self._large = None
            data = large.joined()
            if large.size is not None and len(data) != large.size:
                return StatusCode.SIZE_MISMATCH
        if data_format(item.meta, command.meta) in (Format.BIN, Format.B64):
            data = _binary(data)
        if isinstance(command, Add):
            return self.tree.add(uri, data)
        return self.tree.replace(uri, data)

    def _is_welcome(self, size: int | None) -> bool:
        limit = self._manners.max_obj_size
        return limit is None or size is None or size <= limit

    def _exec(self, command: Exec) -> None:
        target = None if command.item is None else command.item.target
        if target is None:
            self._say(command, StatusCode.INCOMPLETE_COMMAND, no_resp=command.no_resp)
            return
        code = self.tree.execute(target.uri, command.correlator)
        named = not self._manners.has(Oddity.NO_TARGET_REF)
        self._say(
            command,
            code,
            no_resp=command.no_resp,
            target_refs=(target.uri,) if named else (),
        )


def _worst(codes: list[int]) -> int:
    return max(codes, default=int(StatusCode.INCOMPLETE_COMMAND))


def _binary(data: str | bytes) -> str | bytes:
    if isinstance(data, bytes):
        return data
    try:
        return base64.b64decode(data, validate=True)
    except ValueError:
        return data
