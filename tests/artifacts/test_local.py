"""What only a directory can show: full disks, crashes, damage, files kept open."""

import asyncio
import ctypes
import hashlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from overair.artifacts.errors import ArtifactMissingError, StorageError, StorageFullError
from overair.artifacts.local import LocalStorage
from overair.artifacts.spool import clear
from overair.clock import SystemClock
from tests.artifacts.test_storage import CONTENT, MIB, get, put
from tests.waiting import until

LIBC = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for 2 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if LIBC.mount(b"none", bytes(place), b"tmpfs", 0, b"size=2m") != 0:
        pytest.skip("mounting needs root; the limit of the process is tested in any case")
    yield place
    LIBC.umount2(bytes(place), 0)


def files(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()} - {"incoming/.lock"}


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def only_open(number: int) -> None:
    async def holds() -> bool:
        return open_files() == number

    await until(holds, f"{number} open files")


async def test_a_full_disk_is_a_clear_error_and_loses_nothing(small_disk: Path) -> None:
    """When the disk fills up, the upload fails as that, is removed, and the rest stays usable."""
    storage = LocalStorage(small_disk)
    before = await put(storage, b"x" * 500_000)
    with pytest.raises(StorageFullError, match="no space left"):
        await put(storage, os.urandom(4 * MIB))
    assert files(small_disk) == {f"{before.sha256[:2]}/{before.sha256[2:4]}/{before.sha256}"}
    assert await get(storage, before.sha256) == b"x" * 500_000
    after = await put(storage, b"y" * MIB)
    assert await get(storage, after.sha256) == b"y" * MIB
    await storage.close()


