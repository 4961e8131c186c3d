"""What a simulated OMA-DM device asks its surroundings to do: one thing at a time, each with its answer."""

from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, TypeVar

from overair.sim.requests import Answer, Fetch, Post


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """The device attached to its network, which may want to tell of it. The answer says nothing."""

    imei: str


Step: TypeAlias = Post | Fetch | Attach


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Inside a device only: nothing to ask until then, or until a notification if it is attentive."""

    until: datetime
    attentive: bool = False


_Result = TypeVar("_Result")

# A part of a device's life that ends with a result.
Part: TypeAlias = Generator[Step | Pause, Answer, _Result]
