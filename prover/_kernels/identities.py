"""The row identities of venue proofs on a coset, whole column sets at a time (docs/protocol-venue.md section 4).

Columns of a set stand one after another: column c of m blocks is blocks c m .. (c + 1) m - 1 of an array.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from zkmargin.crypto.field import GENERATOR, powers, r
from zkmargin.prover._kernels import compiled
from zkmargin.prover._kernels.ahead import kernel
from zkmargin.prover._kernels.butterflies import transform
from zkmargin.prover._kernels.compiled import FIELD
from zkmargin.prover._kernels.lowering import LANES
from zkmargin.prover._kernels.scalar_field import splat
from zkmargin.prover._kernels.transforms import _Tables
from zkmargin.prover._kernels.vectors import (
    Blocks,
    FieldVector,
    R,
    block_count,
    empty_blocks,
    splat_block,
    zero_blocks,
)

_mul, _add, _sub, _copy = FIELD.mul, FIELD.add, FIELD.sub, FIELD.copy


@kernel
def load_integers(out: Blocks, values: npt.NDArray[np.int64], radix: Blocks) -> None:
    """Non-negative integers [columns, 8 m] below 2^52, as columns of elements. ``radix`` is a splat of R's own form."""
    columns, n = values.shape
    m = n // 8
    for c in range(columns):
        for i in range(m):
            for j in range(1, out.shape[1]):
                for lane in range(8):
                    out[c * m + i, j, lane] = 0
            for lane in range(8):
                out[c * m + i, 0, lane] = values[c, 8 * i + lane]
            _mul(out, c * m + i, out, c * m + i, radix, 0)


