"""Additions of affine points in lanes whose coordinates are not reduced between one addition and the next.

The prime has 381 bits and its limbs 416, so a coordinate may be many times p and a Montgomery product of it still comes
out below p + p / 2^17. Points of *level* l have coordinates in [0, B_l p), B_0 = 1, B_(l+1) = 2 B_l + 2; a point of
level 0 comes from a table. Two of level l give one of level l + 1 without a comparison or a second carry:

    den = x2 - x1 + B_l p        num = y2 - y1 + B_l p        lambda = num / den
    x3 = lambda^2 - x1 - x2 + 2 B_l p                         d = x1 - x3 + B_(l+1) p
    y3 = lambda d - y1 + B_l p

The formula holds for points that are finite and differ in x. Equal x make den a multiple of p, and with it the product
of all denominators that share an inversion: who inverts looks there, once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from zkmargin.prover._kernels.base_field import FIELD, LIMBS, P, lanes_of_rows, loading
from zkmargin.prover._kernels.lowering import I64, LANES, Lowering, Value, splat
from zkmargin.prover._kernels.vector_field import Limbs, zero_mask
from zkmargin.prover._kernels.vectors import to_blocks

#: Levels of additions: so many halvings of a sum of 2^LEVELS points.
LEVELS = 6
#: B_l for every level, and the one after.
BOUNDS = [3 * 2**level - 2 for level in range(LEVELS + 1)]
#: B_l p, and twice that, in every lane: blocks to add.
BIAS = np.concatenate([to_blocks([bound * P] * LANES, LIMBS) for bound in BOUNDS])
TWICE = np.concatenate([to_blocks([2 * bound * P] * LANES, LIMBS) for bound in BOUNDS])


def _apart(w: Lowering, x: Limbs, y: Limbs, bias: Limbs) -> Limbs:
    """x - y + bias, carried."""
    return FIELD.carried(w, [w.b.add(w.b.sub(a, b), c) for a, b, c in zip(x, y, bias, strict=True)])


def _product(w: Lowering, x: Limbs, y: Limbs) -> Limbs:
    return FIELD.carried(w, FIELD.product(w, x, y))


def _denominator(w: Lowering, x2: Limbs, x1: Limbs, bias: Limbs, before: Limbs) -> list[Limbs]:
    den = _apart(w, x2, x1, bias)
    return [den, _product(w, before, den)]


def _slope(w: Lowering, y2: Limbs, y1: Limbs, bias: Limbs, inverse: Limbs) -> Limbs:
    return _product(w, inverse, _apart(w, y2, y1, bias))


def _abscissa(w: Lowering, slope: Limbs, x1: Limbs, x2: Limbs, twice: Limbs, bias: Limbs) -> list[Limbs]:
    square = FIELD.squared(w, slope)
    x3 = [w.b.add(w.b.sub(s, a), w.b.sub(c, b)) for s, a, b, c in zip(square, x1, x2, twice, strict=True)]
    x3 = FIELD.carried(w, x3)
    return [x3, _apart(w, x1, x3, bias)]


def _ordinate(w: Lowering, slope: Limbs, d: Limbs, y1: Limbs, bias: Limbs) -> Limbs:
    return _apart(w, FIELD.product(w, d, slope), y1, bias)


#: ``product(out, i, a, j, b, k)``: a b, below p + p / 2^17.
product: Any = FIELD.operation("lazy_mul", _product, 2)
#: ``denominator(den, i, after, j, x2, k, x1, l, bias, level, before, m)``: den, and the product after = before den.
denominator: Any = FIELD.operation("denominator", _denominator, 4, 2)
#: ``slope(lambda, i, y2, j, y1, k, bias, level, inverse, l)``, inverse = 1 / den.
slope: Any = FIELD.operation("slope", _slope, 4)
#: ``abscissa(x3, i, d, j, lambda, k, x1, l, x2, m, twice, level, bias, level + 1)``.
abscissa: Any = FIELD.operation("abscissa", _abscissa, 5, 2)
#: ``ordinate(y3, i, lambda, j, d, k, y1, l, bias, level)``.
ordinate: Any = FIELD.operation("ordinate", _ordinate, 4)


def _emit_load(b: ir.IRBuilder, _lowering: Lowering, out: Value, rows: Value, entries: Value) -> None:
    x, y, negative = lanes_of_rows(b, rows, entries)
    FIELD.store(b, out, x)
    opposite = [b.sub(splat(limb), u) for limb, u in zip(FIELD.p_limbs, y, strict=True)]
    signed = [b.select(negative, u, v) for u, v in zip(opposite, y, strict=True)]
    FIELD.store(b, b.gep(out, [I64(LIMBS * LANES)], source_etype=I64), signed)
    b.ret(b.zext(b.bitcast(zero_mask(b, y), ir.IntType(LANES)), I64))


#: As ``load_points``, but limbs of -y may be negative. Returns the mask of the lanes whose point is infinite, of which
#: no sum would be right.
load_level0: Any = loading("load_level0", _emit_load, I64)
