"""Affine points of G1 as bytes and as rows (``prover._kernels.base_field``).

A point is 96 bytes, x || y, big-endian and canonical; infinity is 96 zero bytes.
"""

from __future__ import annotations

import numpy as np

from formats.kernel import kernel
from prover._kernels.base_field import FIELD, LIMBS, ROW, P, Rows
from prover._kernels.lowering import LANES, LIMB_BITS
from prover._kernels.vectors import Blocks, to_blocks, words_to_blocks

POINT_BYTES = 96
INFINITY = bytes(POINT_BYTES)
_mul, _add, _sub, _zero_lanes = FIELD.mul, FIELD.add, FIELD.sub, FIELD.zero_lanes
_R_SQUARED = to_blocks([FIELD.R**2 % P] * LANES, LIMBS)
_FOUR = to_blocks([4 * FIELD.R % P] * LANES, LIMBS)
_R_INVERSE = pow(FIELD.R, -1, P)


@kernel
def _scaled(out: Blocks, a: Blocks, factor: Blocks) -> None:
    for i in range(out.shape[0]):
        _mul(out, i, a, i, factor, 0)


@kernel
def _first_outside(x: Blocks, y: Blocks, four: Blocks) -> int:
    """Index of the first point with y^2 != x^3 + 4 that is not (0, 0), or -1."""
    t = np.empty((2, LIMBS, LANES), np.uint64)
    for i in range(x.shape[0]):
        _mul(t, 0, x, i, x, i)
        _mul(t, 0, t, 0, x, i)
        _add(t, 0, t, 0, four, 0)
        _mul(t, 1, y, i, y, i)
        _sub(t, 0, t, 0, t, 1)
        fine = _zero_lanes(t, 0) | (_zero_lanes(x, i) & _zero_lanes(y, i))
        for lane in range(LANES):
            if not fine & (1 << lane):
                return i * LANES + lane
    return -1


def rows_from_bytes(data: bytes) -> Rows:
    """uint64[n, 16] from n points.

    Raises:
        TypeError: not bytes.
        ValueError: a ragged length, a coordinate at or above p, a point off the curve. (Membership in the subgroup is not
            checked: the sums are right for every point of the curve.)
    """
    if not isinstance(data, bytes):
        raise TypeError(f"bytes are needed, not {type(data).__name__}")
    if len(data) % POINT_BYTES:
        raise ValueError(f"{len(data)} bytes are no whole number of points")
    n = len(data) // POINT_BYTES
    words = np.frombuffer(data, dtype=">u8").reshape(n, 2, 6)[:, :, ::-1].astype(np.uint64)
    coordinates = []
    for half in (0, 1):
        _check_canonical(words[:, half])
        standard = words_to_blocks(words[:, half], LIMBS)
        _scaled(standard, standard, _R_SQUARED)
        coordinates.append(standard)
    outside = _first_outside(*coordinates, _FOUR)
    if 0 <= outside < n:
        raise ValueError(f"point {outside} is not on the curve")
    rows = np.zeros((n, ROW), dtype=np.uint64)
    for half, blocks in enumerate(coordinates):
        rows[:, half * LIMBS : (half + 1) * LIMBS] = blocks.transpose(0, 2, 1).reshape(-1, LIMBS)[:n]
    return rows


def bytes_from_rows(rows: Rows) -> list[bytes]:
    """The inverse of ``rows_from_bytes``, one item a point; meant for a few."""
    coordinates = rows.reshape(-1, LIMBS).tolist()
    values = [sum(limb << (LIMB_BITS * j) for j, limb in enumerate(limbs)) * _R_INVERSE % P for limbs in coordinates]
    return [
        x.to_bytes(POINT_BYTES // 2, "big") + y.to_bytes(POINT_BYTES // 2, "big")
        for x, y in zip(values[::2], values[1::2], strict=True)
    ]


def _check_canonical(words: Blocks) -> None:
    below = np.zeros(len(words), dtype=bool)
    for j in range(6):
        limit = np.uint64(P >> (64 * j) & (2**64 - 1))
        below = (words[:, j] < limit) | ((words[:, j] == limit) & below)
    if not below.all():
        raise ValueError(f"a coordinate of point {int(np.argmin(below))} is at or above the field's order")
