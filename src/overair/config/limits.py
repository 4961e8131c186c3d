"""How much of anything there may be at once (the table ``[limits]``)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from overair.config.kinds import NotNegative, Positive


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of anything there may be at once."""

    page_size: Annotated[
        Positive, Meta(description="Records to one page of a list in the management API.")
    ] = 1000
    reported_devices: Annotated[
        Positive,
        Meta(
            description="Devices in one page of v1's report on upgrades, unless one upgrade alone has more."
        ),
    ] = 20_000
    request_devices: Annotated[
        Positive, Meta(description="Devices in one assign, remove or schedule request.")
    ] = 10_000
    request_body_bytes: Annotated[
        Positive, Meta(description="Size of a JSON request body of the management API.")
    ] = 4 * 1024 * 1024
    network_events: Annotated[
        Positive, Meta(description="Events in one batch of the network feed.")
    ] = 10_000
    upload_bytes: Annotated[
        Positive, Meta(description="Size of an uploaded configuration file.")
    ] = 50 * 1024 * 1024
    files_listed: Annotated[
        Positive, Meta(description="Configuration files that one list shows.")
    ] = 100
    pilot_devices: Annotated[
        Positive, Meta(description="Devices in a campaign whose package is not proven yet.")
    ] = 20
    pilot_outcomes: Annotated[
        Positive,
        Meta(description="Final outcomes that pilots must have before a package is proven."),
    ] = 5
    pilot_success_percent: Annotated[
        int, Meta(ge=0, le=100, description="Share of them that must have succeeded.")
    ] = 50
    logging_devices: Annotated[
        Positive, Meta(description="Devices of an account with logging on at once.")
    ] = 20
    max_attempts: Annotated[
        Positive, Meta(description="Attempts that one device gets in one campaign over HTTP.")
    ] = 3
    downloads_per_attempt: Annotated[
        Positive,
        Meta(description="Complete downloads in one attempt before it is failed (loop guard)."),
    ] = 5
    device_body_bytes: Annotated[
        Positive, Meta(description="Size of a request body from a device.")
    ] = 256 * 1024
    feedback_per_attempt: Annotated[
        Positive,
        Meta(
            description="Feedback messages of one attempt that are kept; later ones count only if they end it."
        ),
    ] = 1000
    log_bytes: Annotated[
        Positive, Meta(description="Size of a binary log that a device uploads.")
    ] = 1024 * 1024
    logs_per_device: Annotated[
        Positive, Meta(description="Log entries of one device that are kept.")
    ] = 10_000
    check_ins_per_device: Annotated[
        Positive, Meta(description="Check-ins of one device that its history shows.")
    ] = 1000
    device_requests_per_s: Annotated[
        NotNegative,
        Meta(description="Requests a second from one device, artifacts not counted. 0: no limit."),
    ] = 20
    device_burst: Annotated[
        Positive, Meta(description="Requests that one device may send at once above that rate.")
    ] = 200
    address_requests_per_s: Annotated[
        NotNegative,
        Meta(
            description="GET and HEAD requests a second from one public client address, artifacts not counted; private and loopback addresses are exempt. 0: no limit."
        ),
    ] = 200
    address_writes_per_s: Annotated[
        NotNegative,
        Meta(description="The same for PUT and POST requests. 0: no limit."),
    ] = 50
    sweep_devices: Annotated[
        Positive, Meta(description="Devices that the engine handles in one transaction.")
    ] = 500
    claim_campaigns: Annotated[
        Positive, Meta(description="Campaigns that one process claims at once.")
    ] = 32
