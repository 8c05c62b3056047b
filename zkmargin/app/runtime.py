"""What this machine brings: compiled kernels, versions, processor, disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from zkmargin.formats import InputError
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


@dataclass(frozen=True)
class CacheContents:
    """What the private cache holds.

    Attributes:
        folder: where it is.
        files: how many.
        size: bytes.
    """

    folder: Path
    files: int
    size: int


def cache_contents() -> CacheContents:
    """What the private cache directory holds; nothing where there is none."""
    sizes = [path.lstat().st_size for path in _cached()]
    return CacheContents(cache_root(), len(sizes), sum(sizes))


def clear_cache() -> CacheContents:
    """Remove what the cache holds, and say what that was. Folders of ours only: no link is followed out of it.

    Raises:
        InputError: something cannot be removed.
    """
    contents, root = cache_contents(), cache_root()
    for folder in sorted(root.iterdir()) if root.is_dir() and not root.is_symlink() else ():
        try:
            if folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder)
            else:
                folder.unlink()
        except OSError as error:
            reason = (error.strerror or "error").lower()
            raise InputError(f"cannot be removed: {reason}", file=str(folder)) from None
    return contents


def _cached() -> list[Path]:
    root = cache_root()
    return [path for path in root.rglob("*") if not path.is_dir() or path.is_symlink()] if root.is_dir() else []
