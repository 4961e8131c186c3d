"""Upload forms: as clients send them, in any chunks, cut anywhere, and with bad intent."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from overair.artifacts.errors import (
    FieldsError,
    MalformedError,
    NotAFormError,
    TooLargeError,
    TruncatedError,
    UploadError,
)
from overair.artifacts.local import LocalStorage
from overair.artifacts.multipart import MAX_PARTS, last_component, receive_form
from overair.artifacts.storage import Artifact
from tests.artifacts.test_local import files
from tests.artifacts.test_storage import MIB, get

BOUNDARY = "----b"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"
Result = tuple[dict[str, str], str | None, Artifact | None]

shared_directory = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def part(name: str, content: bytes, filename: str | None = None, extra: bytes = b"") -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        head += f'; filename="{filename}"\r\nContent-Type: application/octet-stream'
    return f"--{BOUNDARY}\r\n{head}\r\n".encode() + extra + b"\r\n" + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
FIELDS = {"fileVersion": "1.0", "make": "Acme", "model": "X 1", "localTargetPath": "C:\\cfg"}
FIELD_PARTS = b"".join(part(name, value.encode()) for name, value in FIELDS.items())


def upload(content: bytes, filename: str = "hello.txt") -> bytes:
    return part("fileupload", content, filename) + FIELD_PARTS + END


async def receive(
    directory: Path, chunks: list[bytes], *, max_bytes: int = MIB, content_type: str = TYPE
) -> Result:
    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    storage = LocalStorage(directory)
    try:
        async with receive_form(content_type, body(), storage, max_bytes=max_bytes) as form:
            stored = await form.commit() if form.filename is not None else None
            if stored is not None:
                found = await get(storage, stored.sha256)
                assert hashlib.sha256(found).hexdigest() == stored.sha256
        return form.fields, form.filename, stored
    finally:
        await storage.close()


def cut(whole: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted(min(place, len(whole)) for place in cuts)
    return [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]


# Content that is made of pieces of boundaries tries the places where a parser may go wrong.
tricky = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b"-", b"--", b"----b", b"\r\n----", b"\r\n------b", b"x", b"\0"]
    ),
    max_size=12,
).map(b"".join)


def is_content(content: bytes) -> bool:
    """A line that begins with the delimiter cannot be content (RFC 2046 5.1.1)."""
    return b"\r\n------b" not in b"\r\n" + content


contents = (tricky | st.binary(max_size=300)).filter(is_content)


async def test_a_form_as_the_clients_send_it(tmp_path: Path) -> None:
    """Fields and file arrive, whichever comes first."""
    content = bytes(range(256)) * 5000
    for whole in (upload(content), FIELD_PARTS + part("fileupload", content, "hello.txt") + END):
        fields, filename, stored = await receive(tmp_path, [whole], max_bytes=len(content))
        assert fields == FIELDS
        assert filename == "hello.txt"
        assert stored is not None
        assert stored.sha256 == hashlib.sha256(content).hexdigest()
        assert stored.size_bytes == len(content)


async def test_a_form_of_someone_elses_client(tmp_path: Path) -> None:
    """What aiohttp writes is read."""
    writer = aiohttp.MultipartWriter("form-data")
    for name, value in FIELDS.items():
        writer.append(value).set_content_disposition("form-data", name=name)
    writer.append(b"\x00\xff" * 1000).set_content_disposition(
        "form-data", name="fileupload", filename="hello.txt"
    )
    whole = await writer.as_bytes()
    fields, filename, stored = await receive(
        tmp_path, [whole], content_type=writer.headers["Content-Type"]
    )
    assert (fields, filename) == (FIELDS, "hello.txt")
    assert stored is not None
    assert stored.size_bytes == 2000


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("/home/me/hello-world.txt", "hello-world.txt"),
        ("C:\\\\Users\\\\me\\\\hello.txt", "hello.txt"),
        ("C:\\Users\\me\\hello.txt", "hello.txt"),
        ("..\\..//etc/passwd", "passwd"),
        ("gr\xfc\xdfe;=1.txt", "gr\xfc\xdfe;=1.txt"),
        ('a\\"b.txt', 'a"b.txt'),
        ("hello.txt", "hello.txt"),
    ],
)
async def test_the_last_component_of_a_path_is_the_name(
    tmp_path: Path, sent: str, name: str
) -> None:
    """The vendor's SDK sends the whole path of a file."""
    assert (await receive(tmp_path, [upload(b"x", sent)]))[1] == name


