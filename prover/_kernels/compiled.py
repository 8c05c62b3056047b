"""The compiled loops of the scalar field, on blocks (``prover._kernels.vector_field``); callers check shapes and types.

``out`` may be one of the operands where the loop is element by element. A *splat* is one block with the same element in
all lanes.
"""

from __future__ import annotations

import numpy as np

from zkmargin.crypto.field import r
from zkmargin.prover._kernels.ahead import kernel
from zkmargin.prover._kernels.vector_field import VectorField
from zkmargin.prover._kernels.vectors import LIMBS, Blocks

FIELD = VectorField("fr", r, LIMBS)
_mul, _add, _sub, _copy = FIELD.mul, FIELD.add, FIELD.sub, FIELD.copy


@kernel
def multiply(out: Blocks, a: Blocks, b: Blocks) -> None:
    """``out = a b``, element by element."""
    for i in range(out.shape[0]):
        _mul(out, i, a, i, b, i)


@kernel
def add(out: Blocks, a: Blocks, b: Blocks) -> None:
    """``out = a + b``."""
    for i in range(out.shape[0]):
        _add(out, i, a, i, b, i)


@kernel
def subtract(out: Blocks, a: Blocks, b: Blocks) -> None:
    """``out = a - b``."""
    for i in range(out.shape[0]):
        _sub(out, i, a, i, b, i)


@kernel
def scale(out: Blocks, a: Blocks, s: Blocks) -> None:
    """``out = s a`` for one block s, lane by lane."""
    for i in range(out.shape[0]):
        _mul(out, i, a, i, s, 0)


@kernel
def add_scaled(out: Blocks, acc: Blocks, a: Blocks, s: Blocks) -> None:
    """``out = acc + s a`` for one block s."""
    t = np.empty_like(s)
    for i in range(out.shape[0]):
        _mul(t, 0, a, i, s, 0)
        _add(out, i, acc, i, t, 0)


@kernel
def dot(out: Blocks, a: Blocks, b: Blocks) -> None:
    """One block: the sum over blocks of ``a b``, lane by lane, added to ``out``."""
    t = np.empty_like(out)
    for i in range(a.shape[0]):
        _mul(t, 0, a, i, b, i)
        _add(out, 0, out, 0, t, 0)


@kernel
def horner(out: Blocks, a: Blocks, x: Blocks) -> None:
    """One block: ``sum_i a[i] x^i`` lane by lane, from ``out = 0``."""
    for i in range(a.shape[0] - 1, -1, -1):
        _mul(out, 0, out, 0, x, 0)
        _add(out, 0, out, 0, a, i)


@kernel
def geometric(out: Blocks, start: Blocks, step: Blocks) -> None:
    """``out[i] = start step^i``, lane by lane."""
    if out.shape[0] > 0:
        _copy(out, 0, start, 0)
    for i in range(1, out.shape[0]):
        _mul(out, i, out, i - 1, step, 0)


@kernel
def running_products(out: Blocks, total: Blocks, a: Blocks) -> None:
    """``out[i] = a[0] ... a[i-1]`` times the incoming ``total``, which leaves as the product of all, lane by lane."""
    for i in range(a.shape[0]):
        _copy(out, i, total, 0)
        _mul(total, 0, total, 0, a, i)


@kernel
def inverses_from_products(out: Blocks, inverse: Blocks, a: Blocks) -> None:
    """Turn ``running_products`` into inverses of ``a``; ``inverse`` enters as 1/total and is used up."""
    for i in range(a.shape[0] - 1, -1, -1):
        _mul(out, i, out, i, inverse, 0)
        _mul(inverse, 0, inverse, 0, a, i)


@kernel
def prefix_sum(out: Blocks, a: Blocks, length: int) -> None:
    """``out_i = a_0 + ... + a_i`` in element order: log-step sums across the lanes of a block, then a carry."""
    limbs, lanes = a.shape[1], a.shape[2]
    total = np.zeros((1, limbs, lanes), np.uint64)
    shifted = np.zeros((1, limbs, lanes), np.uint64)
    for i in range(a.shape[0]):
        _copy(out, i, a, i)
        step = 1
        while step < lanes:
            for j in range(limbs):
                for lane in range(lanes):
                    shifted[0, j, lane] = out[i, j, lane - step] if lane >= step else 0
            _add(out, i, out, i, shifted, 0)
            step *= 2
        _add(out, i, out, i, total, 0)
        for j in range(limbs):
            for lane in range(lanes):
                total[0, j, lane] = out[i, j, lanes - 1]
    for lane in range(length % lanes, lanes if length % lanes else 0):
        for j in range(limbs):
            out[out.shape[0] - 1, j, lane] = 0
