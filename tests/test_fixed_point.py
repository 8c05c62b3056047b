"""ln, exp, square root and the normal distribution against 60 digits, and the two machines against each other."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numba import njit as untyped_njit
from support import plain_python
from support.typed import Unchecked

from zkmargin.engine._kernels import fixed_point
from zkmargin.engine._kernels.int128 import INT64_MAX, leading_zeros, mul_round, mul_shift

njit: Unchecked = untyped_njit
POSITIVE = st.integers(1, INT64_MAX)
SIGNED = st.integers(-INT64_MAX, INT64_MAX)
ONE = fixed_point.ONE
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
ARGUMENT = 1 << fixed_point.ARGUMENT_BITS

# What every machine must compute for the inputs of `all_results`, compiled or not.
RESULTS_SHA256 = "d5ae039266922d386180f07608b0916066abcc91ac5eeee094e1b19c62bcf885"


@njit  # type: ignore[untyped-decorator]
def compiled_mul_shift(a: int, b: int, n: int) -> int:
    return mul_shift(a, b, n)


@njit  # type: ignore[untyped-decorator]
def compiled_mul_round(a: int, b: int, n: int) -> int:
    return mul_round(a, b, n)


@njit  # type: ignore[untyped-decorator]
def compiled_leading_zeros(a: int) -> int:
    return leading_zeros(a)


def density(z: Decimal) -> Decimal:
    return (-z * z / 2).exp() / (2 * PI).sqrt()


def cdf(z: Decimal) -> Decimal:
    """Phi(z) = 1/2 + phi(z) (z + z^3 / 3 + z^5 / (3 5) + ...)."""
    with localcontext(prec=90):
        total, term, k = Decimal(0), z, 1
        while abs(term) > Decimal("1e-60"):
            total, k = total + term, k + 2
            term = term * z * z / k
        return Decimal("0.5") + density(z) * total


@given(SIGNED, SIGNED, st.integers(0, 127))
@example(INT64_MAX, INT64_MAX, 63)
@example(-INT64_MAX, INT64_MAX, 63)
@example(-1, 1, 127)
def test_mul_shift_is_the_floor_of_the_exact_product(a: int, b: int, n: int) -> None:
    exact = (a * b) >> n
    assert mul_shift(a, b, n) == exact
    if -INT64_MAX <= exact <= INT64_MAX:
        assert compiled_mul_shift(a, b, n) == exact


@given(SIGNED, SIGNED, st.integers(1, 126))
@example(INT64_MAX, INT64_MAX, 1)
@example(-INT64_MAX, INT64_MAX, 1)
@example(-3, 1, 1)
@example(3, 1, 1)
@example(0, 0, 1)
def test_mul_round_rounds_half_away_from_zero_and_saturates(a: int, b: int, n: int) -> None:
    size = min(INT64_MAX, (2 * abs(a * b) + (1 << n)) // (2 << n))
    expected = -size if a * b < 0 else size
    assert mul_round(a, b, n) == compiled_mul_round(a, b, n) == expected


@pytest.mark.parametrize("a", [0, 1, 2, 3, ONE - 1, ONE, INT64_MAX])
def test_leading_zeros(a: int) -> None:
    assert leading_zeros(a) == compiled_leading_zeros(a) == 64 - len(f"{a:b}".lstrip("0"))


@given(POSITIVE, POSITIVE, st.integers(-1000, 1000))
@example(1, INT64_MAX, 0)
@example(INT64_MAX, 1, 0)
@example(INT64_MAX, INT64_MAX, -1)
def test_ln_ratio(a: int, b: int, nearby: int) -> None:
    for other in (b, max(1, min(INT64_MAX, a + nearby))):
        with localcontext(prec=60):
            error = Decimal(fixed_point.ln_ratio(a, other)) / 2**57 - (Decimal(a) / other).ln()
        assert abs(error) < Decimal("1e-17")


@given(POSITIVE)
def test_ln_of_one_is_zero(a: int) -> None:
    assert fixed_point.ln_ratio(a, a) == 0


@given(st.integers(-(63 << 57), 63 << 57))
@example(63 << 57)
@example(-(63 << 57))
@example(0)
def test_exp(x: int) -> None:
    m, k = fixed_point.exp_parts(x)
    with localcontext(prec=60):
        ratio = Decimal(m) / ONE * Decimal(2) ** k / (Decimal(x) / 2**57).exp()
        assert abs(ratio - 1) < Decimal("1e-17")
    assert ONE * 7 // 10 < m < ONE * 142 // 100


@given(st.integers(1 << 60, (1 << 62) - 1))
@example(1 << 60)
@example((1 << 62) - 1)
def test_inverse_sqrt(w: int) -> None:
    y = fixed_point.inverse_sqrt(w)
    with localcontext(prec=60):
        exact = (Decimal(ONE) / w).sqrt()
        assert abs(Decimal(y) / 2**61 - exact) < Decimal("5e-18")
        assert abs(Decimal(mul_shift(w, y, 61)) / ONE - 1 / exact) < Decimal("5e-18")


@given(st.integers(1 << 62, INT64_MAX))
@example(1 << 62)
@example(INT64_MAX)
def test_reciprocal(d: int) -> None:
    assert abs(fixed_point.reciprocal(d) - (1 << 124) // d) <= 4


@given(st.integers(0, 10 * ARGUMENT))
@example(0)
@example(fixed_point.PIECES * ARGUMENT // 8 - 1)
@example(fixed_point.PIECES * ARGUMENT // 8)
def test_normal_distribution(z: int) -> None:
    with localcontext(prec=60):
        assert abs(Decimal(fixed_point.normal_cdf(z)) / ONE - cdf(Decimal(z) / ARGUMENT)) < Decimal("2e-18")
        assert abs(Decimal(fixed_point.normal_pdf(z)) / ONE - density(Decimal(z) / ARGUMENT)) < Decimal("2e-18")
    assert fixed_point.normal_cdf(z) + fixed_point.normal_cdf(-z) == ONE
    assert fixed_point.normal_pdf(z) == fixed_point.normal_pdf(-z)


@given(st.integers(-10 * ARGUMENT, 10 * ARGUMENT), st.integers(1, ARGUMENT))
def test_normal_cdf_rises_but_for_its_last_bits(z: int, step: int) -> None:
    assert fixed_point.normal_cdf(z + step) >= fixed_point.normal_cdf(z) - 8


@pytest.mark.conformance
def test_published_normal_table(conformance_family: Callable[[str], list[Path]]) -> None:
    (path,) = conformance_family("vectors/normal/normal_cdf_mpmath60.csv")
    rows = list(csv.DictReader(path.read_text("ascii").splitlines()))
    assert len(rows) > 700
    with localcontext(prec=60):
        for row in rows:
            # the argument itself rounds by at most 2^-57, times a density of at most 0.4
            z = int((Decimal(row["x"]) * ARGUMENT).to_integral_value())
            assert abs(Decimal(fixed_point.normal_cdf(z)) / ONE - Decimal(row["Phi(x)"])) < Decimal("5e-18"), row
            assert abs(Decimal(fixed_point.normal_pdf(z)) / ONE - Decimal(row["phi(x)"])) < Decimal("5e-18"), row


@pytest.mark.conformance
def test_published_erf_table(conformance_family: Callable[[str], list[Path]]) -> None:
    (path,) = conformance_family("vectors/normal/boost_erf.csv")
    used = 0
    with localcontext(prec=60):
        for row in csv.DictReader(path.read_text("ascii").splitlines()):
            z = int((Decimal(row["x"]) * Decimal(2).sqrt() * ARGUMENT).to_integral_value())
            if abs(z) > INT64_MAX:
                continue
            used += 1
            # the table holds 40 digits: of erfc where it is small, of erf where that is
            assert abs(Decimal(fixed_point.normal_cdf(-z)) / ONE - Decimal(row["erfc"]) / 2) < Decimal("5e-18"), row
            erf = 2 * Decimal(fixed_point.normal_cdf(z)) / ONE - 1
            assert abs(erf - Decimal(row["erf"])) < Decimal("1e-17"), row
    assert used > 400


def all_results() -> str:
    """SHA-256 of every function over 500 arguments drawn by a fixed rule, in decimal."""
    digest, state = hashlib.sha256(), 1
    for _ in range(500):
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        a, b = (state >> 1) or 1, (state * state >> 20 & INT64_MAX) or 1
        z = (a % (20 * ARGUMENT)) - 10 * ARGUMENT
        results = (
            fixed_point.ln_ratio(a >> (b & 31), b >> (a & 31)),
            *fixed_point.exp_parts(a % (126 << 57) - (63 << 57)),
            fixed_point.inverse_sqrt((a & (1 << 61) - 1) | 1 << 60),
            fixed_point.reciprocal(b | 1 << 62),
            fixed_point.normal_cdf(z),
            fixed_point.normal_pdf(z),
        )
        digest.update(",".join(str(int(value)) for value in results).encode() + b"\n")
    return digest.hexdigest()


def test_results_are_those_of_every_machine() -> None:
    assert all_results() == RESULTS_SHA256


def test_plain_python_gives_the_same_bits() -> None:
    assert plain_python.all_results("test_fixed_point") == RESULTS_SHA256


def test_tables_are_int64() -> None:
    for table in (fixed_point._TAIL, fixed_point._DENSITY, fixed_point._ATANH, fixed_point._EXP, fixed_point._RSQRT):
        assert table.dtype == np.int64
