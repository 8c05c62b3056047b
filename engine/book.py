"""A book: signed positions and collateral balances, secret. Decimal text in, exact lots out."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from zkmargin.engine.decimals import from_units, to_fraction, to_units
from zkmargin.engine.frames import SECTIONS, frame_of, lots_of_arrays, rows_of_frame, sections
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document, FrozenMap, Hint, InputError, Map
from zkmargin.formats.files import read_text
from zkmargin.formats.lines import line_at


class Book(Document):
    """Positions by instrument id and balances by asset, as decimal text in the instrument's or asset's own units."""

    FORMAT: ClassVar[str] = "zkmargin/book/v1"
    SECRET: ClassVar[bool] = True

    positions: Map[str, str] = Field(default_factory=FrozenMap)
    collateral: Map[str, str] = Field(default_factory=FrozenMap)

    @classmethod
    def of(cls, positions: Mapping[str, object], collateral: Mapping[str, object] | None = None) -> Self:
        """A book of numbers: decimal text, ints, Decimals, Fractions, and floats that are exact; pandas series too.

        Raises:
            InputError: a quantity that is not exactly a decimal, 0.1 as a float say; names it.

        Example:
            >>> Book.of({"BTC-PERPETUAL": -5, "ETH-SPOT": 12.5}, {"USDC": "250000"})
            Book(2 positions, 1 balances)
        """
        rows = [("positions", name, quantity) for name, quantity in positions.items()]
        if collateral is not None:  # no `or`: a pandas series has no truth value
            rows += [("collateral", name, quantity) for name, quantity in collateral.items()]
        return cls.model_validate(sections(rows))

    @classmethod
    def from_frame(cls, frame: Any) -> Self:
        """A book from a pandas frame: columns name and quantity, and section (positions, collateral) if there are both.

        Raises:
            InputError: other columns, a name twice, or a quantity that is not exactly a decimal.

        Example:
            >>> import pandas as pd
            >>> Book.from_frame(pd.DataFrame({"name": ["BTC-PERPETUAL"], "quantity": [-5]}))
            Book(1 positions, 0 balances)
        """
        return cls.model_validate(sections(rows_of_frame(frame)))

    def to_frame(self) -> Any:
        """A pandas frame with the columns section, name, quantity (decimal text): ``from_frame`` reads it back.

        Example:
            >>> list(Book.of({"BTC-PERPETUAL": -5}).to_frame().loc[0])
            ['positions', 'BTC-PERPETUAL', '-5']
        """
        return frame_of({section: getattr(self, section) for section in SECTIONS})

    def __repr__(self) -> str:
        return f"Book({len(self.positions)} positions, {len(self.collateral)} balances)"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class BookLots:
    """A book in the order of a snapshot's slots: signed lots. Its repr shows no numbers.

    Attributes:
        positions: [N] signed lots per instrument slot.
        collateral: [M] signed lots per collateral slot.
    """

    positions: tuple[int, ...]
    collateral: tuple[int, ...]

    @classmethod
    def from_arrays(cls, positions: npt.ArrayLike, collateral: npt.ArrayLike, snapshot: Snapshot) -> BookLots:
        """A book of whole lots as arrays [N] and [M], in the order of a snapshot's slots.

        Raises:
            InputError: another length, no whole number of lots, or one beyond its slot's bound.
        """
        return sum_of_books([BookLots(*lots_of_arrays(positions, collateral, snapshot))], snapshot)

    def to_arrays(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Lots as arrays: [N] of the instrument slots, [M] of the collateral slots.

        Example:
            >>> BookLots((1, -2), (3,)).to_arrays()
            (array([ 1, -2]), array([3]))
        """
        return np.array(self.positions, dtype=np.int64), np.array(self.collateral, dtype=np.int64)

    def __repr__(self) -> str:
        return f"BookLots({len(self.positions)} slots, {len(self.collateral)} assets)"


def as_lots(book: Book | BookLots, snapshot: Snapshot) -> BookLots:
    """A book in a snapshot's lots, whichever of both it is given as. Raises InputError as ``to_lots``."""
    if isinstance(book, BookLots):
        return book
    if not isinstance(book, Book):
        raise InputError(
            f"a {type(book).__name__} is no book",
            field="book",
            hint="Book.of({name: quantity}, {asset: quantity}) makes one, Book.from_frame of a pandas frame",
        )
    return to_lots(book, snapshot)


def to_lots(book: Book, snapshot: Snapshot, text: str | None = None, file: str | None = None) -> BookLots:
    """Count a book in a snapshot's lots.

    Args:
        book: the book.
        snapshot: says which instruments and assets there are, their lots and bounds.
        text: the raw file, for the lines of errors.
        file: its name, for errors.

    Raises:
        InputError: an unknown name, or a quantity that is no decimal, no multiple of its lot, too large, or
            negative where the policy does not allow it. Says where, never how much.

    Example:
        >>> to_lots(Book.of({"BTC-PERPETUAL": -5}), snapshot).positions.count(0) == len(snapshot.instruments) - 1
        True
        >>> to_lots(Book.of({"BTC-PERP": -5}), snapshot)
        Traceback (most recent call last):
        ...
        zkmargin.formats.errors.InputError: positions.BTC-PERP: no such instrument in the snapshot
    """
    instruments, assets = rules(snapshot)
    return BookLots(
        positions=count_section("positions", book.positions, instruments, text, file),
        collateral=count_section("collateral", book.collateral, assets, text, file),
    )


