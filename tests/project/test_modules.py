"""Rules about modules: where SQL may be, how long a file may get, and what nothing is called."""

import ast
import re
from collections.abc import Iterator

from tests.project.source import PACKAGE, ROOT, modules, place, room

SQL = re.compile(
    r"\s*(select\s.+\sfrom\s|select\s+(1|count)\b|insert\s+(or\s+\w+\s+)?into\s|update\s+\w+\s+set\s"
    r"|delete\s+from\s|(create|alter|drop)\s+(unique\s+)?(table|index|view|database)\s|with\s+\w+\s+as\s*\()",
    re.IGNORECASE | re.DOTALL,
)
MOST_LINES = 450
VAGUE = {
    "utils",
    "util",
    "helpers",
    "helper",
    "manager",
    "managers",
    "service",
    "services",
    "common",
}
# Exceptions whose names are part of someone else's interface would go here, with the reason.
NOT_ERRORS: set[str] = set()


def _texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """String literals that are not docstrings; of f-strings, the part before the first value."""
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documentation
        ):
            yield node.lineno, node.value


def test_sql_stays_in_the_store() -> None:
    """No room but the store has SQL in it."""
    wrong = [
        f"{place(path, line)}: {text.strip()[:60]!r}"
        for path, tree in modules()
        if room(path) != "store"
        for line, text in _texts(tree)
        if SQL.match(text)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_search_for_sql_finds_it() -> None:
    """The store, where SQL is, shows that the search would see it elsewhere."""
    found = [
        text
        for path, tree in modules()
        if room(path) == "store"
        for _, text in _texts(tree)
        if SQL.match(text)
    ]
    assert len(found) > 10


def test_modules_fit_a_reading() -> None:
    """A module has at most 400 lines, give or take fifty: past that it is split along the walk."""
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path, _ in modules()}
    too_long = [f"{place(path)}: {n} lines" for path, n in lengths.items() if n > MOST_LINES]
    assert not too_long, "\n".join(too_long)


def test_modules_open_with_prose() -> None:
    """A module of more than fifty lines says first what it is for."""
    silent = [
        place(path)
        for path, tree in modules()
        if len(path.read_text("utf-8").splitlines()) > 50 and not ast.get_docstring(tree)
    ]
    assert not silent, "\n".join(silent)


def test_nothing_has_a_name_that_says_nothing() -> None:
    """No module or package is called utils, helpers, manager or service."""
    vague = [
        place(path)
        for path in sorted(PACKAGE.rglob("*"))
        if path.suffix in {"", ".py"} and path.stem in VAGUE
    ]
    assert not vague, "\n".join(vague)


def test_exceptions_end_in_error() -> None:
    """A class that is raised says so with its name."""
    known = {"Exception", "BaseException", "ValueError", "RuntimeError", "OSError", "LookupError"}
    classes = [
        (path, node)
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]
    grown = True
    while grown:
        found = {
            node.name
            for _, node in classes
            if any(isinstance(base, ast.Name) and base.id in known for base in node.bases)
        }
        grown = not found <= known
        known |= found
    wrong = [
        place(path, node.lineno) + f": {node.name}"
        for path, node in classes
        if node.name in known
        and not node.name.endswith("Error")
        and node.name not in NOT_ERRORS | {"Exception", "BaseException"}
    ]
    assert not wrong, "\n".join(wrong)


def test_an_ignored_rule_has_its_reason_beside_it() -> None:
    """``noqa`` and ``type: ignore`` name their rule, and say why there or in the line above."""
    mark = re.compile(
        r"#\s*(?:noqa|type:\s*ignore)(?P<rules>\s*:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*|\[[\w, -]+\])?(?P<why>.*)$"
    )
    wrong = []
    for path, _ in modules():
        lines = path.read_text("utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            found = mark.search(line)
            if not found:
                continue
            above = lines[number - 2].strip().startswith("#") if number > 1 else False
            if not found["rules"] or not (above or re.search(r"\w+ \w+", found["why"])):
                wrong.append(f"{place(path, number)}: {line.strip()}")
    assert not wrong, "\n".join(wrong)


def test_modules_that_are_named_exist() -> None:
    """What a docstring or a comment calls ``room/module.py`` is there."""
    named = re.compile(r"``((?:[a-z0-9_]+/)+[a-z0-9_]+\.py)``")
    there = {path.as_posix() for path, _ in modules()}
    lost = [
        f"{place(path)}: {name}"
        for path, _ in modules()
        for name in named.findall(path.read_text("utf-8"))
        if not (ROOT / name).is_file() and not any(known.endswith(f"/{name}") for known in there)
    ]
    assert lost == []
