"""What each room may take from outside the project. What it may take from inside: `.importlinter`.

`core` and `protocols` are pure: standard library only, and of that nothing that reads a clock, rolls
dice or reaches out of the process.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project.source import modules, place, room

# A library that is not here may be used nowhere: a new dependency is a decision.
ALLOWED: dict[str, set[str]] = {
    # Pre-shared keys are asked for below it: docs/decisions/0012.
    "OpenSSL": {"devices"},
    "aiohttp": {"sim", "callbacks", "cli"},
    "cryptography": {"sealing"},
    "cyclopts": {"cli"},
    "granian": {"serving"},
    "msgspec": {
        "api",
        "artifacts",
        "callbacks",
        "cli",
        "config",
        "devices",
        "engine",
        "fleetfile",
        "log",
        "simulation",
        "store",
    },
    "obstore": {"artifacts"},
    "prometheus_client": {"metrics"},
    "psycopg": {"store"},
    "python_multipart": {"artifacts"},
    "rich": {"cli", "sim"},
    "smpplib": {"push"},
    # A disk that may fail is a connection of another class.
    "sqlite3": {"store", "simulation"},
    "starlette": {"api", "devices"},
    "structlog": {
        "api",
        "app",
        "artifacts",
        "callbacks",
        "cli",
        "devices",
        "engine",
        "housekeeping",
        "log",
        "push",
        "serving",
        "simulation",
        "store",
        "workers",
    },
    "uvloop": {"cli", "serving"},
    # PyYAML, through which msgspec reads YAML; it alone can say that a member is there twice.
    "yaml": {"fleetfile"},
    # The address type of aiohttp, which brings it.
    "yarl": {"callbacks", "sim"},
}

PURE = {"core", "protocols"}
IMPURE_MODULES = {
    "asyncio",
    "concurrent",
    "fcntl",
    "http",
    "io",
    "logging",
    "mmap",
    "multiprocessing",
    "os",
    "pathlib",
    "queue",
    "random",
    "secrets",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib.request",
    "uuid",
}


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module


def _all_imports() -> Iterator[tuple[Path, int, str]]:
    for path, tree in modules():
        for line, name in _imports(tree):
            if name.split(".")[0] != "overair":
                yield path, line, name


def test_each_library_is_used_in_its_rooms_only() -> None:
    """A library is imported by the rooms that the table names, and by no other."""
    wrong = [
        f"{place(path, line)}: {room(path)} imports {name}"
        for path, line, name in _all_imports()
        if (top := name.split(".")[0]) in ALLOWED or top not in sys.stdlib_module_names
        if room(path) not in ALLOWED.get(top, set())
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("pure", sorted(PURE))
def test_decisions_and_protocols_are_pure(pure: str) -> None:
    """A pure room imports nothing that has effects."""
    wrong = [
        f"{place(path, line)}: imports {name}"
        for path, line, name in _all_imports()
        if room(path) == pure
        and (
            name.split(".")[0] not in sys.stdlib_module_names
            or name in IMPURE_MODULES
            or name.split(".")[0] in IMPURE_MODULES
        )
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_pure_without_being_looked_at() -> None:
    """The pure rooms are where this test believes them to be."""
    assert {room(path) for path, _ in modules()} >= PURE
