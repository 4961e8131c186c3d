"""What Wireshark, which knows nothing of us, sees in what leaves for devices.

It runs where Debian's tshark is installed; the suite does not install it, because it brings a hundred
megabytes along, and the same bytes are held against the specification elsewhere.
"""

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from overair.push.transport import Contact, Sent
from overair.push.udp import UdpTransport
from tests.push.centre import Centre, running
from tests.push.receiver import receiving
from tests.push.test_smpp import PACKAGE, bound, eventually
from tests.waiting import until

pytestmark = pytest.mark.skipif(
    shutil.which("tshark") is None or shutil.which("text2pcap") is None,
    reason="tshark is not installed",
)
PUSH = (
    "Wireless Session Protocol, Method: Push (0x06)",
    "Content-Type: application/vnd.syncml.notification",
    "X-Wap-Application-Id: x-wap-application:syncml.dm",
    f"application/vnd.syncml.notification ({len(PACKAGE)} bytes)",
)


def seen(place: Path, payload: bytes, *how: str, ports: str, decode: str = "") -> str:
    """The payload, as it is decoded on its way to the port."""
    dump, capture = place / "payload.txt", place / "payload.pcap"
    dump.write_text("0000 " + payload.hex(" ") + "\n")
    subprocess.run(
        ["text2pcap", "-q", *how, ports, str(dump), str(capture)], check=True, capture_output=True
    )
    options = ["-d", decode] if decode else []
    shown = subprocess.run(
        ["tshark", "-r", str(capture), "-V", *options], check=True, capture_output=True, text=True
    )
    return shown.stdout


async def test_a_datagram(tmp_path: Path) -> None:
    """A datagram to port 2948 is a push of a SyncML notification to the device management client."""
    with receiving() as receiver:
        async with UdpTransport(bare=False) as transport:
            contact = Contact(imei="1", address=f"127.0.0.1:{receiver.port}")
            assert await transport.send(contact, PACKAGE, timedelta(hours=4)) is Sent.SENT
        await until(receiver.came, "the datagram")
    shown = seen(tmp_path, receiver.datagrams[0], "-u", ports="40000,2948")
    for words in PUSH:
        assert words in shown


async def test_an_sms(tmp_path: Path) -> None:
    """A submission is 8-bit data for port 2948 with the same push in it, good for four hours."""
    async with running(Centre()) as centre, bound(centre) as transport:
        await eventually(transport)
    shown = seen(tmp_path, centre.raw[0], "-T", ports="40000,2775", decode="tcp.port==2775,smpp")
    for words in (
        "Command: Submit_sm",
        "Recipient address: 15551230001",
        "GSM features: UDHI indicator (0x1)",
        "Validity period: 14400.000000000 seconds",
        "Data coding: Octet unspecified (8-bit binary) (0x04)",
        "Application port addressing scheme, 16 bit address",
        "Destination port: UDP/TCP port numbers assigned by IANA",
        *PUSH,
    ):
        assert words in shown
