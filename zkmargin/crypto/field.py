"""The scalar field F of BLS12-381, on Python integers: the readable arithmetic that everything else must match.

Elements are ints in ``[0, r)``. Encoded as 32 bytes, big-endian, canonical (values of r and above are refused).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence

#: Order of the scalar field: the subgroup order of BLS12-381 (draft-irtf-cfrg-pairing-friendly-curves).
r = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
#: Smallest generator of the multiplicative group; r - 1 = 2^32 * odd.
GENERATOR = 7
TWO_ADICITY = 32
SCALAR_BYTES = 32


def encode_scalar(x: int) -> bytes:
    """32 bytes, big-endian. Raises ValueError outside ``[0, r)``."""
    if not 0 <= x < r:
        raise ValueError("not a canonical scalar")
    return x.to_bytes(SCALAR_BYTES, "big")


def decode_scalar(data: bytes) -> int:
    """Strict inverse of ``encode_scalar``. Raises ValueError on any other length or a value >= r."""
    if len(data) != SCALAR_BYTES:
        raise ValueError(f"a scalar has {SCALAR_BYTES} bytes, not {len(data)}")
    x = int.from_bytes(data, "big")
    if x >= r:
        raise ValueError("a scalar at or above the field order")
    return x


def random_scalar() -> int:
    """A uniform field element from the operating system's generator."""
    return secrets.randbelow(r)


def inverse(x: int) -> int:
    """1/x. Raises ZeroDivisionError for 0."""
    if x % r == 0:
        raise ZeroDivisionError("0 has no inverse")
    return pow(x, -1, r)


def batch_inverse(xs: Sequence[int], numerator: int = 1) -> list[int]:
    """All ``numerator / x``: one inversion and 3 products each (Montgomery's trick). ZeroDivisionError for any 0."""
    prefix = [1]
    for x in xs:
        prefix.append(prefix[-1] * x % r)
    running = inverse(prefix[-1]) * numerator % r
    result = [0] * len(xs)
    for i in range(len(xs) - 1, -1, -1):
        result[i] = running * prefix[i] % r
        running = running * xs[i] % r
    return result


def powers(x: int, count: int) -> list[int]:
    """``[1, x, x^2, ...]``, ``count`` of them."""
    result, current = [], 1
    for _ in range(count):
        result.append(current)
        current = current * x % r
    return result


def dot(xs: Iterable[int], ys: Iterable[int]) -> int:
    """Inner product, reduced once at the end."""
    return sum(x * y for x, y in zip(xs, ys, strict=True)) % r
