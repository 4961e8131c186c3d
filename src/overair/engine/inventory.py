"""A device says what it is (``http-ddi.md`` 5.2 and 8)."""

from collections.abc import Mapping
from datetime import datetime

from overair.core.checks import is_imei
from overair.core.ids import DeviceId
from overair.store import inventory, lwm2m_watch
from overair.store.database import Tx
from overair.store.inventory import Identity

# Names under which clients send what the device record has a place for.
NAMES = {
    "make": "make",
    "model": "model",
    "imei": "imei",
    "mdn": "mdn",
    "version": "version",
    "firmware": "version",
    "fw_version": "version",
    "sw_version": "version",
}
MAX_ATTRIBUTES = 100


class TooManyAttributesError(Exception):
    """The device would have more attributes than are kept for one."""


def ask_again(tx: Tx, device_id: DeviceId, now: datetime) -> None:
    """Ask the device what it is, and what it runs: at its next check-in, or, if it is come to, as soon as
    it is there (``http-ddi.md`` 5.1, ``lifecycle.md`` 5.8).
    """
    inventory.want_attributes(tx, device_id)
    lwm2m_watch.ask(tx, device_id, now)
    tx.hint("lwm2m")


def record_attributes(
    tx: Tx,
    device_id: DeviceId,
    mode: str,
    data: Mapping[str, str | None],
    further_names: Mapping[str, str],
    now: datetime,
) -> None:
    """Merge, replace or remove attributes, and fill the device record from them.

    ``further_names`` maps an installation's own attribute names to ours. An IMEI is taken only for a
    device that a gateway registered under another name: one that is known by its IMEI keeps it.
    Raises TooManyAttributesError.
    """
    known = inventory.identity(tx, device_id)
    present = inventory.attributes(tx, device_id)
    if mode == "remove":
        wanted = {name: value for name, value in present.items() if name not in data}
    else:
        wanted = {} if mode == "replace" else dict(present)
        for name, value in data.items():
            if value is None:
                wanted.pop(name, None)
            else:
                wanted[name] = value
    if len(wanted) > MAX_ATTRIBUTES:
        raise TooManyAttributesError
    inventory.drop_attributes(tx, device_id, sorted(present.keys() - wanted.keys()))
    inventory.put_attributes(
        tx, device_id, {n: v for n, v in wanted.items() if present.get(n) != v}
    )
    names = NAMES | {name.lower(): target for name, target in further_names.items()}
    told: dict[str, str] = {}
    for name, value in data.items():
        target = names.get(name.lower())
        if value and target is not None and mode != "remove":
            told[target] = value
    new = Identity(
        imei=known.imei,
        make=told.get("make", known.make),
        model=told.get("model", known.model),
        mdn=told.get("mdn", known.mdn),
        version=told.get("version", known.version),
    )
    inventory.set_identity(tx, device_id, known, new, now)
    imei = told.get("imei", "")
    if is_imei(imei) and not is_imei(known.imei):
        inventory.set_imei(tx, device_id, imei)
