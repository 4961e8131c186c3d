"""Configuration files: list, upload, replace (API 5.10, 5.11; lifecycle 9).

An upload is streamed into the artifact storage, and kept only once its other parts have been looked
at; they may come after the file. What is in the way of that is said in the words of the part.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from overair.api.routing import Call, Routes, Streamed
from overair.api.v2.shapes import PLATFORM, PREFIX, Distribution, distribution_type, wanted_protocol
from overair.api.wire import Answer, Body, DateTimeText, Query
from overair.artifacts.errors import FieldsError, TooLargeError, UploadError
from overair.artifacts.multipart import receive_form
from overair.core.errors import Refusal, RequestError
from overair.core.ids import AccountId
from overair.core.instants import datetime_text
from overair.engine import catalog as engine
from overair.engine.catalog import FileUpload
from overair.store import packages as store
from overair.store.database import Tx
from overair.store.packages import Package

routes = Routes(PREFIX, tag="v2 files")

FILE_PART = "fileupload"
IDLE_TIMEOUT_S = 60.0
"""A client that sends nothing for so long has gone; its upload ends."""


class FileQuery(Query):
    distribution_type: Distribution | UnsetType = UNSET


class AvailableFile(Answer):
    """A version of a configuration file."""

    file_name: str
    file_version: str
    launch_date: DateTimeText
    release_note: str
    make: str
    model: str
    local_target_path: str
    distribution_type: Distribution
    device_platform_id: str


class AvailableFiles(Answer):
    """The account's configuration files, newest first."""

    files: list[AvailableFile] = msgspec.field(name="AvailableFilesResponse")


class UploadForm(Body):
    """A file, and where it belongs."""

    fileupload: Annotated[
        str, Meta(extra_json_schema={"contentMediaType": "application/octet-stream"})
    ]
    file_version: str
    make: str
    model: str
    local_target_path: str


class UploadedFile(Answer):
    """A configuration file under its generated name, by which campaigns refer to it."""

    file_name: str
    file_version: str
    launch_date: date
    release_note: str
    model: str
    make: str
    distribution_type: Distribution
    device_platform_id: str
    local_target_path: str


@routes.add("GET", "/files/{acc}", errors=(Refusal.DISTRIBUTION_TYPE,))
async def list_files(call: Call[None, FileQuery]) -> AvailableFiles:
    """List the account's configuration files."""
    return await _list(call, wanted_protocol(call.query.distribution_type))


@routes.add("GET", "/files/{acc}/HTTP", documented=False)
async def list_http_files(call: Call[None, None]) -> AvailableFiles:
    """List them under the address of an old example (API 11, row 21)."""
    return await _list(call, engine.PULLED)


async def _list(call: Call[Any, Any], protocol: str | None) -> AvailableFiles:
    account = await call.account()
    found = await call.db.report(
        store.files, account.id, protocol, call.settings.limits.files_listed
    )
    return AvailableFiles(
        files=[
            AvailableFile(
                file_name=package.name,
                file_version=package.to_version,
                launch_date=datetime_text(package.launch_at),
                release_note=package.release_note,
                make=package.make,
                model=package.model,
                local_target_path=package.local_target_path,
                distribution_type=distribution_type(package.protocol),
                device_platform_id=PLATFORM,
            )
            for package in found
        ]
    )


@routes.add(
    "POST",
    "/files/{acc}",
    errors=(Refusal.FILE_PART, Refusal.FILE_TOO_LARGE, Refusal.FILE_EXISTS),
)
async def upload_file(call: Call[Streamed[UploadForm], None]) -> UploadedFile:
    """Upload a configuration file, or a new version of one."""
    return await _save(call, engine.add_file)


@routes.add(
    "PUT",
    "/files/{acc}",
    errors=(
        Refusal.FILE_PART,
        Refusal.FILE_TOO_LARGE,
        Refusal.FILE_NOT_FOUND,
        Refusal.FILE_IN_USE,
    ),
)
async def replace_file(call: Call[Streamed[UploadForm], None]) -> UploadedFile:
    """Replace content and path of a version that no scheduled or running campaign uses."""
    return await _save(call, engine.replace_file)


async def _save(
    call: Call[Streamed[UploadForm], None],
    save: Callable[[Tx, AccountId, FileUpload, datetime], Package],
) -> UploadedFile:
    account = await call.account()
    upload = await _receive(call)
    package = await call.db.transact(save, account.id, upload, call.now)
    return UploadedFile(
        file_name=package.name,
        file_version=package.to_version,
        launch_date=package.launch_at.date(),
        release_note=package.release_note,
        model=package.model,
        make=package.make,
        distribution_type=distribution_type(package.protocol),
        device_platform_id=PLATFORM,
        local_target_path=package.local_target_path,
    )


async def _receive(call: Call[Streamed[UploadForm], None]) -> FileUpload:
    """Take the form in, and keep its file if the description can be used."""
    max_bytes = call.settings.limits.upload_bytes
    with _refused():
        async with receive_form(
            call.body.content_type,
            _awake(call.body.chunks),
            call.rooms.storage,
            max_bytes=max_bytes,
            file_part=FILE_PART,
        ) as form:
            if form.filename is None or not form.size_bytes:
                raise RequestError(Refusal.FILE_PART, part=FILE_PART)
            version, make, model, path = (
                form.fields.get(part, "")
                for part in ("fileVersion", "make", "model", "localTargetPath")
            )
            engine.check_upload(form.filename, version, make, model, path)
            return FileUpload(
                file_name=form.filename,
                version=version,
                make=make,
                model=model,
                local_target_path=path,
                artifact=await form.commit(),
            )


@contextmanager
def _refused() -> Iterator[None]:
    """Say what is wrong with an upload in the API's words."""
    try:
        yield
    except TooLargeError as error:
        raise RequestError(Refusal.FILE_TOO_LARGE, limit=error.limit) from error
    except FieldsError as error:
        raise RequestError(Refusal.FILE_PART, part="a field") from error
    except (UploadError, TimeoutError) as error:
        raise RequestError(Refusal.BINDING) from error


async def _awake(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same chunks, as long as they keep coming."""
    while True:
        async with asyncio.timeout(IDLE_TIMEOUT_S):
            chunk = await anext(chunks, None)
        if chunk is None:
            return
        yield chunk
