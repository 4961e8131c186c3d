"""How v3 campaigns are spread over cells and hours (the table ``[slots]``; ``lifecycle.md`` 5.2)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from overair.config.kinds import NotNegative, Positive


class Slots(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of slots."""

    minutes: Annotated[
        Positive, Meta(le=1440, description="Length of a slot; it has to divide a day.")
    ] = 240
    least_s: Annotated[
        NotNegative,
        Meta(description="A slot that is running is still given while so much of it is left."),
    ] = 600
    good: Annotated[
        Positive,
        Meta(
            le=10_000, description="Devices with a good signal that may begin in one cell and slot."
        ),
    ] = 50
    fair: Annotated[
        Positive,
        Meta(le=10_000, description="The same of devices with a fair signal, or one not known."),
    ] = 10
    poor: Annotated[
        Positive, Meta(le=10_000, description="The same of devices with a poor signal.")
    ] = 1
    unknown_cell: Annotated[
        Positive, Meta(le=10_000, description="The same of devices whose cell is not known.")
    ] = 100
    good_dbm: Annotated[
        int, Meta(ge=-156, le=-31, description="RSRP from which a signal is good.")
    ] = -95
    fair_dbm: Annotated[
        int, Meta(ge=-156, le=-31, description="RSRP from which it is fair, and not poor.")
    ] = -110
    retry_delay_s: Annotated[
        NotNegative, Meta(description="Seconds from a failed attempt to the next one's slot.")
    ] = 3600
    allow_abort: Annotated[
        bool,
        Meta(
            description="A v3 campaign may be stopped after its start date; the published API is of two minds, and its calls say that it may not."
        ),
    ] = False
