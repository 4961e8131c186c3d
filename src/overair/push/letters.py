"""From a wake-up to what a carrier takes: the package 0 of a device, and where the device is.

The digest is over the nonce that the device gave last (``oma-dm.md`` 10.1), as it stands when the
notification leaves; so all repeats are the same bytes until a session renews it.

Where the operator allows it, one notification of an attempt that has been without effect goes out over
the zero nonce; that is written down first, because the session which follows may use it too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from overair.config import Settings
from overair.engine import dm_accounts
from overair.engine.dm_accounts import PushAccount
from overair.engine.push import Wake
from overair.protocols.syncml.notification import Trigger, UiMode, encode_notification
from overair.protocols.syncml.values import SyncmlError
from overair.push.transport import Contact
from overair.sealing import Seal, SealError
from overair.store import dm_accounts as accounts
from overair.store import network
from overair.store.database import Tx

ZERO_NONCE: Final = bytes(4)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A notification to hand over; without a package, the device has no account to make one for."""

    wake: Wake
    contact: Contact
    package: bytes | None


def write(tx: Tx, wakes: Sequence[Wake], settings: Settings, seal: Seal) -> list[Letter]:
    """The letters for these wake-ups. Changes something only with the setting ``zero_nonce_after``."""
    places = network.places(tx, [wake.device_id for wake in wakes])
    found: list[Letter] = []
    for wake in wakes:
        account = _account(tx, wake, settings, seal)
        place = places[wake.device_id]
        written_down = "" if account is None else account.address
        contact = Contact(
            imei=wake.imei,
            # What the network says is newer than what was once written down.
            address=place.address or written_down,
            mdn=place.mdn,
        )
        package = None if account is None else _package(tx, wake, account, settings)
        found.append(Letter(wake=wake, contact=contact, package=package))
    return found


def _account(tx: Tx, wake: Wake, settings: Settings, seal: Seal) -> PushAccount | None:
    try:
        return dm_accounts.push_account(tx, wake.device_id, seal, settings.omadm.server_id)
    except SealError as error:
        log.error("a device cannot be notified", imei=wake.imei, error=str(error))
    except (ValueError, TypeError, KeyError):
        # A row that nobody can read. The others must not wait behind it.
        log.exception("a device cannot be notified", imei=wake.imei)
    return None


def _package(tx: Tx, wake: Wake, account: PushAccount, settings: Settings) -> bytes | None:
    trigger = Trigger(
        ui_mode=UiMode(settings.omadm.ui_mode),
        session=wake.session,
        server_id=account.server_id,
    )
    nonce = account.nonce
    after = settings.omadm.zero_nonce_after
    if after and wake.number == after + 1:
        nonce = ZERO_NONCE
        accounts.set_zero_nonce_session(tx, wake.device_id, trigger.session_id)
    try:
        return encode_notification(trigger, account.server_key, nonce)
    except SyncmlError as error:
        log.error("a device cannot be notified", imei=wake.imei, error=str(error))
        return None
