"""Reading fleet files: strict, with errors that name the path; garbage is an error and no fault."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.fleetfile.decode import Placed, decode_fleet, iter_devices_file, load_fleet
from overair.fleetfile.problems import FleetFileError, Problem
from overair.fleetfile.shapes import COLUMNS

DEVICE = "account: a, deviceId: '990013907835573'"

YAML = {
    "devices: [{account: a, deviceId: '99'}]": "$.devices[0].deviceId: an IMEI has 15 digits",
    "devices: [{account: a, deviceId: 990013907835573}]": "$.devices[0].deviceId: has to be a text,"
    " and is a whole number: put it in quotes",
    "devices: [{account: a}]": "$.devices[0].deviceId: is required",
    f"devices: [{{{DEVICE}, fotaEligable: true}}]": "$.devices[0].fotaEligable: there is no such"
    " member; did you mean fotaEligible?",
    f"devices: [{{{DEVICE}, protocol: http}}]": "$.devices[0].protocol: has to be one of OMADM,"
    " LWM2M, HTTP",
    f"devices: [{{{DEVICE}, ddi: {{twoPhase: 3}}}}]": "$.devices[0].ddi.twoPhase: has to be true or"
    " false or null, and is a whole number",
    f"devices: [{{{DEVICE}, ddi: {{token: a b}}}}]": "$.devices[0].ddi.token: a token has 1 to 128"
    " printable ASCII characters and no spaces",
    f"devices: [{{{DEVICE}, ddi: {{controllerId: a/b}}}}]": "$.devices[0].ddi.controllerId: a"
    " controller id has 1 to 256 characters, none of them a slash",
    f"devices: [{{{DEVICE}, omadm: {{notify: {{host: h, port: 0}}}}}}]": "$.devices[0].omadm.notify"
    ".port: has to be >= 1",
    f"devices: [{{{DEVICE}, account: b}}]": "$: line 1: the member 'account' is there twice",
    "accounts: [{name: ''}]": "$.accounts[0].name: must not be empty",
    "accounts: [{name: a, alias: Api}]": "$.accounts[0].alias: an alias has 1 to 64 letters, digits,"
    " dots, underscores and dashes, and is not `api`",
    "accounts: [{name: a, subscription: {purchaseType: x, licenseCount: -1}}]": "$.accounts[0]"
    ".subscription.licenseCount: has to be >= 0",
    "packages: [{name: p, from: 01}]": "$.packages[0].from: has to be a text, and is a whole number:"
    " put it in quotes",
    "packages: [{name: p, to: 1.10}]": "$.packages[0].to: has to be a text, and is a number: put it"
    " in quotes",
    "applications: [{key: k, secretHash: x}]": "$.applications[0].secretHash: is no hash that an"
    " export wrote",
    # A cost that would keep the server busy for ever is not taken along.
    f"applications: [{{key: k, secretHash: scrypt$30$8$5${'a' * 22}${'a' * 43}}}]": "$"
    ".applications[0].secretHash: is no hash that an export wrote",
    "[]": "$: has to be an object, and is a list",
    "acounts: []": "$.acounts: there is no such member; did you mean accounts?",
}


@pytest.mark.parametrize("text", YAML)
def test_errors_name_the_path_and_the_rule(text: str) -> None:
    """Each mistake is said with its path first."""
    with pytest.raises(FleetFileError) as caught:
        decode_fleet(text.encode(), "yaml")
    assert str(caught.value) == YAML[text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"accounts": [], "accounts": []}', "the member 'accounts' is there twice in one object"),
        ('{"accounts": [{"name": "a\\u0000"}]}', "has a control character in it"),
        ('{"accounts": [{"name": "\\ud800"}]}', "has a control character in it"),
        ("{", "not JSON: "),
        ("[" * 100_000, "is nested too deeply"),
    ],
)
def test_errors_in_json(text: str, expected: str) -> None:
    """The same in JSON."""
    with pytest.raises(FleetFileError) as caught:
        decode_fleet(text.encode(), "json")
    assert expected in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 200_000 + "]" * 200_000, "{a: " * 200_000, "- " * 200_000])
def test_depth_has_a_bound(text: str) -> None:
    """YAML that nests without end is an error: its library would take the process down."""
    with pytest.raises(FleetFileError, match="is nested too deeply"):
        decode_fleet(text.encode(), "yaml")


def test_tags_make_no_objects() -> None:
    """YAML can name Python objects, and here it cannot."""
    with pytest.raises(FleetFileError, match="not YAML"):
        decode_fleet(b"accounts: !!python/object/apply:os.getcwd []", "yaml")


@pytest.mark.parametrize("name", ["fleet.toml", "missing.yaml"])
def test_other_files_are_refused(tmp_path: Path, name: str) -> None:
    """A file that is not there, or of another kind, is an error too."""
    (tmp_path / "fleet.toml").touch()
    with pytest.raises(FleetFileError, match=name):
        load_fleet(tmp_path / name)


@given(st.binary() | st.text().map(str.encode))
def test_garbage_is_an_error(raw: bytes) -> None:
    """Whatever the bytes: a document, or our own error."""
    for language in ("json", "yaml"):
        with contextlib.suppress(FleetFileError):
            decode_fleet(raw, language)


# Devices files -----------------------------------------------------------------------------------


def read(tmp_path: Path, name: str, raw: bytes) -> list[Placed | str]:
    """The devices of a file; problems as text."""
    path = tmp_path / name
    path.write_bytes(raw)
    return [str(i) if isinstance(i, Problem) else i for i in iter_devices_file(path)]


def test_csv(tmp_path: Path) -> None:
    """Columns are members, dots are levels, and an empty cell says nothing."""
    raw = (
        "\ufeffaccount,deviceId,ddi.token,ddi.twoPhase,licensed,omadm.notify.port,timeZone\r\n"
        "a,990013907835573,tok,true,false,,null\r\n\r\n"
        'a,990013907835574,,"","",,\n'
    )
    first, second = read(tmp_path, "d.csv", raw.encode())
    assert isinstance(first, Placed)
    assert isinstance(second, Placed)
    assert first.path == "$.devicesFile[0]"
    assert first.device.ddi is not None
    assert first.device.time_zone is None
    assert first.device.licensed is False
    assert second == Placed(
        "$.devicesFile[1]", type(second.device)(account="a", device_id="990013907835574")
    )


HEAD = "account,deviceId\n"
CSV = {
    HEAD + "a,99\n": "$.devicesFile[0].deviceId: an IMEI has 15 digits (d.csv, line 2)",
    HEAD + "a\n": "$.devicesFile[0]: has 1 columns, and the header 2 (d.csv, line 2)",
    "account,deviceID\n": "$.devicesFile: column 'deviceID': there is no such column;"
    " did you mean deviceId? (d.csv)",
    "account,account\n": "$.devicesFile: column 'account': is there twice (d.csv)",
    "account,deviceId,licensed\na,990013907835573,yes\n": "$.devicesFile[0].licensed: has to be true"
    " or false, and is a text (d.csv, line 2)",
}  # fmt: skip


@pytest.mark.parametrize("text", CSV)
def test_errors_in_csv(tmp_path: Path, text: str) -> None:
    """A mistake in a row is said with its path and its line."""
    assert read(tmp_path, "d.csv", text.encode()) == [CSV[text]]


@pytest.mark.parametrize("raw", [b'account\n"a', b"account\na\xff", b'account\n"a"b\n'])
def test_broken_csv(tmp_path: Path, raw: bytes) -> None:
    """What is no CSV, or no UTF-8, is an error and not the end of us."""
    (problem,) = read(tmp_path, "d.csv", raw)
    assert isinstance(problem, str)
    assert "not CSV in UTF-8" in problem


def test_ndjson(tmp_path: Path) -> None:
    """One object a line; a mistake does not hide the next line."""
    raw = (
        b'{"account": "a", "deviceId": "990013907835573"}\n\n{"account": 1}\n{]\n'
        b'{"account": "a", "account": "b"}\n'
    )
    first, *rest = read(tmp_path, "d.ndjson", raw)
    assert isinstance(first, Placed)
    assert rest[0] == (
        "$.devicesFile[1].account: has to be a text, and is a whole number: put it in quotes"
        " (d.ndjson, line 3)"
    )
    assert str(rest[1]).startswith("$.devicesFile[2]: not JSON")
    assert str(rest[2]).startswith("$.devicesFile[3]: the member 'account' is there twice")


def test_endless_lines_are_refused(tmp_path: Path) -> None:
    """A line has a bound, so that memory has one."""
    (problem,) = read(tmp_path, "d.ndjson", b"x" * 70_000)
    assert str(problem).startswith("$.devicesFile[0]: a line is longer")
    (problem,) = read(tmp_path, "d.csv", b"account\n" + b"x" * 140_000)
    assert "not CSV" in str(problem)


@pytest.mark.parametrize("name", ["none.csv", "devices.txt"])
def test_other_devices_files_are_refused(tmp_path: Path, name: str) -> None:
    """A devices file that is not there, or of another kind, is a problem with its path."""
    (problem,) = iter_devices_file(tmp_path / name)
    assert isinstance(problem, Problem)
    assert problem.path == "$.devicesFile"


@given(raw=st.binary(max_size=200) | st.text(alphabet=',"\n\r{}:a0', max_size=60).map(str.encode))
def test_garbage_in_devices_files(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    """Whatever the bytes: devices or problems."""
    directory = tmp_path_factory.mktemp("garbage")
    for name, head in (("d.csv", ",".join(COLUMNS).encode() + b"\n"), ("d.ndjson", b"")):
        read(directory, name, head + raw)
