"""Exact integer arithmetic over int64 arrays: no result ever wraps, no float anywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]
_INT64_MAX = 2**63 - 1


def exact_dot(matrix: Int64Array, vector: Sequence[int]) -> list[int]:
    """``sum_i vector[i] matrix[i, s]`` for every column s, exactly.

    Both sides are split into limbs small enough that a sum of N products of limbs stays within int64; those sums are
    put together in Python integers. Rows with a zero factor are skipped: most books use few slots.

    Args:
        matrix: [N, S] int64.
        vector: N integers of any size.

    Returns:
        S Python integers.

    Raises:
        ValueError: the shapes do not fit.
    """
    if matrix.ndim != 2 or matrix.dtype != np.int64 or len(vector) != matrix.shape[0]:
        raise ValueError("exact_dot needs an int64 matrix [N, S] and N integers")
    used = [row for row, factor in enumerate(vector) if factor]
    if len(used) == 0:
        return [0] * matrix.shape[1]
    if len(used) == 1:
        return [vector[used[0]] * value for value in matrix[used[0]].tolist()]
    rows = matrix[used] if len(used) < len(vector) else matrix
    factors = [vector[row] for row in used]
    # A limb is at most 2^bits in absolute value, so N products sum to at most N 2^(2 bits) <= 2^62.
    bits = (62 - (len(used) - 1).bit_length()) // 2
    left = _limbs(rows, bits)
    right = np.stack(_vector_limbs(factors, bits))
    totals = [0] * matrix.shape[1]
    for i, limb in enumerate(left):
        for j, sums in enumerate(np.einsum("ln,ns->ls", right, limb).tolist()):
            shift = bits * (i + j)
            totals = [total + (value << shift) for total, value in zip(totals, sums, strict=True)]
    return totals


def place(values: Int64Array, rows: Int64Array, size: int, *, fill: int = 0) -> Int64Array:
    """An array of ``size`` rows in which row ``rows[i]`` is ``values[i]`` and every other one holds ``fill``.

    Args:
        values: [n, ...] int64.
        rows: [n] int64, each once.

    Returns:
        [size, ...] int64.
    """
    placed = np.full((size, *values.shape[1:]), fill, dtype=np.int64)
    placed[rows] = values
    return placed


def scale_round(values: Int64Array, num: Sequence[int], den: Sequence[int]) -> Int64Array:
    """``values[i, s] num[i] / den[i]`` rounded to the nearest integer, half away from zero, exactly.

    Args:
        values: [N, S] int64, above -2^63.
        num: N integers >= 0 of any size.
        den: N integers > 0 of any size.

    Returns:
        [N, S] int64.

    Raises:
        OverflowError: a result outside -(2^63 - 1) .. 2^63 - 1; ``args[0]`` is its row.
    """
    result = np.empty(values.shape, dtype=np.int64)
    size = np.abs(values)
    rows: dict[bool, list[int]] = {True: [], False: []}
    for row, (top, n, d) in enumerate(zip(size.max(axis=1, initial=0).tolist(), num, den, strict=True)):
        if (2 * top * n + d) // (2 * d) > _INT64_MAX:
            raise OverflowError(row)
        rows[2 * (max(top, 1) * n + d) <= _INT64_MAX].append(row)
    for fits, chosen in rows.items():
        # Where a product could pass 64 bits, the same formula on Python integers.
        dtype: type[np.generic] = np.int64 if fits else np.object_
        scale = np.array([num[row] for row in chosen], dtype=dtype)[:, None]
        unit = np.array([den[row] for row in chosen], dtype=dtype)[:, None]
        result[chosen] = (2 * size[chosen].astype(dtype) * scale + unit) // (2 * unit)
    return np.where(values < 0, -result, result)


def round_half_away(num: int, den: int) -> int:
    """``num / den`` rounded to the nearest integer, half away from zero; den > 0."""
    rounded = (2 * abs(num) + den) // (2 * den)
    return -rounded if num < 0 else rounded


def _limbs(matrix: Int64Array, bits: int) -> list[Int64Array]:
    """Limbs of ``bits`` bits, low first, the last one signed: sum of limb_i 2^(bits i) is the matrix."""
    limbs = []
    top = max(int(matrix.max(initial=0)), -1 - int(matrix.min(initial=0)))
    while top >> bits:
        limbs.append(matrix & ((1 << bits) - 1))
        matrix = matrix >> bits
        top >>= bits
    return [*limbs, matrix]


def _vector_limbs(vector: Sequence[int], bits: int) -> list[Int64Array]:
    """The same for a vector of integers of any size: each list item is one limb of every entry."""
    limbs, rest, bound = [], list(vector), 1 << bits
    while not all(-bound <= value < bound for value in rest):
        limbs.append(np.array([value & (bound - 1) for value in rest], dtype=np.int64))
        rest = [value >> bits for value in rest]
    return [*limbs, np.array(rest, dtype=np.int64)]
