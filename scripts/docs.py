"""Write the documents that are made from the code, or with ``--check`` say which are old.

- ``docs/configuration.md``: every setting, from the descriptions in ``overair.config``;
- ``docs/states.md``: diagrams and tables of the state machines in ``overair.core``;
- ``openapi/overair.json``: the management API, from its routes.

Arguments name some of them. `make docs` and `make openapi` run this; a test compares.
"""

import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec

from overair.api.openapi import openapi_json
from overair.config import ENVIRONMENT_PREFIX, FILE_NAME, Limits, Lwm2m, Omadm, Settings, Slots
from overair.core import attempt, campaign, upgrade

ROOT = Path(__file__).resolve().parents[1]

CONFIGURATION = f"""\
<!-- Made by `make docs` from src/overair/config. Do not edit. -->

# Configuration

Settings are read once, at the start. Later sources win:

1. the defaults below;
2. the file `{FILE_NAME}` in the working directory, or the one that `--config FILE` names (TOML);
3. environment variables: `{ENVIRONMENT_PREFIX}` and the name in upper case, such as
   `{ENVIRONMENT_PREFIX}POLL_INTERVAL_S=600`. Those of a table begin with its
   name: `{ENVIRONMENT_PREFIX}LIMITS_PAGE_SIZE`. Lists are separated by
   commas, tables are TOML text;
4. flags of the command line, such as `--data`, `--http` or `--database`.

A path that is relative begins in the working directory.

A name that does not exist, or a value that does not fit, stops the start with a message that says
which and why.

```toml
# {FILE_NAME}
http = "0.0.0.0:8080"
database = "postgresql://overair@db.example.net/overair"
public_url = "https://fota.example.net"
poll_interval_s = 3600

[limits]
device_requests_per_s = 5
```
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of a table."""

    name: str
    kind: str
    default: str
    description: str


TABLES = ("limits", "lwm2m", "omadm", "slots")


def settings() -> list[Setting]:
    """Every setting that is in no table."""
    return [each for each in _rows(Settings) if each.name not in TABLES]


def limits() -> list[Setting]:
    """Every limit."""
    return list(_rows(Limits))


def omadm() -> list[Setting]:
    """Every setting of OMA-DM."""
    return list(_rows(Omadm))


def lwm2m() -> list[Setting]:
    """Every setting of LwM2M."""
    return list(_rows(Lwm2m))


def configuration() -> str:
    """The text of ``docs/configuration.md``."""
    return "\n".join(
        [
            CONFIGURATION,
            "## Settings",
            "",
            *_table(settings()),
            "",
            "## Limits",
            "",
            "In the table `[limits]` of the file. How much of anything there may be at once.",
            "",
            *_table(limits()),
            "",
            "## OMA-DM",
            "",
            "In the table `[omadm]` of the file. How devices over OMA-DM are served ([oma-dm.md](oma-dm.md)).",
            "",
            *_table(omadm()),
            "",
            "## LwM2M",
            "",
            "In the table `[lwm2m]` of the file. How devices over LwM2M are served ([lwm2m.md](lwm2m.md)).",
            "",
            *_table(lwm2m()),
            "",
            "## Slots",
            "",
            "In the table `[slots]` of the file. How v3 campaigns are spread over cells and hours ([slots.md](slots.md)).",
            "",
            *_table(list(_rows(Slots))),
            "",
        ]
    )


STATES = """\
<!-- Made by `make docs` from src/overair/core. Do not edit. -->

# States

Three state machines carry a campaign. Each is a total table: it has an answer for every pair of a
state and an event. *Ignored* means that nothing changes, because it has been said before or comes
too late to matter; *refused* means that whoever says it is told no. The diagrams show the changes
only, the tables everything.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One state machine and what is said about it."""

    title: str
    text: str
    table: Mapping[Any, StrEnum | str]  # of pairs (state, event)


MACHINES = [
    Machine(
        title="Campaign",
        text="What the API calls the campaign's status; each version has its own words for it.",
        table=campaign.TABLE,
    ),
    Machine(
        title="Device upgrade",
        text="One device's way through one campaign.",
        table=upgrade.TABLE,
    ),
    Machine(
        title="Attempt",
        text="One try, which a device sees as one DDI action. A failed attempt may be followed by another.",
        table=attempt.TABLE,
    ),
]


def states() -> str:
    """The text of ``docs/states.md``."""
    return "\n".join([STATES, *(line for machine in MACHINES for line in _machine(machine))])


