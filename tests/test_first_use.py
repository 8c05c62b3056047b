"""The second process of a first proof: what it compiles is used, and it leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.compiled, pytest.mark.linux]

#: The kernels that a first proof asks for, in their order, as the list writes them.
ORDER = """
from zkmargin.accounts import commit_book
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.example import example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.prover import prove
from zkmargin.prover._kernels import ahead, first_use
from zkmargin.verifier import Statement
asked, first = [], ahead.Kernel._first
def note(self, key, args):
    asked.append(self.name.removeprefix("zkmargin.prover._kernels.") + " " + ahead._written(key))
    return first(self, key, args)
ahead.Kernel._first = note
snapshot = build_snapshot(example_market("2026-11-20T12:00:00Z"), load_policy("default"), domain_size=1024)
lots = BookLots(tuple(1 for _ in snapshot.instruments), tuple((1 << slot.bits) - 1 for slot in snapshot.collateral))
opening = commit_book(snapshot, lots)
prove(Statement.of(snapshot, [opening.commitment()], Claim(1, 1)), lots, [opening])
listed = [f"{m}.{name} " + ahead._written(tuple(map(ahead._kind, types))) for m, name, *types in first_use.FIRST_PROOF]
print("\\n".join(sorted({*asked} ^ {*listed})))
"""

#: Waits for a kernel from the second process, and calls it.
HELPED = """
import sys, time, threading
import numpy as np
from zkmargin.prover._kernels import compiled, first_use, kept
assert first_use.helped()
blocks = np.zeros((2, 5, 8), dtype=np.uint64)
blocks[0, 0] = 7
out = np.zeros((1, 5, 8), dtype=np.uint64)
types = " ".join(["<u8[3]1281"] * 3)
while kept.latest("zkmargin.prover._kernels.compiled.horner", types) is None:
    assert threading.active_count() > 1, "the second process ended"
    time.sleep(0.05)
compiled.horner(out, blocks, blocks[1:])
print(int(out[0, 0, 3]), "numba" in sys.modules)
"""


def run(code: str, cache: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ZKMARGIN_CACHE_DIR": str(cache), **variables},
        capture_output=True,
        text=True,
        check=True,
    )


def processes(cache: Path) -> list[str]:
    """Processes that use this cache."""
    found = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"ZKMARGIN_CACHE_DIR={cache}\0".encode() in place.read_bytes() + b"\0":
                found.append(place.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_the_list_has_the_kernels_of_a_first_proof() -> None:
    found = subprocess.run([sys.executable, "-c", ORDER], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "", "to be listed in prover/_kernels/first_use.py, or no longer"


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor")
def test_what_the_second_process_compiled_is_used(tmp_path: Path) -> None:
    assert run(HELPED, tmp_path / "cache").stdout.split() == ["7", "False"]
    assert processes(tmp_path / "cache") == []  # it ended with the first
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".kernel", ""}  # no part of one
    assert {path.stat().st_mode & 0o777 for path in files if path.suffix} == {0o600}


def test_without_a_second_processor_nothing_is_started(tmp_path: Path) -> None:
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); "
    code += "from zkmargin.prover._kernels import first_use; print(first_use.helped())"
    assert run(code, tmp_path).stdout == "False\n"


@pytest.mark.parametrize("why", ["shared", "uncompiled", "no interpreter"])
def test_where_it_cannot_help_nothing_is_started(tmp_path: Path, why: str) -> None:
    code = "import subprocess, sys; from zkmargin.prover._kernels import first_use; "
    if why == "no interpreter":
        code += "sys.executable = '/nowhere/python'; "
    else:
        code += "subprocess.Popen = None; "
    if why == "shared":
        tmp_path.chmod(0o777)
    variables = {"NUMBA_DISABLE_JIT": "1"} if why == "uncompiled" else {}
    assert run(code + "print(first_use.helped())", tmp_path, **variables).stdout == "False\n"


def test_an_orphan_and_a_third_process_compile_nothing(tmp_path: Path) -> None:
    orphan = "from zkmargin.prover._kernels import first_use; first_use.compile_all(1)"
    run(orphan, tmp_path)
    third = "import fcntl, os; from zkmargin.prover._kernels import first_use; "
    third += "held = (first_use.folder() / 'compiling').open('wb'); fcntl.flock(held, fcntl.LOCK_EX); "
    run(third + "first_use.compile_all(os.getppid())", tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["compiling"]


def test_the_second_process_imports_nothing_from_the_working_directory(tmp_path: Path) -> None:
    for name in ("numpy.py", "json.py", "zkmargin.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    code = f"import os, time; os.chdir({str(tmp_path)!r}); from zkmargin.prover._kernels import first_use; "
    code += "first_use.helped(); time.sleep(0.5)"
    subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "ZKMARGIN_CACHE_DIR": str(tmp_path / "cache")},
        check=True,
    )
    assert not (tmp_path / "imported").exists()
