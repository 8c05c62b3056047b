"""Derived data kept on disk between processes: made again whenever anything about the file is not as it must be.

A file is a header, the SHA-256 of all that follows, and the data. Its name and header carry a key, a digest of what the
data was derived from, so that of another setup is never taken for ours; the checksum finds damage; only a regular file
in the private directory that no one else may write to is read, so there is no one to forge it. It is data, never code.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from pathlib import Path

from zkmargin.formats.errors import InputError, SetupError
from zkmargin.formats.files import write_atomic
from zkmargin.formats.private_cache import private_directory

_MAGIC = b"zkmargin fixed-base tables 1\0\0\0\0"
_DIGEST_BYTES = 32
_HEADER_BYTES = len(_MAGIC) + 2 * _DIGEST_BYTES


def load_kept(key: bytes, size: int) -> memoryview | None:
    """``size`` bytes mapped from disk, or None if there is no file that passes every check.

    The mapping is private: writing to it would not change the file.
    """
    try:
        descriptor = os.open(_path(key), os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except (OSError, SetupError):
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        foreign = hasattr(os, "geteuid") and status.st_uid != os.geteuid()
        if foreign or not stat.S_ISREG(status.st_mode) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return None
        if status.st_size != _HEADER_BYTES + size:
            return None
        memory = mmap.mmap(descriptor, status.st_size, access=mmap.ACCESS_COPY)
        header = file.read(_HEADER_BYTES)
    view = memoryview(memory)[_HEADER_BYTES:]
    if header != _MAGIC + key + hashlib.sha256(view).digest():
        return None
    return view


def keep(key: bytes, data: bytes) -> bool:
    """Write the file, mode 0600, all or nothing. False when there is no place for it, which harms nothing but speed."""
    try:
        write_atomic(_path(key), _MAGIC + key + hashlib.sha256(data).digest() + data, secret=True)
    except (InputError, SetupError):
        return False
    return True


def _path(key: bytes) -> Path:
    return private_directory("tables") / f"{key.hex()[:32]}.bin"
