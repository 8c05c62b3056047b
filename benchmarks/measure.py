"""Clocks, tables and child processes: what every part of the suite is made of.

Figures are kept in seconds and bytes, exactly as measured, and rounded only when they are printed.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent
CHILD_SECONDS = 3600

T = TypeVar("T")
Value = float | int | str | None


@dataclass(frozen=True)
class Timing:
    """Medians over ``runs``: wall-clock seconds, and CPU seconds of all threads."""

    wall: float
    cpu: float
    runs: int

    @property
    def cores(self) -> float:
        """How many cores were busy."""
        return self.cpu / self.wall


@dataclass(frozen=True)
class Column:
    """A column's name and unit: ``s``, ``B``, ``x`` (a ratio), ``1/s``, or nothing."""

    name: str
    unit: str = ""


@dataclass
class Section:
    """One table of the report."""

    title: str
    columns: tuple[Column, ...]
    rows: list[list[Value]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Rows as objects, in seconds and bytes."""
        names = [column.name for column in self.columns]
        return {**asdict(self), "rows": [dict(zip(names, row, strict=True)) for row in self.rows]}

    def cells(self) -> list[list[str]]:
        """Every value as text."""
        return [[shown(value, c.unit) for value, c in zip(row, self.columns, strict=True)] for row in self.rows]


def shown(value: Value, unit: str) -> str:
    """A value with a unit that suits its size, to three digits."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    scales: dict[str, list[tuple[float, str]]] = {
        "s": [(1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")],
        "B": [(1e9, "GB"), (1e6, "MB")],
        "1/s": [(1e6, "M/s"), (1e3, "k/s"), (1, "/s")],
        "x": [(1, "x")],
    }
    if unit == "B" and value < 1e6:  # proofs are counted to the byte
        return f"{value:,.0f} B"
    if unit not in scales:
        return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"
    scale, name = next(((s, n) for s, n in scales[unit] if abs(value) >= s), scales[unit][-1])
    number = value / scale
    digits = 0 if number >= 100 else 1 if number >= 10 else 2
    return f"{number:.{digits}f}{'' if name == 'x' else ' '}{name}"


def once(function: Callable[[], T]) -> tuple[T, float]:
    """A result and the seconds it took."""
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def alternating(candidates: Mapping[str, Callable[[], object]], runs: int) -> dict[str, Timing]:
    """Time candidates in turns, so that whatever slows the machine slows all of them; one round before to warm up."""
    for candidate in candidates.values():
        candidate()
    walls: dict[str, list[float]] = {name: [] for name in candidates}
    cpus: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(runs):
        for name, candidate in candidates.items():
            wall, cpu = time.perf_counter(), time.process_time()
            candidate()
            walls[name].append(time.perf_counter() - wall)
            cpus[name].append(time.process_time() - cpu)
    return {name: Timing(median(walls[name]), median(cpus[name]), runs) for name in candidates}


def peak_bytes() -> int:
    """The most memory this process has held."""
    try:
        # Linux carries ru_maxrss over from the parent through exec; VmHWM is this program's own.
        status = Path("/proc/self/status").read_text("ascii")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def in_child(module: str, function: str, *, environment: Mapping[str, str] | None = None, **arguments: Any) -> Any:
    """Call ``benchmarks.module.function(**arguments)`` in a process of its own; arguments and result are JSON.

    Raises:
        RuntimeError: it failed; its last words are in the message.
    """
    command = [sys.executable, "-m", "benchmarks.measure", module, function]
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | dict(environment or {}),
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=CHILD_SECONDS,
    )
    if result.returncode:
        raise RuntimeError(f"{module}.{function}: {result.stderr.strip() or 'no message'}")
    return json.loads(result.stdout.splitlines()[-1])


def _child() -> None:
    from importlib import import_module  # noqa: PLC0415 - the parent stays small

    module, function = sys.argv[1:]
    result = getattr(import_module(f"benchmarks.{module}"), function)(**json.load(sys.stdin))
    print(json.dumps(result))


if __name__ == "__main__":
    _child()
