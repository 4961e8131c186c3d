"""The clause table is true: what it names of this room exists, and each test of it stands there."""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
TABLE = (HERE.parents[2] / "docs" / "oma-dm.md").read_text("utf-8")
NAMED = set(re.findall(r"`omadm/(test_\w+)::(test_\w+)`", TABLE))


def _tests() -> set[tuple[str, str]]:
    """(module, test) of every test function here, but for those of this module."""
    return {
        (path.stem, node.name)
        for path in HERE.glob("test_*.py")
        if path != Path(__file__)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_the_table_and_the_tests_agree() -> None:
    """Every test that docs/oma-dm.md names is there, and every one that is there is named."""
    assert _tests() == NAMED
