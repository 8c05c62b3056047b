"""Many books at once, in lots: sparse (the legs of each account) or dense (a table), and their exact sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from zkmargin.engine.book import BookLots
from zkmargin.engine.exact import Int64Array
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.integers import Integers

#: What a coefficient is multiplied by: signed lots, or the lots of one side.
Side = Literal["positions", "long", "short"]
#: A double holds integers up to here exactly.
_DOUBLE_BITS = 53
_INT64_BITS = 62


@dataclass(frozen=True, repr=False)
class Books:
    """M books. Their repr shows no numbers: what is in them is secret.

    Make them with ``sparse``, ``dense`` or ``of``, which check them.

    Attributes:
        starts: [M + 1], where the legs of each account begin; the last is their number L.
        slots: [L] the instrument slot of each leg, ascending within an account.
        lots: [L] signed lots of each leg.
        collateral: [M, C] signed lots of each balance; of Python integers (dtype object) where 64 bits are too few.
        table: [M, N] signed lots where most slots are filled, else None; then there are no legs.

    Example:
        >>> books = Books.sparse([0, 2, 3], [0, 5, 1], [10, -4, 7], [[500], [20]])
        >>> len(books)
        2
    """

    starts: Int64Array
    slots: Int64Array
    lots: Int64Array
    collateral: npt.NDArray[Any]
    table: Int64Array | None = None

    @classmethod
    def sparse(
        cls,
        starts: npt.ArrayLike,
        slots: npt.ArrayLike,
        lots: npt.ArrayLike,
        collateral: npt.ArrayLike,
    ) -> Self:
        """Books by their legs.

        Raises:
            InputError: arrays that are not integers or do not fit each other, a slot twice in an account.
        """
        books = cls(_column(starts, "starts"), _column(slots, "slots"), _column(lots, "lots"), _balances(collateral))
        at = books.starts
        if len(at) != len(books.collateral) + 1 or at[0] != 0 or at[-1] != len(books.slots) or np.any(np.diff(at) < 0):
            raise InputError("does not say where the legs of each account begin", field="starts")
        if len(books.lots) != len(books.slots):
            raise InputError(f"{len(books.lots)} quantities for {len(books.slots)} legs", field="lots")
        rising = np.diff(books.slots) > 0
        inner = at[1:-1]
        rising[inner[(inner > 0) & (inner < len(books.slots))] - 1] = True  # from one account to the next
        if not rising.all() or np.any(books.slots < 0):
            raise InputError("the slots of an account are not in ascending order, each once", field="slots")
        return books

    @classmethod
    def dense(cls, positions: npt.ArrayLike, collateral: npt.ArrayLike) -> Self:
        """Books as a table [M, N] of signed lots. Raises InputError as ``sparse`` does."""
        table, balances = _int64(positions, "positions", 2), _balances(collateral)
        if len(table) != len(balances):
            raise InputError(f"{len(table)} rows of positions and {len(balances)} of balances", field="collateral")
        none = np.zeros(0, dtype=np.int64)
        return cls(np.zeros(len(table) + 1, dtype=np.int64), none, none, balances, table)

    @classmethod
    def of(cls, books: Sequence[BookLots]) -> Self:
        """Single books, as legs."""
        legs = [[(slot, lots) for slot, lots in enumerate(book.positions) if lots] for book in books]
        flat = np.array([leg for own in legs for leg in own], dtype=np.int64).reshape(-1, 2)
        width = len(books[0].collateral) if books else 0
        collateral = np.array([book.collateral for book in books], dtype=object).reshape(len(books), width)
        starts = np.cumsum([0, *map(len, legs)], dtype=np.int64)
        return cls.sparse(starts, flat[:, 0].copy(), flat[:, 1].copy(), collateral)

    def __len__(self) -> int:
        return len(self.collateral)

    def __repr__(self) -> str:
        return f"Books({len(self)} accounts)"

    def part(self, start: int, stop: int) -> Books:
        """The accounts from ``start`` to ``stop``."""
        if self.table is not None:
            return Books.dense(self.table[start:stop], self.collateral[start:stop])
        at = self.starts[start : stop + 1]
        legs = slice(int(at[0]), int(at[-1]))
        return Books(at - at[0], self.slots[legs], self.lots[legs], self.collateral[start:stop])

    def lots_of(self, account: int, slots: int) -> BookLots:
        """One of the books, over ``slots`` instrument slots."""
        if self.table is not None:
            positions = self.table[account].tolist()
        else:
            legs = slice(int(self.starts[account]), int(self.starts[account + 1]))
            positions = [0] * slots
            for slot, lots in zip(self.slots[legs].tolist(), self.lots[legs].tolist(), strict=True):
                positions[slot] = lots
        return BookLots(tuple(positions), tuple(self.collateral[account].tolist()))

    def check(self, snapshot: Snapshot) -> None:
        """Check the books against a snapshot's slots and bounds.

        Raises:
            InputError: another number of slots, a quantity beyond its bound, a negative balance that is not allowed;
                names the account's place and the slot, never how much.
        """
        instruments, assets = snapshot.instruments, snapshot.collateral
        wide = len(instruments) if self.table is None else self.table.shape[1]
        if self.collateral.shape[1] != len(assets) or wide != len(instruments) or self.last_slot >= len(instruments):
            raise InputError("the books are not of this snapshot: another number of slots")
        bound = 1 << snapshot.layout.position_bits
        if self.most >= bound:
            raise InputError(f"a position of 2^{snapshot.layout.position_bits} lots or more", field=self._largest())
        for j, asset in enumerate(assets):
            column = self.collateral[:, j]
            bound = 1 << asset.bits
            wrong = np.zeros(len(self), dtype=np.bool_)
            if asset.bits < _INT64_BITS or column.dtype == object:
                wrong |= (column >= bound) | (column <= -bound)
            if not asset.negative_allowed:
                wrong |= column < 0
            if wrong.any():
                place = int(np.flatnonzero(wrong)[0])
                raise InputError(
                    "a balance beyond its bound, or negative where none may be",
                    field=f"account {place}: {asset.asset}",
                )

    @property
    def last_slot(self) -> int:
        """The last slot that any leg names; -1 without legs."""
        return int(self.slots.max(initial=-1))

    @cached_property
    def most(self) -> int:
        """The largest absolute value of a position."""
        lots = self.lots if self.table is None else self.table
        return max(int(lots.max(initial=0)), -int(lots.min(initial=0)))

    def _largest(self) -> str:
        lots = self.lots if self.table is None else self.table
        place = int(np.argmax(np.abs(lots.astype(object))))
        account = (
            place // lots.shape[1] if self.table is not None else int(np.searchsorted(self.starts, place, "right")) - 1
        )
        return f"account {account}"

    def amounts(self, side: Side) -> Int64Array:
        """The signed lots, or those of one side, of every leg or cell."""
        lots = self.lots if self.table is None else self.table
        if side == "positions":
            return lots
        return np.maximum(lots if side == "long" else -lots, 0)


class Products:
    """A public matrix [R, N] of int64, ready to be multiplied by many books.

    Raises:
        ValueError: another dtype or number of dimensions.
    """

    def __init__(self, matrix: Int64Array) -> None:
        if matrix.ndim != 2 or matrix.dtype != np.int64:
            raise ValueError("an int64 matrix [R, N]")
        self.matrix = matrix
        self.top = max(int(matrix.max(initial=0)), -int(matrix.min(initial=0)))

    def of(self, books: Books, side: Side = "positions") -> list[Integers]:
        """``sum_i lots[a, i] matrix[r, i]`` for every account a: R vectors of M integers, exactly.

        Sums stay in int64 where a bound over these very books allows it; else lots and coefficients are cut into limbs
        whose sums do, and these are put together in Python integers.
        """
        if not len(self.matrix):
            return []
        amounts = books.amounts(side)
        legs = int(np.diff(books.starts).max(initial=0)) if books.table is None else self.matrix.shape[1]
        lots = books.most
        if max(legs, 1) * lots * self.top < 1 << _INT64_BITS or self._reach(books, amounts) < 2.0**_INT64_BITS:
            return [Integers.of(row) for row in self._sums(books, amounts, self.matrix)]
        bits = (_INT64_BITS - max(legs, 1).bit_length()) // 2
        total: list[Integers] = [Integers.of(np.zeros(len(books), dtype=np.int64))] * len(self.matrix)
        for i, matrix in enumerate(_limbs(self.matrix, bits)):
            for j, part in enumerate(_limbs(amounts, bits)):
                sums = self._sums(books, part, matrix)
                total = [t + Integers.of(row) * (1 << bits * (i + j)) for t, row in zip(total, sums, strict=True)]
        return [vector.tight() for vector in total]

    @cached_property
    def _entries(self) -> tuple[Int64Array, Int64Array, Int64Array]:
        """Where the entries of each slot begin, and their rows and places in the matrix: what is not 0, by slot."""
        slots, rows = np.nonzero(self.matrix.T)
        columns = np.searchsorted(slots, np.arange(self.matrix.shape[1] + 1)).astype(np.int64)
        return columns, rows.astype(np.int64), slots.astype(np.int64)

    @cached_property
    def _largest(self) -> npt.NDArray[np.float64]:
        """[N] the largest absolute value of each slot, as a double."""
        largest: npt.NDArray[np.float64] = np.abs(self.matrix.astype(np.float64)).max(axis=0, initial=0)
        return largest

    def _reach(self, books: Books, amounts: Int64Array) -> float:
        """A bound of every sum, and of all sums on the way to it, to a part in 2^40."""
        size = np.abs(amounts.astype(np.float64))
        if books.table is not None:
            return float((size @ self._largest).max(initial=0)) * (1 + 2.0**-20)
        sums = np.concatenate([[0.0], np.cumsum(size * self._largest[books.slots])])
        # differences of a running sum are off by its own last places
        return float((sums[books.starts[1:]] - sums[books.starts[:-1]]).max(initial=0)) + float(sums[-1]) * 2.0**-20

    def _sums(self, books: Books, amounts: Int64Array, matrix: Int64Array) -> Int64Array:
        """[R, M] of sums that are known to fit int64."""
        if books.table is not None:
            return _dense_sums(matrix, amounts)
        from zkmargin.engine._kernels.book_products import sum_legs  # noqa: PLC0415 - a verifier has no compiler

        columns, rows, slots = self._entries
        totals = np.zeros((len(books), len(matrix)), dtype=np.int64)
        sum_legs(books.starts, books.slots, amounts, columns, rows, matrix[rows, slots], totals)
        return np.ascontiguousarray(totals.T)


def _dense_sums(matrix: Int64Array, table: Int64Array) -> Int64Array:
    """matrix [R, N] times table [M, N], as [R, M]; by doubles in which every sum of products of limbs is exact."""
    budget = _DOUBLE_BITS - max(matrix.shape[1], 1).bit_length()
    a, b = (max(int(x.max(initial=0)), -int(x.min(initial=0))).bit_length() for x in (matrix, table))
    # The fewest products of limbs: cut the table into few pieces, the matrix into what is left of the budget.
    left_over = {p: budget - max(-(-b // p), 1) - 1 for p in range(1, 5)}
    pieces = min((p for p in left_over if left_over[p] > 0), key=lambda p: p * -(-a // left_over[p]))
    wide, narrow = max(-(-b // pieces), 1), left_over[pieces]
    total = np.zeros((len(matrix), len(table)), dtype=np.int64)
    for j, right in enumerate(_limbs(table, wide)):
        columns = right.T.astype(np.float64)
        for i, left in enumerate(_limbs(matrix, narrow)):
            # partial sums may wrap: the whole one is known to fit, and 2^64 is one and the same for both
            total += (left.astype(np.float64) @ columns).astype(np.int64) << (narrow * i + wide * j)
    return total


def _limbs(array: Int64Array, bits: int) -> list[Int64Array]:
    """Limbs of ``bits`` bits, low first, the last one signed."""
    limbs, rest = [], array
    top = max(int(array.max(initial=0)), -1 - int(array.min(initial=0)))
    while top >> bits:
        limbs.append(rest & ((1 << bits) - 1))
        rest, top = rest >> bits, top >> bits
    return [*limbs, rest]


def _column(values: npt.ArrayLike, field: str) -> Int64Array:
    return _int64(values, field, 1)


def _balances(values: npt.ArrayLike) -> npt.NDArray[Any]:
    array = _whole(values, "collateral", 2)
    return array if array.dtype == object else np.ascontiguousarray(array, dtype=np.int64)


def _int64(values: npt.ArrayLike, field: str, dimensions: int) -> Int64Array:
    array = _whole(values, field, dimensions)
    if array.dtype == object:
        raise InputError("a value outside 64 bits with sign", field=field)
    return np.ascontiguousarray(array, dtype=np.int64)


def _whole(values: npt.ArrayLike, field: str, dimensions: int) -> npt.NDArray[Any]:
    """An array of integers: int64 where they fit, else Python integers."""
    array = values if isinstance(values, np.ndarray) else np.array(values, dtype=object)
    if array.ndim != dimensions:
        raise InputError(f"has {array.ndim} dimensions, not {dimensions}", field=field)
    if array.dtype.kind == "i" or not array.size:
        return array.astype(np.int64)
    if array.dtype.kind not in "uO" or not all(type(value) is int for value in array.ravel().tolist()):
        raise InputError(f"holds {array.dtype}, not integers", field=field)
    fits = max(-int(array.min()), int(array.max())) < 1 << 63
    return array.astype(np.int64 if fits else object)