def sum_of_books(books: Sequence[BookLots], snapshot: Snapshot) -> BookLots:
    """Books added up slot by slot: an account at several venues, or a book and trades.

    Raises:
        InputError: a sum beyond the snapshot's bounds; names the slot.
    """
    positions = tuple(map(sum, zip(*(book.positions for book in books), strict=True)))
    collateral = tuple(map(sum, zip(*(book.collateral for book in books), strict=True)))
    found = BookLots(positions, collateral)
    check_bounds(found, snapshot, "the books add up to")
    return found


def check_bounds(lots: BookLots, snapshot: Snapshot, what: str) -> None:
    """Raises InputError that names the slot: a quantity beyond its bound. ``what`` says where it comes from."""
    for slot, held in zip(snapshot.instruments, lots.positions, strict=True):
        if abs(held) >= 1 << snapshot.layout.position_bits:
            raise InputError(f"{what} 2^{snapshot.layout.position_bits} lots or more", field=slot.id)
    for asset, held in zip(snapshot.collateral, lots.collateral, strict=True):
        if abs(held) >= 1 << asset.bits:
            raise InputError(f"{what} 2^{asset.bits} lots or more", field=asset.asset)


def to_book(lots: BookLots, snapshot: Snapshot) -> Book:
    """The document of a book counted in lots, without zeros; inverse of ``to_lots``."""
    return Book(
        positions={s.id: _decimal(q, s.lot) for s, q in zip(snapshot.instruments, lots.positions, strict=True) if q},
        collateral={
            s.asset: _decimal(q, s.lot) for s, q in zip(snapshot.collateral, lots.collateral, strict=True) if q
        },
    )


def _decimal(lots: int, lot: str) -> str:
    decimals = len(lot.partition(".")[2])
    return from_units(lots * to_units(lot, decimals), decimals)


def load_book(path: str | Path, snapshot: Snapshot) -> BookLots:
    """Read a book file (``-`` for standard input) and count it in a snapshot's lots. Raises InputError.

    Example:
        >>> from zkmargin import save_document
        >>> save_document(book, "my-book.json")
        >>> load_book("my-book.json", snapshot) == to_lots(book, snapshot)
        True
    """
    text = read_text(path)
    return to_lots(Book.parse(text, file=str(path)), snapshot, text, str(path))


class Rule(NamedTuple):
    """What a quantity in a slot must be: a whole number of lots, below 2^bits of them, perhaps not negative."""

    lot: str
    bits: int
    negative_allowed: bool
    retired: bool = False


def rules(snapshot: Snapshot) -> tuple[dict[str, Rule], dict[str, Rule]]:
    """The rules of a snapshot's instruments and assets, by name, in the order of slots."""
    bits = snapshot.layout.position_bits
    return (
        {slot.id: Rule(slot.lot, bits, True, slot.retired) for slot in snapshot.instruments},
        {s.asset: Rule(s.lot, s.bits, s.negative_allowed, s.retired) for s in snapshot.collateral},
    )


def count_section(
    section: str, entries: Mapping[str, str], rules: Mapping[str, Rule], text: str | None, file: str | None
) -> tuple[int, ...]:
    """Signed lots, one a rule, of decimal texts by name. ``section`` is named in errors. Raises InputError."""
    lots = dict.fromkeys(rules, 0)
    for name, quantity in entries.items():
        try:
            if name not in rules:
                raise _unknown(name, section, rules)
            lots[name] = _count(quantity, rules[name])
        except InputError as error:
            line = None if text is None else line_at(text, (section, name))
            where = f"{section}.{name[:100]}"
            raise InputError(error.reason, file=file, field=where, line=line, hint=error.hint) from None
    return tuple(lots.values())


def _count(quantity: str, rule: Rule) -> int:
    lots = to_fraction(quantity) / to_fraction(rule.lot)
    if lots.denominator != 1:
        raise InputError(f"not a multiple of the lot, {rule.lot}")
    if lots and rule.retired:
        raise InputError("retired: it was delisted, and no book holds it", hint=Hint.CLOSE)
    if lots < 0 and not rule.negative_allowed:
        raise InputError("negative, and the policy allows no negative balance of this asset")
    if abs(lots) >= 1 << rule.bits:
        raise InputError(f"too large: the bound is 2^{rule.bits} lots of {rule.lot}")
    return lots.numerator


def _unknown(name: str, section: str, known: Mapping[str, Rule]) -> InputError:
    what = "instrument" if section == "positions" else "asset"
    close = difflib.get_close_matches(name[:100], known, n=3)
    return InputError(f"no such {what} in the snapshot", hint=f"the closest: {', '.join(close)}" if close else None)
