"""Exact products of integer matrices with field vectors, through floating-point matrix multiplication.

A double holds integers up to 2^53 exactly. Both sides are cut into limbs so short that a sum of up to 2^20 products
stays below that: it is exact whatever the order of summation. BLAS may reorder and fuse as it likes, the bits are
the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from zkmargin.crypto.field import SCALAR_BYTES, r

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
    data = total.astype("<u2").tobytes()  # of every limb the bits that were not carried
    size = 2 * width
    return [int.from_bytes(data[i * size : (i + 1) * size], "little") % r for i in range(rows)]


def int_sums(matrix: npt.NDArray[np.int64], values: Sequence[int]) -> list[int]:
    """``matrix @ values`` over the integers, for an int64 matrix [rows, columns] and integers of any size.

    The values are cut into signed limbs so short that no sum of products leaves int64: with the 30 bits of a risk array
    and those of positions, one or two.

    Raises:
        TypeError, ValueError: as ``int_matvec``.
    """
    if matrix.dtype != np.int64:
        raise TypeError(f"an int64 matrix, not {matrix.dtype}")
    rows, columns = matrix.shape
    if columns != len(values) or columns > _MAX_LENGTH:
        raise ValueError(f"a matrix of {columns} columns and a vector of {len(values)}")
    top = max(int(matrix.max(initial=0)), -int(matrix.min(initial=0)))
    width = 62 - top.bit_length() - columns.bit_length()  # |limb| <= 2^width
    if width < _BYTE:  # entries that fill int64
        return [sum(map(mul, row, values)) for row in matrix.tolist()]
    bits = max((abs(x).bit_length() for x in values), default=0)
    sums, rest = [0] * rows, list(values)
    for shift in range(0, bits, width):
        limb = rest if shift + width >= bits else [x & ((1 << width) - 1) for x in rest]
        rest = [x >> width for x in rest]
        products = (matrix @ np.array(limb, dtype=np.int64)).tolist()
        sums = [total + (x << shift) for total, x in zip(sums, products, strict=True)]
    return sums


@dataclass(frozen=True)
class CutMatrix:
    """An int64 matrix, cut once into limbs of which sums of products with bytes are exact.

    Attributes:
        rows, columns: its shape.
        width: bits of a limb.
        limbs: float64 [rows, columns] each, lowest first.
    """

    rows: int
    columns: int
    width: int
    limbs: tuple[npt.NDArray[np.float64], ...]

    @classmethod
    def of(cls, matrix: npt.NDArray[np.int64]) -> CutMatrix:
        """Cut a matrix.

        Raises:
            TypeError: another dtype.
            ValueError: a side longer than 2^20.
        """
        if matrix.dtype != np.int64:
            raise TypeError(f"an int64 matrix, not {matrix.dtype}")
        rows, columns = matrix.shape
        if max(rows, columns) > _MAX_LENGTH:
            raise ValueError(f"a matrix of {matrix.shape}")
        # |limb| <= 2^width, and columns * 2^width * 2^8 <= 2^53
        width = (_EXACT_BITS - _BYTE - (columns - 1).bit_length()) // _BYTE * _BYTE
        return cls(rows, columns, width, tuple(map(np.ascontiguousarray, _matrix_limbs(matrix, width))))


def bilinear(xs: Sequence[npt.NDArray[np.float64]], matrix: CutMatrix, y: npt.NDArray[np.float64]) -> list[int]:
    """``x^T M y mod r`` for each x in turn and as many further rows M of the matrix.

    It is what ``int_matvec`` and inner products give, without the vector between them.

    Args:
        xs: float64 [.., 32] each, field elements as little-endian bytes (``crypto.scalars.limbs``); together as long
            as the matrix has rows.
        matrix: [rows, columns].
        y: float64 [columns, 32], likewise.

    Raises:
        TypeError: another dtype.
        ValueError: shapes that do not fit.
    """
    if any(side.dtype != np.float64 for side in [*xs, y]):
        raise TypeError("field elements as doubles, in bytes")
    widths = {side.shape[1] for side in [*xs, y]}
    if (sum(map(len, xs)), len(y), widths) != (matrix.rows, matrix.columns, {SCALAR_BYTES}):
        raise ValueError(f"a matrix of {matrix.rows, matrix.columns} between {[x.shape for x in xs]} and {y.shape}")
    results = [0] * len(xs)
    with _BLAS.limit(limits=1, user_api="blas"):
        for i, limb in enumerate(matrix.limbs):
            parts, start = _quarters(limb @ y), 0
            for k, x in enumerate(xs):
                if len(x):
                    products = x.T @ parts[start : start + len(x)]
                    results[k] += _sum_of_bytes(products) << (matrix.width * i)
                    start += len(x)
    return [result % r for result in results]


def _quarters(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Integers [rows, 32], |.| <= 2^53, as the four 16-bit limbs of each, the highest signed: float64 [rows, 128]."""
    words = sums.astype("<i8")
    quarters = words.view("<u2").astype(np.float64)
    quarters[:, 3::4] = words.view("<i2")[:, 3::4]
    return quarters


#: The place of every product of byte a with quarter j of byte b, in units of 2^8.
_PLACES = np.add.outer(np.arange(SCALAR_BYTES), np.add.outer(np.arange(SCALAR_BYTES), 2 * np.arange(4)).ravel()).ravel()


def _sum_of_bytes(products: npt.NDArray[np.float64]) -> int:
    """Products [32, 128] of bytes with ``_quarters`` added up, each at its place: sums stay below 2^53."""
    sums = np.bincount(_PLACES, weights=products.ravel()).astype(np.int64)
    return sum(entry << (_BYTE * i) for i, entry in enumerate(sums.tolist()))


def _matrix_limbs(matrix: npt.NDArray[np.int64], width: int) -> list[npt.NDArray[np.float64]]:
    """Signed limbs, lowest first: all but the last in [0, 2^width), the last in [-2^width, 2^width)."""
    top = max(int(matrix.max(initial=0)), -1 - int(matrix.min(initial=0)))
    count = max(1, -(-top.bit_length() // width))
    limbs = [((matrix >> (width * i)) & ((1 << width) - 1)).astype(np.float64) for i in range(count - 1)]
    limbs.append((matrix >> (width * (count - 1))).astype(np.float64))
    return limbs
