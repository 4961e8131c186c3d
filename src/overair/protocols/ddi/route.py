"""Addresses and headers of DDI requests (http-ddi 2, 4, 5).

``parse_path`` takes the path as it came over the wire, still percent-encoded: only there is an
encoded slash inside an id different from a separator. It runs once per poll, so the poll has a short
way through.

Not in here: whether the tenant, the device or the action exist, conditional requests and ranges.
"""

import re
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple
from urllib.parse import unquote

from overair.protocols.ddi.values import ACTION_ID_LIMIT, CONTROLLER_ID_CHARS, DdiError

MD5SUM = ".MD5SUM"

# A poll as nearly all of them are written, with nothing in it to decode.
_PLAIN_POLL = re.compile(
    rf"/([\w.-]+)/controller/v1/([\w.:-]{{1,{CONTROLLER_ID_CHARS}}})", re.ASCII
)

# And what most of them ask when there is something to do; the order of the groups is that of ``Route``.
_PLAIN_ACTION = re.compile(
    rf"/([\w.-]+)/controller/v1/([\w.:-]{{1,{CONTROLLER_ID_CHARS}}})"
    r"/(deploymentBase|cancelAction|installedBase)/([0-9]{1,9})(/feedback)?",
    re.ASCII,
)

# And its file; a checksum's name would match too.
_PLAIN_ARTIFACT = re.compile(
    rf"/([\w.-]+)/controller/v1/([\w.:-]{{1,{CONTROLLER_ID_CHARS}}})"
    r"/softwaremodules/([0-9]{1,9})/artifacts/([\w.-]+)",
    re.ASCII,
)

# No id or name has these, and a database takes neither NUL nor lone surrogates.
_UNWANTED = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


class Resource(Enum):
    """What a device may address, below ``/{tenant}/controller/v1/{controllerId}``."""

    BASE = "base"
    CONFIG_DATA = "configData"
    DEPLOYMENT = "deploymentBase"
    DEPLOYMENT_FEEDBACK = "deploymentBase/feedback"
    CANCEL = "cancelAction"
    CANCEL_FEEDBACK = "cancelAction/feedback"
    INSTALLED = "installedBase"
    INSTALLED_REPORT = "installedBase (without an id)"
    ARTIFACTS = "artifacts"
    ARTIFACT = "artifact"
    ARTIFACT_MD5SUM = "artifact.MD5SUM"
    LOG = "log"

    # Tables are kept by resource and looked up twice a poll; the hash of Enum is a Python function.
    __hash__ = object.__hash__


_READ = ("GET", "HEAD")

METHODS: Mapping[Resource, tuple[str, ...]] = {
    Resource.BASE: _READ,
    Resource.CONFIG_DATA: ("PUT",),
    Resource.DEPLOYMENT: _READ,
    Resource.DEPLOYMENT_FEEDBACK: ("POST",),
    Resource.CANCEL: _READ,
    Resource.CANCEL_FEEDBACK: ("POST",),
    Resource.INSTALLED: _READ,
    # hawkBit's experimental report of what is installed: known, and not served (5.7).
    Resource.INSTALLED_REPORT: (),
    Resource.ARTIFACTS: _READ,
    Resource.ARTIFACT: _READ,
    Resource.ARTIFACT_MD5SUM: _READ,
    Resource.LOG: ("POST",),
}


class Route(NamedTuple):
    """Where a request goes. A tuple, because making one is a good part of reading a poll."""

    resource: Resource
    tenant: str
    controller_id: str
    action_id: int = 0
    module_id: int = 0
    file_name: str = ""

    @property
    def allowed(self) -> tuple[str, ...]:
        """The methods of the resource, for the Allow header."""
        return METHODS[self.resource]


