"""Fleet files into a database and out again: rules one by one, the round trip as a property."""

import io
import re
from collections.abc import Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from overair.config import Settings
from overair.core.credentials import Cost, device_token, fingerprint, hash_secret, verify_secret
from overair.engine.fleet import Prepared, Tally, account_ids, check_document, put_document
from overair.engine.fleet_devices import DeviceCheck, put_devices
from overair.engine.fleet_export import export_devices, export_document
from overair.fleetfile import shapes
from overair.fleetfile.decode import Placed, decode_fleet, iter_devices, load_fleet
from overair.fleetfile.encode import write_devices, write_fleet
from overair.fleetfile.problems import FleetFileError, Problem
from overair.sealing import Seal
from overair.store import fleet as store
from overair.store import licenses, packages, subscriptions, verify
from overair.store.connection import SqliteTx, connect
from overair.store.database import Tx
from overair.store.fleet import Repeats
from overair.store.migrations import migrate
from tests.conftest import START

KEY = b"an installation key of 32 bytes!"
SEAL = Seal(KEY)
SETTINGS = Settings()
ACME, OTHER = "0000123456-00001", "0000123456-00002"
IMEI, NEXT = "990013907835573", "990013907835574"
STORED = hash_secret("secret", b"0123456789abcdef", Cost(log2_n=10, p=1))


@pytest.fixture
def tx() -> Iterator[Tx]:
    """A transaction on an empty database."""
    yield from _databases()


def _databases() -> Generator[Tx, None, None]:
    connection = connect(":memory:")
    fresh = SqliteTx(connection)
    migrate(fresh, START)
    try:
        yield fresh
    finally:
        connection.close()


def problems_of(
    tx: Tx, document: shapes.Fleet, config: Settings = SETTINGS, directory: Path = Path()
) -> list[str]:
    """Everything that is wrong with a document."""
    found = list(check_document(tx, document, config))
    with Repeats() as repeats:
        items = list(iter_devices(document, directory))
        found += [item for item in items if isinstance(item, Problem)]
        placed = [item for item in items if isinstance(item, Placed)]
        found += DeviceCheck(tx, document, config, repeats).check(tx, placed)
    return [str(problem) for problem in found]


def fill(tx: Tx, document: shapes.Fleet, directory: Path = Path()) -> dict[str, Tally]:
    """Import a document that is right."""
    assert problems_of(tx, document, directory=directory) == []
    prepared = Prepared(
        application_secrets={
            a.key: hash_secret(a.secret, b"0123456789abcdef", Cost(log2_n=10, p=1))
            for a in document.applications
            if isinstance(a.secret, str)
        },
        user_passwords={
            u.username: hash_secret(u.password, b"0123456789abcdef", Cost(log2_n=10, p=1))
            for u in document.users
            if isinstance(u.password, str)
        },
        artifacts={
            p.name: (p.artifact, p.artifact.file_name)
            for p in document.packages
            if isinstance(p.artifact, shapes.Stored)
        },
    )
    tallies = put_document(tx, document, prepared, SETTINGS, START)
    placed = [item for item in iter_devices(document, directory) if isinstance(item, Placed)]
    salts = [f"salt-{number:04d}" for number in range(len(placed))]
    tallies["devices"] = put_devices(tx, placed, account_ids(tx), salts, KEY, START)
    return tallies


def read(text: str) -> shapes.Fleet:
    """A document in YAML."""
    return decode_fleet(text.encode(), "yaml")


def fleet(devices: str = "", subscription: str = "null", more: str = "") -> shapes.Fleet:
    """A document with one account and these devices."""
    return read(
        f"accounts: [{{name: '{ACME}', alias: Acme, subscription: {subscription}}}]\n"
        f"devices: [{devices}]\n{more}"
    )


def one(**members: Any) -> str:
    """A device in flow style."""
    return "{" + ", ".join(f"{k}: {v}" for k, v in members.items()) + "}"


