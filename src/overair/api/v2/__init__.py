"""Version 2 of the published API: devices that pull over HTTP (API 3.2 and 5).

A module for each group of operations, its shapes beside its routes: what only one operation says
stands there, what several say in ``shapes``. A handler decodes, makes one call (a change in
``engine``, a read in ``store``), and encodes. The published words for states and reasons are below,
in ``core/words``, because callbacks say the same.

Not in here: tokens and decoding (``api/gate.py``, ``api/binding.py``), any rule.
"""

from overair.api.routing import Route
from overair.api.v2 import callbacks, campaigns, catalog, devicelog, files, licenses, reports

v2_routes: list[Route] = [
    *licenses.routes,
    *campaigns.routes,
    *files.routes,
    *catalog.routes,
    *reports.routes,
    *callbacks.routes,
    *devicelog.routes,
]
"""The operations of version 2, in the order of its index."""
