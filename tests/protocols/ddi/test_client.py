"""The device's half: as strict as the strictest client, on the specification's texts."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.ddi.client import (
    ActionLink,
    Chunk,
    DdiAnswerError,
    Download,
    Offer,
    Poll,
    base_url,
    feedback_url,
    read_cancel,
    read_offer,
    read_poll,
    write_config_data,
    write_feedback,
    write_log,
)

BASE = "https://fota.example/default/controller/v1/990013907835573"
POLL = """{"config": {"polling": {"sleep": "12:00:01"}},
 "_links": {"deploymentBase": {"href": "@/deploymentBase/4711?c=1f3a9c"},
            "configData":     {"href": "@/configData"},
            "installedBase":  {"href": "@/installedBase/4502"}}}""".replace("@", BASE)


def offer(**changes: Any) -> dict[str, Any]:
    """Return a deployment document with some members of it, at any depth, changed or removed."""
    values: dict[str, Any] = {
        "id": "4711",
        "download": "forced",
        "update": "forced",
        "maintenanceWindow": None,
        "part": "os",
        "name": "FOTA",
        "version": "02",
        "metadata": [{"key": "a", "value": "b"}, "noise", {"key": "c"}],
        "filename": "x.swu",
        "size": 3,
        "hashes": {"sha1": "A" * 40, "md5": "b" * 32, "sha256": "C" * 64},
        "links": {"download": {"href": "https://h/x"}},
    } | changes
    artifact = {
        "filename": values["filename"],
        "size": values["size"],
        "hashes": values["hashes"],
        "_links": values["links"],
    }
    chunk = {name: values[name] for name in ("part", "name", "version", "metadata")}
    return {
        "id": values["id"],
        "deployment": {
            "download": values["download"],
            "update": values["update"],
            "maintenanceWindow": values["maintenanceWindow"],
            "chunks": values.get(
                "chunks", [{**chunk, "artifacts": values.get("artifacts", [artifact])}]
            ),
        },
    }


def test_the_poll_of_the_specification() -> None:
    """Section 5.1's example."""
    assert read_poll(POLL.encode()) == Poll(
        sleep_s=43201,
        deployment=ActionLink(href=f"{BASE}/deploymentBase/4711?c=1f3a9c", action_id=4711),
        config_data=f"{BASE}/configData",
    )


@pytest.mark.parametrize("links", ["", ', "_links": {}', ', "_links": null'])
def test_a_poll_without_links(links: str) -> None:
    """Links may be empty or not there."""
    body = '{"config": {"polling": {"sleep": "00:00:00"}}' + links + "}"
    assert read_poll(body.encode()) == Poll(sleep_s=0)


def test_a_poll_with_a_cancellation_and_a_log() -> None:
    """The other links."""
    poll = read_poll(
        json.dumps(
            {
                "config": {"polling": {"sleep": "00:05:00"}},
                "_links": {
                    "cancelAction": {"href": f"{BASE}/cancelAction/12"},
                    "log": {"href": f"{BASE}/log"},
                },
            }
        ).encode()
    )
    assert poll.cancel == ActionLink(href=f"{BASE}/cancelAction/12", action_id=12)
    assert poll.log == f"{BASE}/log"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "[" * 100_000,
        "{}",
        '{"config": []}',
        '{"config": {"polling": null}}',
        POLL.replace("12:00:01", "24:00:00"),
        POLL.replace("12:00:01", "1:00:00"),
        POLL.replace("12:00:01", "12:00:01\\n"),
        POLL.replace('"12:00:01"', "43200"),
        POLL.replace(BASE, "/default"),
        POLL.replace("deploymentBase/4711", "deploymentBase/60b5"),
        POLL.replace("deploymentBase/4711", "deploymentBase/2147483648"),
        POLL.replace("deploymentBase/4711", "deploymentBase/47110000000"),
        '{"config": {"polling": {"sleep": "00:05:00"}}, "_links": 1}',
        '{"config": {"polling": {"sleep": "00:05:00"}}, "_links": {"log": "x"}}',
        '{"config": {"polling": {"sleep": "00:05:00"}}, "_links": {"log": {}}}',
    ],
)
def test_polls_that_stop_a_client(body: str) -> None:
    """What made a real client give up is an error here."""
    with pytest.raises(DdiAnswerError):
        read_poll(body.encode())


