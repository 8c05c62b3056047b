"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT

#: CPU features that change which code runs.
FLAGS = (
    "sse4_2",
    "avx",
    "avx2",
    "bmi2",
    "adx",
    "avx512f",
    "avx512dq",
    "avx512ifma",
    "avx512vl",
    "neon",
    "asimd",
    "sve",
)
PACKAGES = ("zkmargin", "numpy", "numba", "llvmlite", "pydantic", "py-arkworks-bls12381")
PEERS = ("ckzg", "QuantLib", "py-vollib-vectorized")


def describe() -> dict[str, Any]:
    """Machine, operating system, versions, and how busy it was when the run began."""
    info = _cpu_info()
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "flags": [flag for flag in FLAGS if flag in info.get("flags", info.get("Features", "")).split()],
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "os": platform.platform(),
        "load": os.getloadavg()[0],
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "commit": _commit(),
        "versions": {name: version(name) for name in (*PACKAGES, *PEERS)},
    }


def version(package: str) -> str | None:
    """The installed version, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def lines(machine: dict[str, Any]) -> list[str]:
    """The description as text."""
    versions = ", ".join(f"{name} {found or 'absent'}" for name, found in machine["versions"].items())
    return [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_bytes'] / 1e9:.1f} GB; {machine['os']}",
        f"flags: {' '.join(machine['flags']) or 'unknown'}; load {machine['load']:.2f} when the run began",
        f"{machine['python']}; {versions}",
        f"{machine['time']}, commit {machine['commit']}",
    ]


def _cpu_info() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; empty elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
