"""Exact products of integer matrices with field vectors, through floating-point matrix multiplication.

A double holds integers up to 2^53 exactly. Both sides are cut into 16-bit limbs, so each product is below
2^32 and a sum of up to 2^20 of them is exact whatever the order of summation: BLAS may reorder and fuse as it
likes, the bits are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from crypto.field import r

#: One BLAS thread: these products take less time than waking a second one on a busy machine.
_BLAS = ThreadpoolController()
_LIMB = 16
_FIELD_LIMBS = 16
_MAX_LENGTH = 1 << 20
#: Added to make every sum non-negative: |sum| < 2^20 * 2^63 * 2^255 < r * 2^84.
_OFFSET_SHIFT = 84


def int_matvec(matrix: npt.NDArray[np.int64], vector: Sequence[int]) -> list[int]:
    """``matrix @ vector mod r`` for an int64 matrix [rows, columns] and ``columns`` field elements in [0, r).

    Raises:
        TypeError: a matrix of another dtype.
        ValueError: shapes that do not fit, or more than 2^20 columns.
    """
    if matrix.dtype != np.int64:
        raise TypeError(f"an int64 matrix, not {matrix.dtype}")
    rows, columns = matrix.shape
    if columns != len(vector) or columns > _MAX_LENGTH:
        raise ValueError(f"a matrix of {columns} columns and a vector of {len(vector)}")
    if rows == 0:
        return []
    field = np.frombuffer(b"".join(x.to_bytes(32, "little") for x in vector), dtype="<u2")
    field_limbs = field.reshape(columns, _FIELD_LIMBS).astype(np.float64)
    limbs = _matrix_limbs(matrix)
    # columns of the sum, in units of 2^16; two more take the carries and the offset
    width = _FIELD_LIMBS + len(limbs) + 7
    total = np.zeros((rows, width), dtype=np.int64)
    with _BLAS.limit(limits=1, user_api="blas"):
        for shift, limb in enumerate(limbs):
            total[:, shift : shift + _FIELD_LIMBS] += (limb @ field_limbs).astype(np.int64)
    offset = (r << _OFFSET_SHIFT).to_bytes(2 * width, "little")
    total += np.frombuffer(offset, dtype="<u2").astype(np.int64)
    for i in range(width - 1):
        total[:, i + 1] += total[:, i] >> _LIMB
        total[:, i] &= (1 << _LIMB) - 1
    data = total.astype("<u2").tobytes()
    size = 2 * width
    return [int.from_bytes(data[i * size : (i + 1) * size], "little") % r for i in range(rows)]


def _matrix_limbs(matrix: npt.NDArray[np.int64]) -> list[npt.NDArray[np.float64]]:
    """Signed limbs, lowest first: all but the last in [0, 2^16), the last carries the sign."""
    top = int(max(matrix.max(initial=0), -1 - matrix.min(initial=0)))
    count = max(1, (top.bit_length() + _LIMB) // _LIMB)
    limbs = [((matrix >> (_LIMB * i)) & ((1 << _LIMB) - 1)).astype(np.float64) for i in range(count - 1)]
    limbs.append((matrix >> (_LIMB * (count - 1))).astype(np.float64))
    return limbs
