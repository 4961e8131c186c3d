"""Generic alerts: the results of an Exec, and the device's own questions (oma-dm 7.3, 7.4, 18.1).

A result's number stands in its item's Data; some put words behind it, or in an item of their own. Only
one thing hangs on the words: 402 and 403 with one of a carrier's words for "later" are not failures.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from overair.protocols.omadm.events import Meaning, Reported, Why
from overair.protocols.omadm.nodes import is_name, node_of, text_of
from overair.protocols.omadm.session import Report
from overair.protocols.syncml import fumo
from overair.protocols.syncml.fumo import AlertType, Outcome
from overair.protocols.syncml.message import Item

_WHY = {
    fumo.Failure.DECLINED: Why.DECLINED,
    fumo.Failure.DOWNLOAD: Why.DOWNLOAD_FAILED,
    fumo.Failure.INSTALL: Why.INSTALL_FAILED,
}
_DEFERRABLE = {fumo.Result.PACKAGE_CORRUPTED, fumo.Result.PACKAGE_MISMATCH}
_LATER = re.compile(r"DEFERRED|\bLOW_BATTERY\b|\bLOW_MEMORY\b", re.IGNORECASE)
_CODE_AND_WORDS = re.compile(r"\s*([0-9]{1,9})(?:[\s,;:]+(.*))?", re.DOTALL)
_STEPS = re.compile(r"/(?:DownloadAndUpdate|Download|Update)(?:/(?:PkgURL|PkgData))?/?\Z")
_MOST_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What the items of one alert say."""

    reported: tuple[Reported, ...] = ()
    reports: tuple[Report, ...] = ()
    requests: tuple[AlertType, ...] = ()


def read_items(correlator: str, items: Sequence[Item]) -> Results:
    """Read the items of a generic alert; those of unknown types say nothing to us."""
    reported: list[Reported] = []
    reports: list[Report] = []
    requests: list[AlertType] = []
    for at, item in enumerate(items):
        kind = _kind(item)
        if kind is None:
            continue
        if not kind.is_result:
            requests.append(kind)
            continue
        words = [text_of(other.data) for other in items[at + 1 :] if _kind(other) is None]
        one = _reported(correlator, kind, text_of(item.data), words)
        reported.append(one)
        reports.append(
            Report(
                correlator=correlator,
                kind=kind,
                meaning=one.meaning,
                root=_root(node_of(item)),
            )
        )
    return Results(reported=tuple(reported), reports=tuple(reports), requests=tuple(requests))


def _kind(item: Item) -> AlertType | None:
    meta = item.meta
    return None if meta is None or meta.type is None else fumo.alert_type(meta.type)


def _root(uri: str) -> str:
    """Return the update object's root, from the node that a report is of; empty: it does not tell."""
    root = _STEPS.sub("", uri)
    return root if root.startswith("./") and is_name(root) else ""


def _reported(correlator: str, kind: AlertType, data: str, words: list[str]) -> Reported:
    found = _CODE_AND_WORDS.fullmatch(data)
    # What is no number is kept as text (oma-dm 7.4).
    code = fumo.result_code(found[1]) if found else None
    text = " ".join(word for word in (found[2] if found else data, *words) if word)
    meaning = _meaning(kind, code, text)
    return Reported(
        correlator=correlator,
        kind=kind,
        code=code,
        meaning=meaning,
        why=_WHY[fumo.failure(code, kind)] if meaning is Meaning.FAILED else None,
        text="".join(filter(str.isprintable, text[:_MOST_CHARS])),
    )


def _meaning(kind: AlertType, code: int | None, text: str) -> Meaning:
    match fumo.outcome(code):
        case Outcome.PROGRESS:
            return Meaning.PROGRESS
        case Outcome.SUCCESS:
            return Meaning.DOWNLOADED if kind is AlertType.DOWNLOAD else Meaning.INSTALLED
        case Outcome.FAILURE:
            later = code in _DEFERRABLE and _LATER.search(text) is not None
            return Meaning.DEFERRED if later else Meaning.FAILED
        case said:
            assert_never(said)
