"""Stores to test on: a directory, and moto's S3 server on loopback."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.request import Request, urlopen
from uuid import NAMESPACE_URL, uuid5

import pytest
from moto.server import ThreadedMotoServer

from overair.artifacts.choice import open_storage
from overair.artifacts.storage import ArtifactStorage


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of a running S3 server."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_options(s3_endpoint: str) -> dict[str, str]:
    """What ``storage_options`` has to say to reach that server."""
    return {
        "endpoint": s3_endpoint,
        "region": "us-east-1",
        "access_key_id": "test",
        "secret_access_key": "test",
        "allow_http": "true",
    }


@pytest.fixture
def bucket(s3_endpoint: str, request: pytest.FixtureRequest) -> str:
    """An empty bucket of the test's own."""
    name = f"b{uuid5(NAMESPACE_URL, request.node.nodeid).hex}"
    request_ = Request(f"{s3_endpoint}/{name}", method="PUT")
    with urlopen(request_) as response:
        assert response.status == 200
    return name


@pytest.fixture(params=["local", "s3"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ArtifactStorage]:
    """Each kind of store in turn, empty."""
    if request.param == "local":
        opened = open_storage(tmp_path / "artifacts")
    else:
        opened = open_storage(
            tmp_path / "artifacts",
            location=f"s3://{request.getfixturevalue('bucket')}/some/prefix",
            options=request.getfixturevalue("s3_options"),
        )
    yield opened
    await opened.close()
