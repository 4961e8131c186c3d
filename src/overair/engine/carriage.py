"""What the engine has to know of carriers: that one did not take a notification.

``engine/push`` counts a notification as sent before it leaves, so that two processes never send the
same one. Where nobody took it, it is taken back: the device is due again soon, with the same session and
number, and its window is as long as it was.
"""

from collections.abc import Sequence
from datetime import datetime

from overair.engine.push import Wake
from overair.store import push
from overair.store.database import Tx


def take_back(tx: Tx, wakes: Sequence[Wake], again_at: datetime) -> int:
    """These were not sent, and are due again at ``again_at``; how many still were to be."""
    return sum(
        push.unsend(tx, wake.attempt_id, wake.number, again_at)
        for wake in sorted(wakes, key=lambda wake: wake.attempt_id)
    )
