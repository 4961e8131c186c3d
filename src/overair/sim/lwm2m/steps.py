"""What goes in and out of a simulated device: two times, and datagrams from its sockets.

A fleet's days may pass in seconds, but datagrams and the servers that answer them take as long as ever:
so a device has two times. Its *life* is in seconds since 1970 of the simulated clock: power, cells,
lifetimes, installations. The *wire* is in seconds of any clock that does not jump: repetitions, and for
how long a device in queue mode listens. Where nothing runs faster than anything else they may be the same.
"""

from typing import NamedTuple

Address = tuple[str, int]


class Now(NamedTuple):
    """The time, or rather both; as a timer each may be None: never by itself."""

    life: float
    wire: float


class Datagram(NamedTuple):
    """What a device sends, from one of its sockets."""

    channel: int
    remote: Address
    data: bytes
