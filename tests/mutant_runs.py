"""Running tests on mutants: which of them does a test kill?

A mutant runs in a fork, in two ways. *Within*: a process has collected the tests, and its fork gives the changed
function its new code and runs the tests that reach the line; a killed mutant costs some tenths of a second. What was
computed while modules were imported is the program's own there. *Afresh*: a fork that has imported everything but the
code under test imports the mutant's source, then the tests; about three seconds. All that is no function's body runs
afresh, and all that survived within: nobody survives because of a value that the program had made before the change.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING

import grimp
from mutants import ROOT, Mutant, function_of, mutated, source_of

if TYPE_CHECKING:
    import pytest

#: Of processor time: a busy machine must not make a slow survivor look like a mutant that hangs. The tests of a module
#: take less, which is seen on the program itself. Of the clock, for who waits and does nothing.
CPU_SECONDS, WALL_SECONDS = 240, 1200
#: A mutant that waits for ever has ten times the clock that the program itself took, and at least this much.
LEAST_WALL_SECONDS = 60
#: The outcome of a mutant that has to be seen afresh.
UNKNOWN = 2

#: Imported once, before any fork: none of it is ours.
PRELOADED = (
    "hypothesis",
    "numba",
    "numpy",
    "py_arkworks_bls12381",
    "py_ecc.optimized_bls12_381",
    "py_ecc.bls",
    "pydantic",
    "pytest",
    "Crypto.Hash.keccak",
)
#: Of ours, before a mutant's fork: whatever of these rooms does not import the module under test.
ROOMS = ("integers", "formats", "engine", "crypto", "circuits", "accounts", "verifier", "prover")


class _Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a changed tree."""

    def __init__(self, mutant: Mutant) -> None:
        self.name, self.tree = mutant.module, mutated(mutant)

    def find_spec(
        self, name: str, _path: object = None, _target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self.name:
            return None
        return importlib.machinery.ModuleSpec(name, self, origin=str(source_of(name)[0]))

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = str(source_of(self.name)[0])
        exec(compile(self.tree, module.__file__, "exec"), module.__dict__)  # noqa: S102 - our own source


def bystanders(module: str) -> list[str]:
    """Modules of ours that import a module neither themselves nor through others, nor lie in a package that does."""
    graph = grimp.build_graph("zkmargin", cache_dir=None)
    importers = graph.find_downstream_modules(module) | {module}
    rooms = tuple(f"zkmargin.{room}" for room in ROOMS)

    def apart(name: str) -> bool:
        packages = (name[:dot] for dot, letter in enumerate(f"{name}.") if letter == ".")
        return name.startswith(rooms) and not importers.intersection(packages)

    return sorted(filter(apart, graph.modules))


def preload(names: Sequence[str], tested: str) -> None:
    """Import what is not under test: the fork server's share of the work."""
    for name in names:
        importlib.import_module(name)
    if tested in sys.modules:
        raise RuntimeError(f"loaded before the mutation: {tested}")


class _Run:
    """A pytest plugin for one fork after another: tests that killed other mutants go first.

    Args:
        killers: a file of the ids of tests that failed, a line for each time; all forks of a run share it.
    """

    def __init__(self, killers: Path) -> None:
        self.killers = killers

    @property
    def _took(self) -> Path:
        return self.killers.with_name(f"{self.killers.name}.seconds")

    def limit(self) -> int:
        """Seconds by the clock that a mutant may take."""
        took = float(self._took.read_text("ascii")) if self._took.exists() else WALL_SECONDS
        return min(WALL_SECONDS, max(LEAST_WALL_SECONDS, int(10 * took)))

    def kills(self) -> Counter[str]:
        """Test or file -> how many mutants it killed until now."""
        tests = self.killers.read_text("utf-8").split("\n")
        return Counter([*tests, *(Path(test.partition("::")[0]).name for test in tests)])

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        kills = self.kills()
        items.sort(key=lambda item: -kills[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            with self.killers.open("a", encoding="utf-8") as file:
                file.write(f"{report.nodeid}\n")


class _Within(_Run):
    """Collects once, then runs the tests in a fork for each mutant, whose function has its new code there."""

    def __init__(self, killers: Path, module: str, mutants: Sequence[Mutant | None]) -> None:
        super().__init__(killers)
        self.module, self.mutants = module, mutants
        #: For each mutant: killed, or None where it has to be seen afresh.
        self.outcome: list[bool | None] = [None] * len(mutants)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            return True
        path = str(source_of(self.module)[0])
        bodies: dict[tuple[str, int], list[FunctionType]] = {}
        for found in gc.get_objects():
            if isinstance(found, FunctionType) and found.__code__.co_filename == path:
                code = found.__code__
                bodies.setdefault((code.co_qualname, code.co_firstlineno), []).append(found)
        for index, mutant in enumerate(self.mutants):
            change = function_of(mutant) if mutant else None
            if mutant and (change is None or (change.co_qualname, change.co_firstlineno) not in bodies):
                continue
            changed = bodies[change.co_qualname, change.co_firstlineno] if change else []
            begin = time.monotonic()
            lives = _in_fork(partial(self._run, session, mutant, change, changed))
            if mutant is None:
                self._took.write_text(f"{time.monotonic() - begin}", "ascii")
            # one that lives on is seen afresh, unless it is the program itself
            self.outcome[index] = not lives if mutant is None or not lives else None
        return True

    def _run(
        self, session: pytest.Session, mutant: Mutant | None, change: CodeType | None, functions: Sequence[FunctionType]
    ) -> bool:
        _quiet(self.limit())
        if mutant is None:
            return self._trace(session)
        for function in functions:
            if change:
                function.__code__ = change
        reaching = self._reaching(mutant.line)
        items = [item for item in session.items if item.nodeid in reaching] or session.items
        self.pytest_collection_modifyitems(items)
        return self._passed(session, items)

    @property
    def _traced(self) -> Path:
        return self.killers.with_name(f"{self.killers.name}.lines")

    def _trace(self, session: pytest.Session) -> bool:
        """Run all tests on the program as it is, and write down which lines of the module each of them reaches."""
        import coverage

        traced = coverage.Coverage(data_file=None, config_file=False, include=[str(source_of(self.module)[0])])
        traced.start()
        passed = self._passed(session, session.items, traced.switch_context)
        traced.stop()
        data, found = traced.get_data(), dict[int, list[str]]()
        for file in data.measured_files():
            found |= data.contexts_by_lineno(file)
        self._traced.write_text(json.dumps(found), "utf-8")
        return passed

    def _reaching(self, line: int) -> set[str]:
        """Tests that reach a line; empty where that is not known."""
        lines = json.loads(self._traced.read_text("utf-8")) if self._traced.exists() else {}
        return set(lines.get(str(line), ()))

    def _passed(
        self, session: pytest.Session, items: Sequence[pytest.Item], begin: Callable[[str], object] = str
    ) -> bool:
        for item, following in zip(items, [*items[1:], None], strict=True):
            begin(item.nodeid)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                return False
        return True


def _quiet(limit: int) -> None:
    """What every fork of a mutant has: no output, limits of time, no dumps, hypothesis' examples of CI."""
    with Path(os.devnull).open("w", encoding="utf-8") as null:
        os.dup2(null.fileno(), 1)
        os.dup2(null.fileno(), 2)
    signal.alarm(limit)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _pytest(tests: Sequence[str], plugin: _Run) -> int:
    import pytest

    os.environ["CI"] = "1"  # hypothesis draws the same examples each time
    os.environ.pop("ZKMARGIN_FULL", None)
    common = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist", "-W", "ignore"]
    files = [str(ROOT / "tests" / name) for name in tests]
    return int(pytest.main([*common, "--capture=no", "-m", "not slow", *files], plugins=[plugin]))


def _afresh(mutant: Mutant, tests: Sequence[str], plugin: _Run) -> bool:
    _quiet(plugin.limit())
    sys.meta_path.insert(0, _Loader(mutant))
    kills = plugin.kills()
    # file by file: what a mutant fails in the first needs no collection of the others
    return not any(_pytest([name], plugin) for name in sorted(tests, key=lambda name: -kills[name]))


def _in_fork(work: Callable[[], bool]) -> bool:
    """Whether ``work`` in a fork of this process returns True; not so if it fails, crashes or hangs."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = int(not work())
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitpid(pid, 0)[1] == 0


@dataclass(frozen=True)
class Run:
    """Mutants of one module and the tests that must notice them."""

    module: str
    mutants: Sequence[Mutant]
    tests: tuple[str, ...]
    first: bool  # whether the tests are run on the program as it is before

    def within(self, outcome: Path, killers: Path) -> bool:
        """Collect once and fork: writes a byte for each mutant, one more before them for the program itself."""
        plugin = _Within(killers, self.module, [*[None] * self.first, *self.mutants])
        with Path(os.devnull).open("w", encoding="utf-8") as null, contextlib.redirect_stdout(null):
            _pytest(self.tests, plugin)
        outcome.write_bytes(bytes(UNKNOWN if dead is None else dead for dead in plugin.outcome))
        return True

    def afresh(self, outcome: Path, killers: Path) -> bool:
        """The same for those that are not known yet."""
        preload(bystanders(self.module), self.module)
        killed = bytearray(outcome.read_bytes())
        for index, mutant in enumerate(self.mutants, self.first):
            if killed[index] == UNKNOWN:
                killed[index] = not _in_fork(partial(_afresh, mutant, self.tests, _Run(killers)))
                if not killed[index]:
                    sys.stdout.write(f"survives: line {mutant.line}: {mutant}\n")
        outcome.write_bytes(killed)
        return True

    def __call__(self, outcome: Path) -> bool:
        """Write the outcome: a byte for each mutant, 1 where it was killed; nothing where the tests fail by themselves.

        Files, and no pipes: a worker that a killed mutant has left behind would hold a pipe open.
        """
        killers = outcome.with_name(f"{outcome.name}.killers")
        killers.touch()
        done = _in_fork(partial(self.within, outcome, killers))
        if not done or (self.first and outcome.read_bytes()[:1] != b"\0"):
            outcome.write_bytes(b"")
            return done
        return _in_fork(partial(self.afresh, outcome, killers))


def run_all(runs: Sequence[Run], workers: int) -> list[list[bool]]:
    """For each run whether its mutants were killed, or an empty list where the tests fail without any."""
    found: list[list[bool]] = []
    with tempfile.TemporaryDirectory(prefix="zkmargin-mutants-") as folder:
        outcomes = [Path(folder) / run.module for run in runs]
        running: set[int] = set()
        for run, outcome in zip(runs, outcomes, strict=True):
            if len(running) == workers:
                running.discard(os.wait()[0])
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                os._exit(int(not _in_fork(partial(run, outcome))))
            running.add(pid)
        while running:
            running.discard(os.wait()[0])
        for run, outcome in zip(runs, outcomes, strict=True):
            if not outcome.exists():
                raise RuntimeError(f"{run.module}: its mutants could not be run")
            killed = [bool(dead) for dead in outcome.read_bytes()]
            if killed and len(killed) != len(run.mutants) + run.first:
                raise RuntimeError(f"{run.module}: {len(killed)} outcomes of {len(run.mutants)} mutants")
            found.append(killed[run.first :])
    return found
