"""How devices over LwM2M are served (the table ``[lwm2m]``; ``lwm2m.md``)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from overair.config.kinds import NotNegative, Positive

# Host and port, or nothing at all.
_ADDRESS = r"^(|.+:[0-9]{1,5})$"


class Lwm2mModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one make and model of device needs."""

    delivery: Annotated[
        str,
        Meta(
            pattern="^(|push|pull)$",
            description="`push` the image, or let the device `pull` it. Empty: as the device says.",
        ),
    ] = ""
    block_bytes: Annotated[
        int, Meta(ge=0, le=1024, description="As `block_bytes`, for this model. 0: as for all.")
    ] = 0
    ack_timeout_s: Annotated[
        float, Meta(ge=0, le=300, description="As `ack_timeout_s`, for this model. 0: as for all.")
    ] = 0.0
    ack_random_factor: Annotated[
        float,
        Meta(ge=0, le=10, description="As `ack_random_factor`, for this model. 0: as for all."),
    ] = 0.0
    max_retransmit: Annotated[
        int, Meta(ge=-1, le=10, description="As `max_retransmit`, for this model. -1: as for all.")
    ] = -1
    awake_s: Annotated[
        NotNegative, Meta(description="As `awake_s`, for this model. 0: as for all.")
    ] = 0