async def test_a_form_without_file(tmp_path: Path) -> None:
    """A form may lack the file; that is the caller's to judge, and nothing is kept."""
    fields, filename, stored = await receive(tmp_path, [FIELD_PARTS + END])
    assert (fields, filename, stored) == (FIELDS, None, None)
    assert await receive(tmp_path, [END]) == ({}, None, None)
    assert files(tmp_path) == set()


async def test_an_empty_file_and_an_empty_field(tmp_path: Path) -> None:
    """Empty is not missing."""
    whole = part("fileupload", b"", "empty") + part("make", b"") + END
    fields, filename, stored = await receive(tmp_path, [whole])
    assert (fields, filename) == ({"make": ""}, "empty")
    assert stored is not None
    assert stored.size_bytes == 0


async def test_what_follows_the_form_is_ignored(tmp_path: Path) -> None:
    """The end of a form needs no line break and may be followed by anything (RFC 2046 5.1.1)."""
    assert (await receive(tmp_path, [upload(b"x")[:-2]]))[0] == FIELDS
    assert (await receive(tmp_path, [upload(b"x") + b"epilogue", b"more"]))[0] == FIELDS


async def test_a_form_that_is_not_committed_leaves_nothing(tmp_path: Path) -> None:
    """When the caller does not like the fields, the file is dropped."""
    storage = LocalStorage(tmp_path)

    async def body() -> AsyncIterator[bytes]:
        yield upload(b"x" * 2000)

    async with receive_form(TYPE, body(), storage, max_bytes=MIB) as form:
        assert form.filename == "hello.txt"
    assert files(tmp_path) == set()
    await storage.close()


async def test_a_client_that_goes_away_leaves_nothing(tmp_path: Path) -> None:
    """An error of the body's own ends the form, and nothing stays."""
    storage = LocalStorage(tmp_path)

    async def body() -> AsyncIterator[bytes]:
        yield upload(b"x" * 3 * MIB)[: 2 * MIB]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        async with receive_form(TYPE, body(), storage, max_bytes=4 * MIB):
            pass
    assert files(tmp_path) == set()
    await storage.close()


async def refused(directory: Path, whole: bytes, kind: type[UploadError], text: str) -> None:
    with pytest.raises(kind, match=text):
        await receive(directory, [whole])
    assert files(directory) == set()


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 71,
        'multipart/form-data; boundary="a\tb"',
        "multipart/form-data; boundary=\xe9\u20ac",
        "multipart/mixed; boundary=x",
    ],
)
async def test_what_is_no_form(tmp_path: Path, content_type: str) -> None:
    """Another type, or no usable boundary, is refused before anything is read."""
    with pytest.raises(NotAFormError):
        await receive(tmp_path, [upload(b"x")], content_type=content_type)
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    ("whole", "text"),
    [
        (b"garbage", "cannot be read"),
        (b"{}", "cannot be read"),
        (f"--{BOUNDARY}\r\n\r\nx\r\n".encode() + END, "not form-data"),
        (f"--{BOUNDARY}\r\nContent-Disposition: x\r\n\r\nx\r\n".encode() + END, "not form-data"),
        (f"--{BOUNDARY}\r\nbad header\r\n\r\nx\r\n".encode() + END, "cannot be read"),
        (part("make", b"\xff") + END, "make is not UTF-8"),
        (part("make", b"a") + part("make", b"b") + END, "twice"),
        (part("fileupload", b"a", "x") + part("fileupload", b"b", "y") + END, "two files"),
        (part("other", b"a", "x") + END, "must be in the part fileupload"),
        (part("fileupload", b"a", "") + END, "is empty"),
        (part("fileupload", b"a", "x/") + END, "is empty"),
        (part("fileupload", b"a", "x\x07y") + END, "control characters"),
        (part("make", b"a", extra=b'content-disposition: form-data; name="x"\r\n') + END, "two"),
        (part("make", b"YQ==", extra=b"Content-Transfer-Encoding: base64\r\n") + END, "Encoding"),
    ],
)
async def test_a_malformed_form(tmp_path: Path, whole: bytes, text: str) -> None:
    """A body that is no proper form is refused, and nothing of it is kept."""
    await refused(tmp_path, whole, MalformedError, text)


