"""The network feed: what an operator's network may say, and with which token."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overair.config import Limits
from overair.core.credentials import fingerprint
from overair.core.network import NetworkState
from overair.store import Tx, operators, slots
from overair.store import devices as device_store
from overair.store import network as store
from overair.store.database import to_ms
from overair.store.slots import Radio
from tests.api.conftest import ACCOUNT, World
from tests.api.v2_world import check
from tests.engine.world import imei
from tests.serving import Answered, ask

PATH = "/api/network/v1/events"
TOKEN = "an-operator-s-token"


@dataclass
class Feed:
    """The network's side: what it sends, and what stands in the database afterwards."""

    world: World
    token: str = TOKEN

    async def post(self, body: Any, *, raw: bytes | None = None) -> Answered:
        sent = msgspec.json.encode(body) if raw is None else raw
        headers = {"authorization": f"Bearer {self.token}"}
        answered = await ask(self.world.api, "POST", PATH.encode(), headers=headers, body=sent)
        check("POST", PATH, answered)
        return answered

    async def ok(self, *events: dict[str, Any]) -> Any:
        answered = await self.post({"events": list(events)})
        assert answered.status == 200, answered.body
        return answered.json()

    async def why(self, body: Any, *, raw: bytes | None = None) -> str:
        answered = await self.post(body, raw=raw)
        assert answered.status == 400, answered.body
        found = answered.json()
        assert found["errorCode"] == "INVALID_PARAMETER"
        return str(found["errorMessage"])

    async def state(self, number: int) -> NetworkState:
        def read(tx: Tx) -> NetworkState:
            device = device_store.by_imei(tx, imei(number))
            assert device is not None
            return store.state(tx, device.id)

        return await self.world.db.report(read)

    async def radio(self, number: int) -> Radio:
        def read(tx: Tx) -> Radio:
            device = device_store.by_imei(tx, imei(number))
            assert device is not None
            return slots.radio(tx, device.id)

        return await self.world.db.report(read)


@pytest.fixture
def limits() -> Limits:
    return Limits(network_events=100, sweep_devices=7)


@pytest.fixture
async def feed(world: World) -> Feed:
    """An operator with a token, and thirty devices."""
    now = world.clock.now()

    def add(tx: Tx) -> None:
        assert operators.add(tx, "core", fingerprint(TOKEN), now)
        account = tx.one("select id from account where name = ?", (ACCOUNT,))
        assert account is not None
        tx.many(
            "insert into device (account_id, imei, controller_id, created_at, updated_at)"
            " values (?, ?, ?, ?, ?)",
            [(account[0], imei(n), imei(n), to_ms(now), to_ms(now)) for n in range(1, 31)],
        )

    await world.db.transact(add)
    return Feed(world)


def event(number: int, type_: str = "attach", **other: Any) -> dict[str, Any]:
    return {"imei": imei(number), "type": type_, **other}


async def test_a_batch(feed: Feed) -> None:
    """Of each event it is said what became of it, in the order given."""
    now = feed.world.clock.now()
    at = (now - timedelta(minutes=5)).isoformat()
    found = await feed.ok(
        event(1, at=at, address="198.51.100.7:2948"),
        event(2, "detach"),
        event(99),
        event(3, "weather", value=7),
        event(1, at=at),
        event(4, at=None, address=None, tracking_area="262-01"),
    )
    assert found["applied"] == 3
    assert [(each["imei"], each["status"]) for each in found["events"]] == [
        (imei(1), "applied"),
        (imei(2), "applied"),
        (imei(99), "unknownDevice"),
        (imei(3), "unknownType"),
        (imei(1), "outdated"),
        (imei(4), "applied"),
    ]
    first = await feed.state(1)
    assert (first.attached, first.address) == (True, "198.51.100.7:2948")
    assert first.attached_at == now - timedelta(minutes=5)
    assert (await feed.state(2)).attached is False
    assert (await feed.state(4)).attached_at == now


