"""Exact products of integer matrices with field vectors, through floating-point matrix multiplication.

A double holds integers up to 2^53 exactly. Both sides are cut into limbs so short that a sum of up to 2^20 products
stays below that: it is exact whatever the order of summation. BLAS may reorder and fuse as it likes, the bits are
the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from crypto.field import SCALAR_BYTES, r

#: One BLAS thread: these products take less time than waking a second one on a busy machine.
_BLAS = ThreadpoolController()
_LIMB = 16
_FIELD_LIMBS = 16
_BYTE = 8
_EXACT_BITS = 53
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
    field = np.frombuffer(b"".join(x.to_bytes(32, "little") for x in vector), dtype="<u2")
    field_limbs = field.reshape(columns, _FIELD_LIMBS).astype(np.float64)
    limbs = _matrix_limbs(matrix, _LIMB)
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


def bilinear(x: npt.NDArray[np.float64], matrix: npt.NDArray[np.int64], y: npt.NDArray[np.float64]) -> int:
    """``x^T matrix y mod r``: what ``int_matvec`` and an inner product give, without the vector between them.

    Args:
        x: float64 [rows, 32], field elements as little-endian bytes (``crypto.scalars.limbs``).
        matrix: int64 [rows, columns].
        y: float64 [columns, 32], likewise.

    Raises:
        TypeError: another dtype.
        ValueError: shapes that do not fit, or a side longer than 2^20.
    """
    if matrix.dtype != np.int64 or x.dtype != np.float64 or y.dtype != np.float64:
        raise TypeError(f"an int64 matrix between doubles, not {x.dtype}, {matrix.dtype}, {y.dtype}")
    rows, columns = matrix.shape
    if (*x.shape, *y.shape) != (rows, SCALAR_BYTES, columns, SCALAR_BYTES):
        raise ValueError(f"a matrix of {matrix.shape} between {x.shape} and {y.shape}")
    if max(rows, columns) > _MAX_LENGTH:
        raise ValueError(f"a matrix of {matrix.shape}")
    if matrix.size == 0:
        return 0
    # |limb of the matrix| <= 2^width, and columns * 2^width * 2^8 <= 2^53
    width = (_EXACT_BITS - _BYTE - (columns - 1).bit_length()) // _BYTE * _BYTE
    total = np.zeros(4 * SCALAR_BYTES, dtype=np.int64)  # in units of 2^8; no entry comes near 2^63
    with _BLAS.limit(limits=1, user_api="blas"):
        for i, limb in enumerate(_matrix_limbs(matrix, width)):
            parts = _matrix_limbs((limb @ y).astype(np.int64), _LIMB)
            products = (x.T @ np.hstack(parts)).astype(np.int64).reshape(SCALAR_BYTES, len(parts), SCALAR_BYTES)
            for j in range(len(parts)):
                start = (i * width + j * _LIMB) // _BYTE
                total[start : start + 2 * SCALAR_BYTES - 1] += _antidiagonals(products[:, j])
    return sum(entry << (_BYTE * i) for i, entry in enumerate(total.tolist())) % r


def _antidiagonals(square: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For a matrix [m, m] the 2m - 1 sums of the entries (b, c) with the same b + c."""
    m = len(square)
    padded = np.zeros((m, 2 * m), dtype=np.int64)
    padded[:, :m] = square
    return padded.ravel()[:-m].reshape(m, 2 * m - 1).sum(axis=0)  # type: ignore[no-any-return]  # numpy's stubs


def _matrix_limbs(matrix: npt.NDArray[np.int64], width: int) -> list[npt.NDArray[np.float64]]:
    """Signed limbs, lowest first: all but the last in [0, 2^width), the last in [-2^width, 2^width)."""
    top = max(int(matrix.max(initial=0)), -1 - int(matrix.min(initial=0)))
    count = max(1, -(-top.bit_length() // width))
    limbs = [((matrix >> (width * i)) & ((1 << width) - 1)).astype(np.float64) for i in range(count - 1)]
    limbs.append((matrix >> (width * (count - 1))).astype(np.float64))
    return limbs
