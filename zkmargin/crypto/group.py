"""The groups of BLS12-381 through arkworks (py_arkworks_bls12381): decoding, MSM, pairing check.

Points travel as 48-byte (G1) and 96-byte (G2) zcash-compressed encodings. Decoding is strict: exact length, canonical
coordinates, on the curve, in the prime-order subgroup, and encoding again must give the same bytes (arkworks
alone accepts infinity with stray bits). This is the verifier's arithmetic and shares nothing with the
prover's kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from py_arkworks_bls12381 import GT, G1Point, G2Point

from zkmargin.crypto.scalars import vector

G1_BYTES = 48
G2_BYTES = 96
G1_INFINITY = b"\xc0" + bytes(G1_BYTES - 1)
G2_INFINITY = b"\xc0" + bytes(G2_BYTES - 1)


def decode_g1(data: bytes) -> G1Point:
    """The point of a 48-byte encoding; infinity is refused everywhere in this protocol.

    Raises:
        ValueError: with the reason.
    """
    if len(data) != G1_BYTES:
        raise ValueError(f"a G1 point has {G1_BYTES} bytes, not {len(data)}")
    if not data[0] & 0x80:
        raise ValueError("a G1 point without the compression flag")
    if data[0] & 0x40:
        raise ValueError("the point at infinity")
    try:
        point = G1Point.from_compressed_bytes(data)
    except ValueError:
        raise ValueError("not the encoding of a point of the prime-order subgroup of G1") from None
    if bytes(point.to_compressed_bytes()) != data:
        raise ValueError("a non-canonical encoding of a G1 point")
    return point


def encode_g1(point: G1Point) -> bytes:
    """48 bytes, zcash-compressed."""
    return bytes(point.to_compressed_bytes())


def decode_g2(data: bytes) -> G2Point:
    """The point of a 96-byte encoding (x.c1 before x.c0); infinity is refused, as by ``decode_g1``.

    Raises:
        ValueError: with the reason.
    """
    if len(data) != G2_BYTES:
        raise ValueError(f"a G2 point has {G2_BYTES} bytes, not {len(data)}")
    if not data[0] & 0x80:
        raise ValueError("a G2 point without the compression flag")
    if data[0] & 0x40:
        raise ValueError("the point at infinity")
    try:
        point = G2Point.from_compressed_bytes(data)
    except ValueError:
        raise ValueError("not the encoding of a point of the prime-order subgroup of G2") from None
    if bytes(point.to_compressed_bytes()) != data:
        raise ValueError("a non-canonical encoding of a G2 point")
    return point


def encode_g2(point: G2Point) -> bytes:
    """96 bytes, zcash-compressed."""
    return bytes(point.to_compressed_bytes())


def msm(points: Sequence[G1Point], scalars: Sequence[int]) -> G1Point:
    """sum_i scalars_i * points_i. ValueError when the lengths differ; an empty sum is the identity."""
    if len(points) != len(scalars):
        raise ValueError(f"{len(points)} points and {len(scalars)} scalars")
    return G1Point.multiexp_unchecked(list(points), vector(scalars))


def add_all(points: Iterable[G1Point]) -> G1Point:
    """The sum of points; the identity for none."""
    total = G1Point.identity()
    for point in points:
        total = total + point
    return total


def is_infinity(point: G1Point) -> bool:
    """Whether a point is the identity."""
    return bool(point == G1Point.identity())


def pairing_product_is_one(pairs: Sequence[tuple[G1Point, G2Point]]) -> bool:
    """Whether prod_i e(P_i, Q_i) = 1, in one final exponentiation."""
    return bool(GT.pairing_check([p for p, _ in pairs], [q for _, q in pairs]))
