"""By which protocols devices are updated, and who begins.

Devices over HTTP ask by themselves. The others are told to come, or are come to: an attempt is opened
for them when it is their turn (``engine/push``).
"""

from typing import Final

HTTP: Final = "HTTP"
OMADM: Final = "OMADM"
LWM2M: Final = "LWM2M"

PUSHED: Final = frozenset({OMADM, LWM2M})


def is_served(protocol: str, *, lwm2m: bool) -> bool:
    """Whether there is a server for that protocol; ``lwm2m``: one for LwM2M was asked for."""
    return protocol in (HTTP, OMADM) or (protocol == LWM2M and lwm2m)