def device(imei: str = IMEI, **members: Any) -> str:
    """A device of the account."""
    return one(account=f"'{ACME}'", deviceId=f"'{imei}'", **members)


def stored(tx: Tx, imei: str = IMEI) -> store.Known:
    """The device as it is kept."""
    return store.known(tx, [imei])[imei]


POOL = "{purchaseType: TS-HFOTA-MRC, licenseCount: 1}"


# What devices get --------------------------------------------------------------------------------


def test_defaults(tx: Tx) -> None:
    """Of a device only account and IMEI are required; the rest has its defaults."""
    fill(tx, fleet(device()))
    kept = stored(tx).device
    assert (kept.protocol, kept.fota_eligible, kept.status) == ("HTTP", True, "Active")
    assert kept.controller_id == IMEI
    assert not stored(tx).licensed


def test_a_token_is_made_and_can_be_shown(tx: Tx) -> None:
    """An HTTP device without a token gets one that is derived from the key and its salt."""
    fill(tx, fleet(device()))
    kept = stored(tx).device
    assert kept.token_salt == "salt-0000"
    token = device_token(KEY, IMEI, kept.token_salt)
    assert re.fullmatch(r"[0-9A-Za-z]{32}", token)
    assert kept.token_hash == fingerprint(token)


def test_a_token_brought_along_is_kept_as_its_hash(tx: Tx) -> None:
    """The token that the file gives is stored hashed, without a salt."""
    fill(tx, fleet(device(ddi="{token: mine}")))
    kept = stored(tx).device
    assert (kept.token_hash, kept.token_salt) == (fingerprint("mine"), None)


def test_a_token_that_was_made_here_stays_showable(tx: Tx) -> None:
    """Bringing along the token that was derived keeps its salt."""
    fill(tx, fleet(device()))
    token = device_token(KEY, IMEI, "salt-0000")
    assert fill(tx, fleet(device(ddi=f"{{token: '{token}'}}")))["devices"].unchanged == 1
    assert stored(tx).device.token_salt == "salt-0000"


def test_devices_of_other_protocols_have_no_token(tx: Tx) -> None:
    """No DDI token is made for a device that does not speak DDI."""
    fill(tx, fleet(device(protocol="LWM2M")))
    assert stored(tx).device.token_hash is None


def test_licences_come_from_the_pool(tx: Tx) -> None:
    """``licensed: true`` assigns a licence and counts it."""
    fill(tx, fleet(device(licensed="true"), POOL))
    assert stored(tx).licensed
    bought = subscriptions.get(tx, account_ids(tx)[ACME])
    assert bought is not None
    assert bought.license_used_count == 1
    assert not [finding for _, finding in verify.verify(tx) if finding]


def test_licensed_false_takes_none_away(tx: Tx) -> None:
    """An import deletes nothing, licences included."""
    fill(tx, fleet(device(licensed="true"), POOL))
    assert fill(tx, fleet(device(licensed="false"), POOL))["devices"].unchanged == 1
    assert stored(tx).licensed


def test_blocks_of_other_protocols_are_kept(tx: Tx) -> None:
    """What is said for LwM2M and OMA-DM comes back with the export; a later block adds to it."""
    fill(tx, fleet(device(lwm2m=f"{{pskIdentity: me, pskKeyHex: '{'0a' * 16}'}}")))
    fill(tx, fleet(device(lwm2m="{endpoint: there}", omadm="{notify: {host: h}}")))
    (back,) = export_devices(tx, SEAL)
    assert back.lwm2m == shapes.Lwm2m(endpoint="there", psk_identity="me", psk_key_hex="0a" * 16)
    assert back.omadm == shapes.Omadm(notify=shapes.Notify(host="h", port=2948))


# Twice, and changed ------------------------------------------------------------------------------

