"""Configuration files from the client's side: upload, list, schedule, replace (API 5.10, 5.11)."""

from pathlib import Path
from typing import Any

import pytest
from verizon.models.upload_and_schedule_file_request import UploadAndScheduleFileRequest

from tests.sdk.world import Refusal, World, file, imei, imeis, open_world, with_limits

NAME = "configfile-Acme_X1_hello-world.txt"
MULTIPART = {"Content-Type": "multipart/form-data; boundary=xyz"}


def upload(world: World, content: bytes = b"hello", version: str = "1.0", **more: Any) -> Any:
    asked = {"make": "Acme", "model": "X1", "local_target_path": "/etc/hello"} | more
    name = asked.pop("name", "hello-world.txt")
    return world.ada.ok("upload_config_file", file(content, name), file_version=version, **asked)


def schedule(world: World, *numbers: int, start: int = 0, **more: Any) -> Any:
    asked = {
        "campaign_name": "a file",
        "file_name": NAME,
        "file_version": "1.0",
        "distribution_type": "HTTP",
        "start_date": world.day(start).isoformat(),
        "end_date": world.day(start + 3).isoformat(),
        "device_list": imeis(*numbers),
    }
    return UploadAndScheduleFileRequest(**(asked | more))


def form(content: bytes = b"new", **changes: str) -> bytes:
    """The parts of a replacement, which the client cannot send."""
    fields = {
        "fileVersion": "1.0",
        "make": "Acme",
        "model": "X1",
        "localTargetPath": "/etc/new",
    } | changes
    parts = [
        b'--xyz\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        % (name.encode(), value.encode())
        for name, value in fields.items()
    ]
    head = b'--xyz\r\nContent-Disposition: form-data; name="fileupload"; filename="hello-world.txt"'
    return b"".join(parts) + head + b"\r\n\r\n" + content + b"\r\n--xyz--\r\n"


def test_upload_list_schedule(world: World, tmp_path: Path) -> None:
    """A file that is opened by path gets a generated name, is listed, sent, and shown at the device."""
    path = tmp_path / "hello-world.txt"
    path.write_bytes(b"greeting=hello\n")
    with path.open("rb") as opened:
        made = world.ada.ok(
            "upload_config_file", opened, "1.0", "Acme", "X1", "/home/acme/hello-world.txt"
        )
    assert made == {
        "fileName": NAME,
        "fileVersion": "1.0",
        "launchDate": world.day().isoformat(),
        "releaseNote": "",
        "make": "Acme",
        "model": "X1",
        "distributionType": "HTTP",
        "devicePlatformId": "IoT",
        "localTargetPath": "/home/acme/hello-world.txt",
    }
    (listed,) = world.ada.ok("get_list_of_files", "HTTP")["AvailableFilesResponse"]
    assert listed == made | {"launchDate": listed["launchDate"]}
    assert world.bob.ok("get_list_of_files", "HTTP") == {"AvailableFilesResponse": []}

    campaign = world.ada.ok("schedule_file_upgrade", schedule(world, 1))["id"]
    world.settle()
    assert world.device(1).succeed() == b"greeting=hello\n"
    world.settle()
    assert world.ada.status(campaign) == "CampaignEnded"
    (past,) = world.ada.ok("get_device_firmware_upgrade_history", imei(1))
    assert (past["softwareName"], past["status"]) == (NAME, "UpgradeSuccess")
    device = world.ada.ok("list_account_devices")["deviceList"][0]
    assert {(one["name"], one["version"]) for one in device["softwareList"]} == {
        ("01", "01"),
        (NAME, "1.0"),
    }


def test_versions(world: World) -> None:
    """A second version stands beside the first; the same one again is refused."""
    upload(world, b"one")
    upload(world, b"two", "2.0")
    refusal = world.ada.refused(
        "upload_config_file", file(b"three"), "2.0", "Acme", "X1", "/etc/hello"
    )
    assert refusal.code == "INVALID_PARAMETER"
    listed = world.ada.ok("get_list_of_files", "HTTP")["AvailableFilesResponse"]
    assert [(one["fileName"], one["fileVersion"]) for one in listed] == [
        (NAME, "2.0"),
        (NAME, "1.0"),
    ]
    world.ada.ok("schedule_file_upgrade", schedule(world, 1))
    world.ada.ok("schedule_file_upgrade", schedule(world, 2, file_version="2.0"))
    world.settle()
    assert world.device(1).succeed() == b"one"
    assert world.device(2).succeed() == b"two"


