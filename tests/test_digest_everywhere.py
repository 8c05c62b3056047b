"""The same market gives the same snapshot, bit for bit: compiled or not, with one BLAS thread or two."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zkmargin.engine.example import example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot

ROOT = Path(__file__).resolve().parents[1]
TIME = "2026-11-20T12:00:00Z"
SCRIPT = f"""
from zkmargin.engine.example import example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
print(build_snapshot(example_market({TIME!r}), load_policy("default")).digest().hex())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"NUMBA_DISABLE_JIT": "1"},
        {"OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
        {"OPENBLAS_NUM_THREADS": "2"},
    ],
    ids=["plain Python", "one thread", "two threads"],
)
def test_the_digest_does_not_depend_on_how_it_is_computed(settings: dict[str, str]) -> None:
    here = build_snapshot(example_market(TIME), load_policy("default")).digest().hex()
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | settings
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == here
