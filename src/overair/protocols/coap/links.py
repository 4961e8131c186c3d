"""Lists of resources: RFC 6690 as devices write it (lwm2m 3).

    </>;rt="oma.lwm2m";ct="60 110",</1/1>, </5>;ver=1.1

Read with spaces round separators, with values in quotes or without, and with any attribute. Refused is
what leaves open where a link ends. Not in here: which links are objects (``lwm2m.object_list``).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from overair.protocols.coap.errors import MalformedError, RefusedError, UnencodableError
from overair.protocols.coap.numbers import Code

LONGEST_LIST = 8 * 1024
MOST_LINKS = 1000

_TARGET = re.compile(r"[ \t\r\n]*<([^<>]*)>")
# A name, and after "=" what is in quotes or what holds none of the separators.
_ATTRIBUTE = re.compile(
    r'[ \t]*;[ \t]*([^\s=;,"<>]+)(?:[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"<>]*)))?', re.DOTALL
)
_END = re.compile(r"[ \t\r\n]*(,|\Z)")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
# What may stand without quotes when we write it.
_PLAIN = re.compile(r"[A-Za-z0-9.!#$%&'()*+/:<=>?@\[\]^_`{|}~-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One target, and what is said about it; an attribute without a value has None."""

    path: str
    attributes: Mapping[str, str | None] = field(default_factory=dict)


def decode_links(payload: bytes) -> tuple[Link, ...]:
    """Read a list; the first of several attributes of one name counts."""
    if len(payload) > LONGEST_LIST:
        raise RefusedError(Code.REQUEST_ENTITY_TOO_LARGE, "a list of more than 8 KiB")
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        raise MalformedError("a list that is not UTF-8") from None
    links: list[Link] = []
    at = 0
    while text[at:].strip():
        target = _TARGET.match(text, at)
        if target is None:
            raise MalformedError("no link where one should begin")
        if len(links) == MOST_LINKS:
            raise RefusedError(Code.REQUEST_ENTITY_TOO_LARGE, "more than 1000 links")
        at = target.end()
        attributes: dict[str, str | None] = {}
        while found := _ATTRIBUTE.match(text, at):
            at = found.end()
            name, quoted, plain = found.groups()
            value = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
            attributes.setdefault(name, value)
        links.append(Link(path=target[1], attributes=attributes))
        end = _END.match(text, at)
        if end is None:
            raise MalformedError("something behind a link that is no attribute")
        at = end.end()
    return tuple(links)


def encode_links(links: Iterable[Link]) -> bytes:
    """Write a list."""
    return ",".join(_link(link) for link in links).encode()


def _link(link: Link) -> str:
    if "<" in link.path or ">" in link.path:
        raise UnencodableError("a target with angle brackets in it")
    return f"<{link.path}>" + "".join(_attribute(*each) for each in link.attributes.items())


def _attribute(name: str, value: str | None) -> str:
    if not re.fullmatch(r'[^\s=;,"<>]+', name):
        raise UnencodableError("an attribute whose name is none")
    if value is None:
        return f";{name}"
    if _PLAIN.fullmatch(value) and not set(value) & set("<>"):
        return f";{name}={value}"
    return ';{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"'))
