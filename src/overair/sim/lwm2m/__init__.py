"""Simulated LwM2M devices: for tests, demonstrations and trying out any LwM2M server.

A device (``device``) does no I/O and reads no clock: datagrams and the time go in, datagrams come out. It
has power and network at times and moves between cells; it registers, listens and sleeps (``link``), answers
for its objects (``objects``, ``tree``), and takes images pushed or pulled (``intake``, ``fetching``) into
the machine of object 5 (``update``). What befalls it is drawn from
a ``profile`` by its own dice: the same seed gives the same fates. What it really runs and did is in its
journal (``tally``).

``fleet`` runs thousands of them in one process, each on ``sockets`` of its own; these two are all that does
I/O. The
simulation shares bytes and values with the server (the rooms of protocols), and never sees it.
"""
