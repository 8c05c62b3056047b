"""The per-user directory for derived data: compiled kernels and point tables.

Compiled kernels are stored by numba as pickles, so whoever can write there can run code as the user. The directory
is therefore ours alone: created with mode 0700, refused when it is a link, owned by another user, or writable by
group or others. It never holds anything that cannot be rebuilt, and nothing secret.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path

from zkmargin.formats.errors import SetupError

CACHE_VARIABLE = "ZKMARGIN_CACHE_DIR"
UNUSED_SECONDS = 30 * 24 * 3600


def cache_root() -> Path:
    """``$ZKMARGIN_CACHE_DIR``, else ``$XDG_CACHE_HOME/zkmargin``, else ``~/.cache/zkmargin``; may not exist yet."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "zkmargin"
    return Path("~/.cache/zkmargin").expanduser()


def private_directory(name: str) -> Path:
    """The folder ``name`` below the cache root, created if need be, checked to be ours alone.

    Raises:
        SetupError: it cannot be created, is a link or no folder, belongs to someone else, or others may write to it.
    """
    root = cache_root()
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        for folder in (root, root / name):
            folder.mkdir(mode=0o700, exist_ok=True)
            _check_private(folder)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home directory
        reason = getattr(error, "strerror", None) or str(error)
        raise SetupError(f"{root}: the cache directory cannot be made: {reason.lower()}") from None
    return root / name


def private_version(kind: str, version: str) -> Path:
    """The private folder of one version of something: ``kind-version``. Versions unused for 30 days are removed.

    Raises:
        SetupError: as ``private_directory``.
    """
    folder = private_directory(f"{kind}-{version}")
    with suppress(OSError):  # a cache that is read-only serves those who made it before
        os.utime(folder)  # the time of its last use
    oldest = time.time() - UNUSED_SECONDS
    for other in folder.parent.glob(f"{kind}-*"):
        try:
            _check_private(other)
            if other.stat().st_mtime < oldest:
                shutil.rmtree(other)
        except (OSError, SetupError):
            continue  # another process removed it, or it is not ours to remove
    return folder


def _check_private(folder: Path) -> None:
    hint = f"remove it, or name another one in {CACHE_VARIABLE}"
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise SetupError(f"{folder}: the cache directory is not a directory", hint=hint)
    if hasattr(os, "geteuid"):
        if status.st_uid != os.geteuid():
            raise SetupError(f"{folder}: the cache directory belongs to another user", hint=hint)
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise SetupError(f"{folder}: others may write to the cache directory", hint=hint)
