"""Who may speak for a device (http-ddi 3)."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from overair.core.credentials import fingerprint
from tests.devices.field import (
    IMAGE,
    Field,
    Peer,
    Reply,
    href_of,
    imei,
    open_field,
    token,
)

GATEWAY = "gateway-token-0123456789"
PROXIED: dict[str, Any] = {
    "trusted_proxies": ("127.0.0.1",),
    "trusted_authorities": ("Fleet-CA", "other-ca"),
}


def bare(reply: Reply) -> tuple[int, bytes, list[str]]:
    """What can be told from an answer, but for its time."""
    lines = reply.head.decode().lower().split("\r\n")
    return reply.status, reply.body, sorted(line for line in lines if not line.startswith("date:"))


async def status(peer: Peer, **headers: str) -> int:
    return (await peer.get("", {k.replace("_", "-"): v for k, v in headers.items()})).status


async def test_a_device_s_own_token(field: Field) -> None:
    """A device token opens its device and no other; the scheme's case does not matter."""
    peer = await field.new_peer(1)
    await field.add(2)
    for scheme in ("TargetToken", "targettoken", "TARGETTOKEN"):
        assert await status(peer, Authorization=f"{scheme} {token(1)}") == 200
    assert await status(peer, Authorization=f"TargetToken {token(2)}") == 401


async def test_tokens_are_compared_exactly(field: Field) -> None:
    """Nothing but the very token will do."""
    peer = await field.new_peer(1, token_hash=fingerprint("AbC!~x"))
    assert await status(peer, Authorization="TargetToken AbC!~x") == 200
    for wrong in (
        "TargetToken abc!~x",
        "TargetToken AbC!~x ?",
        "TargetToken AbC!~",
        "TargetToken",
        "TargetToken ",
        "AbC!~x",
        "Bearer AbC!~x",
        "Basic AbC!~x",
        "GatewayToken AbC!~x",
        f"TargetToken {fingerprint('AbC!~x')}",
        "TargetToken AbC!~x\xff",
        "TargetToken " + "A" * 4000,
    ):
        assert await status(peer, Authorization=wrong) == 401, wrong


async def test_a_token_of_128_characters(field: Field) -> None:
    """A token that was brought along may have up to 128 printable characters."""
    long = "".join(chr(33 + n % 94) for n in range(128))
    peer = await field.new_peer(1, token_hash=fingerprint(long))
    assert await status(peer, Authorization=f"TargetToken {long}") == 200


async def test_a_device_without_a_token_has_none(field: Field) -> None:
    """Where no token is stored none is right, not even an empty one."""
    peer = await field.new_peer(1, token_hash=None)
    for wrong in ("TargetToken ", "TargetToken None", f"TargetToken {token(1)}"):
        assert await status(peer, Authorization=wrong) == 401


async def test_refusals_do_not_differ(field: Field) -> None:
    """Wrong, missing, unknown tenant, unknown device, another account's: the same bytes."""
    other = await field.add_account("0000123456-00002", "globex")
    await field.set_account(alias="acme")
    await field.add(1)
    await field.add(2, account=other)
    right, wrong = f"TargetToken {token(1)}", f"TargetToken {token(9)}"
    wire = await field.wire()
    answers = [
        await wire.ask("GET", f"/{tenant}/controller/v1/{device}{path}", {"Authorization": said})
        for tenant, device, said in (
            ("acme", imei(1), wrong),
            ("acme", imei(1), ""),
            ("acme", imei(1), "nonsense"),
            ("acme", imei(1), f"GatewayToken {GATEWAY}"),
            ("initech", imei(1), right),
            ("acme", imei(3), right),
            ("acme", imei(2), f"TargetToken {token(2)}"),
            ("globex", imei(1), right),
        )
        for path in ("", "/deploymentBase/1", "/softwaremodules/1/artifacts/x")
    ]
    assert {answer.status for answer in answers} == {401}
    assert {answer.body for answer in answers} == {b""}
    assert answers[0].header("Content-Length") == "0"
    assert len({str(bare(answer)) for answer in answers}) == 1


