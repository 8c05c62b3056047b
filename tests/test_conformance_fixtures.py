"""What tests/conftest.py promises about tests that cannot run here, shown on a small suite of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SUITE = """
import pytest

def test_plain():
    pass

@pytest.mark.conformance
def test_family(conformance_family):
    assert [path.name for path in conformance_family("family")] == ["a.json", "b.json"]
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    folder = tmp_path / "suite"
    folder.mkdir()
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "test_suite.py").write_text(SUITE)
    return folder


def run(suite: Path, data: Path | None, *options: str) -> tuple[int, str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ZKMARGIN_", "PYTEST_"))}
    if data is not None:
        environment["ZKMARGIN_CONFORMANCE_DATA"] = str(data)
    config = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(suite), "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *config, *options, str(suite)]
    result = subprocess.run(command, cwd=suite, env=environment, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_without_data_the_tests_are_deselected_and_counted(suite: Path, options: tuple[str, ...]) -> None:
    status, output = run(suite, None, *options)
    assert status == 0
    assert "conformance: ZKMARGIN_CONFORMANCE_DATA is unset: 1 tests deselected" in output
    assert "1 passed" in output
    assert "skipped" not in output


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_what_the_platform_lacks_is_deselected_and_counted(
    suite: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    (suite / "test_kernels.py").write_text("import pytest\n\n@pytest.mark.compiled\ndef test_kernel():\n    pass\n")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    status, output = run(suite, None, *options)
    assert status == 0
    assert "2 passed" in output
    assert "compiled:" not in output
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    status, output = run(suite, None, *options)
    assert status == 0
    assert "1 passed" in output
    assert "compiled: NUMBA_DISABLE_JIT is set: 1 tests deselected" in output
    assert "conformance: ZKMARGIN_CONFORMANCE_DATA is unset: 1 tests deselected" in output


def test_with_data_the_family_is_listed_in_order(suite: Path, tmp_path: Path) -> None:
    family = tmp_path / "data" / "family" / "deeper"
    family.mkdir(parents=True)
    (family / "b.json").touch()
    (family / "a.json").touch()
    status, output = run(suite, tmp_path / "data")
    assert status == 0
    assert "2 passed" in output
    assert "deselected" not in output


def test_an_absent_family_is_named(suite: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    status, output = run(suite, tmp_path / "data")
    assert status == 0
    assert "1 passed, 1 skipped" in output
    assert "conformance: the family family is absent from ZKMARGIN_CONFORMANCE_DATA" in output


def test_an_empty_family_fails(suite: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "family").mkdir(parents=True)
    status, output = run(suite, tmp_path / "data")
    assert status == 1
    assert "conformance: the family family is empty" in output


def test_an_unreadable_family_fails(suite: Path, tmp_path: Path) -> None:
    family = tmp_path / "data" / "family"
    family.mkdir(parents=True)
    (family / "a.json").symlink_to("nowhere")  # file permissions would not stop root
    status, output = run(suite, tmp_path / "data")
    assert status == 1
    assert "conformance: the family family cannot be read" in output


def test_a_variable_that_names_no_folder_fails(suite: Path, tmp_path: Path) -> None:
    status, output = run(suite, tmp_path / "nowhere")
    assert status == 1
    assert "ZKMARGIN_CONFORMANCE_DATA is set but names no folder" in output
