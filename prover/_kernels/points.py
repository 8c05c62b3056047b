"""Affine points of G1 as bytes and as rows (``prover._kernels.base_field``).

A point is 96 bytes, x || y, big-endian and canonical; infinity is 96 zero bytes.
"""

from __future__ import annotations

import numpy as np

from zkmargin.prover._kernels import plain_msm
from zkmargin.prover._kernels.ahead import kernel
from zkmargin.prover._kernels.base_field import FIELD, LIMBS, ROW, P, Rows
from zkmargin.prover._kernels.lowering import LANES, LIMB_BITS
from zkmargin.prover._kernels.plain_msm import POINT_BYTES
from zkmargin.prover._kernels.vectors import Blocks, to_blocks, words_to_blocks

_mul = FIELD.mul
_R_SQUARED = to_blocks([FIELD.R**2 % P] * LANES, LIMBS)
_R_INVERSE = pow(FIELD.R, -1, P)


@kernel
def _scaled(out: Blocks, a: Blocks, factor: Blocks) -> None:
    for i in range(out.shape[0]):
        _mul(out, i, a, i, factor, 0)


def check_points(data: bytes) -> None:
    """Check the encoding of n points.

    Raises:
        TypeError: not bytes.
        ValueError: a ragged length, a coordinate at or above p, or a point off the curve. (Membership in the subgroup
        is
            not checked: sums are right for every point of the curve.)
    """
    if not isinstance(data, bytes):
        raise TypeError(f"bytes are needed, not {type(data).__name__}")
    if len(data) % POINT_BYTES:
        raise ValueError(f"{len(data)} bytes are no whole number of points")
    for k, (x, y, z) in enumerate(plain_msm.decode(data)):
        if max(x, y) >= P:
            raise ValueError(f"a coordinate of point {k} is at or above the field's order")
        if z and (y * y - x * x * x - 4) % P:
            raise ValueError(f"point {k} is not on the curve")


def rows_from_bytes(data: bytes) -> Rows:
    """uint64[n, 16] from n checked points."""
    n = len(data) // POINT_BYTES
    words = np.frombuffer(data, dtype=">u8").reshape(n, 2, 6)[:, :, ::-1].astype(np.uint64)
    rows = np.zeros((n, ROW), dtype=np.uint64)
    for half in (0, 1):
        blocks = words_to_blocks(words[:, half], LIMBS)
        _scaled(blocks, blocks, _R_SQUARED)
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
