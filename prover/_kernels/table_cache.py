"""Tables kept on disk between processes: derived data, rebuilt whenever anything about the file is not as it must be.

A file is a header, the SHA-256 of all that follows, and the rows as little-endian words. Its name and header carry a
digest of the points and parameters, so tables of another setup are never taken for ours; the checksum finds damage;
only a regular file in the private directory that no one else may write to is read, so there is no one to forge it. It
is data, never code.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from pathlib import Path

import numpy as np

from zkmargin.formats.errors import InputError, SetupError
from zkmargin.formats.files import write_atomic
from zkmargin.formats.private_cache import private_directory
from zkmargin.prover._kernels.base_field import ROW, Rows

_MAGIC = b"zkmargin fixed-base tables 1\0\0\0\0"
_DIGEST_BYTES = 32
_HEADER_BYTES = len(_MAGIC) + 2 * _DIGEST_BYTES


def table_key(points: bytes, window: int) -> bytes:
    """32 bytes that name the tables of these points."""
    return hashlib.sha256(b"%d,%d,%d:" % (window, ROW, len(points)) + points).digest()


def load(key: bytes, count: int) -> Rows | None:
    """uint64[count, 16] mapped from disk, or None if there is no file that passes every check.

    The mapping is private: writing to it would not change the file.
    """
    try:
        path = _path(key)
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except (OSError, SetupError):
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        foreign = hasattr(os, "geteuid") and status.st_uid != os.geteuid()
        if foreign or not stat.S_ISREG(status.st_mode) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return None
        if status.st_size != _HEADER_BYTES + 8 * ROW * count:
            return None
        memory = mmap.mmap(descriptor, status.st_size, access=mmap.ACCESS_COPY)
        header = file.read(_HEADER_BYTES)
    view = memoryview(memory)[_HEADER_BYTES:]
    if header != _MAGIC + key + hashlib.sha256(view).digest():
        return None
    return np.frombuffer(view, dtype=np.uint64).reshape(count, ROW)


def save(key: bytes, rows: Rows) -> bool:
    """Write the file, mode 0600, all or nothing. False when there is no place for it, which harms nothing but speed."""
    data = rows.astype("<u8", copy=False).tobytes()
    try:
        write_atomic(_path(key), _MAGIC + key + hashlib.sha256(data).digest() + data, secret=True)
    except (InputError, SetupError):
        return False
    return True


def _path(key: bytes) -> Path:
    return private_directory("tables") / f"{key.hex()[:32]}.bin"
