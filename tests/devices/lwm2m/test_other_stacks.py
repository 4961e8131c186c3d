"""Stacks of others shake hands with us on real sockets: OpenSSL's own client, and libcoap with GnuTLS."""

import asyncio
import shutil
from pathlib import Path

import pytest

from overair.fleetfile import shapes
from tests.devices.field import imei
from tests.devices.lwm2m.yard import KEY, Yard
from tests.waiting import until

BLOCK = shapes.Lwm2m(psk_identity="me", psk_key_hex=KEY)
GNUTLS = "coap-client-gnutls"
needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="Debian's openssl is not installed"
)


async def shake(yard: Yard, *more: str, identity: str = "me") -> str:
    """Let OpenSSL's client shake hands and go; what it tells of that."""
    process = await asyncio.create_subprocess_exec(
        "openssl", "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{yard.coaps_port}",
        "-psk_identity", identity, "-psk", KEY, "-cipher", "PSK-AES128-CCM8:@SECLEVEL=0", *more,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(b"Q\n"), 20)
    return output.decode("utf-8", "replace")


@needs_openssl
async def test_openssl_comes_again_from_another_port(yard: Yard, tmp_path: Path) -> None:
    """Its second handshake resumes the session of the first; not when the key is another by then."""
    await yard.gadget(1, block=BLOCK)
    kept = str(tmp_path / "session.pem")
    said = await shake(yard, "-sess_out", kept)
    assert "New, TLSv1.2, Cipher is PSK-AES128-CCM8" in said, said
    said = await shake(yard, "-sess_in", kept)
    assert "Reused, TLSv1.2, Cipher is PSK-AES128-CCM8" in said, said
    await yard.account(1, shapes.Lwm2m(psk_identity="you", psk_key_hex=KEY))
    said = await shake(yard, "-sess_in", kept, identity="you")
    assert "New, TLSv1.2, Cipher is PSK-AES128-CCM8" in said, said


@needs_openssl
async def test_openssl_on_a_narrow_link(yard: Yard) -> None:
    """Its hello comes in several datagrams, because it has much to offer and little room."""
    await yard.gadget(1, block=BLOCK)
    names = ",".join(f"a-protocol-nobody-speaks-{number}" for number in range(20))
    said = await shake(yard, "-mtu", "256", "-alpn", names)
    assert "New, TLSv1.2, Cipher is PSK-AES128-CCM8" in said, said


@pytest.mark.skipif(shutil.which(GNUTLS) is None, reason="Debian's libcoap3-bin is not installed")
async def test_gnutls_registers(yard: Yard) -> None:
    """Another implementation of DTLS registers with its key."""
    key = "0123456789abcdef"
    await yard.gadget(1, block=shapes.Lwm2m(psk_identity="me", psk_key_hex=key.encode().hex()))
    process = await asyncio.create_subprocess_exec(
        GNUTLS, "-m", "post", "-t", "40", "-e", "%3C/3/0%3E", "-B", "5", "-v", "7",
        "-u", "me", "-k", key,
        f"coaps://127.0.0.1:{yard.coaps_port}/rd?ep=urn:imei:{imei(1)}&lt=300&lwm2m=1.1",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    assert b"2.01" in output, output.decode("utf-8", "replace")

    async def registered() -> bool:
        return await yard.registration(1) is not None

    await until(registered, "the registration")
