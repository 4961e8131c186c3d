"""What every store must do, on each of them."""

import asyncio
import hashlib
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import obstore
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obstore.store import S3Store

from overair.artifacts.choice import open_storage
from overair.artifacts.errors import ArtifactMissingError, StorageError, TooLargeError
from overair.artifacts.storage import Artifact, ArtifactStorage, Internal, Redirect
from overair.clock import SystemClock

MIB = 1024 * 1024
ABSENT = "0" * 64
ONE_DAY = timedelta(days=1)
CONTENT = bytes(range(256)) * 10_000


async def put(storage: ArtifactStorage, content: bytes, chunk: int = 70_000) -> Artifact:
    async with storage.receive(len(content)) as intake:
        for offset in range(0, len(content), chunk):
            await intake.write(content[offset : offset + chunk])
        return await intake.commit()


async def get(storage: ArtifactStorage, sha256: str, chunk: int = MIB) -> bytes:
    reader = await storage.open(sha256)
    try:
        found = bytearray()
        while piece := await reader.read(len(found), chunk):
            found += piece
        assert len(found) == reader.size
        return bytes(found)
    finally:
        await reader.close()


def left_over(tmp_path: Path) -> list[Path]:
    return list(tmp_path.rglob("upload-*"))


def tomorrow() -> datetime:
    return SystemClock().now() + ONE_DAY


@pytest.mark.parametrize("content", [b"", b"x", CONTENT, bytes(12 * MIB)], ids=len)
async def test_gives_back_what_it_took(
    storage: ArtifactStorage, content: bytes, tmp_path: Path
) -> None:
    """Content comes back whole, under its true digests and size."""
    stored = await put(storage, content)
    assert stored == Artifact(
        sha256=hashlib.sha256(content).hexdigest(),
        sha1=hashlib.sha1(content).hexdigest(),
        md5=hashlib.md5(content).hexdigest(),
        size_bytes=len(content),
    )
    assert stored.etag == f'"{stored.sha256}"'
    assert await get(storage, stored.sha256) == content
    assert left_over(tmp_path) == []


async def test_reads_any_part(storage: ArtifactStorage) -> None:
    """A reader gives the bytes at an offset, and none past the end."""
    reader = await storage.open((await put(storage, CONTENT)).sha256)
    assert reader.size == len(CONTENT)
    assert await reader.read(1000, 10) == CONTENT[1000:1010]
    assert await reader.read(len(CONTENT) - 3, 10) == CONTENT[-3:]
    assert await reader.read(len(CONTENT), 10) == b""
    assert await reader.read(len(CONTENT) + 5, 10) == b""
    await reader.close()


@pytest.mark.parametrize("sha256", [ABSENT, "", "../../../etc/passwd", "A" * 64, ABSENT + "\n"])
async def test_content_that_is_not_there(storage: ArtifactStorage, sha256: str) -> None:
    """What was never taken, and what is no digest at all, is missing."""
    with pytest.raises(ArtifactMissingError):
        await storage.open(sha256)


async def test_the_same_content_is_kept_once(storage: ArtifactStorage) -> None:
    """Content taken by several uploads at once is one artifact, and one sweep drops it."""
    stored = await asyncio.gather(*(put(storage, CONTENT) for _ in range(5)))
    assert len(set(stored)) == 1
    for _ in range(2):
        assert await get(storage, stored[0].sha256) == CONTENT
    assert await storage.sweep(set(), before=tomorrow()) == 1


async def test_an_upload_that_is_too_large_leaves_nothing(
    storage: ArtifactStorage, tmp_path: Path
) -> None:
    """The byte past the limit ends the upload, and nothing of it stays."""
    async with storage.receive(2 * MIB) as intake:
        await intake.write(bytes(2 * MIB))
        with pytest.raises(TooLargeError, match="exceeds 2097152 bytes"):
            await intake.write(b"x")
    assert left_over(tmp_path) == []
    assert await storage.sweep(set(), before=tomorrow()) == 0


async def test_an_upload_without_commit_leaves_nothing(
    storage: ArtifactStorage, tmp_path: Path
) -> None:
    """An intake that ends without a commit was never there."""
    async with storage.receive(MIB) as intake:
        await intake.write(b"half")
    assert left_over(tmp_path) == []
    assert await storage.sweep(set(), before=tomorrow()) == 0


async def test_a_cancelled_upload_leaves_nothing(storage: ArtifactStorage, tmp_path: Path) -> None:
    """Cancelling an upload at any step, with its thread at work, leaves nothing behind."""
    for steps in range(12):
        task = asyncio.create_task(put(storage, bytes(4 * MIB), chunk=MIB))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left_over(tmp_path) == []
    with pytest.raises(ArtifactMissingError):
        await storage.open(hashlib.sha256(bytes(4 * MIB)).hexdigest())


async def test_sweep_spares_what_is_referenced_or_young(storage: ArtifactStorage) -> None:
    """A sweep drops content only if nothing refers to it and it is old."""
    kept, young = await put(storage, b"kept"), await put(storage, b"young")
    now = SystemClock().now()
    assert await storage.sweep({kept.sha256}, before=now - ONE_DAY) == 0
    assert await storage.sweep({kept.sha256}, before=now + ONE_DAY) == 1
    assert await get(storage, kept.sha256) == b"kept"
    with pytest.raises(ArtifactMissingError):
        await get(storage, young.sha256)
    again = await put(storage, b"young")
    assert await get(storage, again.sha256) == b"young"


