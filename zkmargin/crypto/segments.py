"""How slots lie in columns of n rows: n - 1 slots and one unlisted row a segment (docs/protocol.md section 2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from zkmargin.formats.errors import InputError

Int64Array = npt.NDArray[np.int64]


def segments(count: int, n: int) -> int:
    """Columns of n rows that ``count`` slots take, with one unlisted row in each."""
    return max(1, -(-count // (n - 1)))


def listed(count: int, n: int, segment: int) -> int:
    """Number of listed rows of a segment: they are its first rows."""
    return min(max(count - segment * (n - 1), 0), n - 1)


def segment_rows(slots: Sequence[int], n: int, s: int) -> Int64Array:
    """The n rows of segment s of a slot vector, int64; unlisted rows are 0. InputError past 63 bits."""
    rows = np.zeros(n, dtype=np.int64)
    part = slots[s * (n - 1) : (s + 1) * (n - 1)]
    try:
        rows[: len(part)] = part
    except OverflowError:
        raise InputError("a quantity of 2^63 lots or more cannot be committed") from None
    return rows
