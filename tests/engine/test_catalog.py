"""Stories of the catalogue: who sees which software, who is told, and configuration files."""

from datetime import timedelta

import pytest

from overair.core.errors import Refusal, RequestError
from overair.core.ids import AccountId
from overair.engine.catalog import FileUpload, add_file, put_software, replace_file
from overair.engine.schedule import CampaignRequest, schedule_campaign
from overair.store import Database, Tx, packages
from tests.engine.stock import (
    NOW,
    SETTINGS,
    SOFTWARE,
    Bytes,
    add_account,
    add_devices,
    begin,
    imei,
    schedule,
    software,
)

LATER = NOW + timedelta(hours=1)


def seen(tx: Tx, account_id: AccountId, protocol: str | None = None) -> list[str]:
    protocols = None if protocol is None else [protocol]
    return [package.name for package in packages.visible_software(tx, account_id, protocols, 100)]


def listen(tx: Tx, account_id: AccountId) -> None:
    tx.execute(
        "insert into callback_listener (account_id, api_version, generation, url, registered_at)"
        " values (?, 2, 1, 'https://listener.example/', 0)",
        (account_id,),
    )


def told(tx: Tx, account_id: AccountId) -> int:
    row = tx.one("select count(*) from callback_message where account_id = ?", (account_id,))
    assert row is not None
    return int(row[0])


def upload(**changes: object) -> FileUpload:
    facts: dict[str, object] = {
        "file_name": "hello-world.txt",
        "version": "1.0",
        "make": "Veri zon",
        "model": "VZW1",
        "local_target_path": "/etc/hello",
        "artifact": Bytes(),
    }
    return FileUpload(**(facts | changes))  # type: ignore[arg-type]  # members by name, for tests


def refusal_of(call: object, *args: object) -> Refusal:
    assert callable(call)
    with pytest.raises(RequestError) as refused:
        call(*args)
    return refused.value.refusal


async def test_an_account_sees_software_for_its_devices(database: Database) -> None:
    """Make and model must be those of a device of the account, in whatever case."""

    def story(tx: Tx) -> None:
        mine, other = add_account(tx), add_account(tx, "0000123456-00002")
        add_devices(tx, mine, [1, 2, 3], make="ACME", model="x1")
        add_devices(tx, mine, [4], make="Acme", model="X2")
        add_devices(tx, other, [5], model="X9")
        put_software(tx, software(), NOW)
        put_software(tx, software(name="B", model="X2", protocol="LWM2M"), NOW)
        put_software(tx, software(name="C", model="X9"), NOW)
        put_software(tx, software(name="D", make="Nobody"), NOW)
        assert seen(tx, mine) == ["B", SOFTWARE]
        assert seen(tx, mine, "HTTP") == [SOFTWARE]
        assert seen(tx, other) == ["C"]
        assert packages.find_software(tx, mine, SOFTWARE) is not None
        assert packages.find_software(tx, mine, "C") is None
        assert packages.find_software(tx, mine, "E") is None

    await database.transact(story)


async def test_restricted_software_is_for_some_accounts(database: Database) -> None:
    """Only the accounts named see it, until it is opened to all."""

    def story(tx: Tx) -> None:
        mine, other = add_account(tx), add_account(tx, "0000123456-00002")
        add_devices(tx, mine, [1])
        add_devices(tx, other, [2])
        put_software(tx, software(accounts=[mine]), NOW)
        assert (seen(tx, mine), seen(tx, other)) == ([SOFTWARE], [])
        assert packages.find_software(tx, other, SOFTWARE) is None
        put_software(tx, software(accounts=[]), NOW)
        assert (seen(tx, mine), seen(tx, other)) == ([], [])
        put_software(tx, software(), NOW)
        assert (seen(tx, mine), seen(tx, other)) == ([SOFTWARE], [SOFTWARE])

    await database.transact(story)


async def test_accounts_are_told_of_software_that_is_new_to_them(database: Database) -> None:
    """Each account with a fitting device hears once, however often the package is written."""

    def story(tx: Tx) -> None:
        mine, other, third = (add_account(tx, f"0000123456-0000{n}") for n in (1, 2, 3))
        add_devices(tx, mine, [1])
        add_devices(tx, other, [2])
        add_devices(tx, third, [3], model="X3")
        for account in (mine, other, third):
            listen(tx, account)
        first = put_software(tx, software(accounts=[mine]), NOW)
        assert (first.created, first.changed) == (True, True)
        again = put_software(tx, software(accounts=[mine]), LATER)
        assert (again.package_id, again.created, again.changed) == (first.package_id, False, False)
        assert [told(tx, account) for account in (mine, other, third)] == [1, 0, 0]
        wider = put_software(tx, software(release_note="faster"), LATER)
        assert (wider.package_id, wider.changed) == (first.package_id, True)
        assert [told(tx, account) for account in (mine, other, third)] == [1, 1, 0]

    await database.transact(story)


