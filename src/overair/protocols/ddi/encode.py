"""Answers to devices (http-ddi 5).

Answers to polls and deployments are put together from pieces: they are the hot path, and a general
JSON encoder takes three to five times as long. Everything else goes through ``json``. All texts are escaped, wherever they come from:
a base URL may have been built from a Host header.

The order of members is the specification's. Links are absolute and built here, so that their forms,
which clients take apart (5.1, 5.3, 6), are in one place.

Not in here: what to link when (the engine decides), public base URLs, the artifact bytes.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from json.encoder import encode_basestring_ascii as _quoted
from urllib.parse import quote

from overair.protocols.ddi.route import MD5SUM
from overair.protocols.ddi.values import Artifact, Deployment, Handling, MaintenanceWindow

CONTENT_TYPE = "application/hal+json"
ERROR_CONTENT_TYPE = "application/json"

_SHORTEST_SLEEP_S = 1
_LONGEST_SLEEP_S = 24 * 3600 - 1


def format_sleep(seconds: float) -> str:
    """Write a poll interval as HH:MM:SS, within 00:00:01 to 23:59:59.

    Any other form, also 24:00:00, makes SWUpdate give up the whole poll, every time (5.1).
    """
    whole = int(max(_SHORTEST_SLEEP_S, min(seconds, _LONGEST_SLEEP_S)))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


# --- addresses ---------------------------------------------------------------------------------


def base_href(public_url: str, tenant: str, controller_id: str) -> str:
    """The address of a device's base resource, below which everything else is."""
    return f"{public_url.rstrip('/')}/{_segment(tenant)}/controller/v1/{_segment(controller_id)}"


def _segment(text: str) -> str:
    """A text as one segment of a path; most are letters and digits, which needs no work."""
    return text if text.isalnum() and text.isascii() else quote(text, safe="")


def deployment_href(base: str, action_id: int, tag: str) -> str:
    """With ``?c=``: the Python client takes the id and the tag out by a pattern (5.1)."""
    return f"{base}/deploymentBase/{action_id}?c={tag}"


def cancel_href(base: str, action_id: int) -> str:
    """Without a query: SWUpdate appends ``/feedback`` to it as it is (5.1)."""
    return f"{base}/cancelAction/{action_id}"


def config_data_href(base: str) -> str:
    return f"{base}/configData"


def installed_href(base: str, action_id: int) -> str:
    return f"{base}/installedBase/{action_id}"


def log_href(base: str) -> str:
    return f"{base}/log"


def artifact_href(base: str, module_id: int, file_name: str) -> str:
    return f"{base}/softwaremodules/{module_id}/artifacts/{_quoted_name(file_name)}"


@lru_cache(maxsize=1024)  # all devices of a campaign are told the same
def _quoted_name(file_name: str) -> str:
    return quote(file_name, safe="")


@lru_cache(maxsize=1024)  # all devices of a campaign are told the same
def deployment_tag(
    *, download: Handling, update: Handling, window: MaintenanceWindow | None, content: str
) -> str:
    """A short tag that changes whenever the content of a deployment does.

    ``content`` names the files and their description, e.g. the artifact's sha256. The tag keeps
    ``deploymentBase/{id}?c={tag}`` below 50 characters (5.1).
    """
    state = f"{download.value}|{update.value}|{window.value if window else ''}|{content}"
    return blake2b(state.encode("utf-8", "replace"), digest_size=4).hexdigest()


# --- answers -----------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def encode_idle(sleep: str) -> bytes:
    """The answer to a poll when there is nothing to do; ``sleep`` comes from ``format_sleep``."""
    return b'{"config":{"polling":{"sleep":"' + sleep.encode() + b'"}}}'


def encode_base(sleep: str, links: Iterable[tuple[str, str]] = ()) -> bytes:
    """The answer to a poll: relation and address of each link, in the order given."""
    joined = ",".join([f'"{relation}":{{"href":{_quoted(href)}}}' for relation, href in links])
    idle = encode_idle(sleep)
    if not joined:
        return idle
    return idle[:-1] + b',"_links":{' + joined.encode() + b"}}"


def etag(body: bytes) -> str:
    """A strong entity tag over the body."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionHistory:
    """A device's own feedback texts, newest first (5.3)."""

    status: str
    messages: Sequence[str]


def encode_deployment(deployment: Deployment, history: ActionHistory | None = None) -> bytes:
    """The deployment of an action, also for the last installation (5.3, 5.7)."""
    handling = f'"download":{_quoted(deployment.download.value)},"update":{_quoted(deployment.update.value)}'
    if deployment.maintenance_window is not None:
        handling += f',"maintenanceWindow":{_quoted(deployment.maintenance_window.value)}'
    metadata = ""
    if deployment.metadata:
        pairs = [
            f'{{"key":{_quoted(key)},"value":{_quoted(value)}}}'
            for key, value in deployment.metadata
        ]
        metadata = f',"metadata":[{",".join(pairs)}]'
    said = ""
    if history is not None:
        texts = ",".join(map(_quoted, history.messages))
        said = f',"actionHistory":{{"status":{_quoted(history.status)},"messages":[{texts}]}}'
    # The id is a string of digits: a number stops rauc-hawkbit-updater (5.3).
    return (
        f'{{"id":"{deployment.action_id:d}","deployment":{{{handling},"chunks":[{{'
        f'"part":{_quoted(deployment.part)},"name":{_quoted(deployment.name)},'
        f'"version":{_quoted(deployment.version)}{metadata},'
        f'"artifacts":[{_artifact(deployment.artifact)}]}}]}}{said}}}'
    ).encode()


def encode_artifacts(artifacts: Iterable[Artifact]) -> bytes:
    """The list of a software module's artifacts (5.4)."""
    return f"[{','.join(map(_artifact, artifacts))}]".encode()


def encode_md5sum(md5: str, file_name: str) -> bytes:
    """What md5sum prints: two spaces (5.4)."""
    return f"{md5}  {file_name}\n".encode("utf-8", "replace")


def encode_cancel(action_id: int) -> bytes:
    """The cancellation of an action; both ids are the same (5.6)."""
    return _encode({"id": str(action_id), "cancelAction": {"stopId": str(action_id)}})


def encode_error(error_code: str, message: str) -> bytes:
    """The error document: no client reads it, people do (4.6)."""
    return _encode({"errorCode": error_code, "message": message})


def _artifact(artifact: Artifact) -> str:
    # A signed link carries a query; the name ends before it.
    path, mark, query = artifact.href.partition("?")
    download = f'{{"href":{_quoted(artifact.href)}}}'
    md5sum = f'{{"href":{_quoted(f"{path}{MD5SUM}{mark}{query}")}}}'
    return (
        f'{{"filename":{_quoted(artifact.file_name)},"size":{artifact.size_bytes:d},'
        # All three: sha1 is what SWUpdate and rauc-hawkbit-updater check, md5 the Python client,
        # sha256 Zephyr, and some refuse an artifact without theirs (5.3).
        f'"hashes":{{"sha1":{_quoted(artifact.sha1)},"md5":{_quoted(artifact.md5)},'
        f'"sha256":{_quoted(artifact.sha256)}}},'
        # Both names for both: some clients know only one of them.
        f'"_links":{{"download":{download},"download-http":{download},'
        f'"md5sum":{md5sum},"md5sum-http":{md5sum}}}}}'
    )


_ENCODER = json.JSONEncoder(separators=(",", ":"))  # ``json.dumps`` would make one for each answer


def _encode(document: object) -> bytes:
    return _ENCODER.encode(document).encode()
