"""The discrete Fourier transform on blocks, with butterflies that leave their results unreduced (Harvey 2014).

A limb vector of the scalar field has 260 bits, p has 255: values up to 35 p fit, and a Montgomery product of such a
value with a canonical root still comes out below 2 p. So a butterfly on values below B p,

    t = root high,    low' = low + t,    high' = low - t + 2 p,

gives values below (B + 2) p without a comparison. Where the root is 1 there is nothing to multiply: low + high and
low - high + B p are below 2 B p. A transform of size m goes from canonical values to 2 p, 4 p, 6 p, ... in its log2(m)
layers: 34 p for the largest, m = 2^17. The twist brings that back below 2 p, three layers more end below 8 p, and
``settle`` makes them canonical.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from zkmargin.crypto.field import r
from zkmargin.prover._kernels.ahead import kernel
from zkmargin.prover._kernels.compiled import FIELD
from zkmargin.prover._kernels.lowering import Lowering
from zkmargin.prover._kernels.vector_field import Limbs, limbs_of
from zkmargin.prover._kernels.vectors import LIMBS, Blocks, splat_blocks

#: p and 2 p in every lane: the bounds of the two layers that have roots of 1 only, or half of them.
_BOUNDS = splat_blocks([r, 2 * r])
#: Multiples of p that ``settle`` takes off in turn.
_STEPS = (4, 2, 1)


def _sum_and_difference(w: Lowering, low: Limbs, high: Limbs, bound: Limbs) -> list[Limbs]:
    """low + high and low - high + bound, carried."""
    total = [w.b.add(x, y) for x, y in zip(low, high, strict=True)]
    apart = [w.b.add(w.b.sub(x, y), z) for x, y, z in zip(low, high, bound, strict=True)]
    return [FIELD.carried(w, total), FIELD.carried(w, apart)]


def _lazy_product(w: Lowering, x: Limbs, y: Limbs) -> Limbs:
    """x y / R, below 2 p."""
    return FIELD.carried(w, FIELD.product(w, x, y))


def _butterfly(w: Lowering, low: Limbs, high: Limbs, root: Limbs) -> list[Limbs]:
    twice = [w.splat(limb) for limb in limbs_of(2 * r, LIMBS)]
    return _sum_and_difference(w, low, _lazy_product(w, high, root), twice)


def _settled(w: Lowering, x: Limbs) -> Limbs:
    """x mod p for x below 8 p.

    A multiple of p is taken off where the top limb says that x is surely above it. Lower limbs borrow from the top one
    later, so every step leaves one unit of it more to be sure: in the end x is below p and a few units.
    """
    for unsure, step in enumerate(_STEPS, 1):
        multiple = limbs_of(step * r, LIMBS)
        above = w.b.icmp_signed(">=", x[-1], w.splat(multiple[-1] + unsure))
        x = [w.b.select(above, w.b.sub(limb, w.splat(m)), limb) for limb, m in zip(x, multiple, strict=True)]
    return FIELD.difference(w, x, [w.splat(limb) for limb in FIELD.p_limbs])


#: ``butterfly(low', i, high', j, low, k, high, l, root, m)``, outputs below (B + 2) p.
butterfly: Any = FIELD.operation("butterfly", _butterfly, 3, 2)
#: ``halves(low', i, high', j, low, k, high, l, bound, m)``: a butterfly with root 1 for values below the bound.
halves: Any = FIELD.operation("halves", _sum_and_difference, 3, 2)
#: ``lazy_mul(out, i, a, j, b, k)``: a b, below 2 p.
lazy_mul: Any = FIELD.operation("lazy_mul", _lazy_product, 2)
#: ``settle(out, i, a, j)``: a mod p for a below 8 p.
settle: Any = FIELD.operation("settle", _settled, 1)


@kernel
def transform(
    out: Blocks,
    work: Blocks,
    a: Blocks,
    reversal: npt.NDArray[np.int64],
    roots: Blocks,
    twist: Blocks,
    eighth_roots: Blocks,
) -> None:
    """The discrete Fourier transform of n = 8 m elements, m >= 8, natural order in and out (see ``transforms``).

    Args:
        out: m blocks.
        work: m blocks, lost.
        a: m blocks, the input.
        reversal: int64[m], the bit reversal.
        roots: m/2 splats of w^(8 i).
        twist: m blocks, lane l of block k holds w^(l k), times 1/n for the inverse transform.
        eighth_roots: 4 splats of w^(m i).
    """
    m, limbs, lanes = a.shape
    # 1. eight transforms of size m, one a lane: lane l is the subsequence a_l, a_(8+l), a_(16+l), ...
    for i in range(0, m, 2):
        halves(work, i, work, i + 1, a, reversal[i], a, reversal[i + 1], _BOUNDS, 0)
    half = 2
    while half < m:
        stride = m // (2 * half)
        for start in range(0, m, 2 * half):
            if half == 2:
                halves(work, start, work, start + 2, work, start, work, start + 2, _BOUNDS, 1)
            for j in range(1 if half == 2 else 0, half):
                low, high = start + j, start + j + half
                butterfly(work, low, work, high, work, low, work, high, roots, j * stride)
        half *= 2
    # 2. X_(k + m s) = sum_l w_8^(l s) (w^(l k) Y_(l,k)): transposing 8 blocks makes the sum one over blocks.
    tile = np.empty((lanes, limbs, lanes), np.uint64)
    for c in range(m // lanes):
        for i in range(lanes):
            k = lanes * c + i
            lazy_mul(work, k, work, k, twist, k)
            for j in range(limbs):
                for lane in range(lanes):
                    # bit-reversed lane order: the input order of the butterflies below
                    tile[(lane & 1) << 2 | (lane & 2) | lane >> 2, j, i] = work[k, j, lane]
        for i in range(0, lanes, 2):
            halves(tile, i, tile, i + 1, tile, i, tile, i + 1, _BOUNDS, 1)
        half = 2
        while half < lanes:
            for start in range(0, lanes, 2 * half):
                for j in range(half):
                    low, high = start + j, start + j + half
                    butterfly(tile, low, tile, high, tile, low, tile, high, eighth_roots, j * (4 // half))
            half *= 2
        for s in range(lanes):
            settle(out, c + (m // lanes) * s, tile, s)
