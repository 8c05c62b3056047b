"""What this machine brings: compiled kernels, versions, processor, disk."""

from __future__ import annotations

from pathlib import Path

from zkmargin.formats.private_cache import cache_root

KERNEL_FOLDERS = "kernels-*"


def compiled_kernels() -> int:
    """How many compiled kernels the private cache directory holds; 0 before the first use on a machine."""
    try:
        return sum(1 for _ in cache_root().glob(f"{KERNEL_FOLDERS}/**/*.nbc"))
    except OSError:
        return 0


def compile_note() -> str:
    """What progress says when a first use has to compile kernels; empty afterwards."""
    return "" if compiled_kernels() else " (the first time on a machine it compiles kernels and takes longer)"


def processor_flags() -> frozenset[str]:
    """The processor's features as Linux and macOS name them, lower case; empty where they cannot be read."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return frozenset()
