"""How many requests may be under way whose bodies do not come (``oma-dm.md`` 15).

Nearly every body is there with its request, or a moment later; only one that is not is counted. Each has
a limited size and a limited time, but whoever opens thousands and sends nothing would hold their memory
and their connections for all of that. So there may be so many of one address and so many in all; beyond
that the longest waiting one makes room, and is told to come again. That is not the newest, because then a
crowd that was here first would keep every slow device out; and of an address that has too many it is one
of its own.
"""

from overair.devices.asgi import Request


class SlowBodies:
    """The requests whose bodies are waited for; the longest waiting first."""

    def __init__(self, *, after_s: float, of_an_address: int, in_all: int) -> None:
        self.after_s = after_s
        self._of_an_address = of_an_address
        self._in_all = in_all
        self._all: dict[Request, str] = {}
        self._of: dict[str, dict[Request, None]] = {}

    def join(self, request: Request) -> None:
        """Its body is slow."""
        address = request.client
        self._all[request] = address
        its = self._of.setdefault(address, {})
        its[request] = None
        if len(its) > self._of_an_address:
            self._cut(next(iter(its)))
        elif len(self._all) > self._in_all:
            self._cut(next(iter(self._all)))

    def leave(self, request: Request) -> None:
        """Its body is there, or is waited for no longer."""
        address = self._all.pop(request, None)
        if address is None:
            return
        its = self._of[address]
        del its[request]
        if not its:
            del self._of[address]

    def _cut(self, request: Request) -> None:
        self.leave(request)
        request.cut()

    def __len__(self) -> int:
        return len(self._all)
