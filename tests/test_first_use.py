"""The second process of a first proof: what it compiles is used, and it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
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
listed = [f"{m}.{name} " + ahead._written(ahead._kinds(tuple(types))) for m, name, *types in first_use.FIRST_PROOF]
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


SECOND = "from zkmargin.prover._kernels import first_use; first_use.compile_all()"
#: Holds the lock that the second process of somebody else would hold.
THIRD = f"""
import fcntl
from zkmargin.prover._kernels import first_use
held = (first_use.folder() / "compiling").open("wb")
fcntl.flock(held, fcntl.LOCK_EX)
{SECOND}
"""


def test_an_orphan_compiles_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "ZKMARGIN_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", SECOND], env=environment, stdin=subprocess.DEVNULL, check=True, timeout=60)
    assert not [*tmp_path.rglob("*.kernel")]


def test_a_third_process_compiles_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "ZKMARGIN_CACHE_DIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", THIRD], env=environment, stdin=subprocess.PIPE) as third:
        assert third.wait(60) == 0
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["compiling"]


def test_parts_of_files_that_nobody_writes_any_more_are_removed(tmp_path: Path) -> None:
    parts = "place = first_use.folder(); (place / '.a.1.part').touch(); (place / '.b.2.part').touch(); "
    parts += "os.utime(place / '.a.1.part', (1, 1)); first_use.FIRST_PROOF.clear(); first_use.compile_all(); "
    code = f"import os; from zkmargin.prover._kernels import first_use; {parts}"
    environment = {**os.environ, "ZKMARGIN_CACHE_DIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE) as process:
        assert process.wait(60) == 0
    assert [path.name for path in tmp_path.rglob("*.part")] == [".b.2.part"]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_second_process_ends_with_the_first_however_that_ends(tmp_path: Path, how: signal.Signals) -> None:
    # a shell's background job ignores SIGINT, and so would its children
    code = "import signal, time; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from zkmargin.prover._kernels import first_use; print(first_use.helped(), flush=True); time.sleep(600)"
    environment = {**os.environ, "ZKMARGIN_CACHE_DIR": str(tmp_path)}
    line = [sys.executable, "-c", code]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=quiet, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "True\n"
        time.sleep(1.5)  # numba is loaded, or kernels are compiled
        first.send_signal(how)
        first.wait(60)
    for _ in range(600):
        if not processes(tmp_path):
            return
        time.sleep(0.1)
    raise AssertionError(processes(tmp_path))


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor")
def test_a_fork_of_the_first_ends_by_itself_and_leaves_the_second_alone(tmp_path: Path) -> None:
    code = """
import os, sys, threading
from zkmargin.prover._kernels import first_use
assert first_use.helped()
if os.fork() == 0:
    sys.exit()
os.wait()
print(threading.active_count())
"""
    assert run(code, tmp_path).stdout == "2\n"  # the thread that waits for the second process waits still


def test_any_path_and_any_interpreter_will_do(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from zkmargin.prover._kernels import first_use; sys.path.append(pathlib.Path('/tmp')); "
    )
    several = len(os.sched_getaffinity(0)) > 1
    assert run(f"{code} print(first_use.helped())", tmp_path / "a").stdout == f"{several}\n"
    assert run(f"{code} sys.executable = None; print(first_use.helped())", tmp_path / "b").stdout == "False\n"
    assert run(f"{code} sys.frozen = True; print(first_use.helped())", tmp_path / "c").stdout == "False\n"


@pytest.mark.parametrize("option", [["-P"], []])
def test_the_second_process_imports_nothing_from_the_working_directory(tmp_path: Path, option: list[str]) -> None:
    for name in ("numpy.py", "json.py", "zkmargin.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    code = f"import os, time; from zkmargin.prover._kernels import first_use; os.chdir({str(tmp_path)!r}); "
    code += "first_use.helped(); time.sleep(1)"
    subprocess.run(
        [sys.executable, *option, "-c", code],
        env={**os.environ, "ZKMARGIN_CACHE_DIR": str(tmp_path / "cache")},
        check=True,
    )
    assert not (tmp_path / "imported").exists()
