"""Where device resources are, and how the server finds out who is meant (http-ddi 2)."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.devices.field import ACCOUNT, Field, Peer, href_of, imei, open_field, token
from tests.serving import ServerName

PROXY: dict[str, Any] = {"trusted_proxies": ("127.0.0.1",)}


async def test_the_tenant_is_the_account_s_name_or_alias_in_any_case(field: Field) -> None:
    """Account name, alias and `default` reach the account, however they are written."""
    peer = await field.new_peer(1)
    await field.set_account(alias="acme")
    for tenant in (ACCOUNT, "acme", "ACME", "AcMe", "default", "DEFAULT", "Default"):
        peer.tenant = tenant
        assert (await peer.get()).status == 200, tenant
    for tenant in ("acm", "acmee", "other"):
        peer.tenant = tenant
        assert (await peer.get()).status == 401, tenant


async def test_default_is_an_alias_only_of_a_sole_account(field: Field, tmp_path: Path) -> None:
    """With two accounts, or where the setting says so, `default` is nobody."""
    peer = await field.new_peer(1)
    assert (await peer.get()).status == 200
    await field.add_account("0000123456-00002")
    await field.forget_accounts()
    assert (await peer.get()).status == 401
    peer.tenant = ACCOUNT
    assert (await peer.get()).status == 200
    async with open_field(tmp_path / "other", default_alias=False) as other:
        assert (await (await other.new_peer(1)).get()).status == 401


async def test_an_account_may_be_called_default(field: Field) -> None:
    """A name or alias `default` counts with any number of accounts."""
    other = await field.add_account("0000123456-00002", "default")
    await field.forget_accounts()
    await field.add(1)
    await field.add(2, account=other)
    assert (await field.peer(1).get()).status == 401
    assert (await field.peer(2).get()).status == 200


async def test_a_device_may_have_another_controller_id(field: Field) -> None:
    """A registered controller id of up to 256 characters replaces the IMEI in addresses."""
    for number, controller_id in enumerate(("board-0011aabb", "x" * 256, "a b/c%d", "gerät"), 1):
        peer = await field.new_peer(number, controller_id=controller_id)
        assert (await peer.get()).status == 200, controller_id
        peer.controller_id = imei(number)
        assert (await peer.get()).status == 401


async def test_an_id_is_percent_decoded(field: Field) -> None:
    """An id may come encoded or not; an encoded slash belongs to the id."""
    peer = await field.new_peer(1, controller_id="a b/c")
    wire = await field.wire()
    for target in ("/default/controller/v1/a%20b%2Fc", "/default/controller/v1/%61%20b%2fc/"):
        assert (await wire.ask("GET", target, peer.headers)).status == 200
    for target in ("/default/controller/v1/a%20b/c", "/default/controller/v1/a%2520b%252Fc"):
        assert (await wire.ask("GET", target, peer.headers)).status in (401, 404)


async def test_an_id_may_come_unencoded(field: Field) -> None:
    """Clients put the id into the path as it is, also where it is not ASCII."""
    await field.add(1, controller_id="gerät")
    wire = await field.wire()
    raw = "/default/controller/v1/gerät".encode()
    answer = await wire.ask("GET", raw, field.peer(1).headers)
    assert answer.status == 200


async def test_an_id_that_is_too_long_is_refused(field: Field) -> None:
    """257 characters are no controller id: 400."""
    peer = field.peer(1, "x" * 257)
    reply = await peer.get()
    assert reply.status == 400
    assert reply.json()["errorCode"]


async def test_a_trailing_slash_is_accepted(field: Field) -> None:
    """Each resource answers with a slash at its end as well."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    action = await peer.offered()
    for path in ("/", f"/deploymentBase/{action}/", f"/deploymentBase/{action}/?c=1"):
        assert (await peer.get(path)).status == 200, path


async def test_any_other_path_is_unknown(peer: Peer) -> None:
    """What is no resource is 404, with or without credentials."""
    for path in (
        "/x",
        "/configData/x",
        "/deploymentBase",
        "/deploymentBase/",
        "/deploymentBase/1/x",
        "/deploymentBase/1/feedback/x",
        "/cancelAction",
        "/installedBase/1/feedback",
        "/softwaremodules",
        "/softwaremodules/1",
        "/softwaremodules/x/artifacts",
        "/softwaremodules/1/artifacts/a/b",
        "/confirmationBase",
        "/confirmationBase/1/feedback",
        "/%00",
        "/log/x",
        "/deploymentBase/0x10",
        "/deploymentBase/-1",
        "/deploymentBase/2147483648",
        "/deploymentBase/99999999999999999999",
        "/deploymentBase/%D9%A1",  # a digit, but not of ours
    ):
        assert (await peer.get(path)).status == 404, path
    wire = await peer.field.wire()
    for target in (
        "/default/controller/v1",
        "/default/controller/v1/",
        "/default/controller/v2/x",
        "/controller/v1/x",
        "/default/Controller/v1/x",
        "/",
    ):
        assert (await wire.ask("GET", target)).status == 404, target


