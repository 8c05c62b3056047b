"""Test modules in a process of their own, where nothing is compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def all_results(module: str) -> str:
    """What ``all_results()`` of a test module gives in plain Python."""
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    run = subprocess.run(
        [sys.executable, "-c", f"import {module}; print({module}.all_results())"],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()
