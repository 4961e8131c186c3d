"""Everything that may happen to two devices, an operator, the engine and a clock, to a depth.

Explicit-state model checking without a model: a state is the content of a real database in memory, an
event is a transaction function of the real engine on it, with the real tables and rules of ``core`` below.
Breadth first from a few states to begin with, each state once; what is found is told as the shortest list of
events that leads to it.

- ``ground``      the devices, the package and the events; ``Game``, what differs between versions
- ``http``, ``omadm``, ``lwm2m``   the games of v2, v1 and v3; ``operating``, what they have in common
- ``view``, ``canonical``          rows by name; what of them makes a state
- ``invariants``  what must hold of each transition; recounts are ``store/verify.py``'s
- ``search``      the search

Not here: more devices, larger fleets, faults of networks and disks, whose number is too large to go
through all of it. That is what seeds are for.
"""

from collections.abc import Callable, Mapping
from typing import Final

from overair.simulation.explore.ground import Game
from overair.simulation.explore.http import HttpGame
from overair.simulation.explore.lwm2m import Lwm2mGame
from overair.simulation.explore.omadm import OmadmGame
from overair.simulation.explore.search import Found, Violation, explore

GAMES: Final[Mapping[str, Callable[[], Game]]] = {"v1": OmadmGame, "v2": HttpGame, "v3": Lwm2mGame}

__all__ = ["GAMES", "Found", "Game", "HttpGame", "Lwm2mGame", "OmadmGame", "Violation", "explore"]
