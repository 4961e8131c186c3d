"""The clause table is true: what it names exists, and each section of the specification has rows."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "ddi.md").read_text("utf-8")
NAMED = re.compile(r"`(test_\w+)::(test_\w+)`")


def _tests_in(folder: str) -> set[tuple[str, str]]:
    """(module, test) of every test function."""
    found = set()
    for path in (ROOT / "tests" / folder).glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add((path.stem, node.name))
    return {(module, name) for module, name in found if name.startswith("test_")}


def test_every_named_test_exists() -> None:
    """No row of docs/ddi.md names a test that is not there."""
    known = _tests_in("devices") | _tests_in("e2e")
    named = set(NAMED.findall(TABLE))
    assert len(named) > 100
    assert named <= known, sorted(named - known)


def test_every_test_is_named() -> None:
    """Each test of the device endpoints stands beside the clause that it proves."""
    proven = {(module, name) for module, name in _tests_in("devices") if module != "test_clauses"}
    assert proven <= set(NAMED.findall(TABLE)), sorted(proven - set(NAMED.findall(TABLE)))


def test_every_section_has_rows() -> None:
    """Sections 2 to 12 of the specification are there, each with clauses and tests."""
    sections = re.split(r"^## ", TABLE, flags=re.M)[1:]
    numbers = {int(found[0]) for text in sections if (found := re.match(r"[0-9]+", text))}
    assert numbers == set(range(2, 13))
    for text in sections:
        if re.match(r"[0-9]", text):
            rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
            assert rows
            assert all(NAMED.search(row) for row in rows), text.splitlines()[0]
