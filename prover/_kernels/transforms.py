"""Number-theoretic transforms between coefficients and values on H = <w>, w = 7^((r-1)/n), or on a coset s H.

For n = 8 m, Cooley and Tukey's split into eight subsequences of stride 8 suits eight lanes: every lane transforms its
own subsequence (no lane ever talks to another), and the last three layers run between transposed blocks:

    X_(k + m s) = sum_(l<8) w_8^(l s) w^(l k) Y_(l,k),    Y_(l,k) = sum_b x_(8b+l) w^(8 b k)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import inverse, powers, r
from zkmargin.prover._kernels import compiled
from zkmargin.prover._kernels.butterflies import transform
from zkmargin.prover._kernels.kept import JIT_ENABLED
from zkmargin.prover._kernels.lowering import LANES
from zkmargin.prover._kernels.scalar_field import mul, pad, splat
from zkmargin.prover._kernels.scalar_field import powers as power_vector
from zkmargin.prover._kernels.vectors import (
    Blocks,
    FieldVector,
    R,
    check_scalar,
    check_vector,
    empty_blocks,
    from_ints,
    to_blocks,
    to_ints,
)

#: Below this a transform in Python integers is as fast as setting up the lanes.
SMALLEST = LANES * LANES
LARGEST = 1 << 20


def ntt(coefficients: FieldVector) -> FieldVector:
    """Values at 1, w, w^2, ... of the polynomial with these n coefficients, n a power of two (ValueError otherwise)."""
    n = _checked_size(coefficients)
    if n < SMALLEST or not JIT_ENABLED:
        return from_ints(Domain.of(n).ntt(to_ints(coefficients)))
    return _transform(coefficients, _Tables.of(n, False))


def intt(values: FieldVector) -> FieldVector:
    """The inverse of ``ntt``."""
    n = _checked_size(values)
    if n < SMALLEST or not JIT_ENABLED:
        return from_ints(Domain.of(n).intt(to_ints(values)))
    return _transform(values, _Tables.of(n, True))


def coset_ntt(coefficients: FieldVector, size: int, shift: int) -> FieldVector:
    """Values at shift w^i, i < size, of a polynomial of at most ``size`` coefficients. ValueError if there are more."""
    check_vector(coefficients)
    scaled = mul(coefficients, power_vector(check_scalar(shift), len(coefficients)))
    return ntt(pad(scaled, size))


def coset_intt(values: FieldVector, shift: int) -> FieldVector:
    """The inverse of ``coset_ntt``: all ``size`` coefficients. ZeroDivisionError for shift 0."""
    coefficients = intt(values)
    return mul(coefficients, power_vector(inverse(check_scalar(shift)), len(coefficients)))


@dataclass(frozen=True, slots=True)
class _Tables:
    """Constants of one transform; see ``butterflies.transform``."""

    reversal: npt.NDArray[np.int64]
    roots: Blocks
    twist: Blocks
    eighth_roots: Blocks

    @staticmethod
    @lru_cache(maxsize=16)
    def of(n: int, inverted: bool) -> _Tables:
        m = n // LANES
        w = inverse(Domain.of(n).omega) if inverted else Domain.of(n).omega
        reversal = np.zeros(m, dtype=np.int64)
        for bit in range(m.bit_length() - 1):
            reversal |= (np.arange(m) >> bit & 1) << (m.bit_length() - 2 - bit)
        lane_roots = to_blocks([x * R % r for x in powers(w, LANES)])
        roots, twist = empty_blocks(m // 2), empty_blocks(m)
        compiled.geometric(roots, splat(1), splat(pow(w, LANES, r)))
        compiled.geometric(twist, splat(inverse(n) if inverted else 1), lane_roots)
        eighth_roots = np.concatenate([splat(pow(w, m * i, r)) for i in range(4)])
        return _Tables(reversal, roots, twist, eighth_roots)


def _transform(vector: FieldVector, tables: _Tables) -> FieldVector:
    out, work = empty_blocks(len(vector.memory)), empty_blocks(len(vector.memory))
    transform(out, work, vector.memory, tables.reversal, tables.roots, tables.twist, tables.eighth_roots)
    return FieldVector(out, len(vector))


def _checked_size(vector: FieldVector) -> int:
    check_vector(vector)
    n = len(vector)
    if n < 1 or n & (n - 1) or n > LARGEST:
        raise ValueError(f"a transform has 2^k elements, at most {LARGEST}: not {n}")
    return n
