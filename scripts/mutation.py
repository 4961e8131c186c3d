"""Measure the mutation score of ``overair.core``: how many small faults in the rules the tests notice.

Each module of the core is changed in one place at a time, and the tests that speak for it
(``tests/mutation.toml``) are run on what came out. A mutant is *killed* by a test that fails, or by
running without end; one that all tests pass has *survived*, and shows a rule that nobody tests or
code that nobody needs.

    make mutation                       all modules, what is new since the last time
    make mutation ARGS='plan window'    these, and each survivor as a difference
    make mutation ARGS=--write          all, and the table into docs/mutation.md

What is changed is in ``scripts/mutants.py``. Nothing is written into the source tree: a forked child
imports the mutant in the module's place. Results are kept in ``.mutation/`` until the module, what
it imports, or the tests change.

Not in the score, because nobody could land them: mutants with which the package cannot be imported
at all, and survivors that the type checker refuses. Nor are those that ``tests/mutation.toml`` lists
as equivalent, with the reason. The list may not go stale: an entry without its survivor is an error.
"""

import argparse
import importlib
import importlib.machinery
import importlib.util
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from scripts.mutants import Mutant, digest, mutants

ROOT = Path(__file__).resolve().parents[1]
MAKER = ROOT / "scripts" / "mutants.py"
CORE = ROOT / "src" / "overair" / "core"
LISTS = ROOT / "tests" / "mutation.toml"
KEPT = ROOT / ".mutation" / "results.json"
DOCUMENT = ROOT / "docs" / "mutation.md"
REQUIRED = 90.0
MEMORY = 3 << 30
# Exit statuses of the child: the package cannot be imported; this program is at fault.
VOID, BROKEN = 77, 78

KILLED, TIMEOUT, SURVIVED = "killed", "timeout", "survived"
EQUIVALENT, MISTYPED, IMPOSSIBLE = "equivalent", "types", "void"
COLUMNS = (KILLED, TIMEOUT, SURVIVED, EQUIVALENT, MISTYPED, IMPOSSIBLE)


# ---- How one is tried


class _InPlace(importlib.machinery.SourceFileLoader):
    """Loads a module from its own file, with other code in it."""

    def __init__(self, name: str, path: Path, code: str) -> None:
        super().__init__(name, str(path))
        self._code = code

    def get_code(self, fullname: str) -> Any:
        return compile(self._code, self.path, "exec", dont_inherit=True)


class _Finder:
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


class _Recorder:
    """A plugin that remembers the test that failed."""

    failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = report.nodeid


def _tests(files: Sequence[str], recorder: _Recorder) -> int:
    plugins = ["no:cacheprovider", "no:faulthandler", "pytest_asyncio.plugin"]
    arguments = ["-x", "-q", "--noconftest", "--tb=no", "-m", "not slow", "--rootdir", str(ROOT)]
    # The parent has the plugins loaded already, which is what makes a child quick.
    arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    for plugin in plugins:
        arguments += ["-p", plugin]
    return int(pytest.main([*arguments, *files], plugins=[recorder]))


def _child(answer: Path, cpu_seconds: int, work: Callable[[], tuple[int, object]]) -> int:
    """Fork; in the child do the work, write its answer, and end with its status."""
    child = os.fork()
    if child:
        return child
    status = BROKEN
    try:
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