def parse_path(path: bytes | str) -> Route | None:
    """Take a path apart, as it came over the wire; None means that there is no such resource (404).

    A trailing slash and repeated slashes are forgiven: clients paste their base URL and the tenant
    together. Raises ``DdiError`` when the controller id is longer than one can be (http-ddi 10).
    """
    # On the wire a path is bytes: what came unencoded is UTF-8, like its percent-encoded form.
    text = path.decode("utf-8", "replace") if isinstance(path, bytes) else path
    if plain := _PLAIN_POLL.fullmatch(text):
        return Route(Resource.BASE, plain[1], plain[2])
    if (plain := _PLAIN_ACTION.fullmatch(text)) and not (plain[5] and plain[3] == "installedBase"):
        resource = (_FEEDBACK if plain[5] else _OF_ACTION)[plain[3]]
        return Route(resource, plain[1], plain[2], int(plain[4]))
    if (plain := _PLAIN_ARTIFACT.fullmatch(text)) and not plain[4].endswith(MD5SUM):
        return Route(Resource.ARTIFACT, plain[1], plain[2], 0, int(plain[3]), plain[4])
    segments = [segment for segment in text.split("/") if segment]
    if len(segments) < 4 or segments[1] != "controller" or segments[2] != "v1":
        return None
    if "%" in text or not text.isprintable():
        segments = [unquote(segment) for segment in segments]
        if any(_UNWANTED.search(segment) for segment in segments):
            return None
    tenant, _, _, controller_id = segments[:4]
    if len(controller_id) > CONTROLLER_ID_CHARS:
        raise DdiError(
            "ddi.invalid", f"a controller id has at most {CONTROLLER_ID_CHARS} characters"
        )
    if len(segments) == 4:
        return Route(Resource.BASE, tenant, controller_id)
    return _below_base(tenant, controller_id, segments[4:])


def _below_base(tenant: str, controller_id: str, rest: list[str]) -> Route | None:
    match rest:
        case ["configData"]:
            return Route(Resource.CONFIG_DATA, tenant, controller_id)
        case ["log"]:
            return Route(Resource.LOG, tenant, controller_id)
        case ["installedBase"]:
            return Route(Resource.INSTALLED_REPORT, tenant, controller_id)
        case ["deploymentBase" | "cancelAction" | "installedBase" as kind, text]:
            resource = _OF_ACTION[kind]
        case ["deploymentBase" | "cancelAction" as kind, text, "feedback"]:
            resource = _FEEDBACK[kind]
        case ["softwaremodules", text, "artifacts", *names] if len(names) < 2:
            return _artifact(tenant, controller_id, text, names)
        case _:
            return None
    action_id = parse_action_id(text)
    return None if action_id is None else Route(resource, tenant, controller_id, action_id)


_OF_ACTION = {
    "deploymentBase": Resource.DEPLOYMENT,
    "cancelAction": Resource.CANCEL,
    "installedBase": Resource.INSTALLED,
}
_FEEDBACK = {
    "deploymentBase": Resource.DEPLOYMENT_FEEDBACK,
    "cancelAction": Resource.CANCEL_FEEDBACK,
}


def _artifact(tenant: str, controller_id: str, text: str, names: list[str]) -> Route | None:
    module_id = parse_action_id(text)
    if module_id is None:
        return None
    if not names:
        return Route(Resource.ARTIFACTS, tenant, controller_id, 0, module_id)
    name = names[0]
    if name.endswith(MD5SUM) and name != MD5SUM:
        name = name.removesuffix(MD5SUM)
        return Route(Resource.ARTIFACT_MD5SUM, tenant, controller_id, 0, module_id, name)
    return Route(Resource.ARTIFACT, tenant, controller_id, 0, module_id, name)


def parse_action_id(text: str) -> int | None:
    """Read an action id or a module id: decimal digits, below 2^31; None is "no such thing"."""
    if len(text) > 10 or not (text.isascii() and text.isdigit()):
        return None
    number = int(text)
    return number if number < ACTION_ID_LIMIT else None


def media_type(content_type: str | None) -> str:
    """The type of a Content-Type header without its parameters, in lower case."""
    return (content_type or "").partition(";")[0].strip().lower()


def is_json(content_type: str | None) -> bool:
    """Whether a body of this Content-Type is taken as JSON; none at all is (http-ddi 4.4)."""
    return media_type(content_type) in ("", "application/json")


_JSON_RANGES = frozenset({"application/json", "application/hal+json", "application/*", "*/*"})


def accepts_json(accept: str | None) -> bool:
    """Whether a JSON answer satisfies this Accept header (http-ddi 4.3)."""
    if not accept or accept in _JSON_RANGES:
        return True
    return any(
        media_type(wanted) in _JSON_RANGES and not _is_refused(wanted)
        for wanted in accept.split(",")
    )


def _is_refused(wanted: str) -> bool:
    """Whether the entry carries a weight of zero, "not this one" (RFC 9110 12.4.2)."""
    return any(
        re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", parameter, re.I)
        for parameter in wanted.split(";")[1:]
    )