EVERYTHING = f"""
applications: [{{key: k, secretHash: '{STORED}'}}]
users: [{{username: u, passwordHash: '{STORED}', accounts: ['{ACME}']}}]
packages: [{{name: p, make: M, model: X, to: '2', accounts: ['{ACME}'], launchDate: 2026-01-01}}]
"""


def test_the_same_file_twice_changes_nothing(tx: Tx) -> None:
    """A second import of the same file writes nothing."""
    document = fleet(f"{device(licensed='true')}, {device(NEXT)}", POOL, EVERYTHING)
    first = fill(tx, document)
    assert {kind: tally.created for kind, tally in first.items()} == {
        "accounts": 1, "applications": 1, "users": 1, "packages": 1, "devices": 2,
    }  # fmt: skip
    before = tx.all("select * from device")
    for tally in fill(tx, document).values():
        assert (tally.created, tally.changed) == (0, 0)
    assert tx.all("select * from device") == before


def test_a_changed_file_updates_what_it_names(tx: Tx) -> None:
    """Members that are left out keep what is there; others are written."""
    fill(tx, fleet(device(make="Acme", version="'01'", ddi="{twoPhase: true}")))
    assert fill(tx, fleet(device(version="'02'")))["devices"].changed == 1
    kept = stored(tx).device
    assert (kept.make, kept.version, kept.two_phase) == ("Acme", "02", True)


def test_what_a_file_leaves_out_stays(tx: Tx) -> None:
    """Records that a file does not name are not deleted."""
    fill(tx, fleet(f"{device()}, {device(NEXT)}", POOL, EVERYTHING))
    fill(tx, fleet(device()))
    assert stored(tx, NEXT)
    assert packages.software(tx, "p") is not None
    assert store.users(tx)["u"].accounts == (ACME,)


def test_null_clears(tx: Tx) -> None:
    """``null`` sets back what may be missing."""
    document = fleet(device(timeZone="Europe/Berlin", ddi="{controllerId: board-1}"))
    fill(tx, document)
    fill(tx, read(f"accounts: [{{name: '{ACME}', gatewayToken: gate}}]"))
    fill(tx, fleet(device(timeZone="null", ddi="{controllerId: null}")))
    fill(tx, read(f"accounts: [{{name: '{ACME}', gatewayToken: null, alias: null}}]"))
    assert (stored(tx).device.time_zone, stored(tx).device.controller_id) == (None, IMEI)
    (account,) = store.accounts(tx).values()
    assert (account.alias, account.gateway_token_hash) == (None, None)


def test_a_smaller_pool_takes_licences_away(tx: Tx) -> None:
    """A subscription shrinks by the rules of subscriptions where the file gives no licences."""
    fill(tx, fleet(device(licensed="true"), POOL))
    fill(tx, fleet("", "{purchaseType: TS-HFOTA-MRC, licenseCount: 0}"))
    assert not stored(tx).licensed


def test_secrets_open(tx: Tx) -> None:
    """The stored form of a secret is of that secret."""
    fill(tx, read("applications: [{key: k, secret: open sesame}]"))
    assert verify_secret("open sesame", store.applications(tx)["k"].secret_hash)


# What is refused ---------------------------------------------------------------------------------