@dataclass(slots=True, kw_only=True)
class Module:
    """A module of the core, the tests that speak for it, and what is known of its mutants."""

    name: str
    path: Path
    tests: list[str]
    loaded: list[str] = field(default_factory=list)  # modules of the core that its tests need
    foreign: list[str] = field(default_factory=list)
    code: str = ""  # the digest of those modules
    files: dict[str, str] = field(default_factory=dict)  # test files with their digests
    cpu_s: float = 0.0
    mutants: list[Mutant] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)  # by Mutant.key

    @property
    def dotted(self) -> str:
        parts = ["overair", "core", *self.name.split(".")]
        return ".".join(parts)

    def baseline(self, answer: Path) -> None:
        """Run the tests on the module as it is: they pass, need so long, and load these."""

        def work() -> tuple[int, object]:
            status = _tests(self.tests, _Recorder())
            ours: dict[str, str] = {}
            for name, module in list(sys.modules.items()):
                file = getattr(module, "__file__", None)
                if file and Path(file).is_relative_to(ROOT) and ".venv" not in file:
                    ours[name] = file
            foreign = [
                name
                for name in sys.modules
                if name not in ours and not name.startswith(("overair", "tests", "_"))
            ]
            return status, {"ours": ours, "foreign": foreign}

        _, status, usage = os.wait4(_child(answer, 600, work), 0)
        if status:
            raise SystemExit(f"{self.name}: its tests do not pass without a mutant")
        said = json.loads(answer.read_text("utf-8"))
        self.cpu_s = usage.ru_utime + usage.ru_stime
        self.foreign = said["foreign"]
        ours = {name: Path(file) for name, file in said["ours"].items()}
        core = {name: path for name, path in ours.items() if name.startswith("overair.")}
        self.loaded = sorted(core)
        self.code = digest(*(core[name].read_text("utf-8") for name in self.loaded))
        self.files = {
            path.relative_to(ROOT).as_posix(): digest(path.read_text("utf-8"))
            for path in ours.values()
            if path.is_relative_to(ROOT / "tests")
        }

    def fork(self, mutant: Mutant, answer: Path, first: str) -> int:
        """Try one mutant in a child; ``first`` is the test that killed it the last time."""

        def work() -> tuple[int, object]:
            sys.meta_path.insert(0, _Finder(self.dotted, self.path, mutant.code))
            try:
                for name in [self.dotted, *self.loaded]:
                    importlib.import_module(name)
            except BaseException:  # noqa: BLE001  # whatever a fault at import time raises
                return VOID, ""
            recorder = _Recorder()
            tests = sorted(self.tests, key=lambda file: not first.startswith(file))
            status = _tests(tests, recorder)
            return status, recorder.failed

        return _child(answer, int(self.cpu_s * 4) + 5, work)


# ---- What is kept


class Kept:
    """Results of earlier runs, which stand while neither the code nor the tests changed."""

    def __init__(self, fresh: bool) -> None:
        self._all: dict[str, list[Any]] = {}
        self._new: dict[str, list[Any]] = {}
        if KEPT.exists() and not fresh:
            self._all = json.loads(KEPT.read_text("utf-8"))

    def result(self, module: Module, mutant: Mutant) -> str | None:
        """The result that stands; one that was killed needs only the test that did it."""
        code, tests, result, killer = self._all.get(mutant.key, ("", "", "", ""))
        if code != module.code:
            return None
        file = killer.partition("::")[0]
        if file and module.files.get(file) == tests:
            return str(result)
        return str(result) if tests == digest(*sorted(module.files.values())) else None

    def mutants(self, path: Path) -> list[Mutant]:
        """The mutants of a module: making them takes a while."""
        made = KEPT.with_name(digest(path.read_text("utf-8"), MAKER.read_text("utf-8")) + ".json")
        if not made.exists():
            made.parent.mkdir(exist_ok=True)
            made.write_text(json.dumps([asdict(each) for each in mutants(path)]), "utf-8")
        return [Mutant(**each) for each in json.loads(made.read_text("utf-8"))]

    def killer(self, mutant: Mutant) -> str:
        return str(self._all[mutant.key][3]) if mutant.key in self._all else ""

    def keep(self, module: Module, mutant: Mutant, result: str, killer: str) -> None:
        file = killer.partition("::")[0]
        tests = module.files.get(file) or digest(*sorted(module.files.values()))
        self._all[mutant.key] = self._new[mutant.key] = [
            module.code,
            tests,
            result,
            killer if tests else "",
        ]

    def save(self) -> None:
        """Write them down, beside what another run has found meanwhile."""
        KEPT.parent.mkdir(exist_ok=True)
        if KEPT.exists():
            self._all = json.loads(KEPT.read_text("utf-8")) | self._new
        self._new = {}
        fresh = KEPT.with_suffix(".new")
        fresh.write_text(json.dumps(self._all), "utf-8")
        fresh.replace(KEPT)


# ---- The run


