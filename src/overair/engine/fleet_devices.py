"""Devices of a fleet file: checked in batches, then written in batches.

A batch is a transaction. All of the file is checked before the first batch is written
(``DeviceCheck``); each batch is checked again as it is written, because a server may be running
beside the import, and a conflict that came up in between undoes that batch and ends the import.
Batches before it stay: the same file imported again writes the rest.

What a device does not name stays as it is. A new HTTP device without a token gets one that is derived
from the installation's key, so that ``overair device show`` can show it.
"""

import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from msgspec import UNSET

from overair.config import Settings
from overair.core.checks import is_imei
from overair.core.credentials import device_token, fingerprint
from overair.core.ids import AccountId, DeviceId
from overair.core.licenses import has_pool
from overair.engine import dm_accounts, lwm2m_accounts
from overair.engine.fleet import Tally, given
from overair.fleetfile import shapes
from overair.fleetfile.decode import Placed
from overair.fleetfile.problems import FleetFileError, Problem
from overair.sealing import Seal, SealError
from overair.store import devices as ids
from overair.store import fleet as store
from overair.store import licenses, subscriptions
from overair.store.database import Tx
from overair.store.fleet import Known, Repeats

PULLING = "HTTP"  # the protocol whose devices bring a token
GRAIN_BYTES = 12  # of the salt of a token that is made here
MAX_IDENTITY_BYTES = 128  # of a pre-shared key (``lwm2m.md`` 12)


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


# Checking ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Pool:
    count: int
    used: int
    told: bool = False  # its shortage was reported


class DeviceCheck:
    """The check of all devices of a file, one batch after the other."""

    def __init__(
        self, tx: Tx, document: shapes.Fleet, settings: Settings, repeats: Repeats
    ) -> None:
        stored = store.accounts(tx)
        self._accounts: dict[str, AccountId | None] = {a.name: None for a in document.accounts}
        self._accounts |= {account.name: key for key, account in stored.items()}
        self._names = {key: account.name for key, account in stored.items()}
        self._settings = settings
        self._repeats = repeats
        self._pools = dict(self._read_pools(tx, document))

    def _read_pools(self, tx: Tx, document: shapes.Fleet) -> Iterator[tuple[str, _Pool]]:
        told = {a.name: a.subscription for a in document.accounts if a.subscription}
        for name, account_id in self._accounts.items():
            present = None if account_id is None else subscriptions.get(tx, account_id)
            used = present.license_used_count if present else 0
            terms = told.get(name) or present
            if terms is not None and has_pool(terms.purchase_type.upper()):
                yield name, _Pool(terms.license_count, used)

    def check(self, tx: Tx, batch: Sequence[Placed]) -> list[Problem]:
        """What cannot be written of this batch."""
        problems: list[Problem] = []
        present = store.known(tx, [placed.device.device_id for placed in batch])
        for placed in batch:
            known = present.get(placed.device.device_id)
            problems += check_device(placed, self._settings)
            problems += self._check_repeats(placed, known)
            if placed.device.account not in self._accounts:
                rule = f"there is no account {placed.device.account}"
                problems.append(Problem(path=f"{placed.path}.account", rule=rule))
            problems += self._check_pool(placed, known)
        problems += conflicts(tx, batch, self._accounts, present, self._names)
        return problems

    def _check_repeats(self, placed: Placed, known: Known | None) -> Iterator[Problem]:
        device = placed.device
        first = self._repeats.first("", device.device_id, placed.path)
        if first is not None:
            rule = f"{device.device_id} is there twice: see {first}"
            yield Problem(path=f"{placed.path}.deviceId", rule=rule)
            return
        controller_id = _controller_id(device)
        if known is not None and not _names_controller(device):
            controller_id = known.device.controller_id
        first = self._repeats.first(device.account, controller_id, placed.path)
        if first is not None:
            rule = f"{controller_id!r} names two devices of the account: see {first}"
            yield Problem(path=f"{placed.path}.ddi.controllerId", rule=rule)

    def _check_pool(self, placed: Placed, present: Known | None) -> Iterator[Problem]:
        if placed.device.licensed is not True:
            return
        path = f"{placed.path}.licensed"
        pool = self._pools.get(placed.device.account)
        if pool is None:
            rule = f"account {placed.device.account} has no subscription with a pool of licences"
            yield Problem(path=path, rule=rule)
            return
        if present is None or not present.licensed:
            pool.used += 1
        if pool.used > pool.count and not pool.told:
            pool.told = True
            yield Problem(
                path=path,
                rule=f"the pool of account {placed.device.account} has {pool.count} licences:"
                " raise licenseCount, or give fewer devices one",
            )


def _controller_id(device: shapes.Device) -> str:
    named = device.ddi.controller_id if isinstance(device.ddi, shapes.Ddi) else None
    return named if isinstance(named, str) else device.device_id


