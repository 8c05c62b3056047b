"""Mutation: what if a line of the verifier were wrong? Every such program must fail a test.

    python tests/mutation.py                    all mutants; prints the score and the survivors
    python tests/mutation.py verifier.proof     those of some modules
    python tests/mutation.py --every 20         a sample

Run it on a copy of the tree that nobody edits: a file that is changed meanwhile looks like a killed mutant.

*Protocol mutants*: each absorb of the transcript a no-op, each equation of a golden circuit left out of the
combination. *Code mutants*: one operator, constant, condition or statement changed in the source.

A mutant runs in a fork, in two ways. *Within*: a process has collected the tests, and its fork gives the changed
function its new code and runs the tests that reach the line; a killed mutant costs some tenths of a second. What was
computed while modules were imported is the program's own there. *Afresh*: a fork that has imported everything but the
code under test imports the mutant's source, then the tests; about three seconds. All that is no function's body runs
afresh, and all that survived within: nobody survives because of a value that the program had made before the change.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
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
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import grimp

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[1]
#: Of processor time: a busy machine must not make a slow survivor look like a mutant that hangs. The tests of a module
#: take less, which is seen on the program itself. Of the clock, for who waits and does nothing.
CPU_SECONDS, WALL_SECONDS = 120, 1200
#: The outcome of a mutant that has to be seen afresh.
UNKNOWN = 2

FORMATS = ("test_strict_json.py", "test_formats.py", "test_mappings.py", "test_errors.py")
SETUPS = ("test_srs.py", "test_srs_points.py", "test_srs_files.py")
CHECKS = ("test_golden.py", "test_verifier_checks.py", "test_batch_checks.py", "test_statement_checks.py")
TRUST = ("test_trust.py", "test_acceptance_words.py")
#: Module -> the tests that must notice. The fast ones come first: pytest stops at the first failure.
TARGETS: dict[str, tuple[str, ...]] = {
    "zkmargin.formats.canonical": (*FORMATS, "test_canonical_edges.py"),
    "zkmargin.formats.documents": (
        *FORMATS,
        "test_versions.py",
        "test_values_stay_true.py",
        "test_first_mistakes.py",
        "test_golden_documents.py",
    ),
    "zkmargin.verifier.workers": ("test_workers.py",),
    "zkmargin.crypto.group": ("test_field_group.py", "test_golden.py"),
    "zkmargin.crypto.field": ("test_field_group.py", "test_golden.py", "test_protocol_algebra.py"),
    "zkmargin.crypto.exact": ("test_protocol_algebra.py", "test_exact.py"),
    "zkmargin.crypto.scalars": ("test_protocol_algebra.py", "test_golden.py"),
    "zkmargin.crypto.transcript": ("test_transcript.py", "test_golden.py"),
    "zkmargin.crypto.srs": (*SETUPS, "test_golden.py"),
    "zkmargin.crypto.srs_files": SETUPS,
    "zkmargin.crypto.srs_checks": SETUPS,
    "zkmargin.verifier.header": ("test_elements.py", *CHECKS),
    "zkmargin.verifier.messages": ("test_elements.py", *CHECKS),
    "zkmargin.verifier.proof": CHECKS,
    "zkmargin.verifier.statement": ("test_elements.py", *CHECKS, "test_hostile_readings.py"),
    "zkmargin.verifier.transcript": ("test_golden.py", "test_transcript.py"),
    "zkmargin.verifier.argument": ("test_verify_edges.py", *CHECKS),
    "zkmargin.verifier.verify": ("test_verify_edges.py", *CHECKS),
    "zkmargin.accounts.commitments": ("test_commitment_parts.py", *CHECKS, "test_update_checks.py"),
    "zkmargin.accounts.updates": (*TRUST, "test_update_checks.py", "test_updates.py", "test_migrations.py"),
    "zkmargin.verifier.attest.documents": (
        *TRUST,
        "test_attestations.py",
        "test_trust_facts.py",
        "test_secp256k1.py",
    ),
    "zkmargin.verifier.attest.trust": (*TRUST, "test_attestations.py", "test_trust_facts.py"),
    "zkmargin.verifier.attest.accept": (
        "test_attestations.py",
        "test_challenges_receipts.py",
        *TRUST,
        "test_trust_facts.py",
        "test_policy_rules.py",
        "test_missing_quotes.py",
        "test_venue_accepted.py",
        "test_accept_boundaries.py",
    ),
    "zkmargin.verifier.attest.acceptance": (
        "test_memory.py",
        *TRUST,
        "test_challenges_receipts.py",
        "test_trust_facts.py",
        "test_venue_accepted.py",
        "test_hostile_readings.py",
    ),
    "zkmargin.verifier.attest.challenge": (
        "test_revocations.py",
        *TRUST,
        "test_challenges_receipts.py",
        "test_trust_facts.py",
    ),
    "zkmargin.verifier.attest.revocations": (
        "test_revocations.py",
        *TRUST,
        "test_trust_facts.py",
        "test_attestations.py",
    ),
    "zkmargin.verifier.attest.receipt": (
        "test_receipts.py",
        *TRUST,
        "test_challenges_receipts.py",
        "test_trust_facts.py",
    ),
}
#: Only if they are named, and of these only the statements of the circuit's construction, dropped one by one.
CIRCUITS = (
    "zkmargin.circuits.language.circuit",
    "zkmargin.circuits.limits",
    "zkmargin.circuits.margin",
    "zkmargin.circuits.requirement",
    "zkmargin.circuits.spreads",
    "zkmargin.circuits.language.system",
)
CIRCUIT_TESTS = ("test_golden.py", "test_circuit_system.py")

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


def _equivalent() -> dict[str, str]:
    """What the files ``mutants.toml`` list, each beside the modules that it speaks of: ``str(mutant)`` -> reason."""
    found: dict[str, str] = {}
    for folder in sorted({module.rpartition(".")[0] for module in TARGETS}):
        path = ROOT.joinpath(*folder.split("."), "mutants.toml")
        listed = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
        for name, reasons in listed.items():
            place = f"{folder}.{name}".removeprefix("zkmargin.")
            found |= {f"{place}: {text}": reason for text, reason in reasons.items()}
    return found


#: Mutants that no test can tell from the program, with the reason. Keys are ``str(mutant)``.
EQUIVALENT = _equivalent()


# --- the mutants --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    """One change of one module: the place in its syntax tree (see ``_places``) and which change there."""

    module: str
    place: int
    choice: int
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.module.removeprefix('zkmargin.')}: {self.kind}: {self.text}"


COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
BINARY: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


def _places(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes in order, without what does not run: annotations, docstrings, the words of errors, descriptions."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            skipped.update(id(child) for child in ast.iter_child_nodes(node))
            continue
        dead: list[ast.AST | None] = []
        if isinstance(node, ast.AnnAssign):
            # inside Annotated there are bounds that do run
            dead.append(node if ast.unparse(node.annotation) == "TypeAlias" else node.annotation)
        elif isinstance(node, ast.arg):
            dead.append(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            dead.append(node.returns)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            dead += [node, node.value]
        elif isinstance(node, ast.Raise):
            dead.append(node.exc)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "cast":
            dead.append(node.args[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "lru_cache":
            dead.append(node)  # how many results are remembered
        elif isinstance(node, ast.JoinedStr):
            dead += node.values
        elif isinstance(node, ast.keyword) and node.arg in ("field", "hint", "description", "repr"):
            dead.append(node.value)
        elif isinstance(node, (ast.Import, ast.ImportFrom)) or _is_of_names(node):
            dead.append(node)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            dead += [node, node.test]
        skipped.update(id(x) for x in dead if x is not None)
        if id(node) in skipped:
            skipped.update(id(child) for child in ast.iter_child_nodes(node))
        else:
            yield node


def _is_of_names(node: ast.AST) -> bool:
    """``__all__``, and names of types, of which only type checkers know."""
    return isinstance(node, ast.Assign) and (
        ast.unparse(node.targets[0]) in ("__all__", "Point") or ast.unparse(node.value).startswith("TypeVar(")
    )


def _changes(node: ast.AST) -> list[tuple[str, ast.AST]]:
    """(kind, replacement) for a node."""
    new: list[tuple[str, ast.AST]] = []
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            other = copy.deepcopy(node)
            other.ops[i] = COMPARE[type(op)]()
            new.append(("comparison", other))
    elif isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        new.append(("operator", ast.BinOp(node.left, BINARY[type(node.op)](), node.right)))
    elif isinstance(node, ast.BoolOp):
        new.append(("and/or", ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)))
        new += [("term dropped", value) for value in node.values]
    elif isinstance(node, ast.UnaryOp):
        new.append(("sign or not", node.operand))
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        new.append(("constant", ast.Constant(node.value + 1)))
        new.append(("constant", ast.Constant(node.value - 1)))
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        new.append(("constant", ast.Constant(not node.value)))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        new.append(("text", ast.Constant(node.value + "x")))
    elif isinstance(node, ast.Constant) and isinstance(node.value, bytes):
        new.append(("text", ast.Constant(node.value + b"x")))
    elif isinstance(node, (ast.If, ast.IfExp)):
        for value in (True, False):
            other_if = copy.deepcopy(node)
            other_if.test = ast.Constant(value)
            new.append((f"condition {value}", other_if))
    elif isinstance(node, ast.Raise):
        new.append(("check removed", ast.Pass()))
    elif isinstance(node, (ast.Expr, ast.AugAssign, ast.For)):
        new.append(("statement dropped", ast.Pass()))
    elif isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        new.append(("returns None", ast.Return(ast.Constant(None))))
    return new


def source_of(module: str) -> tuple[Path, str]:
    """File and text."""
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    return path, path.read_text("utf-8")


def mutants(module: str, kinds: Sequence[str] = ()) -> list[Mutant]:
    """All of a module, or those of some kinds."""
    found, source, seen = [], source_of(module)[1], Counter[str]()
    lines = source.splitlines()
    for place, node in enumerate(_places(ast.parse(source))):
        for choice, (kind, new) in enumerate(_changes(node)):
            if kinds and kind not in kinds:
                continue
            before, after = (" ".join(ast.unparse(x).split())[:110] for x in (node, new))
            line = getattr(node, "lineno", 0)
            where = f" in {lines[line - 1].strip()[:40]}" if isinstance(node, ast.Constant) else ""
            text = f"{before} -> {after}{where}"
            seen[text] += 1
            found.append(Mutant(module, place, choice, line, kind, text + (f" ({seen[text]})" * (seen[text] > 1))))
    return found


def mutated(mutant: Mutant) -> ast.Module:
    """The module's tree with the change."""
    tree = ast.parse(source_of(mutant.module)[1])
    for place, node in enumerate(_places(tree)):
        if place == mutant.place:
            target, new = node, _changes(node)[mutant.choice][1]
            break
    else:
        raise LookupError(str(mutant))

    class Replace(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> Any:
            return ast.copy_location(new, node) if node is target else self.generic_visit(node)

    changed: ast.Module = Replace().visit(tree)
    return ast.fix_missing_locations(changed)


# --- running them -------------------------------------------------------------------------------------------


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
            change = _function(mutant) if mutant else None
            if mutant and (change is None or (change.co_qualname, change.co_firstlineno) not in bodies):
                continue
            changed = bodies[change.co_qualname, change.co_firstlineno] if change else []
            lives = _in_fork(partial(self._run, session, mutant, change, changed))
            # one that lives on is seen afresh, unless it is the program itself
            self.outcome[index] = not lives if mutant is None or not lives else None
        return True

    def _run(
        self, session: pytest.Session, mutant: Mutant | None, change: CodeType | None, functions: Sequence[FunctionType]
    ) -> bool:
        _quiet()
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


def _function(mutant: Mutant) -> CodeType | None:
    """The code of the function whose body the mutant changes; None where the change is outside of any."""
    path, source = source_of(mutant.module)
    target = next(node for place, node in enumerate(_places(ast.parse(source))) if place == mutant.place)
    outer: ast.FunctionDef | None = None

    def search(node: ast.AST, within: ast.FunctionDef | None) -> None:
        nonlocal outer
        if _same(node, target):
            outer = within
        for child in ast.iter_child_nodes(node):
            body = isinstance(node, ast.FunctionDef) and child in node.body
            search(child, within or (node if body and isinstance(node, ast.FunctionDef) else None))

    search(ast.parse(source), None)
    if outer is None:
        return None
    first = min([outer.lineno, *(decorator.lineno for decorator in outer.decorator_list)])
    waiting = [compile(mutated(mutant), str(path), "exec")]
    while waiting:
        code = waiting.pop()
        if code.co_name == outer.name and code.co_firstlineno == first:
            return code
        waiting += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return None


def _same(one: ast.AST, other: ast.AST) -> bool:
    """Whether two nodes of two readings of one source are one place."""
    return type(one) is type(other) and all(
        getattr(one, name, None) == getattr(other, name, None)
        for name in ("lineno", "col_offset", "end_lineno", "end_col_offset")
    )


def _quiet() -> None:
    """What every fork of a mutant has: no output, limits of time, no dumps, hypothesis' examples of CI."""
    with Path(os.devnull).open("w", encoding="utf-8") as null:
        os.dup2(null.fileno(), 1)
        os.dup2(null.fileno(), 2)
    signal.alarm(WALL_SECONDS)
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
    _quiet()
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


# --- protocol mutants ---------------------------------------------------------------------------------------


def protocol_mutants() -> Iterator[tuple[str, bool]]:
    """(name, killed) for each absorb left out and each equation left out of the combined one, on golden proofs.

    Runs in this process: call it in a fork, or last.
    """
    from unittest.mock import patch

    from zkmargin.circuits.language.circuit import Circuit
    from zkmargin.crypto.transcript import Transcript
    from zkmargin.formats import VerificationError
    from zkmargin.verifier import verify

    sys.path.insert(0, str(ROOT / "tests"))
    golden = importlib.import_module("golden")
    cases = {name: golden.statement_of(name) for name in golden.NAMES}

    challenges = {group["name"]: group["challenges"] for group in golden.vectors()["testGroups"]}

    def refused(names: Sequence[str]) -> bool:
        """Or taken under other challenges: an honest proof passes whatever y is."""
        for name in names:
            try:
                verify(*cases[name])
            except VerificationError:
                return True
            if name in challenges and golden.challenges(*cases[name]) != challenges[name]:
                return True
        return False

    if refused(golden.NAMES):
        raise RuntimeError("a golden proof is refused without any mutation")
    append, combine = Transcript.append, Circuit.combine
    labels: list[str] = []

    def note(self: Transcript, label: str, data: bytes) -> None:
        if label not in labels:
            labels.append(label)
        append(self, label, data)

    with patch.object(Transcript, "append", note):
        refused(golden.NAMES)
    for label in labels:

        def forget(self: Transcript, name: str, data: bytes, label: str = label) -> None:
            if name != label:
                append(self, name, data)

        with patch.object(Transcript, "append", forget):
            yield f"absorb left out: {label}", refused(golden.NAMES)
    for name, (statement, _) in cases.items():
        for j, equation in enumerate(statement.circuit.equations):

            def skip(self: Circuit, rho: int, j: int = j) -> Any:
                # the others keep their powers of rho
                whole, scale, form = combine(self, rho), pow(rho, j, golden.r), self.equations[j].form
                for (kind, index), coefficient in form.terms.items():
                    whole.weights[kind][index] = (whole.weights[kind][index] - scale * coefficient) % golden.r
                return type(whole)(self, whole.weights, (whole.sigma + scale * form.constant) % golden.r)

            with patch.object(Circuit, "combine", skip):
                yield f"equation left out: {name}: {equation.rule}, {equation.name}", refused([name])


# --- the command --------------------------------------------------------------------------------------------


def chosen_of(module: str) -> list[Mutant]:
    """The mutants that are run: all, or of a circuit's construction only what is dropped."""
    return mutants(module) if module in TARGETS else mutants(module, ("statement dropped", "check removed"))


def tests_of(module: str) -> tuple[str, ...]:
    """The tests that must notice."""
    return TARGETS.get(module, CIRCUIT_TESTS)


def main(arguments: Sequence[str]) -> int:
    """Run and report. 0 where nothing survives that is not listed as equivalent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=[])
    parser.add_argument("--every", type=int, default=1, help="run one mutant in so many")
    parser.add_argument("--workers", type=int, default=int(os.environ.get("WORKERS", len(os.sched_getaffinity(0)))))
    parser.add_argument("--no-protocol", action="store_true")
    given = parser.parse_args(arguments)
    if unknown := set(given.modules) - {*TARGETS, *CIRCUITS}:
        parser.error(f"no tests are stated for {', '.join(sorted(unknown))}")
    sys.path.insert(0, str(ROOT))
    for name in PRELOADED:
        importlib.import_module(name)
    modules = given.modules or list(TARGETS)
    start = time.monotonic()
    everything = [mutant for module in modules for mutant in chosen_of(module)]
    names = {str(mutant) for module in modules for mutant in mutants(module)}
    listed = {name for name in EQUIVALENT if f"zkmargin.{name.split(':')[0]}" in modules}
    if stale := sorted(listed - names):
        sys.stdout.write("error: listed as equivalent, and no mutant any more:\n" + "".join(f"  {x}\n" for x in stale))
        return 2
    equivalent = sum(str(mutant) in EQUIVALENT for mutant in everything)
    chosen = [mutant for mutant in everything if str(mutant) not in EQUIVALENT][:: given.every]
    # a sample belongs to a run of the tests themselves: whether they pass is seen there
    runs = [
        Run(module, own, tests_of(module), given.every == 1)
        for module in modules
        if (own := [mutant for mutant in chosen if mutant.module == module])
    ]
    outcome = run_all(runs, given.workers)
    if failing := [run.module for run, killed in zip(runs, outcome, strict=True) if not killed]:
        sys.stdout.write(f"error: the tests fail without any mutation: {', '.join(failing)}\n")
        return 2
    done = [
        (mutant, dead)
        for run, killed in zip(runs, outcome, strict=True)
        for mutant, dead in zip(run.mutants, killed, strict=True)
    ]
    survivors = [mutant for mutant, dead in done if not dead]
    for module in modules:
        dead_or_not = [dead for mutant, dead in done if mutant.module == module]
        sys.stdout.write(f"{module:24} {sum(dead_or_not):4} of {len(dead_or_not):4} killed\n")
    for kind in sorted({mutant.kind for mutant, _ in done}):
        dead_or_not = [dead for mutant, dead in done if mutant.kind == kind]
        sys.stdout.write(f"  {kind:22} {sum(dead_or_not):4} of {len(dead_or_not):4} killed\n")
    left = 0
    if not given.no_protocol:
        outcomes = list(protocol_mutants())
        for name, dead in outcomes:
            if not dead:
                sys.stdout.write(f"survives: {name}\n")
        left = sum(not dead for _, dead in outcomes)
        sys.stdout.write(f"protocol mutants          {len(outcomes) - left:4} of {len(outcomes):4} killed\n")
    killed = len(done) - len(survivors)
    share = 100 * killed / len(done) if done else 100.0
    sys.stdout.write(
        f"code mutants              {killed:4} of {len(done):4} killed: {share:.1f} %; "
        f"{equivalent} more are equivalent; {time.monotonic() - start:.0f} s\n"
    )
    return int(bool(survivors or left))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
