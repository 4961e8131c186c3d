"""``overair demo``: a whole campaign over a simulated fleet, in about a minute.

``command`` is the command; ``world`` writes the installation's files (settings, fleet file, images);
``story`` is what the operator does, through the public API only (``client``); ``pace`` lets the
demo's clock run; ``ledger`` holds the reports against what the devices say of themselves; ``pushed``
and ``upgrade`` are the devices that are told to come, over OMA-DM, and their upgrade through v1;
``cells`` and ``slotted`` those in cells, over LwM2M, and their campaigns through v3;
``picture``, ``outcome`` and ``advice`` are what is printed.

The demo's days are the ones before today: its clock starts in the past and arrives at the present
with the end of the story. So what is left behind is an ordinary installation, for which every other
command, and the server itself, tells the right time.
"""

from overair.cli.demo.command import demo

__all__ = ["demo"]
