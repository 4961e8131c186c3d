"""Adding devices to a campaign, or taking them out, where each is checked at once: v1 and v3 (API 4.9, 6.6).

A list is changed in pieces of one transaction each: what a piece has done stays done, and if the
campaign starts before the last one, its devices are told that. A request of which nothing could be done
is refused as a whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from msgspec import field

from overair.api.gate import Account
from overair.api.lookup import on_campaign
from overair.api.routing import Call
from overair.api.wire import Answer, Body, DeviceText
from overair.core.errors import RequestError
from overair.core.upgrade import Reason
from overair.engine import schedule as engine
from overair.engine.schedule import ChangedDevice


class DeviceListChange(Body):
    """Devices to add to a campaign, or to take out of it."""

    aliases: ClassVar = {"Type": "type", "devicelist": "deviceList"}
    wrapper = "addOrRemoveDevice"

    type: Literal["append", "remove"]
    device_list: list[DeviceText]


class DeviceReason(Answer):
    """What became of a device that a request names. Its ``Reason`` has a capital letter."""

    device_id: DeviceText
    status: str
    reason: str = field(name="Reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeWords:
    """What a version calls the outcomes: a status and its reason each."""

    added: tuple[str, str]
    not_added: str
    removed: tuple[str, str]
    not_removed: tuple[str, str]
    reasons: Mapping[Reason, str]  # why a device was not added

    def of(self, type_: str, device: ChangedDevice) -> DeviceReason:
        """What became of one device."""
        if type_ == "append":
            not_added = self.not_added, self.reasons[device.reason]
            status, reason = self.added if device.done else not_added
        else:
            status, reason = self.removed if device.done else self.not_removed
        return DeviceReason(device_id=device.imei, status=status, reason=reason)

    def too_late(self, type_: str, imei: str, error: RequestError) -> DeviceReason:
        """A device whose turn came when the campaign could not be changed any more."""
        status = self.not_added if type_ == "append" else self.not_removed[0]
        return DeviceReason(device_id=imei, status=status, reason=error.message)


async def change_devices(
    call: Call[DeviceListChange, Any],
    account: Account,
    uuid: str,
    api_version: int,
    words: ChangeWords,
) -> list[DeviceReason]:
    """Add or take out the devices of a request, and tell of each in its order. Raises RequestError."""
    type_ = call.body.type
    imeis = call.formats.campaign_devices(call.body.device_list)
    outcomes: list[DeviceReason] = []
    for piece in _pieces(imeis, call.settings.limits.sweep_devices):
        try:
            changed = await call.db.transact(
                on_campaign,
                account.id,
                uuid,
                api_version,
                engine.change_devices_now,
                type_,
                piece,
                call.settings,
                call.now,
            )
        except RequestError as error:
            if not outcomes:
                raise
            left = imeis[len(outcomes) :]
            return outcomes + [words.too_late(type_, imei, error) for imei in left]
        outcomes += [words.of(type_, device) for device in changed]
    return outcomes


def _pieces(imeis: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (imeis[start : start + size] for start in range(0, len(imeis), size))
