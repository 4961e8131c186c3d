"""What ``overair export`` writes: everything that a fleet file can say, read in one snapshot.

Only hashes of secrets are kept, so hashes are written; imported into an empty database they make the
same installation again. Keys and secrets of other protocols are written in clear, because those protocols
need them: an export is to be guarded like the devices themselves.

Not exported: what happened (campaigns, attempts, logs), configuration files, and devices that a
gateway made up a name for, which register themselves again.
"""

from collections.abc import Callable, Iterator

import msgspec
from msgspec import UNSET

from overair.core.checks import is_imei
from overair.core.ids import PackageId
from overair.engine import dm_accounts, lwm2m_accounts
from overair.engine.fleet_devices import PULLING
from overair.fleetfile import shapes
from overair.sealing import Seal
from overair.store import fleet as store
from overair.store import packages, subscriptions
from overair.store.database import Tx
from overair.store.fleet import Known
from overair.store.packages import Package

PAGE = 1000


def export_document(tx: Tx, file_of: Callable[[Package], str] | None = None) -> shapes.Fleet:
    """Everything but the devices. ``file_of`` names the file that a package's bytes go to; without
    it their digests are written, for an installation that has them in its storage."""
    accounts = store.accounts(tx)
    names = {account_id: account.name for account_id, account in accounts.items()}
    return shapes.Fleet(
        accounts=[
            shapes.Account(
                name=account.name,
                alias=account.alias or UNSET,
                active=account.active,
                subscription=_subscription(subscriptions.get(tx, account_id)),
                gateway_token_hash=account.gateway_token_hash or UNSET,
                auto_register=account.auto_register or UNSET,
                poll_interval=account.poll_interval_s or UNSET,
            )
            for account_id, account in accounts.items()
        ],
        applications=[
            shapes.Application(
                key=caller.name, secret_hash=caller.secret_hash, active=caller.active
            )
            for caller in store.applications(tx).values()
        ],
        users=[
            shapes.User(
                username=caller.name,
                password_hash=caller.secret_hash,
                accounts=list(caller.accounts),
                active=caller.active,
            )
            for caller in store.users(tx).values()
        ],
        packages=[
            _package(
                tx,
                package,
                [names[i] for i in packages.accounts_of(tx, package.id)]
                if package.restricted
                else None,
                file_of,
            )
            for package in every_software(tx)
        ],
    )


def every_software(tx: Tx) -> list[Package]:
    """All software of the catalogue, by name."""
    found: list[Package] = []
    after = PackageId(0)
    while page := packages.every(tx, after, PAGE):
        found += [package for package in page if package.kind == "software"]
        after = page[-1].id
    return sorted(found, key=lambda package: package.name)


def _subscription(
    present: subscriptions.Subscription | None,
) -> shapes.Subscription | msgspec.UnsetType:
    if present is None:
        return UNSET
    return shapes.Subscription(
        purchase_type=present.purchase_type, license_count=present.license_count
    )


def _package(
    tx: Tx,
    package: Package,
    accounts: list[str] | None,
    file_of: Callable[[Package], str] | None,
) -> shapes.Package:
    file: str | msgspec.UnsetType = UNSET
    artifact: shapes.Stored | msgspec.UnsetType = UNSET
    if package.artifact_sha256 is not None and package.file_name is not None:
        if file_of is not None:
            file = file_of(package)
        else:
            stored = store.stored_bytes(tx, package.artifact_sha256)
            artifact = shapes.Stored(
                sha256=stored.sha256,
                sha1=stored.sha1,
                md5=stored.md5,
                size_bytes=stored.size_bytes,
                file_name=package.file_name,
            )
    return shapes.Package(
        name=package.name,
        protocol=msgspec.convert(package.protocol, shapes.Protocol),
        make=package.make,
        model=package.model,
        from_=package.from_version,
        to=package.to_version,
        launch_date=package.launch_at.date(),
        release_note=package.release_note,
        part=package.part,
        file=file,
        artifact=artifact,
        accounts=accounts,
    )


def export_devices(tx: Tx, seal: Seal) -> Iterator[shapes.Device]:
    """All devices with an IMEI, by IMEI, a page at a time. Raises SealError."""
    names = {account_id: account.name for account_id, account in store.accounts(tx).items()}
    after = ""
    while page := store.page(tx, after, PAGE):
        imeis = {known.id: known.device.imei for known in page}
        omadm = dm_accounts.blocks_of(tx, imeis, seal)
        lwm2m = lwm2m_accounts.blocks_of(tx, sorted(imeis), seal)
        for known in page:
            if is_imei(known.device.imei):
                name = names[known.device.account_id]
                yield _device(name, known, lwm2m.get(known.id, UNSET), omadm.get(known.id, UNSET))
        after = page[-1].device.imei


def _device(
    account: str,
    known: Known,
    lwm2m: shapes.Lwm2m | msgspec.UnsetType,
    omadm: shapes.Omadm | msgspec.UnsetType,
) -> shapes.Device:
    device = known.device
    return shapes.Device(
        account=account,
        device_id=device.imei,
        mdn=device.mdn,
        make=device.make,
        model=device.model,
        protocol=msgspec.convert(device.protocol, shapes.Protocol),
        version=device.version,
        fota_eligible=device.fota_eligible,
        status=device.status,
        licensed=known.licensed,
        time_zone=device.time_zone or UNSET,
        ddi=_ddi(device),
        lwm2m=lwm2m,
        omadm=omadm,
    )


def _ddi(device: store.Device) -> shapes.Ddi | msgspec.UnsetType:
    # Said of a device without a token, so that an import does not make one.
    none = None if device.protocol == PULLING else UNSET
    ddi = shapes.Ddi(
        token_hash=device.token_hash or none,
        token_salt=device.token_salt or UNSET,
        controller_id=UNSET if device.controller_id == device.imei else device.controller_id,
        two_phase=UNSET if device.two_phase is None else device.two_phase,
        poll_interval=device.poll_interval_s or UNSET,
    )
    return UNSET if ddi == shapes.Ddi() else ddi
