"""Daily histories of prices: a CSV file of closes, in integers.

    date,BTC,ETH
    2024-01-02,44187.14,2350.82

One row a day, ascending; one column an underlying, decimal text above 0. A missing close (an empty cell) is an error:
which day to fill it from is a decision that belongs into the file. A second file of the same form has implied vols
(0.65 is 65 %) on the same dates.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Self

from zkmargin.engine.decimals import to_units
from zkmargin.engine.exact import round_half_away
from zkmargin.engine.names import NAME_PATTERN
from zkmargin.formats import InputError
from zkmargin.formats.canonical import canonical_bytes, keccak256
from zkmargin.formats.files import read_text

#: Returns and volatilities are integers in 1e-9.
RETURN_DECIMALS = 9
UNIT = 10**RETURN_DECIMALS
MAX_DAYS = 100_000
MAX_UNDERLYINGS = 1_000
#: Prices are kept with so many decimals.
PRICE_DECIMALS = 9


@dataclass(frozen=True)
class History:
    """Closes by underlying.

    Attributes:
        dates: D ISO dates, ascending.
        prices: for each underlying D closes in 1e-9.
        vols: for some of them D implied vols in 1e-9.
    """

    dates: tuple[str, ...]
    prices: Mapping[str, tuple[int, ...]]
    vols: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, file: str | None = None) -> Self:
        """Read a CSV text. Raises InputError: names the line and the column."""
        rows = csv.reader(io.StringIO(text))
        header = next(rows, [])
        names = header[1:]
        if not header or header[0].strip().lower() != "date" or not names:
            raise InputError('the first line is "date" and the underlyings', file=file, line=1)
        if len(set(names)) != len(names) or len(names) > MAX_UNDERLYINGS:
            raise InputError("an underlying appears twice, or too many of them", file=file, line=1)
        for name in names:
            if not re.fullmatch(NAME_PATTERN, name):
                raise InputError("not a name of an underlying", file=file, line=1, field=name[:40])
        dates: list[str] = []
        columns: list[list[int]] = [[] for _ in names]
        for number, row in enumerate(rows, 2):
            if not row:
                continue
            if len(row) != len(header):
                raise InputError(f"{len(row)} cells, not {len(header)}", file=file, line=number)
            dates.append(_day(row[0], dates[-1] if dates else "", file, number))
            for name, cell, column in zip(names, row[1:], columns, strict=True):
                column.append(_close(cell, name, file, number))
            if len(dates) > MAX_DAYS:
                raise InputError(f"more than {MAX_DAYS} days", file=file, line=number)
        if len(dates) < 2:
            raise InputError("fewer than two days", file=file)
        return cls(tuple(dates), {name: tuple(column) for name, column in zip(names, columns, strict=True)})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a CSV file (``-`` for standard input). Raises InputError."""
        return cls.parse(read_text(path), file=str(path))

    def with_vols(self, vols: History) -> History:
        """The same closes with implied vols beside them, as another file of the same form has them.

        Raises:
            InputError: other dates, or vols of something that has no closes.
        """
        if vols.dates != self.dates:
            other = sorted(set(vols.dates) ^ set(self.dates))
            raise InputError(f"other dates than the closes, first {other[0]}", field="vols")
        strange = [name for name in vols.prices if name not in self.prices]
        if strange:
            raise InputError("has vols and no closes", field=strange[0])
        return replace(self, vols=vols.prices)

    def until(self, day: str) -> History:
        """The days up to a date. Raises InputError: not a date, or fewer than two are left."""
        check_day(day, field="as_of")
        count = sum(own <= day for own in self.dates)
        if count < 2:
            raise InputError("the history does not reach back from that date", field="as_of")
        prices, vols = (
            {name: column[:count] for name, column in columns.items()} for columns in (self.prices, self.vols)
        )
        return History(self.dates[:count], prices, vols)

    def digest(self) -> bytes:
        """keccak-256 of the dates, closes and vols: what a derivation names. Without vols it is that of version 1."""
        prices, vols = (
            {name: [str(value) for value in column] for name, column in columns.items()}
            for columns in (self.prices, self.vols)
        )
        data = {"format": "zkmargin/history/v1", "dates": list(self.dates), "prices": prices}
        if vols:
            data |= {"format": "zkmargin/history/v2", "vols": vols}
        return keccak256(canonical_bytes(data))

    def returns(self, name: str, horizon: int = 1) -> list[int]:
        """Relative moves over ``horizon`` days, overlapping, in 1e-9, rounded half away from zero."""
        return _moves(self.prices[name], horizon)

    def vol_returns(self, name: str, horizon: int = 1) -> list[int]:
        """The same of implied vols; nothing where there are none."""
        return _moves(self.vols.get(name, ()), horizon)


def _moves(values: Sequence[int], horizon: int) -> list[int]:
    return [
        round_half_away((after - before) * UNIT, before)
        for before, after in zip(values, values[horizon:], strict=False)
    ]


def check_day(text: str, *, field: str) -> None:
    """Raises InputError for anything but an ISO date."""
    try:
        right = date.fromisoformat(text).isoformat() == text
    except ValueError:
        right = False
    if not right:
        raise InputError("not a date like 2026-01-31", field=field)


def _day(cell: str, before: str, file: str | None, line: int) -> str:
    text = cell.strip()
    try:
        day = date.fromisoformat(text).isoformat()
    except ValueError:
        raise InputError("not a date like 2026-01-31", file=file, line=line, field="date") from None
    if day != text or day <= before:
        raise InputError("dates must ascend, each once, as 2026-01-31", file=file, line=line, field="date")
    return day


def _close(cell: str, name: str, file: str | None, line: int) -> int:
    try:
        units = to_units(cell.strip(), PRICE_DECIMALS)
    except InputError as error:
        raise InputError(error.reason, file=file, line=line, field=name[:40]) from None
    if units <= 0:
        raise InputError("must be above 0", file=file, line=line, field=name[:40])
    return units


def quantile(values: Sequence[int], level_bp: int) -> int:
    """The smallest value that at least ``level_bp`` / 10^4 of the values do not exceed (no interpolation)."""
    ordered = sorted(values)
    rank = max(-(-len(ordered) * level_bp // 10_000), 1)
    return ordered[rank - 1]
