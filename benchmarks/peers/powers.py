"""A setup over BN254 in the files that bb reads, of a tau that everybody knows: no package holds the ceremony's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from py_ecc.optimized_bn128 import optimized_curve as curve

if TYPE_CHECKING:
    from pathlib import Path

P = 21888242871839275222246405745257275088696311157297823662689037894645226208583


def toy_setup(folder: Path, count: int) -> tuple[int, int, int, int]:
    """The first powers of tau = 2, UNSAFE for anything but measuring; returns tau over G2 as (x1, x0, y1, y0)."""
    x, y, points = 1, 2, bytearray()
    for _ in range(count):
        points += x.to_bytes(32, "big") + y.to_bytes(32, "big")
        slope = 3 * x * x * pow(2 * y, -1, P) % P
        x, y = (slope * slope - 2 * x) % P, (slope * (x - (slope * slope - 2 * x)) - y) % P
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bn254_g1.dat").write_bytes(points)
    X, Y = curve.normalize(curve.double(curve.G2))
    x0, x1, y0, y1 = (int(c) for c in (*X.coeffs, *Y.coeffs))
    (folder / "bn254_g2.dat").write_bytes(b"".join(c.to_bytes(32, "big") for c in (x0, x1, y0, y1)))
    return x1, x0, y1, y0
