"""Read settings once, from ``overair.toml``, the environment and flags.

Later sources win: defaults, then the file, then ``OVERAIR_…``, then flags. A name that does not exist,
or a value that does not fit, stops the start: a misspelt limit must never be read as "no limit".
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from overair.config.limits import Limits
from overair.config.lwm2m import Lwm2m
from overair.config.omadm import Omadm
from overair.config.settings import Settings
from overair.config.slots import Slots
from overair.proxy import networks

ENVIRONMENT_PREFIX = "OVERAIR_"
FILE_NAME = "overair.toml"
TABLES: Final[dict[str, type[msgspec.Struct]]] = {
    "limits": Limits,
    "lwm2m": Lwm2m,
    "slots": Slots,
    "omadm": Omadm,
}
# By the end of a name: what lies beyond ends outside the calendar, or never.
_MOST = {"_s": 10**9, "_days": 36_500, "_months": 1200, "_rate": 10**6}
_LEAST = {"lwm2m_max_defer_s": -1}
"""The least of what may be below 0, which its type says too."""


class ConfigError(Exception):
    """A setting that cannot be used; the message says which, from where and why."""


def load_settings(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings of this process. Raises ConfigError.

    ``file`` None means ``overair.toml`` in the working directory, if there is one. Environment names
    are upper case, ``OVERAIR_POLL_INTERVAL_S``; those of a table begin with its name,
    ``OVERAIR_LIMITS_``. Lists are comma-separated there, tables TOML text.
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
    fields = {f.name for f in msgspec.structs.fields(Settings)} - TABLES.keys()
    for key, text in environment.items():
        if not key.startswith(ENVIRONMENT_PREFIX):
            continue
        name = key.removeprefix(ENVIRONMENT_PREFIX).lower()
        table, _, member = name.partition("_")
        if table in TABLES and member in TABLES[table].__struct_fields__:
            into = values.setdefault(table, {})
            if not isinstance(into, dict):
                raise ConfigError(f"settings: `{table}` is a table")
            into[member] = _from_text(f"{table}_{member}", getattr(TABLES[table](), member), text)
        elif name in fields:
            values[name] = _from_text(name, getattr(Settings(), name), text)
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


def _from_text(name: str, default: Any, text: str) -> Any:
    if isinstance(default, tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    if isinstance(default, (dict, msgspec.Struct)):
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{ENVIRONMENT_PREFIX}{name.upper()}: not TOML: {error}") from error
    return text


def _every(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Each setting with its value; those of a table under their full name."""
    for name, value in msgspec.structs.asdict(settings).items():
        if name in TABLES:
            for member, one in msgspec.structs.asdict(value).items():
                yield f"{name}_{member}", one
        else:
            yield name, value


def _check(settings: Settings) -> None:
    """What a type cannot say."""
    for name, value in _every(settings):
        most = next((most for end, most in _MOST.items() if name.endswith(end)), None)
        least = _LEAST.get(name, 0)
        for one in value if isinstance(value, tuple) else (value,):
            if most is not None and not least <= one <= most:
                raise ConfigError(f"settings: {name}: has to be from {least} to {most}")
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
    _check_lwm2m(settings.lwm2m)
    _check_slots(settings.slots)
    wanted = {"make", "model", "imei", "mdn", "version"}
    for alias, target in settings.attribute_names.items():
        if target not in wanted:
            raise ConfigError(
                f"settings: attribute_names.{alias}: {target!r} is none of {sorted(wanted)}"
            )


def _check_slots(rules: Slots) -> None:
    if 1440 % rules.minutes:
        raise ConfigError("settings: slots.minutes: has to divide a day (1440)")
    if rules.fair_dbm >= rules.good_dbm:
        raise ConfigError("settings: slots.fair_dbm: has to be below slots.good_dbm")


def _check_lwm2m(rules: Lwm2m) -> None:
    for name in (
        "coap", "coaps", "public_coap", "public_coaps", "bootstrap_coap", "bootstrap_coaps",
        "public_bootstrap_coaps",
    ):  # fmt: skip
        address: str = getattr(rules, name)
        host, _, port = address.rpartition(":")
        if address and (not host.strip("[]") or int(port) > 65535):
            raise ConfigError(f"settings: lwm2m.{name}: {address!r} is not address:port")
    if rules.bootstrap_coaps and not rules.public_coaps:
        raise ConfigError(
            "settings: lwm2m.bootstrap_coaps: devices have to be told where to register: public_coaps"
        )
    if rules.bootstrap_coap and not (rules.no_sec and rules.public_coap):
        raise ConfigError(
            "settings: lwm2m.bootstrap_coap: gives accounts in the clear: needs no_sec and public_coap"
        )
    sizes = {"block_bytes": rules.block_bytes} | {
        f"models.{name}.block_bytes": model.block_bytes or rules.block_bytes
        for name, model in rules.models.items()
    }
    for name, size in sizes.items():
        if size < 16 or size & (size - 1):
            raise ConfigError(f"settings: lwm2m.{name}: is one of 16, 32, 64, … 1024")
    for name, model in rules.models.items():
        if 0 < model.ack_random_factor < 1:
            raise ConfigError(
                f"settings: lwm2m.models.{name}.ack_random_factor: is 1 or more, or 0"
            )
