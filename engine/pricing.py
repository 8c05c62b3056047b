"""Black-76 values and Greeks on integers, bit-identical on every machine.

Black (1976), "The pricing of commodity contracts", J. Financial Economics 3: with s = sigma sqrt(T), D = exp(-rT),
d1 = ln(F / K) / s + s / 2, d2 = d1 - s, a call is worth D (F Phi(d1) - K Phi(d2)) and a put D (K - F) more.

Prices are int64 counts of any unit the caller likes; with F near 2^45 .. 2^58 units the unit's rounding lies far below
the accuracy. Volatilities and rates are counts of 1e-9 (0.65 is 650_000_000). A year is 365 days and times are in
milliseconds, or in any unit of which `units_per_year` make a year: the year fraction is that quotient, exactly.

Accuracy over the 50-digit reference table (strikes F / 100 to 100 F, 1e-7 to 30 years, vols 0.0001 to 5, rates -1 % to
5 %), asserted by tests/test_black76.py: values within 1e-12 of F, Greeks within 1e-9 of their natural scale.
"""

from fractions import Fraction
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from zkmargin.engine._kernels import black76 as kernels
from zkmargin.formats import InputError

Int64Array = npt.NDArray[np.int64]
_Columns = tuple[Int64Array, Int64Array, Int64Array, Int64Array, Int64Array, npt.NDArray[np.bool_]]

MS_PER_DAY = 86_400_000
MS_PER_YEAR = 365 * MS_PER_DAY
TENOR_MS = 30 * MS_PER_DAY
MAX_PRICE = (1 << 62) - 1
MAX_VOL_1E9 = 100 * 10**9
MAX_RATE_1E9 = 5 * 10**9
MAX_YEARS = 100
MAX_UNITS_PER_YEAR = 10**18
#: Bounds of -rT with the prices up to which a value grown by exp(-rT) still fits int64: below ln 2, and 2.4.
_GROWTH_BOUNDS = ((Fraction(69, 100), MAX_PRICE), (Fraction(12, 5), 1 << 59))


class Greeks(NamedTuple):
    """Derivatives of the discounted value V, the forward held fixed: int64 arrays of the shape of the inputs.

    Natural scales, to which the error of 1e-9 refers, in parentheses; s = sigma sqrt(T), D = exp(-rT), phi(0) = 0.399.
    A result rounds once, to nearest, half away from zero, and saturates at +-(2^63 - 1), theta where one of its two
    terms does. Where sigma or T is 0 the value is the discounted intrinsic value: gamma and vega are 0, and delta at
    F = K is its limit from s > 0.

    * delta_1e12: dV/dF in 1e-12, discounted: D Phi(d1) for a call, D (Phi(d1) - 1) for a put (D).
    * gamma_1e11: F d2V/dF2 in 1e-11, the finest unit that still holds a 1e-7-year option at vol 0.0001 (phi(0) D / s).
    * vega: dV/dsigma per 1.00 of volatility, price units (phi(0) D F sqrt(T)).
    * theta: -dV/dT per year, price units: what a year's passing would add (phi(0) D F sigma / (2 sqrt(T)) + |r| D F).
    * rho: dV/dr = -T V per 1.00 of rate, price units (T D max(F, K)).
    """

    delta_1e12: Int64Array
    gamma_1e11: Int64Array
    vega: Int64Array
    theta: Int64Array
    rho: Int64Array


def black76(
    F: npt.ArrayLike,
    K: npt.ArrayLike,
    vol_1e9: npt.ArrayLike,
    time_ms: npt.ArrayLike,
    rate_1e9: npt.ArrayLike,
    is_call: npt.ArrayLike,
    *,
    units_per_year: int = MS_PER_YEAR,
) -> Int64Array:
    """Discounted values of European options on forwards.

    The error is half a unit from the one rounding (to nearest, half away from zero) and below 1e-16 D max(F, K) from
    everything before it (1.1e-17 measured on the reference table; 4.1e-16 of F in all, at K = 100 F). Call - put is
    D (F - K) to one unit; values are monotone in every argument that they should be, to one unit and that error.

    Args:
        F: forwards, 1 to 2^62 - 1 units. All arguments are integer arrays that broadcast to one shape.
        K: strikes, 1 to 2^62 - 1 units.
        vol_1e9: volatilities, 0 to 100.0 in 1e-9.
        time_ms: times to expiry, 0 to 100 years. With T or vol 0 the value is the discounted intrinsic value.
        rate_1e9: continuously compounded rates, -5.0 to 5.0 in 1e-9, and -rT at most 2.4 (0.69 for prices above 2^59).
        is_call: booleans.
        units_per_year: how many units of `time_ms` make a year, up to 1e18; milliseconds unless told.

    Returns:
        int64 values in the price unit, of the broadcast shape.

    Raises:
        InputError: an argument is not of integers (booleans for is_call), out of range, or shapes do not broadcast.
    """
    columns, shape = _arguments(F, K, vol_1e9, time_ms, rate_1e9, is_call, units_per_year)
    out = np.empty(columns[0].size, dtype=np.int64)
    kernels.prices(*columns, *kernels.year_unit(units_per_year), out)
    return out.reshape(shape)


def greeks(
    F: npt.ArrayLike,
    K: npt.ArrayLike,
    vol_1e9: npt.ArrayLike,
    time_ms: npt.ArrayLike,
    rate_1e9: npt.ArrayLike,
    is_call: npt.ArrayLike,
    *,
    units_per_year: int = MS_PER_YEAR,
) -> Greeks:
    """The derivatives of `black76`, from the same arguments.

    Raises:
        InputError: as `black76`.
    """
    columns, shape = _arguments(F, K, vol_1e9, time_ms, rate_1e9, is_call, units_per_year)
    out = np.empty((5, columns[0].size), dtype=np.int64)
    kernels.all_greeks(*columns, *kernels.year_unit(units_per_year), out)
    return Greeks(*(row.reshape(shape) for row in out))


