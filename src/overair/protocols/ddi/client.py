"""The device's half of DDI: answers of a server read, requests written.

Written apart from the server's half and as strict as the strictest client that was met: where
SWUpdate or rauc-hawkbit-updater gave up on an answer, this raises ``DdiAnswerError`` (http-ddi 5.1,
5.3). So a simulated fleet finds what would have stopped a real one. It also reads what a hawkBit
server sends: several chunks, several artifacts, unknown members.

Not in here: what a device does with an answer (``sim.device``), connections.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

_SLEEP = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])")
_ACTION = re.compile(r"/(?:deploymentBase|cancelAction)/([0-9]+)(?:[/?#]|$)")
_DIGITS = re.compile(r"[0-9]{1,10}")
_LARGEST_ACTION_ID = 2**31 - 1
_SHA1 = re.compile(r"[0-9a-fA-F]{40}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")

_PHASE_WORDS = ("forced", "attempt", "skip")
_WINDOW_WORDS = ("available", "unavailable")


class DdiAnswerError(Exception):
    """An answer that a device cannot use; the text names the member."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionLink:
    """A link to an action: where, and which."""

    href: str
    action_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """What the base resource shows."""

    sleep_s: int
    deployment: ActionLink | None = None
    cancel: ActionLink | None = None
    config_data: str | None = None
    log: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One file to fetch and the digests it must have."""

    file_name: str
    size_bytes: int
    href: str
    sha1: str
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One thing to install: its name, its version and its files."""

    part: str
    name: str
    version: str
    metadata: tuple[tuple[str, str], ...]
    downloads: tuple[Download, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A deployment as the device understands it."""

    action_id: int
    download: str
    update: str
    window: str | None
    chunks: tuple[Chunk, ...]


def base_url(server: str, tenant: str, controller_id: str) -> str:
    """The address a client polls, put together as clients do."""
    return (
        f"{server.rstrip('/')}/{quote(tenant, safe='')}"
        f"/controller/v1/{quote(controller_id, safe='')}"
    )


def feedback_url(base: str, resource: str, action_id: int) -> str:
    """Where SWUpdate sends a report: built from the action's number, not from a link."""
    return f"{base}/{resource}/{action_id}/feedback"


def read_poll(body: bytes) -> Poll:
    """Read the answer to a poll."""
    document = _object(body)
    sleep = _member(_member(document, "config", dict), "polling", dict).get("sleep")
    if not isinstance(sleep, str) or not (matched := _SLEEP.fullmatch(sleep)):
        raise DdiAnswerError(f"config.polling.sleep: {sleep!r} is not HH:MM:SS")
    links = document.get("_links") or {}
    if not isinstance(links, dict):
        raise DdiAnswerError("_links: not an object")
    hours, minutes, seconds = (int(part) for part in matched.groups())
    return Poll(
        sleep_s=hours * 3600 + minutes * 60 + seconds,
        deployment=_action_link(links, "deploymentBase"),
        cancel=_action_link(links, "cancelAction"),
        config_data=_href(links, "configData"),
        log=_href(links, "log"),
    )


def read_offer(body: bytes) -> Offer:
    """Read a deployment."""
    document = _object(body)
    deployment = _member(document, "deployment", dict)
    window = deployment.get("maintenanceWindow")
    if window is not None and window not in _WINDOW_WORDS:
        raise DdiAnswerError(f"maintenanceWindow: {window!r}")
    chunks = _member(deployment, "chunks", list)
    if not chunks:
        raise DdiAnswerError("chunks: empty")
    return Offer(
        action_id=_action_id(document.get("id"), "id"),
        download=_phase(deployment, "download"),
        update=_phase(deployment, "update"),
        window=window,
        chunks=tuple(_chunk(chunk) for chunk in chunks),
    )


def read_cancel(body: bytes) -> int:
    """Read a cancellation: the id of the action to stop."""
    document = _object(body)
    return _action_id(_member(document, "cancelAction", dict).get("stopId"), "stopId")


def write_feedback(
    action_id: int, execution: str, finished: str, details: Iterable[str] = ()
) -> bytes:
    """Write a status report as SWUpdate does."""
    return json.dumps(
        {
            "id": str(action_id),
            "status": {
                "result": {"finished": finished},
                "execution": execution,
                "details": list(details),
            },
        }
    ).encode()


def write_config_data(attributes: Mapping[str, str]) -> bytes:
    """Write attributes as the C and Python clients do: no mode, and members of an older protocol."""
    return json.dumps(
        {
            "id": "",
            "status": {
                "result": {"finished": "success"},
                "execution": "closed",
                "details": [],
            },
            "data": dict(attributes),
        }
    ).encode()


def write_log(entries: Iterable[tuple[str, str]]) -> bytes:
    """Write log entries, each an ISO 8601 instant and a text."""
    return json.dumps(
        [{"logType": "SoftwareUpdate", "logTime": at, "eventLog": text} for at, text in entries]
    ).encode()


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DdiAnswerError(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise DdiAnswerError("not an object")
    return document


def _member(parent: dict[str, Any], name: str, kind: type) -> Any:
    value = parent.get(name)
    if not isinstance(value, kind):
        raise DdiAnswerError(f"{name}: {value!r} is not a {kind.__name__}")
    return value


def _text(parent: dict[str, Any], name: str) -> str:
    value = parent.get(name)
    if not isinstance(value, str) or not value:
        raise DdiAnswerError(f"{name}: {value!r} is not a text")
    return value


def _href(links: dict[str, Any], relation: str) -> str | None:
    if relation not in links:
        return None
    href = _text(_member(links, relation, dict), "href")
    if not href.startswith(("http://", "https://")):
        raise DdiAnswerError(f"{relation}: {href!r} is not absolute")
    return href


def _action_link(links: dict[str, Any], relation: str) -> ActionLink | None:
    href = _href(links, relation)
    if href is None:
        return None
    if not (matched := _ACTION.search(href)):
        raise DdiAnswerError(f"{relation}: no action id in {href!r}")
    return ActionLink(href=href, action_id=_action_id(matched[1], relation))


def _action_id(value: object, name: str) -> int:
    # A string of digits that fits 32 bits: SWUpdate took a UUID for a number and reported on that.
    if not isinstance(value, str) or not _DIGITS.fullmatch(value):
        raise DdiAnswerError(f"{name}: {value!r} is not a string of digits")
    number = int(value)
    if number > _LARGEST_ACTION_ID:
        raise DdiAnswerError(f"{name}: {value!r} is above 2^31")
    return number


def _phase(deployment: dict[str, Any], name: str) -> str:
    word = deployment.get(name)
    if word not in _PHASE_WORDS:
        raise DdiAnswerError(f"{name}: {word!r}")
    return str(word)


def _chunk(chunk: object) -> Chunk:
    if not isinstance(chunk, dict):
        raise DdiAnswerError("chunks: not objects")
    artifacts = _member(chunk, "artifacts", list)
    metadata = chunk.get("metadata") or []
    if not isinstance(metadata, list):
        raise DdiAnswerError(f"metadata: {metadata!r} is not a list")
    pairs = [
        (str(entry["key"]), str(entry["value"]))
        for entry in metadata
        if isinstance(entry, dict) and "key" in entry and "value" in entry
    ]
    return Chunk(
        part=_text(chunk, "part"),
        name=_text(chunk, "name"),
        version=_text(chunk, "version"),
        metadata=tuple(pairs),
        downloads=tuple(_download(artifact) for artifact in artifacts),
    )


def _download(artifact: object) -> Download:
    if not isinstance(artifact, dict):
        raise DdiAnswerError("artifacts: not objects")
    size = artifact.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise DdiAnswerError(f"size: {size!r}")
    hashes = _member(artifact, "hashes", dict)
    sha1, sha256 = hashes.get("sha1"), hashes.get("sha256")
    if not isinstance(sha1, str) or not _SHA1.fullmatch(sha1):
        raise DdiAnswerError(f"hashes.sha1: {sha1!r}")
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise DdiAnswerError(f"hashes.sha256: {sha256!r}")
    links = _member(artifact, "_links", dict)
    href = _href(links, "download") or _href(links, "download-http")
    if href is None:
        raise DdiAnswerError("artifact without a download link")
    return Download(
        file_name=_text(artifact, "filename"),
        size_bytes=size,
        href=href,
        sha1=sha1.lower(),
        sha256=sha256.lower() if sha256 else None,
    )