async def test_limits(tmp_path: Path) -> None:
    """Fields, parts, headers and the file have limits, and the largest allowed passes."""
    assert (await receive(tmp_path / "a", [part("make", b"x" * 4096) + END]))[0] == {
        "make": "x" * 4096
    }
    long_field = part("make", b"x" * 4097) + END
    await refused(tmp_path / "b", long_field, FieldsError, "make exceeds 4096 bytes")
    parts = b"".join(part(f"f{n}", b"") for n in range(MAX_PARTS))
    assert len((await receive(tmp_path / "b", [parts + END]))[0]) == MAX_PARTS
    await refused(tmp_path / "b", parts + part("x", b"") + END, FieldsError, "more than 16 parts")
    await refused(tmp_path / "b", part("x" * 101, b"") + END, FieldsError, "exceeds 100 char")
    header = part("make", b"", extra=b"X: " + b"y" * 10_000 + b"\r\n") + END
    await refused(tmp_path / "b", header, MalformedError, "header size")
    await refused(tmp_path / "b", upload(bytes(MIB + 1)), TooLargeError, "exceeds 1048576 bytes")
    assert (await receive(tmp_path / "a", [upload(bytes(MIB))]))[2] is not None


async def test_an_endless_body_is_cut_off(tmp_path: Path) -> None:
    """What belongs to no part is bounded, too."""
    with pytest.raises(TooLargeError):
        await receive(tmp_path, [END] + [b"x" * MIB] * 3)
    with pytest.raises(TooLargeError):
        await receive(tmp_path, [b"\r\n" * MIB])
    assert files(tmp_path) == set()


@shared_directory
@given(content=contents, cuts=st.lists(st.integers(0, 700), max_size=12))
@example(content=b"\r\n----b-x\r\n------", cuts=list(range(200)))
def test_chunks_do_not_matter(tmp_path: Path, content: bytes, cuts: list[int]) -> None:
    """Any division of a form into chunks gives the same fields and the same file."""
    fields, filename, stored = asyncio.run(receive(tmp_path, cut(upload(content), cuts)))
    assert (fields, filename) == (FIELDS, "hello.txt")
    assert stored is not None
    assert stored.sha256 == hashlib.sha256(content).hexdigest()


@shared_directory
@given(content=contents)
def test_byte_by_byte(tmp_path: Path, content: bytes) -> None:
    """A form may come a byte at a time."""
    whole = upload(content)
    stored = asyncio.run(receive(tmp_path, cut(whole, list(range(len(whole))))))[2]
    assert stored is not None
    assert stored.sha256 == hashlib.sha256(content).hexdigest()


@shared_directory
@given(content=contents, data=st.data())
def test_a_truncated_form_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, data: st.DataObject
) -> None:
    """Cut anywhere before its closing boundary, a form is an error and nothing is kept."""
    directory = tmp_path_factory.mktemp("cut")
    whole = upload(content)
    length = data.draw(st.integers(0, len(whole) - 3))
    cuts = data.draw(st.lists(st.integers(0, length), max_size=4))
    with pytest.raises(TruncatedError):
        asyncio.run(receive(directory, cut(whole[:length], cuts)))
    assert files(directory) == set()


@shared_directory
@given(
    whole=st.lists(
        st.sampled_from(
            [
                b"--",
                BOUNDARY.encode(),
                b"\r\n",
                b"\r",
                b'Content-Disposition: form-data; name="fileupload"; filename="x"',
                b'Content-Disposition: form-data; name="make"',
                b"Content-Disposition:",
                b"name=",
                b'"',
                b";",
                b"\xff",
                b" ",
                b":",
                part("make", b"x"),
                part("fileupload", b"x", "x"),
                END,
            ]
        )
        | st.binary(max_size=8),
        max_size=20,
    ),
    content_type=st.just(TYPE) | st.text(max_size=40).map(lambda t: f"multipart/form-data;{t}"),
)
def test_any_body_is_read_or_refused(tmp_path: Path, whole: list[bytes], content_type: str) -> None:
    """Any bytes under any type are a form or a typed error, and the same in one chunk or many."""
    results: list[Result | type[UploadError]] = []
    for chunks in (whole, [b"".join(whole)]):
        try:
            results.append(asyncio.run(receive(tmp_path, chunks, content_type=content_type)))
        except UploadError as error:
            results.append(type(error))
    assert results[0] == results[1]
    assert not list((tmp_path / "incoming").glob("upload-*"))


@given(st.text())
def test_a_last_component_has_no_slashes(path: str) -> None:
    """No name leads to another directory."""
    assert not set(last_component(path)) & {"/", "\\"}
