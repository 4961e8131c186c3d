"""How devices over OMA-DM are served (the table ``[omadm]``; ``oma-dm.md``)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from overair.config.kinds import NotNegative, Positive


class Smpp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The SMS centre that notifications go through (SMPP 3.4)."""

    host: Annotated[str, Meta(description="Name or address of the SMS centre.")] = ""
    port: Annotated[int, Meta(ge=1, le=65535, description="Its TCP port.")] = 2775
    system_id: Annotated[str, Meta(max_length=15, description="Our name there.")] = ""
    password: Annotated[str, Meta(max_length=8, description="Our password there.")] = ""
    system_type: Annotated[
        str, Meta(max_length=12, description="The kind of system that we say we are.")
    ] = ""
    source: Annotated[
        str, Meta(max_length=20, description="The sender's number or name. Empty: the centre's.")
    ] = ""
    tls: Annotated[bool, Meta(description="Speak TLS to the SMS centre.")] = False


class OmadmModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one make and model of device needs."""

    fumo_root: Annotated[
        str, Meta(description="Where its firmware update object is, such as `./FwUpdate/pkg`.")
    ] = ""
    delivery: Annotated[
        str,
        Meta(pattern="^(|descriptor|direct)$", description="As `delivery`, for this model."),
    ] = ""
    method: Annotated[
        str,
        Meta(
            pattern="^(|download_and_update|download|data)$",
            description="`download_and_update` in one command, `download` and then update, `data` inside the session. Empty: what the device has.",
        ),
    ] = ""


class Omadm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of OMA-DM."""

    server_id: Annotated[
        str,
        Meta(min_length=1, max_length=255, description="Our ServerID in the devices' accounts."),
    ] = "overair"
    window_s: Annotated[
        Positive, Meta(description="How long a notification stays deliverable: the 4-hour window.")
    ] = 14_400
    requeue: Annotated[
        bool,
        Meta(
            description="A device whose attempt failed is queued and tried again without limit (since 3.1); false: the first failure is final."
        ),
    ] = True
    requeue_push_s: Annotated[
        NotNegative,
        Meta(
            description="A queued device is notified again after this long, for networks that do not tell of attaches. 0: never."
        ),
    ] = 86_400
    retry_pause_s: Annotated[
        NotNegative, Meta(description="Seconds from a failed attempt to the next one.")
    ] = 900
    exec_grace_s: Annotated[
        NotNegative,
        Meta(
            description="Seconds from an accepted command in which a device may still stand idle."
        ),
    ] = 900
    verify_grace_s: Annotated[
        NotNegative,
        Meta(
            description="Seconds from a reported success in which a device may still show its old"
            " version; after half of them it is called."
        ),
    ] = 3600
    report_timeout_s: Annotated[
        Positive,
        Meta(description="Seconds from an accepted command until a silent device is asked."),
    ] = 86_400
    notify: Annotated[
        str,
        Meta(
            pattern="^(log|udp|smpp)$",
            description="How devices are notified: `udp` (WAP push), `smpp` (an SMS centre), or `log`, which only writes a line.",
        ),
    ] = "log"
    udp_bare: Annotated[
        bool, Meta(description="Send notifications over UDP without the WAP push header.")
    ] = False
    ui_mode: Annotated[
        int,
        Meta(ge=0, le=3, description="How much of it a user is to notice; 1 is in the background."),
    ] = 1
    zero_nonce_after: Annotated[
        NotNegative,
        Meta(
            description="After so many notifications without effect one is sent with the zero nonce, which a stranger could replay. 0: never."
        ),
    ] = 0
    pushes_per_s: Annotated[
        Positive, Meta(description="Notifications a second from one process.")
    ] = 50
    push_pause_s: Annotated[
        NotNegative, Meta(description="Least seconds between two notifications of one device.")
    ] = 60
    delivery: Annotated[
        str,
        Meta(
            pattern="^(descriptor|direct)$",
            description="What a device is sent to: a download `descriptor`, or the package itself (`direct`).",
        ),
    ] = "descriptor"
    fumo_roots: Annotated[
        tuple[str, ...],
        Meta(
            description="Where to look for the firmware update object first, before the usual places."
        ),
    ] = ()
    session_idle_s: Annotated[
        Positive, Meta(description="Seconds of silence after which a session is forgotten.")
    ] = 600
    session_messages: Annotated[Positive, Meta(description="Messages of one session.")] = 60
    models: Annotated[
        dict[str, OmadmModel],
        Meta(
            description='What single models need, by make and model: `[omadm.models."Acme M1"]` with `fumo_root`, `delivery` and `method`.'
        ),
    ] = msgspec.field(default_factory=dict)
    smpp: Annotated[
        Smpp,
        Meta(
            description="The SMS centre: `host`, `port`, `system_id`, `password`, `system_type`, `source`, `tls`."
        ),
    ] = Smpp()
