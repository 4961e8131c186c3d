"""Numbers of the protocol that mean something: types, codes, options (RFC 7252 12).

A peer may send any number. Values hold plain integers, and these are what they are compared with.
"""

from enum import IntEnum

VERSION = 1
PORT = 5683
SECURE_PORT = 5684


class Type(IntEnum):
    """How a message is to be taken."""

    CON = 0
    NON = 1
    ACK = 2
    RST = 3


class Code(IntEnum):
    """What a message is: nothing, a method, or an answer (``c << 5 | dd`` for c.dd)."""

    EMPTY = 0x00
    GET = 0x01
    POST = 0x02
    PUT = 0x03
    DELETE = 0x04
    # RFC 8132, for composite reads and writes.
    FETCH = 0x05
    PATCH = 0x06
    IPATCH = 0x07
    CREATED = 0x41
    DELETED = 0x42
    VALID = 0x43
    CHANGED = 0x44
    CONTENT = 0x45
    CONTINUE = 0x5F
    BAD_REQUEST = 0x80
    UNAUTHORIZED = 0x81
    BAD_OPTION = 0x82
    FORBIDDEN = 0x83
    NOT_FOUND = 0x84
    METHOD_NOT_ALLOWED = 0x85
    NOT_ACCEPTABLE = 0x86
    REQUEST_ENTITY_INCOMPLETE = 0x88
    CONFLICT = 0x89
    PRECONDITION_FAILED = 0x8C
    REQUEST_ENTITY_TOO_LARGE = 0x8D
    UNSUPPORTED_CONTENT_FORMAT = 0x8F
    INTERNAL_SERVER_ERROR = 0xA0
    NOT_IMPLEMENTED = 0xA1
    BAD_GATEWAY = 0xA2
    SERVICE_UNAVAILABLE = 0xA3
    GATEWAY_TIMEOUT = 0xA4
    PROXYING_NOT_SUPPORTED = 0xA5


class Option(IntEnum):
    """Options that somebody here reads, writes or refuses."""

    IF_MATCH = 1
    URI_HOST = 3
    ETAG = 4
    IF_NONE_MATCH = 5
    OBSERVE = 6
    URI_PORT = 7
    LOCATION_PATH = 8
    URI_PATH = 11
    CONTENT_FORMAT = 12
    MAX_AGE = 14
    URI_QUERY = 15
    ACCEPT = 17
    LOCATION_QUERY = 20
    BLOCK2 = 23
    BLOCK1 = 27
    SIZE2 = 28
    PROXY_URI = 35
    PROXY_SCHEME = 39
    SIZE1 = 60


def dotted(code: int) -> str:
    """Write a code as people do: 0x84 is 4.04."""
    return f"{code >> 5}.{code & 0x1F:02}"


def is_request(code: int) -> bool:
    """Tell whether it is a method, known or not."""
    return 0 < code < 0x20


def is_response(code: int) -> bool:
    """Tell whether it is an answer, of a class that is known or not."""
    return code >= 0x40


def is_success(code: int) -> bool:
    """Tell whether an answer is 2.xx."""
    return code >> 5 == 2
