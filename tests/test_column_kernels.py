"""Whole columns at once (``prover._kernels.columns``): equal to sums of Python integers, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from zkmargin.crypto.domain import evaluate
from zkmargin.crypto.field import GENERATOR, r
from zkmargin.crypto.srs import embedded
from zkmargin.prover import _kernels as K
from zkmargin.prover.commit import committer
from zkmargin.prover.polynomials import blinded

EDGES = [0, 1, r - 1, r // 2, (1 << 52) - 1, 1 << 208]


def some(n: int, seed: int = 1) -> list[int]:
    """n elements, edge values first."""
    return (EDGES + [pow(7, 1 + i + 1000 * seed, r) for i in range(n)])[:n]


def test_linear_pads_the_shorter_vectors() -> None:
    terms = [(some(9), 3), (some(20, 2), -1), (some(16, 3), r - 5)]
    result = K.linear([(K.from_ints(v), s) for v, s in terms])
    assert K.to_ints(result) == [sum(s * v[i] for v, s in terms if i < len(v)) % r for i in range(20)]
    assert len(K.linear([])) == 0


def test_sums_of_products_and_rows_of_lookups() -> None:
    columns = [some(24, seed) for seed in range(4)]
    a, b, c, h = map(K.from_ints, columns)
    assert K.to_ints(K.sum_of_products([(a, b), (c, h)])) == [
        (x * y + z * w) % r for x, y, z, w in zip(*columns, strict=True)
    ]
    beta = 77
    for count in (1, 2, 3):
        expected = []
        for *f, helper in zip(*columns[:count], columns[3], strict=True):
            factors = [beta + x for x in f]
            others = [np.prod([1, *factors[:i], *factors[i + 1 :]], dtype=object) for i in range(count)]
            expected.append(int(helper * np.prod(factors, dtype=object) - sum(others)) % r)
        assert K.to_ints(K.lookup_row(h, [a, b, c][:count], beta)) == expected
    with pytest.raises(ValueError, match="equal lengths"):
        K.sum_of_products([(a, K.from_ints([1]))])
    with pytest.raises(ValueError, match="equal lengths"):
        K.sum_of_products([])
    with pytest.raises(ValueError, match="equal lengths"):
        K.lookup_row(h, [K.from_ints([1])], beta)


def test_looking_up() -> None:
    table, places = some(13), np.array([[0, 12, 5, 5, 1, 2, 3, 4], [12, 12, 0, 1, 1, 7, 8, 9]])
    assert K.to_ints(K.gathered(K.from_ints(table), places)) == [
        (table[p] + table[q]) % r for p, q in places.T.tolist()
    ]
    assert K.to_ints(K.gathered(K.from_ints(table), places[:, :3])) == [
        (table[p] + table[q]) % r for p, q in places.T[:3]
    ]
    for bad in (np.full((1, 8), 13), np.full((1, 8), -1), np.zeros((0, 8), np.int64), np.zeros(8, np.int64)):
        with pytest.raises(ValueError, match="place"):
            K.gathered(K.from_ints(table), bad)


@pytest.mark.parametrize(
    ("rows", "columns", "start", "stop", "n"), [(3, 20, 0, 15, 16), (2, 20, 15, 20, 16), (0, 5, 0, 5, 8)]
)
def test_rows_of_a_public_polynomial(rows: int, columns: int, start: int, stop: int, n: int) -> None:
    matrix = np.random.default_rng(4).integers(-(2**63), 2**63 - 1, size=(rows, columns), dtype=np.int64)
    matrix.flat[:2] = (-(2**63), 2**63 - 1)[: min(2, matrix.size)]
    weights = some(rows, 3)
    expected = [sum(w * int(x) for w, x in zip(weights, matrix[:, i], strict=True)) % r for i in range(start, stop)]
    assert K.to_ints(K.combined_rows(matrix, weights, start, stop, n)) == expected + [0] * (n - len(expected))
    with pytest.raises(ValueError, match="weights"):
        K.combined_rows(matrix, [*weights, 1], start, stop, n)


def test_a_column_commits_as_its_polynomial_does() -> None:
    n, blinders = 64, [5, r - 7, 1 << 200]
    bases = committer(embedded(), n)
    rows = K.from_ints([9 if i % 3 else x for i, x in enumerate(some(n))])
    expected = bases.commit([bases.polynomial(blinded(rows, blinders))], 1)
    for common in (0, 9, r - 1):  # in no row, in most, in one
        assert bases.commit([bases.column(rows, blinders, common)], 1) == expected
    digits = np.arange(n, dtype=np.int64) - 30
    job = bases.column(digits, blinders[:1])
    assert bases.commit([job], 2) == bases.commit([bases.column(K.from_int64(digits), blinders[:1], 3)], 1)


def test_values_of_many_polynomials() -> None:
    polynomials = [some(n, n) for n in (1, 8, 19)]
    for x in (0, 1, r - 1, 12345):
        values = K.evaluate_many([K.from_ints(p) for p in polynomials], x)
        assert values == [evaluate(p, x) for p in polynomials]


@pytest.mark.parametrize("n", [16, 64, 256])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_quotient_is_read_off_cosets(n: int, count: int) -> None:
    cosets = K.Cosets.of(n, count)
    assert len({pow(s, n, r) for s in cosets.shifts}) == count
    assert 1 not in {pow(s, n, r) for s in cosets.shifts}
    p = some(n + 3)
    omega = pow(GENERATOR, (r - 1) // n, r)
    for j, s in enumerate(cosets.shifts):
        values = K.to_ints(cosets.values([K.from_ints(p)], j)[0])
        assert [values[i] for i in (0, 1, n - 1)] == [evaluate(p, s * pow(omega, i, r) % r) for i in (0, 1, n - 1)]
    q = some((count - 1) * n + 4, 5)  # q Z_H, coset by coset
    pieces = [K.from_ints([*q, *[0] * n][i * n : (i + 1) * n]) for i in range(count)]
    on = []
    for j, s in enumerate(cosets.shifts):
        a = pow(s, n, r)
        lifted = cosets.values(pieces, j)
        on.append(K.linear([(part, pow(a, i, r) * (a - 1)) for i, part in enumerate(lifted)]))
    assert cosets.quotient(on) == pieces
    with pytest.raises(ValueError, match="coefficients"):
        cosets.values([K.from_ints(p[: n - 1])], 0)
