"""What a simulated device answers for its objects: its values in the formats that it speaks.

Not in here: what writes and executes do (``update``, ``device``).
"""

from overair.protocols.coap.links import Link, encode_links
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Response
from overair.protocols.lwm2m.errors import UnwritableError
from overair.protocols.lwm2m.formats import ContentFormat, encode
from overair.protocols.lwm2m.registration import ObjectList
from overair.protocols.lwm2m.values import Path, Readings, path_text
from overair.sim.lwm2m.profile import DevicePlan, Oddity

_OLD = (ContentFormat.TLV,)
_NEW = (ContentFormat.SENML_CBOR, ContentFormat.SENML_JSON, ContentFormat.TLV)


def formats(plan: DevicePlan, enabler: str) -> tuple[ContentFormat, ...]:
    """Return the formats of instances, the one that comes unasked first."""
    return _OLD if enabler == "1.0" or plan.has(Oddity.NO_SENML) else _NEW


def object_list(plan: DevicePlan, enabler: str) -> ObjectList:
    """Return what it registers. The firmware object of 1.1 has version 1.1."""
    new = enabler != "1.0"
    return ObjectList(
        paths=frozenset({(1, 0), (3, 0), (4, 0), (5, 0)}),
        versions={5: "1.1"} if new else {},
        formats=frozenset({0, *formats(plan, enabler)}) if new else frozenset(),
    )


def read(
    values: Readings, path: Path, accept: int | None, plan: DevicePlan, enabler: str
) -> Response:
    """Answer a read."""
    if path[:1] == (0,):
        # Credentials are for the device alone.
        return Response(code=Code.UNAUTHORIZED)
    if accept == ContentFormat.LINK:
        return _discover(values, path)
    if path in values:
        found = {path: values[path]}
    else:
        found = {each: raw for each, raw in values.items() if each[: len(path)] == path}
    if not path or not found or (len(path) < 3 and plan.has(Oddity.NO_INSTANCE_READS)):
        return Response(code=Code.NOT_FOUND)
    if accept is None:
        accept = ContentFormat.TEXT if set(found) == {path} else formats(plan, enabler)[0]
    if accept not in (ContentFormat.TEXT, *formats(plan, enabler)):
        return Response(code=Code.NOT_ACCEPTABLE)
    try:
        payload = encode(accept, found, path)
    except UnwritableError:
        return Response(code=Code.NOT_ACCEPTABLE)
    shown = None if plan.has(Oddity.NO_CONTENT_FORMAT) and accept == ContentFormat.TEXT else accept
    return Response(code=Code.CONTENT, content_format=shown, payload=payload)


def _discover(values: Readings, path: Path) -> Response:
    found = {each[:3] for each in values if each[: len(path)] == path}
    if not path or not found:
        return Response(code=Code.NOT_FOUND)
    paths = sorted({path, *found} if len(path) < 3 else {path})
    return Response(
        code=Code.CONTENT,
        content_format=ContentFormat.LINK,
        payload=encode_links(Link(path=path_text(each)) for each in paths),
    )
