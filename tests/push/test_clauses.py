"""What the clause table names of this room exists."""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
TABLE = (HERE.parents[1] / "docs" / "oma-dm.md").read_text("utf-8")


def test_the_table_is_true() -> None:
    """Every test of this room that docs/oma-dm.md names is there."""
    named = set(re.findall(r"`push/(test_\w+)::(test_\w+)`", TABLE))
    found = {
        (path.stem, node.name)
        for path in HERE.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert named
    assert named <= found