async def test_refusals_cost_the_same_look_up(field: Field) -> None:
    """An unknown tenant is refused after as many reads as a known one."""
    await field.add(1)
    reads = 0
    read = field.server.db.read

    async def counted(fn, *args, **kwargs):  # type: ignore[no-untyped-def]
        nonlocal reads
        reads += 1
        return await read(fn, *args, **kwargs)

    await field.peer(1).get()  # the accounts are remembered for a second
    field.server.db.read = counted  # type: ignore[method-assign]  # counts, and passes on
    counts = set()
    for tenant, number, said in (("default", 1, 9), ("nobody", 1, 1), ("default", 7, 7)):
        peer = field.peer(number, Authorization=f"TargetToken {token(said)}")
        peer.tenant = tenant
        before = reads
        assert (await peer.get()).status == 401
        counts.add(reads - before)
    assert counts == {1}


async def test_an_inactive_account_is_no_tenant(field: Field) -> None:
    """Devices of an account that was switched off are refused."""
    peer = await field.new_peer(1)
    assert (await peer.get()).status == 200
    await field.set_account(active=False)
    assert (await peer.get()).status == 401


async def test_the_gateway_token_acts_for_every_device(field: Field) -> None:
    """A gateway token opens all devices of its account, and is off until it is set."""
    other = await field.add_account("0000123456-00002", "globex")
    await field.set_account(alias="acme")
    await field.add(1)
    await field.add(2, token_hash=None)
    await field.add(3, account=other)
    peers = [field.peer(n, Authorization=f"gatewaytoken {GATEWAY}") for n in (1, 2, 3)]
    for peer in peers:
        peer.tenant = "acme"
        assert (await peer.get()).status == 401
    await field.set_account(gateway_token_hash=fingerprint(GATEWAY))
    assert [(await peer.get()).status for peer in peers] == [200, 200, 404]
    peers[2].tenant = "globex"
    assert (await peers[2].get()).status == 401
    assert await status(peers[0], Authorization=f"GatewayToken {GATEWAY}x") == 401
    assert await status(peers[0], Authorization=f"TargetToken {GATEWAY}") == 401


async def test_a_gateway_s_unknown_device_is_404_or_registered(each_field: Field) -> None:
    """With a valid gateway token an unknown device is 404, or becomes an unlicensed device."""
    field = each_field
    await field.set_account(gateway_token_hash=fingerprint(GATEWAY))
    peer = field.peer(5, "board-0011", Authorization=f"GatewayToken {GATEWAY}")
    refused = await peer.get()
    assert refused.status == 404
    assert refused.json()["errorCode"]
    await field.set_account(auto_register=True)
    assert "configData" in await peer.links()
    device = await peer.record()
    assert (device.account_id, device.protocol) == (field.account, "HTTP")
    licensed = await field.run(lambda tx: tx.all("select device_id from license"))
    assert licensed == []
    assert await status(peer, Authorization=f"TargetToken {token(5)}") == 401


async def test_automatic_registration_by_setting(tmp_path: Path) -> None:
    """The installation may switch automatic registration on for all accounts."""
    async with open_field(tmp_path, auto_register=True) as field:
        await field.set_account(gateway_token_hash=fingerprint(GATEWAY))
        assert (await field.peer(5, Authorization=f"GatewayToken {GATEWAY}").get()).status == 200
        assert (await field.peer(6).get()).status == 401


