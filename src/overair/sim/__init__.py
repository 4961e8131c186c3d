"""Simulated devices: for tests, demonstrations and trying out any server of their protocol.

A folder for each protocol, in each the same rooms: ``device`` (no I/O), ``profile`` (what befalls it),
``tally`` (what it really is and did), ``roster`` (which devices there are), ``fleet`` (thousands in one
process). Here is what they have in common: ``running`` and ``agenda`` drive a fleet, ``carrier`` fetches.

The simulation knows the specification and its clock. It never sees the server.
"""
