"""A fleet file's document: accounts, callers and software, checked against the database and written.

``check_document`` says everything that would stand in the way, and changes nothing; then
``put_document`` writes in one transaction. What a record does not name stays as it is, nothing is
deleted, and what is the same already is not written. Secrets are hashed and bytes are taken into
the artifact storage before the transaction (``Prepared``).

Not in here: devices (``engine/fleet_devices.py``), reading files and storing bytes (the edge).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from typing import Final, TypeVar

from msgspec import UNSET, UnsetType

from overair.config import Settings
from overair.core.credentials import fingerprint
from overair.core.ids import AccountId
from overair.core.licenses import LicenseTermsError, check_terms
from overair.engine import catalog, identity, licenses
from overair.fleetfile import shapes
from overair.fleetfile.problems import Problem
from overair.store import fleet as store
from overair.store import packages, subscriptions
from overair.store.database import Tx
from overair.store.packages import Artifact

T = TypeVar("T")

ACCOUNT_NAME: Final = re.compile(r"[0-9]{10}-[0-9]{5}", re.ASCII)


def given(value: T | UnsetType, otherwise: T) -> T:
    """What the file says, or what is there where it says nothing."""
    return otherwise if isinstance(value, UnsetType) else value


@dataclass(slots=True)
class Tally:
    """What became of the records of one kind."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0

    def count(self, *, created: bool, changed: bool) -> None:
        """One more record."""
        if created:
            self.created += 1
        elif changed:
            self.changed += 1
        else:
            self.unchanged += 1

    def add(self, other: "Tally") -> None:
        """All of another count."""
        self.created += other.created
        self.changed += other.changed
        self.unchanged += other.unchanged


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What was made ready before the transaction."""

    application_secrets: Mapping[str, str] = field(default_factory=dict)  # hashes by key
    user_passwords: Mapping[str, str] = field(default_factory=dict)  # hashes by username
    artifacts: Mapping[str, tuple[Artifact, str]] = field(default_factory=dict)
    """Bytes and file name by name of package."""


# Checking ----------------------------------------------------------------------------------------


def check_document(tx: Tx, document: shapes.Fleet, settings: Settings) -> list[Problem]:
    """Everything in the document, devices left aside, that cannot be written."""
    return [
        *_check_accounts(tx, document, settings),
        *_check_callers(tx, document),
        *_check_packages(tx, document),
    ]


def _repeated(names: list[str], path: str, member: str) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for number, name in enumerate(names):
        if name in first:
            at = f"{path}[{number}].{member}"
            yield Problem(path=at, rule=f"{name!r} is there twice: see {path}[{first[name]}]")
        first.setdefault(name, number)


def _check_accounts(tx: Tx, document: shapes.Fleet, settings: Settings) -> Iterator[Problem]:
    # Tenants are compared without case (http-ddi 2), so names and aliases are one space.
    yield from _repeated([a.name.casefold() for a in document.accounts], "$.accounts", "name")
    stored = store.accounts(tx).values()
    names = {a.name.casefold(): a.name for a in stored}
    names |= {a.name.casefold(): a.name for a in document.accounts}
    aliases = {a.alias: a.name for a in stored if a.alias}
    for number, account in enumerate(document.accounts):
        path = f"$.accounts[{number}]"
        if settings.check_account_name and not ACCOUNT_NAME.fullmatch(account.name):
            rule = "an account name has the form 0000123456-00001 (setting check_account_name)"
            yield Problem(path=f"{path}.name", rule=rule)
        if "/" in account.name:
            yield Problem(path=f"{path}.name", rule="has a slash, and is a part of addresses")
        if names[account.name.casefold()] != account.name:
            rule = f"differs from {names[account.name.casefold()]!r} in upper and lower case only"
            yield Problem(path=f"{path}.name", rule=rule)
        if (holder := aliases.get(account.name.casefold())) is not None:
            yield Problem(path=f"{path}.name", rule=f"is the alias of account {holder}")
        if account.alias:
            alias = account.alias.casefold()
            if alias in names:
                rule = f"{account.alias!r} is the name of account {names[alias]}"
                yield Problem(path=f"{path}.alias", rule=rule)
            if aliases.setdefault(alias, account.name) != account.name:
                rule = f"{account.alias!r} is the alias of account {aliases[alias]}"
                yield Problem(path=f"{path}.alias", rule=rule)
        if account.gateway_token and account.gateway_token_hash:
            yield _either(path, "gatewayToken", "gatewayTokenHash")
        if account.subscription:
            yield from _check_terms(f"{path}.subscription", account.subscription)


def _check_terms(path: str, subscription: shapes.Subscription) -> Iterator[Problem]:
    try:
        check_terms(subscription.purchase_type, subscription.license_count)
    except LicenseTermsError as error:
        yield Problem(path=path, rule=str(error))


def _either(path: str, one: str, other: str) -> Problem:
    return Problem(path=f"{path}.{other}", rule=f"either {one} or {other} is given, not both")


def _known_accounts(tx: Tx, document: shapes.Fleet) -> set[str]:
    return {a.name for a in store.accounts(tx).values()} | {a.name for a in document.accounts}


def _check_callers(tx: Tx, document: shapes.Fleet) -> Iterator[Problem]:
    accounts = _known_accounts(tx, document)
    applications, users = store.applications(tx), store.users(tx)
    yield from _repeated([a.key for a in document.applications], "$.applications", "key")
    for number, application in enumerate(document.applications):
        path = f"$.applications[{number}]"
        if application.secret and application.secret_hash:
            yield _either(path, "secret", "secretHash")
        elif application.key not in applications and not (
            application.secret or application.secret_hash
        ):
            yield Problem(path=f"{path}.secret", rule="is required of a new application")
    yield from _repeated([u.username for u in document.users], "$.users", "username")
    for number, user in enumerate(document.users):
        path = f"$.users[{number}]"
        if user.password and user.password_hash:
            yield _either(path, "password", "passwordHash")
        elif user.username not in users and not (user.password or user.password_hash):
            yield Problem(path=f"{path}.password", rule="is required of a new user")
        yield from _check_names(f"{path}.accounts", given(user.accounts, []), accounts)


def _check_names(path: str, names: list[str], accounts: set[str]) -> Iterator[Problem]:
    for number, name in enumerate(names):
        if name not in accounts:
            yield Problem(path=f"{path}[{number}]", rule=f"there is no account {name}")


def _check_packages(tx: Tx, document: shapes.Fleet) -> Iterator[Problem]:
    accounts = _known_accounts(tx, document)
    yield from _repeated([p.name for p in document.packages], "$.packages", "name")
    for number, package in enumerate(document.packages):
        path = f"$.packages[{number}]"
        if package.file and package.artifact:
            yield _either(path, "file", "artifact")
        if isinstance(package.accounts, list):
            yield from _check_names(f"{path}.accounts", package.accounts, accounts)
        if packages.software(tx, package.name) is None:
            for member in ("make", "model", "to"):
                if getattr(package, member) is UNSET:
                    yield Problem(path=f"{path}.{member}", rule="is required of a new package")


# Writing -----------------------------------------------------------------------------------------


def put_document(
    tx: Tx, document: shapes.Fleet, prepared: Prepared, settings: Settings, now: datetime
) -> dict[str, Tally]:
    """Write everything but the devices; what became of the records, by kind."""
    return {
        "accounts": _put_accounts(tx, document, settings, now),
        "applications": _put_applications(tx, document, prepared, now),
        "users": _put_users(tx, document, prepared),
        "packages": _put_packages(tx, document, prepared, now),
    }


def account_ids(tx: Tx) -> dict[str, AccountId]:
    """Ids of accounts by name."""
    return {account.name: account_id for account_id, account in store.accounts(tx).items()}


def _put_accounts(tx: Tx, document: shapes.Fleet, settings: Settings, now: datetime) -> Tally:
    tally = Tally()
    before = {account.name: (key, account) for key, account in store.accounts(tx).items()}
    for told in document.accounts:
        account_id, present = before.get(told.name, (None, store.Account(name=told.name)))
        account = _account(told, present)
        changed = account != present
        if account_id is None:
            store.insert_account(tx, account, now)
            account_id = account_ids(tx)[told.name]
            created = True
        else:
            created = False
            if changed:
                store.update_account(tx, account_id, account)
        if told.subscription:
            was = subscriptions.get(tx, account_id)
            licenses.set_subscription(
                tx,
                account_id,
                purchase_type=told.subscription.purchase_type,
                license_count=told.subscription.license_count,
                settings=settings,
                now=now,
            )
            changed = changed or subscriptions.get(tx, account_id) != was
        tally.count(created=created, changed=changed)
    return tally


def _account(told: shapes.Account, present: store.Account) -> store.Account:
    alias = given(told.alias, present.alias)
    gateway_token_hash = present.gateway_token_hash
    if told.gateway_token:
        gateway_token_hash = fingerprint(told.gateway_token)
    elif told.gateway_token_hash:
        gateway_token_hash = told.gateway_token_hash
    elif told.gateway_token is None or told.gateway_token_hash is None:
        gateway_token_hash = None
    return store.Account(
        name=told.name,
        alias=alias and alias.casefold(),
        active=given(told.active, present.active),
        gateway_token_hash=gateway_token_hash,
        auto_register=given(told.auto_register, present.auto_register),
        poll_interval_s=given(told.poll_interval, present.poll_interval_s),
    )


def _put_applications(tx: Tx, document: shapes.Fleet, prepared: Prepared, now: datetime) -> Tally:
    tally = Tally()
    before = store.applications(tx)
    for told in document.applications:
        present = before.get(told.key)
        secret_hash = prepared.application_secrets.get(told.key) or given(
            told.secret_hash, present.secret_hash if present else ""
        )
        assert secret_hash, "the document was not checked"
        wanted = store.Caller(
            name=told.key,
            secret_hash=secret_hash,
            active=given(told.active, present.active if present else True),
        )
        if wanted != present:
            identity.put_application(tx, told.key, wanted.secret_hash, wanted.active, now)
        tally.count(created=present is None, changed=wanted != present)
    return tally


def _put_users(tx: Tx, document: shapes.Fleet, prepared: Prepared) -> Tally:
    tally = Tally()
    before = store.users(tx)
    for told in document.users:
        present = before.get(told.username)
        password_hash = prepared.user_passwords.get(told.username) or given(
            told.password_hash, present.secret_hash if present else ""
        )
        assert password_hash, "the document was not checked"
        accounts = given(told.accounts, list(present.accounts) if present else [])
        wanted = store.Caller(
            name=told.username,
            secret_hash=password_hash,
            active=given(told.active, present.active if present else True),
            accounts=tuple(sorted(set(accounts))),
        )
        if present is None or wanted != replace(present, accounts=tuple(sorted(present.accounts))):
            identity.put_user(
                tx, told.username, wanted.secret_hash, wanted.active, list(wanted.accounts)
            )
            tally.count(created=present is None, changed=True)
        else:
            tally.count(created=False, changed=False)
    return tally


def _put_packages(tx: Tx, document: shapes.Fleet, prepared: Prepared, now: datetime) -> Tally:
    tally = Tally()
    for told in document.packages:
        saved = put_package(tx, told, prepared, now)
        tally.count(created=saved.created, changed=saved.changed)
    return tally


def put_package(tx: Tx, told: shapes.Package, prepared: Prepared, now: datetime) -> catalog.Saved:
    """Write one package, which was checked."""
    return catalog.put_software(tx, _software(tx, told, prepared, now), now)


def _software(tx: Tx, told: shapes.Package, prepared: Prepared, now: datetime) -> catalog.Software:
    """The package with what is in the catalogue already where the file says nothing."""
    before = packages.software(tx, told.name)
    ids = account_ids(tx)
    accounts = None
    if not isinstance(told.accounts, UnsetType):
        accounts = None if told.accounts is None else [ids[name] for name in told.accounts]
    elif before is not None and before.restricted:
        accounts = packages.accounts_of(tx, before.id)
    artifact, file_name = prepared.artifacts.get(told.name, (None, None))
    launch_at = midnight(now.astimezone(UTC).date()) if before is None else before.launch_at
    if not isinstance(told.launch_date, UnsetType):
        launch_at = midnight(told.launch_date)
    return catalog.Software(
        name=told.name,
        protocol=given(told.protocol, before.protocol if before else "HTTP"),
        make=given(told.make, before.make if before else ""),
        model=given(told.model, before.model if before else ""),
        from_version=given(told.from_, before.from_version if before else ""),
        to_version=given(told.to, before.to_version if before else ""),
        launch_at=launch_at,
        release_note=given(told.release_note, before.release_note if before else ""),
        part=given(told.part, before.part if before else catalog.SOFTWARE_PART),
        file_name=file_name,
        artifact=artifact,
        accounts=accounts,
    )


def midnight(day: date) -> datetime:
    """The beginning of a day, UTC."""
    return datetime.combine(day, time(), UTC)
