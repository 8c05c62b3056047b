"""What a round of the prover does with whole columns: sums of products, lookups, cosets. One pass over memory each.

A plain twin stands beside each compiled form; both give the same elements, bit for bit. Vectors are as in
``scalar_field``: immutable, of any length; ValueError for lengths that do not fit, TypeError for other types.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from zkmargin.crypto import domain as plain_domain
from zkmargin.crypto.field import GENERATOR, inverse, powers, r
from zkmargin.prover._kernels import compiled
from zkmargin.prover._kernels import identities as I
from zkmargin.prover._kernels.ahead import kernel
from zkmargin.prover._kernels.compiled import FIELD
from zkmargin.prover._kernels.kept import JIT_ENABLED
from zkmargin.prover._kernels.lowering import LANES, Lowering
from zkmargin.prover._kernels.scalar_field import add, mul, pad, slice_of, splat
from zkmargin.prover._kernels.scalar_field import powers as power_vector
from zkmargin.prover._kernels.transforms import SMALLEST, _Tables, intt, ntt
from zkmargin.prover._kernels.vector_field import Limbs
from zkmargin.prover._kernels.vectors import (
    LIMBS,
    Blocks,
    FieldVector,
    R,
    block_count,
    check_scalar,
    check_vector,
    empty_blocks,
    from_ints,
    splat_blocks,
    to_ints,
    zero_blocks,
)

_mul, _add, _sub, _copy = FIELD.mul, FIELD.add, FIELD.sub, FIELD.copy
Int64Array = npt.NDArray[np.int64]
_SIGN = 1 << 63


def linear(terms: Sequence[tuple[FieldVector, int]]) -> FieldVector:
    """sum of ``s v`` over terms (v, s), as long as the longest vector: shorter ones end in zeros."""
    check_vector(*(v for v, _ in terms))
    n = max((len(v) for v, _ in terms), default=0)
    if not JIT_ENABLED:
        columns = [(to_ints(v), check_scalar(s)) for v, s in terms]
        return from_ints(sum(s * v[i] for v, s in columns if i < len(v)) for i in range(n))
    out, scales = zero_blocks(block_count(n)), splat_blocks([check_scalar(s) * R % r for _, s in terms])
    for i, (v, _) in enumerate(terms):
        I.accumulate(out[: len(v.memory)], v.memory, scales[i : i + 1])
    return FieldVector(out, n)


def sum_of_products(pairs: Sequence[tuple[FieldVector, FieldVector]]) -> FieldVector:
    """sum of ``a b`` over pairs, element by element. ValueError for no pairs or other lengths."""
    check_vector(*(v for pair in pairs for v in pair))
    if len({len(v) for pair in pairs for v in pair}) != 1:
        raise ValueError("vectors of equal lengths are needed, at least one pair")
    n = len(pairs[0][0])
    if not JIT_ENABLED:
        columns = [(to_ints(a), to_ints(b)) for a, b in pairs]
        return from_ints(sum(a[i] * b[i] for a, b in columns) for i in range(n))
    out = zero_blocks(block_count(n))
    for a, b in pairs:
        I.add_products(out, a.memory, b.memory)
    return FieldVector(out, n)


def gathered(table: FieldVector, places: Int64Array) -> FieldVector:
    """``sum_c table[places[c, i]]`` for int64[columns, n] places.

    Raises:
        ValueError: another shape, or a place outside the table.
    """
    check_vector(table)
    if places.ndim != 2 or not len(places):
        raise ValueError(f"places of shape {places.shape}")
    if places.size and not (places.min() >= 0 and places.max() < len(table)):
        raise ValueError("a place outside the table")  # which one is not told: places may be secret
    if not JIT_ENABLED or places.shape[1] % LANES:
        values = to_ints(table)
        return from_ints(sum(values[p] for p in column) for column in places.T.tolist())
    out = empty_blocks(places.shape[1] // LANES)
    I.gather_sum(out, I.rows_of(table), np.ascontiguousarray(places, dtype=np.int64))
    return FieldVector(out, places.shape[1])


def _with_product(w: Lowering, low: Limbs, high: Limbs, entry: Limbs, weight: Limbs) -> list[Limbs]:
    """low + R high + entry weight, for an entry of two limbs."""
    t, bias = [*low, *high], [0] * (2 * LIMBS)
    operands = [w.operand(limb) for limb in weight]
    for i in range(_ENTRY_LIMBS):
        factor = w.operand(entry[i])
        for j in range(LIMBS):
            t[i + j], t[i + j + 1] = w.accumulate(t[i + j], t[i + j + 1], operands[j], factor)
            bias[i + j] += w.low_bias
            bias[i + j + 1] += w.high_bias
    carried = FIELD.carried(w, [w.b.sub(limb, w.splat(b)) for limb, b in zip(t, bias, strict=True)])
    return [carried[:LIMBS], carried[LIMBS:]]


#: Limbs of an entry of a matrix, shifted by 2^63.
_ENTRY_LIMBS = 2
#: ``_add_product(low', i, high', j, low, k, high, l, entry, m, weight, n)``: the sum of many products, not reduced.
_add_product: Any = FIELD.operation("add_product", _with_product, 4, 2)
#: R and R^2 in every lane: what makes both halves of such a sum elements.
_FORMS = splat_blocks([R % r, R * R % r])


@kernel
def _add_rows(out: Blocks, matrix: Int64Array, weights: Blocks, mask: int, offset: Blocks) -> None:
    """``out_i = sum_j weights[j] (2^63 + matrix[j, i]) - offset``; the matrix has as many columns as ``out`` lanes.

    Shifted by 2^63 all entries are non-negative and fill two limbs. The sum over j is one of plain integers, low +
    R high, and only that is reduced: two products a block.
    """
    entry, low, high = np.zeros_like(offset), np.empty_like(offset), np.empty_like(offset)
    for i in range(out.shape[0]):
        for k in range(LIMBS):
            for lane in range(LANES):
                low[0, k, lane], high[0, k, lane] = 0, 0
        for j in range(matrix.shape[0]):
            for lane in range(LANES):
                x = np.uint64(matrix[j, LANES * i + lane]) ^ np.uint64(1 << 63)
                entry[0, 0, lane] = x & np.uint64(mask)
                entry[0, 1, lane] = x >> np.uint64(52)
            _add_product(low, 0, high, 0, low, 0, high, 0, entry, 0, weights, j)
        _mul(low, 0, low, 0, _FORMS, 0)
        _mul(high, 0, high, 0, _FORMS, 1)
        _add(out, i, low, 0, high, 0)
        _sub(out, i, out, i, offset, 0)


def combined_rows(matrix: Int64Array, weights: Sequence[int], start: int, stop: int, n: int) -> FieldVector:
    """``sum_j weights_j matrix[j, start + i]``, i < stop - start, then zeros up to n: a row of a public polynomial.

    Args:
        matrix: int64[rows, columns].
        weights: a field element a row.
        start, stop: the columns that are read; fewer where the matrix has no more.
        n: length of the result, at least stop - start.

    Raises:
        TypeError, ValueError: a matrix or weights of another kind.
    """
    if (
        matrix.dtype != np.int64
        or matrix.ndim != 2
        or len(weights) != len(matrix)
        or not 0 <= start <= stop <= start + n
    ):
        raise ValueError(f"{len(weights)} weights for a matrix {matrix.shape} of {matrix.dtype}, {start}..{stop}")
    if not JIT_ENABLED:
        columns = matrix[:, start:stop].T.tolist()
        values = [sum(w * x for w, x in zip(weights, column, strict=True)) for column in columns]
        return from_ints(values + [0] * (n - len(values)))
    out = zero_blocks(block_count(n))
    if len(weights):
        factors = splat_blocks([check_scalar(w) * R % r for w in weights])
        part = np.zeros((len(weights), block_count(stop - start) * LANES), dtype=np.int64)
        part[:, : matrix[:, start:stop].shape[1]] = matrix[:, start:stop]
        _add_rows(out[: block_count(stop - start)], part, factors, (1 << 52) - 1, splat(_SIGN * sum(weights) % r))
    return FieldVector(out, n)


@kernel
def _extend(product: Blocks, derivative: Blocks, f: Blocks, beta: Blocks) -> None:
    """One more factor y = beta + f: ``derivative = derivative y + product``, ``product = product y``."""
    y = np.empty_like(beta)
    for i in range(f.shape[0]):
        _add(y, 0, f, i, beta, 0)
        _mul(derivative, i, derivative, i, y, 0)
        _add(derivative, i, derivative, i, product, i)
        _mul(product, i, product, i, y, 0)


@kernel
def _close(out: Blocks, helper: Blocks, derivative: Blocks) -> None:
    """``out = helper out - derivative``."""
    for i in range(out.shape[0]):
        _mul(out, i, out, i, helper, i)
        _sub(out, i, out, i, derivative, i)


def lookup_row(helper: FieldVector, columns: Sequence[FieldVector], beta: int) -> FieldVector:
    """``h prod(beta + f_c) - sum_c prod_(c' != c)(beta + f_c')``: zero where h = sum 1/(beta + f_c)."""
    check_vector(helper, *columns)
    beta, n = check_scalar(beta), len(helper)
    if any(len(f) != n for f in columns):
        raise ValueError("vectors of equal lengths are needed")
    if not JIT_ENABLED:
        rows = zip(to_ints(helper), *map(to_ints, columns), strict=True)
        return from_ints(_lookup_row(h, [beta + f for f in row]) for h, *row in rows)
    product, derivative = empty_blocks(len(helper.memory)), zero_blocks(len(helper.memory))
    product[:] = splat(1)
    for f in columns:
        _extend(product, derivative, f.memory, splat(beta))
    _close(product, helper.memory, derivative)
    return FieldVector(product, n)


def _lookup_row(h: int, factors: Sequence[int]) -> int:
    product, derivative = 1, 0
    for y in factors:
        product, derivative = product * y % r, (derivative * y + product) % r
    return h * product - derivative


def evaluate_many(polynomials: Sequence[FieldVector], x: int) -> list[int]:
    """The values at x of polynomials by their coefficients, lowest first."""
    check_vector(*polynomials)
    x = check_scalar(x)
    if not JIT_ENABLED:
        return [plain_domain.evaluate(to_ints(p), x) for p in polynomials]
    out, step = zero_blocks(len(polynomials)), splat(pow(x, LANES, r))
    for i, p in enumerate(polynomials):
        compiled.horner(out[i : i + 1], p.memory, step)
    lanes, weights = to_ints(FieldVector(out, LANES * len(out))), powers(x, LANES)
    return [
        sum(w * c for w, c in zip(weights, lanes[LANES * i : LANES * (i + 1)], strict=True)) % r
        for i in range(len(polynomials))
    ]


@dataclass(frozen=True)
class Cosets:
    """The cosets s_j H, s_j = 7 w^j for j < count, w of order ``order`` n: disjoint, and none is H itself.

    A polynomial q with q Z_H of degree below count n + 4, say, is read off its values on them: Z_H is the constant
    a_j - 1 on coset j, a_j = s_j^n. Modulo X^n - a_j, q = sum_i X^(i n) q_i(X) is sum_i a_j^i q_i: interpolating on
    one coset gives that sum, and a Vandermonde matrix of scalars leads from the sums to the pieces q_i.
    """

    n: int
    shifts: tuple[int, ...]

    @staticmethod
    @lru_cache(maxsize=8)
    def of(n: int, count: int) -> Cosets:
        """So many cosets of a domain."""
        order = 1 << (count - 1).bit_length()
        root = pow(GENERATOR, (r - 1) // (order * n), r)
        return Cosets(n, tuple(GENERATOR * w % r for w in powers(root, count)))

    def values(self, polynomials: Sequence[FieldVector], j: int) -> list[FieldVector]:
        """The n values of polynomials of n to n + 8 coefficients on coset j, in the order of H."""
        n, s = self.n, self.shifts[j]
        check_vector(*polynomials)
        if not all(n <= len(p) <= n + LANES for p in polynomials):
            raise ValueError(f"{[len(p) for p in polynomials]} coefficients for cosets of {n}")
        if n < SMALLEST or not JIT_ENABLED:
            return [_lifted(p, n, s) for p in polynomials]
        m, coset = n // LANES, _coset(n, s)
        stack, tails = empty_blocks(len(polynomials) * m), zero_blocks(len(polynomials))
        for c, p in enumerate(polynomials):
            stack[c * m : (c + 1) * m] = p.memory[:m]
            if len(p) > n:
                tails[c] = p.memory[m]
        out, t = empty_blocks(len(stack)), coset.forward
        I.lift_columns(out, stack, tails, m, coset.shifts, coset.power, t.reversal, t.roots, t.twist, t.eighth_roots)
        return [FieldVector(out[c : c + m], n) for c in range(0, len(out), m)]

    def quotient(self, numerators: Sequence[FieldVector]) -> list[FieldVector]:
        """The pieces q_0, q_1, ... of n coefficients each, from the values of q Z_H on the first cosets in turn.

        As many cosets as there are pieces.
        """
        shifts = self.shifts[: len(numerators)]
        residues = [mul(intt(on), _unshift(self.n, s)) for s, on in zip(shifts, numerators, strict=True)]
        rows = _lagrange_coefficients(tuple(pow(s, self.n, r) for s in shifts))
        return [linear(list(zip(residues, row, strict=True))) for row in rows]


def _lifted(polynomial: FieldVector, n: int, s: int) -> FieldVector:
    """Values on s H: X^n is s^n there."""
    low, high = slice_of(polynomial, 0, n), slice_of(polynomial, n, len(polynomial))
    folded = add(low, pad(from_ints(pow(s, n, r) * x for x in to_ints(high)), n))
    return ntt(mul(folded, power_vector(s, n)))


@dataclass(frozen=True)
class _Coset:
    """s H as ``lift_columns`` takes it: powers of s, s^n, and the transform's constants."""

    shifts: Blocks
    power: Blocks
    forward: _Tables


@lru_cache(maxsize=16)
def _coset(n: int, s: int) -> _Coset:
    return _Coset(power_vector(s, n).memory, splat(pow(s, n, r)), _Tables.of(n, False))


@lru_cache(maxsize=16)
def _unshift(n: int, s: int) -> FieldVector:
    """s^-i / (s^n - 1)."""
    scale = inverse((pow(s, n, r) - 1) % r)
    return linear([(power_vector(inverse(s), n), scale)])


@lru_cache(maxsize=16)
def _lagrange_coefficients(nodes: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Row i, column j: the coefficient of X^i in the Lagrange polynomial that is 1 at node j."""
    columns = []
    for node in nodes:
        basis = [1]
        for other in nodes:
            if other != node:  # times (X - other) / (node - other)
                scale = inverse((node - other) % r)
                above, below = [0, *basis], [*(other * x for x in basis), 0]
                basis = [(a - b) * scale % r for a, b in zip(above, below, strict=True)]
        columns.append(basis)
    return tuple(zip(*columns, strict=True))
