"""How one mutant is tried: in a forked child, without a word written into the source tree.

There are two ways. A fault inside of one function is tried in a process that has collected the
tests already: each child gives the function its other code, and runs them. It costs little more than
the tests. Any other fault (a table, a constant, a field) is there from the import on, so the child of
a process that has imported nothing of ours imports the module with the fault in it, and everything
else after that.

Not here: which mutants, and what their results mean (``scripts/mutation.py``).
"""

import functools
import gc
import importlib.machinery
import importlib.util
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
MEMORY = 3 << 30
# Exit statuses of the child: the package cannot be imported; this program is at fault.
VOID, BROKEN = 77, 78


class _InPlace(importlib.machinery.SourceFileLoader):
    """Loads a module from its own file, with other code in it."""

    def __init__(self, name: str, path: Path, code: str) -> None:
        super().__init__(name, str(path))
        self._code = code

    def get_code(self, fullname: str) -> Any:
        return compile(self._code, self.path, "exec", dont_inherit=True)


class Finder:
    """Finds one module with other code in it."""

    def __init__(self, name: str, path: Path, code: str) -> None:
        self._name, self._path = name, path
        self._loader = _InPlace(name, path, code)

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        if name != self._name:
            return None
        package = [str(self._path.parent)] if self._path.stem == "__init__" else None
        return importlib.util.spec_from_file_location(
            name, self._path, loader=self._loader, submodule_search_locations=package
        )


class Recorder:
    """A plugin that remembers the test that failed."""

    failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = report.nodeid


def run_tests(files: Sequence[str], recorder: object) -> int:
    """Run pytest on these files until one fails; its exit status."""
    plugins = ["no:cacheprovider", "no:faulthandler", "pytest_asyncio.plugin"]
    # These two would collect garbage ten times over, which takes longer than most tests.
    plugins += ["no:unraisableexception", "no:threadexception"]
    arguments = ["-x", "-q", "--noconftest", "--tb=no", "-m", "not slow", "--rootdir", str(ROOT)]
    # The parent has the plugins loaded already, which is what makes a child quick.
    arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    for plugin in plugins:
        arguments += ["-p", plugin]
    return int(pytest.main([*arguments, *files], plugins=[recorder]))


def child(answer: Path, cpu_seconds: int, work: Callable[[], tuple[int, object]]) -> int:
    """Fork; in the child do the work, write its answer, and end with its status."""
    started = os.fork()
    if started:
        return started
    status = BROKEN
    try:
        if cpu_seconds:
            resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 2))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        status, said = work()
        answer.write_text(json.dumps(said), "utf-8")
    except BaseException:  # noqa: BLE001  # a child must not go on as a second parent
        answer.write_text(json.dumps(traceback.format_exc()), "utf-8")
    finally:
        os._exit(status)


# ---- Faults inside of one function


def changed_function(old: CodeType, new: CodeType) -> tuple[tuple[str, ...], CodeType] | None:
    """The one function in which two modules differ, by its names from outside in; None: more does."""
    found = _differences(old, new)
    return found[0] if found is not None and len(found) == 1 else None


def _differences(
    old: CodeType, new: CodeType, path: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], CodeType]] | None:
    if _shape(old) != _shape(new):
        return None
    found = []
    for one, other in zip(_inner(old), _inner(new), strict=True):
        if _same(one, other):
            continue
        here = (*path, one.co_name)
        if one.co_name.startswith("<") or one.co_freevars != other.co_freevars:
            return None
        if one.co_flags & 0x1:  # the code of a function, and not of a class
            found.append((here, other))
        else:
            deeper = _differences(one, other, here)
            if deeper is None:
                return None
            found += deeper
    return found


def _inner(code: CodeType) -> list[CodeType]:
    return [const for const in code.co_consts if isinstance(const, CodeType)]


def _shape(code: CodeType) -> tuple[object, ...]:
    """All of a code but its lines, and what is in the functions and classes within."""
    consts = tuple(
        const.co_name if isinstance(const, CodeType) else (type(const), repr(const))
        for const in code.co_consts
    )
    arguments = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return code.co_code, code.co_exceptiontable, code.co_flags, consts, arguments, names


def _same(one: CodeType, other: CodeType) -> bool:
    return _shape(one) == _shape(other) and all(map(_same, _inner(one), _inner(other)))


def _function(module: object, path: tuple[str, ...]) -> FunctionType:
    """What is behind decorators."""
    found: Any = module
    for name in path:
        found = vars(found)[name]
    while not isinstance(found, FunctionType):
        if isinstance(found, property):
            found = found.fget
        elif isinstance(found, staticmethod | classmethod):
            found = found.__func__
        else:
            found = found.__wrapped__
    return found


class Collected:
    """A plugin that has collected the tests, and runs them for one mutant after the other."""

    def __init__(
        self,
        dotted: str,
        mutants: Sequence[tuple[str, tuple[str, ...], CodeType, str]],
        *,
        jobs: int,
        cpu_s: int,
        until: float,
        folder: Path,
    ) -> None:
        self._dotted, self._mutants = dotted, mutants
        self._jobs, self._cpu_s, self._until, self._folder = jobs, cpu_s, until, folder
        self._running: dict[int, str] = {}
        self.statuses: dict[str, tuple[int, str]] = {}  # by the mutant's name
        self._failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember the test that failed."""
        if report.failed:
            self._failed = report.nodeid

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run them so often; pytest's own loop is not asked."""
        gc.freeze()
        for name, path, code, first in self._mutants:
            if time.monotonic() > self._until:
                break
            while len(self._running) >= self._jobs:
                self._reap()
            work = functools.partial(self._try, session.items, path, code, first)
            self._running[child(self._answer(name), self._cpu_s, work)] = name
        while self._running:
            self._reap()
        return True

    def _answer(self, name: str) -> Path:
        return self._folder / f"collected-{name}"

    def _try(
        self, items: list[pytest.Item], path: tuple[str, ...], code: CodeType, first: str
    ) -> tuple[int, object]:
        module = sys.modules[self._dotted]
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()
        _function(module, path).__code__ = code
        items = sorted(items, key=lambda item: item.nodeid != first)
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                return 1, self._failed
        return 0, ""

    def _reap(self) -> None:
        ended, status = os.wait()
        name = self._running.pop(ended)
        answer = self._answer(name)
        said = json.loads(answer.read_text("utf-8")) if answer.exists() else ""
        self.statuses[name] = status, said
