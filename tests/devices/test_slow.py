"""Requests that come slowly, or never whole."""

import pytest

from overair.devices import asgi
from tests.devices.field import Field, request


async def test_a_body_that_does_not_come_is_not_waited_for(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that stops in the middle of its report is told so, and loses its connection."""
    monkeypatch.setattr(asgi, "BODY_S", 0.2)
    peer = await field.new_peer(1)
    wire = await field.wire()
    headers = {**peer.headers, "Content-Type": "application/json", "Content-Length": "100"}
    await wire.send(request("PUT", f"{peer.base}/configData", headers) + b'{"data"')
    reply = await wire.reply("PUT")
    assert (reply.status, reply.json()["errorCode"]) == (408, "ddi.slow")
    assert await wire.reader.read() == b""
    await wire.close()
