"""Any bytes at any device address: never an error of ours, never a change of what is closed."""

import asyncio
import json
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overair.protocols.ddi.values import Execution
from tests.devices.field import (
    MONDAY,
    Field,
    Wire,
    imei,
    open_field,
    token,
)
from tests.serving import ask

# A server per test, not per example.
MANY = settings(
    max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS")
NAMES = (
    "accept",
    "authorization",
    "content-disposition",
    "content-length",
    "content-type",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "user-agent",
    "x-authority",
    "x-controller-id",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-forwarded-proto",
)
ODD = (
    "",
    "bytes=0-",
    "bytes=9-1",
    "bytes=-",
    '"',
    'W/"',
    "*",
    "application/json",
    "application/octet-stream",
    "TargetToken",
    "GatewayToken x",
    "Mon, 32 Foo 2026 99:99:99 GMT",
    "-1",
    "9" * 400,
    "\x00",
    "\xff\xfe",
    "²",
)


@dataclass(slots=True)
class Yard:
    """A field on a loop of its own, that examples use one after the other."""

    loop: asyncio.AbstractEventLoop
    field: Field
    closed: list[int]
    open: int
    before: Any = None

    def facts(self) -> Any:
        """Everything that garbage must not change."""

        async def read() -> Any:
            return await self.field.run(
                lambda tx: (
                    tx.all("select id, state, closed_at, downloads from attempt order by id"),
                    tx.all(
                        "select campaign_id, state, sum(count) from tally group by 1, 2 order by 1, 2"
                    ),
                    tx.all("select imei, version, open_attempt_id from device order by id"),
                )
            )

        return self.loop.run_until_complete(read())


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    """Devices with a finished, a failed, a cancelled, an expired and an open action."""
    loop = asyncio.new_event_loop()
    opened = open_field(
        tmp_path,
        trusted_proxies=("127.0.0.1",),
        trusted_authorities=("ca",),
        signed_links=True,
        two_phase_user_agents=("rauc",),
        device_requests_per_s=0,
        address_requests_per_s=0,
    )
    field = loop.run_until_complete(opened.__aenter__())

    async def prepare() -> Yard:
        await field.add(*range(1, 6))
        await field.campaign(1, 2)
        done, failed = await field.peer(1).succeed(), await field.peer(2).fail()
        stopped = await field.campaign(3)
        cancelled = await field.peer(3).begin()
        await field.stop(stopped)
        await field.peer(3).say(cancelled, "closed", "success", about="cancelAction")
        await field.campaign(4, end=0)
        expired = await field.peer(4).begin()
        await field.wait_until(MONDAY.replace(day=4))
        await field.campaign(5)
        started = await field.peer(5).begin()
        assert [await field.state(a) for a in (done, failed, cancelled, expired, started)] == [
            "finished",
            "failed",
            "cancelled",
            "expired",
            "running",
        ]
        return Yard(loop, field, [done, failed, cancelled, expired], started)

    try:
        made = loop.run_until_complete(prepare())
        made.before = made.facts()
        yield made
    finally:
        loop.run_until_complete(opened.__aexit__(None, None, None))
        loop.close()


def text(limit: int = 30) -> st.SearchStrategy[str]:
    return st.text(st.characters(codec="latin-1"), max_size=limit)


HEADERS = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(ODD) | text(), max_size=4)
SEGMENTS = st.sampled_from(
    [
        "configData",
        "deploymentBase",
        "cancelAction",
        "installedBase",
        "feedback",
        "log",
        "softwaremodules",
        "artifacts",
        "1",
        "2",
        "3",
        "4",
        "5",
        "x1-02.swu",
        "x1-02.swu.MD5SUM",
        "confirmationBase",
        "%00",
        "%ff",
        "%2F",
        "..",
        "2147483647",
        "2147483648",
        "-1",
        "²",
    ]
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
WORDS = st.sampled_from(["closed", "proceeding", "canceled", "rejected", "download", "x", ""])
FEEDBACK = st.fixed_dictionaries(
    {
        "status": st.fixed_dictionaries(
            {
                "execution": WORDS | JSON_VALUES,
                "result": st.fixed_dictionaries(
                    {"finished": st.sampled_from(["success", "failure", "none"]) | JSON_VALUES}
                )
                | JSON_VALUES,
            },
            optional={"details": JSON_VALUES, "code": JSON_VALUES},
        )
        | JSON_VALUES
    },
    optional={"id": JSON_VALUES, "data": JSON_VALUES, "mode": JSON_VALUES},
)
BODIES = st.binary(max_size=200) | (FEEDBACK | JSON_VALUES).map(
    lambda value: json.dumps(value).encode()
)


@MANY
@given(
    method=st.sampled_from(METHODS),
    number=st.integers(1, 6),
    path=st.lists(SEGMENTS | text(8), max_size=5),
    query=text(40),
    headers=HEADERS,
    body=BODIES,
    is_known=st.booleans(),
)
def test_any_request_gets_an_answer(
    yard: Yard,
    method: str,
    number: int,
    path: list[str],
    query: str,
    headers: dict[str, str],
    body: bytes,
    is_known: bool,
) -> None:
    """Whatever a device sends, it is answered, never with 5xx, and closed actions stay as they are."""
    sent = dict(headers)
    if is_known:
        sent["authorization"] = f"TargetToken {token(number)}"
    target = "/".join(["", "default", "controller", "v1", imei(number), *path])
    raw = f"{target}?{query}".encode("latin-1", "replace")
    answer = yard.loop.run_until_complete(
        ask(
            yard.field.server.ddi,
            method,
            raw,
            headers=sent,
            body=body,
        )
    )
    assert 200 <= answer.status < 500
    if answer.status >= 400 and answer.status not in (401, 412, 416) and method != "HEAD":
        assert answer.json()["errorCode"]
    facts = yard.facts()
    # An expired action may still be ended by its device, and an open one by anything it says.
    kept = slice(0, 3)
    assert facts[0][kept] == yard.before[0][kept]


@MANY
@given(
    action=st.integers(0, 2),
    about=st.sampled_from(["deploymentBase", "cancelAction"]),
    execution=st.sampled_from([execution.value for execution in Execution]),
    finished=st.sampled_from(["success", "failure", "none"]),
)
def test_no_report_changes_a_closed_action(
    yard: Yard, action: int, about: str, execution: str, finished: str
) -> None:
    """Every well-formed report on a closed action is refused, or repeats what is known."""
    peer = yard.field.peer(action + 1)

    async def say() -> int:
        return (await peer.say(yard.closed[action], execution, finished, about=about)).status

    status = yard.loop.run_until_complete(say())
    is_repeat = action == 2 and about == "cancelAction" and execution == "closed"
    if about == "deploymentBase":
        assert status == 410
    else:
        assert status == (200 if is_repeat and finished != "failure" else 404)
    assert yard.facts() == yard.before


@settings(MANY, max_examples=200)
@given(raw=st.binary(max_size=300) | st.text(string.printable, max_size=200).map(str.encode))
def test_any_bytes_on_a_connection(yard: Yard, raw: bytes) -> None:
    """Bytes that are no HTTP end the connection or are refused, and the server goes on."""

    async def send() -> bytes:
        wire = await Wire.open(yard.field.base_url)
        try:
            await wire.send(b"GET /default/controller/v1/x HTTP/1.1\r\n" + raw + b"\r\n\r\n")
            wire.writer.write_eof()
            return await asyncio.wait_for(wire.reader.read(4096), 10)
        except OSError:
            return b""
        finally:
            await wire.close()

    answer = yard.loop.run_until_complete(send())
    assert not answer.startswith(b"HTTP/1.1 5")
