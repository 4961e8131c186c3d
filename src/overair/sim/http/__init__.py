"""Simulated HTTP devices: for tests, demonstrations and trying out any DDI server.

A device (``device``) is a generator that does no I/O: it yields ``steps`` and is sent replies. What happens
to it is drawn from a ``profile`` by its own dice, so a fleet with the same seed has the same fate.
``transport`` carries steps out over HTTP, ``fleet`` runs thousands of devices in one process, ``roster``
says which devices there are.

The simulation knows the specification and its clock. It never sees the server.
"""