def _machine(machine: Machine) -> Iterator[str]:
    froms = list(dict.fromkeys(state for state, _ in machine.table))
    events = list(dict.fromkeys(event for _, event in machine.table))
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), after in machine.table.items():
        if isinstance(after, StrEnum) and after != state:
            arrows.setdefault((state.value, after.value), []).append(event.value)
    yield from (f"## {machine.title}", "", machine.text, "", "```mermaid", "stateDiagram-v2")
    yield f"    [*] --> {froms[0].value}"
    for (state_name, after_name), names in arrows.items():
        yield f"    {state_name} --> {after_name}: {', '.join(names)}"
    left = {state_name for state_name, _ in arrows}
    yield from (f"    {state.value} --> [*]" for state in froms if state.value not in left)
    yield from ("```", "")
    yield "| state | " + " | ".join(event.value.replace("_", " ") for event in events) + " |"
    yield "| --- |" + " --- |" * len(events)
    for state in froms:
        cells = (_cell(machine.table[state, event]) for event in events)
        yield f"| **{state.value}** | " + " | ".join(cells) + " |"
    yield ""


def _cell(after: StrEnum | str) -> str:
    if isinstance(after, StrEnum):
        return after.value
    return {"ignore": "*ignored*", "refuse": "*refused*"}[after]


def openapi() -> str:
    """The text of ``openapi/overair.json``."""
    return openapi_json().decode()


DOCUMENTS: dict[Path, Callable[[], str]] = {
    ROOT / "docs" / "configuration.md": configuration,
    ROOT / "docs" / "states.md": states,
    ROOT / "openapi" / "overair.json": openapi,
}


def _table(rows: list[Setting]) -> Iterator[str]:
    yield "| name | type | default | what it does |"
    yield "| --- | --- | --- | --- |"
    for row in rows:
        yield f"| `{row.name}` | {row.kind} | {row.default} | {row.description} |"


def _rows(struct: type[msgspec.Struct]) -> Iterator[Setting]:
    hints = typing.get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        base, metas = _open(hints[field.name])
        default = field.default
        if default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        yield Setting(
            name=field.name,
            kind=_kind(base, metas),
            default="required" if default is msgspec.NODEFAULT else _default(default),
            description=_description(field.name, metas),
        )


def _open(hint: Any) -> tuple[Any, list[msgspec.Meta]]:
    metas: list[msgspec.Meta] = []
    while typing.get_origin(hint) is Annotated:
        hint, *more = typing.get_args(hint)
        metas += [each for each in more if isinstance(each, msgspec.Meta)]
    return hint, metas


def _description(name: str, metas: list[msgspec.Meta]) -> str:
    for meta in metas:
        if meta.description:
            return meta.description.replace("|", "\\|")
    raise SystemExit(f"{name}: a setting without a description")


def _kind(base: Any, metas: list[msgspec.Meta]) -> str:
    origin = typing.get_origin(base)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(each, []) for each in typing.get_args(base))
    if origin is tuple or origin is list:
        return f"list of {_kind(typing.get_args(base)[0], [])}"
    if origin is dict or (isinstance(base, type) and issubclass(base, msgspec.Struct)):
        return "table"
    names = {str: "text", int: "integer", float: "number", bool: "boolean", type(None): "nothing"}
    kind = names.get(base, getattr(base, "__name__", str(base)))
    bounds = []
    for meta in metas:
        for sign, bound in ((">", meta.gt), ("≥", meta.ge), ("<", meta.lt), ("≤", meta.le)):
            if bound is not None:
                bounds.append(f"{sign} {bound}")
        if meta.pattern and meta.pattern.startswith("^("):
            words = meta.pattern.strip("^()$").split("|")
            return " or ".join(f"`{word}`" for word in words)
    return kind + (f" {', '.join(bounds)}" if bounds else "")


def _default(value: Any) -> str:
    if isinstance(value, msgspec.Struct) or value in ("", (), {}):
        return "empty"
    if isinstance(value, tuple | list):
        return "`[" + ", ".join(_toml(each) for each in value) + "]`"
    return f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


def main() -> int:
    """Write what is old, or only name it; the exit code says whether anything was."""
    wanted = {ROOT / name for name in sys.argv[1:] if not name.startswith("-")}
    old = [
        (path, text)
        for path, write in DOCUMENTS.items()
        if not wanted or path in wanted
        if (text := write()) != (path.read_text("utf-8") if path.exists() else None)
    ]
    check = "--check" in sys.argv[1:]
    for path, text in old:
        print(("old, run `make docs`: " if check else "wrote ") + str(path.relative_to(ROOT)))
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    return 1 if old and check else 0


if __name__ == "__main__":
    raise SystemExit(main())