def test_an_offer() -> None:
    """A deployment with its chunk and its file."""
    assert read_offer(json.dumps(offer()).encode()) == Offer(
        action_id=4711,
        download="forced",
        update="forced",
        window=None,
        chunks=(
            Chunk(
                part="os",
                name="FOTA",
                version="02",
                metadata=(("a", "b"),),
                downloads=(
                    Download(
                        file_name="x.swu",
                        size_bytes=3,
                        href="https://h/x",
                        sha1="a" * 40,
                        sha256="c" * 64,
                    ),
                ),
            ),
        ),
    )


def test_an_offer_of_an_older_server() -> None:
    """Only download-http and no sha256 is enough; a window is taken as it is."""
    decoded = read_offer(
        json.dumps(
            offer(
                links={"download-http": {"href": "http://h/x"}},
                hashes={"sha1": "a" * 40},
                maintenanceWindow="unavailable",
                update="skip",
                metadata=None,
            )
        ).encode()
    )
    (download,) = decoded.chunks[0].downloads
    assert (download.href, download.sha256) == ("http://h/x", None)
    assert (decoded.window, decoded.update) == ("unavailable", "skip")


@pytest.mark.parametrize(
    "changes",
    [
        {"id": 4711},
        {"id": "60b5"},
        {"id": "2147483648"},
        {"id": None},
        {"download": None},
        {"update": "soon"},
        {"maintenanceWindow": "open"},
        {"chunks": None},
        {"chunks": []},
        {"chunks": ["os"]},
        {"part": ""},
        {"name": None},
        {"version": 2},
        {"metadata": 5},
        {"artifacts": None},
        {"artifacts": [1]},
        {"filename": None},
        {"size": "3"},
        {"size": -1},
        {"size": True},
        {"hashes": None},
        {"hashes": {"md5": "b" * 32}},
        {"hashes": {"sha1": "xyz"}},
        {"hashes": {"sha1": "a" * 40, "sha256": "short"}},
        {"hashes": {"sha1": "a" * 40, "sha256": 5}},
        {"links": {}},
        {"links": {"download": {"href": "/relative"}}},
    ],
)
def test_offers_that_stop_a_client(changes: dict[str, Any]) -> None:
    """A number as id, a missing sha1 and their like stopped a real client."""
    with pytest.raises(DdiAnswerError):
        read_offer(json.dumps(offer(**changes)).encode())


def test_a_cancellation() -> None:
    """Section 5.6's example, and what is none."""
    assert read_cancel(b'{"id": "4711", "cancelAction": {"stopId": "4711"}}') == 4711
    with pytest.raises(DdiAnswerError):
        read_cancel(b'{"id": "4711"}')


def test_what_a_device_writes() -> None:
    """Reports and attributes in the form of the C clients."""
    report = json.loads(write_feedback(4711, "closed", "success", ["Update Installed."]))
    assert report == {
        "id": "4711",
        "status": {
            "result": {"finished": "success"},
            "execution": "closed",
            "details": ["Update Installed."],
        },
    }
    assert json.loads(write_config_data({"make": "Acme"}))["data"] == {"make": "Acme"}
    assert "mode" not in json.loads(write_config_data({"make": "Acme"}))
    assert json.loads(write_log([("2026-01-02T03:04:05Z", "started")])) == [
        {
            "logType": "SoftwareUpdate",
            "logTime": "2026-01-02T03:04:05Z",
            "eventLog": "started",
        }
    ]


def test_addresses() -> None:
    """Built as SWUpdate builds them."""
    assert base_url("https://fota.example/", "default", "990013907835573") == BASE
    assert feedback_url(BASE, "cancelAction", 3) == f"{BASE}/cancelAction/3/feedback"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.builds(
        lambda name, value: json.dumps(offer(**{name: value})).encode(),
        st.sampled_from(["id", "download", "chunks", "metadata", "hashes", "links", "size"]),
        JSON,
    )
)
def test_any_answer_is_read_or_an_answer_error(body: bytes) -> None:
    """No answer of a server stops the fleet with anything else."""
    for read in (read_poll, read_offer, read_cancel):
        try:
            read(body)
        except DdiAnswerError:
            continue
