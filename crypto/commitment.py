"""Hiding KZG commitments in the Lagrange basis (docs/protocol.md section 2).

    C = sum_i q_i [L_i(tau)]_1 + r [Z_H(tau)]_1 = [q(tau) + r Z_H(tau)]_1

Perfectly hiding in r, additively homomorphic in (q, r), bound to the domain it was made over.
"""

from __future__ import annotations

from collections.abc import Sequence

from py_arkworks_bls12381 import G1Point

from crypto.domain import Domain
from crypto.field import r
from crypto.group import msm
from crypto.srs import SRS


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
    return msm(srs.g1_powers(len(coefficients)), coefficients)