async def test_where_devices_are(feed: Feed) -> None:
    """The cell, the signal and whether a device can be reached; the older of two changes nothing."""
    now = feed.world.clock.now()
    before = (now - timedelta(minutes=5)).isoformat()
    found = await feed.ok(
        event(1, "cell", mcc=311, mnc=480, cell=84281345, bearer=6, rsrp=-97),
        event(1, "signal", rsrp=-80),
        event(1, "reachability", reachable=False),
        event(1, "cell", cell=7, at=before),
        event(1, "reachability", reachable=True, at=before),
    )
    assert [each["status"] for each in found["events"]] == ["applied"] * 3 + ["outdated"] * 2
    first = await feed.radio(1)
    assert (first.cell, first.signal_dbm, first.bearer) == ("311-480-84281345", -80, 6)
    assert (first.contact.network, first.contact.network_at) == (False, now)
    assert (await feed.why({"events": [event(1, "cell", mcc=311)]})).endswith("events[0].cell")
    assert (await feed.why({"events": [event(1, "signal")]})).endswith("events[0].rsrp")
    said = await feed.why({"events": [event(1, "reachability")]})
    assert said.endswith("events[0].reachable")


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ({"mcc": 0}, "mcc is 1 to 999"),
        ({"mcc": 1000}, "mcc is 1 to 999"),
        ({"mnc": -1}, "mnc is 0 to 999"),
        ({"mnc": 1000}, "mnc is 0 to 999"),
        ({"cell": -1}, "cell is 0 to 268435455"),
        ({"cell": 2**28}, "cell is 0 to 268435455"),
        ({"cell": 2**36, "bearer": 9}, "cell is 0 to 68719476735"),
        ({"bearer": 51}, "bearer is 0 to 50"),
        ({"rsrp": -157}, "rsrp is -156 to -31"),
        ({"rsrp": 97}, "rsrp is -156 to -31"),
        ({"rsrp": -(2**63)}, "rsrp is -156 to -31"),
        ({"rsrp": 10**30}, "rsrp is -156 to -31"),
    ],
)
async def test_what_no_network_can_mean(feed: Feed, odd: dict[str, Any], reason: str) -> None:
    """An event with such a value is rejected with its reason, changes nothing, and the others count."""
    right: dict[str, Any] = {"mcc": 311, "mnc": 480, "cell": 84281345, "bearer": 6, "rsrp": -97}
    await feed.ok(event(1, "cell", **right))
    feed.world.clock.advance(timedelta(minutes=1))
    before = await feed.radio(1)
    types = ["cell", "signal"] if {"rsrp", "bearer"} & odd.keys() else ["cell"]
    sent = [event(1, type_, **(right | odd)) for type_ in types]
    found = await feed.ok(*sent, event(2, "cell", **right), event(3, **odd))
    assert found["applied"] == 2
    rejected = {"imei": imei(1), "status": "rejected", "reason": reason}
    assert found["events"][:-2] == [rejected] * len(types)
    assert found["events"][-2:] == [{"imei": imei(n), "status": "applied"} for n in (2, 3)]
    assert await feed.radio(1) == before


async def test_the_limits_of_what_a_network_can_mean(feed: Feed) -> None:
    """The first and the last value of each count."""
    least: dict[str, Any] = {"mcc": 1, "mnc": 0, "cell": 0, "bearer": 0, "rsrp": -156}
    most: dict[str, Any] = {"mcc": 999, "mnc": 999, "cell": 2**36 - 1, "bearer": 9, "rsrp": -31}
    found = await feed.ok(event(1, "cell", **least), event(2, "cell", **most))
    assert found["applied"] == 2
    assert (await feed.radio(2)).cell == f"999-999-{2**36 - 1}"


