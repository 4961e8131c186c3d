"""How an image gets to a device: pushed or pulled, by which protocol, in which time (lwm2m 9, 10).

Not in here: the transfer itself (CoAP's ``Push``, and whoever serves files).
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import assert_never

from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request
from overair.protocols.lwm2m.errors import UnwritableError
from overair.protocols.lwm2m.firmware import ResetMove
from overair.protocols.lwm2m.formats import ContentFormat
from overair.protocols.lwm2m.objects import (
    CANCEL,
    PACKAGE,
    PACKAGE_URI,
    UPDATE,
    FirmwareReading,
)
from overair.protocols.lwm2m.values import Path, path_segments

LONGEST_URI = 255
# After the last block, the device may take this long to see that it has the package.
PUSHED_S = 60
# From the write of an URI to the first sign of a download; and beyond, if it goes on answering.
BEGIN_S = 120
BEGIN_LATER_S = 10 * 60
# Without any request while it downloads, it has stalled.
STALLED_S = 600
_SLOWEST_BYTES_PER_S = 1024
_OVERHEAD_S = 10 * 60
_LEAST_S = 30 * 60
# Round trips of devices on NB-IoT, and blocks as small as theirs.
_SLOWEST_BLOCK_S = 10
_BLOCK_BYTES = 512


class DeliveryMethod(IntEnum):
    """What a device says that it can (5/0/9)."""

    PULL = 0
    PUSH = 1
    BOTH = 2


class Scheme(Enum):
    """Where a device can download from; the number is that of 5/0/8."""

    COAPS = ("coaps", 1, False)
    HTTPS = ("https", 3, False)
    COAPS_TCP = ("coaps+tcp", 5, False)
    COAP = ("coap", 0, True)
    HTTP = ("http", 2, True)
    COAP_TCP = ("coap+tcp", 4, True)

    def __init__(self, text: str, protocol: int, plain: bool) -> None:
        self.text = text
        self.protocol = protocol
        # Anybody on the way can read it.
        self.plain = plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A push, or a pull by a scheme."""

    scheme: Scheme | None = None

    @property
    def is_pull(self) -> bool:
        """True if the device fetches it."""
        return self.scheme is not None


class Forced(Enum):
    """What a campaign or a model may insist on."""

    PUSH = "push"
    PULL = "pull"


def choose_scheme(
    protocols: Collection[int],
    served: Collection[Scheme],
    *,
    plain_allowed: bool,
    failed: Collection[Scheme] = (),
) -> Scheme | None:
    """Choose the first that both sides have; never one that the device does not list."""
    for scheme in Scheme:
        if (
            scheme.protocol in protocols
            and scheme in served
            and scheme not in failed
            and (plain_allowed or not scheme.plain)
        ):
            return scheme
    return None


def choose_delivery(
    reading: FirmwareReading,
    served: Collection[Scheme],
    *,
    plain_allowed: bool,
    forced: Forced | None = None,
    failed: Collection[Scheme] = (),
    push_failed: bool = False,
) -> Delivery | None:
    """Choose how; None: there is no way left, and the reason is an unsupported protocol.

    ``failed`` are the schemes that the device has refused with result 9.
    """
    pull = reading.delivery != DeliveryMethod.PUSH and forced is not Forced.PUSH
    push = reading.delivery != DeliveryMethod.PULL and forced is not Forced.PULL
    scheme = choose_scheme(reading.protocols, served, plain_allowed=plain_allowed, failed=failed)
    if pull and scheme is not None:
        return Delivery(scheme=scheme)
    return Delivery() if push and not push_failed else None


def pull_s(size_bytes: int) -> float:
    """Return how long a whole download may take."""
    return max(_LEAST_S, size_bytes / _SLOWEST_BYTES_PER_S + _OVERHEAD_S)


def push_s(size_bytes: int) -> float:
    """Return how long a whole push may take: each block is a round trip, and a device may take its time."""
    return max(_LEAST_S, size_bytes / _BLOCK_BYTES * _SLOWEST_BLOCK_S + _OVERHEAD_S)


def write_uri(uri: str) -> Request:
    """Tell a device where its image is."""
    encoded = uri.encode()
    if not 1 <= len(encoded) <= LONGEST_URI:
        raise UnwritableError("a package URI has 1 to 255 bytes")
    return Request(
        method=Code.PUT,
        path=path_segments(PACKAGE_URI),
        content_format=ContentFormat.TEXT,
        payload=encoded,
    )


def write_package() -> Request:
    """Return the request of a push; its payload comes in blocks."""
    return Request(
        method=Code.PUT, path=path_segments(PACKAGE), content_format=ContentFormat.OPAQUE
    )


def execute_update() -> Request:
    """Tell a device to apply what it has."""
    return Request(method=Code.POST, path=path_segments(UPDATE))


def write_integer(path: Path, value: int) -> Request:
    """Set a resource that is a number."""
    return Request(
        method=Code.PUT,
        path=path_segments(path),
        content_format=ContentFormat.TEXT,
        payload=b"%d" % value,
    )


def reset_request(move: ResetMove) -> Request:
    """Return the request of one way to make the machine idle."""
    match move:
        case ResetMove.EMPTY_URI:
            return Request(
                method=Code.PUT,
                path=path_segments(PACKAGE_URI),
                content_format=ContentFormat.TEXT,
            )
        case ResetMove.CANCEL:
            return Request(method=Code.POST, path=path_segments(CANCEL))
        case ResetMove.ZERO_BYTE:
            return Request(
                method=Code.PUT,
                path=path_segments(PACKAGE),
                content_format=ContentFormat.OPAQUE,
                payload=b"\x00",
            )
        case _:
            assert_never(move)
