"""``overair device account`` and ``device bootstrap``, on both databases."""

import hashlib
import hmac
import io
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from overair.cli import run
from overair.protocols.syncml.codec import MediaType, decode
from overair.protocols.syncml.message import Add
from tests.cli.test_fleet import ACCOUNT, EXAMPLE, IMAGE, IMEI, answer, refusal

NEXT = "990013907835574"
ADDRESS = ["--address", "https://fota.example/dm"]


@pytest.fixture
def place(tmp_path: Path, database_url: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The flags of an installation with a device that has an account, and one without secrets."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x1-02.swu").write_bytes(IMAGE)
    path = tmp_path / "fleet.yaml"
    path.write_text(
        EXAMPLE + f"  - {{account: '{ACCOUNT}', deviceId: '{NEXT}', protocol: OMADM}}\n"
    )
    flags = ["--data", str(tmp_path / "data"), "--database", database_url]
    answer(capsys, "import", path, *flags)
    return flags


def parms(document: str) -> list[tuple[str, str | None]]:
    """Names and values of a provisioning document."""
    root = ET.fromstring(document.partition("?>")[2].partition(">")[2])
    return [(parm.attrib["name"], parm.get("value")) for parm in root.iter("parm")]


def test_an_account_is_shown_without_its_secrets(
    place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Name, kind and address, and whether there are secrets; ``device show`` says the same."""
    account = {
        "clientName": "c",
        "auth": "md5",
        "secrets": "both set",
        "notify": "127.0.0.1:2948",
    }
    assert answer(capsys, "device", "account", IMEI, *place)["account"] == account
    assert answer(capsys, "device", "show", IMEI, *place)["omadm"] == account
    assert answer(capsys, "device", "account", NEXT, *place)["account"] is None
    assert run(["device", "show", NEXT, *place]) == 0
    assert "no secrets" in " ".join(capsys.readouterr().out.split())
    assert run(["device", "account", NEXT, *place]) == 0
    assert "no secrets" in capsys.readouterr().out


def test_secrets_are_set(
    place: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one, from the command line or standard input; both are needed."""
    found = answer(capsys, "device", "account", NEXT, "--client-secret", "one", *place)
    assert found["account"]["secrets"] == "the server secret is missing: no session is possible"
    assert found["account"]["clientName"] == NEXT
    monkeypatch.setattr("sys.stdin", io.StringIO("two\n"))
    found = answer(capsys, "device", "account", NEXT, "--server-secret", "-", *place)
    assert found["account"]["secrets"] == "both set"
    exported = answer(capsys, "export", *place)["devices"]
    (block,) = [device["omadm"] for device in exported if device["deviceId"] == NEXT]
    assert block == {"clientSecret": "one", "serverSecret": "two"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--new-secrets", "--client-secret", "a"], "not both"),
        (["--client-secret", "-", "--server-secret", "-"], "holds one secret"),
        (["--client-secret", ""], "--client-secret: has 1 to 1024 characters"),
        (["--client-name", "a\nb"], "--client-name: has 1 to 255 characters"),
    ],
)
def test_what_cannot_be_set(
    place: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """A wrong argument is named, and nothing changes."""
    assert said in refusal(capsys, 2, "device", "account", NEXT, *arguments, *place)["error"]
    assert answer(capsys, "device", "account", NEXT, *place)["account"] is None


def test_a_bootstrap_needs_secrets(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Without them there is no document; the way to them is named, and works."""
    error = refusal(capsys, 2, "device", "bootstrap", NEXT, *ADDRESS, *place)["error"]
    assert "--new-secrets" in error
    answer(capsys, "device", "account", NEXT, "--new-secrets", *place)
    capsys.readouterr()
    assert run(["device", "bootstrap", NEXT, *ADDRESS, *place]) == 0
    out, err = capsys.readouterr()
    assert "https://fota.example/dm" in err
    told = parms(out)
    assert ("ADDR", "https://fota.example/dm") in told
    secrets = [value for name, value in told if name == "AAUTHSECRET"]
    assert len({*secrets}) == 2
    assert all(len(secret or "") == 32 for secret in secrets)
    nonces = [value for name, value in told if name == "AAUTHDATA"]
    assert len({*nonces}) == 2
    assert [value for name, value in told if name == "AAUTHNAME"] == [NEXT, "overair"]
    # The nonces that it tells are those that count, so the next document has the same.
    assert run(["device", "bootstrap", NEXT, *ADDRESS, *place]) == 0
    assert capsys.readouterr().out == out


def test_a_bootstrap_over_the_air(
    place: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both binary forms go to a file that only its owner may read, guarded by a PIN or a key."""
    for form, sec, flag, given, secret in (
        ("wbxml", "1", "--pin", "1234", b"1234"),
        ("dm", "NETWORKID", "--network-key", "0102ff", b"\x01\x02\xff"),
    ):
        out = tmp_path / form
        out.touch(mode=0o644)  # one that was there before
        arguments = ["--format", form, "--out", str(out), flag, given, *ADDRESS, *place]
        capsys.readouterr()
        assert run(["device", "bootstrap", IMEI, *arguments]) == 0
        said = capsys.readouterr().err
        body = out.read_bytes()
        mac = hmac.new(secret, body, hashlib.sha1).hexdigest().upper()
        assert f"SEC={sec}; MAC={mac}" in said
        assert out.stat().st_mode & 0o077 == 0
    message, _ = decode((tmp_path / "dm").read_bytes(), MediaType.WBXML)
    assert message.header.target.uri == f"IMEI:{IMEI}"
    tree = {}
    for command in message.commands:
        assert isinstance(command, Add)
        (item,) = command.items
        assert item.target is not None
        tree[item.target.uri.removeprefix("./DMAcc/overair")] = item.data
    assert tree["/AppID"] == "w7"
    assert tree["/AppAddr/1/Addr"] == "https://fota.example/dm"
    assert (tree["/AppAuth/1/AAuthLevel"], tree["/AppAuth/1/AAuthSecret"]) == ("CLCRED", "s")
    assert (tree["/AppAuth/2/AAuthLevel"], tree["/AppAuth/2/AAuthSecret"]) == ("SRVCRED", "t")
    assert isinstance(tree["/AppAuth/1/AAuthData"], bytes)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--address, or setting public_url"),
        ([*ADDRESS, "--network-key", "xyz"], "hexadecimal"),
        ([*ADDRESS, "--network-key", "00", "--pin", "1"], "not by both"),
        ([*ADDRESS, "--pin", "1"], "wbxml or dm"),
        (["--address", "fota.example/dm"], "with http:// or https://"),
        (["--address", "coaps://fota.example"], "with http:// or https://"),
        (["--address", "https:///dm"], "with http:// or https://"),
        (["--address", "https://fota example/dm"], "with http:// or https://"),
        (["--address", "https://fota.example:99999/dm"], "'https://fota.example:99999/dm' is none"),
        (["--address", "https://[::1/dm"], "'https://[::1/dm' is none"),
    ],
)
def test_what_cannot_be_written(
    place: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """A wrong argument is named, and nothing is written."""
    assert said in refusal(capsys, 2, "device", "bootstrap", IMEI, *arguments, *place)["error"]
    assert "there is no device 1" in refusal(capsys, 2, "device", "account", "1", *place)["error"]


def test_an_open_address_is_warned_of(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Without TLS only a closed network keeps what devices say."""
    arguments = ["--address", "http://fota.example/dm", *place]
    assert run(["device", "bootstrap", IMEI, *arguments]) == 0
    assert "not https" in capsys.readouterr().err


def test_another_key(place: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With another installation key everything that needs the secrets says so; new ones help."""
    other = ["--data", str(tmp_path / "other"), *place[2:]]
    for command in (
        ["export", str(tmp_path / "all.json")],
        ["device", "bootstrap", IMEI, *ADDRESS],
    ):
        refused: dict[str, Any] = refusal(capsys, 2, *command, *other)
        assert "another installation key" in refused["error"]
        assert "LwM2M" not in refused["error"]
    found = answer(capsys, "device", "show", IMEI, *other)["omadm"]
    assert "another installation key" in found["secrets"]
    answer(capsys, "device", "account", IMEI, "--new-secrets", *other)
    error = refusal(capsys, 2, "export", str(tmp_path / "all.json"), *other)
    assert error["error"].startswith("LwM2M key")  # the secrets are right again, the others are not