async def test_a_batch_in_pieces(feed: Feed) -> None:
    """A long batch is written in pieces, and said twice it changes nothing."""
    at = feed.world.clock.now().isoformat()
    events = [event(n, at=at) for n in range(1, 31)]
    assert (await feed.ok(*events))["applied"] == 30
    again = await feed.ok(*events)
    assert again["applied"] == 0
    assert {each["status"] for each in again["events"]} == {"outdated"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "Invalid value for events"),
        ({"events": []}, "A batch has 1 to 100 events"),
        ({"events": [event(1)] * 101}, "A batch has 1 to 100 events"),
        ({"events": {}}, "Invalid value for events"),
        ({"events": [{"imei": imei(1)}]}, "Invalid value for events"),
        ({"events": [{"type": "attach"}]}, "Invalid value for events"),
        ({"events": [event(1, 7)]}, "Invalid value for events"),  # type: ignore[arg-type]  # wrong
        ({"events": [event(1) | {"imei": 990013907835573}]}, "Invalid value for events"),
        ({"events": [event(1), event(1) | {"imei": "1"}]}, "Invalid value for events[1].imei"),
        ({"events": [event(1), event(2, at="soon")]}, "Invalid value for events[1].at"),
        ({"events": [event(1, at="2026-03-02")]}, "Invalid value for events[0].at"),
        ({"events": [event(1, at="2026-03-02T12:00:00")]}, "Invalid value for events[0].at"),
        ({"events": [event(1, at="2026-02-30T12:00:00Z")]}, "Invalid value for events[0].at"),
        ({"events": [event(1, at="0001-01-01T00:00:00+14:00")]}, "Invalid value for events[0].at"),
        ({"events": [event(1, at="9999-12-31T23:59:59-14:00")]}, "Invalid value for events[0].at"),
        ({"events": [event(1, address="x:0")]}, "Invalid value for events[0].address"),
        ([event(1)], "Input binding error"),
        ("events", "Input binding error"),
    ],
)
async def test_what_is_malformed(feed: Feed, body: Any, said: str) -> None:
    """A batch that cannot be read is refused as a whole, naming the place."""
    assert await feed.why(body) == said
    assert (await feed.state(1)).attached is None


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b"[" * 100_000, b'{"events":[{"imei":"\\u0000']
)
async def test_bytes_that_are_no_json(feed: Feed, raw: bytes) -> None:
    """What is no JSON is refused like everything else."""
    assert await feed.why(None, raw=raw) == "Input binding error"


async def test_who_may(feed: Feed) -> None:
    """Only a token that an operator made opens the feed, until it is revoked."""
    body = {"events": [event(1)]}
    for token in ("", "other", "key-1"):
        refused = await Feed(feed.world, token).post(body)
        assert refused.status == 401
        assert {"fault", "errorCode", "errorMessage"} <= set(refused.json())
    assert (await feed.post(body)).status == 200
    assert await feed.world.db.transact(operators.revoke, "core", feed.world.clock.now())
    assert (await feed.post(body)).status == 401


async def test_it_opens_nothing_else(feed: Feed) -> None:
    """An operator's token is none for the other calls."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    path = b"/api/m2m/v1/session/login"
    answered = await ask(feed.world.api, "POST", path, headers=headers, body=b"{}")
    assert answered.status == 401


async def test_any_batch_is_answered(feed: Feed) -> None:
    """Whatever is in a batch, it is answered as the document says."""
    words = st.none() | st.text(max_size=20) | st.integers() | st.sampled_from(["attach", "detach"])
    known = st.sampled_from([imei(1), imei(2), "", "x" * 15, "٣" * 15])
    events = st.fixed_dictionaries(
        {},
        optional={
            "imei": known | words,
            "type": st.sampled_from(["attach", "detach", "cell", "signal", "reachability"]) | words,
            "at": st.datetimes().map(lambda at: at.isoformat() + "Z") | words,
            "address": st.sampled_from(["1.2.3.4:5", "[::1]:9", "a.b"]) | words,
            **dict.fromkeys(("mcc", "mnc", "cell", "bearer", "rsrp", "reachable"), words),
        },
    )
    batches: list[list[dict[str, Any]]] = []

    @settings(max_examples=150, suppress_health_check=list(HealthCheck))
    @given(st.lists(events, max_size=4))
    def make(batch: list[dict[str, Any]]) -> None:
        batches.append(batch)

    make()
    answers = [await feed.post({"events": batch}) for batch in batches]
    assert {answered.status for answered in answers} <= {200, 400}
