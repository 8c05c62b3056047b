"""Inversion in the base field: Bernstein and Yang's division steps (https://gcd.cr.yp.to), thirty at a time.

The half-gcd on the lowest 30 bits gives a 2 x 2 integer matrix t with 2^30 (f', g') = t (f, g); the same matrix updates
d, e, which keep d = f / x and e = g / x mod p, so that f = +-1 at the end leaves d = +-1/x. Integers are 13 signed
limbs of 30 bits in int64, so nothing overflows. (The arrangement is that of libsecp256k1's modinv32.)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zkmargin.prover._kernels.ahead import part
from zkmargin.prover._kernels.base_field import FIELD, LIMBS, P
from zkmargin.prover._kernels.lowering import LANES, LIMB_BITS
from zkmargin.prover._kernels.vectors import Blocks, to_blocks

_BITS = 30
_COUNT = 13
_MASK = (1 << _BITS) - 1
_P = np.array([P >> (_BITS * i) & _MASK for i in range(_COUNT)], dtype=np.int64)
_P_INVERSE = pow(P, -1, 1 << _BITS)
_R_CUBED = to_blocks([pow(FIELD.R, 3, P)] * LANES, LIMBS)
_mul, _copy = FIELD.mul, FIELD.copy

Digits = npt.NDArray[np.int64]


@part
def _division_steps(delta: int, f: int, g: int) -> tuple[int, int, int, int, int]:
    """Thirty steps on the low 30 bits of f (odd) and g: the new delta (minus eta) and the matrix u, v, q, r."""
    u, v, q, r = 1, 0, 0, 1
    remaining = _BITS
    while True:
        while remaining > 0 and g & 1 == 0:
            g >>= 1
            u <<= 1
            v <<= 1
            delta += 1
            remaining -= 1
        if remaining == 0:
            return delta, u, v, q, r
        if delta > 0:
            delta = -delta
            f, g, u, q, v, r = g, -f, q, -u, r, -v
        # Add the multiple of f that clears as many low bits of g as the number of steps before the next swap allows.
        allowed = min(1 - delta, remaining, 4)
        w = f + (((f + 1) & 4) << 1)  # 1/f mod 16
        w = (-w * g) & ((1 << allowed) - 1)
        g += f * w
        q += u * w
        r += v * w


@part
def _update(d: Digits, e: Digits, f: Digits, g: Digits, u: int, v: int, q: int, r: int) -> None:
    """Apply the matrix to (f, g) exactly and to (d, e) mod p, both divided by 2^30."""
    d_sign, e_sign = d[_COUNT - 1] >> 63, e[_COUNT - 1] >> 63
    md, me = (u & d_sign) + (v & e_sign), (q & d_sign) + (r & e_sign)
    cd, ce = u * d[0] + v * e[0], q * d[0] + r * e[0]
    md -= (_P_INVERSE * (cd & _MASK) + md) & _MASK
    me -= (_P_INVERSE * (ce & _MASK) + me) & _MASK
    cd = (cd + _P[0] * md) >> _BITS
    ce = (ce + _P[0] * me) >> _BITS
    cf = (u * f[0] + v * g[0]) >> _BITS
    cg = (q * f[0] + r * g[0]) >> _BITS
    for i in range(1, _COUNT):
        cd += u * d[i] + v * e[i] + _P[i] * md
        ce += q * d[i] + r * e[i] + _P[i] * me
        cf += u * f[i] + v * g[i]
        cg += q * f[i] + r * g[i]
        d[i - 1], e[i - 1], f[i - 1], g[i - 1] = cd & _MASK, ce & _MASK, cf & _MASK, cg & _MASK
        cd >>= _BITS
        ce >>= _BITS
        cf >>= _BITS
        cg >>= _BITS
    d[_COUNT - 1], e[_COUNT - 1], f[_COUNT - 1], g[_COUNT - 1] = cd, ce, cf, cg


@part
def invert(x: Digits) -> None:
    """x becomes 1/x mod p, for 0 < x < p."""
    d, e = np.zeros(_COUNT, np.int64), np.zeros(_COUNT, np.int64)
    f, g = np.empty(_COUNT, np.int64), np.empty(_COUNT, np.int64)
    for i in range(_COUNT):
        f[i], g[i] = _P[i], x[i]
    e[0] = 1
    delta, rest = 1, 1
    while rest != 0:
        delta, u, v, q, r = _division_steps(delta, f[0], g[0])
        _update(d, e, f, g, u, v, q, r)
        rest = 0
        for i in range(_COUNT):
            rest |= g[i]
    # d is in (-2 p, p): add p if negative, change sign with f, add p if negative again, carry by carry.
    for change in range(2):
        addend = 1 if d[_COUNT - 1] < 0 else 0
        sign = -1 if change == 0 and f[_COUNT - 1] < 0 else 1
        carry = 0
        for i in range(_COUNT):
            carry += sign * (d[i] + addend * _P[i])
            d[i] = carry & _MASK if i < _COUNT - 1 else carry
            carry >>= _BITS
    addend = 1 if d[_COUNT - 1] < 0 else 0
    carry = 0
    for i in range(_COUNT):
        carry += d[i] + addend * _P[i]
        x[i] = carry & _MASK
        carry >>= _BITS


@part
def invert_lanes(block: Blocks) -> None:
    """``block[0]``: each of its eight nonzero elements replaced by its inverse, for one inversion."""
    # Three products with rotated lanes multiply all eight; undoing them one by one splits the inverse again.
    partial = np.empty((4, LIMBS, LANES), np.uint64)
    other = np.empty((4, LIMBS, LANES), np.uint64)
    _copy(partial, 0, block, 0)
    for level in range(3):
        _rotate(other, partial, level)
        _mul(partial, level + 1, partial, level, other, level)
    x = np.zeros(_COUNT, np.int64)
    for i in range(_COUNT):  # 52-bit limbs of lane 0 to 30-bit limbs
        word, shift = _BITS * i // LIMB_BITS, _BITS * i % LIMB_BITS
        low = np.int64(partial[3, word, 0]) >> shift
        if shift > LIMB_BITS - _BITS and word + 1 < LIMBS:
            low |= np.int64(partial[3, word + 1, 0]) << (LIMB_BITS - shift)
        x[i] = low & _MASK
    invert(x)
    for word in range(LIMBS):
        limb = np.int64(0)
        for i in range(_COUNT):
            shift = _BITS * i - LIMB_BITS * word
            if 0 <= shift < LIMB_BITS:
                limb |= x[i] << shift
            elif -_BITS < shift < 0:
                limb |= x[i] >> -shift
        for lane in range(LANES):
            block[0, word, lane] = limb & ((1 << LIMB_BITS) - 1)
    _mul(block, 0, block, 0, _R_CUBED, 0)  # from 1/(x R) to R/x
    for level in range(2, -1, -1):
        _mul(block, 0, block, 0, other, level)


@part
def _rotate(out: Blocks, a: Blocks, level: int) -> None:
    for j in range(LIMBS):
        for lane in range(LANES):
            out[level, j, lane] = a[level, j, lane ^ (4 >> level)]
