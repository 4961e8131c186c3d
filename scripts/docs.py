"""Write the documents that are made from the code, or with ``--check`` say which are old.

- ``docs/configuration.md``: every setting, from the descriptions in ``overair.config``.

`make docs` runs this; a test compares.
"""

import sys
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from overair.config import ENVIRONMENT_PREFIX, FILE_NAME, Limits, Settings

ROOT = Path(__file__).resolve().parents[1]

CONFIGURATION = f"""\
<!-- Made by `make docs` from src/overair/config.py. Do not edit. -->

# Configuration

Settings are read once, at the start. Later sources win:

1. the defaults below;
2. the file `{FILE_NAME}` in the working directory, or the one that `--config FILE` names (TOML);
3. environment variables: `{ENVIRONMENT_PREFIX}` and the name in upper case, such as
   `{ENVIRONMENT_PREFIX}POLL_INTERVAL_S=600`. Limits begin with `{ENVIRONMENT_PREFIX}LIMITS_`. Lists are separated by
   commas, tables are TOML text;
4. flags of the command line: `--data`, `--http`, `--database`.

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


def settings() -> list[Setting]:
    """Every setting but the limits."""
    return [each for each in _rows(Settings) if each.name != "limits"]


def limits() -> list[Setting]:
    """Every limit."""
    return list(_rows(Limits))


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
        ]
    )


DOCUMENTS: dict[Path, Callable[[], str]] = {ROOT / "docs" / "configuration.md": configuration}


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
    if origin is dict:
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
    if value in ("", (), {}):
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
    old = [
        (path, text)
        for path, write in DOCUMENTS.items()
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
