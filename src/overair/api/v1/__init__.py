"""Version 1 of the published API: devices that are told to come, over OMA-DM and LWM2M (API 3.1 and 4).

Made like ``api/v2``: a module for each group of operations, its shapes beside its routes. What v1
calls an *upgrade* is a campaign everywhere below; the word stays in this room. Its differences:

- lists are paged by numbers in the path (``cursors``), and the same path without one is the first page;
- the account of a new upgrade is in the body;
- devices are added and taken out at once, and each one's outcome is the answer;
- an upgrade that was cancelled does not exist any more.

Not in here: tokens and decoding (``api/gate.py``, ``api/binding.py``), words (``core/words``), any
rule.
"""

from overair.api.routing import Route
from overair.api.v1 import callbacks, catalog, licenses, reports, upgrades

v1_routes: list[Route] = [
    *licenses.routes,
    *catalog.routes,
    *upgrades.routes,
    *reports.routes,
    *callbacks.routes,
]
"""The operations of version 1, in the order of its index."""
