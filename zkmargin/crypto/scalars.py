"""Vectors over F through arkworks' scalars: the arithmetic of a verifier that reads n numbers a proof.

A product costs a fifth of what it costs on Python integers, reduction included. Like ``crypto/group.py`` this shares
nothing with the prover's kernels, and needs no compilation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import repeat
from operator import add, mul, sub

import numpy as np
import numpy.typing as npt
from py_arkworks_bls12381 import Scalar

from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import SCALAR_BYTES, inverse, r

Vector = list[Scalar]
ZERO = Scalar(0)


def scalar(x: int) -> Scalar:
    """An arkworks scalar from any integer (reduced mod r)."""
    return Scalar.from_le_bytes((x % r).to_bytes(SCALAR_BYTES, "little"))


def vector(xs: Iterable[int]) -> Vector:
    """Arkworks scalars from any integers."""
    return [scalar(x) for x in xs]


def inner(xs: Sequence[Scalar], ys: Sequence[Scalar]) -> Scalar:
    """Inner product. ValueError when the lengths differ."""
    if len(xs) != len(ys):
        raise ValueError(f"{len(xs)} and {len(ys)} scalars")
    return sum(map(mul, xs, ys), ZERO)


def lagrange_at(domain: Domain, x: int) -> Vector:
    """All L_i(x), also for x in H, without an inversion.

    L_i(x) = (1/n) sum_m (x omega^-i)^m = (1/n) prod_j (1 + (x omega^-i)^(2^j)). Factor j has period n / 2^j in i: the
    partial products are made pairwise, from those of half the period, as p + a p and p - a p.
    """
    values = [scalar(inverse(domain.n))]
    for j, omegas in enumerate(_inverse_powers(domain.n), 1):
        factor = scalar(pow(x, domain.n >> j, r))
        odd = list(map(mul, map(mul, omegas, repeat(factor)), values))
        values = [*map(add, values, odd), *map(sub, values, odd)]
    return values


def sum_of_fractions(numerators: Vector, denominators: Vector) -> Scalar:
    """sum_i numerators_i / denominators_i for 2^k fractions, by adding them in pairs: one inversion.

    Raises:
        ValueError: another number of fractions, or lengths that differ.
        ZeroDivisionError: a denominator is 0.
    """
    count = len(numerators)
    if count != len(denominators) or count < 1 or count & (count - 1):
        raise ValueError(f"{count} numerators and {len(denominators)} denominators")
    while count > 1:
        count //= 2
        left, right = denominators[:count], denominators[count:]
        numerators = list(map(add, map(mul, numerators[:count], right), map(mul, numerators[count:], left)))
        denominators = list(map(mul, left, right))
    if denominators[0].is_zero():
        raise ZeroDivisionError("0 has no inverse")
    return numerators[0] * denominators[0].inverse()


def shifted_table(beta: int, n: int) -> Vector:
    """beta + i for i = 0 .. n-1."""
    return list(map(add, repeat(scalar(beta)), _integers(n)))


def limbs(xs: Sequence[Scalar]) -> npt.NDArray[np.float64]:
    """The little-endian bytes of every element, as ``crypto.exact.bilinear`` takes them: float64 [len(xs), 32]."""
    data = b"".join([x.to_le_bytes() for x in xs])
    return np.frombuffer(data, dtype=np.uint8).reshape(len(xs), SCALAR_BYTES).astype(np.float64)


@cache
def _inverse_powers(n: int) -> list[Vector]:
    """For 2m = 2, 4, ..., n the m numbers (omega^-1)^(i n/2m), i < m."""
    domain = Domain.of(n)
    halves = [1 << j for j in range(domain.k)]
    return [vector(domain.elements[-(i * n // (2 * m))] for i in range(m)) for m in halves]


@cache
def _integers(n: int) -> Vector:
    return vector(range(n))
