"""Multi-scalar multiplication on Python integers: what the compiled one must equal, and its stand-in without a
compiler.

Points of y^2 = x^3 + 4 in Jacobian coordinates (X, Y, Z), x = X/Z^2, y = Y/Z^3; Z = 0 is infinity.
"""

from __future__ import annotations

from collections.abc import Sequence

from zkmargin.prover._kernels.base_field import P

POINT_BYTES = 96
_WINDOW = 6

Point = tuple[int, int, int]
_INFINITY: Point = (1, 1, 0)


def double(a: Point) -> Point:
    """2 a (dbl-2009-l of the Explicit-Formulas Database)."""
    x, y, z = a
    A, B = x * x % P, y * y % P
    C = B * B % P
    D = 2 * ((x + B) * (x + B) - A - C) % P
    E = 3 * A % P
    X = (E * E - 2 * D) % P
    return X, (E * (D - X) - 8 * C) % P, 2 * y * z % P


def add(a: Point, b: Point) -> Point:
    """a + b for any two points (add-1998-cmo-2, with its exceptional cases)."""
    (x1, y1, z1), (x2, y2, z2) = a, b
    if z1 == 0:
        return b
    if z2 == 0:
        return a
    s1, s2 = z1 * z1 % P, z2 * z2 % P
    U, S = x1 * s2 % P, y1 * z2 * s2 % P
    H, R = (x2 * s1 - U) % P, (y2 * z1 * s1 - S) % P
    if H == 0:
        return double(a) if R == 0 else _INFINITY
    HH = H * H % P
    HHH, V = H * HH % P, U * HH % P
    X = (R * R - HHH - 2 * V) % P
    return X, (R * (V - X) - S * HHH) % P, z1 * z2 * H % P


def msm(points: Sequence[Point], scalars: Sequence[int]) -> Point:
    """sum_i scalars_i points_i for non-negative scalars: buckets for each window, from the highest (Pippenger)."""
    bits = max((x.bit_length() for x in scalars), default=0)
    result = _INFINITY
    for shift in range(bits // _WINDOW * _WINDOW, -1, -_WINDOW):
        for _ in range(_WINDOW):
            result = double(result)
        buckets = [_INFINITY] * (1 << _WINDOW)
        for point, scalar in zip(points, scalars, strict=True):
            digit = scalar >> shift & ((1 << _WINDOW) - 1)
            if digit:
                buckets[digit] = add(buckets[digit], point)
        running = total = _INFINITY
        for bucket in reversed(buckets[1:]):
            running = add(running, bucket)
            total = add(total, running)
        result = add(result, total)
    return result


def signed_msm(points: Sequence[Point], scalars: Sequence[int]) -> Point:
    """The same for integers of either sign."""
    flipped = [(x, -y % P, z) if s < 0 else (x, y, z) for (x, y, z), s in zip(points, scalars, strict=True)]
    return msm(flipped, [abs(s) for s in scalars])


def decode(data: bytes) -> list[Point]:
    """Points of 96 bytes x || y, big-endian; zeros are infinity. No checks."""
    points = []
    for i in range(0, len(data), POINT_BYTES):
        x = int.from_bytes(data[i : i + POINT_BYTES // 2], "big")
        y = int.from_bytes(data[i + POINT_BYTES // 2 : i + POINT_BYTES], "big")
        points.append((x, y, 1) if x or y else _INFINITY)
    return points


def encode(point: Point) -> bytes:
    """The inverse of ``decode`` for one point."""
    x, y, z = point
    if z == 0:
        return bytes(POINT_BYTES)
    inverse = pow(z, -1, P)
    square = inverse * inverse % P
    half = POINT_BYTES // 2
    return (x * square % P).to_bytes(half, "big") + (y * square * inverse % P).to_bytes(half, "big")