def check_device(placed: Placed, settings: Settings) -> Iterator[Problem]:
    """What is wrong with a device whatever else there is."""
    path, device = placed
    if settings.check_imei_digit and not is_imei(device.device_id, check_digit=True):
        yield Problem(path=f"{path}.deviceId", rule="the check digit of the IMEI is wrong")
    if isinstance(device.time_zone, str) and device.time_zone not in _time_zones():
        rule = f"there is no time zone {device.time_zone!r} (IANA names, as Europe/Berlin)"
        yield Problem(path=f"{path}.timeZone", rule=rule)
    if isinstance(device.ddi, shapes.Ddi):
        if device.ddi.token and device.ddi.token_hash:
            rule = "either token or tokenHash is given, not both"
            yield Problem(path=f"{path}.ddi.tokenHash", rule=rule)
        if device.ddi.token_salt and not device.ddi.token_hash:
            yield Problem(path=f"{path}.ddi.tokenSalt", rule="goes with tokenHash")
    if isinstance(device.lwm2m, shapes.Lwm2m):
        for name, identity, key in (
            ("psk", device.lwm2m.psk_identity, device.lwm2m.psk_key_hex),
            ("bootstrap", device.lwm2m.bootstrap_identity, device.lwm2m.bootstrap_key_hex),
        ):
            if type(identity) is not type(key):
                rule = f"{name}Identity and {name}KeyHex go together"
                yield Problem(path=f"{path}.lwm2m", rule=rule)
            if isinstance(identity, str) and len(identity.encode()) > MAX_IDENTITY_BYTES:
                rule = f"has at most {MAX_IDENTITY_BYTES} bytes in UTF-8"
                yield Problem(path=f"{path}.lwm2m.{name}Identity", rule=rule)


def conflicts(
    tx: Tx,
    batch: Sequence[Placed],
    accounts: Mapping[str, AccountId | None],
    present: Mapping[str, Known],
    names: Mapping[AccountId, str],
) -> Iterator[Problem]:
    """Devices that are another account's or at work, and controller ids that are another device's."""
    wanted: dict[AccountId, list[Placed]] = {}
    for placed in batch:
        device = placed.device
        known = present.get(device.device_id)
        account_id = accounts.get(device.account)
        if known is not None and known.device.account_id != account_id:
            owner = names.get(known.device.account_id, "another account")
            rule = f"{device.device_id} is a device of account {owner}"
            yield Problem(path=f"{placed.path}.deviceId", rule=rule)
            continue
        if known is not None and known.at_work:
            # Whoever carries the attempt on is its protocol's, and the other one would not know of it.
            before = known.device.protocol
            if given(device.protocol, before) != before:
                rule = f"{device.device_id} has an attempt under way over {before}, and keeps it"
                yield Problem(path=f"{placed.path}.protocol", rule=f"{rule} until that is over")
        if account_id is not None and (known is None or _names_controller(device)):
            wanted.setdefault(account_id, []).append(placed)
    for account_id, group in wanted.items():
        held = store.holders(tx, account_id, [_controller_id(placed.device) for placed in group])
        for placed in group:
            holder = held.get(_controller_id(placed.device), placed.device.device_id)
            if holder != placed.device.device_id:
                rule = f"is the controller id of device {holder}"
                yield Problem(path=f"{placed.path}.ddi.controllerId", rule=rule)


def _names_controller(device: shapes.Device) -> bool:
    return isinstance(device.ddi, shapes.Ddi) and device.ddi.controller_id is not UNSET


# Writing -----------------------------------------------------------------------------------------


def put_devices(
    tx: Tx,
    batch: Sequence[Placed],
    accounts: Mapping[str, AccountId],
    salts: Sequence[str],
    key: bytes,
    now: datetime,
) -> Tally:
    """Write one batch; ``salts`` are for tokens that are made here, one for each device.

    Raises FleetFileError if something came up since the file was checked.
    """
    # Locks in the order subscriptions, devices, as everywhere.
    licensed = [placed for placed in batch if placed.device.licensed is True]
    for account_id in sorted({accounts[placed.device.account] for placed in licensed}):
        subscriptions.get(tx, account_id, lock=True)
    present = store.known(tx, [placed.device.device_id for placed in batch], lock=True)
    names = {account_id: name for name, account_id in accounts.items()}
    if problems := list(conflicts(tx, batch, accounts, present, names)):
        raise FleetFileError(*problems)
    tally = Tally()
    fresh: list[store.Device] = []
    changed: list[tuple[DeviceId, store.Device]] = []
    touched: set[str] = set()
    for placed, salt in zip(batch, salts, strict=True):
        known = present.get(placed.device.device_id)
        before = known.device if known else _blank(placed.device, accounts)
        device = _merged(placed.device, before, known is None, key, salt)
        if known is None:
            fresh.append(device)
        elif device != before:
            changed.append((known.id, device))
            touched.add(device.imei)
    store.insert_devices(tx, fresh, now)
    store.update_devices(tx, changed, now)
    device_ids = {imei: known.id for imei, known in present.items()}
    for account_id in sorted({device.account_id for device in fresh}):
        mine = [device.imei for device in fresh if device.account_id == account_id]
        device_ids |= ids.ids_of(tx, account_id, mine)
    touched |= _put_lwm2m_accounts(tx, batch, device_ids, Seal(key))
    touched |= _put_dm_accounts(tx, batch, device_ids, Seal(key))
    touched |= _assign(tx, licensed, accounts, present, device_ids, now)
    for placed in batch:
        imei = placed.device.device_id
        tally.count(created=imei not in present, changed=imei in touched)
    return tally


