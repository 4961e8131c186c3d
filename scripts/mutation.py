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
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any

import hypothesis
import pytest

from scripts.mutants import Mutant, digest, mutants
from scripts.trial import (
    BROKEN,
    VOID,
    Collected,
    Finder,
    Recorder,
    changed_function,
    child,
    run_tests,
)

ROOT = Path(__file__).resolve().parents[1]
MAKER = ROOT / "scripts" / "mutants.py"
CORE = ROOT / "src" / "overair" / "core"
LISTS = ROOT / "tests" / "mutation.toml"
KEPT = ROOT / ".mutation" / "results.json"
DOCUMENT = ROOT / "docs" / "mutation.md"
REQUIRED = 90.0

KILLED, TIMEOUT, SURVIVED = "killed", "timeout", "survived"
EQUIVALENT, MISTYPED, IMPOSSIBLE = "equivalent", "types", "void"
COLUMNS = (KILLED, TIMEOUT, SURVIVED, EQUIVALENT, MISTYPED, IMPOSSIBLE)


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

    @property
    def allowed_s(self) -> int:
        """Processor time after which a mutant is taken to run without end."""
        return int(self.cpu_s * 4) + 5

    def baseline(self, answer: Path) -> None:
        """Run the tests on the module as it is: they pass, need so long, and load these."""

        def work() -> tuple[int, object]:
            status = run_tests(self.tests, Recorder())
            ours: dict[str, str] = {}
            for name, module in list(sys.modules.items()):
                file = getattr(module, "__file__", None)
                if file and Path(file).is_relative_to(ROOT) and ".venv" not in file:
                    ours[name] = file
            foreign = [
                name
                for name in sys.modules
                if name not in ours
                and not name.startswith(("overair", "tests", "_hypothesis", "__"))
            ]
            return status, {"ours": ours, "foreign": foreign}

        _, status, usage = os.wait4(child(answer, 600, work), 0)
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
            sys.meta_path.insert(0, Finder(self.dotted, self.path, mutant.code))
            try:
                for name in [self.dotted, *self.loaded]:
                    importlib.import_module(name)
            except BaseException:  # noqa: BLE001  # whatever a fault at import time raises
                return VOID, ""
            recorder = Recorder()
            tests = sorted(self.tests, key=lambda file: not first.startswith(file))
            status = run_tests(tests, recorder)
            return status, recorder.failed

        return child(answer, self.allowed_s, work)


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


def _outcome(status: int, said: str) -> str:
    if os.WIFSIGNALED(status):
        late = os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
        return TIMEOUT if late else KILLED
    code = os.WEXITSTATUS(status)
    if code in (BROKEN, pytest.ExitCode.NO_TESTS_COLLECTED, pytest.ExitCode.USAGE_ERROR):
        raise SystemExit(f"a mutant could not be tried: {said}")
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
        old = compile(module.path.read_text("utf-8"), str(module.path), "exec")
        inside = []
        for mutant in waiting:
            found = changed_function(old, compile(mutant.code, str(module.path), "exec"))
            if found is not None:
                inside.append((mutant, *found))
                continue
            if time.monotonic() > self._until:
                break
            while len(self._running) >= self._jobs:
                self._reap()
            answer = self._folder / mutant.key
            started = module.fork(mutant, answer, self._kept.killer(mutant))
            self._running[started] = module, mutant, answer
        while self._running:
            self._reap()
        if inside:
            self._inside(module, inside)
        for mutant in waiting:
            if module.results.get(mutant.key) == SURVIVED and self._mistyped(module, mutant):
                module.results[mutant.key] = MISTYPED
                self._kept.keep(module, mutant, MISTYPED, "")
        self._kept.save()

    def _inside(
        self, module: Module, inside: list[tuple[Mutant, tuple[str, ...], CodeType]]
    ) -> None:
        """Try those whose fault is inside of one function, in a child that collects the tests."""

        def work() -> tuple[int, object]:
            collected = Collected(
                module.dotted,
                [
                    (mutant.key, path, code, self._kept.killer(mutant))
                    for mutant, path, code in inside
                ],
                jobs=self._jobs,
                cpu_s=module.allowed_s,
                until=self._until,
                folder=self._folder,
            )
            return run_tests(module.tests, collected), collected.statuses

        answer = self._folder / f"inside-{module.name}"
        os.waitpid(child(answer, 0, work), 0)
        statuses = json.loads(answer.read_text("utf-8"))
        if not isinstance(statuses, dict):
            raise SystemExit(f"{module.name}: mutants could not be tried: {statuses}")
        for mutant, _, _ in inside:
            if mutant.key in statuses:
                status, said = statuses[mutant.key]
                self._note(module, mutant, status, said)

    def sound(self, module: Module) -> None:
        """See that what kills is the fault: the module itself, tried like a mutant, survives."""
        itself = Mutant(code=module.path.read_text("utf-8"), where="", was="", now="")
        answer = self._folder / "itself"
        _, status = os.waitpid(module.fork(itself, answer, ""), 0)
        said = answer.read_text("utf-8") if answer.exists() else ""
        if _outcome(status, said) != SURVIVED:
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
        ended, status = os.wait()
        module, mutant, answer = self._running.pop(ended)
        said = json.loads(answer.read_text("utf-8")) if answer.exists() else ""
        self._note(module, mutant, status, said)

    def _note(self, module: Module, mutant: Mutant, status: int, said: str) -> None:
        result = _outcome(status, said)
        module.results[mutant.key] = result
        self._kept.keep(module, mutant, result, said)


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
    # What is not a mutant need not be compiled again in each child.
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(KEPT.parent / "compiled")
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
            gc.freeze()  # so that children leave alone what they share with their parent
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
    marks = "<!-- table -->", "<!-- end -->"
    before, _, rest = text.partition(marks[0])
    new = f"{before}{marks[0]}\n{body}\n{marks[1]}{rest.partition(marks[1])[2]}"
    DOCUMENT.write_text(new, "utf-8")


if __name__ == "__main__":
    sys.exit(main())
