"""Simulated OMA-DM devices: for tests, demonstrations and trying out any OMA-DM server.

A device (``device``) does no I/O and reads no clock: it is told the time with everything that happens to
it (power, a timer, a notification, an answer) and says in return what it asks for (``steps``). A session
(``session``) speaks SyncML over its management tree (``tree``) with its account (``account``). What
befalls it is drawn from a ``profile``, and when it has power from ``power``, by its own dice: the same
seed gives the same fates. What it really is and did is in its journal (``tally``).

``fleet`` runs thousands of devices in one process over HTTP and UDP. So that they can be asked in one
process without any sockets, too, nothing but ``fleet``, ``carrier``, ``listener`` and ``network`` does I/O.

The simulation knows the specification and its clock. It never sees the server.
"""
