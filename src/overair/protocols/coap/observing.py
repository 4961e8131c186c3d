"""What we observe, of all peers: which tokens are heard, and what is news (RFC 7641 3; lwm2m 6).

An observation lives in its peer's line, by its token, and here, by its handle. One that the peer has been
told nothing more of, because it registered anew, is *retired*: heard for a day, since modules keep token
and message id over a restart and report the end of an update under the old one.

Not in here: asking for an observation, and cancelling it at the peer (``sending``).
"""

from overair.protocols.coap.errors import FullError
from overair.protocols.coap.events import Event, Handle, Notified
from overair.protocols.coap.line import Line, Observation, Pending
from overair.protocols.coap.values import CoapLimits, Response

# Retired observations that are heard beside the present ones.
_MOST_RETIRED = 16


class Observed:
    """Every observation of ours."""

    def __init__(self, limits: CoapLimits) -> None:
        self._limits = limits
        self._by_handle: dict[Handle, Observation] = {}

    def check_room(self, line: Line) -> None:
        """Refuse one more observation of a peer if it has as many as it may."""
        live = sum(each.until is None for each in line.observations)
        if live >= self._limits.observations:
            raise FullError(f"{live} resources of the peer are observed already")

    def add(self, line: Line, observation: Observation) -> None:
        """Hear notifications under its token from now on."""
        others = (each for each in line.observations if each.token != observation.token)
        line.observations = (*others, observation)
        observation.line = line
        self._by_handle[observation.handle] = observation

    def remove(self, line: Line, observation: Observation) -> None:
        """Hear them no more."""
        token = observation.token
        line.observations = tuple(each for each in line.observations if each.token != token)
        self._by_handle.pop(observation.handle, None)

    def find(self, handle: Handle) -> tuple[Line, Observation] | None:
        """Return an observation and whose it is."""
        found = self._by_handle.get(handle)
        return None if found is None or found.line is None else (found.line, found)

    def heard(self, line: Line, token: bytes, now: float) -> Observation | None:
        """Return what is observed under a token, if it is still heard."""
        for found in line.observations:
            if found.token == token:
                if found.until is None or now < found.until:
                    return found
                self.remove(line, found)
                break
        return None

    def settle(self, line: Line, pending: Pending, response: Response, now: float) -> bool:
        """Tell whether a peer that was asked is going to notify us, and keep that in mind."""
        observation = pending.observation
        if observation is None:
            return False
        # An answer in blocks has its sequence number in the first of them.
        if pending.request.observe or not response.ok or response.observe is None:
            self.remove(line, observation)
            return False
        observation.sequence = response.observe
        observation.heard_at = now
        return True

    def notified(
        self,
        line: Line,
        observation: Observation,
        response: Response,
        now: float,
        events: list[Event],
    ) -> None:
        """A notification has come: an event if it is newer than the last, or says that it is the last."""
        sequence = response.observe
        final = sequence is None or not response.ok
        if sequence is None or final:
            self.remove(line, observation)
        elif observation.is_fresher(sequence, now):
            observation.sequence = sequence
            observation.heard_at = now
        else:
            return
        events.append(
            Notified(peer=line.peer, handle=observation.handle, response=response, final=final)
        )

    def retire(self, line: Line, now: float) -> None:
        """Let a peer have registered anew: it knows our observations no more, or so it should."""
        for observation in line.observations:
            if observation.until is None:
                observation.until = now + self._limits.retain
        for observation in line.observations[:-_MOST_RETIRED]:
            self.remove(line, observation)
