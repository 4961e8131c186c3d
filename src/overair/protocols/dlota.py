"""OMA Download 1.0: the descriptor of a package, and what a device posts when it is done (oma-dm 13).

A descriptor tells a device what there is before it downloads it: type, size and address, and where to say
how it went. Devices read it with small parsers, so it is plain: what is mandatory comes first, elements
stand in the order in which the specification names them, without a prefix, in less than 16 KiB.

Not in here: what a reported code means for an attempt (it moves progress, never the outcome).
"""

import re
from dataclasses import dataclass
from enum import IntEnum
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

MEDIA_TYPE = "application/vnd.oma.dd+xml"
NAMESPACE = "http://www.openmobilealliance.org/xmlns/dd"
DD_VERSION = "1.0"
PACKAGE_TYPE = "application/octet-stream"

# Clients have buffers (oma-dm 13).
MOST_BYTES = 16 * 1024 - 1
MOST_URL_CHARS = 255

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_URL = re.compile(r"[!-~]+")
_CODE = re.compile(rb"\s*([0-9]{3})(?![0-9])")
_STATUS_BYTES = 64


class DlotaError(Exception):
    """A descriptor that no device could use."""


class InstallStatus(IntEnum):
    """What a device posts to ``installNotifyURI``: the first three digits of the body."""

    SUCCESS = 900
    INSUFFICIENT_MEMORY = 901
    USER_CANCELLED = 902
    LOSS_OF_SERVICE = 903
    ATTRIBUTE_MISMATCH = 905
    INVALID_DESCRIPTOR = 906
    INVALID_VERSION = 951
    DEVICE_ABORTED = 952
    NON_ACCEPTABLE_CONTENT = 953
    LOADER_ERROR = 954

    @property
    def meaning(self) -> str:
        """Say it in words."""
        return self.name.replace("_", " ").lower()

    @property
    def is_ours(self) -> bool:
        """Tell whether it speaks of what we serve, and an operator should look."""
        return self in {
            InstallStatus.ATTRIBUTE_MISMATCH,
            InstallStatus.INVALID_DESCRIPTOR,
            InstallStatus.INVALID_VERSION,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A package, as a device is told of it; addresses are absolute."""

    type: str = PACKAGE_TYPE
    size_bytes: int
    object_url: str
    name: str = ""
    version: str = ""
    vendor: str = ""
    description: str = ""
    install_notify_url: str = ""
    install_param: str = ""


def encode_descriptor(descriptor: Descriptor) -> bytes:
    """Write it. Raises DlotaError."""
    if not _MEDIA_TYPE.fullmatch(descriptor.type):
        raise DlotaError(f"{descriptor.type!r} is no media type")
    if descriptor.size_bytes < 0:
        raise DlotaError("a size is not negative")
    notify = descriptor.install_notify_url
    members = (
        ("type", descriptor.type),
        ("size", str(descriptor.size_bytes)),
        ("objectURI", _url(descriptor.object_url)),
        ("DDVersion", DD_VERSION),
        ("name", descriptor.name),
        ("version", descriptor.version),
        ("vendor", descriptor.vendor),
        ("description", descriptor.description),
        ("installNotifyURI", _url(notify) if notify else ""),
        ("installParam", descriptor.install_param),
    )
    lines = [f"<{name}>{escape(_text(value))}</{name}>" for name, value in members if value]
    document = "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<media xmlns="{NAMESPACE}">',
            *lines,
            "</media>\n",
        ]
    ).encode()
    if len(document) > MOST_BYTES:
        raise DlotaError(f"a descriptor of {len(document)} bytes: devices take {MOST_BYTES}")
    return document


def read_install_status(body: bytes) -> int | None:
    """Return the code of a status report; None: there is none in it."""
    found = _CODE.match(body[:_STATUS_BYTES])
    return int(found[1]) if found else None


def _url(url: str) -> str:
    """An address that a device can use."""
    if len(url) > MOST_URL_CHARS:
        raise DlotaError(f"an address of {len(url)} characters: devices take {MOST_URL_CHARS}")
    if not _URL.fullmatch(url):
        raise DlotaError(f"{url!r} has characters that an address cannot have")
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise DlotaError(f"{url!r} is not absolute")
    return url


def _text(value: str) -> str:
    # What XML cannot hold is left out: a name is not worth an update.
    return _FORBIDDEN.sub("", value)
