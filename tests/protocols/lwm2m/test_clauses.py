"""The clause table is true: what it names exists, and each test of both rooms stands in it."""

import ast
import re
from pathlib import Path

PROTOCOLS = Path(__file__).parents[1]
TABLE = (PROTOCOLS.parents[1] / "docs" / "lwm2m.md").read_text("utf-8")
NAMED = set(re.findall(r"`((?:coap|lwm2m)/test_\w+::test_\w+)`", TABLE))


def _tests() -> set[str]:
    """Every test function here and of CoAP, but for those of this module."""
    return {
        f"{path.parent.name}/{path.stem}::{node.name}"
        for room in ("coap", "lwm2m")
        for path in (PROTOCOLS / room).glob("test_*.py")
        if path != Path(__file__)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


def test_the_table_and_the_tests_agree() -> None:
    """Every test that docs/lwm2m.md names is there, and every one that is there is named."""
    assert _tests() == NAMED
