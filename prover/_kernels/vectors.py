"""Vectors of scalar-field elements: the opaque type that the prover's algebra works on, and its conversions.

Element i of a vector is lane i mod 8 of block i div 8 (``prover._kernels.vector_field``); lanes after the last element
hold zero. Vectors are immutable: no operation changes one, so they can be shared between threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zkmargin.crypto.field import SCALAR_BYTES, r
from zkmargin.prover._kernels.lowering import LANES, LIMB_BITS, LIMB_MASK

LIMBS = 5
#: Montgomery radix: a limb x stands for x / R.
R = 1 << (LIMB_BITS * LIMBS)
R_INVERSE = pow(R, -1, r)

Blocks = npt.NDArray[np.uint64]
_MASK = np.uint64(LIMB_MASK)
_WORDS = [np.uint64(r >> (64 * j) & (2**64 - 1)) for j in range(4)]


class FieldVector:
    """n elements of F. ``len`` gives n; ``memory`` is uint64[ceil(n / 8), 5, 8], which kernels read and nobody writes
    to.

    (It is not flagged read-only: numba would compile every kernel anew for each mixture of flags. ``blocks`` is.)
    """

    __slots__ = ("_length", "memory")

    def __init__(self, memory: Blocks, length: int) -> None:
        self.memory = memory
        self._length = length

    @property
    def blocks(self) -> Blocks:
        """The elements' blocks, read-only."""
        view = self.memory.view()
        view.setflags(write=False)
        return view

    def __len__(self) -> int:
        return self._length

    def __eq__(self, other: object) -> bool:
        """Equal elements: the form is canonical, so equal bits."""
        return isinstance(other, FieldVector) and len(self) == len(other) and np.array_equal(self.memory, other.memory)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"FieldVector({len(self)} elements)"  # never the elements: they may be a book


def empty_blocks(count: int, limbs: int = LIMBS) -> Blocks:
    """uint64[count, limbs, 8], not set to anything."""
    return np.empty((count, limbs, LANES), np.uint64)


def zero_blocks(count: int, limbs: int = LIMBS) -> Blocks:
    """``empty_blocks`` of zeros."""
    blocks = empty_blocks(count, limbs)
    blocks.fill(0)
    return blocks


def splat_block(value: int, limbs: int = LIMBS) -> Blocks:
    """One block with an integer below 2^(52 limbs), as it is, in every lane."""
    return splat_blocks([value], limbs)


def splat_blocks(values: Sequence[int], limbs: int = LIMBS) -> Blocks:
    """``splat_block`` of several integers, one after another."""
    blocks = empty_blocks(len(values), limbs)
    digits = [[x >> shift & LIMB_MASK for shift in range(0, LIMB_BITS * limbs, LIMB_BITS)] for x in values]
    blocks[:] = np.array(digits, dtype=np.uint64).reshape(-1, limbs, 1)
    return blocks


