"""Black-76 on integers: the 50-digit table, identities of the model, the two machines, and what is refused."""

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
from support import plain_python
from support.typed import Keywords, Passed

from zkmargin.engine.pricing import (
    MAX_PRICE,
    MAX_RATE_1E9,
    MAX_VOL_1E9,
    MAX_YEARS,
    MS_PER_DAY,
    MS_PER_YEAR,
    Greeks,
    black76,
    discount_1e17,
    greeks,
    tenor_scale_1e9,
)
from zkmargin.formats import InputError

INT64_MAX = (1 << 63) - 1
VALUE_TOLERANCE = Decimal("1e-12")  # of F
GREEK_TOLERANCE = Decimal("1e-9")  # of the natural scale in the docstring of Greeks
DENSITY_AT_0 = 1 / (2 * Decimal("3.14159265358979323846264338327950288419716939937510")).sqrt()

# What every machine must compute for the inputs of `all_results`, compiled or not.
RESULTS_SHA256 = "9466f2824608c972f2a827eaa0513b81f452655cd4f1ee0216485c77f6b53aac"

PRICES = st.integers(1 << 45, 1 << 57)
VOLS = st.integers(10**6, 5 * 10**9)
TIMES = st.integers(1, 30 * MS_PER_YEAR)
RATES = st.integers(-70_000_000, 10**9)


def value(F: int, K: int, vol: int, time: int, rate: int, is_call: bool, **options: int) -> int:
    return int(black76(F, K, vol, time, rate, is_call, **options))


def noise(F: int, K: int) -> int:
    """One unit of rounding and what comes before it, with a discount factor up to 8.2."""
    return 1 + (max(F, K) >> 53)


class Row:
    """A row of the table as exact integers: prices with `decimals`, time over `units_per_year`."""

    def __init__(self, row: dict[str, str]) -> None:
        self.text = row
        self.F, self.K, self.T, self.vol, self.rate = (Decimal(row[name]) for name in ("F", "K", "T", "sigma", "r"))
        self.units_per_year = 1 if self.T.as_integer_ratio()[1] == 1 else 10**18
        self.factor = (-self.rate * self.T).exp()

    def arguments(self, scale: Decimal) -> tuple[int, int, int, int, int]:
        exact = [self.F * scale, self.K * scale, self.vol * 10**9, self.rate * 10**9]
        assert all(number == int(number) for number in exact)
        F, K, vol, rate = (int(number) for number in exact)
        # a time with 19 decimals loses the last: at most 1e-18 years, which moves no value by 1e-17 of F here
        return F, K, vol, int(self.T * self.units_per_year), rate

    def scale(self, bound: int) -> Decimal:
        """The largest power of ten that keeps both prices within the bound."""
        return Decimal(10) ** int((bound / max(self.F, self.K)).log10())

    def greeks(self, scale: Decimal, is_call: bool) -> Greeks:
        return greeks(*self.arguments(scale), is_call, units_per_year=self.units_per_year)


@pytest.fixture(scope="session")
def table(conformance_family: Callable[[str], list[Path]]) -> list[Row]:
    (path,) = conformance_family("vectors/black76")
    with localcontext(prec=60):
        return [Row(row) for row in csv.DictReader(path.read_text("ascii").splitlines())]


@pytest.mark.conformance
def test_every_value_of_the_published_table(table: list[Row]) -> None:
    assert len(table) > 1900
    with localcontext(prec=60):
        for row in table:
            for bound in (1 << 57, MAX_PRICE):
                scale = row.scale(bound)
                for is_call, column in ((True, "call"), (False, "put")):
                    got = value(*row.arguments(scale), is_call, units_per_year=row.units_per_year)
                    error = abs(got - Decimal(row.text[column]) * scale)
                    assert error < VALUE_TOLERANCE * row.F * scale, row.text
                    assert error < Decimal("0.5") + max(row.F, row.K) * scale * row.factor / 10**16, row.text


