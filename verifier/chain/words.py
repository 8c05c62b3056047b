"""Bytes as a contract reads them: 32-byte big-endian words, points as x || y, 96 bytes, infinity nowhere."""

from __future__ import annotations

from py_arkworks_bls12381 import G1Point

from zkmargin.crypto.group import is_infinity
from zkmargin.formats.canonical import keccak256

POINT_BYTES = 96
WORD_BYTES = 32


def word(x: int) -> bytes:
    """32 bytes. OverflowError outside [0, 2^256)."""
    return x.to_bytes(WORD_BYTES, "big")


def label(text: str) -> bytes:
    """A name in one word, zeros after it."""
    data = text.encode("ascii")
    if len(data) > WORD_BYTES:
        raise ValueError(f"a label has at most {WORD_BYTES} bytes: {text}")
    return data.ljust(WORD_BYTES, b"\0")


def point_bytes(point: G1Point) -> bytes:
    """x || y. ValueError for infinity, which no slot of this protocol takes."""
    if is_infinity(point):
        raise ValueError("the point at infinity")
    return bytes(point.to_xy_bytes_be())


def decode_point(data: bytes) -> G1Point:
    """The point of x || y, as the precompiles of EIP-2537 read it, infinity refused.

    Raises:
        ValueError: coordinates at or above p, off the curve, outside the subgroup, infinity, another length.
    """
    if len(data) != POINT_BYTES:
        raise ValueError(f"a point has {POINT_BYTES} bytes, not {len(data)}")
    if not any(data):
        raise ValueError("the point at infinity")
    try:
        point = G1Point.from_xy_bytes_be(data)
    except ValueError:
        raise ValueError("not the coordinates of a point of the prime-order subgroup of G1") from None
    if bytes(point.to_xy_bytes_be()) != data:
        raise ValueError("coordinates that are not canonical")
    return point


__all__ = ["POINT_BYTES", "WORD_BYTES", "decode_point", "keccak256", "label", "point_bytes", "word"]
