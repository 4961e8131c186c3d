"""What `make mutation` measures is the whole core, with tests that exist."""

import ast
import tomllib
from typing import Any

from tests.project.source import PACKAGE, ROOT

CORE = PACKAGE / "core"
TESTS = ROOT / "tests" / "core"
LISTS: dict[str, Any] = tomllib.loads((ROOT / "tests" / "mutation.toml").read_text("utf-8"))


def test_every_module_of_the_core_is_measured() -> None:
    """Each module of the core that has more than a docstring names the tests that speak for it."""
    found = set()
    for path in CORE.rglob("*.py"):
        if len(ast.parse(path.read_text("utf-8")).body) > 1:
            parts = path.relative_to(CORE).with_suffix("").parts
            found.add(".".join(part for part in parts if part != "__init__"))
    assert found == set(LISTS["tests"])
    for module, tests in LISTS["tests"].items():
        assert tests, module


def test_every_test_of_the_core_counts() -> None:
    """Each file of tests/core speaks for a module, and what is named is there."""
    named = {test for tests in LISTS["tests"].values() for test in tests}
    assert named == {path.stem for path in TESTS.glob("test_*.py")}


def test_what_is_equivalent_has_its_reason() -> None:
    """A mutant that need not be noticed is of a measured module, and the list says why."""
    for module, entries in LISTS.get("equivalent", {}).items():
        assert module in LISTS["tests"]
        for entry in entries:
            assert set(entry) == {"in", "was", "now", "why"}, entry
            assert len(entry["why"].split()) > 3, entry
            assert entry["was"] != entry["now"], entry