async def test_a_reader_may_be_used_by_several_tasks(storage: ArtifactStorage) -> None:
    """Parallel reads of one reader do not disturb each other."""
    reader = await storage.open((await put(storage, CONTENT)).sha256)
    offsets = range(0, len(CONTENT), 99_991)
    pieces = await asyncio.gather(*(reader.read(offset, 1000) for offset in offsets))
    assert pieces == [CONTENT[offset : offset + 1000] for offset in offsets]
    await reader.close()


async def test_a_process_sends_by_itself_unless_told(storage: ArtifactStorage) -> None:
    """Without a setting nothing is handed off."""
    assert await storage.hand_off(ABSENT) is None


async def test_nginx_is_told_a_path(tmp_path: Path) -> None:
    """With ``x-accel`` sending is handed to the nginx in front."""
    storage = open_storage(tmp_path, delivery="x-accel")
    assert await storage.hand_off(ABSENT) == Internal(path=f"/overair-artifacts/00/00/{ABSENT}")
    await storage.close()


async def test_devices_are_sent_to_the_object_store(
    tmp_path: Path, bucket: str, s3_options: dict[str, str]
) -> None:
    """With ``redirect`` a device gets an address that works without credentials of ours."""

    storage = open_storage(
        tmp_path, location=f"s3://{bucket}", options=s3_options, delivery="redirect"
    )
    stored = await put(storage, CONTENT)
    handoff = await storage.hand_off(stored.sha256)
    assert isinstance(handoff, Redirect)
    async with aiohttp.ClientSession() as session, session.get(handoff.url) as response:
        assert response.status == 200
        assert await response.read() == CONTENT
    await storage.close()


async def test_an_object_store_that_does_not_answer(tmp_path: Path) -> None:
    """A store that cannot be reached is an error of the store, and the upload leaves nothing."""
    options = {
        "endpoint": "http://127.0.0.1:9",
        "region": "x",
        "access_key_id": "a",
        "secret_access_key": "b",
        "allow_http": "true",
        "timeout": "1s",
    }
    storage = open_storage(tmp_path, location="s3://none", options=options)
    with pytest.raises(StorageError, match="object store failed"):
        await storage.open(ABSENT)
    with pytest.raises(StorageError, match="object store failed"):
        await put(storage, b"x")
    with pytest.raises(StorageError, match="object store failed"):
        await storage.sweep(set(), before=tomorrow())
    assert left_over(tmp_path) == []
    await storage.close()


async def test_content_that_vanished_from_the_object_store(
    tmp_path: Path, bucket: str, s3_options: dict[str, str]
) -> None:
    """Content that another process has dropped is missing when it is read, or at the latest then."""
    here = open_storage(tmp_path / "a", location=f"s3://{bucket}", options=s3_options)
    there = open_storage(tmp_path / "b", location=f"s3://{bucket}", options=s3_options)
    stored = await put(here, b"x")
    reader = await here.open(stored.sha256)
    assert await there.sweep(set(), before=tomorrow()) == 1
    with pytest.raises(ArtifactMissingError):
        await reader.read(0, 1)
    await here.close()
    await there.close()


async def test_sweep_leaves_strange_objects_alone(
    tmp_path: Path, bucket: str, s3_options: dict[str, str]
) -> None:
    """Objects that are no artifacts of ours are not touched, even below our prefix."""

    mine = open_storage(tmp_path / "a", location=f"s3://{bucket}/a", options=s3_options)
    other = open_storage(tmp_path / "b", location=f"s3://{bucket}", options=s3_options)
    stored = await put(mine, b"x")
    config = {k: v for k, v in s3_options.items() if k != "allow_http"}
    raw = S3Store(bucket, config=config, client_options={"allow_http": True})  # type: ignore[arg-type]  # a plain dict of checked names
    await obstore.put_async(raw, "a/README", b"hands off")
    assert await other.sweep(set(), before=tomorrow()) == 0
    assert await mine.sweep(set(), before=tomorrow()) == 1
    assert (await obstore.head_async(raw, "a/README"))["size"] == 9
    with pytest.raises(ArtifactMissingError):
        await mine.open(stored.sha256)
    await mine.close()
    await other.close()


@pytest.mark.parametrize(
    ("location", "options", "delivery"),
    [
        ("", {}, "redirect"),
        ("", {"region": "x"}, "stream"),
        ("s3://", {}, "stream"),
        ("s3:/bucket", {}, "stream"),
        ("/var/lib", {}, "stream"),
        ("gs://bucket", {}, "stream"),
        ("s3://bucket", {}, "x-accel"),
        ("s3://bucket", {"reigon": "x"}, "stream"),
    ],
)
def test_settings_that_make_no_sense(
    tmp_path: Path, location: str, options: dict[str, str], delivery: str
) -> None:
    """A setting that cannot be used is refused at the start."""
    with pytest.raises(ValueError, match="storage"):
        open_storage(tmp_path, location=location, options=options, delivery=delivery)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=3000), data=st.data())
def test_digests_do_not_depend_on_the_chunks(
    tmp_path: Path, content: bytes, data: st.DataObject
) -> None:
    """Any division into chunks gives the same artifact."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=5)))
    chunks = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]

    async def run() -> Artifact:
        storage = open_storage(tmp_path)
        async with storage.receive(len(content)) as intake:
            for chunk in chunks:
                await intake.write(chunk)
            stored = await intake.commit()
        assert await get(storage, stored.sha256, chunk=700) == content
        await storage.close()
        return stored

    assert asyncio.run(run()).sha256 == hashlib.sha256(content).hexdigest()
