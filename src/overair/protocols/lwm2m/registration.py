"""Who registers, for how long, with what (lwm2m 3).

    POST /rd?ep=…&lt=…&lwm2m=…&b=…      Register, with a list of objects
    POST /rd/<location>?lt=…            Update, with a list if it changed

What a client gets wrong is answered by its code. Not an error is what only some clients write: unknown
parameters and attributes, spaces, quotes, a missing content format, "b" with a Q in every version.

Not in here: whose endpoint name it is, where registrations are kept, and when they end.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from overair.protocols.coap.errors import MalformedError, RefusedError
from overair.protocols.coap.links import Link, decode_links, encode_links
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request, Response
from overair.protocols.lwm2m.errors import RegistrationError, UnreadableError
from overair.protocols.lwm2m.formats import ContentFormat
from overair.protocols.lwm2m.values import Path, parse_path, path_text

DEFAULT_LIFETIME = 86_400
LONGEST_LIFETIME = 2**31 - 1
LONGEST_NAME = 255
LONGEST_SMS = 20
_REMEMBERED_BYTES = 512  # longer lists are read anew each time

_SERVED = {each: each for each in ("1.0", "1.1", "1.2")}  # so that one object does for all devices
_VERSION = re.compile(r"1\.[0-9]{1,3}")
_NUMBER = re.compile(r"[0-9]{1,10}")
_BINDING = re.compile(r"[UTSNHMQ]{1,7}")
_CONTENT = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectList:
    """What a device has: its objects and their instances, and what it says of them."""

    paths: frozenset[Path] = frozenset()
    versions: Mapping[int, str] = field(default_factory=dict)
    # The formats that it can write.
    formats: frozenset[int] = frozenset()
    # What stands before every path of it.
    root: str = "/"

    def has(self, object_id: int) -> bool:
        """Tell whether the object is there, with an instance or without."""
        return any(path[0] == object_id for path in self.paths)

    def instances(self, object_id: int) -> tuple[int, ...]:
        """Return the instances of an object, in order."""
        return tuple(
            sorted(path[1] for path in self.paths if path[0] == object_id and len(path) > 1)
        )

    def version(self, object_id: int) -> str:
        """Return the version of an object; the one of LwM2M 1.0 and 1.1 if nothing is said."""
        return self.versions.get(object_id, "1.0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """A registration as it is asked for."""

    # None: as the identity of the session says.
    endpoint: str | None = None
    lifetime: int = DEFAULT_LIFETIME
    # 1.0, 1.1 or 1.2; another 1.x is served as 1.1.
    version: str = "1.0"
    binding: str = "U"
    queue_mode: bool = False
    sms: str | None = None
    objects: ObjectList = field(default_factory=ObjectList)


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What an Update changes; None: nothing."""

    lifetime: int | None = None
    binding: str | None = None
    queue_mode: bool | None = None
    sms: str | None = None
    objects: ObjectList | None = None


def read_register(request: Request) -> Register:
    """Read a Register."""
    given = _parameters(request)
    version = _version(given.get("lwm2m", "1.0"))
    endpoint = given.get("ep")
    if endpoint is None and version == "1.0":
        raise _bad("no endpoint name")
    if endpoint is not None:
        check_endpoint(endpoint)
    binding = _binding(given)
    return Register(
        endpoint=endpoint,
        lifetime=_lifetime(given.get("lt", str(DEFAULT_LIFETIME))),
        version=version,
        binding=binding or "U",
        queue_mode="Q" in given or "Q" in (binding or ""),
        sms=_sms(given),
        objects=_objects(request),
    )


def read_update(request: Request) -> Update:
    """Read an Update."""
    given = _parameters(request)
    binding = _binding(given)
    says_how = binding is not None or "Q" in given
    return Update(
        lifetime=_lifetime(given["lt"]) if "lt" in given else None,
        binding=binding,
        queue_mode=("Q" in given or "Q" in (binding or "")) if says_how else None,
        sms=_sms(given),
        objects=_objects(request) if request.payload else None,
    )


def _parameters(request: Request) -> dict[str, str]:
    """Return the query; of a parameter that is there twice, the first counts."""
    given: dict[str, str] = {}
    for each in request.query:
        name, _, value = each.partition("=")
        given.setdefault(name, value)
    return given


def _bad(what: str) -> RegistrationError:
    return RegistrationError(Code.BAD_REQUEST, what)


def check_endpoint(endpoint: str) -> None:
    """Refuse what is no name: nothing, too much, or what cannot be shown."""
    if not 1 <= len(endpoint.encode()) <= LONGEST_NAME or not endpoint.isprintable():
        raise _bad("an endpoint name that is none")


