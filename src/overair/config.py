"""Settings: read once, from ``overair.toml``, the environment and flags, into one frozen value.

Later sources win: defaults, then the file, then ``OVERAIR_…``, then flags. A name that does not
exist, or a value that does not fit, stops the start: a misspelt limit must never be read as "no
limit". ``docs/configuration.md`` is made from the descriptions below.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from overair.proxy import networks

ENVIRONMENT_PREFIX = "OVERAIR_"
FILE_NAME = "overair.toml"
# By the end of a name: what lies beyond ends outside the calendar, or never.
_MOST = {"_s": 10**9, "_days": 36_500, "_months": 1200, "_rate": 10**6}

Positive = Annotated[int, Meta(gt=0)]
NotNegative = Annotated[int, Meta(ge=0)]


class ConfigError(Exception):
    """A setting that cannot be used; the message says which, from where and why."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of anything there may be at once."""

    page_size: Annotated[
        Positive, Meta(description="Records to one page of a list in the management API.")
    ] = 1000
    request_devices: Annotated[
        Positive, Meta(description="Devices in one assign, remove or schedule request.")
    ] = 10_000
    request_body_bytes: Annotated[
        Positive, Meta(description="Size of a JSON request body of the management API.")
    ] = 4 * 1024 * 1024
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
            description="Installation key, at least 32 characters, from which device tokens are derived. Empty: kept in the file `secret.key` of the data directory. All processes on one database need the same."
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
        Meta(le=5400, description="Seconds from the checks of an on-demand campaign to its start."),
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
            description="Read a campaign's hours in the device's own time zone, where it has one, instead of UTC."
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
    limits: Annotated[Limits, Meta(description="See the second table.")] = Limits()

    @property
    def database_url(self) -> str:
        """The database's address, with the default filled in."""
        return self.database or f"sqlite:///{Path(self.data) / 'overair.db'}"

    @property
    def listen(self) -> tuple[str, int]:
        """Host and port of ``http``."""
        host, _, port = self.http.rpartition(":")
        return host.strip("[]"), int(port)


def load_settings(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings of this process. Raises ConfigError.

    ``file`` None means ``overair.toml`` in the working directory, if there is one. Environment names
    are upper case, ``OVERAIR_POLL_INTERVAL_S``; those of limits begin ``OVERAIR_LIMITS_``. Lists are
    comma-separated there, tables TOML text.
    """
    values: dict[str, Any] = {}
    chosen = file if file is not None else Path(FILE_NAME)
    if file is not None or chosen.is_file():
        try:
            values = tomllib.loads(chosen.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{chosen}: cannot be read: {error}") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{chosen}: not TOML: {error}") from error
    environment = os.environ if environment is None else environment
    _merge_environment(values, environment)
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    values.update(given)
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(_explained(str(error), chosen, environment, given)) from error
    _check(settings)
    return settings


def _merge_environment(values: dict[str, Any], environment: Mapping[str, str]) -> None:
    fields = {f.name for f in msgspec.structs.fields(Settings)}
    limits = {f.name for f in msgspec.structs.fields(Limits)}
    for key, text in environment.items():
        if not key.startswith(ENVIRONMENT_PREFIX):
            continue
        name = key.removeprefix(ENVIRONMENT_PREFIX).lower()
        if name.startswith("limits_") and name.removeprefix("limits_") in limits:
            table = values.setdefault("limits", {})
            if not isinstance(table, dict):
                raise ConfigError("settings: `limits` is a table")
            table[name.removeprefix("limits_")] = text
        elif name in fields and name != "limits":
            values[name] = _from_text(name, text)
        else:
            raise ConfigError(f"{key}: there is no such setting (docs/configuration.md lists them)")


def _explained(
    problem: str, file: Path, environment: Mapping[str, str], flags: Mapping[str, Any]
) -> str:
    """The decoder's sentence, led by where the value was given."""
    if unknown := re.search(r"unknown field `(.*?)`(?: - at `\$\.(.*)`)?$", problem):
        name = ".".join(part for part in (unknown[2], unknown[1]) if part)
        return f"{file}: {name}: there is no such setting (docs/configuration.md lists them)"
    rule, _, path = problem.partition(" - at `$.")
    name = path.rstrip("`").partition("[")[0]
    variable = ENVIRONMENT_PREFIX + name.replace(".", "_").upper()
    if name in flags:
        place = f"--{name.replace('_', '-')}"
    elif variable in environment:
        place = variable
    else:
        place = f"{file}: {name}"
    return f"{place}: {rule}"


def _from_text(name: str, text: str) -> Any:
    default = getattr(Settings(), name)
    if isinstance(default, tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    if isinstance(default, dict):
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{ENVIRONMENT_PREFIX}{name.upper()}: not TOML: {error}") from error
    return text


def _check(settings: Settings) -> None:
    """What a type cannot say."""
    for name, value in msgspec.structs.asdict(settings).items():
        most = next((most for end, most in _MOST.items() if name.endswith(end)), None)
        for one in value if isinstance(value, tuple) else (value,):
            if most is not None and not 0 <= one <= most:
                raise ConfigError(f"settings: {name}: has to be from 0 to {most}")
    try:
        host, port = settings.listen
    except ValueError:
        host, port = "", -1
    if not host or not 0 <= port <= 65535:
        raise ConfigError(f"settings: http: {settings.http!r} is not address:port")
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        raise ConfigError("settings: tls_certificate and tls_key go together")
    if settings.secret_key and len(settings.secret_key) < 32:
        raise ConfigError("settings: secret_key needs at least 32 characters")
    if settings.workers > 1 and settings.database_url.startswith("sqlite"):
        raise ConfigError('settings: workers above 1 need PostgreSQL (database = "postgresql://…")')
    if settings.workers > 1 and settings.time_rate != 1.0:
        raise ConfigError(
            "settings: time_rate needs one process: each would have a time of its own"
        )
    if settings.public_url and not settings.public_url.startswith(("http://", "https://")):
        raise ConfigError("settings: public_url begins with http:// or https://")
    for name in ("trusted_proxies", "blocked_addresses"):
        try:
            networks(getattr(settings, name))
        except ValueError as error:
            raise ConfigError(f"settings: {name}: {error}") from error
    wanted = {"make", "model", "imei", "mdn", "version"}
    for alias, target in settings.attribute_names.items():
        if target not in wanted:
            raise ConfigError(
                f"settings: attribute_names.{alias}: {target!r} is none of {sorted(wanted)}"
            )
