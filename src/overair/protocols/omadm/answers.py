"""What the answers to our commands mean: versions, states, where the update object is, Execs.

A command that was refused is an answer too: the session goes on without that value (oma-dm 6).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from overair.protocols.omadm import nodes
from overair.protocols.omadm.events import (
    Event,
    ExecAccepted,
    ExecRefused,
    InventoryRead,
    VersionRead,
    Why,
)
from overair.protocols.omadm.knowledge import Knowledge
from overair.protocols.omadm.session import Sent, Session, Verb
from overair.protocols.syncml.codes import StatusCode, is_success

_STATE = "/State"
EXEC_ACCEPTED = frozenset({StatusCode.OK, StatusCode.ACCEPTED})

_NOTHING = InventoryRead()


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What came out of the answers."""

    knowledge: Knowledge
    events: tuple[Event, ...]


def learn(knowledge: Knowledge, answered: Iterable[Sent], now: datetime) -> Learned:
    """Read the answers of one package."""
    events: list[Event] = []
    inventory = _NOTHING
    for sent in answered:
        ask, code = sent.ask, sent.code or StatusCode.COMMAND_FAILED
        if ask.verb is Verb.EXEC and ask.step is not None:
            correlator = ask.correlator or ""
            if code in EXEC_ACCEPTED:
                events.append(ExecAccepted(correlator=correlator, step=ask.step, code=code))
            else:
                events.append(
                    ExecRefused(
                        correlator=correlator, step=ask.step, code=code, why=why_refused(code)
                    )
                )
        if ask.verb is not Verb.GET:
            continue
        value = sent.value if is_success(code) else None
        knowledge, inventory = _learn_one(knowledge, inventory, ask.uri, code, value, now)
        if ask.uri == nodes.FIRMWARE_VERSION and (version := nodes.short_text(value)) is not None:
            events.append(VersionRead(version=version))
    if inventory is not _NOTHING and inventory != _NOTHING:
        events.append(inventory)
    return Learned(knowledge=knowledge, events=tuple(events))


def why_refused(code: int) -> Why:
    """Return why a device did not take a command: its user may have said no."""
    return Why.DECLINED if code == StatusCode.NOT_MODIFIED else Why.REFUSED


def version_of(session: Session) -> str | None:
    """Return the version that was read in this session."""
    return nodes.short_text(session.value(nodes.FIRMWARE_VERSION))


def state_of(session: Session, root: str) -> int | None:
    """Return the State that was read in this session; None: absent, refused, or no number."""
    return nodes.number(session.value(root + _STATE))


def _learn_one(
    knowledge: Knowledge,
    inventory: InventoryRead,
    uri: str,
    code: int,
    value: str | None,
    now: datetime,
) -> tuple[Knowledge, InventoryRead]:
    text = nodes.short_text(value)
    if uri == nodes.FIRMWARE_VERSION and text is not None:
        return replace(knowledge, version=text), inventory
    if uri == nodes.SOFTWARE_VERSION:
        knowledge = replace(knowledge, inventory_at=now)
        return knowledge, replace(inventory, software_version=text)
    if uri == nodes.HARDWARE_VERSION:
        return knowledge, replace(inventory, hardware_version=text)
    if uri == nodes.LARGE_OBJECTS:
        known = nodes.flag(value)
        return replace(knowledge, large_objects=known), replace(inventory, large_objects=known)
    if uri.endswith(_STATE):
        root = uri.removesuffix(_STATE)
        if value is not None and inventory.fumo_root is None:
            knowledge = replace(knowledge, fumo_root=root)
            return knowledge, replace(inventory, fumo_root=root, state=nodes.number(value))
        if code == StatusCode.NOT_FOUND and knowledge.fumo_root == root:
            return replace(knowledge, fumo_root=None), inventory
    return knowledge, inventory
