"""How far back a device's history reaches: whole months of the calendar (``api.md`` 8)."""

from calendar import monthrange
from datetime import datetime


def history_start(now: datetime, months: int) -> datetime:
    """The instant ``months`` before ``now``; a day that the month lacks is the month's last."""
    year, month0 = divmod(now.year * 12 + now.month - 1 - months, 12)
    day = min(now.day, monthrange(year, month0 + 1)[1])
    return now.replace(year=year, month=month0 + 1, day=day)