def _version(text: str) -> str:
    if not _VERSION.fullmatch(text):
        raise RegistrationError(Code.PRECONDITION_FAILED, "a version that is not served")
    return _SERVED.get(text, "1.1")


@lru_cache(maxsize=1024)
def _lifetime(text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > LONGEST_LIFETIME:
        raise _bad("a lifetime that is none")
    return int(text)


def _binding(given: Mapping[str, str]) -> str | None:
    binding = given.get("b")
    if binding is not None and not _BINDING.fullmatch(binding):
        raise _bad("a binding that is none")
    return binding


def _sms(given: Mapping[str, str]) -> str | None:
    number = given.get("sms")
    if number is not None and (len(number.encode()) > LONGEST_SMS or not number.isprintable()):
        raise _bad("a number that is none")
    return number


def _objects(request: Request) -> ObjectList:
    if request.content_format not in {None, ContentFormat.LINK}:
        raise RegistrationError(Code.UNSUPPORTED_CONTENT_FORMAT, "not a list of links")
    try:
        read = _listed if len(request.payload) <= _REMEMBERED_BYTES else _listed.__wrapped__
        return read(request.payload)
    except RefusedError as error:
        raise RegistrationError(error.code, str(error)) from None
    except (MalformedError, UnreadableError) as error:
        raise _bad(str(error)) from None


@lru_cache(maxsize=1024)
def _listed(payload: bytes) -> ObjectList:
    """Read a list; all devices of a model have the same."""
    return object_list(decode_links(payload))


def object_list(links: Iterable[Link]) -> ObjectList:
    """Read links as objects. What is not below the root, or has no number, is passed over."""
    links = list(links)
    root = "/"
    formats: frozenset[int] = frozenset()
    for link in links:
        if "rt" in link.attributes and "oma.lwm2m" in (link.attributes["rt"] or "").split():
            root = "/" + link.path.strip("/")
            listed = _CONTENT.findall(link.attributes.get("ct") or "")
            formats = frozenset(map(int, listed))
    below = root if root == "/" else root + "/"
    paths: set[Path] = set()
    versions: dict[int, str] = {}
    for link in links:
        target = "/" + link.path.lstrip("/")
        if not target.startswith(below) or not target[len(below) : len(below) + 1].isdecimal():
            continue
        path = parse_path(target[len(below) :])[:2]
        paths.add(path)
        version = link.attributes.get("ver")
        if version:
            versions.setdefault(path[0], version[:8])
    return ObjectList(paths=frozenset(paths), versions=versions, formats=formats, root=root)


def created(location: str) -> Response:
    """Answer a Register that is accepted."""
    return Response(code=Code.CREATED, location=("rd", location))


# The device's half.


def object_links(objects: ObjectList) -> tuple[Link, ...]:
    """Return a list of objects as links, the root first if there is something to say of it."""
    links = []
    if objects.formats or objects.root != "/":
        attributes = {"rt": "oma.lwm2m", "ct": " ".join(map(str, sorted(objects.formats)))}
        links.append(Link(path=objects.root, attributes=attributes))
    below = "" if objects.root == "/" else objects.root
    named: set[int] = set()
    for path in sorted(objects.paths):
        version = objects.versions.get(path[0]) if path[0] not in named else None
        named.add(path[0])
        links.append(
            Link(path=below + path_text(path), attributes={"ver": version} if version else {})
        )
    return tuple(links)


def register_request(register: Register) -> Request:
    """Ask for a registration."""
    query = [] if register.endpoint is None else [f"ep={register.endpoint}"]
    query += [f"lt={register.lifetime}", f"lwm2m={register.version}", f"b={register.binding}"]
    if register.queue_mode and "Q" not in register.binding:
        query.append("Q")
    if register.sms is not None:
        query.append(f"sms={register.sms}")
    return Request(
        method=Code.POST,
        path=("rd",),
        query=tuple(query),
        content_format=ContentFormat.LINK,
        payload=encode_links(object_links(register.objects)),
    )


def update_request(location: tuple[str, ...], update: Update) -> Request:
    """Ask for a registration to go on."""
    query = [] if update.lifetime is None else [f"lt={update.lifetime}"]
    query += [] if update.binding is None else [f"b={update.binding}"]
    query += ["Q"] if update.queue_mode and "Q" not in (update.binding or "") else []
    query += [] if update.sms is None else [f"sms={update.sms}"]
    links = b"" if update.objects is None else encode_links(object_links(update.objects))
    return Request(
        method=Code.POST,
        path=location,
        query=tuple(query),
        content_format=ContentFormat.LINK if links else None,
        payload=links,
    )


def deregister_request(location: tuple[str, ...]) -> Request:
    """Ask for a registration to end."""
    return Request(method=Code.DELETE, path=location)