def _blank(device: shapes.Device, accounts: Mapping[str, AccountId]) -> store.Device:
    return store.Device(
        account_id=accounts[device.account],
        imei=device.device_id,
        controller_id=device.device_id,
    )


def _merged(
    told: shapes.Device, before: store.Device, is_new: bool, key: bytes, salt: str
) -> store.Device:
    """The device as it is to be."""
    ddi = told.ddi if isinstance(told.ddi, shapes.Ddi) else shapes.Ddi()
    merged = replace(
        before,
        controller_id=given(ddi.controller_id, before.controller_id) or told.device_id,
        mdn=given(told.mdn, before.mdn),
        make=given(told.make, before.make),
        model=given(told.model, before.model),
        protocol=given(told.protocol, before.protocol),
        version=given(told.version, before.version),
        fota_eligible=given(told.fota_eligible, before.fota_eligible),
        status=given(told.status, before.status),
        time_zone=given(told.time_zone, before.time_zone),
        two_phase=given(ddi.two_phase, before.two_phase),
        poll_interval_s=given(ddi.poll_interval, before.poll_interval_s),
    )
    if ddi.token:
        token_hash = fingerprint(ddi.token)
        same = token_hash == before.token_hash  # one that was made here, and shown
        token_salt = before.token_salt if same else None
    elif ddi.token_hash:
        token_hash, token_salt = ddi.token_hash, given(ddi.token_salt, None)
    elif ddi.token_hash is None:  # said so: it has none
        return replace(merged, token_hash=None, token_salt=None)
    elif before.token_hash is None and merged.protocol == PULLING and (is_new or told.ddi):
        token_hash, token_salt = fingerprint(device_token(key, told.device_id, salt)), salt
    else:
        return merged
    return replace(merged, token_hash=token_hash, token_salt=token_salt)


def make_token(tx: Tx, imei: str, salt: str, key: bytes, now: datetime) -> None:
    """A new token for a device, which must exist; its old one opens nothing any more."""
    known = store.known(tx, [imei], lock=True)[imei]
    token_hash = fingerprint(device_token(key, imei, salt))
    renewed = replace(known.device, token_hash=token_hash, token_salt=salt)
    store.update_devices(tx, [(known.id, renewed)], now)


def _put_lwm2m_accounts(
    tx: Tx, batch: Sequence[Placed], device_ids: Mapping[str, DeviceId], seal: Seal
) -> set[str]:
    """Keep what is said for LwM2M; the IMEIs for which it is news."""
    imeis = {device_ids[placed.device.device_id]: placed for placed in batch}
    blocks = [
        (device_id, placed.device.lwm2m)
        for device_id, placed in imeis.items()
        if isinstance(placed.device.lwm2m, shapes.Lwm2m)
    ]
    news = lwm2m_accounts.put_blocks(tx, blocks, seal)
    return {imeis[device_id].device.device_id for device_id in news}


def _put_dm_accounts(
    tx: Tx, batch: Sequence[Placed], device_ids: Mapping[str, DeviceId], seal: Seal
) -> set[str]:
    """Keep what is said for OMA-DM; the IMEIs for which it is news."""
    imeis = {device_ids[placed.device.device_id]: placed for placed in batch}
    blocks = [
        (device_id, placed.device.device_id, placed.device.omadm)
        for device_id, placed in imeis.items()
        if isinstance(placed.device.omadm, shapes.Omadm)
    ]
    try:
        news = dm_accounts.put_blocks(tx, blocks, seal)
    except SealError as error:
        raise FleetFileError(Problem(path="$.devices", rule=str(error))) from error
    return {imeis[device_id].device.device_id for device_id in news}


def _assign(
    tx: Tx,
    licensed: Sequence[Placed],
    accounts: Mapping[str, AccountId],
    present: Mapping[str, Known],
    device_ids: Mapping[str, DeviceId],
    now: datetime,
) -> set[str]:
    """Give licences to those that have none; their IMEIs."""
    wanting: dict[AccountId, list[Placed]] = {}
    for placed in licensed:
        known = present.get(placed.device.device_id)
        if known is None or not known.licensed:
            wanting.setdefault(accounts[placed.device.account], []).append(placed)
    for account_id, group in sorted(wanting.items()):
        pool = subscriptions.get(tx, account_id)
        if pool is None or pool.license_count - pool.license_used_count < len(group):
            rule = f"the pool of account {group[0].device.account} is used up by now"
            raise FleetFileError(Problem(path=f"{group[0].path}.licensed", rule=rule))
        licenses.add(tx, account_id, [device_ids[p.device.device_id] for p in group], now)
    return {placed.device.device_id for group in wanting.values() for placed in group}


def adopt(tx: Tx, seal: Seal) -> int:
    """Seal secrets that earlier versions kept in clear, some of them; how many."""
    return dm_accounts.adopt(tx, seal) + lwm2m_accounts.adopt(tx, seal)
