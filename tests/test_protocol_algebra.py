"""Facts the protocol text leans on: domains and transforms, commitments in two bases, exact sums."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from py_arkworks_bls12381 import G1Point

from zkmargin.crypto.commitment import blind, commit_coefficients, commit_values
from zkmargin.crypto.domain import Domain, divide_by_linear, evaluate
from zkmargin.crypto.exact import CutMatrix, bilinear, int_matvec
from zkmargin.crypto.field import GENERATOR, batch_inverse, dot, inverse, powers, r
from zkmargin.crypto.group import msm
from zkmargin.crypto.scalars import inner, lagrange_at, limbs, scalar, shifted_table, sum_of_fractions
from zkmargin.crypto.scalars import vector as scalars
from zkmargin.crypto.srs import embedded
from zkmargin.crypto.unsafe_srs import insecure_from_tau

FIELD = st.one_of(st.integers(0, r - 1), st.sampled_from([0, 1, 2, r - 2, r - 1]))
SIZES = st.sampled_from([1, 2, 4, 8, 16])
INT64 = st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([-(2**63), 2**63 - 1, -1, 0, 2**16, -(2**48)]))


def vectors(size: int) -> st.SearchStrategy[list[int]]:
    return st.lists(FIELD, min_size=size, max_size=size)


# Domains and transforms


@pytest.mark.parametrize("n", [1, 2, 16, 1024, 1 << 32])
def test_omega_has_order_n_and_is_the_stated_power_of_7(n: int) -> None:
    omega = Domain(n).omega
    assert omega == pow(7, (r - 1) // n, r)
    assert pow(omega, n, r) == 1
    assert n == 1 or pow(omega, n // 2, r) == r - 1


def test_7_generates_the_two_power_part() -> None:
    assert (r - 1) % 2**32 == 0
    assert (r - 1) >> 32 & 1
    assert pow(GENERATOR, (r - 1) // 2, r) == r - 1


@pytest.mark.parametrize("n", [-4, 0, 3, 12, (1 << 32) + 1, 1 << 33])
def test_item_44_other_sizes_are_no_domain(n: int) -> None:
    with pytest.raises(ValueError, match="a domain has"):
        Domain(n)


@given(st.data(), SIZES)
def test_transforms_invert(data: st.DataObject, n: int) -> None:
    domain, coefficients = Domain.of(n), data.draw(vectors(n))
    assert domain.intt(domain.ntt(coefficients)) == coefficients
    assert domain.ntt(domain.intt(coefficients)) == coefficients


@given(st.data(), SIZES)
def test_a_transform_evaluates_on_every_element(data: st.DataObject, n: int) -> None:
    domain, coefficients = Domain.of(n), data.draw(vectors(n))
    assert domain.ntt(coefficients) == [evaluate(coefficients, x) for x in domain.elements]
    short = coefficients[: n // 2]
    assert domain.ntt(short) == [evaluate(short, x) for x in domain.elements]


def test_transforms_refuse_other_lengths() -> None:
    domain = Domain.of(8)
    with pytest.raises(ValueError, match="9 coefficients"):
        domain.ntt([1] * 9)
    for size in (0, 7, 9):
        with pytest.raises(ValueError, match=f"{size} values"):
            domain.intt([1] * size)


@given(st.data(), SIZES, FIELD)
def test_the_lagrange_basis_interpolates_and_sums_to_one(data: st.DataObject, n: int, x: int) -> None:
    domain = Domain.of(n)
    basis, values = list(map(int, lagrange_at(domain, x))), data.draw(vectors(n))
    assert sum(basis) % r == 1
    assert dot(basis, values) == evaluate(domain.intt(values), x)


@pytest.mark.parametrize("n", [1, 2, 16, 512])
def test_the_lagrange_basis_is_a_unit_vector_on_h_and_the_textbook_formula_elsewhere(n: int) -> None:
    domain = Domain.of(n)
    for i in {0, 1 % n, n // 2, n - 1}:
        assert list(map(int, lagrange_at(domain, domain.elements[i]))) == [int(j == i) for j in range(n)]
    x = 0x123456789ABCDEF**4 % r
    factor = domain.vanishing_at(x) * inverse(n)
    assert list(map(int, lagrange_at(domain, x))) == [factor * w * inverse(x - w) % r for w in domain.elements]


@pytest.mark.parametrize("n", [1, 2, 16])
def test_z_h_vanishes_on_h_and_is_the_product_of_its_roots(n: int) -> None:
    domain = Domain.of(n)
    assert [domain.vanishing_at(x) for x in domain.elements] == [0] * n
    product = 1
    for element in domain.elements:
        product = product * (12345 - element) % r
    assert domain.vanishing_at(12345) == product


@given(st.lists(FIELD, max_size=12), FIELD, FIELD)
def test_synthetic_division(coefficients: list[int], z: int, x: int) -> None:
    quotient, remainder = divide_by_linear(coefficients, z)
    assert len(quotient) == max(len(coefficients) - 1, 0)
    assert remainder == evaluate(coefficients, z)
    assert evaluate(coefficients, x) == (evaluate(quotient, x) * (x - z) + remainder) % r


@given(st.data(), SIZES, st.lists(FIELD, max_size=3), FIELD)
def test_blinding_adds_a_multiple_of_z_h(data: st.DataObject, n: int, blinders: list[int], x: int) -> None:
    domain, coefficients = Domain.of(n), data.draw(vectors(n))
    blinded = blind(coefficients, blinders, n)
    assert len(blinded) == n + len(blinders)
    expected = evaluate(coefficients, x) + evaluate(blinders, x) * domain.vanishing_at(x)
    assert evaluate(blinded, x) == expected % r
    assert [evaluate(blinded, e) for e in domain.elements] == domain.ntt(coefficients)


# The field's helpers


@given(st.lists(st.integers(1, r - 1), max_size=8))
def test_batch_inverse(xs: list[int]) -> None:
    assert batch_inverse(xs) == [inverse(x) for x in xs]
    assert all(x * y % r == 1 for x, y in zip(xs, batch_inverse(xs), strict=True))


@pytest.mark.parametrize("xs", [[0], [1, 0, 2], [r], [5, 2 * r]])
def test_item_44_zero_has_no_inverse(xs: list[int]) -> None:
    with pytest.raises(ZeroDivisionError):
        batch_inverse(xs)
    with pytest.raises(ZeroDivisionError):
        inverse(next(x for x in xs if x % r == 0))


@given(FIELD, st.integers(0, 20))
def test_powers(x: int, count: int) -> None:
    assert powers(x, count) == [pow(x, i, r) for i in range(count)]


def test_dot_refuses_different_lengths() -> None:
    with pytest.raises(ValueError, match="shorter"):
        dot([1, 2], [1])


# Commitments

TAU = 0xC0FFEE


@given(st.data(), st.sampled_from([2, 4, 8]), FIELD)
def test_a_commitment_is_the_sum_in_the_lagrange_basis(data: st.DataObject, n: int, b: int) -> None:
    """C = sum_i v_i [L_i(tau)]_1 + b [Z_H(tau)]_1, seen through a known tau: in the exponent and point by point."""
    srs, domain, values = insecure_from_tau(TAU, 16), Domain.of(n), data.draw(vectors(n))
    basis, Z = list(map(int, lagrange_at(domain, TAU))), domain.vanishing_at(TAU)
    commitment = commit_values(srs, domain, values, b)
    assert commitment == G1Point() * scalar(dot(basis, values) + b * Z)
    points = [G1Point() * scalar(x) for x in (*basis, Z)]
    assert commitment == msm(points, [*values, b])
    assert commitment == commit_coefficients(srs, blind(domain.intt(values), [b], n))


def test_lagrange_points_of_the_ceremony_sum_to_one_and_commit_as_monomials_do() -> None:
    srs, n = embedded(), 16
    domain = Domain.of(n)
    lagrange = [commit_values(srs, domain, [int(i == j) for j in range(n)], 0) for i in range(n)]
    assert msm(lagrange, [1] * n) == G1Point()
    # X is the polynomial whose values are the elements themselves
    assert msm(lagrange, domain.elements) == srs.g1(1)
    values = [7 * i - 40 for i in range(n)]
    assert msm(lagrange, values) == commit_values(srs, domain, values, 0)


@given(vectors(4), vectors(4), FIELD, FIELD)
def test_commitments_add_up(v: list[int], w: list[int], a: int, b: int) -> None:
    srs, domain = embedded(), Domain.of(4)
    both = commit_values(srs, domain, [x + y for x, y in zip(v, w, strict=True)], a + b)
    assert commit_values(srs, domain, v, a) + commit_values(srs, domain, w, b) == both


def test_item_12_polynomials_longer_than_the_setup() -> None:
    srs = insecure_from_tau(TAU, 8)
    with pytest.raises(ValueError, match="9 coefficients"):
        commit_coefficients(srs, [1] * 9)
    with pytest.raises(ValueError, match="9 coefficients"):
        commit_values(srs, Domain.of(8), [0] * 8, 1)
    with pytest.raises(ValueError, match="7 values"):
        commit_values(srs, Domain.of(8), [0] * 7, 1)


# Arkworks' scalars


@pytest.mark.parametrize("below", [[0], [3, 0], [0, 0]])
def test_item_44_no_fraction_over_zero(below: list[int]) -> None:
    with pytest.raises(ZeroDivisionError, match=r"^0 has no inverse$"):
        sum_of_fractions(scalars(range(1, len(below) + 1)), scalars(below))


@given(st.data(), st.integers(0, 4))
def test_fractions_add_up(data: st.DataObject, k: int) -> None:
    above, below = data.draw(vectors(1 << k)), data.draw(vectors(1 << k))
    if 0 in below:
        with pytest.raises(ZeroDivisionError):
            sum_of_fractions(scalars(above), scalars(below))
    else:
        assert int(sum_of_fractions(scalars(above), scalars(below))) == dot(above, map(inverse, below))


@pytest.mark.parametrize(("above", "below"), [(0, 0), (3, 3), (2, 4), (4, 2)])
def test_fractions_come_in_pairs(above: int, below: int) -> None:
    with pytest.raises(ValueError, match=f"{above} numerators and {below} denominators"):
        sum_of_fractions(scalars([1] * above), scalars([1] * below))


@given(vectors(3), vectors(3))
def test_vectors_of_scalars(xs: list[int], ys: list[int]) -> None:
    assert int(inner(scalars(xs), scalars(ys))) == dot(xs, ys)
    assert [int.from_bytes(row.astype(np.uint8).tobytes(), "little") for row in limbs(scalars(xs))] == xs
    with pytest.raises(ValueError, match=r"^3 and 2 scalars$"):
        inner(scalars(xs), scalars(ys[:2]))


@pytest.mark.parametrize("beta", [0, 1, r - 3, r - 1])
def test_the_table_is_shifted(beta: int) -> None:
    assert list(map(int, shifted_table(beta, 5))) == [(beta + i) % r for i in range(5)]


# Exact matrix products


@given(st.data(), st.integers(0, 5), st.integers(1, 6))
def test_int_matvec_is_the_sum_over_python_integers(data: st.DataObject, rows: int, columns: int) -> None:
    cells = st.lists(st.lists(INT64, min_size=columns, max_size=columns), min_size=rows, max_size=rows)
    table, vector = data.draw(cells), data.draw(vectors(columns))
    matrix = np.array(table, dtype=np.int64).reshape(rows, columns)
    assert int_matvec(matrix, vector) == [dot(row, vector) for row in table]
    assert int_matvec(np.asfortranarray(matrix), vector) == int_matvec(matrix, vector)


@pytest.mark.parametrize("extreme", [-(2**63), 2**63 - 1, -(2**15), 2**15, -1])
@pytest.mark.parametrize("factor", [0, 1, r - 1, 2**255 - 1 - r])
def test_int_matvec_does_not_wrap_where_every_product_is_extreme(extreme: int, factor: int) -> None:
    columns = 5000
    matrix = np.full((2, columns), extreme, dtype=np.int64)
    assert int_matvec(matrix, [factor % r] * columns) == [columns * extreme * factor % r] * 2


def test_int_matvec_at_its_greatest_length() -> None:
    columns = 1 << 20
    for extreme in (-(2**63), 2**63 - 1):
        matrix = np.full((1, columns), extreme, dtype=np.int64)
        assert int_matvec(matrix, [r - 1] * columns) == [columns * extreme * (r - 1) % r]


def test_int_matvec_refuses_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="a vector of 3"):
        int_matvec(np.zeros((2, 2), dtype=np.int64), [1, 2, 3])
    assert int_matvec(np.zeros((0, 2), dtype=np.int64), [1, 2]) == []
    with pytest.raises(TypeError, match="an int64 matrix, not int32"):
        int_matvec(np.zeros((2, 2), dtype=np.int32), [1, 2])
    columns = (1 << 20) + 1
    with pytest.raises(ValueError, match="a matrix of"):
        int_matvec(np.zeros((0, columns), dtype=np.int64), [0] * columns)


def _bytes(xs: list[int]) -> npt.NDArray[np.float64]:
    return limbs(scalars(xs))


@given(st.data(), st.lists(st.integers(0, 3), max_size=3), st.integers(0, 5))
def test_bilinear_is_the_sum_over_python_integers(data: st.DataObject, blocks: list[int], columns: int) -> None:
    rows = sum(blocks)
    cells = st.lists(st.lists(INT64, min_size=columns, max_size=columns), min_size=rows, max_size=rows)
    table, xs, y = data.draw(cells), [data.draw(vectors(count)) for count in blocks], data.draw(vectors(columns))
    matrix = np.array(table, dtype=np.int64).reshape(rows, columns)
    left = [dot(row, y) for row in table]
    expected = [dot(x, [left.pop(0) for _ in x]) for x in xs]
    assert bilinear([_bytes(x) for x in xs], CutMatrix.of(matrix), _bytes(y)) == expected
    assert bilinear([_bytes(x) for x in xs], CutMatrix.of(np.asfortranarray(matrix)), _bytes(y)) == expected


@pytest.mark.parametrize("extreme", [-(2**63), 2**63 - 1, -(2**32), 2**32, 2**32 - 1, -1])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1 << 13), (1, (1 << 13) + 1), (300, 1100), (1 << 15, 3)])
def test_bilinear_does_not_wrap_where_every_product_is_extreme(extreme: int, rows: int, columns: int) -> None:
    x, y = (np.tile(_bytes([r - 1]), (count, 1)) for count in (rows, columns))
    matrix = CutMatrix.of(np.full((rows, columns), extreme, dtype=np.int64))
    assert bilinear([x], matrix, y) == [rows * columns * extreme % r]
    x[:], y[:] = 255, 255  # more than any field element has
    assert bilinear([x], matrix, y) == [(2**256 - 1) ** 2 * rows * columns * extreme % r]


def test_bilinear_keeps_the_last_bit_of_the_longest_sums() -> None:
    """Odd sums just below 2^54: one bit more than a double holds, had the limbs one bit more than they have."""
    columns = 1 << 14
    matrix = np.full((1, columns), 2**32 - 1, dtype=np.int64)
    matrix[0, 0] = 0
    y = np.full((columns, 32), 255, dtype=np.float64)
    expected = (columns - 1) * (2**32 - 1) * (2**256 - 1) % r
    assert bilinear([_bytes([1])], CutMatrix.of(matrix), y) == [expected]


@pytest.mark.parametrize("shape", [(1, 1 << 20), (1 << 18, 1)])
def test_bilinear_at_its_greatest_length(shape: tuple[int, int]) -> None:
    x, y = (np.full((count, 32), 255, dtype=np.float64) for count in shape)
    for extreme in (-(2**63), 2**63 - 1):
        matrix = CutMatrix.of(np.full(shape, extreme, dtype=np.int64))
        assert bilinear([x], matrix, y) == [(2**256 - 1) ** 2 * max(shape) * extreme % r]


@pytest.mark.parametrize(
    ("columns", "extreme", "width", "count"),
    [
        (1 << 13, 2**32 - 1, 32, 1),
        (1 << 13, -(2**32), 32, 1),
        (1 << 13, 2**32, 32, 2),
        (1 << 13, -(2**32) - 1, 32, 2),
        ((1 << 13) + 1, 2**32 - 1, 24, 2),
        (1, 2**40 - 1, 40, 1),
        (0, 0, 40, 1),
    ],
)
def test_a_matrix_is_cut_into_as_few_limbs_as_are_exact(columns: int, extreme: int, width: int, count: int) -> None:
    cut = CutMatrix.of(np.full((2, columns), extreme, dtype=np.int64))
    assert (cut.rows, cut.columns, cut.width, len(cut.limbs)) == (2, columns, width, count)


def test_bilinear_refuses_shapes_and_types_that_do_not_fit() -> None:
    zeros = np.zeros((2, 3), dtype=np.int64)
    x, matrix, y = _bytes([1, 2]), CutMatrix.of(zeros), _bytes([1, 2, 3])
    assert bilinear([x], matrix, y) == [0]
    assert bilinear([x[:1], x[1:], x[2:]], matrix, y) == [0, 0, 0]
    wide = CutMatrix.of(zeros[:, :2])
    bad = [([y], matrix, y), ([x], matrix, x), ([x[:, :31]], matrix, y), ([x], matrix, y[:, :31]), ([x], wide, y)]
    for xs, between, right in [*bad, ([], matrix, y), ([x, x], matrix, y), ([x[:1], x[1:, :31]], matrix, y)]:
        with pytest.raises(ValueError, match="a matrix of"):
            bilinear(xs, between, right)
    with pytest.raises(TypeError, match="an int64 matrix, not int32"):
        CutMatrix.of(zeros.astype(np.int32))
    with pytest.raises(TypeError, match="as doubles"):
        bilinear([x[:1], x[1:].astype(np.float32)], matrix, y)
    with pytest.raises(TypeError, match="as doubles"):
        bilinear([x], matrix, y.astype(np.float32))
    for shape in ((0, (1 << 20) + 1), ((1 << 20) + 1, 0)):
        with pytest.raises(ValueError, match="a matrix of"):
            CutMatrix.of(np.zeros(shape, dtype=np.int64))