async def links_of(peer: Peer, **headers: str) -> set[str]:
    """What every link of a poll and its deployment begins with."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    polled = (await peer.get("", names)).json()["_links"]
    found = [link["href"] for link in polled.values()]
    action = urlsplit(polled["deploymentBase"]["href"]).path.rsplit("/", 1)[1]
    deployment = (await peer.get(f"/deploymentBase/{action}", names)).json()
    found += [href_of(deployment, link) for link in ("download", "md5sum", "download-http")]
    return {href.partition("/default/controller")[0] for href in found}


async def test_links_come_from_the_request_s_host(field: Field) -> None:
    """Without a public URL links have the request's scheme and Host."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    assert await links_of(peer) == {"http://fota.example:8443"}
    assert await links_of(peer, Host="10.1.2.3") == {"http://10.1.2.3"}


async def test_links_come_from_the_public_url(tmp_path: Path) -> None:
    """A configured public URL is what links begin with, whatever the request says."""
    async with open_field(
        tmp_path, public_url="https://fota.example/ota/", trusted_proxies=("127.0.0.1",)
    ) as field:
        peer = await field.new_peer(1)
        await field.campaign(1)
        assert await links_of(peer, X_Forwarded_Host="evil", Host="evil") == {
            "https://fota.example/ota"
        }


async def test_forwarded_headers_of_a_stranger_are_not_believed(field: Field) -> None:
    """X-Forwarded-* from an address that is no trusted proxy changes nothing."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    assert await links_of(
        peer, X_Forwarded_Proto="https", X_Forwarded_Host="evil", X_Forwarded_Prefix="/x"
    ) == {"http://fota.example:8443"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X_Forwarded_Proto": "https"}, "https://fota.example:8443"),
        ({"X_Forwarded_Proto": "HTTPS, http"}, "https://fota.example:8443"),
        ({"X_Forwarded_Host": "fleet.example"}, "http://fleet.example"),
        ({"X_Forwarded_Host": "fleet.example, inner"}, "http://fleet.example"),
        ({"X_Forwarded_Prefix": "/ota/"}, "http://fota.example:8443/ota"),
        ({"X_Forwarded_Prefix": "ota"}, "http://fota.example:8443/ota"),
        ({"X_Forwarded_Proto": "gopher"}, "http://fota.example:8443"),
        (
            {
                "X_Forwarded_Proto": "https",
                "X_Forwarded_Host": "fleet.example",
                "X_Forwarded_Prefix": "/a/b",
            },
            "https://fleet.example/a/b",
        ),
    ],
)
async def test_forwarded_headers_of_a_trusted_proxy(
    tmp_path: Path, headers: dict[str, str], expected: str
) -> None:
    """A trusted proxy says under which scheme, host and prefix the device asked."""
    async with open_field(tmp_path, **PROXY) as field:
        peer = await field.new_peer(1)
        await field.campaign(1)
        assert await links_of(peer, **headers) == {expected}


@pytest.mark.parametrize("on", ["granian", "uvicorn"])
async def test_links_keep_the_names_that_the_device_used(tmp_path: Path, on: ServerName) -> None:
    """Tenant and id stand in links as the device wrote them, encoded, and lead back."""
    async with open_field(tmp_path, on=on) as field:
        await field.add(1, controller_id="a b/ü")
        await field.campaign(1)
        peer = field.peer(1, "a b/ü")
        peer.tenant = "DEFAULT"
        links = await peer.links()
        base = "http://fota.example:8443/DEFAULT/controller/v1/a%20b%2F%C3%BC/"
        assert {href.startswith(base) for href in links.values()} == {True}
        action, document = await peer.retrieve()
        href = href_of(document)
        assert href.startswith(f"{base}softwaremodules/")
        assert (await peer.get(href)).status == 200
        assert (await peer.say(action, "closed", "success")).status == 200


async def test_http_1_0_without_a_host(field: Field) -> None:
    """A client that names no host gets links to the address that it connected to."""
    peer = await field.new_peer(1)
    wire = await field.wire()
    head = f"GET {peer.base} HTTP/1.0\r\nAuthorization: TargetToken {token(1)}\r\n\r\n"
    await wire.send(head.encode())
    reply = await wire.reply()
    assert reply.status == 200
    links: dict[str, Any] = reply.json()["_links"]
    assert links["configData"]["href"].startswith("http://127.0.0.1:")
