"""The clause table of OMA-DM is true for this room: what it names exists, and every test is named."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
TABLE = (TESTS.parent / "docs" / "oma-dm.md").read_text("utf-8")
ROOMS = {"dm": TESTS / "devices" / "dm", "dlota": TESTS / "protocols" / "dlota"}


@pytest.mark.parametrize("room", ROOMS)
def test_the_table_and_the_tests_agree(room: str) -> None:
    """Every test that docs/oma-dm.md names is there, and every one that is there is named."""
    named = set(re.findall(rf"`{room}/(test_\w+)::(test_\w+)`", TABLE))
    found = {
        (path.stem, node.name)
        for path in ROOMS[room].glob("test_*.py")
        if path != Path(__file__)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }
    assert found == named