WRONG = {
    "an unknown account": (
        fleet(one(account="nobody", deviceId=f"'{IMEI}'")),
        "$.devices[0].account: there is no account nobody",
    ),
    "an IMEI twice": (
        fleet(f"{device()}, {device()}"),
        f"$.devices[1].deviceId: {IMEI} is there twice: see $.devices[0]",
    ),
    "a controller id twice": (
        fleet(f"{device()}, {device(NEXT, ddi='{controllerId: ' + repr(IMEI) + '}')}"),
        f"$.devices[1].ddi.controllerId: '{IMEI}' names two devices of the account: see $.devices[0]",
    ),
    "no pool": (
        fleet(device(licensed="true")),
        f"$.devices[0].licensed: account {ACME} has no subscription with a pool of licences",
    ),
    "a pool by event": (
        fleet(device(licensed="true"), "{purchaseType: TS-HFOTA-EVNT}"),
        f"$.devices[0].licensed: account {ACME} has no subscription with a pool of licences",
    ),
    "a pool too small": (
        fleet(f"{device(licensed='true')}, {device(NEXT, licensed='true')}", POOL),
        (
            f"$.devices[1].licensed: the pool of account {ACME} has 1 licences:"
            " raise licenseCount, or give fewer devices one"
        ),
    ),
    "a time zone": (
        fleet(device(timeZone="Mars/Base")),
        "$.devices[0].timeZone: there is no time zone 'Mars/Base' (IANA names, as Europe/Berlin)",
    ),
    "two tokens": (
        fleet(device(ddi=f"{{token: a, tokenHash: '{'0' * 64}'}}")),
        "$.devices[0].ddi.tokenHash: either token or tokenHash is given, not both",
    ),
    "half a key": (
        fleet(device(lwm2m="{pskIdentity: me}")),
        "$.devices[0].lwm2m: pskIdentity and pskKeyHex go together",
    ),
    "a bootstrap identity without a key": (
        fleet(device(lwm2m="{bootstrapIdentity: me}")),
        "$.devices[0].lwm2m: bootstrapIdentity and bootstrapKeyHex go together",
    ),
    "an account name": (
        read("accounts: [{name: acme}]"),
        (
            "$.accounts[0].name: an account name has the form 0000123456-00001"
            " (setting check_account_name)"
        ),
    ),
    "an account twice": (
        read(f"accounts: [{{name: '{ACME}'}}, {{name: '{ACME}'}}]"),
        f"$.accounts[1].name: '{ACME}' is there twice: see $.accounts[0]",
    ),
    "an alias that is a name": (
        read(f"accounts: [{{name: '{ACME}'}}, {{name: '{OTHER}', alias: '{ACME}'}}]"),
        f"$.accounts[1].alias: '{ACME}' is the name of account {ACME}",
    ),
    "an alias twice, in whatever case": (
        read(f"accounts: [{{name: '{ACME}', alias: A}}, {{name: '{OTHER}', alias: a}}]"),
        f"$.accounts[1].alias: 'a' is the alias of account {ACME}",
    ),
    "a purchase type": (
        fleet("", "{purchaseType: gold}"),
        (
            "$.accounts[0].subscription: a purchase type is TS-HFOTA-EVNT, TS-HFOTA-MRC or both"
            " with a comma, not 'gold'"
        ),
    ),
    "an application without a secret": (
        read("applications: [{key: k}]"),
        "$.applications[0].secret: is required of a new application",
    ),
    "two passwords": (
        read(f"users: [{{username: u, password: p, passwordHash: '{STORED}'}}]"),
        "$.users[0].passwordHash: either password or passwordHash is given, not both",
    ),
    "a user's account": (
        read("users: [{username: u, password: p, accounts: [x]}]"),
        "$.users[0].accounts[0]: there is no account x",
    ),
    "a package's account": (
        read("packages: [{name: p, make: m, model: m, to: t, accounts: [x]}]"),
        "$.packages[0].accounts[0]: there is no account x",
    ),
    "a package's model": (
        read("packages: [{name: p, make: m, to: t}]"),
        "$.packages[0].model: is required of a new package",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_documents_say_where_and_why(tx: Tx, name: str) -> None:
    """Each rule is an error with its path."""
    document, expected = WRONG[name]
    assert expected in problems_of(tx, document)


def test_a_device_stays_in_its_account(tx: Tx) -> None:
    """An IMEI of another account is an error, whether that account is in the file or not."""
    fill(tx, fleet(device()))
    document = read(
        f"accounts: [{{name: '{OTHER}'}}]\ndevices: [{{account: '{OTHER}', deviceId: '{IMEI}'}}]"
    )
    assert problems_of(tx, document) == [
        f"$.devices[0].deviceId: {IMEI} is a device of account {ACME}"
    ]


def test_a_device_at_work_keeps_its_protocol(tx: Tx) -> None:
    """What has begun over one protocol is not left behind by an import that moves the device."""
    fill(tx, fleet(device(protocol="OMADM")))
    tx.execute("update device set open_attempt_id = 7")
    (problem,) = problems_of(tx, fleet(device(protocol="HTTP")))
    assert problem.startswith("$.devices[0].protocol: ")
    assert "attempt under way over OMADM" in problem
    assert problems_of(tx, fleet(device(protocol="OMADM", model="X2"))) == []
    assert problems_of(tx, fleet(device(model="X2"))) == []
    tx.execute("update device set open_attempt_id = null")
    assert problems_of(tx, fleet(device(protocol="HTTP"))) == []


def test_a_controller_id_in_the_database_is_taken(tx: Tx) -> None:
    """A controller id that another device has is an error."""
    fill(tx, fleet(device(ddi="{controllerId: board}")))
    expected = f"$.devices[0].ddi.controllerId: is the controller id of device {IMEI}"
    assert problems_of(tx, fleet(device(NEXT, ddi="{controllerId: board}"))) == [expected]


def test_an_alias_in_the_database_is_taken(tx: Tx) -> None:
    """An alias that another account has is an error."""
    fill(tx, fleet())
    assert problems_of(tx, read(f"accounts: [{{name: '{OTHER}', alias: ACME}}]")) == [
        f"$.accounts[0].alias: 'ACME' is the alias of account {ACME}"
    ]


def test_the_check_digit_is_checked_on_request(tx: Tx) -> None:
    """With the setting, an IMEI must have the right last digit."""
    config = Settings(check_imei_digit=True)
    expected = "$.devices[0].deviceId: the check digit of the IMEI is wrong"
    assert expected in problems_of(tx, fleet(device(NEXT)), config)
    assert expected not in problems_of(tx, fleet(device("490154203237518")), config)


def test_a_pool_that_shrinks_below_what_the_file_gives_is_refused(tx: Tx) -> None:
    """A file cannot take licences away and give them: the second import would differ."""
    both = f"{device(licensed='true')}, {device(NEXT, licensed='true')}"
    fill(tx, fleet(both, "{purchaseType: TS-HFOTA-MRC, licenseCount: 2}"))
    assert problems_of(tx, fleet(device(licensed="true"), POOL)) == [
        (
            f"$.devices[0].licensed: the pool of account {ACME} has 1 licences:"
            " raise licenseCount, or give fewer devices one"
        )
    ]


def test_what_came_up_since_the_check_undoes_the_batch(tx: Tx) -> None:
    """A batch that meets a conflict raises, with the path."""
    fill(tx, fleet(device(), POOL))
    placed = Placed("$.devices[0]", shapes.Device(account=OTHER, device_id=IMEI))
    fill(tx, read(f"accounts: [{{name: '{OTHER}'}}]"))
    with pytest.raises(FleetFileError, match=f"is a device of account {ACME}"):
        put_devices(tx, [placed], account_ids(tx), ["salt-0000"], KEY, START)
    account_id = account_ids(tx)[ACME]
    fill(tx, fleet(device(NEXT, licensed="true")))
    assert licenses.lasting_count(tx, account_id) == 1
    late = Placed("$.devices[3]", shapes.Device(account=ACME, device_id=IMEI, licensed=True))
    with pytest.raises(FleetFileError, match=r"devices\[3\]\.licensed: the pool"):
        put_devices(tx, [late], account_ids(tx), ["salt-0000"], KEY, START)


# There and back ----------------------------------------------------------------------------------

CLEAN = st.characters(exclude_categories=["Cs", "Cc"])
NAMES = st.text(CLEAN, min_size=1, max_size=12)
TOLD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)
TOKENS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
POLLS = st.integers(1, 86399)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The value, null, or nothing."""
    return st.one_of(st.just(UNSET), st.none(), strategy)


def perhaps(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The value, or nothing."""
    return st.one_of(st.just(UNSET), strategy)


@st.composite
def accounts(draw: st.DrawFn) -> list[shapes.Account]:
    """Some accounts with names and aliases of their own."""
    return [
        shapes.Account(
            name=f"000012345{number}-00001",
            alias=draw(maybe(st.just(f"Alias-{number}"))),
            active=draw(perhaps(st.booleans())),
            subscription=draw(
                maybe(
                    st.builds(
                        shapes.Subscription,
                        purchase_type=st.sampled_from(
                            ["TS-HFOTA-MRC", "ts-hfota-mrc,TS-HFOTA-EVNT"]
                        ),
                        license_count=st.integers(10, 20),
                    )
                )
            ),
            gateway_token=(token := draw(maybe(TOKENS))),
            gateway_token_hash=UNSET if token else draw(maybe(HASHES)),
            auto_register=draw(perhaps(st.booleans())),
            poll_interval=draw(maybe(POLLS)),
        )
        for number in range(draw(st.integers(1, 3)))
    ]


LWM2M = st.builds(shapes.Lwm2m, endpoint=maybe(NAMES)) | st.builds(
    shapes.Lwm2m,
    endpoint=maybe(NAMES),
    psk_identity=NAMES,
    psk_key_hex=st.sampled_from(["00" * 16, "af" * 32]),
    bootstrap_identity=NAMES,
    bootstrap_key_hex=st.sampled_from(["01" * 16, "ae" * 64]),
)
OMADM = st.builds(
    shapes.Omadm,
    client_name=maybe(NAMES),
    client_secret=maybe(NAMES),
    server_secret=maybe(NAMES),
    auth=maybe(st.sampled_from(["basic", "md5", "hmac"])),
    notify=maybe(st.builds(shapes.Notify, host=NAMES, port=st.integers(1, 65535))),
)


@st.composite
def ddi_blocks(draw: st.DrawFn, number: int) -> shapes.Ddi:
    """What is said of an HTTP device, with a controller id of its own."""
    token = draw(maybe(TOKENS))
    token_hash = UNSET if token else draw(maybe(HASHES))
    return shapes.Ddi(
        token=token,
        token_hash=token_hash,
        token_salt=draw(maybe(st.just("salt-of-it"))) if isinstance(token_hash, str) else UNSET,
        controller_id=draw(maybe(st.just(f"controller {number}"))),
        two_phase=draw(maybe(st.booleans())),
        poll_interval=draw(maybe(POLLS)),
    )


@st.composite
def fleets(draw: st.DrawFn) -> shapes.Fleet:
    """Documents that are right."""
    owners = draw(accounts())
    names = [account.name for account in owners]
    pools = {a.name for a in owners if a.subscription}
    devices = []
    for number in range(draw(st.integers(0, 5))):
        owner = draw(st.sampled_from(names))
        devices.append(
            shapes.Device(
                account=owner,
                device_id=f"99001390783{number:04d}",
                mdn=draw(perhaps(TOLD)),
                make=draw(perhaps(TOLD)),
                model=draw(perhaps(TOLD)),
                protocol=draw(perhaps(st.sampled_from(["HTTP", "LWM2M", "OMADM"]))),
                version=draw(perhaps(TOLD)),
                fota_eligible=draw(perhaps(st.booleans())),
                status=draw(perhaps(NAMES)),
                licensed=draw(perhaps(st.booleans())) if owner in pools else UNSET,
                time_zone=draw(maybe(st.sampled_from(["Europe/Berlin", "UTC"]))),
                ddi=draw(maybe(ddi_blocks(number))),
                lwm2m=draw(maybe(LWM2M)),
                omadm=draw(maybe(OMADM)),
            )
        )
    return shapes.Fleet(
        accounts=owners,
        applications=[
            shapes.Application(key=key, secret_hash=STORED, active=draw(perhaps(st.booleans())))
            for key in draw(st.lists(NAMES, unique=True, max_size=2))
        ],
        users=[
            shapes.User(
                username=name,
                password_hash=STORED,
                accounts=draw(perhaps(st.lists(st.sampled_from(names), max_size=3))),
                active=draw(perhaps(st.booleans())),
            )
            for name in draw(st.lists(NAMES, unique=True, max_size=2))
        ],
        packages=[
            shapes.Package(
                name=name,
                protocol=draw(perhaps(st.sampled_from(["HTTP", "LWM2M", "OMADM"]))),
                make=draw(NAMES),
                model=draw(NAMES),
                from_=draw(perhaps(NAMES)),
                to=draw(NAMES),
                launch_date=draw(perhaps(st.dates())),
                release_note=draw(perhaps(st.text(CLEAN | st.sampled_from("\n\t")))),
                part=draw(perhaps(NAMES)),
                artifact=draw(
                    maybe(
                        st.builds(
                            shapes.Stored,
                            sha256=HASHES,
                            sha1=st.just("1" * 40),
                            md5=st.just("2" * 32),
                            size_bytes=st.integers(0, 2**40),
                            file_name=st.just("image.swu"),
                        )
                    )
                ),
                accounts=draw(maybe(st.lists(st.sampled_from(names), max_size=3))),
            )
            for name in draw(st.lists(NAMES, unique=True, max_size=2))
        ],
        devices=devices,
    )


def written(tx: Tx, directory: Path, language: Literal["json", "yaml"], ending: str) -> Path:
    """The database's fleet file, with a devices file of that ending if there is one."""
    document = export_document(tx)
    if ending:
        document.devices_file = f"devices{ending}"
        with (directory / document.devices_file).open("w", encoding="utf-8", newline="") as out:
            write_devices(out.write, ending, export_devices(tx, SEAL))
    path = directory / f"fleet.{language}"
    with path.open("w", encoding="utf-8", newline="") as out:
        write_fleet(out.write, language, document, () if ending else export_devices(tx, SEAL))
    return path


def text_of(tx: Tx) -> str:
    """The database's fleet file."""
    out = io.StringIO()
    write_fleet(out.write, "json", export_document(tx), export_devices(tx, SEAL))
    return out.getvalue()


@pytest.mark.parametrize("language", ["json", "yaml"])
@pytest.mark.parametrize("ending", ["", ".csv", ".ndjson"])
@given(document=fleets())
@settings(max_examples=25)
def test_an_export_imported_gives_the_same_export(
    language: Literal["json", "yaml"], ending: str, document: shapes.Fleet
) -> None:
    """Whatever was imported: its export, imported into an empty database, is exported the same."""
    first, second = _databases(), _databases()
    with TemporaryDirectory() as name:
        directory = Path(name)
        before, after = next(first), next(second)
        fill(before, document)
        path = written(before, directory, language, ending)
        fill(after, load_fleet(path), directory)
        assert text_of(after) == text_of(before)
        for tally in fill(after, load_fleet(path), directory).values():
            assert (tally.created, tally.changed) == (0, 0), asdict(tally)
    for database in (first, second):
        database.close()


@given(document=fleets())
@settings(max_examples=25)
def test_any_file_twice_changes_nothing(document: shapes.Fleet) -> None:
    """Whatever was imported, importing it again writes nothing."""
    database = _databases()
    tx = next(database)
    fill(tx, document)
    for tally in fill(tx, document).values():
        assert (tally.created, tally.changed) == (0, 0)
    assert not [finding for _, finding in verify.verify(tx) if finding]
    database.close()
