"""Is it a structured reference string at all? Every check that points alone can answer.

The powers are consistent when ``e(P_{i+1}, [1]_2) = e(P_i, [tau]_2)`` for every i; one random linear combination
with 128-bit weights of the operating system checks them together, wrong with probability at most 2^-128
(Bellare, Garay, Rabin, "Fast batch verification", 1998). That test is sound only within the subgroup of order r, so
each point is checked for that first, one by one.

What no check here can tell: whether somebody knows tau. Only the digest of a ceremony's outcome can
(``crypto.srs.KNOWN``).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from py_arkworks_bls12381 import G1Point, G2Point

from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import batch_inverse, powers, random_scalar
from zkmargin.crypto.group import msm, pairing_product_is_one
from zkmargin.crypto.scalars import scalar
from zkmargin.crypto.srs import G1_BYTES, G2_BYTES, SRS
from zkmargin.formats import SetupError

Point = TypeVar("Point", G1Point, G2Point)
Progress = Callable[[str], None]


@dataclass(frozen=True)
class SetupReport:
    """What was found about a setup that passed: its facts and the checks made, in order."""

    name: str
    digest: bytes
    powers: int
    insecure: bool
    checks: tuple[str, ...]


def verify_srs(srs: SRS, *, progress: Progress | None = None) -> SetupReport:
    """Check every point of a setup anew, and that they are the powers of one tau.

    Args:
        srs: the setup; only its bytes are believed.
        progress: called with each check's name as it begins.

    Returns:
        The report; ``insecure`` there says whether the digest belongs to no known ceremony.

    Raises:
        SetupError: names the first point or property that is wrong.
    """
    checks: list[str] = []

    def begin(check: str) -> None:
        checks.append(check)
        if progress:
            progress(check)

    begin("every point is canonical, on the curve, in the subgroup and not infinity")
    g1_bytes, g2_bytes = bytes(srs.g1_bytes), bytes(srs.g2_bytes)
    g1 = [
        strict_point(
            G1Point.from_xy_bytes_unchecked_be,
            G1Point.to_xy_bytes_be,
            g1_bytes[i * G1_BYTES : (i + 1) * G1_BYTES],
            f"G1 power {i}",
        )
        for i in range(srs.powers)
    ]
    g2 = [
        strict_point(
            G2Point.from_xy_bytes_unchecked_be,
            G2Point.to_xy_bytes_be,
            g2_bytes[i * G2_BYTES : (i + 1) * G2_BYTES],
            f"G2 power {i}",
        )
        for i in range(2)
    ]
    begin("the powers of degree 0 are the standard generators")
    if g1[0] != G1Point() or g2[0] != G2Point():
        raise SetupError("the power 0 is not the generator")
    begin("tau is not 0 or 1, and no two powers are equal")
    _check_distinct([g1_bytes[i : i + G1_BYTES] for i in range(0, len(g1_bytes), G1_BYTES)])
    if g2[0] == g2[1]:
        raise SetupError("tau is 1: [tau]_2 = [1]_2")
    begin("consecutive G1 powers differ by the factor tau")
    check_g1_powers(g1, g2)
    return SetupReport(srs.name, srs.digest, srs.powers, srs.insecure, tuple(checks))


def strict_point(decode: Callable[[bytes], Point], encode: Callable[[Point], bytes], data: bytes, where: str) -> Point:
    """Decode a point that is its own canonical encoding, on the curve, in the subgroup, not infinity.

    Raises:
        SetupError: with ``where`` and what is wrong.
    """
    try:
        point = decode(data)
    except ValueError:
        raise SetupError(f"{where}: not the encoding of a point on the curve") from None
    if point == type(point).identity():
        raise SetupError(f"{where}: the point at infinity")
    # The library reads some encodings leniently; the one it writes is the canonical one.
    if encode(point) != data:
        raise SetupError(f"{where}: not the canonical encoding of the point")
    if not point.is_in_subgroup():
        raise SetupError(f"{where}: not in the subgroup of order r")
    return point


def check_g1_powers(g1: Sequence[G1Point], g2: Sequence[G2Point]) -> None:
    """``P_{i+1} = tau P_i`` for all i, where g2 = ([1]_2, [tau]_2, ...). All points in the subgroup.

    Raises:
        SetupError: some G1 power is not tau times the one before.
    """
    weights = _weights(len(g1) - 1)
    low, high = msm(g1[:-1], weights), msm(g1[1:], weights)
    if not pairing_product_is_one([(high, g2[0]), (-low, g2[1])]):
        raise SetupError("the G1 points are not consecutive powers of the tau in [tau]_2")


def check_g2_powers(g1: Sequence[G1Point], g2: Sequence[G2Point]) -> None:
    """``Q_{i+1} = tau Q_i`` for all i, where g1 = ([1]_1, [tau]_1, ...). All points in the subgroup.

    Raises:
        SetupError: some G2 power is not tau times the one before.
    """
    weights = [scalar(x) for x in _weights(len(g2) - 1)]
    low = G2Point.multiexp_unchecked(list(g2[:-1]), weights)
    high = G2Point.multiexp_unchecked(list(g2[1:]), weights)
    if not pairing_product_is_one([(g1[0], high), (-g1[1], low)]):
        raise SetupError("the G2 points are not consecutive powers of the tau in [tau]_1")


def check_lagrange(g1: Sequence[G1Point], lagrange: Sequence[G1Point]) -> None:
    """``lagrange[i] = [L_i(tau)]_1`` over ``Domain.of(n)`` in its natural order.

    For f = sum_j (s X)^j with a random s, both bases must commit f to the same point: as a polynomial in s of
    degree n - 1 their difference vanishes at a random s only if it is zero, up to n / r. On the domain
    f(w^i) = (s^n - 1) / (s w^i - 1), since w^(i n) = 1.

    Args:
        g1: n powers of tau, n a power of two up to 2^32. All points in the subgroup.
        lagrange: n points.

    Raises:
        SetupError: they are not the Lagrange basis of these powers.
    """
    n = len(g1)
    if n.bit_count() != 1 or len(lagrange) != n:
        raise SetupError(f"{len(lagrange)} Lagrange points for {n} powers: both must be the same power of two")
    domain, s = Domain.of(n), random_scalar()
    # s w^i = 1 would need s to be a root of unity: n chances in r.
    inverses = batch_inverse([s * w - 1 for w in domain.elements])
    scale = domain.vanishing_at(s)
    if msm(lagrange, [scale * d for d in inverses]) != msm(g1, powers(s, n)):
        raise SetupError("the Lagrange points do not belong to these powers of tau")


def _check_distinct(encodings: Sequence[bytes]) -> None:
    first: dict[bytes, int] = {}
    for i, encoding in enumerate(encodings):
        j = first.setdefault(encoding, i)
        if j != i:
            raise SetupError(f"the G1 powers {j} and {i} are equal")


def _weights(count: int) -> list[int]:
    return [secrets.randbits(128) for _ in range(count)]