def modules(lists: dict[str, Any], wanted: Sequence[str]) -> list[Module]:
    """The modules of the core that the lists name tests for."""
    if unknown := set(wanted) - set(lists["tests"]):
        raise SystemExit(f"not in {LISTS.name}: {', '.join(sorted(unknown))}")
    found = []
    for name, tests in lists["tests"].items():
        path = CORE.joinpath(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        files = [f"tests/core/{test}.py" for test in tests]
        if not wanted or name in wanted:
            found.append(Module(name=name, path=path, tests=files))
    return found


def _outcome(status: int, answer: Path) -> str:
    if os.WIFSIGNALED(status):
        late = os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
        return TIMEOUT if late else KILLED
    code = os.WEXITSTATUS(status)
    if code in (BROKEN, pytest.ExitCode.NO_TESTS_COLLECTED, pytest.ExitCode.USAGE_ERROR):
        raise SystemExit(f"a mutant could not be tried: {answer.read_text('utf-8')}")
    return {0: SURVIVED, VOID: IMPOSSIBLE}.get(code, KILLED)


class Run:
    """Tries what has no result that stands, some at a time, until all are tried or time is up."""

    def __init__(self, kept: Kept, jobs: int, until: float, folder: Path) -> None:
        self._kept, self._jobs, self._until, self._folder = kept, jobs, until, folder
        self._running: dict[int, tuple[Module, Mutant, Path]] = {}

    def module(self, module: Module) -> None:
        waiting = []
        for mutant in module.mutants:
            result = self._kept.result(module, mutant)
            if result is None:
                waiting.append(mutant)
            else:
                module.results[mutant.key] = result
        for number, mutant in enumerate(waiting):
            if time.monotonic() > self._until:
                break
            while len(self._running) >= self._jobs:
                self._reap()
            answer = self._folder / str(number % (4 * self._jobs))
            answer.unlink(missing_ok=True)
            child = module.fork(mutant, answer, self._kept.killer(mutant))
            self._running[child] = module, mutant, answer
            if sys.stdout.isatty():
                print(f"\r{module.name}: {number}/{len(waiting)} ", end="", flush=True)
        while self._running:
            self._reap()
        for mutant in waiting:
            if module.results.get(mutant.key) == SURVIVED and self._mistyped(module, mutant):
                module.results[mutant.key] = MISTYPED
                self._kept.keep(module, mutant, MISTYPED, "")
        self._kept.save()
        if sys.stdout.isatty():
            print("\r", end="")

    def sound(self, module: Module) -> None:
        """See that what kills is the fault: the module itself, tried like a mutant, survives."""
        itself = Mutant(code=module.path.read_text("utf-8"), where="", was="", now="")
        answer = self._folder / "itself"
        _, status = os.waitpid(module.fork(itself, answer, ""), 0)
        if _outcome(status, answer) != SURVIVED:
            said = answer.read_text("utf-8")
            raise SystemExit(f"{module.name}: its tests fail in a child without a fault: {said}")

    def _mistyped(self, module: Module, mutant: Mutant) -> bool:
        """Whether the type checker refuses it, as `make types` would."""
        shadow = self._folder / "shadow.py"
        shadow.write_text(mutant.code, "utf-8")
        path = str(module.path.relative_to(ROOT))
        command = [sys.executable, "-m", "mypy", "--cache-dir", str(KEPT.parent / "mypy")]
        done = subprocess.run(
            [*command, "--shadow-file", path, str(shadow), path], capture_output=True, check=False
        )
        if done.returncode not in (0, 1):
            raise SystemExit(f"the type checker failed: {done.stderr.decode()}")
        return done.returncode == 1

    def _reap(self) -> None:
        child, status = os.wait()
        module, mutant, answer = self._running.pop(child)
        result = _outcome(status, answer)
        killer = json.loads(answer.read_text("utf-8")) if answer.exists() else ""
        module.results[mutant.key] = result
        self._kept.keep(module, mutant, result, killer)


def without_equivalent(module: Module, lists: dict[str, Any]) -> list[str]:
    """Take those listed as equivalent out of the survivors; what is listed and is none of them."""
    stale = []
    for entry in lists.get("equivalent", {}).get(module.name, []):
        place = entry["in"], entry["was"], entry["now"]
        survivors = [
            mutant
            for mutant in module.mutants
            if mutant.place == place and module.results.get(mutant.key) == SURVIVED
        ]
        for mutant in survivors:
            module.results[mutant.key] = EQUIVALENT
        if not survivors:
            stale.append(f"{module.name}: listed as equivalent, and no survivor: {entry['now']}")
    return stale


def score(counts: Counter[str]) -> float:
    """Per cent of those that could be noticed and were."""
    noticed = counts[KILLED] + counts[TIMEOUT]
    return 100 * noticed / max(1, noticed + counts[SURVIVED])


def row(name: str, counts: Counter[str]) -> str:
    """A line of the table, which is Markdown too."""
    tried = counts[KILLED] + counts[TIMEOUT] + counts[SURVIVED]
    figures = "".join(f" {counts[each]:>10,} |" for each in COLUMNS)
    return (
        f"| {name:<16} |{figures} {score(counts):>6.1f} % |"
        if tried
        else f"| {name:<16} |{figures} {'–':>8} |"
    )


def head() -> Iterator[str]:
    """The two lines above it."""
    yield f"| {'module':<16} |{''.join(f' {each:>10} |' for each in COLUMNS)} {'score':>8} |"
    yield f"| {'-' * 16} |" + f" {'-' * 9}: |" * len(COLUMNS) + f" {'-' * 7}: |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutation ARGS=…")
    parser.add_argument("modules", nargs="*", help="names as in tests/mutation.toml (all)")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="mutants at a time")
    parser.add_argument("--minutes", type=float, default=60, help="begin none after that long")
    parser.add_argument("--fresh", action="store_true", help="believe no earlier result")
    parser.add_argument("--write", action="store_true", help="write the table to docs/mutation.md")
    options = parser.parse_args()
    os.chdir(ROOT)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    hypothesis.settings.register_profile(
        "mutation",
        derandomize=True,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.load_profile("mutation")
    lists = tomllib.loads(LISTS.read_text("utf-8"))
    measured = modules(lists, options.modules)
    kept = Kept(options.fresh)
    stale: list[str] = []
    lines = list(head())
    print("\n".join(lines), flush=True)
    total: Counter[str] = Counter()
    untried = 0
    with tempfile.TemporaryDirectory() as folder:
        run = Run(kept, options.jobs, time.monotonic() + options.minutes * 60, Path(folder))
        for module in measured:
            module.baseline(Path(folder) / "baseline")
            for name in module.foreign:
                if name not in sys.modules:
                    try:
                        importlib.import_module(name)
                    except ImportError:
                        continue
            module.mutants = kept.mutants(module.path)
            run.sound(module)
            run.module(module)
            stale += without_equivalent(module, lists)
            counts = Counter(module.results.values())
            total += counts
            untried += len(module.mutants) - len(module.results)
            lines.append(row(module.name, counts))
            print(lines[-1], flush=True)
    lines.append(row("**all**", total))
    print(lines[-1], flush=True)
    for module in measured if options.modules else ():
        for mutant in module.mutants:
            if module.results.get(mutant.key) == SURVIVED:
                print(f"\n{module.name}: {mutant.where}\n  - {mutant.was}\n  + {mutant.now}")
    for line in stale:
        print(line)
    if untried:
        print(f"{untried} not tried: time was up; run it again to go on")
    if options.write and not options.modules and not untried:
        _write(lines)
    return int(bool(untried or stale or score(total) < REQUIRED))


def _write(lines: list[str]) -> None:
    """Put the table and the day into the document."""
    from overair.clock import SystemClock  # not above: children load what is ours by themselves

    text = DOCUMENT.read_text("utf-8")
    body = "\n".join([f"Measured on {SystemClock().now():%-d %B %Y}:", "", *lines])
    new = re.sub(r"(?s)(<!-- table -->\n).*?(\n<!-- end -->)", lambda m: m[1] + body + m[2], text)
    DOCUMENT.write_text(new, "utf-8")


if __name__ == "__main__":
    sys.exit(main())
