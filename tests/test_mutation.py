"""The mutation script itself: what it changes, and that a sample of its mutants is killed (all: make assurance)."""

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType

import golden
import pytest

SCRIPT = Path(__file__).with_name("mutation.py")


@pytest.fixture(scope="module")
def mutation() -> ModuleType:
    return importlib.import_module("mutation")


@pytest.fixture(scope="module")
def making() -> ModuleType:
    return importlib.import_module("mutants")


def test_every_protocol_mutant_is_killed(mutation: ModuleType) -> None:
    outcomes = list(mutation.protocol_mutants())
    absorbs = {name.removeprefix("absorb left out: ") for name, _ in outcomes if name.startswith("absorb")}
    expected = {"protocol", *(label for label, _ in golden.statement_of("default-policy")[0].public_messages())}
    expected |= {"f", "mu", "gates", "h", "phi", "T", "f(zeta)", "phi(omega zeta)", "A(zeta)", "W", "W'"}
    assert absorbs == expected
    equations = sum(len(golden.statement_of(name)[0].circuit.equations) for name in golden.NAMES)
    assert len(outcomes) == len(absorbs) + equations
    assert [name for name, killed in outcomes if not killed] == []


@pytest.mark.slow
def test_a_sample_of_code_mutants_is_killed() -> None:
    # CI takes one in a hundred; the whole set, and its last result, are in docs/assurance.md
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])}
    command = [sys.executable, str(SCRIPT), "--every", "100", "--no-protocol"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "100.0 %" in run.stdout


def test_what_is_listed_as_equivalent_still_exists(mutation: ModuleType) -> None:
    names = [str(mutant) for module in mutation.TARGETS for mutant in mutation.mutants(module)]
    assert set(mutation.EQUIVALENT) <= set(names)
    assert all(mutation.EQUIVALENT.values())
    # one listed as equivalent must not hide another of the same words
    assert len(set(names)) == len(names) > 2000


def test_a_module_without_tests_is_refused(mutation: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        mutation.main(["zkmargin.verifier.proof", "zkmargin.prover.rounds"])
    assert "no tests are stated for zkmargin.prover.rounds" in capsys.readouterr().err


def test_every_kind_of_change_is_made(mutation: ModuleType) -> None:
    kinds = {mutant.kind for module in mutation.TARGETS for mutant in mutation.mutants(module)}
    assert kinds == {
        "and/or",
        "check removed",
        "comparison",
        "condition False",
        "condition True",
        "constant",
        "operator",
        "returns None",
        "sign or not",
        "statement dropped",
        "term dropped",
        "text",
    }


def test_a_mutant_is_the_module_with_one_change(making: ModuleType) -> None:
    module = "zkmargin.verifier.proof"
    plain = ast.unparse(ast.parse(making.source_of(module)[1]))
    for mutant in making.mutants(module):
        changed = ast.unparse(making.mutated(mutant))
        assert changed != plain
        compile(changed, module, "exec")


def test_a_function_s_change_is_its_code(making: ModuleType) -> None:
    # run within: the function of the running program gets this code
    module = "zkmargin.verifier.proof"
    path, source = making.source_of(module)
    program = list(_codes(compile(source, str(path), "exec")))
    within = 0
    for mutant in making.mutants(module):
        changed = making.function_of(mutant)
        if changed is None:
            continue
        within += 1
        (before,) = [
            code
            for code in program
            if (code.co_qualname, code.co_firstlineno) == (changed.co_qualname, changed.co_firstlineno)
        ]
        assert before != changed
        assert changed in _codes(compile(making.mutated(mutant), str(path), "exec"))
    assert 0 < within < len(making.mutants(module))


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)
