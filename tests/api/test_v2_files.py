"""v2: configuration files are listed, uploaded and replaced (API 5.10, 5.11; lifecycle 9)."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from overair.config import Limits
from overair.store import Tx
from tests.api.v2_world import BASE, V2, Client, check
from tests.serving import Answered, ask, serving

NAME = "configfile-Verizon_VZW1_hello-world.txt"
BOUNDARY = "x-y-z"
FIELDS = {
    "fileVersion": "1.0",
    "make": "Verizon",
    "model": "VZW1",
    "localTargetPath": "/VZWFOTA/hello-world.txt",
}


WRONG_TEXTS: list[Any] = [None, "", "  ", "a\0b", "x" * 256]


@pytest.fixture
def limits() -> Limits:
    return Limits(upload_bytes=100_000, files_listed=3)


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'
    head += f'; filename="{filename}"\r\n\r\n' if filename is not None else "\r\n\r\n"
    return head.encode() + content + b"\r\n"


def form(
    content: bytes | None = b"hello\n", filename: str = "hello-world.txt", **changes: Any
) -> bytes:
    fields = {**FIELDS, **changes}
    body = b"" if content is None else part("fileupload", content, filename)
    for name, value in fields.items():
        if value is not None:
            body += part(name, value.encode())
    return body + f"--{BOUNDARY}--\r\n".encode()


async def send(
    client: Client, method: str, body: bytes, content_type: str | None = None
) -> Answered:
    """Send a form in pieces of some bytes."""
    path = f"{BASE}/files/{client.account}"
    headers = client.headers | {
        "Content-Type": content_type or f"multipart/form-data; boundary={BOUNDARY}"
    }

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 5000):
            yield body[start : start + 5000]

    answered = await ask(client.world.server, method, path.encode(), headers=headers, body=pieces())
    check(method, path, answered)
    return answered


async def why(client: Client, method: str, body: bytes, **further: str) -> str:
    answered = await send(client, method, body, **further)
    assert answered.status == 400
    assert answered.json()["errorCode"] == "INVALID_PARAMETER"
    return str(answered.json()["errorMessage"])


def kept(v2: V2) -> list[Path]:
    """Files in the artifact storage, of finished uploads and others."""
    folder = Path(v2.server.settings.data) / "artifacts"
    return [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]


def nothing_known(tx: Tx) -> bool:
    return tx.one("select 1 from artifact where size_bytes <> 1000") is None


async def test_upload_and_list(v2: V2) -> None:
    """A file gets its generated name; it is listed newest first, each version by itself."""
    answered = await send(v2.ada, "POST", form())
    assert answered.json() == {
        "fileName": NAME,
        "fileVersion": "1.0",
        "launchDate": "2026-03-02",
        "releaseNote": "",
        "model": "VZW1",
        "make": "Verizon",
        "distributionType": "HTTP",
        "devicePlatformId": "IoT",
        "localTargetPath": "/VZWFOTA/hello-world.txt",
    }
    assert (await send(v2.ada, "POST", form(b"other", fileVersion="1.1"))).status == 200
    listed = await v2.ada.ok("GET", "/files/{}?distributionType=HTTP")
    assert [file["fileVersion"] for file in listed["AvailableFilesResponse"]] == ["1.1", "1.0"]
    assert listed["AvailableFilesResponse"][1] == {
        "fileName": NAME,
        "fileVersion": "1.0",
        "launchDate": "2026-03-02T08:00:00.000Z",
        "releaseNote": "",
        "make": "Verizon",
        "model": "VZW1",
        "localTargetPath": "/VZWFOTA/hello-world.txt",
        "distributionType": "HTTP",
        "devicePlatformId": "IoT",
    }
    for path in ("/files/{}", "/files/{}/HTTP", "/files/{}/", "/files/{}?distributionType=http"):
        assert await v2.ada.ok("GET", path) == listed
    for path in ("/files/{}?distributionType=OMA", "/files/{}?distributionType=LWM2M"):
        assert await v2.ada.ok("GET", path) == {"AvailableFilesResponse": []}
    assert await v2.ada.why("GET", "/files/{}?distributionType=x") == "Invalid distributionType"
    assert await v2.bob.ok("GET", "/files/{}") == {"AvailableFilesResponse": []}
    for version in ("1.2", "1.3"):
        await send(v2.ada, "POST", form(fileVersion=version))
    assert len((await v2.ada.ok("GET", "/files/{}"))["AvailableFilesResponse"]) == 3


@pytest.mark.parametrize(
    ("filename", "make", "model", "name"),
    [
        ("/home/ada/files/hello-world.txt", "Verizon", "VZW1", NAME),
        (r"C:iles\hello-world.txt", "Verizon", "VZW1", NAME),
        ("hello world.txt", "Acme Inc.", "X 1", "configfile-AcmeInc._X1_hello world.txt"),
        ("ä.conf", "Acme", "X1", "configfile-Acme_X1_ä.conf"),
    ],
)
async def test_generated_names(
    v2_sqlite: V2, filename: str, make: str, model: str, name: str
) -> None:
    """The name has make and model without spaces, and of a path the last component."""
    body = form(b"x", filename, make=make, model=model)
    assert (await send(v2_sqlite.ada, "POST", body)).json()["fileName"] == name


async def test_the_same_again(v2: V2) -> None:
    """A name and version that the account has already are refused; another account's are its own."""
    assert (await send(v2.ada, "POST", form())).status == 200
    assert await why(v2.ada, "POST", form(b"x")) == "File exists already in this version"
    assert (await send(v2.bob, "POST", form())).status == 200


