"""Which store the settings ask for.

Not in here: reading settings; this takes the three that concern it (``storage``,
``storage_options``, ``artifact_delivery``) as values.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from obstore.exceptions import BaseError
from obstore.store import S3Store

from overair.artifacts.local import LocalStorage
from overair.artifacts.s3 import S3Storage
from overair.artifacts.storage import ArtifactStorage

if TYPE_CHECKING:
    from obstore.store import RetryConfig

# Of the data directory: where artifacts are, unless the settings name an object store.
ARTIFACTS_FOLDER = "artifacts"

# Where the configuration of a front nginx has to place the root directory:
# location /overair-artifacts/ { internal; alias ROOT/; }
INTERNAL_PREFIX = "/overair-artifacts"

# How long a presigned address is good. A slow modem may take long to come to the first byte of a
# resumed download; the address is asked for anew with each request to us.
_REDIRECT_FOR = timedelta(hours=1)

# A device waits for the answer: an error now is better than one after the library's three minutes.
_RETRY: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}

# Options that concern the connection and not the store.
_CLIENT_OPTIONS = frozenset({"allow_http", "timeout", "connect_timeout", "proxy_url"})


def open_storage(
    root: Path, *, location: str = "", options: Mapping[str, str] = {}, delivery: str = "stream"
) -> ArtifactStorage:
    """Open the store at ``location``: empty for the directory ``root``, or ``s3://bucket/prefix``.

    ``ValueError`` says which setting cannot be used and why.
    """
    if not location:
        if delivery == "redirect":
            raise ValueError(
                "artifact_delivery = redirect needs an object store, and storage names none"
            )
        if options:
            raise ValueError("storage_options are for an object store, and storage names none")
        return LocalStorage(
            root, internal_prefix=INTERNAL_PREFIX if delivery == "x-accel" else None
        )
    scheme, separator, rest = location.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not separator or not bucket:
        raise ValueError(f"storage: {location!r} is not of the form s3://bucket/prefix")
    if delivery == "x-accel":
        raise ValueError(
            "artifact_delivery = x-accel needs local storage, and storage names another"
        )
    # The names are checked by the library, and a wrong one refused; its types list them all.
    client: Any = {
        name: value == "true" if name == "allow_http" else value
        for name, value in options.items()
        if name in _CLIENT_OPTIONS
    }
    config: Any = {name: value for name, value in options.items() if name not in _CLIENT_OPTIONS}
    try:
        store = S3Store(bucket, config=config, client_options=client, retry_config=_RETRY)
    except BaseError as error:
        raise ValueError(f"storage_options: {error}") from error
    return S3Storage(
        store,
        root / "incoming",
        prefix=prefix,
        redirect_for=_REDIRECT_FOR if delivery == "redirect" else None,
    )
