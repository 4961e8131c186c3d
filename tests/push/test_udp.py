"""Notifications as datagrams, on real sockets."""

import socket
from datetime import timedelta

import pytest

from overair.protocols.syncml.notification import Trigger, encode_notification, is_genuine
from overair.push.transport import Contact, Sent
from overair.push.udp import UdpTransport
from tests.push.receiver import Receiver, receiving
from tests.waiting import until

PACKAGE = encode_notification(Trigger(session=9, server_id="overair"), "key", b"nonce")
WINDOW = timedelta(hours=4)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


async def send(transport: UdpTransport, address: str) -> Sent:
    return await transport.send(Contact(imei="1", address=address), PACKAGE, WINDOW)


async def one(receiver: Receiver) -> bytes:
    await until(receiver.came, "a datagram")
    assert len(receiver.datagrams) == 1
    return receiver.datagrams[0]


async def test_a_wsp_push() -> None:
    """A datagram is a WSP push with the notification in it, which the device can verify."""
    with receiving() as receiver:
        async with UdpTransport(bare=False) as transport:
            assert await send(transport, f"127.0.0.1:{receiver.port}") is Sent.SENT
        datagram = await one(receiver)
        assert datagram == bytes.fromhex("010603c4af87") + PACKAGE
        (notification,) = receiver.notifications()
        assert notification.trigger.session == 9
        assert is_genuine(notification, "key", b"nonce")


async def test_a_bare_notification() -> None:
    """Without the header a datagram is the notification and nothing else."""
    with receiving() as receiver:
        async with UdpTransport(bare=True) as transport:
            assert await send(transport, f"127.0.0.1:{receiver.port}") is Sent.SENT
        assert await one(receiver) == PACKAGE


@pytest.mark.skipif(not _has_ipv6(), reason="no IPv6 on this machine")
async def test_ipv6() -> None:
    """An address of the other family has a socket of its own."""
    with receiving("::1") as six, receiving() as four:
        async with UdpTransport(bare=False) as transport:
            assert await send(transport, f"[::1]:{six.port}") is Sent.SENT
            assert await send(transport, f"127.0.0.1:{four.port}") is Sent.SENT
        await one(six)
        await one(four)


async def test_a_name() -> None:
    """A name is looked up, each time anew."""
    with receiving() as receiver:
        async with UdpTransport(bare=False) as transport:
            assert await send(transport, f"localhost:{receiver.port}") in (Sent.SENT, Sent.LATER)
            assert await send(transport, "no-such-host.invalid:2948") in (Sent.REFUSED, Sent.LATER)


@pytest.mark.parametrize(
    ("address", "result"),
    [
        ("", Sent.NO_ADDRESS),
        ("127.0.0.1:0", Sent.REFUSED),
        ("not an address", Sent.REFUSED),
        ("1.2.3", Sent.REFUSED),
        ("255.255.255.255:2948", Sent.REFUSED),  # nobody broadcasts by mistake
    ],
)
async def test_addresses_that_are_none(address: str, result: Sent) -> None:
    """A device without an address, or with a wrong one, is no reason to try again."""
    async with UdpTransport(bare=False) as transport:
        assert await send(transport, address) is result


async def test_more_than_a_datagram_holds() -> None:
    """What the kernel refuses for good is refused."""
    async with UdpTransport(bare=True) as transport:
        contact = Contact(imei="1", address="127.0.0.1:2948")
        assert await transport.send(contact, bytes(70_000), WINDOW) is Sent.REFUSED
