"""Messages for callback listeners, queued in the transaction of the change they tell of.

A message is written only where the account has a listener for the API version concerned; that is
one point read, and all that a system without listeners pays. What is queued here is sent by
``callbacks/``, in order for each *stream*: a campaign is one, the catalogue of an account another.

``v1``, ``v2`` and ``v3`` have the bodies of each version (``api.md`` 9.2, 9.3). Not here: when there is
something to tell, which the callers know.
"""

from overair.engine.notify.queueing import (
    CATALOGUE,
    notify_campaign,
    notify_devices,
    notify_package,
)
from overair.engine.notify.shape import DeviceChange

__all__ = ["CATALOGUE", "DeviceChange", "notify_campaign", "notify_devices", "notify_package"]
