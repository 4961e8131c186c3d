"""Every setting of the server, as one frozen value.

``docs/configuration.md`` is made from the descriptions below. Not here: where values come from and what
a type cannot say of them (``config/load.py``).
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from overair.config.kinds import NotNegative, Positive
from overair.config.limits import Limits
from overair.config.lwm2m import Lwm2m
from overair.config.omadm import Omadm
from overair.config.slots import Slots


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of the server."""

    data: Annotated[
        str,
        Meta(
            description="Directory for the database (SQLite), artifacts and the installation key."
        ),
    ] = "overair-data"
    http: Annotated[str, Meta(description="Address and port that the server listens on.")] = (
        "127.0.0.1:8080"
    )
    database: Annotated[
        str,
        Meta(
            description="`postgresql://user@host/name`, or `sqlite:///path`. Empty: SQLite in the data directory."
        ),
    ] = ""
    public_url: Annotated[
        str,
        Meta(
            description="Base URL that devices reach the server under. Empty: from each request's scheme and Host."
        ),
    ] = ""
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses or networks whose `X-Forwarded-*` headers and client certificate headers are believed."
        ),
    ] = ()
    trusted_authorities: Annotated[
        tuple[str, ...],
        Meta(
            description="Certificate authorities (the proxy's `X-Authority` words) whose devices are believed. Empty: that kind of authentication is off."
        ),
    ] = ()
    blocked_addresses: Annotated[
        tuple[str, ...],
        Meta(description="Client addresses or networks that get 403 on device endpoints."),
    ] = ()
    tls_certificate: Annotated[
        str, Meta(description="PEM file of the server's certificate chain. Empty: plain HTTP.")
    ] = ""
    tls_key: Annotated[str, Meta(description="PEM file of its private key.")] = ""
    secret_key: Annotated[
        str,
        Meta(
            description="Installation key, at least 32 characters, from which device tokens are derived, and which secrets of OMA-DM devices are encrypted with. Empty: kept in the file `secret.key` of the data directory. All processes on one database need the same."
        ),
    ] = ""
    storage: Annotated[
        str,
        Meta(
            description="Where artifacts are kept: empty for the data directory, or `s3://bucket/prefix`."
        ),
    ] = ""
    storage_options: Annotated[
        dict[str, str],
        Meta(
            description="Options of the object store, such as `endpoint`, `region`, `access_key_id`, `secret_access_key`, `allow_http`."
        ),
    ] = msgspec.field(default_factory=dict)
    artifact_delivery: Annotated[
        str,
        Meta(
            pattern="^(stream|redirect|x-accel)$",
            description="`stream` sends artifacts from this process, `redirect` sends devices to a presigned URL of the object store, `x-accel` lets a front nginx send the file.",
        ),
    ] = "stream"
    signed_links: Annotated[
        bool,
        Meta(
            description="Download links carry a signature that expires, for clients that send no credentials with a download."
        ),
    ] = False
    signed_link_s: Annotated[Positive, Meta(description="Life of such a link.")] = 86_400
    default_alias: Annotated[
        bool, Meta(description="With exactly one account, `default` is a DDI tenant name of it.")
    ] = True
    workers: Annotated[
        Positive,
        Meta(
            description="Server processes on one address (SO_REUSEPORT); more than 1 needs PostgreSQL."
        ),
    ] = 1
    engine: Annotated[
        bool, Meta(description="Run the campaign engine and the callback delivery in this process.")
    ] = True
    lease_s: Annotated[
        Positive,
        Meta(description="How long a process may hold claimed work before another takes it."),
    ] = 60
    engine_interval_s: Annotated[
        float, Meta(gt=0, description="Seconds between two looks for due work.")
    ] = 1.0
    on_demand_delay_s: Annotated[
        NotNegative,
        Meta(
            le=5400, description="Seconds from the request of an on-demand campaign to its start."
        ),
    ] = 0
    poll_interval_s: Annotated[
        int,
        Meta(
            ge=1, le=86399, description="How often an HTTP device is told to check in, in seconds."
        ),
    ] = 43_200
    active_poll_interval_s: Annotated[
        int,
        Meta(ge=1, le=86399, description="The same while an action of the device is under way."),
    ] = 300
    minimum_poll_interval_s: Annotated[
        int,
        Meta(ge=1, le=86399, description="The shortest interval that is chosen ahead of a window."),
    ] = 30
    retry_delay_s: Annotated[
        NotNegative, Meta(description="Seconds from a failed attempt to the next offer over HTTP.")
    ] = 3600
    grace_s: Annotated[
        NotNegative,
        Meta(
            description="Seconds after the end of a campaign in which a device that has downloaded may still report."
        ),
    ] = 86_400
    install_window_alone: Annotated[
        bool,
        Meta(
            description="A one-phase device in a campaign whose download and install windows never overlap: true offers by the install window alone, false never offers."
        ),
    ] = True
    windows_in_device_time: Annotated[
        bool,
        Meta(
            description="Read a campaign's hours in the device's own time zone, where it has one, instead of UTC. Those of v3 campaigns are UTC always: they are slots of cells."
        ),
    ] = False
    check_account_name: Annotated[
        bool, Meta(description="Account names must have the form `0000123456-00001`.")
    ] = True
    check_imei_digit: Annotated[
        bool, Meta(description="IMEIs must have the right check digit (Luhn).")
    ] = False
    auto_register: Annotated[
        bool,
        Meta(
            description="An unknown device with a valid gateway token becomes an unlicensed device; also a setting of each account."
        ),
    ] = False
    two_phase_user_agents: Annotated[
        tuple[str, ...],
        Meta(
            description="Beginnings of User-Agent headers of devices that can download first and install later."
        ),
    ] = ()
    attribute_names: Annotated[
        dict[str, str],
        Meta(
            description='Further names of device attributes for `make`, `model`, `imei`, `mdn` or `version`, as `name = "version"`.'
        ),
    ] = msgspec.field(default_factory=dict)
    bearer_token_s: Annotated[Positive, Meta(description="Life of a bearer token.")] = 3600
    session_idle_s: Annotated[
        Positive, Meta(description="Time without use after which an M2M session ends.")
    ] = 1200
    callback_timeout_s: Annotated[
        float, Meta(gt=0, description="Seconds that a callback listener has to answer.")
    ] = 10.0
    callback_retry_s: Annotated[
        tuple[int, ...], Meta(description="Seconds to wait before each further try of a callback.")
    ] = (10, 60, 300, 1800, 7200)
    callback_private_addresses: Annotated[
        bool, Meta(description="Callbacks may go to private, loopback and link-local addresses.")
    ] = False
    callback_plain_http: Annotated[
        bool,
        Meta(description="Listeners of v2 and v3 may be `http`, for trying out; v1's always may."),
    ] = False
    callback_ca_file: Annotated[
        str, Meta(description="PEM file of further authorities for listeners' certificates.")
    ] = ""
    callback_keep_days: Annotated[
        Positive,
        Meta(description="Days that delivered and dropped callbacks stay in the delivery log."),
    ] = 30
    logging_days: Annotated[
        Positive, Meta(description="Days after which device logging switches itself off.")
    ] = 7
    log_keep_days: Annotated[Positive, Meta(description="Days that device logs are kept.")] = 30
    check_in_keep_days: Annotated[Positive, Meta(description="Days that check-ins are kept.")] = 30
    history_months: Annotated[
        Positive, Meta(description="Months that a device's upgrade history shows.")
    ] = 6
    log_level: Annotated[
        str,
        Meta(pattern="^(debug|info|warning|error)$", description="Least severity that is logged."),
    ] = "info"
    log_format: Annotated[
        str, Meta(pattern="^(text|json)$", description="`text` for people, `json` for machines.")
    ] = "text"
    metrics: Annotated[bool, Meta(description="Serve Prometheus metrics at `/metrics`.")] = True
    time_rate: Annotated[
        float,
        Meta(
            gt=0,
            description="How many times faster than the wall's clock campaign time runs (for demos). At each start it begins at the wall's time; commands beside the server stay on the wall's clock.",
        ),
    ] = 1.0
    limits: Annotated[Limits, Meta(description="See the table of limits.")] = Limits()
    omadm: Annotated[Omadm, Meta(description="See the table of OMA-DM.")] = Omadm()
    lwm2m: Annotated[Lwm2m, Meta(description="See the table of LwM2M.")] = Lwm2m()
    slots: Annotated[Slots, Meta(description="See the table of slots.")] = Slots()

    @property
    def database_url(self) -> str:
        """The database's address, with the default filled in."""
        return self.database or f"sqlite:///{Path(self.data) / 'overair.db'}"

    @property
    def listen(self) -> tuple[str, int]:
        """Host and port of ``http``."""
        host, _, port = self.http.rpartition(":")
        return host.strip("[]"), int(port)