async def test_replace(v2: V2) -> None:
    """Content and path of a version are replaced, until a campaign uses it."""
    assert await why(v2.ada, "PUT", form()) == "File not found"
    await send(v2.ada, "POST", form(make="Acme", model="X1"))
    generated = "configfile-Acme_X1_hello-world.txt"
    changed = b""
    for filename in ("hello-world.txt", generated):
        changed = form(b"new", filename, make="Acme", model="X1", localTargetPath=f"/{filename}")
        answered = await send(v2.ada, "PUT", changed)
        assert (answered.status, answered.json()["localTargetPath"]) == (200, f"/{filename}")
        assert answered.json()["fileName"] == generated
    assert await why(v2.ada, "PUT", form(make="Acme", model="X1", fileVersion="2")) == (
        "File not found"
    )
    assert await why(v2.bob, "PUT", changed) == "File not found"
    request = v2.campaign(fileName=generated, fileVersion="1.0")
    campaign = (await v2.ada.ok("POST", "/campaigns/files/{}", request))["id"]
    refused = (await send(v2.ada, "PUT", changed)).json()
    assert refused == {
        "errorCode": "INVALID_STATE",
        "errorMessage": "File is used by a scheduled or running campaign",
    }
    await v2.ada.ok("DELETE", f"/campaigns/{{}}/{campaign}")
    assert (await send(v2.ada, "PUT", changed)).status == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        *(
            (form(b"x", "x", **{name: value}), f"File upload: {name} is missing or malformed")
            for name in FIELDS
            for value in WRONG_TEXTS
        ),
        (form(make="a/b"), "File upload: make is missing or malformed"),
        (form(None), "File upload: fileupload is missing or malformed"),
        (form(b""), "File upload: fileupload is missing or malformed"),
        (form(b"x", "..."), "File upload: fileupload is missing or malformed"),
        (form(b"x", "/"), "Input binding error"),
        (form(b"x" * 100_001), "File exceeds 100000 bytes"),
        (form(b"x" * 1_000_000), "File exceeds 100000 bytes"),
        (form()[:-10], "Input binding error"),
        (form()[:90], "Input binding error"),
        (b"", "Input binding error"),
        (b"nonsense", "Input binding error"),
        (form().replace(b"Verizon", b"\xff"), "Input binding error"),
        (form(further="x" * 5000), "File upload: a field is missing or malformed"),
    ],
)
async def test_wrong_uploads(v2_sqlite: V2, body: bytes, message: str) -> None:
    """An upload that lacks something, or is too much of it, is refused, and leaves nothing."""
    for method in ("POST", "PUT"):
        assert await why(v2_sqlite.ada, method, body) == message
    assert kept(v2_sqlite) == []
    assert await v2_sqlite.run(nothing_known)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "*/*", "multipart/form-data", "multipart/form-data; boundary=", "x"],
)
async def test_not_a_form(v2_sqlite: V2, content_type: str) -> None:
    """An upload is a form, and says where its parts end."""
    found = await why(v2_sqlite.ada, "POST", form(), content_type=content_type)
    assert found == "Input binding error"


async def test_a_full_disk(v2_sqlite: V2, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no room the answer says so, and nothing is left of the upload."""

    def full(fd: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("overair.artifacts.spool.os.write", full)
        answered = await send(v2_sqlite.ada, "POST", form())
    assert answered.status == 500
    assert answered.json() == {
        "errorCode": "INTERNAL_SYSTEM_ERROR",
        "errorMessage": "Internal error: no room left on the server's disk",
    }
    assert kept(v2_sqlite) == []
    assert (await send(v2_sqlite.ada, "POST", form())).status == 200


@pytest.mark.parametrize("server", ["granian", "uvicorn"])
async def test_refused_while_sending(v2_sqlite: V2, server: Any) -> None:
    """A client that is still sending when it is refused gets the answer."""
    client = v2_sqlite.ada
    async with (
        serving(v2_sqlite.server, server) as base,
        aiohttp.ClientSession(base, headers=client.headers) as session,
    ):
        for account, code in (
            (client.account, "INVALID_PARAMETER"),
            (v2_sqlite.bob.account, "UNAUTHORIZED_ACCOUNT"),
        ):
            data = aiohttp.FormData(FIELDS)
            data.add_field("fileupload", b"x" * 150_000, filename="big.bin")
            async with session.post(f"{BASE}/files/{account}", data=data) as response:
                assert response.status == 400
                assert (await response.json())["errorCode"] == code
        data = aiohttp.FormData(FIELDS)
        data.add_field("fileupload", b"x" * 90_000, filename="ok.bin")
        async with session.post(f"{BASE}/files/{client.account}", data=data) as response:
            assert response.status == 200
            found = await response.json()
            assert found["fileName"] == "configfile-Verizon_VZW1_ok.bin"