def block_count(length: int) -> int:
    """Blocks that hold ``length`` elements."""
    return -(-length // LANES)


def check_scalar(x: object) -> int:
    """An int as a field element, reduced mod r. TypeError for anything else, bool and numpy integers included."""
    if type(x) is not int:
        raise TypeError(f"a field element is an int, not {type(x).__name__}")
    return x % r


def to_blocks(values: Sequence[int], limbs: int = LIMBS) -> Blocks:
    """Integers below 2^(52 limbs) as blocks, without any change of form."""
    if 0 < len(values) <= LANES:  # blinders and the like: a fifth of the time
        block = zero_blocks(1, limbs)
        digits = [[x >> shift & LIMB_MASK for x in values] for shift in range(0, LIMB_BITS * limbs, LIMB_BITS)]
        block[0, :, : len(values)] = np.array(digits, dtype=np.uint64)
        return block
    bits = LIMB_BITS * limbs
    size = -(-bits // 64) * 8
    words = np.frombuffer(b"".join(x.to_bytes(size, "little") for x in values), dtype="<u8").reshape(-1, size // 8)
    return words_to_blocks(words, limbs)


def from_blocks(blocks: Blocks, length: int) -> list[int]:
    """The inverse of ``to_blocks``."""
    if length <= LANES:
        digits = blocks[:, :, :length].tolist()
        return [
            sum(limb << LIMB_BITS * j for j, limb in enumerate(x)) for block in digits for x in zip(*block, strict=True)
        ]
    data = blocks_to_words(blocks, length).tobytes()
    size = len(data) // max(length, 1)
    return [int.from_bytes(data[i * size : (i + 1) * size], "little") for i in range(length)]


def words_to_blocks(words: npt.NDArray[np.uint64], limbs: int = LIMBS) -> Blocks:
    """uint64[n, w] little-endian words to blocks of 52-bit limbs; bits from 52 limbs on are dropped."""
    n, width = words.shape
    blocks = empty_blocks(block_count(n), limbs)
    lanes = np.zeros((len(blocks) * LANES, max(width, -(-LIMB_BITS * limbs // 64)) + 1), dtype=np.uint64)
    lanes[:n, :width] = words
    for j in range(limbs):
        word, shift = divmod(LIMB_BITS * j, 64)
        limb = lanes[:, word] >> np.uint64(shift)
        if shift > 64 - LIMB_BITS:
            limb |= lanes[:, word + 1] << np.uint64(64 - shift)
        blocks[:, j, :] = (limb & _MASK).reshape(-1, LANES)
    return blocks


def blocks_to_words(blocks: Blocks, length: int) -> npt.NDArray[np.uint64]:
    """Blocks to uint64[length, w] little-endian words, w = ceil(52 limbs / 64)."""
    limbs = blocks.shape[1]
    words = np.zeros((len(blocks) * LANES, -(-LIMB_BITS * limbs // 64)), dtype=np.uint64)
    for j in range(limbs):
        limb = blocks[:, j, :].reshape(-1)
        word, shift = divmod(LIMB_BITS * j, 64)
        words[:, word] |= limb << np.uint64(shift)
        if shift > 64 - LIMB_BITS and word + 1 < words.shape[1]:
            words[:, word + 1] |= limb >> np.uint64(64 - shift)
    return words[:length]


def from_ints(values: Iterable[int]) -> FieldVector:
    """A vector of Python ints of any size and sign, reduced mod r. TypeError for other types."""
    reduced = [check_scalar(x) * R % r for x in values]
    return FieldVector(to_blocks(reduced), len(reduced))


def to_ints(vector: FieldVector) -> list[int]:
    """The elements as ints in ``[0, r)``."""
    check_vector(vector)
    return [x * R_INVERSE % r for x in from_blocks(vector.memory, len(vector))]


def is_zero(vector: FieldVector) -> bool:
    """Whether every element is 0: the form is canonical, and lanes after the last element hold zero."""
    check_vector(vector)
    return not vector.memory.any()


def check_vector(*vectors: object) -> None:
    """TypeError unless all are FieldVectors."""
    for vector in vectors:
        if not isinstance(vector, FieldVector):
            raise TypeError(f"a FieldVector is needed, not {type(vector).__name__}")


def check_int64(values: object) -> npt.NDArray[np.int64]:
    """A one-dimensional int64 array of any strides, made contiguous. TypeError for another dtype or ValueError."""
    if not isinstance(values, np.ndarray) or values.dtype != np.int64:
        raise TypeError(f"an int64 array is needed, not {getattr(values, 'dtype', type(values).__name__)}")
    if values.ndim != 1:
        raise ValueError(f"a one-dimensional array is needed, not {values.ndim} dimensions")
    return np.ascontiguousarray(values, dtype=np.int64)


def int64_to_blocks(values: Any) -> tuple[Blocks, npt.NDArray[np.bool_]]:
    """The absolute values of an int64 array as plain blocks, and which are negative."""
    array = check_int64(values)
    negative = array < 0
    magnitude = np.zeros(block_count(len(array)) * LANES, dtype=np.uint64)
    magnitude[: len(array)] = np.abs(array).view(np.uint64)  # -2^63 stays as it is, and is 2^63 without sign
    blocks = zero_blocks(block_count(len(array)))
    blocks[:, 0, :] = (magnitude & _MASK).reshape(-1, LANES)
    blocks[:, 1, :] = (magnitude >> np.uint64(LIMB_BITS)).reshape(-1, LANES)
    return blocks, negative


def bytes_to_words(data: bytes) -> npt.NDArray[np.uint64]:
    """Canonical 32-byte little-endian scalars, concatenated, as uint64[n, 4].

    Raises:
        TypeError: not bytes.
        ValueError: a length that is no multiple of 32, or a value at or above r.
    """
    if not isinstance(data, bytes):
        raise TypeError(f"bytes are needed, not {type(data).__name__}")
    if len(data) % SCALAR_BYTES:
        raise ValueError(f"{len(data)} bytes are no whole number of scalars")
    words = np.frombuffer(data, dtype="<u8").reshape(-1, 4)
    below = np.zeros(len(words), dtype=bool)
    for j, word in enumerate(_WORDS):  # from the lowest word up, each decides unless equal
        below = (words[:, j] < word) | ((words[:, j] == word) & below)
    if not below.all():
        raise ValueError(f"scalar {int(np.argmin(below))} is at or above the field order")
    return words
