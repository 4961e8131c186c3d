"""Direct Device Integration (DDI) v1: what HTTP devices and the server say to each other.

The server's half reads requests (``route``, ``decode``) and writes answers (``encode``); the device's
half (``client``) does the opposite. The two halves share the vocabulary of ``values`` and nothing
else: two ends of one codec would agree on the same bug.
"""