async def test_software_without_bytes_gets_them_later_and_keeps_them(database: Database) -> None:
    """A package may be listed before its file is there; writing it without one takes none away."""

    def story(tx: Tx) -> None:
        account = add_account(tx)
        add_devices(tx, account, [1])
        put_software(tx, software(artifact=None, file_name=None), NOW)
        listed = packages.find_software(tx, account, SOFTWARE)
        assert listed is not None
        assert (listed.artifact_sha256, listed.file_name) == (None, None)
        put_software(tx, software(file_name="images/x1-02.swu"), NOW)
        put_software(tx, software(artifact=None, release_note="!"), NOW)
        filled = packages.find_software(tx, account, SOFTWARE)
        assert filled is not None
        assert (filled.artifact_sha256, filled.file_name) == (Bytes().sha256, "x1-02.swu")
        assert packages.referenced(tx) == {Bytes().sha256}

    await database.transact(story)


async def test_a_configuration_file_gets_a_name_and_has_versions(database: Database) -> None:
    """The name is made of make, model and file; a version is there once, a new one is added."""

    def story(tx: Tx) -> None:
        mine, other = add_account(tx), add_account(tx, "0000123456-00002")
        made = add_file(tx, mine, upload(file_name="C:\\work\\hello-world.txt"), NOW)
        assert made.name == made.file_name == "configfile-Verizon_VZW1_hello-world.txt"
        assert (made.make, made.to_version, made.part) == ("Veri zon", "1.0", "config")
        assert made.launch_at == NOW
        assert refusal_of(add_file, tx, mine, upload(), NOW) is Refusal.FILE_EXISTS
        add_file(tx, mine, upload(version="2.0"), LATER)
        assert [file.to_version for file in packages.files(tx, mine, "HTTP", 10)] == ["2.0", "1.0"]
        assert len(packages.files(tx, mine, None, 1)) == 1
        assert packages.files(tx, mine, "LWM2M", 10) == []
        assert packages.files(tx, other, None, 10) == []
        assert packages.find_file(tx, other, made.name, "1.0") is None
        add_file(tx, other, upload(), NOW)

    await database.transact(story)


async def test_a_file_is_replaced_while_no_campaign_uses_it(database: Database) -> None:
    """PUT changes bytes and path of a version that is there and not in use."""
    fresh = Bytes(sha256="d" * 64)

    def story(tx: Tx) -> None:
        account = add_account(tx)
        add_devices(tx, account, [1], make="Veri zon", model="VZW1")
        change = upload(artifact=fresh, local_target_path="/etc/there")
        assert refusal_of(replace_file, tx, account, change, NOW) is Refusal.FILE_NOT_FOUND
        made = add_file(tx, account, upload(), NOW)
        changed = replace_file(tx, account, change, LATER)
        assert (changed.id, changed.launch_at) == (made.id, NOW)
        assert (changed.artifact_sha256, changed.local_target_path) == (fresh.sha256, "/etc/there")
        by_name = upload(file_name=made.name)
        assert replace_file(tx, account, by_name, LATER).artifact_sha256 == Bytes().sha256
        another = upload(version="9", artifact=fresh)
        assert refusal_of(replace_file, tx, account, another, NOW) is Refusal.FILE_NOT_FOUND

        tx.execute(
            "insert into subscription (account_id, purchase_type, license_count, updated_at)"
            " values (?, 'TS-HFOTA-EVNT', 0, 0)",
            (account,),
        )
        schedule_campaign(
            tx,
            CampaignRequest(
                uuid="00000000-0000-4000-8000-000000000001",
                account_id=account,
                api_version=2,
                kind="file",
                name="",
                package_name=made.name,
                from_version=None,
                to_version="1.0",
                protocols=frozenset({"HTTP"}),
                distribution_type="HTTP",
                start_date=NOW.date(),
                end_date=None,
                download_after=None,
                download_windows=(),
                install_after=None,
                install_windows=(),
                imeis=[imei(1)],
            ),
            SETTINGS,
            NOW,
        )
        assert refusal_of(replace_file, tx, account, change, NOW) is Refusal.FILE_IN_USE

    await database.transact(story)


@pytest.mark.parametrize(
    ("member", "value", "part"),
    [
        ("file_name", "", "fileupload"),
        ("file_name", "dir/..", "fileupload"),
        ("version", " ", "fileVersion"),
        ("version", "1\x00", "fileVersion"),
        ("make", "", "make"),
        ("make", "a/b", "make"),
        ("model", "m\n1", "model"),
        ("local_target_path", "/x" * 200, "localTargetPath"),
    ],
)
async def test_an_upload_that_makes_no_name_is_refused(
    sqlite_database: Database, member: str, value: str, part: str
) -> None:
    """The answer names the part of the form that cannot be used."""

    def story(tx: Tx) -> None:
        with pytest.raises(RequestError, match=f"File upload: {part} is missing"):
            add_file(tx, add_account(tx), upload(**{member: value}), NOW)

    await sqlite_database.transact(story)


async def test_bytes_in_use_are_kept_after_their_package_changed(database: Database) -> None:
    """The storage keeps what a device is still working with."""
    fresh = Bytes(sha256="d" * 64)

    def story(tx: Tx) -> None:
        account = add_account(tx)
        add_devices(tx, account, [1])
        tx.execute(
            "insert into subscription (account_id, purchase_type, license_count, updated_at)"
            " values (?, 'TS-HFOTA-EVNT', 0, 0)",
            (account,),
        )
        schedule(tx, account, [1])
        begin(tx, 1)
        put_software(tx, software(artifact=fresh), LATER)
        assert packages.referenced(tx) == {Bytes().sha256, fresh.sha256}

    await database.transact(story)
