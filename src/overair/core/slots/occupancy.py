"""What of each cell and slot is taken, by every campaign.

A slot of a cell is one whole, and a device takes a share of it: one part in as many as the slot may
hold of its signal class. With limits of 50, 10 and 1, a slot holds 50 devices with a good signal, or 10
with a fair one, or 25 and 5, or one with a poor signal and nobody beside it: who is at the cell's edge
needs as much of its air as fifty who are not. What is not known counts as fair. Devices whose cell is
not known are in one pool with a limit of its own, whatever their signal; it should be wider, because
they sit in many cells really.

Shares are whole numbers, parts of ``WHOLE``, which all usual limits divide. A share is given back as it
was taken (``Held``), so that limits may be changed while campaigns run: who has a place keeps it, and
the new limits count from the next placing on. The share of work that has begun is spent, and never
given back: the cell has carried it.

An ``Occupancy`` is the one value here that changes. It asks for a cell's rows when it meets the cell for
the first time, or is given them before (``load``), and remembers what was changed since (``drain``): in
both directions the rows are (cell, key of the slot, share).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from overair.core.slots.radio import UNKNOWN_CELL, CellKey, Signal

WHOLE: Final = (
    6_983_776_800  # every limit to 20 divides it, and 50, 100, 1000 do not lose a part in 10^6
)
MOST: Final = 10_000  # per slot: rounding a share down must never make room for one more


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many devices of one signal class may begin in one cell and slot."""

    good: int = 50
    fair: int = 10
    poor: int = 1
    unknown_cell: int = 100

    def __post_init__(self) -> None:
        if not all(1 <= n <= MOST for n in (self.good, self.fair, self.poor, self.unknown_cell)):
            raise ValueError(f"a limit per cell and slot is 1 to {MOST}")

    def shares(self, cell: CellKey) -> dict[Signal, int]:
        """What a device of each class takes of a slot in this cell."""
        if cell == UNKNOWN_CELL:
            return dict.fromkeys(Signal, WHOLE // self.unknown_cell)
        fair = WHOLE // self.fair
        return {
            Signal.GOOD: WHOLE // self.good,
            Signal.FAIR: fair,
            Signal.UNKNOWN: fair,
            Signal.POOR: WHOLE // self.poor,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A place that a device has, with all that it takes to give it back."""

    cell: CellKey
    key: int
    share: int


@dataclass(frozen=True, slots=True)
class Taken:
    """A row: how much of a cell's slot is taken, or was taken (given back) since the last drain."""

    cell: CellKey
    key: int
    share: int


class Cell:
    """One cell's slots."""

    __slots__ = ("_before", "_taken")

    def __init__(self, taken: dict[int, int]) -> None:
        self._taken = taken
        self._before: dict[int, int] | None = None  # as it was drained last, if it changed since

    @property
    def taken(self) -> Mapping[int, int]:
        """What is taken of each slot, by key, in parts of ``WHOLE``."""
        return self._taken

    def change(self) -> dict[int, int]:
        """What is taken, to be changed: with it goes the memory of what it was."""
        if self._before is None:
            self._before = self._taken.copy()
        return self._taken

    def changes(self) -> Iterator[tuple[int, int]]:
        """What has changed since the last call, by key."""
        before, self._before = self._before, None
        if before is not None:
            for key, share in self._taken.items():
                if share != before.get(key, 0):
                    yield key, share - before.get(key, 0)


Source = Callable[[CellKey], Iterable[tuple[int, int]]]
"""The rows of one cell: (key of the slot, share)."""


class Occupancy:
    """What is taken in the cells met so far."""

    __slots__ = ("_cells", "_source")

    def __init__(self, source: Source | None = None) -> None:
        self._cells: dict[CellKey, Cell] = {}
        self._source = source

    def load(self, rows: Iterable[Taken], cells: Iterable[CellKey] = ()) -> None:
        """Give rows ahead, many cells at once; ``cells``: these too, though they may have no row.

        A cell that is known already keeps what it has.
        """
        fresh: dict[CellKey, dict[int, int]] = {
            cell: {} for cell in cells if cell not in self._cells
        }
        for row in rows:
            if row.cell not in self._cells:
                slots = fresh.setdefault(row.cell, {})
                slots[row.key] = slots.get(row.key, 0) + row.share
        self._cells.update((cell, Cell(taken)) for cell, taken in fresh.items())

    def missing(self, cells: Iterable[CellKey]) -> set[CellKey]:
        """Those of these cells that would have to be asked for."""
        return {cell for cell in cells if cell not in self._cells}

    def cell(self, key: CellKey) -> Cell:
        """A cell, asked for if it is met for the first time."""
        cell = self._cells.get(key)
        if cell is None:
            taken: dict[int, int] = {}
            for slot, share in self._source(key) if self._source is not None else ():
                taken[slot] = taken.get(slot, 0) + share
            cell = self._cells[key] = Cell(taken)
        return cell

    def taken(self, cell: CellKey, key: int) -> int:
        """How much of a slot is taken, in parts of ``WHOLE``; more, if limits have shrunk since."""
        return self.cell(cell).taken.get(key, 0)

    def give_back(self, held: Held) -> None:
        """Give back a place in which no work has begun."""
        taken = self.cell(held.cell).change()
        if taken.get(held.key, 0) < held.share:
            raise ValueError("nobody has the place that is given back")
        taken[held.key] -= held.share

    def rows(self) -> Iterator[Taken]:
        """Everything that is taken in the cells met."""
        for key, cell in self._cells.items():
            for slot, share in cell.taken.items():
                if share:
                    yield Taken(key, slot, share)

    def drain(self) -> list[Taken]:
        """What was taken, less what was given back, since the last call: to be added to the rows."""
        return [
            Taken(key, slot, share)
            for key, cell in self._cells.items()
            for slot, share in cell.changes()
        ]
