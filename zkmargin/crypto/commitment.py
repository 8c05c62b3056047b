"""Hiding KZG commitments in the Lagrange basis (docs/protocol.md section 2).

    C = sum_i q_i [L_i(tau)]_1 + r [Z_H(tau)]_1 = [q(tau) + r Z_H(tau)]_1

Perfectly hiding in r, additively homomorphic in (q, r), bound to the domain it was made over.
"""

from __future__ import annotations

from collections.abc import Sequence

from py_arkworks_bls12381 import G1Point

from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import inverse, powers, r
from zkmargin.crypto.group import msm_many
from zkmargin.crypto.scalars import scalar
from zkmargin.crypto.srs import SRS


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
    coefficients = blind(domain.intt([x % r for x in values]), [blinder], domain.n)
    return commit_coefficients(srs, coefficients)


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
