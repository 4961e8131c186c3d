"""What is kept between two messages, as JSON text: a session, an account's nonces, what is known of a device.

The values are the protocol's, and its members are the members here. One that a text does not have gets
its default, and unknown ones are passed over: what an older or a newer version of this program wrote is
still read. Bytes are base64, instants RFC 3339, enums their values. Text that this module did not write is
our own mistake, and raises what it raises.
"""

from typing import Final

from msgspec.json import Decoder, Encoder

from overair.protocols.omadm.account import Nonces
from overair.protocols.omadm.knowledge import Knowledge
from overair.protocols.omadm.session import Session

_written: Final = Encoder().encode
_read_session: Final = Decoder(Session).decode
_read_nonces: Final = Decoder(Nonces).decode
_read_knowledge: Final = Decoder(Knowledge).decode


def encode(value: Session | Nonces | Knowledge) -> str:
    """Write it."""
    return _written(value).decode()


def decode_session(text: str) -> Session:
    """Read a session."""
    return _read_session(text)


def decode_nonces(text: str) -> Nonces:
    """Read the nonces of an account."""
    return _read_nonces(text)


def decode_knowledge(text: str) -> Knowledge:
    """Read what is known of a device."""
    return _read_knowledge(text)
