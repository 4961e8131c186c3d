"""v1: the listener is shown, registered and deleted (API 4.13)."""

from typing import Any

import pytest

from tests.api.v1_world import V1
from tests.api.v2_world import ACCOUNT, Refused

URL = "http://listener.example.com/fota?x=1"
GONE = Refused("CALLBACK_NOT_REGISTERED", "Callback is not registered")


async def test_listener(v1: V1) -> None:
    """There is one listener at most, with its credentials if it has any; v2's is another."""
    assert await v1.ada.ok("GET", "/callbacks/{}") == []
    assert await v1.ada.refused("DELETE", "/callbacks/{}/name/Fota") == GONE
    for body, shown in (
        ({"name": "Fota", "url": URL}, {}),
        (
            {"name": "fota", "url": URL, "username": "u", "password": "p w"},
            {"username": "u", "password": "p w"},
        ),
        ({"name": "FOTA", "url": URL + "2", "username": None, "other": 1}, {}),
    ):
        assert await v1.ada.ok("POST", "/callbacks/{}", body) == {
            "accountName": ACCOUNT,
            "serviceName": "Fota",
        }
        assert await v1.ada.ok("GET", "/callbacks/{}") == [
            {"aname": ACCOUNT, "name": "Fota", "url": body["url"], **shown}
        ]
    assert await v1.v2.ada.ok("GET", "/callbacks/{}") == {}
    assert await v1.bob.ok("GET", "/callbacks/{}") == []
    assert await v1.bob.refused("DELETE", "/callbacks/{}/name/Fota") == GONE
    assert await v1.ada.ok("DELETE", "/callbacks/{}/name/fota") == {"success": True}
    assert await v1.ada.ok("GET", "/callbacks/{}") == []
    assert await v1.ada.refused("DELETE", "/callbacks/{}/name/Fota") == GONE


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"url": URL}, "Invalid callback name"),
        ({"name": None, "url": URL}, "Invalid callback name"),
        ({"name": "", "url": URL}, "Invalid callback name"),
        ({"name": 1, "url": URL}, "Invalid callback name"),
        ({"name": "CarrierService", "url": URL}, "Invalid callback name"),
        ({"name": "Fota"}, "Invalid callback URL"),
        ({"name": "Fota", "url": ""}, "Invalid callback URL"),
        ({"name": "Fota", "url": 1}, "Invalid callback URL"),
        ({"name": "Fota", "url": "/path"}, "Invalid callback URL"),
        ({"name": "Fota", "url": "ftp://listener.example.com/"}, "Invalid callback URL"),
        ({"name": "Fota", "url": "http://127.0.0.1/"}, "Invalid callback URL"),
        ({"name": "Fota", "url": "http://a:b@listener.example.com/"}, "Invalid callback URL"),
        ({"name": "Fota", "url": URL, "username": "a\nb"}, "Invalid value for username"),
        ({"name": "Fota", "url": URL, "password": "x" * 257}, "Invalid value for password"),
        ({"name": "Fota", "url": URL, "password": 1}, "Invalid value for password"),
    ],
)
async def test_wrong_registrations(v1_sqlite: V1, body: Any, message: str) -> None:
    """The service is Fota, and its URL absolute and not of the server's own network."""
    assert await v1_sqlite.ada.why("POST", "/callbacks/{}", body) == message
    assert await v1_sqlite.ada.ok("GET", "/callbacks/{}") == []


async def test_other_services(v1_sqlite: V1) -> None:
    """There is no other service to deregister."""
    for name in ("CarrierService", "x", "%00", "Fota%20"):
        found = await v1_sqlite.ada.why("DELETE", f"/callbacks/{{}}/name/{name}")
        assert found == "Invalid callback name"