@kernel
def transform_columns(
    out: Blocks,
    columns: Blocks,
    m: int,
    reversal: npt.NDArray[np.int64],
    roots: Blocks,
    twist: Blocks,
    eighth_roots: Blocks,
) -> None:
    """``butterflies.transform`` of every column of m blocks."""
    work = np.empty((m, columns.shape[1], columns.shape[2]), np.uint64)
    for c in range(columns.shape[0] // m):
        first, stop = c * m, (c + 1) * m
        transform(out[first:stop], work, columns[first:stop], reversal, roots, twist, eighth_roots)


@kernel
def lift_columns(
    out: Blocks,
    coefficients: Blocks,
    tails: Blocks,
    m: int,
    shifts: Blocks,
    vanishing: Blocks,
    reversal: npt.NDArray[np.int64],
    roots: Blocks,
    twist: Blocks,
    eighth_roots: Blocks,
) -> None:
    """Values on the coset s H of p(X) + (b0 + b1 X + ...) Z_H(X) for every column.

    Args:
        out: columns of m blocks.
        coefficients: of the p, columns of m blocks.
        tails: one block a column, lane i holds b_i.
        shifts: m blocks of the powers of s.
        vanishing: a splat of Z_H's value on the coset, s^n - 1.
    """
    limbs, lanes = coefficients.shape[1], coefficients.shape[2]
    source = np.empty((m, limbs, lanes), np.uint64)
    work = np.empty((m, limbs, lanes), np.uint64)
    t = np.empty((1, limbs, lanes), np.uint64)
    for c in range(coefficients.shape[0] // m):
        _mul(t, 0, tails, c, vanishing, 0)
        _add(t, 0, t, 0, coefficients, c * m)
        _mul(source, 0, t, 0, shifts, 0)
        for i in range(1, m):
            _mul(source, i, coefficients, c * m + i, shifts, i)
        transform(out[c * m : (c + 1) * m], work, source, reversal, roots, twist, eighth_roots)


@kernel
def accumulate(sums: Blocks, columns: Blocks, weight: Blocks) -> None:
    """``sums += weight columns`` for a splat."""
    limbs, lanes = columns.shape[1], columns.shape[2]
    t = np.empty((1, limbs, lanes), np.uint64)
    for i in range(columns.shape[0]):
        _mul(t, 0, columns, i, weight, 0)
        _add(sums, i, sums, i, t, 0)


@kernel
def add_weighted(sums: Blocks, columns: Blocks, places: npt.NDArray[np.int64], weights: Blocks) -> None:
    """``sums += sum_j weights[j] column places[j]`` for splats; ``sums`` is one column."""
    m, limbs, lanes = sums.shape
    t = np.empty((1, limbs, lanes), np.uint64)
    for j in range(len(places)):
        for i in range(m):
            _mul(t, 0, columns, places[j] * m + i, weights, j)
            _add(sums, i, sums, i, t, 0)


@kernel
def add_products(sums: Blocks, a: Blocks, b: Blocks) -> None:
    """``sums[i] += sum over columns of a b``; ``sums`` is one column."""
    m, limbs, lanes = sums.shape
    t = np.empty((1, limbs, lanes), np.uint64)
    for c in range(a.shape[0] // m):
        for i in range(m):
            _mul(t, 0, a, c * m + i, b, c * m + i)
            _add(sums, i, sums, i, t, 0)


@kernel
def _gather(out: Blocks, table: npt.NDArray[np.uint64], places: npt.NDArray[np.int64], row: int) -> None:
    """``out_i = table[places[row, i]]``: one column from a table of elements, a row of limbs each."""
    m, limbs, lanes = out.shape
    for i in range(m):
        for lane in range(lanes):
            place = places[row, lanes * i + lane]
            for j in range(limbs):
                out[i, j, lane] = table[place, j]


@kernel
def gather_sum(out: Blocks, table: npt.NDArray[np.uint64], places: npt.NDArray[np.int64]) -> None:
    """``out_i = sum_c table[places[c, i]]``: one column, at least one c."""
    m, limbs, lanes = out.shape
    t = np.empty((m, limbs, lanes), np.uint64)
    _gather(out, table, places, 0)
    for c in range(1, places.shape[0]):
        _gather(t, table, places, c)
        for i in range(m):
            _add(out, i, out, i, t, i)


@kernel
def _add_identity(
    sums: Blocks, i: int, helpers: Blocks, j: int, product: Blocks, derivative: Blocks, weight: Blocks
) -> None:
    """``sums[i] += weight (helpers[j] product - derivative)``; ``product`` is lost."""
    _mul(product, 0, product, 0, helpers, j)
    _sub(product, 0, product, 0, derivative, 0)
    _mul(product, 0, product, 0, weight, 0)
    _add(sums, i, sums, i, product, 0)


@kernel
def range_identity(
    sums: Blocks, values: Blocks, first: int, count: int, helper: int, beta: Blocks, weight: Blocks, one: Blocks
) -> None:
    """``sums += weight (h prod(beta + f) - sum prod')`` for columns first .. first + count - 1 of ``values``."""
    m, limbs, lanes = sums.shape
    y = np.empty((1, limbs, lanes), np.uint64)
    product = np.empty((1, limbs, lanes), np.uint64)
    derivative = np.empty((1, limbs, lanes), np.uint64)
    for i in range(m):
        _add(product, 0, values, first * m + i, beta, 0)
        _copy(derivative, 0, one, 0)
        for c in range(first + 1, first + count):
            _add(y, 0, values, c * m + i, beta, 0)
            _mul(derivative, 0, derivative, 0, y, 0)
            _add(derivative, 0, derivative, 0, product, 0)
            _mul(product, 0, product, 0, y, 0)
        _add_identity(sums, i, values, helper * m + i, product, derivative, weight)


@kernel
def leg_numerators(
    out: Blocks,
    values: Blocks,
    digits: int,
    legs: int,
    places: Blocks,
    slot: Blocks,
    account: Blocks,
    constants: Blocks,
) -> None:
    """``out`` = N_l for every leg of a set, one column each.

    Args:
        values: the position digit columns: for leg l the digits of p, then of m.
        digits: D, digits of a side.
        places: one splat a digit, 2^(kd).
        slot, account: Gs and Ga with offsets of gamma at 0.
        constants: splats of gamma^E, delta^2 gamma^A (0 without a claim), delta^3 (0 without net), delta.
    """
    m, limbs, lanes = slot.shape
    a = np.empty((1, limbs, lanes), np.uint64)
    b = np.empty((1, limbs, lanes), np.uint64)
    long = np.empty((1, limbs, lanes), np.uint64)
    short = np.empty((1, limbs, lanes), np.uint64)
    t = np.empty((1, limbs, lanes), np.uint64)
    for i in range(m):
        _mul(a, 0, slot, i, constants, 0)
        _mul(b, 0, account, i, constants, 1)
        _add(b, 0, b, 0, constants, 2)
        _add(long, 0, a, 0, b, 0)
        _mul(short, 0, a, 0, constants, 3)
        _sub(short, 0, short, 0, b, 0)
        for l in range(legs):
            for side in range(2):
                first = (2 * l + side) * digits
                _copy(a, 0, values, first * m + i)
                for d in range(1, digits):
                    _mul(t, 0, values, (first + d) * m + i, places, d)
                    _add(a, 0, a, 0, t, 0)
                if side == 0:
                    _mul(out, l * m + i, a, 0, long, 0)
                else:
                    _mul(t, 0, a, 0, short, 0)
                    _add(out, l * m + i, out, l * m + i, t, 0)


@kernel
def leg_identity(
    sums: Blocks,
    values: Blocks,
    numerators: Blocks,
    first: int,
    count: int,
    group: int,
    helper: int,
    beta: Blocks,
    eta: Blocks,
    weight: Blocks,
) -> None:
    """``sums += weight (v prod(beta + id + eta c) - sum N prod')`` for legs first .. first + count - 1.

    Columns of ``values``: id l is column l, the group and the helper are given.
    """
    m, limbs, lanes = sums.shape
    y = np.empty((1, limbs, lanes), np.uint64)
    t = np.empty((1, limbs, lanes), np.uint64)
    shift = np.empty((1, limbs, lanes), np.uint64)
    product = np.empty((1, limbs, lanes), np.uint64)
    derivative = np.empty((1, limbs, lanes), np.uint64)
    for i in range(m):
        _mul(shift, 0, values, group * m + i, eta, 0)
        _add(shift, 0, shift, 0, beta, 0)
        _add(product, 0, values, first * m + i, shift, 0)
        _copy(derivative, 0, numerators, first * m + i)
        for l in range(first + 1, first + count):
            _add(y, 0, values, l * m + i, shift, 0)
            _mul(derivative, 0, derivative, 0, y, 0)
            _mul(t, 0, product, 0, numerators, l * m + i)
            _add(derivative, 0, derivative, 0, t, 0)
            _mul(product, 0, product, 0, y, 0)
        _add_identity(sums, i, values, helper * m + i, product, derivative, weight)


@kernel
def gathered_products(
    out: Blocks, table: npt.NDArray[np.uint64], ids: npt.NDArray[np.int64], numerators: Blocks, first: int, count: int
) -> None:
    """``out = sum over legs of table[id] N``: the helper of legs whose inverses stand in a table."""
    m, limbs, lanes = out.shape
    t = np.empty((m, limbs, lanes), np.uint64)
    for l in range(first, first + count):
        _gather(t, table, ids, l)
        for i in range(m):
            if l == first:
                _mul(out, i, t, i, numerators, l * m + i)
            else:
                _mul(t, i, t, i, numerators, l * m + i)
                _add(out, i, out, i, t, i)


# --- what Python calls ----------------------------------------------------------------------------------------

_RADIX = splat_block(R * R % r)
ONE = splat(1)
NONE = zero_blocks(1)


@dataclass(frozen=True)
class Coset:
    """The coset s H, as kernels take it."""

    shifts: Blocks
    vanishing: Blocks
    inverse_vanishing: int


class Lifting:
    """Columns of n rows (8 m, at least 64) and the cosets 7 w^j H, j < count, w of order count n: together a coset of
    the larger group, on which a polynomial of degree below count n is determined.
    """

    def __init__(self, n: int, count: int) -> None:
        self.n, self.m, self.count = n, block_count(n), count
        self._forward, self._inverse = _Tables.of(n, False), _Tables.of(n, True)
        root = pow(GENERATOR, (r - 1) // (count * n), r)
        self.shifts = [GENERATOR * pow(root, j, r) % r for j in range(count)]
        self.cosets = [self._coset(s) for s in self.shifts]

    def _coset(self, s: int) -> Coset:
        powers_of_s = empty_blocks(self.m)
        compiled.geometric(powers_of_s, _lanes(powers(s, LANES)), splat(pow(s, LANES, r)))
        vanishing = (pow(s, self.n, r) - 1) % r
        return Coset(powers_of_s, splat(vanishing), pow(vanishing, -1, r))

    def integers(self, columns: npt.NDArray[Any]) -> Blocks:
        """Non-negative integers [columns, n] as columns of elements."""
        out = empty_blocks(len(columns) * self.m)
        load_integers(out, np.ascontiguousarray(columns, dtype=np.int64), _RADIX)
        return out

    def interpolate(self, columns: Blocks) -> Blocks:
        """Coefficients of every column."""
        out, t = empty_blocks(len(columns)), self._inverse
        transform_columns(out, columns, self.m, t.reversal, t.roots, t.twist, t.eighth_roots)
        return out

    def lift(self, coefficients: Blocks, tails: Blocks, coset: Coset) -> Blocks:
        """Values of every column, blinded by its tail, on a coset."""
        out, t = empty_blocks(len(coefficients)), self._forward
        lift_columns(
            out,
            coefficients,
            tails,
            self.m,
            coset.shifts,
            coset.vanishing,
            t.reversal,
            t.roots,
            t.twist,
            t.eighth_roots,
        )
        return out

    def tails(self, blinders: list[list[int]]) -> Blocks:
        """One block a column with its blinders."""
        out = zero_blocks(len(blinders))
        for c, row in enumerate(blinders):
            out[c] = _lanes(row)[0]
        return out

    def zeros(self, columns: int = 1) -> Blocks:
        """Columns of zeros."""
        return zero_blocks(columns * self.m)


def _lanes(values: list[int]) -> Blocks:
    block = zero_blocks(1)
    for lane, x in enumerate(values):
        block[0, :, lane] = splat(x)[0, :, 0]
    return block


def rows_of(vector: FieldVector) -> npt.NDArray[np.uint64]:
    """One row of limbs an element: a table to gather from."""
    return np.ascontiguousarray(vector.memory.transpose(0, 2, 1).reshape(-1, vector.memory.shape[1])[: len(vector)])


@lru_cache(maxsize=4)
def lifting(n: int, count: int) -> Lifting:
    """The cosets of a domain; the last few are kept."""
    return Lifting(n, count)
