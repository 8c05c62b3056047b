"""Vectors of exact integers: what a rule says of one book, said of many at once.

``Integers`` adds, multiplies, divides and compares entry by entry, as Python's integers do, and never wraps: it knows a
bound of its entries and stays in int64 while every result provably fits; beyond that it holds Python integers. The
functions below take integers or vectors alike, so that one line of a rule serves one book and a hundred thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_LIMIT = 1 << 63


class Integers:
    """M integers of any size.

    Attributes:
        array: [M], int64 or Python integers (dtype object).
        top: no entry's absolute value is above it.

    Example:
        >>> (Integers.of([1, -2]) * 2**62 + 1).tolist()
        [4611686018427387905, -9223372036854775807]
    """

    __slots__ = ("array", "top")
    __array_ufunc__ = None  # numpy leaves `array + Integers` to us, and we refuse it

    def __init__(self, array: Array, top: int) -> None:
        self.array, self.top = array, top

    @classmethod
    def of(cls, values: Array | Sequence[int]) -> Self:
        """The vector of these integers, with the least bound."""
        if isinstance(values, np.ndarray) and values.dtype == np.int64:
            top = _top(values)
            return cls(_wide(values, top), top)
        array = np.empty(len(values), dtype=object)
        array[:] = list(values)
        return cls(array, _top(array)).tight()

    def tight(self) -> Self:
        """The same integers with the least bound, in int64 if they fit."""
        top = _top(self.array)
        fits = top < _LIMIT and self.array.dtype == object
        return type(self)(self.array.astype(np.int64) if fits else self.array, top)

    def tolist(self) -> list[int]:
        """As Python integers."""
        result: list[int] = self.array.tolist()
        return result

    def __len__(self) -> int:
        return len(self.array)

    def __repr__(self) -> str:
        return f"Integers([{len(self)}])"  # entries may be about hidden books

    def __bool__(self) -> bool:
        raise TypeError("a vector of integers is neither true nor false: use flag, largest, smallest")

    def __hash__(self) -> int:
        raise TypeError("a vector of integers has no hash")

    def __add__(self, other: Integers | int) -> Integers:
        if isinstance(other, int):
            return self if other == 0 else self._shifted(other)
        top = self.top + other.top
        a, b = _both(self, other, top)
        return _made(a + b, top)

    def __mul__(self, other: Integers | int) -> Integers:
        if isinstance(other, int):
            if other == 1:
                return self
            top = self.top * abs(other)
            if top == 0:
                return Integers(np.zeros(len(self), dtype=np.int64), 0)
            return _made(_wide(self.array, top, other) * other, top)
        top = self.top * other.top
        a, b = _both(self, other, top)
        return _made(a * b, top)

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> Integers:
        return Integers(-_wide(self.array, self.top), self.top)

    def __sub__(self, other: Integers | int) -> Integers:
        return self + (-other)

    def __rsub__(self, other: int) -> Integers:
        return -self + other

    def __floordiv__(self, divisor: int) -> Integers:
        if divisor <= 0:
            raise ValueError("a vector is divided by a positive integer")
        if divisor == 1:
            return self
        return _made(_wide(self.array, self.top, divisor) // divisor, self.top)

    def __eq__(self, other: object) -> Integers:  # type: ignore[override]  # entry by entry, as numpy has it
        return self._compared("==", other)

    def __gt__(self, other: Integers | int) -> Integers:
        return self._compared(">", other)

    def __ge__(self, other: Integers | int) -> Integers:
        return self._compared(">=", other)

    def __lt__(self, other: Integers | int) -> Integers:
        return self._compared("<", other)

    def __le__(self, other: Integers | int) -> Integers:
        return self._compared("<=", other)

    def _shifted(self, by: int) -> Integers:
        top = self.top + abs(by)
        return _made(_wide(self.array, top, by) + by, top)

    def _compared(self, how: str, other: object) -> Integers:
        a: Any
        b: Any
        if isinstance(other, Integers):
            a, b = _both(self, other, max(self.top, other.top))
        elif isinstance(other, int):
            a, b = _wide(self.array, self.top, other), other
        else:
            raise TypeError(f"a vector of integers compared with {type(other).__name__}")
        match how:
            case "==":
                found = a == b
            case ">":
                found = a > b
            case ">=":
                found = a >= b
            case "<":
                found = a < b
            case _:
                found = a <= b
        return Integers(np.asarray(found, dtype=np.int64), 1)


def largest(*values: Any) -> Any:
    """The largest of integers, or entry by entry of vectors and integers."""
    return _extreme(values, sign=1)


def smallest(*values: Any) -> Any:
    """The smallest of integers, or entry by entry of vectors and integers."""
    return _extreme(values, sign=-1)


def flag(condition: Integers | bool) -> Any:
    """1 where a comparison is true, else 0."""
    return condition if isinstance(condition, Integers) else int(condition)


def quotient_up(value: Any, divisor: int) -> Any:
    """``value / divisor`` rounded up."""
    return value if divisor == 1 else -(-value // divisor)


def root_up(value: Any) -> Any:
    """The ceiling of the square root of integers that are not negative; of a negative one 0.

    >>> root_up(10), root_up(9)
    (4, 3)
    """
    if isinstance(value, Integers):
        return Integers.of([root_up(one) for one in value.tolist()])
    return isqrt(value - 1) + 1 if value > 0 else 0


def first_smallest(values: Sequence[Any], place: int) -> Any:
    """1 where ``values[place]`` is the first of the smallest, else 0."""
    least = smallest(*values)
    found = flag(values[place] == least)
    for before in values[:place]:
        found = found * flag(before > least)
    return found


def ranked(values: Sequence[Any], rank: int) -> Any:
    """The value with this rank from the top: 0 is the largest."""
    if not any(isinstance(value, Integers) for value in values):
        return sorted(values, reverse=True)[rank]
    size = max(len(value) for value in values if isinstance(value, Integers))
    top = max(value.top if isinstance(value, Integers) else abs(value) for value in values)
    rows = [value.array if isinstance(value, Integers) else np.full(size, value, dtype=object) for value in values]
    table = np.stack([_wide(row, top) for row in rows])
    return _made(np.sort(table, axis=0)[len(values) - 1 - rank], top)


def _extreme(values: Sequence[Any], sign: int) -> Any:
    vectors = [value for value in values if isinstance(value, Integers)]
    plain = [value for value in values if not isinstance(value, Integers)] if vectors else values
    best = [(max if sign > 0 else min)(plain)] if plain else []
    if not vectors:
        return best[0]
    top = max(vector.top for vector in vectors)
    result = _wide(vectors[0].array, top).copy()
    choose = np.maximum if sign > 0 else np.minimum
    for vector in vectors[1:]:
        choose(result, _wide(vector.array, top), out=result)
    if best:
        top = max(top, abs(best[0]))
        result = choose(_wide(result, top, best[0]), best[0])
    return _made(result, top)


def _top(array: Array) -> int:
    if not len(array):
        return 0
    return max(int(array.max()), -int(array.min()))


def _wide(array: Array, top: int, other: int = 0) -> Array:
    """The array as Python integers where a result up to ``top``, or the integer ``other``, may not fit int64."""
    if array.dtype == object or (top < _LIMIT and -_LIMIT < other < _LIMIT):
        return array
    return array.astype(object)


def _both(a: Integers, b: Integers, top: int) -> tuple[Array, Array]:
    if top < _LIMIT and a.array.dtype == b.array.dtype == np.int64:
        return a.array, b.array
    return a.array.astype(object), b.array.astype(object)


def _made(array: Array, top: int) -> Integers:
    """A result; back in int64 where its bound says that it fits."""
    return Integers(array.astype(np.int64) if array.dtype == object and top < _LIMIT else array, top)
