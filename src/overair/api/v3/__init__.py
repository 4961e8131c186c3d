"""Version 3 of the published API: network-aware campaigns for devices over LwM2M (API 3.3 and 6).

Made like ``api/v2``: a module for each group of operations, its shapes beside its routes. Its differences:

- a campaign's devices get slots, so that a cell is not crowded; its report says each one's turn;
- devices are added and taken out at once, and each one's outcome is the answer;
- devices' firmware can be read at once, or asked of the device.

Not in here: tokens and decoding (``api/gate.py``, ``api/binding.py``), words (``core/words``), any
rule.
"""

from overair.api.routing import Route
from overair.api.v3 import callbacks, campaigns, catalog, licenses, others, reports, versions

v3_routes: list[Route] = [
    *licenses.routes,
    *campaigns.routes,
    *catalog.routes,
    *versions.routes,
    *reports.routes,
    *callbacks.routes,
    *others.routes,
]
"""The operations of version 3, in the order of its index."""
