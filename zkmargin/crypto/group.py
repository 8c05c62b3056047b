"""The groups of BLS12-381 through arkworks (py_arkworks_bls12381): decoding, MSM, pairing check.

Points travel as 48-byte (G1) and 96-byte (G2) zcash-compressed encodings. Decoding is strict: exact length, canonical
coordinates, on the curve, in the prime-order subgroup, and encoding again must give the same bytes (arkworks
alone accepts infinity with stray bits). This is the verifier's arithmetic and shares nothing with the
prover's kernels.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

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


def msm_many(sums: Sequence[tuple[Sequence[G1Point], Sequence[int]]]) -> list[G1Point]:
    """Several sums, shared among the processors: arkworks works without the interpreter's lock, on one core a call.

    A long sum is cut into as many parts as there are processors, each long enough to be worth a thread.
    """
    count = _processors()
    parts: list[tuple[int, Sequence[G1Point], Sequence[int]]] = []
    for k, (points, scalars) in enumerate(sums):
        if len(points) != len(scalars):
            raise ValueError(f"{len(points)} points and {len(scalars)} scalars")
        cuts = max(1, min(count, len(points) // _LEAST_PART))
        bounds = [len(points) * i // cuts for i in range(cuts + 1)]
        parts += [(k, points[a:b], scalars[a:b]) for a, b in pairwise(bounds)]
    if count == 1 or sum(len(points) for points, _ in sums) < 2 * _LEAST_PART:
        found = [msm(points, scalars) for _, points, scalars in parts]
    else:
        longest = max(range(len(parts)), key=lambda i: len(parts[i][1]))
        running = [
            None if i == longest else _threads().submit(msm, points, scalars)
            for i, (_, points, scalars) in enumerate(parts)
        ]
        mine = msm(*parts[longest][1:])
        found = [mine if future is None else future.result() for future in running]
    return [add_all(point for (k, _, _), point in zip(parts, found, strict=True) if k == j) for j in range(len(sums))]


#: Terms below which to cut a sum costs more work than it saves time: half of a short sum is most of it.
_LEAST_PART = 64


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_processors(), thread_name_prefix="zkmargin-group")


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_threads.cache_clear)


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