@pytest.mark.conformance
def test_every_greek_of_the_published_table(table: list[Row]) -> None:
    """Each in a unit coarse enough for theta at 1e-7 years, or fine enough for rho there."""
    rows = [row for row in table if row.text["gamma"]]
    assert len(rows) > 1300
    with localcontext(prec=60):
        for row in rows:
            root, D, T = row.T.sqrt(), row.factor, row.T
            deviation = row.vol * root
            fine = row.scale(1 << 57)
            coarse = min(fine, Decimal(10) ** 13)
            for is_call in (True, False):
                is_put = not is_call
                value = Decimal(row.text["put" if is_put else "call"])
                got, slow = row.greeks(fine, is_call), row.greeks(coarse, is_call)
                at_fine, at_coarse = row.F * fine * D * DENSITY_AT_0, row.F * coarse * D * DENSITY_AT_0
                theta = Decimal(row.text["theta_call"]) - is_put * row.rate * D * (row.F - row.K)
                for name, result, expected, natural in (
                    ("delta", got.delta_1e12, (Decimal(row.text["delta_call"]) - is_put * D) * 10**12, D * 10**12),
                    (
                        "gamma",
                        got.gamma_1e11,
                        Decimal(row.text["gamma"]) * row.F * 10**11,
                        DENSITY_AT_0 * D / deviation * 10**11,
                    ),
                    ("vega", got.vega, Decimal(row.text["vega"]) * fine, at_fine * root),
                    (
                        "theta",
                        slow.theta,
                        theta * coarse,
                        at_coarse * row.vol / 2 / root + abs(row.rate) * D * row.F * coarse,
                    ),
                    ("rho", got.rho, -T * value * fine, T * D * max(row.F, row.K) * fine),
                ):
                    assert abs(int(result) - expected) < GREEK_TOLERANCE * natural, (name, is_call, row.text)
                if is_call:
                    assert abs(
                        int(got.rho) - Decimal(row.text["rho_call"]) * fine
                    ) <= GREEK_TOLERANCE * T * D * fine * (max(row.F, row.K))


@given(PRICES, PRICES, VOLS, TIMES, RATES)
@example(1 << 57, 1 << 45, 10**6, 1, 0)
@example(1, 1, 1, 1, 0)
def test_put_call_parity(F: int, K: int, vol: int, time: int, rate: int) -> None:
    call, put = (value(F, K, vol, time, rate, is_call) for is_call in (True, False))
    discount = int(discount_1e17(time, rate))
    forward = discount * (F - K)
    # the factor in 1e-17 is itself rounded
    assert abs((call - put) * 10**17 - forward) <= 10**17 + 10 * abs(F - K)
    assert 0 <= call * 10**17 <= discount * F + 10**17 + 10 * F
    assert 0 <= put * 10**17 <= discount * K + 10**17 + 10 * K


@given(PRICES, PRICES, VOLS, TIMES, st.booleans())
def test_swapping_forward_and_strike_swaps_call_and_put(F: int, K: int, vol: int, time: int, is_call: bool) -> None:
    assert abs(value(F, K, vol, time, 0, is_call) - value(K, F, vol, time, 0, not is_call)) <= noise(F, K)


@given(PRICES, PRICES, VOLS, TIMES, RATES, st.integers(1, 1 << 44))
def test_values_are_monotone(F: int, K: int, vol: int, time: int, rate: int, step: int) -> None:
    slack = noise(F + step, K + step)
    call, put = (value(F, K, vol, time, rate, is_call) for is_call in (True, False))
    assert value(F + step, K, vol, time, rate, True) >= call - slack
    assert value(F + step, K, vol, time, rate, False) <= put + slack
    assert value(F, K + step, vol, time, rate, True) <= call + slack
    assert value(F, K + step, vol, time, rate, False) >= put - slack
    assert value(F, K, vol + step % 10**9, time, rate, True) >= call - slack
    assert value(F, K, vol + step % 10**9, time, rate, False) >= put - slack
    assert value(F, K, vol, time + step % MS_PER_YEAR, 0, True) >= value(F, K, vol, time, 0, True) - slack
    assert value(F, K, vol, time, rate + 1_000, True) <= call + slack


