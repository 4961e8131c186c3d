"""Reading objects of a device in the formats that it speaks (``lwm2m.md`` 5).

The format of an answer decides how it is read. What a device refuses with 4.06 it is not asked again;
where an instance cannot be read at once, its resources are, one by one. A reading that cannot be
understood is missing, and no reason to give up.
"""

from collections.abc import Awaitable, Callable, Sequence

from overair.devices.lwm2m.clients import Client
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request, Response
from overair.protocols.lwm2m.errors import UnreadableError
from overair.protocols.lwm2m.formats import choose_accept, decode
from overair.protocols.lwm2m.values import Path, Readings, path_segments

# Sends a request to the device that is read, and raises SilentError.
Ask = Callable[[Request], Awaitable[Response]]

# What each object is read for, where it has to be one by one.
RESOURCES: dict[int, Sequence[int]] = {
    3: (0, 1, 3, 18, 19),
    4: (0, 2, 8, 9, 10),
    5: (3, 5, 9, 8, 1, 6, 7),
}
_MULTIPLE = {(4, 7), (4, 4), (5, 8)}
_TRIES = 4  # as many formats as there are


def understood(response: Response, path: Path, now: float) -> Readings:
    """What an answer says; nothing, if that is not understood."""
    if not response.ok:
        return {}
    try:
        return decode(response.content_format, path, response.payload, now)
    except UnreadableError:
        return {}


async def read_path(client: Client, ask: Ask, path: Path, now: float) -> Readings | None:
    """Read one path; None: the device says that there is none. Raises SilentError."""
    for _ in range(_TRIES):
        accept = choose_accept(
            path,
            version=client.registration.version,
            listed=client.objects.formats,
            refused=client.refused,
            multiple=path[:1] + path[2:3] in _MULTIPLE,
        )
        response = await ask(Request(method=Code.GET, path=path_segments(path), accept=accept))
        if response.code != Code.NOT_ACCEPTABLE or accept is None:
            break
        client.refused |= {int(accept)}
    else:
        return None
    return understood(response, path, now) if response.ok else None


async def read_instance(client: Client, ask: Ask, object_id: int, now: float) -> Readings | None:
    """Read an object's first instance; None: there is none. Raises SilentError."""
    instance = min(client.objects.instances(object_id), default=0)
    found = await read_path(client, ask, (object_id, instance), now)
    if found:
        return found
    # Some say 4.04, or nothing that can be read, and give each resource all the same.
    gathered: Readings = {}
    answered = found is not None
    for resource in RESOURCES[object_id]:
        one = await read_path(client, ask, (object_id, instance, resource), now)
        answered = answered or one is not None
        gathered |= one or {}
    return gathered if answered else None
