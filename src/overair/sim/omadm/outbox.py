"""A package on its way out: cut into messages no bigger than the server takes, values in pieces.

All of it goes into one message if it fits. Otherwise as many commands as fit, Final only in the last
message; a value that is bigger than a message by itself goes in pieces with MoreData, the first of which
says the whole size (oma-dm 5.4).
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from overair.protocols.syncml import codec
from overair.protocols.syncml.message import Command, Header, Message, Meta, Results, Status
from overair.sim.omadm.manners import Manners, Oddity

# Room for what stands round a piece of a value.
_MARGIN = 64


class Outbox:
    """What is still to be said. ``limit`` is what the server takes in one message."""

    def __init__(self, manners: Manners) -> None:
        self.limit: int | None = None
        self._manners = manners
        self._waiting: deque[Command] = deque()
        # Whether the package that is going out has begun, and not ended.
        self._is_begun = False

    @property
    def is_open(self) -> bool:
        """Tell whether a package has begun of which something is still to come."""
        return self._is_begun

    def fill(self, commands: Iterable[Command]) -> None:
        """Begin a package anew."""
        self._waiting = deque(commands)

    def add(self, commands: Iterable[Command]) -> None:
        """Append to the package."""
        self._waiting.extend(commands)

    def clear(self) -> None:
        """Drop what has not been said."""
        self._waiting.clear()

    def message(self, header: Header, statuses: Sequence[Command]) -> Message:
        """Return the next message: these statuses, and what else fits."""
        one_by_one = self._manners.has(Oddity.ONE_BY_ONE) and header.msg_id > 1
        results_first = self._manners.has(Oddity.RESULTS_FIRST)
        said = list(statuses)
        first = 0
        while self._waiting:
            # A header's Status is the first element, whatever else a client does.
            place = 1 + first if results_first and statuses else len(said)
            candidate = [*said[:place], self._waiting[0], *said[place:]]
            if not self._fits(header, candidate):
                if len(said) == len(statuses):
                    said = self._split(header, said)
                break
            said = candidate
            first += 1
            self._waiting.popleft()
            if one_by_one and first == 1:
                break
        self._is_begun = bool(self._waiting)
        return Message(header=header, commands=self._numbered(said), final=not self._waiting)

    def _fits(self, header: Header, commands: list[Command]) -> bool:
        return self.limit is None or self._size(header, commands) <= self.limit

    def _size(self, header: Header, commands: list[Command]) -> int:
        message = Message(header=header, commands=self._numbered(commands), final=True)
        return len(codec.encode(message, self._manners.form))

    def _split(self, header: Header, said: list[Command]) -> list[Command]:
        """Say as much of a value as fits; only values of Results are ever that long."""
        command = self._waiting[0]
        assert self.limit is not None, "what fits without a limit is not split"
        if not isinstance(command, Results) or not isinstance(command.items[0].data, str):
            # Better too long than never.
            return [*said, self._waiting.popleft()]
        item = command.items[0]
        data = command.items[0].data or ""
        whole = item.meta or Meta()
        size = len(data) if whole.size is None else whole.size
        meta = replace(whole, size=size)
        empty = replace(item, data="", meta=meta, more_data=True)
        taken = self._size(header, [*said, replace(command, items=(empty,))])
        room = self.limit - taken - _MARGIN
        if room <= 0:
            return said if said else [self._waiting.popleft()]
        piece = replace(item, data=data[:room], meta=meta, more_data=True)
        # Its size is said with the first piece only.
        rest = replace(item, data=data[room:], meta=None)
        self._waiting[0] = replace(command, items=(rest,))
        return [*said, replace(command, items=(piece,))]

    def _numbered(self, commands: list[Command]) -> tuple[Command, ...]:
        same = self._manners.has(Oddity.SAME_CMD_IDS)
        return tuple(
            replace(command, cmd_id="1" if same and isinstance(command, Status) else str(number))
            for number, command in enumerate(commands, 1)
        )
