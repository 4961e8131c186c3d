"""What a device has: what it runs, and its configuration files; v2 and v3 list it alike (API 5.13, 6.12)."""

from overair.api.wire import Answer, DateTimeText
from overair.core.instants import datetime_text
from overair.store.devices import Device, Software


class InstalledSoftware(Answer):
    """Something that a device runs, or a configuration file that it was given."""

    name: str
    version: str
    upgrade_time: DateTimeText


def running(device: Device) -> list[InstalledSoftware]:
    """What the device runs now.

    The version counts that it shows itself: what was installed once and is not running any more is
    history. Running software that we did not install goes by its version, which campaigns also
    take for its name (API 11, row 25).
    """
    shown = [
        _installed(item)
        for item in device.software
        if item.kind == "software" and item.version == device.version
    ]
    if device.version and not shown:
        known_at = device.refreshed_at or device.created_at
        shown.append(
            InstalledSoftware(
                name=device.version, version=device.version, upgrade_time=datetime_text(known_at)
            )
        )
    return shown


def files(device: Device) -> list[InstalledSoftware]:
    """The configuration files that it was given."""
    return [_installed(item) for item in device.software if item.kind == "file"]


def _installed(item: Software) -> InstalledSoftware:
    return InstalledSoftware(
        name=item.name, version=item.version, upgrade_time=datetime_text(item.upgraded_at)
    )
