"""The negative suite under ``python -O`` and ``-OO`` (catalogue 54): no check is an assert or needs a docstring."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mutation import CHECKS, FORMATS, SETUPS

ROOT = Path(__file__).parents[1]
LIBRARY = ("circuits", "engine", "prover", "verifier", "zkmargin")
#: Everything that hostile input must fail at.
NEGATIVE = (*CHECKS, "test_field_group.py", *SETUPS, *FORMATS)
MORE = (
    "test_malicious_provers.py",
    "test_malicious_accounts.py",
    "test_completeness_soundness.py",
    "test_batches_small.py",
    "test_transcript_order.py",
    "test_transcript_challenges.py",
    "test_arrays.py",
)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["-O", "-OO"])
def test_54_the_negative_suite_gives_the_same_verdicts(option: str, tmp_path: Path) -> None:
    names = NEGATIVE + MORE if os.environ.get("ZKMARGIN_FULL") == "1" else CHECKS
    # the child must know that its own asserts are live: pytest rewrites those of test files
    canary = tmp_path / "test_canary.py"
    canary.write_text("def test_asserts_of_tests_are_live():\n    assert False\n")
    common = [sys.executable, option, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    common += ["-m", "not slow", "-W", "ignore::pytest.PytestConfigWarning"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    dead = subprocess.run([*common, canary], capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert dead.returncode == 1, dead.stdout
    paths = [ROOT / "tests" / name for name in names]
    run = subprocess.run([*common, *paths], capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert run.returncode == 0, run.stdout[-4000:]
    assert " passed" in run.stdout


def test_54_no_assert_is_in_the_library() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in LIBRARY
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Assert) or (isinstance(node, ast.Name) and node.id == "__debug__")
    ]
    assert found == []
