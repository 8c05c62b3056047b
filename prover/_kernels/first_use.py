"""The first proof of a machine: a second process compiles the kernels that it needs last, while it compiles the first.

``FIRST_PROOF`` are all of them. Who finds nothing on disk starts a process that compiles them, those that are needed
late before the others, and keeps each on disk as it is done (``kept.py``); before the first process compiles one, it
looks whether the other has. Neither waits for the other: if the second process fails nothing is lost, and where there
is only one processor it is not started.
"""

from __future__ import annotations

import atexit
import fcntl
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import numpy as np

from zkmargin.prover._kernels.kept import JIT_ENABLED, KEEPS, folder, kept

# Arguments for which numba compiles what it would for those of a proof, since it looks at their types only: blocks,
# rows, entries, and other arrays by the type of their elements.
_B, _R = np.zeros((1, 8, 8), np.uint64), np.zeros((1, 16), np.uint64)
_E, _E2 = np.zeros(1, np.int32), np.zeros((1, 1), np.int32)
_I, _I2 = np.zeros(1, np.int64), np.zeros((1, 1), np.int64)
_H, _H2, _BOOLS = np.zeros(1, np.int16), np.zeros((1, 1), np.int16), np.zeros(1, np.bool_)
#: Module, kernel and arguments: what takes longest of what a proof needs late, then the others, the last one first.
FIRST_PROOF: list[tuple[Any, ...]] = [
    ("lane_sums", "sum_bundles", _R, _E, _R, _E, _E, _E, _B, _B),
    ("buckets", "weighted_sums", _R, 0, 0),
    ("compiled", "horner", _B, _B, _B),
    ("columns", "_close", _B, _B, _B),
    ("columns", "_extend", _B, _B, _B, _B),
    ("identities", "lift_columns", _B, _B, _B, 0, _B, _B, _I, _B, _B, _B),
    ("compiled", "prefix_sum", _B, _B, 0),
    ("identities", "add_products", _B, _B, _B),
    ("identities", "accumulate", _B, _B, _B),
    ("compiled", "inverses_from_products", _B, _B, _B),
    ("compiled", "running_products", _B, _B, _B),
    ("compiled", "add", _B, _B, _B),
    ("compiled", "multiply", _B, _B, _B),
    ("identities", "gather_sum", _B, _R, _I2),
    ("columns", "_add_rows", _B, _I2, _B, 0, _B),
    ("group_sums", "copy_rows", _R, 0, _R, _E),
    ("lane_sums", "leave_over", _E, _E, _E, _E, 0, 0),
    ("buckets", "split_weights", _E, 0, 0, 0),
    ("group_sums", "_sum_runs", _R, _R, _E, _E, _R, _R, _E2),
    ("group_sums", "_largest_run", _E),
    ("lane_sums", "cut", _E),
    ("buckets", "place", _E, _E, _H2, _H, 0, 0),
    ("buckets", "recode", _H2, _H, _E, _B, _BOOLS, 0),
    ("butterflies", "transform", _B, _B, _B, _I, _B, _B, _B),
    ("compiled", "geometric", _B, _B, _B),
    ("compiled", "subtract", _B, _B, _B),
    ("compiled", "scale", _B, _B, _B),
    ("group_sums", "double_rows", _R, 0, 0, 0),
    ("points", "_scaled", _B, _B, _B),
]

_CODE = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import {0} as here; here.compile_all()"
_STARTING = Lock()
#: Seconds after which a part of a file is nobody's any more.
_PART_SECONDS = 60


def helped() -> bool:
    """Whether a second process compiles, which the first call starts if nothing was kept before.

    Not where there is one processor, nowhere to keep anything, or no interpreter that could be started.
    """
    with _STARTING:
        return _started()


@cache
def _started() -> bool:
    place = folder() if KEEPS and JIT_ENABLED else None
    if place is None or kept() or len(os.sched_getaffinity(0)) < 2 or not os.access(place, os.W_OK):
        return False
    if getattr(sys, "frozen", False) or not Path(sys.executable or "").name.startswith("python"):
        return False  # a program of its own would start itself
    # Isolated, with our own package first and nothing that depends on the working directory.
    own = Path(__file__).absolute().parents[3]
    paths = [str(own), *(path for path in sys.path if isinstance(path, str) and Path(path).is_absolute())]
    options = ["-I", *(["-B"] if sys.dont_write_bytecode else [])]
    command = [sys.executable, *options, "-c", _CODE.format(__name__), json.dumps(paths)]
    nothing = subprocess.DEVNULL
    try:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing)  # noqa: S603
    except (OSError, ValueError):
        return False
    atexit.register(_end, child, os.getpid())
    with suppress(RuntimeError):  # no thread to be had: it is waited for at the end
        Thread(target=child.wait, daemon=True).start()
    return True


def _end(child: subprocess.Popen[bytes], owner: int) -> None:
    """At the end of the process that started it, and of no fork of that."""
    if os.getpid() == owner:
        child.kill()
        child.wait()


def compile_all() -> None:
    """What the second process does, as long as the first has the other end of its input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is meant for the first
    Thread(target=_end_with_the_first, daemon=True).start()
    place = folder()
    if place is None:
        return
    with (place / "compiling").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return  # another process does the same
        for part in place.glob(".*.part"):  # of one that was killed
            with suppress(OSError):
                if time.time() - part.stat().st_mtime > _PART_SECONDS:
                    part.unlink()
        for module, name, *arguments in FIRST_PROOF:
            getattr(importlib.import_module(f"{__package__}.{module}"), name).prepare(*arguments)


def _end_with_the_first() -> None:
    """At once, whatever is done: an exception that is raised while LLVM works would be lost in its callback."""
    os.read(0, 1)  # nothing is ever written: it is over when the first has ended
    os._exit(0)
