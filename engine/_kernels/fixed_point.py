"""ln, exp, square root, normal distribution: 64-bit fixed point, 128-bit products, no float anywhere.

Qn is an int64 that counts 2^-n. The formats: logarithms Q57, arguments of the normal distribution Q56,
probabilities, densities and mantissas Q62. A mantissa m with an exponent k stands for (m / 2^62) 2^k.

Worst errors measured against 40 to 60 digits (targets, asserted by tests/test_fixed_point.py, in parentheses):
ln 4.3e-18 (1e-17), exp 1.4e-18 of itself (1e-17), inverse square root 1.5e-18 (5e-18), normal CDF and
density 2.5e-19 (2e-18) at exact arguments.

Every constant below comes from exact integer series at import, so none can be mistyped.
Method: W. J. Cody and W. Waite, Software Manual for the Elementary Functions (1980), for the reductions;
Taylor pieces of the normal distribution by Hermite polynomials (Abramowitz and Stegun 26.2.31).
"""

from math import factorial, isqrt

import numpy as np
import numpy.typing as npt

from zkmargin.engine._kernels import kernel
from zkmargin.engine._kernels.int128 import INT64_MAX, leading_zeros, mul_round, mul_shift

LOG_BITS = 57
ARGUMENT_BITS = 56
UNIT_BITS = 62
ONE = 1 << UNIT_BITS

# --- constants: Python integers of _GUARD fractional bits, rounded once to their format -------------------

_GUARD = 192


def _round_to(value: int, bits: int) -> int:
    """A number of _GUARD fractional bits rounded to `bits`."""
    return (value + (1 << (_GUARD - bits - 1))) >> (_GUARD - bits)


def _atanh_inverse(n: int) -> int:
    """atanh(1 / n)."""
    total, power, k = 0, (1 << _GUARD) // n, 1
    while power:
        total, power, k = total + power // k, power // (n * n), k + 2
    return total


