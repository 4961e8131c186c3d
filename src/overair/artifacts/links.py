"""Signed links: addresses that are good for a download until an instant, without credentials.

For clients that leave their ``Authorization`` header out when they download (http-ddi 3). A link
carries the instant at which it ends and an HMAC-SHA256 over that and its path, so it is good for
one path only, and nobody can prolong it. The key is derived from the installation's for this use
alone: a signature made here can stand for nothing else that the installation signs.

Not in here: who gets a link, and for how long.
"""

import base64
import hmac
import re
from datetime import datetime
from urllib.parse import parse_qs

_PURPOSE = b"overair artifact link 1"
_EXPIRES = "expires"
_SIGNATURE = "signature"
_SECONDS = re.compile(r"[1-9][0-9]{0,11}")
_MAC = re.compile(r"[A-Za-z0-9_-]{43}")


def sign(path: str, expires_at: datetime, key: bytes) -> str:
    """Make the query string that lets ``path`` be fetched until ``expires_at``.

    ``path`` is the decoded path of the request that is to come, from the root of our addresses.
    """
    seconds = str(int(expires_at.timestamp()))
    return f"{_EXPIRES}={seconds}&{_SIGNATURE}={_mac(path, seconds, key)}"


def verify(path: str, query: str, now: datetime, key: bytes) -> bool:
    """Whether the query string of a request lets it have ``path``; other parameters are ignored."""
    try:
        values = parse_qs(query, max_num_fields=10)
    except ValueError:
        return False
    match values.get(_EXPIRES), values.get(_SIGNATURE):
        case [seconds], [signature]:
            pass
        case _:
            return False
    if _SECONDS.fullmatch(seconds) is None or _MAC.fullmatch(signature) is None:
        return False
    genuine = hmac.compare_digest(_mac(path, seconds, key), signature)
    return genuine and now.timestamp() < int(seconds)


def _mac(path: str, seconds: str, key: bytes) -> str:
    derived = hmac.digest(key, _PURPOSE, "sha256")
    # The number ends at the first space, so no other split of the text gives the same message.
    message = f"{seconds} {path}".encode("utf-8", "surrogatepass")
    code = base64.urlsafe_b64encode(hmac.digest(derived, message, "sha256"))
    return code.rstrip(b"=").decode("ascii")