class Lwm2m(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of LwM2M."""

    coap: Annotated[
        str,
        Meta(
            pattern=_ADDRESS,
            description="Address and UDP port for CoAP in the clear, such as `0.0.0.0:5683`. Empty: closed. Devices register there only with `no_sec`; images are fetched there only with `plain_download`.",
        ),
    ] = ""
    coaps: Annotated[
        str,
        Meta(
            pattern=_ADDRESS,
            description="Address and UDP port for CoAP over DTLS, such as `0.0.0.0:5684`. Empty: closed.",
        ),
    ] = ""
    no_sec: Annotated[
        bool,
        Meta(
            description="Devices may register without DTLS. Anybody can be any device then: for tests and laboratories."
        ),
    ] = False
    plain_download: Annotated[
        bool, Meta(description="Devices may be told to fetch images over `coap` or `http`.")
    ] = False
    public_coap: Annotated[
        str,
        Meta(
            pattern=_ADDRESS,
            description="Host and port at which devices reach `coap`, for the addresses of images. Empty: no downloads over `coap`.",
        ),
    ] = ""
    public_coaps: Annotated[
        str,
        Meta(
            pattern=_ADDRESS,
            description="The same for `coaps`, and for the accounts that devices are given at the bootstrap server. Empty: no downloads over `coaps`.",
        ),
    ] = ""
    bootstrap_coaps: Annotated[
        str,
        Meta(
            pattern=_ADDRESS,
            description="Address and UDP port of the bootstrap server over DTLS, such as `0.0.0.0:5694`. Empty: closed. Needs `public_coaps`.",
        ),
    ] = ""
    bootstrap_coap: Annotated[
        str,
        Meta(
            pattern=_ADDRESS,
            description="The same in the clear, such as `0.0.0.0:5693`: devices without any key are given an account without a key there. Needs `no_sec` and `public_coap`.",
        ),
    ] = ""
    public_bootstrap_coaps: Annotated[
        str,
        Meta(
            pattern=_ADDRESS,
            description="Host and port at which devices reach `bootstrap_coaps`, for `overair device bootstrap --format lwm2m`.",
        ),
    ] = ""
    bootstrap_lifetime_s: Annotated[
        int,
        Meta(
            ge=60,
            le=2**31 - 1,
            description="Seconds that a registration lives, as devices are told at the bootstrap server.",
        ),
    ] = 86_400
    bootstrap_binding: Annotated[
        str,
        Meta(
            pattern="^(U|UQ)$",
            description="How they are told to be reached: `U`, or `UQ` for devices of LwM2M 1.0 that sleep.",
        ),
    ] = "U"
    bootstrap_short_id: Annotated[
        int, Meta(ge=1, le=65_534, description="The number of this server in their accounts.")
    ] = 101
    max_bootstraps: Annotated[
        Positive, Meta(description="Devices that are given their accounts at the same time.")
    ] = 200
    max_registrations: Annotated[
        Positive, Meta(description="Registrations at once; more are told to come again.")
    ] = 1_000_000
    register_rate: Annotated[
        NotNegative,
        Meta(
            description="Registrations a second from one address, twice as many at once; above that there is no answer. 0: no limit, for many devices share an address behind a NAT."
        ),
    ] = 0
    max_transfers: Annotated[
        Positive, Meta(description="Images pushed at the same time by one process.")
    ] = 500
    max_sessions: Annotated[
        Positive, Meta(description="DTLS sessions at once; the one that was silent longest goes.")
    ] = 20_000
    max_handshakes: Annotated[Positive, Meta(description="DTLS handshakes under way at once.")] = (
        1000
    )
    ack_timeout_s: Annotated[
        float,
        Meta(
            gt=0,
            le=300,
            description="Seconds until an unanswered CoAP message is repeated for the first time.",
        ),
    ] = 2.0
    ack_random_factor: Annotated[
        float, Meta(ge=1, le=10, description="How much longer that is at most, by chance.")
    ] = 1.5
    max_retransmit: Annotated[
        int, Meta(ge=0, le=10, description="How often a CoAP message is repeated.")
    ] = 4
    grace_s: Annotated[
        NotNegative,
        Meta(description="Seconds from the end of a lifetime to the end of the registration."),
    ] = 247
    awake_s: Annotated[
        Positive,
        Meta(description="Seconds from its last message in which a queue-mode device listens."),
    ] = 93
    block_bytes: Annotated[
        int, Meta(ge=16, le=1024, description="Bytes to a block of an image, a power of two.")
    ] = 1024
    transfer_timeout_s: Annotated[
        NotNegative,
        Meta(
            description="Seconds in which an image that is pushed has to be there whole; then that try has failed. 0: ten seconds for each block of 512 bytes, and ten minutes."
        ),
    ] = 0
    delivery_timeout_s: Annotated[
        Positive,
        Meta(
            description="Seconds from its turn in which a device has to have the image, however it gets it; then that try has failed."
        ),
    ] = 86_400
    result_timeout_s: Annotated[
        Positive,
        Meta(
            description="Seconds from the command to update in which a device has to show how that went; then that try has failed. What it shows later counts all the same."
        ),
    ] = 14_400
    severity: Annotated[
        str,
        Meta(
            pattern="^(|critical|mandatory|optional)$",
            description="What devices that have it (5/0/11) are told of how urgent an update is. Empty: nothing.",
        ),
    ] = ""
    max_defer_s: Annotated[
        int,
        Meta(
            ge=-1,
            le=2**31 - 1,
            description="Seconds for which a device's user may put an update off, told to devices that have it (5/0/13); 0: not at all. After that, or a day with -1, which tells nothing, the attempt has failed.",
        ),
    ] = -1
    report_timeout_s: Annotated[
        Positive,
        Meta(
            description="Seconds in which a device that is to report its firmware is asked whenever it is there."
        ),
    ] = 7 * 86_400
    require_version: Annotated[
        bool,
        Meta(
            description="A device that reports success and shows another version than it was to have has failed."
        ),
    ] = False
    cell_max_age_s: Annotated[
        Positive, Meta(description="Seconds after which a device is asked for its cell again.")
    ] = 21_600
    observe_cell: Annotated[
        bool, Meta(description="Let devices tell when they change the cell (observe 4/0/8).")
    ] = True
    image_cache_bytes: Annotated[
        Positive, Meta(description="Memory for pieces of images that are on their way to devices.")
    ] = 64 * 1024 * 1024
    models: Annotated[
        dict[str, Lwm2mModel],
        Meta(
            description='What single models need, by make and model: `[lwm2m.models."Acme M1"]` with `delivery`, `block_bytes`, `ack_timeout_s`, `ack_random_factor`, `max_retransmit` and `awake_s`.'
        ),
    ] = msgspec.field(default_factory=dict)
