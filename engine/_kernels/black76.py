"""Black (1976) on integers: one option a call, and the loops over arrays.

Formats: discount factor Q58, rT and ln(F / K) Q57, d1 and d2 Q56, probabilities Q62, undiscounted values with as many
fractional bits as max(F, K) < 2^62 leaves. Years come as time / units_per_year: `year_unit` prepares the divisor.
Greeks in the units of `engine.pricing.Greeks`. Inputs are trusted here: `engine.pricing` checks every one of them.
"""

import numpy as np
import numpy.typing as npt

from zkmargin.engine._kernels import kernel
from zkmargin.engine._kernels.fixed_point import ONE, exp_parts, inverse_sqrt, ln_ratio, normal_cdf, normal_pdf
from zkmargin.engine._kernels.int128 import INT64_MAX, leading_zeros, mul_round, mul_shift

Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

NANO = 10**9
DISCOUNT_BITS = 58
_NANO_Q91 = ((1 << 91) + NANO // 2) // NANO
_NANO_SQUARED_Q122 = ((1 << 122) + NANO**2 // 2) // NANO**2
_TEN_THOUSANDTH_Q76 = ((1 << 76) + 5000) // 10**4
_LOG_LIMIT = 63 << 57
_TERM_LIMIT = 32 << 56  # of ln(F/K)/s and of s/2: where one is beyond, the other is below 1 and Phi is 0 or 1


def year_unit(units_per_year: int) -> tuple[int, int]:
    """1 / (10^18 units_per_year) as (m, q): m 2^-q with 2^62 <= m < 2^63, rounded down."""
    divisor = 10**18 * units_per_year
    q = 62 + divisor.bit_length()
    m = (1 << q) // divisor
    return (m >> 1, q - 1) if m > INT64_MAX else (m, q)


@kernel
def _years(time: int, unit: int, unit_q: int) -> tuple[int, int]:
    """10^-18 T as (m, q): m 2^-q with 2^61 <= m < 2^63, for time > 0."""
    shift = leading_zeros(time) - 1
    return mul_shift(time << shift, unit, 63), unit_q + shift - 63


@kernel
def _root(m: int, q: int) -> tuple[int, int, int]:
    """sqrt(m 2^-q), m > 0, as (root, inverse, k): root Q62 times 2^k, and its inverse Q61 times 2^-k."""
    shift = leading_zeros(m) - 2
    w = m << shift if shift >= 0 else m >> 1
    double_k = 62 - q - shift
    if double_k & 1:
        w, double_k = w >> 1, double_k + 1
    inverse = inverse_sqrt(w)
    return mul_shift(w, inverse, 61), inverse, double_k >> 1


@kernel
def _deviation(vol: int, years: int, years_q: int) -> tuple[int, int, int]:
    """s = sigma sqrt(T) as `_root` gives it, for vol > 0 in 1e-9."""
    shift = leading_zeros(vol) - 1
    square = mul_shift(vol << shift, vol << shift, 63)
    return _root(mul_shift(square, years, 63), years_q + 2 * shift - 126)


@kernel
def _arguments(F: int, K: int, root: int, inverse: int, k: int) -> tuple[int, int]:
    """d1 and d2 in Q56."""
    ratio = mul_round(ln_ratio(F, K), inverse, 62 + k)
    ratio = max(-_TERM_LIMIT, min(_TERM_LIMIT, ratio))
    half = _TERM_LIMIT if k >= 7 else root >> min(7 - k, 63)
    return ratio + half, ratio - half


@kernel
def _discount(rate: int, years: int, years_q: int) -> int:
    """exp(-rT) in Q58, rate in 1e-9; rT >= -2.4 keeps it below 2^62."""
    exponent = mul_round(-rate * NANO, years, years_q - 57)
    m, k = exp_parts(max(-_LOG_LIMIT, min(_LOG_LIMIT, exponent)))
    shift = 4 - k
    return (m + (1 << (shift - 1))) >> shift if shift < 63 else 0


@kernel
def discount(time: int, rate: int, unit: int, unit_q: int) -> int:
    """`_discount` for any time, 0 included."""
    if time == 0 or rate == 0:
        return 1 << DISCOUNT_BITS
    years, years_q = _years(time, unit, unit_q)
    return _discount(rate, years, years_q)


@kernel
def price(F: int, K: int, vol: int, time: int, rate: int, is_call: bool, unit: int, unit_q: int) -> int:
    """One discounted value."""
    bits = leading_zeros(max(F, K)) - 2
    value, factor = max(F - K, 0) << bits, 1 << DISCOUNT_BITS
    if time > 0:
        years, years_q = _years(time, unit, unit_q)
        if vol > 0:
            root, inverse, k = _deviation(vol, years, years_q)
            d1, d2 = _arguments(F, K, root, inverse, k)
            # F Phi(d1) - K Phi(d2), never below the intrinsic value
            value = max(value, mul_shift(F, normal_cdf(d1), 62 - bits) - mul_shift(K, normal_cdf(d2), 62 - bits))
        if rate != 0:
            factor = _discount(rate, years, years_q)
    if not is_call:
        value -= (F - K) << bits  # parity, before the only rounding
    return mul_round(value, factor, DISCOUNT_BITS + bits)


@kernel
def _distribution(F: int, K: int, vol: int, time: int, unit: int, unit_q: int) -> tuple[int, int, int, int]:
    """Phi(d1) and phi(d1) in Q62, 1 / s in Q61 times 2^-k; a density of 0 where s = 0."""
    if time == 0 or vol == 0:
        return ONE if F > K else ONE >> 1 if F == K else 0, 0, 0, 0
    years, years_q = _years(time, unit, unit_q)
    root, inverse, k = _deviation(vol, years, years_q)
    d1, _ = _arguments(F, K, root, inverse, k)
    return normal_cdf(d1), normal_pdf(d1), inverse, k


@kernel
def _vega_decay(F: int, vol: int, time: int, density: int, factor: int, unit: int, unit_q: int) -> tuple[int, int]:
    """D F phi(d1) sqrt(T) and D F phi(d1) sigma / (2 sqrt(T)), for a density > 0."""
    years, years_q = _years(time, unit, unit_q)
    root, inverse, k = _root(years, years_q)  # of 10^-18 T
    up = leading_zeros(F) - 2
    height = mul_shift(mul_shift(F << up, density, 62), factor, 62)  # D F phi(d1) 2^(up - 4)
    vega = mul_round(mul_shift(height, root, 62), NANO, up - 4 - k)
    shift = leading_zeros(vol) - 1
    sigma = mul_shift(vol << shift, _NANO_SQUARED_Q122, 63)  # 10^-9 sigma 2^(59 + shift)
    return vega, mul_round(mul_shift(height, inverse, 62), sigma, min(up + shift + k + 55, 126))


@kernel
def _years_times(value: int, time: int, unit: int, unit_q: int) -> int:
    """T value, for value >= 0."""
    if value == 0 or time == 0:
        return 0
    years, years_q = _years(time, unit, unit_q)
    shift = leading_zeros(value) - 1
    return mul_round(mul_shift(value << shift, years, 63), NANO**2, min(years_q + shift - 63, 126))


@kernel
def greeks(
    F: int, K: int, vol: int, time: int, rate: int, is_call: bool, unit: int, unit_q: int
) -> tuple[int, int, int, int, int]:
    """One option's (delta, gamma, vega, theta, rho)."""
    value, factor = price(F, K, vol, time, rate, is_call, unit, unit_q), discount(time, rate, unit, unit_q)
    probability, density, inverse, k = _distribution(F, K, vol, time, unit, unit_q)
    if not is_call:
        probability -= ONE
    delta = mul_round(mul_round(probability, factor, 62), 10**12, DISCOUNT_BITS)
    gamma = vega = decay = 0
    if density > 0:
        peak = mul_shift(mul_shift(density, factor, 60), 10**11 << 26, 63)  # D phi(d1) 10^11 in Q23
        gamma = mul_round(peak, inverse, 84 + k)
        vega, decay = _vega_decay(F, vol, time, density, factor, unit, unit_q)
    carry = mul_round(value, mul_round(rate << 29, _NANO_Q91, 63), 57)  # r V, the rate in Q57
    if decay == INT64_MAX:
        theta = -INT64_MAX
    elif carry == INT64_MAX:
        theta = INT64_MAX
    else:
        theta = max(carry, decay - INT64_MAX) - decay
    return delta, gamma, vega, theta, -_years_times(value, time, unit, unit_q)


@kernel
def tenor_scale(time: int, tenor: int, exponent_1e4: int) -> int:
    """(tenor / time)^p in 1e-9 for 0 <= p <= 1 in 1e-4."""
    power = mul_shift(ln_ratio(tenor, time), exponent_1e4 << 49, 63)
    m, k = exp_parts(mul_round(power, _TEN_THOUSANDTH_Q76, 62))
    return mul_round(m, NANO, 62 - k)


# --- loops over 1-D arrays of one length, into `out` -------------------------------------------------------


@kernel
def prices(
    F: Array, K: Array, vol: Array, time: Array, rate: Array, is_call: BoolArray, unit: int, unit_q: int, out: Array
) -> None:
    """`price` into out [n]."""
    for i in range(out.size):
        out[i] = price(int(F[i]), int(K[i]), int(vol[i]), int(time[i]), int(rate[i]), bool(is_call[i]), unit, unit_q)


@kernel
def all_greeks(
    F: Array, K: Array, vol: Array, time: Array, rate: Array, is_call: BoolArray, unit: int, unit_q: int, out: Array
) -> None:
    """`greeks` into the rows of out [5, n]."""
    for i in range(out.shape[1]):
        out[0, i], out[1, i], out[2, i], out[3, i], out[4, i] = greeks(
            int(F[i]), int(K[i]), int(vol[i]), int(time[i]), int(rate[i]), bool(is_call[i]), unit, unit_q
        )


@kernel
def discounts(time: Array, rate: Array, unit: int, unit_q: int, out: Array) -> None:
    """`discount` in 1e-17 into out [n]."""
    for i in range(out.size):
        out[i] = mul_round(discount(int(time[i]), int(rate[i]), unit, unit_q), 10**17, DISCOUNT_BITS)


@kernel
def tenor_scales(time: Array, tenor: int, short_1e4: int, long_1e4: int, out: Array) -> None:
    """`tenor_scale` into out [n], with one exponent up to the tenor and one beyond."""
    for i in range(out.size):
        t = int(time[i])
        out[i] = tenor_scale(t, tenor, short_1e4 if t <= tenor else long_1e4)
