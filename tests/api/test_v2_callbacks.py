"""v2: the listener is shown, registered, replaced and deleted (API 5.17)."""

from pathlib import Path
from typing import Any

import pytest

from overair.clock import ManualClock
from overair.config import Limits
from tests.api.v2_world import V2, Refused, v2_world

URL = "https://listener.example.com/fota?x=1"


async def test_listener(v2: V2) -> None:
    """POST and PUT both create or replace; each account has its own listener."""
    assert await v2.ada.ok("GET", "/callbacks/{}") == {}
    gone = Refused("CALLBACK_NOT_REGISTERED", "Callback is not registered")
    assert await v2.ada.refused("DELETE", "/callbacks/{}") == gone
    for method, body, url in (
        ("PUT", {"url": URL}, URL),
        ("POST", {"callback": URL + "2", "other": 1}, URL + "2"),
        ("PUT", {"url": URL, "callback": "x"}, URL),
        ("POST", {"url": URL, "name": "Fota"}, URL),
    ):
        assert await v2.ada.ok(method, "/callbacks/{}", body) == {"url": url}
        assert await v2.ada.ok("GET", "/callbacks/{}") == {"url": url}
    assert await v2.bob.ok("GET", "/callbacks/{}") == {}
    assert await v2.bob.refused("DELETE", "/callbacks/{}") == gone
    assert await v2.ada.ok("DELETE", "/callbacks/{}") == {"success": True}
    assert await v2.ada.ok("GET", "/callbacks/{}") == {}
    assert await v2.ada.refused("DELETE", "/callbacks/{}") == gone


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": None},
        {"url": ""},
        {"url": 1},
        {"url": "listener.example.com"},
        {"url": "/path"},
        {"url": "http://listener.example.com/"},
        {"url": "ftp://listener.example.com/"},
        {"url": "https://"},
        {"url": "https://ada:secret@listener.example.com/"},
        {"url": "https://localhost/"},
        {"url": "https://127.0.0.1/"},
        {"url": "https://10.0.0.1/"},
        {"url": "https://169.254.169.254/latest"},
        {"url": "https://[::1]/"},
        {"url": "https://2130706433/"},
        {"url": "https://listener.example.com/" + "x" * 2048},
        {"url": "https://listener.example.com/a b"},
        {"url": "https://ünicode.example.com/"},
        {"url": "https://listener.example.com:99999/"},
    ],
)
async def test_wrong_urls(v2_sqlite: V2, body: Any) -> None:
    """A URL is absolute, https, and does not lead into the server's own network."""
    for method in ("POST", "PUT"):
        found = await v2_sqlite.ada.why(method, "/callbacks/{}", body)
        assert found == "Invalid callback URL"
    assert await v2_sqlite.ada.ok("GET", "/callbacks/{}") == {}


async def test_settings_loosen_the_rules(tmp_path: Path, clock: ManualClock) -> None:
    """For trying out, an installation may allow plain http and addresses of its own network."""
    loose = {"callback_plain_http": True, "callback_private_addresses": True}
    async with v2_world("", tmp_path / "data", clock, Limits(), **loose) as v2:
        url = "http://127.0.0.1:8081/listener"
        assert await v2.ada.ok("PUT", "/callbacks/{}", {"url": url}) == {"url": url}
