"""Vector algebra over the scalar field F of BLS12-381, as the prover's rounds use it.

Compiled loops where numba compiles; with NUMBA_DISABLE_JIT=1 the same results, bit for bit, from the Python integers of
``crypto.field`` and ``crypto.domain``. Lengths are free; operands of one operation have equal lengths. TypeError for
arguments of other types, ValueError for lengths that do not fit. Not constant-time: the prover runs on its owner's
machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zkmargin.crypto import domain as plain_domain
from zkmargin.crypto import field as plain
from zkmargin.crypto.field import SCALAR_BYTES, r
from zkmargin.prover._kernels import compiled
from zkmargin.prover._kernels.kept import JIT_ENABLED
from zkmargin.prover._kernels.lowering import LANES
from zkmargin.prover._kernels.vectors import (
    R_INVERSE,
    Blocks,
    FieldVector,
    R,
    block_count,
    blocks_to_words,
    bytes_to_words,
    check_scalar,
    check_vector,
    empty_blocks,
    from_blocks,
    from_ints,
    int64_to_blocks,
    is_zero,
    splat_block,
    to_blocks,
    to_ints,
    words_to_blocks,
    zero_blocks,
)

__all__ = [
    "FieldVector",
    "add",
    "add_scaled",
    "batch_inverse",
    "concatenate",
    "constant",
    "divide_by_linear",
    "dot",
    "evaluate",
    "from_bytes_le",
    "from_int64",
    "from_ints",
    "interleave",
    "is_zero",
    "mul",
    "neg",
    "pad",
    "powers",
    "prefix_sum",
    "roll",
    "scale",
    "slice_of",
    "sub",
    "to_bytes_le",
    "to_ints",
]


def from_bytes_le(data: bytes) -> FieldVector:
    """Canonical 32-byte little-endian scalars, concatenated. ValueError for a value >= r or a ragged length."""
    words = bytes_to_words(data)
    return _to_montgomery(words_to_blocks(words), len(words))


def to_bytes_le(vector: FieldVector) -> bytes:
    """The inverse of ``from_bytes_le``."""
    check_vector(vector)
    if not JIT_ENABLED:
        return b"".join(x.to_bytes(SCALAR_BYTES, "little") for x in to_ints(vector))
    return blocks_to_words(standard_blocks(vector), len(vector))[:, :4].astype("<u8").tobytes()


def standard_blocks(vector: FieldVector) -> Blocks:
    """The elements as plain integers in ``[0, r)``, out of Montgomery form; for kernels."""
    standard = empty_blocks(len(vector.memory))
    compiled.scale(standard, vector.memory, splat_block(1))
    return standard


def from_int64(values: np.typing.NDArray[np.int64]) -> FieldVector:
    """Signed 64-bit integers, negative ones as r - |x|. Any strides; other dtypes are TypeErrors."""
    blocks, negative = int64_to_blocks(values)
    n = len(negative)
    if not JIT_ENABLED:
        return from_ints(int(x) for x in values)
    vector = _to_montgomery(blocks, n)
    if negative.any():
        lanes = np.zeros((len(blocks), 1, LANES), dtype=np.bool_)
        lanes.reshape(-1)[:n] = negative
        np.copyto(vector.memory, neg(vector).memory, where=lanes)
    return vector


def constant(value: int, n: int) -> FieldVector:
    """n times the same element."""
    blocks = empty_blocks(block_count(_checked_length(n)))
    blocks[:] = splat(value)
    return _cleared(blocks, n)


def add(a: FieldVector, b: FieldVector) -> FieldVector:
    """``a + b``, element by element."""
    n = _common_length(a, b)
    if not JIT_ENABLED:
        return from_ints(x + y for x, y in zip(to_ints(a), to_ints(b), strict=True))
    out = empty_blocks(len(a.memory))
    compiled.add(out, a.memory, b.memory)
    return FieldVector(out, n)


def sub(a: FieldVector, b: FieldVector) -> FieldVector:
    """``a - b``, element by element."""
    n = _common_length(a, b)
    if not JIT_ENABLED:
        return from_ints(x - y for x, y in zip(to_ints(a), to_ints(b), strict=True))
    out = empty_blocks(len(a.memory))
    compiled.subtract(out, a.memory, b.memory)
    return FieldVector(out, n)


def neg(a: FieldVector) -> FieldVector:
    """``-a``."""
    check_vector(a)
    return sub(constant(0, len(a)), a)


def mul(a: FieldVector, b: FieldVector) -> FieldVector:
    """``a b``, element by element."""
    n = _common_length(a, b)
    if not JIT_ENABLED:
        return from_ints(x * y for x, y in zip(to_ints(a), to_ints(b), strict=True))
    out = empty_blocks(len(a.memory))
    compiled.multiply(out, a.memory, b.memory)
    return FieldVector(out, n)


def scale(a: FieldVector, s: int) -> FieldVector:
    """``s a``."""
    check_vector(a)
    s = check_scalar(s)
    if not JIT_ENABLED:
        return from_ints(s * x for x in to_ints(a))
    out = empty_blocks(len(a.memory))
    compiled.scale(out, a.memory, splat(s))
    return FieldVector(out, len(a))


def add_scaled(acc: FieldVector, a: FieldVector, s: int) -> FieldVector:
    """``acc + s a``, a new vector."""
    n = _common_length(acc, a)
    s = check_scalar(s)
    if not JIT_ENABLED:
        return from_ints(x + s * y for x, y in zip(to_ints(acc), to_ints(a), strict=True))
    out = empty_blocks(len(a.memory))
    compiled.add_scaled(out, acc.memory, a.memory, splat(s))
    return FieldVector(out, n)


def dot(a: FieldVector, b: FieldVector) -> int:
    """``sum_i a_i b_i`` in ``[0, r)``."""
    _common_length(a, b)
    if not JIT_ENABLED:
        return plain.dot(to_ints(a), to_ints(b))
    out = zero_blocks(1)
    compiled.dot(out, a.memory, b.memory)
    return sum(_lanes(out)) % r


def powers(x: int, n: int) -> FieldVector:
    """``1, x, ..., x^(n-1)``."""
    x, n = check_scalar(x), _checked_length(n)
    if not JIT_ENABLED:
        return from_ints(plain.powers(x, n))
    out = empty_blocks(block_count(n))
    compiled.geometric(out, _montgomery_block(plain.powers(x, LANES)), splat(pow(x, LANES, r)))
    return _cleared(out, n)


def batch_inverse(a: FieldVector) -> FieldVector:
    """``1 / a_i`` for all i (Montgomery's trick in eight lanes, one inversion).

    Raises:
        ZeroDivisionError: an element is zero; its index is not told (the vector may be secret), nothing is changed.
    """
    check_vector(a)
    n = len(a)
    if n and not a.memory.transpose(0, 2, 1).reshape(-1, a.memory.shape[1])[:n].any(axis=1).all():
        raise ZeroDivisionError("0 has no inverse")
    if not JIT_ENABLED:
        return from_ints(plain.batch_inverse(to_ints(a)))
    padded = a.memory
    if n % LANES:
        padded = padded.copy()
        padded[-1, :, n % LANES :] = splat(1)[0, :, n % LANES :]
    out, total = empty_blocks(len(padded)), splat(1)
    compiled.running_products(out, total, padded)
    compiled.inverses_from_products(out, _montgomery_block(plain.batch_inverse(_lanes(total))), padded)
    return _cleared(out, n)


def prefix_sum(a: FieldVector) -> FieldVector:
    """``a_0, a_0 + a_1, ...``: element i is the sum of the elements up to and including i."""
    check_vector(a)
    if not JIT_ENABLED:
        result, running = [], 0
        for x in to_ints(a):
            running = (running + x) % r
            result.append(running)
        return from_ints(result)
    out = empty_blocks(len(a.memory))
    compiled.prefix_sum(out, a.memory, len(a))
    return FieldVector(out, len(a))


def evaluate(coefficients: FieldVector, x: int) -> int:
    """Value at x of the polynomial with these coefficients, lowest first; 0 for none.

    Horner in eight lanes: sum_l x^l sum_b c_(8b+l) x^(8b).
    """
    check_vector(coefficients)
    x = check_scalar(x)
    if not JIT_ENABLED:
        return plain_domain.evaluate(to_ints(coefficients), x)
    out = zero_blocks(1)
    compiled.horner(out, coefficients.memory, splat(pow(x, LANES, r)))
    return plain_domain.evaluate(_lanes(out), x)


def divide_by_linear(coefficients: FieldVector, z: int) -> tuple[FieldVector, int]:
    """Quotient (one element shorter) and remainder p(z) of p(X) / (X - z).

    The quotient is q_k = sum_(i>k) c_i z^(i-k-1) = z^(-k-1) (p(z) - sum_(i<=k) c_i z^i): a prefix sum between two
    scalings. ValueError for no coefficients.
    """
    check_vector(coefficients)
    z, n = check_scalar(z), len(coefficients)
    if n == 0:
        raise ValueError("a polynomial without coefficients cannot be divided")
    if not JIT_ENABLED:
        quotient, remainder = plain_domain.divide_by_linear(to_ints(coefficients), z)
        return from_ints(quotient), remainder
    if z == 0:
        return slice_of(coefficients, 1, n), to_ints(slice_of(coefficients, 0, 1))[0]
    sums = prefix_sum(mul(coefficients, powers(z, n)))
    value = to_ints(slice_of(sums, n - 1, n))[0]
    inverse = plain.inverse(z)
    tails = scale(sub(constant(value, n), sums), inverse)
    return slice_of(mul(tails, powers(inverse, n)), 0, n - 1), value


def slice_of(a: FieldVector, start: int, stop: int) -> FieldVector:
    """Elements ``start <= i < stop``. ValueError outside ``0 <= start <= stop <= len(a)``."""
    check_vector(a)
    if not 0 <= start <= stop <= len(a):
        raise ValueError(f"no elements {start}..{stop} in a vector of {len(a)}")
    if start % LANES == 0:
        blocks = empty_blocks(block_count(stop - start))
        blocks[:] = a.memory[start // LANES : start // LANES + len(blocks)]
        return _cleared(blocks, stop - start)
    return _from_rows(_rows(a)[start:stop])


def concatenate(*vectors: FieldVector) -> FieldVector:
    """One after the other."""
    check_vector(*vectors)
    if not any(len(v) % LANES for v in vectors[:-1]):  # whole blocks, or no vector at all
        blocks = empty_blocks(sum(len(v.memory) for v in vectors))
        np.concatenate([blocks[:0], *(v.memory for v in vectors)], out=blocks)
        return FieldVector(blocks, sum(map(len, vectors)))
    return _from_rows(np.concatenate([_rows(v) for v in vectors]))


def interleave(vectors: Sequence[FieldVector]) -> FieldVector:
    """a_0, b_0, .., a_1, b_1, ..: the coefficients of sum_j X^j p_j(X^k) for k vectors of equal lengths."""
    check_vector(*vectors)
    if len({len(v) for v in vectors}) != 1:
        raise ValueError("vectors of equal lengths are needed, at least one")
    rows = np.stack([_rows(v) for v in vectors], axis=1)
    return _from_rows(rows.reshape(-1, rows.shape[2]))


def pad(a: FieldVector, n: int) -> FieldVector:
    """Zeros appended up to n elements. ValueError if there are more already."""
    check_vector(a)
    if len(a) > _checked_length(n):
        raise ValueError(f"{len(a)} elements do not fit into {n}")
    blocks = zero_blocks(block_count(n))
    blocks[: len(a.memory)] = a.memory
    return FieldVector(blocks, n)


def roll(a: FieldVector, k: int) -> FieldVector:
    """Rotated to the left: element i becomes element (i + k) mod n, values of p(X) those of p(w^k X)."""
    check_vector(a)
    n, lanes = len(a), LANES
    if n % lanes:
        return _from_rows(np.roll(_rows(a), -k, axis=0))
    blocks, lane = divmod(k % n if n else 0, lanes)
    turned = np.roll(a.memory, -blocks, axis=0) if blocks else a.memory
    out = empty_blocks(len(turned))
    out[:, :, : lanes - lane] = turned[:, :, lane:]
    out[:-1, :, lanes - lane :] = turned[1:, :, :lane]
    out[-1:, :, lanes - lane :] = turned[:1, :, :lane]
    return FieldVector(out, n)


def splat(x: int) -> Blocks:
    """One writable block with x in every lane."""
    return splat_block(x * R % r)


def _montgomery_block(values: list[int]) -> Blocks:
    return to_blocks([x * R % r for x in values])


def _lanes(block: Blocks) -> list[int]:
    return [x * R_INVERSE % r for x in from_blocks(block, LANES)]


def _to_montgomery(standard: Blocks, length: int) -> FieldVector:
    if not JIT_ENABLED:
        return from_ints(from_blocks(standard, length))
    compiled.scale(standard, standard, splat(R))
    return FieldVector(standard, length)


def _rows(a: FieldVector) -> Blocks:
    """uint64[n, 5]: one row an element."""
    return a.memory.transpose(0, 2, 1).reshape(-1, a.memory.shape[1])[: len(a)]


def _from_rows(rows: Blocks) -> FieldVector:
    blocks = empty_blocks(block_count(len(rows)))
    lanes = np.zeros((len(blocks) * LANES, blocks.shape[1]), dtype=np.uint64)
    lanes[: len(rows)] = rows
    blocks[:] = lanes.reshape(-1, LANES, blocks.shape[1]).transpose(0, 2, 1)
    return FieldVector(blocks, len(rows))


def _cleared(blocks: Blocks, length: int) -> FieldVector:
    """The vector on these blocks, with zeros after its last element."""
    if length % LANES:
        blocks[-1, :, length % LANES :] = 0
    return FieldVector(blocks, length)


def _common_length(a: FieldVector, b: FieldVector) -> int:
    check_vector(a, b)
    if len(a) != len(b):
        raise ValueError(f"vectors of {len(a)} and {len(b)} elements")
    return len(a)


def _checked_length(n: int) -> int:
    if type(n) is not int:
        raise TypeError(f"a length is an int, not {type(n).__name__}")
    if not 0 <= n <= 1 << 24:
        raise ValueError(f"not a vector length: {n}")
    return n