async def test_a_registered_device_never_belongs_to_two_accounts(field: Field) -> None:
    """A gateway cannot take over the name of another account's device."""
    other = await field.add_account("0000123456-00002", "globex")
    await field.set_account(
        alias="acme", gateway_token_hash=fingerprint(GATEWAY), auto_register=True
    )
    await field.add(1, account=other)
    peer = field.peer(1, Authorization=f"GatewayToken {GATEWAY}")
    peer.tenant = "acme"
    assert (await peer.get()).status == 404


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X_Authority": "Fleet-CA"}, 200),
        ({"X_Authority": "FLEET-ca"}, 200),
        ({"X_Authority": "nobody, fleet-ca"}, 200),
        ({"X_Authority": "nobody;fleet-ca;x"}, 200),
        ({"X_Authority_0": "nobody", "X_Authority_1": "other-ca"}, 200),
        ({"X_Authority": "nobody"}, 401),
        ({"X_Authority": "fleet"}, 401),
        ({"X_Authority": ""}, 401),
        ({"X_Authority_x": "fleet-ca"}, 401),
        ({"X_Authority": "fleet-ca", "X_Controller_Id": ""}, 401),
        ({"X_Authority": "fleet-ca", "X_Controller_Id": imei(2)}, 401),
    ],
)
async def test_a_certificate_that_a_proxy_has_checked(
    tmp_path: Path, headers: dict[str, str], expected: int
) -> None:
    """The proxy's id has to equal the path's, and one of its authorities has to be trusted."""
    async with open_field(tmp_path, **PROXIED) as field:
        await field.add(1, 2)
        told = {"X_Controller_Id": imei(1), "Authorization": ""} | headers
        assert await status(field.peer(1), **told) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"trusted_proxies": ("10.0.0.0/8",), "trusted_authorities": ("Fleet-CA",)},
        {"trusted_proxies": (), "trusted_authorities": ("Fleet-CA",)},
        {"trusted_proxies": ("127.0.0.1",)},
    ],
)
async def test_certificates_are_off_or_from_a_stranger(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Without trusted authorities, or from an address that is no proxy's, the headers are nothing."""
    async with open_field(tmp_path, **changes) as field:
        peer = await field.new_peer(1)
        told = {"X_Controller_Id": imei(1), "X_Authority": "Fleet-CA", "Authorization": ""}
        assert await status(peer, **told) == 401


@pytest.mark.parametrize("settings", [{}, {"public_url": "https://fota.example/ota"}])
async def test_signed_links_need_no_credentials(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Where signed links are on, a download and its checksum work without a header."""
    async with open_field(tmp_path, signed_links=True, **settings) as field:
        peer = await field.new_peer(1)
        await field.campaign(1)
        _, document = await peer.retrieve()
        silent = {"Authorization": ""}
        for link, expected in (("download", IMAGE), ("md5sum", field.image.md5.encode())):
            parts = urlsplit(href_of(document, link))
            path = parts.path.removeprefix("/ota")  # as the proxy would
            wire = await field.wire()
            reply = await wire.ask("GET", f"{path}?{parts.query}", silent)
            assert reply.status == 200
            assert reply.body.startswith(expected)
            for target in (
                path,
                f"{path}?{parts.query}x",
                f"{path.replace(imei(1), imei(2))}?{parts.query}",
                f"{path}?{parts.query.replace('expires=1', 'expires=2')}",
            ):
                assert (await wire.ask("GET", target, silent)).status == 401, target
        assert (await peer.get("", silent)).status == 401


async def test_signed_links_are_off_by_default(field: Field) -> None:
    """Without the setting links carry no signature, and a download needs credentials."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    _, document = await peer.retrieve()
    href = href_of(document)
    assert urlsplit(href).query == ""
    assert (await peer.get(href, {"Authorization": ""})).status == 401
    assert (await peer.get(href)).status == 200


async def test_a_signed_link_is_void_with_its_action(tmp_path: Path) -> None:
    """A signature opens no file that the device may not have any more."""
    async with open_field(tmp_path, signed_links=True) as field:
        peer = await field.new_peer(1)
        await field.campaign(1)
        action, document = await peer.retrieve()
        await peer.close_with(action, "failure")
        assert (await peer.get(href_of(document), {"Authorization": ""})).status == 404


async def test_failed_authentication_is_a_failed_check_in(field: Field) -> None:
    """Wrong or missing credentials for a known device are kept as Failure, Other, one an hour."""
    await field.set_account(gateway_token_hash=fingerprint(GATEWAY))
    for number, said in enumerate(
        (f"TargetToken {token(99)}", "GatewayToken wrong", "nonsense", ""), 1
    ):
        await field.add(number)
        peer = field.peer(number, Authorization=said)
        assert (await peer.get()).status == 401
        assert [(c.result, c.failure_type) for c in await peer.check_ins()] == [
            ("Failure", "Other")
        ], said
        for _ in range(50):
            field.clock.advance(timedelta(minutes=1))
            assert (await peer.get()).status == 401
        assert len(await peer.check_ins()) == 1
        field.clock.advance(timedelta(minutes=10))
        assert (await peer.get()).status == 401
        assert len(await peer.check_ins()) == 2


async def test_failed_authentication_hides_no_real_check_in(field: Field) -> None:
    """A stranger's polls neither count as the device's nor are they its last contact."""
    peer = await field.new_peer(1)
    stranger = field.peer(1, Authorization="TargetToken wrong")
    assert (await stranger.get()).status == 401
    await peer.poll()
    assert {(c.result, c.failure_type) for c in await peer.check_ins()} == {
        ("Failure", "Other"),
        ("Success", "None"),
    }
    field.clock.advance(timedelta(hours=2))
    assert (await stranger.get()).status == 401
    await field.server.seen.flush()
    device = await peer.record()
    row = await field.run(
        lambda tx: tx.one("select seen_at from device_seen where device_id = ?", (device.id,))
    )
    assert row is not None
    assert row[0] < field.clock.now().timestamp() * 1000 - 3600_000
