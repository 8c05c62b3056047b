"""Setups whose tau is known: for tests and toy examples only. Whoever knows tau forges any proof.

Such a setup has an unknown digest, so its ``insecure`` is true, its name says so, its digest differs from every
ceremony's (no proof made under it verifies under the embedded one), and ``load`` refuses it unless told otherwise.
"""

from __future__ import annotations

from py_arkworks_bls12381 import G1Point, G2Point

from zkmargin.crypto.field import r
from zkmargin.crypto.scalars import scalar
from zkmargin.crypto.srs import MAX_POWERS, SRS


def insecure_from_tau(tau: int, powers: int) -> SRS:
    """The setup of a tau that is no secret: ``[tau^i]_1`` for i < powers, ``[1]_2, [tau]_2``.

    Args:
        tau: 2 <= tau < r.
        powers: 2 <= powers <= 32768.

    Raises:
        ValueError: an argument out of range.
    """
    if not 2 <= tau < r:
        raise ValueError("tau must be in 2..r-1")
    if not 2 <= powers <= MAX_POWERS:
        raise ValueError(f"a setup has 2 to {MAX_POWERS} powers")
    factor = scalar(tau)
    g1 = [G1Point()]
    for _ in range(powers - 1):
        g1.append(g1[-1] * factor)
    return SRS.from_points(g1, [G2Point(), G2Point() * factor])
