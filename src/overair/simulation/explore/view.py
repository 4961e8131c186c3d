"""The rows of a small database as the exploration looks at them: by name, and by device.

Instants are what the store has, milliseconds since the epoch; None where there is none.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from overair.core.attempt import CLOSED, AttemptState
from overair.store.snapshots import Content, SmallDatabase

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """An attempt with what a notified one has beside it."""

    id: int
    number: int  # the device's how manieth of all: what it is called in a list of events
    upgrade: Record
    own: Record
    push: Record | None

    @property
    def state(self) -> AttemptState:
        return AttemptState(self.own["state"])

    @property
    def open(self) -> bool:
        return self.state not in CLOSED


class View:
    """The content of a database, looked at."""

    def __init__(self, database: SmallDatabase, content: Content) -> None:
        self.content = content
        self._tables = dict(zip(database.tables, content, strict=True))
        self._columns = database.columns
        self._made: dict[str, tuple[Record, ...]] = {}
        self._tries: dict[int, list[Try]] | None = None

    def rows(self, table: str) -> tuple[Record, ...]:
        """Every row of a table, in the order of ids where it has any."""
        made = self._made.get(table)
        if made is None:
            columns = self._columns[table]
            made = tuple(dict(zip(columns, row, strict=True)) for row in self._tables[table])
            self._made[table] = made
        return made

    def by(self, table: str, column: str = "id") -> dict[Any, Record]:
        """The rows of a table by a column that is different in each."""
        return {row[column]: row for row in self.rows(table)}

    @property
    def devices(self) -> tuple[Record, ...]:
        return self.rows("device")

    @property
    def campaigns(self) -> tuple[Record, ...]:
        return self.rows("campaign")

    @property
    def upgrades(self) -> tuple[Record, ...]:
        return self.rows("device_upgrade")

    def upgrades_of(self, imei: str) -> list[Record]:
        return [upgrade for upgrade in self.upgrades if upgrade["imei"] == imei]

    def tries(self, device_id: int) -> list[Try]:
        """The device's attempts, the first one first."""
        if self._tries is None:
            places = self.by("device_upgrade")
            pushes = self.by("push_attempt", "attempt_id")
            found: dict[int, list[Try]] = defaultdict(list)
            for row in self.rows("attempt"):
                mine = found[row["device_id"]]
                mine.append(
                    Try(
                        id=row["id"],
                        number=len(mine) + 1,
                        upgrade=places[row["upgrade_id"]],
                        own=row,
                        push=pushes.get(row["id"]),
                    )
                )
            self._tries = found
        return self._tries.get(device_id, [])

    def all_tries(self) -> list[Try]:
        return [each for device in self.devices for each in self.tries(device["id"])]

    def listed(self, upgrade: Record) -> Record:
        """The campaign of an upgrade."""
        return self.by("campaign")[upgrade["campaign_id"]]

    def device_named(self, imei: str) -> Record:
        return next(device for device in self.devices if device["imei"] == imei)
