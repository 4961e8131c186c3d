"""Answers to devices: the specification's examples, and what clients take apart."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.ddi.encode import (
    ActionHistory,
    artifact_href,
    base_href,
    cancel_href,
    config_data_href,
    deployment_href,
    deployment_tag,
    encode_artifacts,
    encode_base,
    encode_cancel,
    encode_deployment,
    encode_error,
    encode_md5sum,
    etag,
    format_sleep,
    installed_href,
    log_href,
)
from overair.protocols.ddi.values import Artifact, Deployment, Handling, MaintenanceWindow

BASE = "https://fota.example/default/controller/v1/990013907835573"
HREF = f"{BASE}/softwaremodules/77/artifacts/x1-02.swu"
ARTIFACT = Artifact(
    file_name="x1-02.swu",
    size_bytes=302592,
    sha1="a" * 40,
    md5="b" * 32,
    sha256="c" * 64,
    href=HREF,
)
DEPLOYMENT = Deployment(
    action_id=4711,
    download=Handling.FORCED,
    update=Handling.FORCED,
    part="os",
    name="FOTA_Acme_X1_01To02",
    version="02",
    metadata=(("campaignId", "60b5"),),
    artifact=ARTIFACT,
)
SPEC_DEPLOYMENT = {
    "id": "4711",
    "deployment": {
        "download": "forced",
        "update": "forced",
        "chunks": [
            {
                "part": "os",
                "name": "FOTA_Acme_X1_01To02",
                "version": "02",
                "metadata": [{"key": "campaignId", "value": "60b5"}],
                "artifacts": [
                    {
                        "filename": "x1-02.swu",
                        "size": 302592,
                        "hashes": {"sha1": "a" * 40, "md5": "b" * 32, "sha256": "c" * 64},
                        "_links": {
                            "download": {"href": HREF},
                            "download-http": {"href": HREF},
                            "md5sum": {"href": HREF + ".MD5SUM"},
                            "md5sum-http": {"href": HREF + ".MD5SUM"},
                        },
                    }
                ],
            }
        ],
    },
}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "00:00:01"),
        (0, "00:00:01"),
        (0.9, "00:00:01"),
        (1, "00:00:01"),
        (59.9, "00:00:59"),
        (300, "00:05:00"),
        (43200, "12:00:00"),
        (86399, "23:59:59"),
        (86400, "23:59:59"),
        (float("inf"), "23:59:59"),
    ],
)
def test_sleep(seconds: float, text: str) -> None:
    """Always HH:MM:SS, within what SWUpdate takes."""
    assert format_sleep(seconds) == text


def test_the_poll_of_the_specification() -> None:
    """Section 5.1's example, member by member and in its order."""
    body = encode_base(
        "12:00:00",
        [
            ("deploymentBase", deployment_href(BASE, 4711, "1f3a9c")),
            ("configData", config_data_href(BASE)),
            ("installedBase", installed_href(BASE, 4502)),
        ],
    )
    assert json.loads(body) == {
        "config": {"polling": {"sleep": "12:00:00"}},
        "_links": {
            "deploymentBase": {"href": f"{BASE}/deploymentBase/4711?c=1f3a9c"},
            "configData": {"href": f"{BASE}/configData"},
            "installedBase": {"href": f"{BASE}/installedBase/4502"},
        },
    }


def test_an_idle_poll_has_no_links() -> None:
    """Leave _links out if there is nothing."""
    assert json.loads(encode_base("00:05:00")) == {"config": {"polling": {"sleep": "00:05:00"}}}


def test_the_other_addresses() -> None:
    """SWUpdate appends /feedback to the cancel link, so it has no query."""
    assert cancel_href(BASE, 4711) == f"{BASE}/cancelAction/4711"
    assert log_href(BASE) == f"{BASE}/log"
    assert base_href("https://fota.example/", "default", "990013907835573") == BASE
    assert base_href("http://h/p", "a b", "x/\u00f6") == "http://h/p/a%20b/controller/v1/x%2F%C3%B6"
    assert artifact_href(BASE, 7, "a b#.swu") == f"{BASE}/softwaremodules/7/artifacts/a%20b%23.swu"


@given(st.text(), st.text())
def test_links_are_escaped(name: str, href: str) -> None:
    """Whatever a Host header smuggled into an address, the answer stays one JSON document."""
    body = encode_base("00:05:00", [("deploymentBase", href), ("log", name)])
    assert json.loads(body)["_links"] == {
        "deploymentBase": {"href": href},
        "log": {"href": name},
    }


def test_an_etag_is_strong_and_follows_the_body() -> None:
    """Quoted, without W/, the same for the same body only."""
    assert re.fullmatch(r'"[0-9a-f]{24}"', etag(b"a"))
    assert etag(b"a") == etag(b"a") != etag(b"b")


def test_the_deployment_of_the_specification() -> None:
    """Section 5.3's example; the id is a string."""
    assert json.loads(encode_deployment(DEPLOYMENT)) == SPEC_DEPLOYMENT


def test_a_deployment_with_a_window_and_a_history() -> None:
    """The window is there only for actions with windows, metadata and history only on request."""
    body = encode_deployment(
        Deployment(
            action_id=1,
            download=Handling.FORCED,
            update=Handling.SKIP,
            maintenance_window=MaintenanceWindow.UNAVAILABLE,
            part="config",
            name="n",
            version="1",
            artifact=ARTIFACT,
        ),
        ActionHistory(status="RUNNING", messages=("second", "first")),
    )
    document = json.loads(body)
    assert document["deployment"]["update"] == "skip"
    assert document["deployment"]["maintenanceWindow"] == "unavailable"
    assert "metadata" not in document["deployment"]["chunks"][0]
    assert document["actionHistory"] == {"status": "RUNNING", "messages": ["second", "first"]}


def test_the_artifacts_of_a_module() -> None:
    """The list has artifact objects as in 5.3; the query of a signed link stays a query."""
    signed = Artifact(
        file_name="a", size_bytes=1, sha1="", md5="", sha256="", href="https://h/a?sig=1"
    )
    plain, with_query = json.loads(encode_artifacts([ARTIFACT, signed]))
    chunks = SPEC_DEPLOYMENT["deployment"]["chunks"]  # type: ignore[index] # a literal above
    assert [plain] == chunks[0]["artifacts"]
    assert with_query["_links"]["md5sum"]["href"] == "https://h/a.MD5SUM?sig=1"


def test_md5sum_cancel_and_error() -> None:
    """The small answers."""
    assert encode_md5sum("b" * 32, "x1-02.swu") == b"b" * 32 + b"  x1-02.swu\n"
    assert json.loads(encode_cancel(4711)) == {"id": "4711", "cancelAction": {"stopId": "4711"}}
    assert json.loads(encode_error("ddi.invalid", 'say "what"')) == {
        "errorCode": "ddi.invalid",
        "message": 'say "what"',
    }


def test_the_tag_follows_the_content() -> None:
    """Each part of the content changes it, and the link stays below 50 characters."""
    tags = {
        deployment_tag(download=Handling.FORCED, update=update, window=window, content=content)
        for update in (Handling.FORCED, Handling.SKIP)
        for window in (None, MaintenanceWindow.AVAILABLE, MaintenanceWindow.UNAVAILABLE)
        for content in ("c" * 64, "d" * 64)
    }
    assert len(tags) == 12
    assert all(re.fullmatch("[0-9a-f]{8}", tag) for tag in tags)
    assert len(deployment_href("", 2**31 - 1, tags.pop())) - 1 < 50
