"""When and as what a device was last seen: for people who ask about one device."""

from dataclasses import dataclass
from datetime import datetime

from overair.core.ids import DeviceId
from overair.store.database import Tx, opt_from_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A device by its IMEI, in whatever account."""

    device_id: DeviceId
    account_name: str
    version: str
    last_seen: datetime | None


def device(tx: Tx, imei: str) -> Sighting | None:
    """The device of that IMEI."""
    row = tx.one(
        "select d.id, a.name, d.version, s.seen_at from device d"
        " join account a on a.id = d.account_id"
        " left join device_seen s on s.device_id = d.id where d.imei = ?",
        (imei,),
    )
    if row is None:
        return None
    return Sighting(
        device_id=DeviceId(row[0]),
        account_name=row[1],
        version=row[2],
        last_seen=opt_from_ms(row[3]),
    )
