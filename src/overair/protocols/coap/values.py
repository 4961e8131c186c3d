"""Requests and answers as values, and the bounds on both.

Every option has the member that its meaning needs; options that mean nothing here are not kept. A value
says nothing about how it travels: message ids, tokens and repetition are the endpoint's.
"""

from dataclasses import dataclass
from typing import NamedTuple

from overair.protocols.coap.numbers import is_success

# Block sizes are 16 << szx; 7 is reserved (RFC 7959 2.2), and 6 is the largest.
LARGEST_SZX = 6
MOST_BLOCKS = 1 << 20


class Block(NamedTuple):
    """A Block1 or Block2 option: which part, whether more follow, how large the parts are."""

    number: int
    more: bool
    szx: int

    @property
    def size(self) -> int:
        """How many bytes a full block has."""
        return 16 << self.szx

    @property
    def offset(self) -> int:
        """Where the block begins in the whole."""
        return self.number << (self.szx + 4)


class Request(NamedTuple):
    """What one side asks of the other. A tuple, as ``Response`` is: each block of an image makes both."""

    method: int
    path: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    content_format: int | None = None
    accept: int | None = None
    # 0 registers, 1 cancels (RFC 7641 2).
    observe: int | None = None
    block1: Block | None = None
    block2: Block | None = None
    size1: int | None = None
    size2: int | None = None
    payload: bytes = b""


class Response(NamedTuple):
    """What the other says to it; a notification too."""

    code: int
    content_format: int | None = None
    # The sequence number, 24 bits, of one who observes.
    observe: int | None = None
    etag: bytes | None = None
    location: tuple[str, ...] = ()
    max_age: int | None = None
    block1: Block | None = None
    block2: Block | None = None
    size1: int | None = None
    size2: int | None = None
    payload: bytes = b""

    @property
    def ok(self) -> bool:
        """True for 2.xx."""
        return is_success(self.code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How long to wait for one peer (RFC 7252 4.8); a model that is slower has its own."""

    ack_timeout: float = 2.0
    ack_random_factor: float = 1.5
    max_retransmit: int = 4

    @property
    def max_transmit_wait(self) -> float:
        """After this much time a CON that nobody acknowledged has failed; 93 s."""
        return self.ack_timeout * ((2 << self.max_retransmit) - 1) * self.ack_random_factor


# RFC 7252 4.8.2, with its own parameters: how long a message id means one message.
EXCHANGE_LIFETIME = 247.0
NON_LIFETIME = 145.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CoapLimits:
    """Every bound of an endpoint (lwm2m 14, 15)."""

    datagram_bytes: int = 1500
    options_bytes: int = 1152
    segments: int = 32
    segment_bytes: int = 255
    observations: int = 8
    queued: int = 32
    remembered: int = 196_608
    # An answer that is longer than this, to a request that may be carried out again, is not kept.
    remembered_bytes: int = 128
    # Requests that come in blocks: how long each may be, and how many may be on their way.
    body_bytes: int = 16 * 1024
    bodies: int = 1024
    # Answers that come in blocks.
    read_bytes: int = 64 * 1024
    # Peers of whom nothing but a message id is known.
    peers: int = 262_144
    # Work that takes longer gets an empty acknowledgement first.
    separate_after: float = 1.0
    # How long a peer's old observations are still heard after it moved (lwm2m 6).
    retain: float = 86_400.0


LIMITS = CoapLimits()
TIMINGS = Timings()
