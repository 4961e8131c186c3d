"""OMA-DM devices: sessions over HTTP, downloads, and what brings an account to a device.

``edge`` is the door; ``exchange`` takes one message through one transaction, ``effects`` tells the engine
what was said, ``accounts`` knows who speaks, ``downloads`` sends what they are told to fetch, and
``bootstrap`` writes what a gateway sends to a new device. What is said, and what the answer is, decides
``protocols/omadm``, which knows none of this.
"""
