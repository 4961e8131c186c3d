"""Rates, blocked addresses and trusted words (http-ddi 10, 11)."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from overair.devices.throttle import Throttle, is_public
from overair.proxy import networks, within
from tests.devices.field import Field, imei, open_field

JSON = {"Content-Type": "application/json"}
BEHIND: dict[str, Any] = {"trusted_proxies": ("127.0.0.1",)}


async def test_a_device_s_rate(field: Field) -> None:
    """200 requests at once and 20 a second; above that 429 with Retry-After, for that device only."""
    await field.add(1, 2)
    wire = await field.wire()
    peer = field.peer(1)
    with capture_logs() as lines:
        answers = [await wire.ask("GET", peer.base, peer.headers) for _ in range(205)]
    assert [a.status for a in answers] == [200] * 200 + [429] * 5
    refused = answers[-1]
    assert refused.json()["errorCode"]
    wait_s = int(str(refused.header("Retry-After")))
    assert 1 <= wait_s <= 10
    said = [line for line in lines if line["event"] == "too many requests"]
    assert [line["imei"] for line in said] == [imei(1)], "once, and by its name"
    assert (await field.peer(2).get()).status == 200
    field.clock.advance(timedelta(seconds=wait_s))
    assert (await peer.get()).status == 200


async def test_a_refused_report_changes_nothing(tmp_path: Path) -> None:
    """What was answered 429 was not taken."""
    async with open_field(tmp_path, device_requests_per_s=1, device_burst=5) as field:
        peer = await field.new_peer(1)
        await field.campaign(1)
        action, _ = await peer.retrieve()
        for _ in range(3):
            await peer.get()
        assert (await peer.say(action, "closed", "success")).status == 429
        assert await field.state(action) == "retrieved"


async def test_limits_can_be_switched_off(tmp_path: Path) -> None:
    """A rate of 0 is no limit."""
    async with open_field(tmp_path, device_requests_per_s=0) as field:
        peer = await field.new_peer(1)
        wire = await field.wire()
        for _ in range(250):
            assert (await wire.ask("GET", peer.base, peer.headers)).status == 200


async def test_an_address_s_rates(tmp_path: Path) -> None:
    """A public address has a rate for reads and one for writes; artifacts count for neither."""
    async with open_field(
        tmp_path, address_requests_per_s=2, address_writes_per_s=1, **BEHIND
    ) as field:
        await field.add(1)
        peer = field.peer(1, X_Forwarded_For="8.8.8.8")
        await field.campaign(1)
        codes = [(await peer.get()).status for _ in range(25)]
        assert codes == [200] * 20 + [429] * 5
        writes = [(await peer.send_attributes(hw=str(n))).status for n in range(12)]
        assert writes == [200] * 10 + [429] * 2
        assert (await field.peer(1, X_Forwarded_For="8.8.4.4").get()).status == 200
        field.clock.advance(timedelta(seconds=10))
        assert (await peer.get()).status == 200


async def test_failed_authentication_counts_for_the_address(tmp_path: Path) -> None:
    """Somebody who tries tokens is slowed down."""
    async with open_field(tmp_path, address_requests_per_s=1, **BEHIND) as field:
        await field.add(1)
        thief = field.peer(1, X_Forwarded_For="8.8.8.8", Authorization="TargetToken guess")
        with capture_logs() as lines:
            codes = [(await thief.get()).status for _ in range(15)]
        assert codes == [401] * 10 + [429] * 5
        said = [line["event"] for line in lines if line.get("address") == "8.8.8.8"]
        assert said == ["a device is not let in", "too many requests"], "once each"
        assert not any("guess" in str(line) for line in lines)


async def test_private_addresses_are_exempt(tmp_path: Path) -> None:
    """Loopback and private networks have no limit of their own."""
    async with open_field(tmp_path, address_requests_per_s=1, **BEHIND) as field:
        await field.add(1)
        for address in ("10.1.2.3", "192.168.1.1", "127.0.0.1", "fd00::1", "nonsense", ""):
            peer = field.peer(1, X_Forwarded_For=address)
            assert {(await peer.get()).status for _ in range(15)} == {200}, address
            field.clock.advance(timedelta(seconds=10))


@pytest.mark.parametrize("blocked", ["127.0.0.1", "127.0.0.0/8"])
async def test_a_blocked_address(tmp_path: Path, blocked: str) -> None:
    """Everything below the device endpoints is 403, with right credentials too."""
    async with open_field(tmp_path, blocked_addresses=(blocked,)) as field:
        peer = await field.new_peer(1)
        reply = await peer.get()
        assert reply.status == 403
        assert reply.json()["errorCode"]
        assert (await peer.ask("PUT", "/configData", JSON, b"{}")).status == 403
        assert await peer.check_ins() == []


async def test_a_blocked_address_behind_a_proxy(tmp_path: Path) -> None:
    """The client counts, not the proxy; of forwarded addresses only what the proxy saw."""
    async with open_field(tmp_path, blocked_addresses=("8.8.8.0/24",), **BEHIND) as field:
        await field.add(1)
        for forwarded, status in (
            ("8.8.8.8", 403),
            ("1.2.3.4, 8.8.8.8", 403),
            ("8.8.8.8, 1.2.3.4", 200),
            ("8.8.8.8, 127.0.0.1", 403),
            ("1.2.3.4", 200),
        ):
            assert (await field.peer(1, X_Forwarded_For=forwarded).get()).status == status, (
                forwarded
            )
    async with open_field(tmp_path / "x", blocked_addresses=("8.8.8.8",)) as field:
        await field.add(1)
        assert (await field.peer(1, X_Forwarded_For="8.8.8.8").get()).status == 200


@pytest.mark.parametrize(
    ("address", "public", "listed"),
    [
        ("8.8.8.8", True, True),
        ("::ffff:8.8.8.8", True, True),
        ("::ffff:10.0.0.1", False, False),
        ("2001:4860:4860::8888", True, False),
        ("10.0.0.1", False, False),
        ("", False, False),
        ("nonsense", False, False),
    ],
)
def test_an_ipv4_peer_of_an_ipv6_socket(address: str, public: bool, listed: bool) -> None:
    """Lists and limits mean the address, however the socket writes it."""
    assert is_public(address) is public
    assert within(address, networks(["8.8.8.0/24"])) is listed


def test_a_throttle_forgets() -> None:
    """Counts go with their window, so the memory is bounded by who was there in one."""
    throttle: Throttle[int] = Throttle("key", 20, 200)
    for key in range(1000):
        assert throttle.admit(key, 0.0) == 0
    for _ in range(200):
        throttle.admit(1, 1.0)
    assert throttle.admit(1, 1.0) > 0
    assert throttle.admit(1, 10.0) == 0
    assert len(throttle._counts) == 1
