"""Fleets over real HTTP and UDP, against the scripted server."""

import asyncio
import hashlib
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from overair.clock import FastClock
from overair.sim.agenda import Agenda
from overair.sim.carrier import Carrier
from overair.sim.omadm.fleet import Fleet, FleetOptions, run_fleet
from overair.sim.omadm.listener import Listener
from overair.sim.omadm.power import PowerHours
from overair.sim.omadm.profile import Behaviour
from overair.sim.omadm.roster import OmadmDevice, generate_roster
from overair.sim.omadm.tally import FleetSnapshot
from overair.sim.requests import Fetch, Post
from tests.sim.omadm.peer import TOKEN, Peer
from tests.waiting import until

FILE = b"overair-sim version 02\n" + bytes(range(256)) * 2000
# Soon done, so that tests need not make time run faster than requests can follow.
QUICK: dict[str, Any] = {
    "install_s": (5.0, 15.0),
    "reboot_s": (5.0, 10.0),
    "reaction_s": (1.0, 5.0),
}
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def free_port() -> int:
    """Return a port for UDP that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("", 0))
        port: int = found.getsockname()[1]
        return port


def roster(count: int = 40) -> tuple[OmadmDevice, ...]:
    """Return devices with an address each, and one free port."""
    return generate_roster(count, port=free_port())


def options(peer: Peer, devices: tuple[OmadmDevice, ...], **changes: Any) -> FleetOptions:
    """Return what to run against a peer."""
    plain = FleetOptions(
        url=peer.url,
        devices=devices,
        network_token=TOKEN,
        behaviour=Behaviour(**QUICK),
        start_over_s=20.0,
        progress_every_s=0.02,
    )
    return replace(plain, **changes)


def all_updated(snapshot: FleetSnapshot) -> bool:
    """Whether each device has its new version and has said so."""
    return snapshot.updated >= snapshot.devices and snapshot.sessions >= 2 * snapshot.devices


async def test_a_fleet_is_notified_and_updated() -> None:
    """Every device is told of by its network, notified at its own address, updated, and has reported."""
    devices = roster()
    async with Peer(devices, FILE) as peer:
        seen: list[FleetSnapshot] = []
        report = await asyncio.wait_for(
            run_fleet(
                options(peer, devices, stop_when=lambda s: all_updated(s) and reported(peer)),
                FastClock(60.0, NOON),
                seen.append,
            ),
            60,
        )
    assert report.snapshot.updated == report.snapshot.accepted == len(devices)
    assert report.snapshot.pushes_refused == 0
    assert report.snapshot.errors == 0, report.snapshot.last_error
    digest = hashlib.sha256(FILE).hexdigest()
    for device in devices:
        truth = report.truths[device.imei]
        assert truth.version == "02"
        assert truth.installs[0].sha256 == digest
    told = {event["imei"]: event["address"] for event in peer.attaches}
    assert (
        told[devices[0].imei] == f"127.77.0.2:{devices[0].address[1] if devices[0].address else 0}"
    )
    assert set(told) == {device.imei for device in devices}
    # Many devices in a batch, and many messages in a connection.
    assert peer.batches < len(peer.attaches)
    assert peer.connections < peer.messages / 3
    assert len(seen) > 1


def reported(peer: Peer) -> bool:
    """Whether the server has a result of each device."""
    return all(client.reports for client in peer.server.clients.values())


async def test_cut_downloads_go_on_with_ranges() -> None:
    """A cut connection is a new request for the rest, and the file is whole."""
    devices = roster(10)
    async with Peer(devices, FILE) as peer:
        report = await asyncio.wait_for(
            run_fleet(
                options(
                    peer, devices, behaviour=Behaviour(cut=1.0, **QUICK), stop_when=all_updated
                ),
                FastClock(60.0, NOON),
            ),
            60,
        )
    assert len(peer.ranges) >= len(devices)
    digest = hashlib.sha256(FILE).hexdigest()
    assert {truth.installs[0].sha256 for truth in report.truths.values()} == {digest}


async def test_devices_that_sleep_through_it_come_later() -> None:
    """Devices without power at first are not reached; once they attach they are notified and updated."""
    devices = roster(12)
    behaviour = Behaviour(late=0.5, hours=PowerHours(late=(0.3, 0.4)), **QUICK)
    async with (
        Peer(devices, FILE) as peer,
        Fleet(options(peer, devices, behaviour=behaviour), FastClock(300.0, NOON)) as fleet,
    ):

        async def settled() -> bool:
            snapshot = fleet.snapshot()
            return 0 < snapshot.updated == snapshot.devices - snapshot.off

        await until(settled, "the devices that are on")
        assert 0 < fleet.snapshot().off < len(devices)

        async def done() -> bool:
            return fleet.snapshot().updated == len(devices)

        await until(done, "all devices", limit_s=40)
    late = [
        truth for truth in fleet.truths().values() if truth.on[0][0] >= NOON + timedelta(minutes=18)
    ]
    assert late


async def test_a_server_that_is_busy_is_asked_again() -> None:
    """Refused messages, events and downloads are sent again."""
    devices = roster(3)
    async with Peer(devices, FILE) as peer:
        peer.statuses = {
            "/dm": [503, 500],
            "/api/network": [503],
            "/package": [503],
        }
        report = await asyncio.wait_for(
            run_fleet(options(peer, devices, stop_when=all_updated), FastClock(100.0, NOON)), 60
        )
    assert report.snapshot.updated == 3
    assert report.snapshot.errors >= 4


async def test_a_plug_that_is_pulled_ends_what_the_device_asks_for() -> None:
    """A device that loses power in the middle of a request is off, and goes on when it comes back."""
    devices = roster(1)
    imei = devices[0].imei
    async with Peer(devices, FILE) as peer:
        peer.mute = True
        async with Fleet(options(peer, devices, start_over_s=0.0), FastClock(60.0, NOON)) as fleet:
            fleet.switch(imei, on=False)
            assert fleet.snapshot().off == 1
            peer.mute = False
            fleet.switch(imei, on=True)

            async def done() -> bool:
                return fleet.truth(imei).version == "02"

            await until(done, "the update")
    assert len(fleet.truth(imei).on) == 2


async def test_what_comes_before_its_start_does_not_keep_a_device_from_it() -> None:
    """A device that is notified before it has ever been on is lost on, and starts all the same."""
    devices = roster(5)
    async with (
        Peer(devices, FILE) as peer,
        Fleet(options(peer, devices, start_over_s=60.0), FastClock(20.0, NOON)) as fleet,
    ):
        peer.push_all()

        async def heard() -> bool:
            return fleet.snapshot().pushes >= 5

        async def started() -> bool:
            return fleet.snapshot().attaches >= 5

        await until(heard, "the notifications")
        assert fleet.snapshot().pushes_lost > 0
        await until(started, "the devices")


async def test_an_operator_token_that_is_wrong_is_told() -> None:
    """Events that are refused are not sent again, and stand among the errors."""
    devices = roster(2)
    async with (
        Peer(devices, FILE) as peer,
        Fleet(
            options(peer, devices, network_token="wrong", start_over_s=0.0), FastClock(10.0, NOON)
        ) as fleet,
    ):

        async def told() -> bool:
            return "network events answered 401" in fleet.snapshot().last_error

        await until(told, "the complaint")
    assert peer.attaches == []


async def test_a_listener_knows_whom_a_datagram_is_for() -> None:
    """Of many addresses with one port each hears its own; datagrams for nobody are dropped."""
    port = free_port()
    heard: list[tuple[str, bytes]] = []
    names = {("127.77.1.1", port): "one", ("127.77.1.2", port): "two"}
    async with Listener(names, lambda name, payload: heard.append((name, payload))):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"a", ("127.77.1.2", port))
            sender.sendto(b"b", ("127.77.1.3", port))
            sender.sendto(b"c", ("127.77.1.1", port))

        async def two() -> bool:
            return len(heard) == 2

        await until(two, "two datagrams")
    assert heard == [("two", b"a"), ("one", b"c")]


async def test_a_listener_says_that_a_port_is_taken() -> None:
    """A port that somebody else has is an error at once, and nothing is left open."""
    port = free_port()
    async with Listener({("127.77.1.1", port): "one"}, lambda _name, _payload: None):
        with pytest.raises(OSError, match="in use"):
            async with Listener({("127.77.1.1", port): "one"}, lambda _name, _payload: None):
                pass


async def test_what_cannot_be_carried_has_no_status() -> None:
    """A server that is not there, and an address that is none, are answers without a status."""
    async with Carrier(agent="test", connections=1, downloads=1) as carrier:
        post = Post(url="http://127.0.0.1:1/dm", media_type="text/plain", body=b"")
        assert (await carrier.perform(post)).status == 0
        answer = await carrier.perform(Fetch(url="nowhere", offset=0, limit=1))
        assert (answer.status, bool(answer.error)) == (0, True)


def test_an_agenda_forgets_timers_that_were_moved() -> None:
    """A name has one time: the last one that it was given."""
    agenda: Agenda[datetime] = Agenda()
    second = timedelta(seconds=1)
    assert agenda.put("a", NOON + second)
    assert not agenda.put("b", NOON + 3 * second)
    agenda.put("a", NOON + 5 * second)
    assert agenda.next_at() == NOON + 3 * second
    assert agenda.take(NOON) is None
    assert agenda.take(NOON + 4 * second) == "b"
    agenda.put("a", None)
    assert agenda.next_at() is None
    assert agenda.take(NOON + 9 * second) is None


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"url": "server"}, "base URL"),
        ({"devices": ()}, "at least one"),
        ({"connections": 0}, "connections"),
        ({"devices": generate_roster(1) * 2}, "same address"),
    ],
)
def test_a_fleet_that_cannot_run_is_refused(change: dict[str, Any], match: str) -> None:
    """What cannot work is said before anything starts."""
    good: dict[str, Any] = {"url": "http://127.0.0.1:1", "devices": generate_roster(1)}
    with pytest.raises(ValueError, match=match):
        FleetOptions(**{**good, **change})
