"""An image on its way to one device, in blocks, from pieces that all transfers share (``lwm2m.md`` 9)."""

import asyncio
from collections.abc import Callable

import structlog

from overair.artifacts.errors import StorageError
from overair.config import Lwm2m
from overair.devices.lwm2m.device import Device, below
from overair.devices.lwm2m.exchanges import Exchanges, SilentError
from overair.devices.lwm2m.images import Images
from overair.engine.push import Job
from overair.protocols.coap.events import Handle
from overair.protocols.coap.values import Response
from overair.protocols.lwm2m.delivery import write_package

log = structlog.get_logger()


class ImageError(Exception):
    """The image cannot be read: no fault of the device."""


async def send_image(
    device: Device,
    job: Job,
    rules: Lwm2m,
    exchanges: Exchanges,
    images: Images,
    on_begin: Callable[[Handle], None],
) -> Response:
    """Push it, and return the answer to the last block. Raises SilentError, if it is given up, too; ImageError."""
    loads: set[asyncio.Task[None]] = set()
    handles: list[Handle] = []
    broken: list[StorageError] = []

    async def load(offset: int, length: int) -> None:
        try:
            await images.load(job.sha256, offset, length)
        except StorageError as error:
            # The device hears no more of it until its next try.
            broken.append(error)
            log.error("an image cannot be read", sha256=job.sha256, error=str(error))
            exchanges.give_up(handles[0])
        else:
            exchanges.resume(handles[0])

    def begin(handle: Handle) -> None:
        handles.append(handle)
        on_begin(handle)

    def read(offset: int, length: int) -> bytes | None:
        found = images.at_hand(job.sha256, offset, length)
        if found is None:
            task = asyncio.get_running_loop().create_task(load(offset, length))
            loads.add(task)
            task.add_done_callback(loads.discard)
        return found

    client = device.reachable()
    model = rules.models.get(client.model)
    size = (model.block_bytes if model is not None else 0) or rules.block_bytes
    try:
        return await exchanges.push(
            client.peer,
            below(client, write_package()),
            job.size_bytes,
            read,
            size.bit_length() - 5,
            begin,
        )
    except SilentError as error:
        if broken:
            raise ImageError(str(broken[0])) from error
        raise