@given(PRICES, PRICES, VOLS, TIMES, RATES, st.booleans(), st.integers(1, 4))
def test_values_are_homogeneous(F: int, K: int, vol: int, time: int, rate: int, is_call: bool, factor: int) -> None:
    single, multiple = value(F, K, vol, time, rate, is_call), value(factor * F, factor * K, vol, time, rate, is_call)
    assert abs(multiple - factor * single) <= factor * noise(F, K)


@given(PRICES, PRICES, st.integers(0, 10**10), TIMES, RATES, st.booleans())
def test_no_time_or_no_volatility_leaves_the_intrinsic_value(
    F: int, K: int, vol: int, time: int, rate: int, is_call: bool
) -> None:
    intrinsic = max(F - K if is_call else K - F, 0)
    assert value(F, K, vol, 0, rate, is_call) == intrinsic
    exact = int(discount_1e17(time, rate)) * intrinsic
    assert abs(value(F, K, 0, time, rate, is_call) * 10**17 - exact) <= 10**17 // 2 + 10 * intrinsic
    at_expiry = greeks(F, K, vol, 0, rate, is_call)
    sign = 1 if is_call else -1
    assert int(at_expiry.delta_1e12) == sign * (10**12 if sign * (F - K) > 0 else 0 if F != K else 10**12 // 2)
    assert int(at_expiry.gamma_1e11) == int(at_expiry.vega) == int(at_expiry.rho) == 0


def test_delta_at_the_money_without_volatility_is_the_limit() -> None:
    for is_call, expected in ((True, 5 * 10**11), (False, -5 * 10**11)):
        assert int(greeks(10**15, 10**15, 0, MS_PER_DAY, 0, is_call).delta_1e12) == expected


@given(
    PRICES, st.integers(-200, 200), st.integers(10**8, 2 * 10**9), st.integers(MS_PER_DAY, MS_PER_YEAR), st.booleans()
)
def test_greeks_are_the_slopes_of_the_value(F: int, percent: int, vol: int, time: int, is_call: bool) -> None:
    K, rate = F * (1000 + percent) // 1000, 30_000_000
    got = greeks(F, K, vol, time, rate, is_call)
    step = F >> 14
    up, down = (value(F + d, K, vol, time, rate, is_call) for d in (step, -step))
    middle = value(F, K, vol, time, rate, is_call)
    assert (up - down) / (2 * step) == pytest.approx(int(got.delta_1e12) / 1e12, abs=1e-3)
    assert (up - 2 * middle + down) / step**2 * F == pytest.approx(int(got.gamma_1e11) / 1e11, rel=0.02, abs=0.02)
    d_vol = 10**5
    slope = (value(F, K, vol + d_vol, time, rate, is_call) - value(F, K, vol - d_vol, time, rate, is_call)) * 5_000
    assert slope / F == pytest.approx(int(got.vega) / F, abs=1e-5)
    d_time = time >> 10
    later, sooner = (value(F, K, vol, time + d, rate, is_call) for d in (d_time, -d_time))
    assert (sooner - later) / (2 * d_time) * MS_PER_YEAR / F == pytest.approx(int(got.theta) / F, rel=1e-3, abs=1e-3)
    assert abs(int(got.rho) * MS_PER_YEAR + middle * time) <= MS_PER_YEAR


def test_greeks_saturate_and_never_wrap() -> None:
    sharp = greeks(MAX_PRICE, MAX_PRICE, 1, 1, 0, True)
    assert int(sharp.gamma_1e11) == INT64_MAX
    assert int(greeks(MAX_PRICE, MAX_PRICE, MAX_VOL_1E9, 1, MAX_RATE_1E9, True).theta) == -INT64_MAX
    assert int(greeks(MAX_PRICE, 1, 10**9, MAX_YEARS * MS_PER_YEAR, 0, True).rho) == -INT64_MAX
    assert value(MAX_PRICE, 1, 10**9, MS_PER_YEAR, -680_000_000, True) > MAX_PRICE


@given(
    st.integers(1, MAX_PRICE),
    st.integers(1, MAX_PRICE),
    st.integers(0, MAX_VOL_1E9),
    st.integers(0, MAX_YEARS * 10**18),
    st.integers(0, MAX_RATE_1E9),
    st.booleans(),
    st.integers(1, 10**18),
)
@example(1, MAX_PRICE, 1, 1, MAX_RATE_1E9, True, 10**18)
@example(MAX_PRICE, 1, MAX_VOL_1E9, 100, 1, False, 1)
@example(MAX_PRICE, MAX_PRICE, 1, 1, 0, True, 10**18)
def test_the_corners_of_the_range_stay_within_the_bounds_of_the_model(
    F: int, K: int, vol: int, time: int, rate: int, is_call: bool, units: int
) -> None:
    time = min(time, MAX_YEARS * units, INT64_MAX)
    got = value(F, K, vol, time, rate, is_call, units_per_year=units)
    assert 0 <= got <= (F if is_call else K)
    slopes = greeks(F, K, vol, time, rate, is_call, units_per_year=units)
    assert 0 <= int(slopes.delta_1e12) * (1 if is_call else -1) <= 10**12
    assert int(slopes.gamma_1e11) >= 0
    assert int(slopes.vega) >= 0
    assert int(slopes.rho) <= 0


def test_arrays_broadcast_and_match_single_options() -> None:
    F = np.array([[10**15], [2 * 10**15]])
    K = np.array([9 * 10**14, 10**15, 11 * 10**14])
    got = black76(F, K, 600_000_000, MS_PER_DAY, 20_000_000, np.array([True, False, True]))
    assert got.shape == (2, 3)
    assert got.dtype == np.int64
    for i, j in np.ndindex(2, 3):
        assert got[i, j] == value(int(F[i, 0]), int(K[j]), 600_000_000, MS_PER_DAY, 20_000_000, j != 1)
    assert all(row.shape == (2, 3) for row in greeks(F, K, 600_000_000, MS_PER_DAY, 0, True))
    assert black76(np.zeros((0, 3), dtype=np.int64), K, 1, 1, 0, True).shape == (0, 3)


@given(st.integers(0, MAX_YEARS * MS_PER_YEAR), st.integers(-20_000_000, MAX_RATE_1E9))
def test_discount(time: int, rate: int) -> None:
    with localcontext(prec=60):
        exact = (-Decimal(rate) * time / (10**9 * MS_PER_YEAR)).exp()
        assert abs(Decimal(int(discount_1e17(time, rate))) - exact * 10**17) <= max(Decimal(1), exact)


@given(st.integers(0, MAX_YEARS * MS_PER_YEAR), st.integers(0, 10_000), st.integers(0, 10_000), TIMES)
@example(0, 10_000, 10_000, 1)
def test_tenor_scale(time: int, short: int, long: int, floor: int) -> None:
    days_30, longer = 30 * MS_PER_DAY, max(time, floor)
    with localcontext(prec=60):
        power = Decimal(short if longer <= days_30 else long) / 10_000
        exact = (Decimal(days_30) / longer) ** power * 10**9
        got = int(tenor_scale_1e9(time, short, long, floor))
        assert abs(got - exact) <= Decimal("0.51") + exact / 10**16


def test_tenor_scale_where_it_is_exact() -> None:
    got = tenor_scale_1e9(np.array([0, 15, 30, 60]) * MS_PER_DAY, 10_000, 10_000, MS_PER_DAY)
    assert got.tolist() == [30 * 10**9, 2 * 10**9, 10**9, 5 * 10**8]
    assert tenor_scale_1e9([1, 10**9], 0, 0, 1).tolist() == [10**9, 10**9]


GOOD: Keywords = {"F": 100, "K": 100, "vol_1e9": 1, "time_ms": 1, "rate_1e9": 0, "is_call": True}


@pytest.mark.parametrize("function", [black76, greeks])
@pytest.mark.parametrize(
    ("field", "bad", "reason"),
    [
        ("F", 0, "between"),
        ("F", -1, "between"),
        ("F", MAX_PRICE + 1, "between"),
        ("F", 100.0, "integers"),
        ("F", float("nan"), "integers"),
        ("F", True, "integers"),
        ("F", 1 << 63, "int64"),
        ("F", 1 << 64, "integers"),
        ("K", 0, "between"),
        ("K", [5, -5], "between"),
        ("vol_1e9", -1, "between"),
        ("vol_1e9", MAX_VOL_1E9 + 1, "between"),
        ("time_ms", -1, "between"),
        ("time_ms", MAX_YEARS * MS_PER_YEAR + 1, "between"),
        ("rate_1e9", MAX_RATE_1E9 + 1, "between"),
        ("rate_1e9", -MAX_RATE_1E9 - 1, "between"),
        ("is_call", 1, "booleans"),
        ("units_per_year", 0, "integer from 1"),
        ("units_per_year", 10**18 + 1, "integer from 1"),
        ("units_per_year", 1.0, "integer from 1"),
    ],
)
def test_bad_arguments_are_refused_by_name(
    function: Callable[..., object], field: str, bad: object, reason: str
) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        function(**{**GOOD, field: bad})
    assert caught.value.field == field


def test_shapes_that_do_not_broadcast_are_refused() -> None:
    with pytest.raises(InputError, match="broadcast"):
        black76([1, 2], [1, 2, 3], 1, 1, 0, True)


def test_discount_factors_that_could_overflow_are_refused() -> None:
    year = MS_PER_YEAR
    with pytest.raises(InputError, match="negative rate"):
        black76(100, 100, 1, year, -2_400_000_001, True)
    with pytest.raises(InputError, match="negative rate"):
        black76((1 << 59) + 1, 100, 1, year, -690_000_001, True)
    assert black76(100, 100, 1, year, -2_400_000_000, True) == 0
    # the bound holds for each pair of rate and time, not for the worst of either
    assert black76(200, 100, 1, [1, 30 * year], [-(10**9), 0], True).tolist() == [100, 100]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((-1, 1, 1, 1), "time_ms"),
        ((0.5, 1, 1, 1), "time_ms"),
        ((1, -1, 1, 1), "exponent_short_1e4"),
        ((1, 1, 10_001, 1), "exponent_long_1e4"),
        ((1, 1, 1, 0), "floor_ms"),
    ],
)
def test_bad_tenors_are_refused_by_name(arguments: tuple[Passed, ...], field: str) -> None:
    with pytest.raises(InputError) as caught:
        tenor_scale_1e9(*arguments)
    assert caught.value.field == field


