"""The update machine of a device: reading it, and making it idle (``lwm2m.md`` 8)."""

from overair.devices.lwm2m.device import Device
from overair.devices.lwm2m.reading import read_instance, read_path
from overair.protocols.lwm2m import firmware, objects
from overair.protocols.lwm2m.delivery import reset_request
from overair.protocols.lwm2m.firmware import Next
from overair.protocols.lwm2m.objects import (
    CONNECTIVITY,
    FIRMWARE,
    FIRMWARE_VERSION,
    RESULT,
    STATE,
    ConnectivityReading,
    FirmwareReading,
    as_code,
    as_label,
    read_firmware,
)
from overair.protocols.lwm2m.values import Path


async def read_all(device: Device) -> FirmwareReading | None:
    client = device.client
    if not client.objects.has(FIRMWARE):
        return None
    found = await read_instance(client, device.ask, FIRMWARE, device.seconds())
    return None if found is None else read_firmware(found)


async def read_connectivity(device: Device) -> ConnectivityReading | None:
    """Where it is."""
    client = device.client
    found = await read_instance(client, device.ask, CONNECTIVITY, device.seconds())
    if found is None:
        return None
    return objects.read_connectivity(found, min(client.objects.instances(CONNECTIVITY), default=0))


async def read_value(device: Device, path: Path) -> str | int | None:
    """One resource: the version, or a code."""
    found = await read_path(device.client, device.ask, path, device.seconds())
    raw = None if found is None else found.get(path)
    return as_label(raw) if path == FIRMWARE_VERSION else as_code(raw)


async def reset(device: Device, reading: FirmwareReading, *, cancel_first: bool) -> Next:
    """Make the update machine idle; DELIVER when it is."""
    tried: tuple[firmware.ResetMove, ...] = ()
    state = reading.state
    has_cancel = 10 in reading.resources or device.client.objects.version(FIRMWARE) != "1.0"
    while True:
        move = firmware.next_reset(tried, state, has_cancel=has_cancel, cancel_first=cancel_first)
        if isinstance(move, Next):
            return move
        await device.ask(reset_request(move))
        tried = (*tried, move)
        value = await read_value(device, STATE)
        state = value if isinstance(value, int) else None


async def state_and_result(device: Device) -> FirmwareReading:
    """What is looked at again and again. Raises SilentError."""
    state = await read_value(device, STATE)
    result = await read_value(device, RESULT)
    return FirmwareReading(
        state=state if isinstance(state, int) else None,
        result=result if isinstance(result, int) else None,
    )
