"""Giving a device its account: the messages of a bootstrap (lwm2m 13).

    POST /bs        the device asks; then, one after another, each answered before the next:
    GET /           which instances it has     (discover)
    DELETE /        all of them but the bootstrap account
    PUT /0/i        where we are, and the key
    PUT /1/i        how long a registration lives
    POST /bs        done                       (finish)

Both are written in TLV, which all devices read but those of later versions that leave it out: they say so
(4.15), and are written to in SenML CBOR.

Not in here: keys, who may have them, and what a refusal does.
"""

import re
from dataclasses import dataclass

from overair.protocols.coap.errors import CoapError
from overair.protocols.coap.links import decode_links
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request
from overair.protocols.lwm2m.errors import RegistrationError, UnreadableError
from overair.protocols.lwm2m.formats import ContentFormat, encode
from overair.protocols.lwm2m.objects import SECURITY, SERVER
from overair.protocols.lwm2m.registration import check_endpoint
from overair.protocols.lwm2m.values import Path, Raw, parse_path, path_segments

# Where instances of ours begin if a device does not tell which it has.
FIRST_FREE = 10
_MODE_PSK = 0
_MODE_NOSEC = 3
_NUMBER = re.compile(r"[0-9]{1,5}")
# What a device may prefer.
_SERVED = {ContentFormat.TLV, ContentFormat.SENML_CBOR, ContentFormat.SENML_JSON}


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapRequest:
    """A device asks for its account."""

    endpoint: str | None
    preferred: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where a device is to register, and as whom. Without a key, in the clear."""

    uri: str
    identity: bytes = b""
    key: bytes | None = None
    short_id: int
    lifetime: int = 86_400
    binding: str = "U"


def read_bootstrap_request(request: Request) -> BootstrapRequest:
    """Read what the device says of itself."""
    given: dict[str, str] = {}
    for each in request.query:
        name, _, value = each.partition("=")
        given.setdefault(name, value)
    endpoint = given.get("ep")
    if endpoint is not None:
        check_endpoint(endpoint)
    preferred = given.get("pct")
    if preferred is None:
        return BootstrapRequest(endpoint=endpoint)
    if not _NUMBER.fullmatch(preferred):
        raise RegistrationError(Code.BAD_REQUEST, "a content format that is none")
    if int(preferred) not in _SERVED:
        raise RegistrationError(Code.UNSUPPORTED_CONTENT_FORMAT, "not written here")
    return BootstrapRequest(endpoint=endpoint, preferred=int(preferred))


def discover() -> Request:
    """Ask which instances the device has."""
    return Request(method=Code.GET, accept=ContentFormat.LINK)


def read_discovery(payload: bytes) -> frozenset[Path]:
    """Return the instances that a device has."""
    try:
        links = decode_links(payload)
    except CoapError as error:
        raise UnreadableError(str(error)) from None
    targets = [link.path.lstrip("/") for link in links]
    return frozenset(parse_path(each) for each in targets if each[:1].isdecimal())


def free_instance(used: frozenset[Path] | None, object_id: int) -> int:
    """Return an instance that is ours to write; ``None``: the device did not tell which it has."""
    if used is None:
        return FIRST_FREE
    taken = {path[1] for path in used if len(path) > 1 and path[0] == object_id}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def delete_all() -> Request:
    """Delete everything; the bootstrap account stays by rule."""
    return Request(method=Code.DELETE)


def delete(path: Path) -> Request:
    """Delete one instance."""
    return Request(method=Code.DELETE, path=path_segments(path))


def write_security(
    instance: int, account: Account, content_format: int = ContentFormat.TLV
) -> Request:
    """Write where the server is, and the key."""
    path: Path = (SECURITY, instance)
    mode = _MODE_NOSEC if account.key is None else _MODE_PSK
    return _write(
        path,
        {
            (*path, 0): account.uri,
            (*path, 1): False,
            (*path, 2): mode,
            (*path, 3): account.identity,
            (*path, 4): b"",
            (*path, 5): account.key or b"",
            (*path, 10): account.short_id,
        },
        content_format,
    )


def write_server(
    instance: int, account: Account, content_format: int = ContentFormat.TLV
) -> Request:
    """Write how long a registration lives, and how the device is reached."""
    path: Path = (SERVER, instance)
    return _write(
        path,
        {
            (*path, 0): account.short_id,
            (*path, 1): account.lifetime,
            (*path, 6): True,
            (*path, 7): account.binding,
        },
        content_format,
    )


def _write(path: Path, readings: dict[Path, Raw], content_format: int) -> Request:
    return Request(
        method=Code.PUT,
        path=path_segments(path),
        content_format=content_format,
        payload=encode(content_format, readings, path),
    )


def finish() -> Request:
    """Say that this was all."""
    return Request(method=Code.POST, path=("bs",))
