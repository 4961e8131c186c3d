"""The pilot rule: how many devices a campaign may hold (``lifecycle.md`` 2.4, ``api.md`` 8).

Until a package is proven on an account, a campaign of it may hold ``pilot_devices`` devices. It is
proven, for good, once at least ``pilot_outcomes`` devices of its pilot campaigns have a final
outcome and at least ``pilot_success_percent`` of those succeeded.
"""


def is_proven(succeeded: int, failed: int, *, outcomes: int, success_percent: int) -> bool:
    """Whether these counts of final outcomes lift the limit."""
    total = succeeded + failed
    return total >= outcomes and succeeded * 100 >= total * success_percent
