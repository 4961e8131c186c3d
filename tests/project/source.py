"""The project's own files, as the tests of its rules read them."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "overair"


@cache
def tracked_files() -> tuple[Path, ...]:
    """Every file that is, or would be, in the repository: what git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    files = (ROOT / name for name in sorted(set(listed.split("\0"))) if name)
    return tuple(path for path in files if path.is_file())


def text_files() -> Iterator[tuple[Path, str]]:
    """Those of them that are text, with it."""
    for path in tracked_files():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


@cache
def modules() -> tuple[tuple[Path, ast.Module], ...]:
    """Every module of the package, parsed."""
    return tuple(
        (path, ast.parse(path.read_text(encoding="utf-8"), str(path)))
        for path in sorted(PACKAGE.rglob("*.py"))
    )


def room(path: Path) -> str:
    """The room a module is in (``store``), or its own name (``clock``)."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def place(path: Path, line: int = 0) -> str:
    """``src/overair/…:line``, for messages."""
    name = path.relative_to(ROOT).as_posix()
    return f"{name}:{line}" if line else name
