"""OMA-DM sessions without sockets, clock or dice: what a device said, and what the server says next.

One message goes through in two steps, so that the engine's answer to the first decides the second:

    body ─ read ─> Request ─ receive ─> Received ── events ──> the engine
                                            │                     │
                                            └────── proceed <─── Task
                                                       │
                                                    Outcome: the reply, and what is to be kept

``exchange`` is the door. Behind it, in the order of the walk: ``account`` (who may speak), ``incoming``
(what was said), ``decide`` (the decision table), ``outgoing`` (the reply). ``session``, ``knowledge``
and ``account`` are what is kept between two messages; ``task`` and ``events`` are what crosses to the
engine and back.

Not in here: HTTP, the database, campaigns and attempts. Only the edge knows both sides.
"""
