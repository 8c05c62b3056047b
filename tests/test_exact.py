from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.typed import Json, Passed

from zkmargin.crypto.exact import int_sums
from zkmargin.engine.exact import exact_dot, round_half_away, scale_round

INT64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def products(draw: st.DrawFn) -> tuple[npt.NDArray[np.int64], list[int]]:
    rows, columns = draw(st.integers(0, 6)), draw(st.integers(0, 4))
    width = draw(st.sampled_from([8, 40, 63]))
    cell = st.integers(-(2**width), 2**width - 1)
    matrix = draw(st.lists(st.lists(cell, min_size=columns, max_size=columns), min_size=rows, max_size=rows))
    bits = draw(st.sampled_from([3, 30, 62, 200]))
    factor = st.one_of(st.just(0), st.integers(-(2**bits), 2**bits))
    return np.array(matrix, dtype=np.int64).reshape(rows, columns), draw(st.lists(factor, min_size=rows, max_size=rows))


@given(products())
def test_exact_dot_is_the_sum_over_python_integers(case: tuple[npt.NDArray[np.int64], list[int]]) -> None:
    matrix, vector = case
    expected = [
        sum(factor * int(cell) for factor, cell in zip(vector, matrix[:, s], strict=True))
        for s in range(matrix.shape[1])
    ]
    assert exact_dot(matrix, vector) == expected


@pytest.mark.parametrize("extreme", [-(2**63), 2**63 - 1])
@pytest.mark.parametrize("factor", [-(2**72), 2**72 - 1, 2**30, -1])
def test_exact_dot_does_not_wrap_where_every_product_is_extreme(extreme: int, factor: int) -> None:
    rows = 4097
    assert exact_dot(np.full((rows, 2), extreme, dtype=np.int64), [factor] * rows) == [rows * extreme * factor] * 2


@pytest.mark.parametrize(
    ("matrix", "vector"),
    [
        (np.zeros((2, 2), dtype=np.int64), [1]),
        (np.zeros(2, dtype=np.int64), [1, 2]),
        (np.zeros((2, 2), dtype=np.float64), [1, 2]),
        (np.zeros((2, 2), dtype=np.int32), [1, 2]),
    ],
)
def test_exact_dot_refuses_shapes_and_types_that_do_not_fit(matrix: Passed, vector: Passed) -> None:
    with pytest.raises(ValueError, match="exact_dot needs"):
        exact_dot(matrix, vector)


def nearest(value: Json) -> int:
    """Half away from zero, by cases."""
    below: int = value.numerator // value.denominator
    rest = value - below
    if rest == Fraction(1, 2):
        return below + 1 if value > 0 else below
    return below + 1 if rest > Fraction(1, 2) else below


@given(
    st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1, max_size=6),
    st.integers(0, 2**80),
    st.integers(1, 2**80),
)
def test_scale_round_is_the_nearest_integer(values: list[int], num: int, den: int) -> None:
    array = np.array([values, [0] * len(values)], dtype=np.int64)
    expected = [nearest(Fraction(value * num, den)) for value in values]
    if max(map(abs, expected)) < 2**63:
        assert scale_round(array, [num, 1], [den, 1]).tolist() == [expected, [0] * len(values)]
    else:
        with pytest.raises(OverflowError) as caught:
            scale_round(array[::-1], [1, num], [1, den])
        assert caught.value.args == (1,)


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=6), st.integers(0, 99), st.integers(1, 99))
def test_scale_round_on_numbers_that_stay_in_64_bits(values: list[int], num: int, den: int) -> None:
    expected = [nearest(Fraction(value * num, den)) for value in values]
    assert scale_round(np.array([values], dtype=np.int64), [num], [den]).tolist() == [expected]


@given(st.integers(), st.integers(1))
def test_round_half_away(num: int, den: int) -> None:
    assert round_half_away(num, den) == nearest(Fraction(num, den))
    assert round_half_away(-num, den) == -round_half_away(num, den)


def test_ties_go_away_from_zero() -> None:
    assert [round_half_away(n, 2) for n in (-3, -1, 1, 3)] == [-2, -1, 1, 2]
    assert scale_round(np.array([[-3, -1, 0, 1, 3]], dtype=np.int64), [1], [2]).tolist() == [[-2, -1, 0, 1, 2]]


@pytest.mark.parametrize(("bits", "size"), [(30, 33), (62, 40), (63, 8), (1, 300), (48, 200)])
def test_sums_over_the_integers(bits: int, size: int) -> None:
    draw = np.random.default_rng(bits)
    matrix = draw.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, size=(5, 9), dtype=np.int64, endpoint=True)
    matrix[0, 0] = -(2 ** (bits - 1))
    values = [pow(3, 50 * i, 1 << size) * (-1) ** i for i in range(8)] + [-(1 << size)]
    assert int_sums(matrix, values) == [sum(int(m) * x for m, x in zip(row, values, strict=True)) for row in matrix]
    assert int_sums(matrix[:, :0], []) == [0] * 5
    with pytest.raises(ValueError, match="9 columns"):
        int_sums(matrix, values[:-1])
    with pytest.raises(TypeError, match="int64"):
        int_sums(matrix.astype(np.int32), values)


def test_sums_over_the_integers_at_their_edges() -> None:
    big, small = np.full((1, 9), -(2**50), dtype=np.int64), np.array([[1]], dtype=np.int64)
    assert int_sums(big, [2**57] * 9) == [-9 * 2**107]  # how large entries are, the negative ones too
    for bits in (60, 120):  # a number whose bits fill its limbs
        assert int_sums(small, [-(2**bits) + 1]) == [-(2**bits) + 1]
    wide = np.array([[2**62, -(2**63)], [1, 2**63 - 1]], dtype=np.int64)
    values = [2**300 + 1, -(2**280)]  # beyond any field
    assert int_sums(wide, values) == [2**62 * values[0] - 2**63 * values[1], values[0] + (2**63 - 1) * values[1]]
    longest = 1 << 20
    assert int_sums(np.ones((1, longest), dtype=np.int64), [3] * longest) == [3 * longest]
    with pytest.raises(ValueError, match="1048577 columns"):
        int_sums(np.ones((1, longest + 1), dtype=np.int64), [3] * (longest + 1))