def all_results() -> str:
    """SHA-256 of values, Greeks, discounts and tenor scales over 400 options drawn by a fixed rule, in decimal."""
    state, draws = 7, []
    for _ in range(400):
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        draws.append(state)
    F = [(1 << 45) + d % (1 << 57) >> d % 7 for d in draws]
    K = [f * (500 + d // 3 % 1000) // 1000 for f, d in zip(F, draws, strict=True)]
    vol = [d // 5 % 3_000_000_000 for d in draws]
    time = [(d // 7 % (3 * MS_PER_YEAR)) >> d % 40 for d in draws]
    rate = [d // 11 % 150_000_000 - 50_000_000 for d in draws]
    call = [d // 13 % 2 == 0 for d in draws]
    results = [black76(F, K, vol, time, rate, call), *greeks(F, K, vol, time, rate, call)]
    results += [discount_1e17(time, rate), tenor_scale_1e9(time, 3_000, 1_300, MS_PER_DAY)]
    return hashlib.sha256("\n".join(",".join(map(str, row.tolist())) for row in results).encode()).hexdigest()


def test_results_are_those_of_every_machine() -> None:
    assert all_results() == RESULTS_SHA256


def test_plain_python_gives_the_same_bits() -> None:
    assert plain_python.all_results("test_black76") == RESULTS_SHA256
