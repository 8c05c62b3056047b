"""Messages between a coordinator and its workers, and the way they go.

A message is framed bytes of ours: a canonical JSON head and raw arrays of integers, no code. They hold books: whatever
carries them is encrypted and authenticated, or a pipe of this user's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from zkmargin.crypto.field import decode_scalar, encode_scalar
from zkmargin.formats import InputError, canonical_bytes, parse_json

_LENGTH_BYTES = 8
#: Types of arrays, as numpy writes them, their greatest number of axes and length of an axis.
_TYPES = frozenset(np.dtype(f"{kind}{size}").str for kind in "iu" for size in (1, 2, 4, 8))
_DIMENSIONS, _LARGEST = 8, 1 << 40
#: Of a request: three arrays a column set, and some.
MAX_ARRAYS, MAX_HEAD_BYTES = 1 << 20, 1 << 32
#: How often a worker is made again for one request.
ATTEMPTS = 3
Array = npt.NDArray[Any]


class LostError(Exception):
    """A worker that does not answer; with a reason where more is known than that it is gone."""


def lost_words(worker: str, where: str, why: str) -> str:
    """What is said of a worker that was lost too often."""
    return f"worker {worker} was lost {ATTEMPTS} times {where}" + (f": {why}" if why else "")


class Link(Protocol):
    """The way to one worker."""

    def ask(self, request: bytes) -> bytes:
        """The worker's answer. Raises LostError when it is gone."""
        ...

    def close(self) -> None:
        """End it."""
        ...


def pack(head: dict[str, Any], arrays: Sequence[Array] = ()) -> bytes:
    """A message: |head| in 8 bytes, the head (canonical JSON, with dtype and shape of each array), the arrays."""
    described = canonical_bytes({**head, "arrays": [[a.dtype.str, list(a.shape)] for a in arrays]})
    parts = [np.ascontiguousarray(a).tobytes() for a in arrays]
    return b"".join([len(described).to_bytes(_LENGTH_BYTES, "big"), described, *parts])


def unpack(
    data: bytes, *, arrays_most: int = MAX_ARRAYS, head_most: int = MAX_HEAD_BYTES
) -> tuple[dict[str, Any], list[Array]]:
    """The inverse. Raises InputError for what is no message, whatever the bytes are.

    Args:
        data: the message.
        arrays_most: how many arrays it may have; a head that lists more is refused before any is made.
        head_most: bytes of its head: JSON takes many times as much memory when it is read.
    """
    size = int.from_bytes(data[:_LENGTH_BYTES], "big")
    if size > head_most:
        raise InputError(f"a head of {size} bytes, more than {head_most}")
    head: Any = parse_json(data[_LENGTH_BYTES : _LENGTH_BYTES + size])
    described = head.pop("arrays", None) if isinstance(head, dict) else None
    if not isinstance(described, list):
        raise InputError("a message without a head")
    if len(described) > arrays_most:
        raise InputError(f"{len(described)} arrays, more than {arrays_most}")
    arrays, at = [], _LENGTH_BYTES + size
    for one in described:
        kind, shape = _described(one)
        count = math.prod(shape)
        if at + count * kind.itemsize > len(data):
            raise InputError("a message that is shorter than it says")
        arrays.append(np.frombuffer(data, dtype=kind, count=count, offset=at).reshape(shape).copy())
        at += count * kind.itemsize
    if at != len(data):
        raise InputError("a message that is longer or shorter than it says")
    return head, arrays


def _described(one: object) -> tuple[np.dtype[Any], list[int]]:
    """Type and shape of an array. Raises InputError."""
    match one:
        case [str(text), list(shape)] if text in _TYPES and len(shape) <= _DIMENSIONS:
            # numpy multiplies the axes that are not 0, also where the array is empty
            if all(type(x) is int and 0 <= x <= _LARGEST for x in shape) and math.prod(filter(None, shape)) <= _LARGEST:
                return np.dtype(text), shape
    raise InputError("an array of another kind than integers")


def bytes_array(data: bytes) -> Array:
    """Bytes as an array."""
    return np.frombuffer(data, dtype=np.uint8)


def scalars_array(values: Sequence[int]) -> Array:
    """Field elements, 32 bytes each."""
    return bytes_array(b"".join(map(encode_scalar, values)))


def scalar_list(array: Array) -> list[int]:
    """The inverse."""
    data = array.tobytes()
    return [decode_scalar(data[i : i + 32]) for i in range(0, len(data), 32)]


def points_array(rows: Sequence[Sequence[bytes]]) -> Array:
    """Encoded points one after another."""
    return bytes_array(b"".join(point for row in rows for point in row))


def cut(items: Sequence[Any], sizes: Sequence[int]) -> list[Any]:
    """Consecutive parts of these sizes."""
    return [items[start:stop] for start, stop in pairwise([0, *accumulate(sizes)])]