def test_spaces_in_make_and_model(world_sqlite: World) -> None:
    """Make and model lose their spaces in the generated name, and keep them elsewhere."""
    made = upload(world_sqlite, make="Big Acme", model="X 1")
    assert made["fileName"] == "configfile-BigAcme_X1_hello-world.txt"
    assert (made["make"], made["model"]) == ("Big Acme", "X 1")


def test_lists_by_distribution_type(world_sqlite: World) -> None:
    """Files go over HTTP: another type has none, and an unknown one is refused."""
    upload(world_sqlite)
    ada = world_sqlite.ada
    assert len(ada.ok("get_list_of_files", "http")["AvailableFilesResponse"]) == 1
    assert ada.ok("get_list_of_files", "OMA")["AvailableFilesResponse"] == []
    assert ada.why("get_list_of_files", "FTP") == "Invalid distributionType"
    status, body = ada.raw("GET", "/files/{}")
    assert (status, len(body["AvailableFilesResponse"])) == (200, 1)
    status, body = ada.raw("GET", "/files/{}/HTTP")
    assert (status, len(body["AvailableFilesResponse"])) == (200, 1)


@pytest.mark.parametrize("missing", ["file_version", "make", "model", "local_target_path"])
def test_missing_parts(world_sqlite: World, missing: str) -> None:
    """All parts are needed, whatever the client says about them."""
    parts: dict[str, Any] = {
        "file_version": "1.0",
        "make": "Acme",
        "model": "X1",
        "local_target_path": "/etc/hello",
    }
    del parts[missing]
    why = world_sqlite.ada.why("upload_config_file", fileupload=file(b"hello"), **parts)
    assert why.startswith("File upload: ")
    assert world_sqlite.ada.ok("get_list_of_files", "HTTP") == {"AvailableFilesResponse": []}


def test_a_missing_or_empty_file(world_sqlite: World) -> None:
    """Without a file, or with nothing in it, there is nothing to upload."""
    ada = world_sqlite.ada
    parts = ("1.0", "Acme", "X1", "/etc/hello")
    message = "File upload: fileupload is missing or malformed"
    assert ada.why("upload_config_file", file(b""), *parts) == message
    without = form().partition(b'--xyz\r\nContent-Disposition: form-data; name="fileupload"')[0]
    status, body = ada.raw("POST", "/files/{}", without + b"--xyz--\r\n", MULTIPART)
    assert (status, body["errorMessage"]) == (400, message)


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    """The limit is told to whoever exceeds it."""
    with open_world(tmp_path / "world", limits=with_limits(upload_bytes=1000)) as world:
        why = world.ada.why(
            "upload_config_file", file(bytes(1001)), "1.0", "Acme", "X1", "/etc/hello"
        )
        assert why == "File exceeds 1000 bytes"
        upload(world, bytes(1000))


def test_wrong_file_campaigns(world: World) -> None:
    """Name and version must be a file's, the type one that files go by, and there must be devices."""
    upload(world)
    why = world.ada.why
    name = "schedule_file_upgrade"
    assert why(name, schedule(world, 1, file_name="hello-world.txt")) == "File not found"
    assert why(name, schedule(world, 1, file_version="9")) == "File not found"
    assert why(name, schedule(world, 1, distribution_type="LWM2M")) == "Invalid distributionType"
    assert why(name, schedule(world, 1, distribution_type="OMA")) == "Invalid distributionType"
    assert why(name, schedule(world)) == "Device list is empty"
    without = schedule(world, 1)
    del without.device_list  # as in the client's own example
    assert why(name, without) == "Device list is empty"


def test_replace(world: World) -> None:
    """PUT, which the client lacks, puts other bytes under a version that no campaign uses."""
    status, body = world.ada.raw("PUT", "/files/{}", form(), MULTIPART)
    assert (status, body["errorMessage"]) == (400, "File not found")
    upload(world, b"old")
    status, body = world.ada.raw("PUT", "/files/{}", form(), MULTIPART)
    assert (status, body["fileName"], body["localTargetPath"]) == (200, NAME, "/etc/new")
    campaign = world.ada.ok("schedule_file_upgrade", schedule(world, 1, start=1))["id"]
    in_use = Refusal("INVALID_STATE", "File is used by a scheduled or running campaign")
    status, body = world.ada.raw("PUT", "/files/{}", form(b"newer"), MULTIPART)
    assert (status, body) == (
        400,
        {"errorCode": in_use.code, "errorMessage": in_use.message},
    )
    world.wait(days=1)
    assert world.device(1).succeed() == b"new"
    world.settle()
    assert world.ada.status(campaign) == "CampaignEnded"
    status, _ = world.ada.raw("PUT", "/files/{}", form(b"newer"), MULTIPART)
    assert status == 200