def discount_1e17(time_ms: npt.ArrayLike, rate_1e9: npt.ArrayLike, *, units_per_year: int = MS_PER_YEAR) -> Int64Array:
    """D = exp(-rT) in 1e-17, to nearest, within 1e-17 max(1, D); arguments, ranges and errors as `black76`."""
    (_, _, _, time, rate, _), shape = _arguments(1, 1, 0, time_ms, rate_1e9, True, units_per_year)
    out = np.empty(time.size, dtype=np.int64)
    kernels.discounts(time, rate, *kernels.year_unit(units_per_year), out)
    return out.reshape(shape)


def tenor_scale_1e9(
    time_ms: npt.ArrayLike, exponent_short_1e4: int, exponent_long_1e4: int, floor_ms: int = MS_PER_DAY
) -> Int64Array:
    """(30 days / max(T, floor))^p in 1e-9: how a volatility shock scales with the tenor (Derive PMRM, Deribit).

    Args:
        time_ms: integer array of times, 0 to 100 years.
        exponent_short_1e4: p in 1e-4 for max(T, floor) up to 30 days, 0 to 10_000.
        exponent_long_1e4: p in 1e-4 beyond 30 days, 0 to 10_000.
        floor_ms: least time, at least 1.

    Returns:
        int64 of the shape of `time_ms`, to nearest, within 1e-16 of itself; 30 days give 10^9 exactly.

    Raises:
        InputError: an argument is not of integers or out of range.
    """
    time = _in_range(_integers(time_ms, "time_ms"), 0, MAX_YEARS * MS_PER_YEAR, "time_ms")
    for name, value, low, high in (
        ("exponent_short_1e4", exponent_short_1e4, 0, 10_000),
        ("exponent_long_1e4", exponent_long_1e4, 0, 10_000),
        ("floor_ms", floor_ms, 1, MAX_YEARS * MS_PER_YEAR),
    ):
        _in_range(_integers(value, name), low, high, name)
    column = np.maximum(time, floor_ms).ravel()
    out = np.empty(column.size, dtype=np.int64)
    kernels.tenor_scales(column, TENOR_MS, int(exponent_short_1e4), int(exponent_long_1e4), out)
    return out.reshape(time.shape)


def _arguments(
    F: npt.ArrayLike,
    K: npt.ArrayLike,
    vol_1e9: npt.ArrayLike,
    time: npt.ArrayLike,
    rate_1e9: npt.ArrayLike,
    is_call: npt.ArrayLike,
    units_per_year: int,
) -> tuple[_Columns, tuple[int, ...]]:
    """Every argument checked, as flat columns of one length, with the shape that they broadcast to."""
    if not isinstance(units_per_year, int) or not 1 <= units_per_year <= MAX_UNITS_PER_YEAR:
        raise InputError("must be an integer from 1 to 10^18", field="units_per_year")
    call = np.asarray(is_call)
    if call.dtype != np.bool_:
        raise InputError(f"must be booleans, not {call.dtype}", field="is_call")
    forward, strike, rate = _integers(F, "F"), _integers(K, "K"), _integers(rate_1e9, "rate_1e9")
    times = _integers(time, "time_ms")
    columns: list[npt.NDArray[Any]] = [
        _in_range(forward, 1, MAX_PRICE, "F"),
        _in_range(strike, 1, MAX_PRICE, "K"),
        _in_range(_integers(vol_1e9, "vol_1e9"), 0, MAX_VOL_1E9, "vol_1e9"),
        _in_range(times, 0, MAX_YEARS * units_per_year, "time_ms"),
        _in_range(rate, -MAX_RATE_1E9, MAX_RATE_1E9, "rate_1e9"),
        call,
    ]
    try:
        shape = np.broadcast_shapes(*(column.shape for column in columns))
    except ValueError as error:
        raise InputError("the shapes of the arguments do not broadcast", field="F") from error
    if 0 not in shape:
        _check_growth(times, rate, units_per_year, max(int(forward.max()), int(strike.max())))
    flat = (np.ascontiguousarray(np.broadcast_to(column, shape)).ravel() for column in columns)
    return cast("_Columns", tuple(flat)), shape


def _integers(values: npt.ArrayLike, field: str) -> Int64Array:
    array = np.asarray(values)
    if array.size == 0 and array.dtype == np.float64:  # an empty list has no type of its own
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise InputError(f"must be int64 integers, not {array.dtype}", field=field)
    if array.dtype == np.uint64 and array.size and int(array.max()) >= 1 << 63:
        raise InputError("beyond int64", field=field)
    return array.astype(np.int64, copy=False)


def _in_range(array: Int64Array, low: int, high: int, field: str) -> Int64Array:
    if array.size and not low <= int(array.min()) <= int(array.max()) <= high:
        raise InputError(f"must lie between {low} and {high}", field=field)
    return array


def _check_growth(time: Int64Array, rate: Int64Array, units_per_year: int, largest_price: int) -> None:
    """Refuse negative rates under which a value could pass int64."""
    if int(rate.min()) >= 0:
        return
    bound = max(limit for limit, price in _GROWTH_BOUNDS if largest_price <= price) * 10**9 * units_per_year
    if -int(rate.min()) * int(time.max()) > bound:  # the worst pair, which may not occur: then look at each
        rates, times = np.broadcast_arrays(rate, time)
        if any(-r * t > bound for r, t in zip(rates.ravel().tolist(), times.ravel().tolist(), strict=True)):
            raise InputError("a negative rate over this time makes the discount factor too large", field="rate_1e9")