def _atan_inverse(n: int) -> int:
    """atan(1 / n)."""
    total, power, k = 0, (1 << _GUARD) // n, 1
    while power:
        total, power, k = total + (power // k if k % 4 == 1 else -(power // k)), power // (n * n), k + 2
    return total


def _exp_minus(numerator: int, denominator: int) -> int:
    """exp(-numerator / denominator) as 1 / exp of the positive series."""
    total, term, k = 0, 1 << _GUARD, 0
    while term:
        k += 1
        total, term = total + term, term * numerator // (denominator * k)
    return (1 << 2 * _GUARD) // total


_LN2 = 2 * _atanh_inverse(3)
_PI = 16 * _atan_inverse(5) - 4 * _atan_inverse(239)  # Machin
_DENSITY_AT_0 = isqrt((1 << 3 * _GUARD) // (2 * _PI))

_LN2_HIGH = _LN2 >> (_GUARD - LOG_BITS)
_LN2_LOW = _round_to(_LN2, 64) - (_LN2_HIGH << 7)  # the seven bits below _LN2_HIGH
_INVERSE_LN2 = _round_to((1 << 2 * _GUARD) // _LN2, UNIT_BITS)
_SQRT2 = isqrt(2 << 2 * UNIT_BITS)

_ATANH = np.array([ONE // (2 * k + 1) for k in range(13, -1, -1)], dtype=np.int64)
_EXP = np.array([ONE // factorial(k) for k in range(16, -1, -1)], dtype=np.int64)
# 1 / sqrt at the middle of 192 equal steps of [1/4, 1), Q61: the first 8 bits for Newton
_RSQRT = np.array([isqrt((1 << 131) // (2 * i + 1)) for i in range(64, 256)], dtype=np.int64)

PIECES = 76  # of width 1/8: beyond 9.5 tail and density are below 2^-62
_DEGREE = 11


def _normal_pieces() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Taylor coefficients, highest first, of Phi(-z) and phi(z) in tau = 8 (z - centre), Q63.

    The centre of piece j is (2 j + 1) / 16.
    """
    tail, density = (np.empty((PIECES, _DEGREE + 1), dtype=np.int64) for _ in range(2))
    for j in range(PIECES):
        c = 2 * j + 1  # sixteenths
        at_centre = _DENSITY_AT_0 * _exp_minus(c * c, 512) >> _GUARD
        # Phi(c) - 1/2 = phi(c) (c + c^3 / 3 + c^5 / (3 5) + ...)
        total, term, k = 0, at_centre * c >> 4, 1
        while term:
            k += 2
            total, term = total + term, term * c * c // (256 * k)
        value, before, hermite = (1 << (_GUARD - 1)) - total, 0, at_centre
        for k in range(_DEGREE + 1):
            # value / 8^k is the k-th coefficient of the tail; hermite = He_k(c) phi(c), sign (-1)^k apart
            sign = -1 if k % 2 else 1
            tail[j, _DEGREE - k] = _round_to(value >> 3 * k, 63)
            density[j, _DEGREE - k] = _round_to(sign * hermite // factorial(k) >> 3 * k, 63)
            value = -sign * hermite // factorial(k + 1)
            before, hermite = hermite, (c * hermite >> 4) - k * before
    return tail, density


_TAIL, _DENSITY = _normal_pieces()

# --- kernels -----------------------------------------------------------------------------------------------


@kernel
def reciprocal(d: int) -> int:
    """2^124 / d for 2^62 <= d < 2^63, within 4 units."""
    r = INT64_MAX // (d >> 31) << 30  # 30 bits by the machine's own division, then Newton twice
    r += mul_shift(r, ONE - mul_shift(d, r, 62), 62)
    return r + mul_shift(r, ONE - mul_shift(d, r, 62), 62)


@kernel
def inverse_sqrt(w: int) -> int:
    """1 / sqrt(w / 2^62) in Q61 for 2^60 <= w < 2^62, within 6 units; mul_shift(w, it, 61) is the root in Q62."""
    y = int(_RSQRT[(w >> 54) - 64])
    for _ in range(3):
        y += mul_shift(y, ONE - mul_shift(mul_shift(w, y, 61), y, 61), 63)
    return y


@kernel
def ln_ratio(a: int, b: int) -> int:
    """ln(a / b) in Q57 of positive int64 a and b; 0 exactly for a = b."""
    shift_a, shift_b = leading_zeros(a) - 1, leading_zeros(b) - 1
    f, g, exponent = a << shift_a, b << shift_b, shift_b - shift_a
    # halve the larger where that brings f / g into [1/sqrt 2, sqrt 2]
    if f >> 1 > mul_shift(g, _SQRT2, 63):
        f, exponent = f >> 1, exponent + 1
    elif g >> 1 > mul_shift(f, _SQRT2, 63):
        g, exponent = g >> 1, exponent - 1
    mean = (f >> 1) + (g >> 1)
    shift = leading_zeros(mean) - 1
    # u = (f - g) / (f + g) in Q64, |u| < 0.172, and ln(f / g) = 2 atanh(u)
    u = mul_shift((f - g) << shift, reciprocal(mean << shift), 61)
    square = mul_shift(u, u, 64)
    series = 0
    for coefficient in _ATANH:
        series = int(coefficient) + mul_shift(square, series, 64)
    return exponent * _LN2_HIGH + ((exponent * _LN2_LOW + mul_shift(u, series, 61) + 64) >> 7)


@kernel
def exp_parts(x: int) -> tuple[int, int]:
    """exp(x) for x in Q57, |x| <= 63 * 2^57, as (m, k): m in Q62 between 0.7 and 1.42, exp(x) = m 2^k."""
    k = (mul_shift(x, _INVERSE_LN2, LOG_BITS + UNIT_BITS - 1) + 1) >> 1
    f = ((x - k * _LN2_HIGH) << 7) - k * _LN2_LOW  # Q64, at most ln(2) / 2
    m = 0
    for coefficient in _EXP:
        m = int(coefficient) + mul_shift(f, m, 64)
    return m, k


@kernel
def _piece(table: npt.NDArray[np.int64], z: int) -> int:
    """A normal table at 0 <= z in Q56, in Q62."""
    j = z >> (ARGUMENT_BITS - 3)
    if j >= PIECES:
        return 0
    tau = ((z & ((1 << 53) - 1)) - (1 << 52)) << 11  # Q64: the piece is [-1/2, 1/2)
    value = int(table[j, 0])
    for k in range(1, _DEGREE):
        value = int(table[j, k]) + mul_shift(tau, value, 64)
    return max((int(table[j, _DEGREE]) + mul_round(tau, value, 64) + 1) >> 1, 0)


@kernel
def normal_cdf(z: int) -> int:
    """Phi(z) in Q62 for z in Q56; Phi(z) + Phi(-z) = 1 exactly."""
    tail = _piece(_TAIL, abs(z))
    return tail if z < 0 else ONE - tail


@kernel
def normal_pdf(z: int) -> int:
    """phi(z) in Q62 for z in Q56."""
    return _piece(_DENSITY, abs(z))
