"""Hiding KZG commitments in the Lagrange basis (docs/protocol.md section 2).

    C = sum_i q_i [L_i(tau)]_1 + r [Z_H(tau)]_1 = [q(tau) + r Z_H(tau)]_1

Perfectly hiding in r, additively homomorphic in (q, r), bound to the domain it was made over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

from py_arkworks_bls12381 import G1Point

from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import inverse, powers, r
from zkmargin.crypto.group import add_all, msm_many
from zkmargin.crypto.scalars import scalar
from zkmargin.crypto.srs import G1_BYTES, SRS
from zkmargin.formats.kept import keep, load_kept

#: Added to every value of a column of 64-bit integers: none is 0 then, and all have 64 bits, whatever the book holds.
_SHIFT = 1 << 63


def blind(coefficients: Sequence[int], blinders: Sequence[int], n: int) -> list[int]:
    """p(X) + (b_0 + b_1 X + ...) Z_H(X) for p of at most n coefficients: n + len(blinders) of them."""
    result = [*coefficients, *[0] * (n - len(coefficients) + len(blinders))]
    for j, b in enumerate(blinders):
        result[j] = (result[j] - b) % r
        result[n + j] = (result[n + j] + b) % r
    return result


def commit_values(srs: SRS, domain: Domain, values: Sequence[int], blinder: int) -> G1Point:
    """C for n values on the domain (any integers, reduced mod r) and one blinder.

    Raises:
        ValueError: not n values, or the SRS has fewer than n + 1 powers.
    """
    if len(values) == domain.n < srs.powers and all(-_SHIFT < v < _SHIFT for v in values):
        try:
            return _commit_shifted(srs, domain.n, values, blinder)
        except LookupError:  # nobody on this machine has made the basis
            pass
    return commit_coefficients(srs, blind(domain.intt([x % r for x in values]), [blinder], domain.n))


def _commit_shifted(srs: SRS, n: int, values: Sequence[int], blinder: int) -> G1Point:
    """C = sum_i (q_i + s) [L_i(tau)]_1 - s [1]_1 + r [Z_H(tau)]_1, since the basis adds up to 1.

    Scalars of 64 bits are a third of the work of full width. Raises LookupError without a kept basis.
    """
    basis, s, Z = _kept_basis(srs, n)
    return msm_many([(basis, [v + _SHIFT for v in values])])[0] - s + Z * scalar(blinder)


@lru_cache(maxsize=4)
def _kept_basis(srs: SRS, n: int) -> tuple[list[G1Point], G1Point, G1Point]:
    """The kept points of the Lagrange basis, s [1]_1 and [Z_H(tau)]_1. Raises LookupError where none are kept."""
    data = load_kept(_basis_key(srs, n), n * G1_BYTES)
    if data is None:
        raise LookupError(n)
    points = [G1Point.from_xy_bytes_unchecked_be(bytes(data[i : i + G1_BYTES])) for i in range(0, len(data), G1_BYTES)]
    if add_all(points) != srs.g1(0):
        raise LookupError(n)
    return points, srs.g1(0) * scalar(_SHIFT), srs.g1(n) - srs.g1(0)


def kept_lagrange_basis(srs: SRS, domain: Domain) -> bytes:
    """The points of ``lagrange_basis``, 96 bytes x || y each: from disk, else derived, in about a second, and kept."""
    key = _basis_key(srs, domain.n)
    kept = load_kept(key, domain.n * G1_BYTES)
    if kept is not None:
        return bytes(kept)
    points = b"".join(bytes(point.to_xy_bytes_be()) for point in lagrange_basis(srs, domain))
    keep(key, points)
    return points


def _basis_key(srs: SRS, n: int) -> bytes:
    return hashlib.sha256(b"points of the Lagrange basis, %d of " % n + srs.digest).digest()


def commit_coefficients(srs: SRS, coefficients: Sequence[int]) -> G1Point:
    """[p(tau)]_1 for a polynomial in the monomial basis. ValueError when its degree exceeds the SRS."""
    if len(coefficients) > srs.powers:
        raise ValueError(f"a polynomial of {len(coefficients)} coefficients and an SRS of {srs.powers} powers")
    return msm_many([(srs.g1_powers(len(coefficients)), coefficients)])[0]


def lagrange_basis(srs: SRS, domain: Domain) -> list[G1Point]:
    """[L_i(tau)]_1 for i = 0..n-1: the inverse transform of the powers, on points instead of scalars.

    With these, C = sum_i v_i [L_i(tau)]_1 without any transform of the values (aSVC, ePrint 2020/527).
    """
    return lagrange_points(srs.g1_powers(domain.n), domain)


def lagrange_points(points: Sequence[G1Point], domain: Domain) -> list[G1Point]:
    """The inverse transform of n points: [L_i(s)]_1 from [s^j]_1, [c L_i(s)]_1 from [c s^j]_1. ValueError otherwise."""
    if len(points) != domain.n:
        raise ValueError(f"{len(points)} points over a domain of {domain.n}")
    order = sorted(range(domain.n), key=lambda i: int(f"{i:0{domain.k}b}"[::-1], 2)) if domain.k else [0]
    points = [points[i] for i in order]
    half = 1
    while half < domain.n:
        twiddles = [scalar(w) for w in powers(pow(domain.omega, -domain.n // (2 * half), r), half)]
        for start in range(0, domain.n, 2 * half):
            for j in range(half):
                u, v = points[start + j], points[start + j + half] * twiddles[j]
                points[start + j], points[start + j + half] = u + v, u - v
        half *= 2
    share = scalar(inverse(domain.n))
    return [point * share for point in points]