def test_a_limit_on_the_file_size_is_a_full_store(tmp_path: Path) -> None:
    """A process that may not write files so large reports a full store and removes the upload."""
    program = textwrap.dedent(
        """
        import asyncio, resource, sys
        from pathlib import Path
        from overair.artifacts.errors import StorageFullError
        from overair.artifacts.local import LocalStorage

        async def main():
            storage = LocalStorage(Path(sys.argv[1]))
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
            try:
                async with storage.receive(10 << 20) as intake:
                    await intake.write(bytes(3 << 20))
                    await intake.commit()
            except StorageFullError as error:
                print(error)
            await storage.close()

        asyncio.run(main())
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "no space left in the artifact store" in done.stdout
    assert files(tmp_path) == set()


def test_a_killed_process_leaves_an_upload_that_the_next_start_removes(tmp_path: Path) -> None:
    """What ``kill -9`` leaves of an upload is gone after the next start."""
    program = textwrap.dedent(
        """
        import asyncio, os, signal, sys
        from pathlib import Path
        from overair.artifacts.local import LocalStorage

        async def main():
            storage = LocalStorage(Path(sys.argv[1]))
            async with storage.receive(10 << 20) as intake:
                await intake.write(bytes(3 << 20))
                os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
        """
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert len(files(tmp_path)) == 1

    async def start() -> None:
        await LocalStorage(tmp_path).close()

    asyncio.run(start())
    assert files(tmp_path) == set()


async def test_uploads_of_a_living_process_are_not_cleared(tmp_path: Path) -> None:
    """A second process that starts on the same directory leaves running uploads alone."""
    storage = LocalStorage(tmp_path)
    async with storage.receive(MIB) as intake:
        await intake.write(b"half ")
        assert clear(tmp_path / "incoming") == 0
        await intake.write(b"whole")
        stored = await intake.commit()
    assert await get(storage, stored.sha256) == b"half whole"
    await storage.close()


async def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    """A store that cannot be made is an error of the store, at the start."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        LocalStorage(tmp_path / "file" / "artifacts")


async def test_content_cut_short_on_disk_is_repaired_by_the_next_upload(tmp_path: Path) -> None:
    """A file that lost its end is replaced when the same content is taken again."""
    storage = LocalStorage(tmp_path)
    stored = await put(storage, CONTENT)
    path = tmp_path / stored.sha256[:2] / stored.sha256[2:4] / stored.sha256
    os.truncate(path, 10)
    await put(storage, CONTENT)
    assert path.read_bytes() == CONTENT
    await storage.close()


async def test_taking_content_again_renews_its_age(tmp_path: Path) -> None:
    """Old content that an upload has just brought again is safe from a sweep."""
    storage = LocalStorage(tmp_path)
    stored = await put(storage, CONTENT)
    path = tmp_path / stored.sha256[:2] / stored.sha256[2:4] / stored.sha256
    os.utime(path, (1, 1))
    await put(storage, CONTENT)
    an_hour_ago = SystemClock().now() - timedelta(hours=1)
    assert await storage.sweep(set(), before=an_hour_ago) == 0
    os.utime(path, (1, 1))
    assert await storage.sweep({"0" * 64}, before=an_hour_ago) == 1
    await storage.close()


async def test_sweeps_beside_uploads_of_the_same_content(tmp_path: Path) -> None:
    """Content whose upload ends while sweeps run is there afterwards."""
    storage = LocalStorage(tmp_path)
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    path = tmp_path / sha256[:2] / sha256[2:4] / sha256
    for _ in range(30):
        if path.exists():
            os.utime(path, (1, 1))
        before = SystemClock().now() - timedelta(hours=1)
        await asyncio.gather(
            put(storage, CONTENT),
            storage.sweep(set(), before=before),
            storage.sweep(set(), before=before),
        )
        assert path.read_bytes() == CONTENT
    await storage.close()


async def test_few_files_stay_open(tmp_path: Path) -> None:
    """The store keeps only so many files open, and closes them all at its end."""
    storage = LocalStorage(tmp_path, open_files=3)
    stored = [await put(storage, bytes([n])) for n in range(10)]
    at_first = open_files()
    readers = [await storage.open(one.sha256) for one in stored]
    assert [await reader.read(0, 5) for reader in readers] == [bytes([n]) for n in range(10)]
    for reader in readers:
        await reader.close()
        await reader.close()
    assert open_files() == at_first + 3
    for one in stored:
        assert len(await get(storage, one.sha256)) == 1
    await storage.close()
    assert open_files() == at_first


async def test_files_opened_at_once_are_one(tmp_path: Path) -> None:
    """Tasks that open the same content at the same time share one file."""
    storage = LocalStorage(tmp_path)
    stored = await put(storage, CONTENT)
    at_first = open_files()
    readers = await asyncio.gather(*(storage.open(stored.sha256) for _ in range(5)))
    assert open_files() == at_first + 1
    for reader in readers:
        assert await reader.read(0, 3) == CONTENT[:3]
        await reader.close()
    await storage.close()


async def test_a_reader_outlives_a_sweep(tmp_path: Path) -> None:
    """A download under way goes on to its end when the content is dropped; a new one finds none."""
    storage = LocalStorage(tmp_path)
    stored = await put(storage, CONTENT)
    reader = await storage.open(stored.sha256)
    tomorrow = SystemClock().now() + timedelta(days=1)
    assert await storage.sweep(set(), before=tomorrow) == 1
    assert await reader.read(0, MIB) == CONTENT[:MIB]
    with pytest.raises(ArtifactMissingError):
        await storage.open(stored.sha256)
    await reader.close()
    await storage.close()


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="cannot empty the page cache")
async def test_bytes_that_are_not_cached_are_read_too(tmp_path: Path) -> None:
    """Content that is only on the disk is read as well."""
    storage = LocalStorage(tmp_path)
    content = os.urandom(5 * MIB)
    stored = await put(storage, content)
    path = tmp_path / stored.sha256[:2] / stored.sha256[2:4] / stored.sha256
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert await get(storage, stored.sha256) == content
    await storage.close()


async def test_a_cancelled_read_gives_its_file_back(tmp_path: Path) -> None:
    """A read whose task is cancelled while its thread works does not keep the file open."""
    storage = LocalStorage(tmp_path, open_files=0)
    stored = await put(storage, CONTENT)
    at_first = open_files()
    path = tmp_path / stored.sha256[:2] / stored.sha256[2:4] / stored.sha256
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    reader = await storage.open(stored.sha256)
    reading = asyncio.create_task(reader.read(0, MIB))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    await reader.close()
    await storage.close()
    await only_open(at_first)


async def test_a_cancelled_open_leaves_no_file_open(tmp_path: Path) -> None:
    """A file that a thread opens for a task that is gone is closed again."""
    storage = LocalStorage(tmp_path)
    stored = await put(storage, CONTENT)
    at_first = open_files()
    opening = asyncio.create_task(storage.open(stored.sha256))
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    await storage.close()
    await only_open(at_first)
