"""Tables of points kept on disk between processes (``formats/kept.py``): the rows as little-endian words."""

from __future__ import annotations

import hashlib

import numpy as np

from zkmargin.formats.kept import keep, load_kept
from zkmargin.prover._kernels.base_field import ROW, Rows


def table_key(points: bytes, window: int) -> bytes:
    """32 bytes that name the tables of these points."""
    return hashlib.sha256(b"%d,%d,%d:" % (window, ROW, len(points)) + points).digest()


def load(key: bytes, count: int) -> Rows | None:
    """uint64[count, 16] mapped from disk, or None if there is no file that passes every check."""
    view = load_kept(key, 8 * ROW * count)
    return None if view is None else np.frombuffer(view, dtype=np.uint64).reshape(count, ROW)


def save(key: bytes, rows: Rows) -> bool:
    """Write the file. False when there is no place for it, which harms nothing but speed."""
    return keep(key, rows.astype("<u8", copy=False).tobytes())
