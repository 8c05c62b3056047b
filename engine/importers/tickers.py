"""Reading rows of ticker text: bounded CSV streaming, machine-written numbers, medians, pulls and newest rows.

A *pull* is one pass over the instruments of an exchange. Files often hold several passes one after the
other; a new one starts where an instrument appears again. A *log* holds every change as it came: of those, the newest
row of each instrument counts.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol, TextIO, TypeVar

from zkmargin.engine.decimals import MAX_DECIMAL_LENGTH, format_time, from_units, parse_time, to_units
from zkmargin.engine.importers.base import Options
from zkmargin.engine.importers.source import Progress, Source
from zkmargin.formats import Hint, InputError

MAX_CSV_LENGTH = 4 << 30
MAX_LINE = 1 << 16
MAX_COLUMNS = 256
MAX_PULL_ROWS = 1 << 16
MAX_PULLS = 100_000
#: Digits on either side of the point of a machine-written number, and its largest power of ten.
MAX_DIGITS = MAX_DECIMAL_LENGTH - 2
MAX_EXPONENT = 30
LATEST = "latest"
SEPARATORS = ",;\t"


class Timed(Protocol):
    """A row with a time in milliseconds."""

    @property
    def time(self) -> int:
        """Milliseconds since 1970."""


R = TypeVar("R", bound=Timed)
T = TypeVar("T")

_NUMBER = re.compile(rf"-?[0-9]{{1,{MAX_DIGITS}}}(?:\.[0-9]{{1,{MAX_DIGITS}}})?(?:[eE][+-]?[0-9]{{1,2}})?")


def read_csv(
    source: Source, columns: Sequence[str], *, optional: Sequence[str] = (), progress: Progress | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Stream the rows of a CSV file with a header, keeping the given columns: ``(line, {column: text})``.

    Cells are separated by commas, semicolons or tabs, whichever the header has; blank lines are passed over. Memory is
    bounded by one line (``MAX_LINE`` characters), whatever the file's size.

    Args:
        source: the file.
        columns: columns that it must have.
        optional: columns that are kept where it has them.
        progress: called with bytes read and bytes in all.

    Raises:
        InputError: not UTF-8, above ``MAX_CSV_LENGTH``, a line too long, a missing or repeated
            column, a row of another width or without a line end (a file that was cut off), broken quoting.
    """
    name = source.name
    with io.TextIOWrapper(source.reader(progress), encoding="utf-8", newline="") as file:
        lines = _lines(file, name)
        try:
            first = next(lines, None)
            if first is None:
                raise InputError("the file is empty", file=name)
            separator = max(SEPARATORS, key=first.count)
            reader = csv.reader(_again(first, lines), strict=True, delimiter=separator)
            header = next(reader, None)
            if not header:
                raise InputError("the file is empty", file=name)
            if len(header) > MAX_COLUMNS:
                raise InputError(f"more than {MAX_COLUMNS} columns", file=name, line=1)
            at = _columns(header, columns, optional, name)
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise InputError(
                        f"{len(row)} columns where the header has {len(header)}: is the file cut off?",
                        file=name,
                        line=reader.line_num,
                    )
                yield reader.line_num, {column: row[index] for column, index in at.items()}
        except UnicodeDecodeError:
            raise not_utf8(source) from None
        except csv.Error as error:
            raise InputError(f"not CSV: {error}", file=name, line=reader.line_num) from None


def not_utf8(source: Source) -> InputError:
    """The error for text that is not UTF-8, naming UTF-16 where it is that."""
    utf16 = source.head(2) in (b"\xff\xfe", b"\xfe\xff")
    reason = "UTF-16 text, which is not read here" if utf16 else "not UTF-8 text"
    return InputError(reason, file=source.name, hint="save it as UTF-8" if utf16 else None)


def header_of(source: Source) -> tuple[str, ...]:
    """The columns of a file's first line; empty where it is no such line."""
    text = source.head(MAX_LINE).decode("utf-8", "replace").removeprefix("\ufeff").splitlines()
    line = text[0] if text else ""
    separator = max(SEPARATORS, key=line.count)
    return tuple(cell.strip('"') for cell in line.split(separator)) if line.count(separator) else ()


def _again(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _columns(header: list[str], columns: Sequence[str], optional: Sequence[str], name: str) -> dict[str, int]:
    header = [header[0].removeprefix("\ufeff"), *header[1:]]
    for column in (*columns, *optional):
        count = header.count(column)
        if count > 1 or (count == 0 and column not in optional):
            reason = "the header has no such column" if count == 0 else "the column appears twice"
            raise InputError(reason, file=name, line=1, field=column)
    return {column: header.index(column) for column in (*columns, *optional) if column in header}


def _lines(file: TextIO, name: str) -> Iterator[str]:
    size, number = 0, 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        size += len(line)
        if len(line) > MAX_LINE:
            raise InputError(f"a line of more than {MAX_LINE} characters", file=name, line=number)
        if size > MAX_CSV_LENGTH:
            raise InputError(f"longer than {MAX_CSV_LENGTH} characters", file=name)
        if not line.endswith(("\n", "\r")):
            raise InputError("the last line has no end: is the file cut off?", file=name, line=number)
        if "\0" in line:
            raise InputError("a NUL byte: not a text file", file=name, line=number)
        yield line


def plain_decimal(value: object) -> str:
    """A machine-written number as exact plain decimal text: ``5e-05`` becomes ``0.00005``, ``0.50`` becomes ``0.5``.

    Args:
        value: text, int or Decimal (never float).

    Raises:
        InputError: not a finite number in range.
    """
    text = str(value) if isinstance(value, (str, int, Decimal)) and not isinstance(value, bool) else ""
    if not _NUMBER.fullmatch(text):
        decimal_comma = re.fullmatch(r"-?[0-9]{1,30},[0-9]{1,30}", text) is not None
        raise InputError(
            "missing" if value is None or value == "" else "not a number",
            hint="write decimals with a point" if decimal_comma else None,
        )
    number = Decimal(text)
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int) or number.adjusted() > MAX_EXPONENT or not -MAX_DIGITS <= exponent <= MAX_EXPONENT:
        raise InputError("a number out of range")
    units = int("".join(map(str, digits))) * (-1 if sign else 1)
    plain = from_units(units * 10 ** max(exponent, 0), max(-exponent, 0))
    if len(plain) > MAX_DECIMAL_LENGTH:
        raise InputError(f"a number of more than {MAX_DECIMAL_LENGTH} characters")
    return plain


def select(
    rows: Iterable[tuple[str, R]], options: Options, file: str, *, log: bool = False
) -> tuple[dict[str, R], list[str]]:
    """One row of each instrument: the chosen pull's, or of a log the newest.

    Args:
        rows: instrument and row, in the file's order; consumed once.
        options: ``pull`` and ``at``.
        file: name for errors.
        log: whether the newest rows are taken where the caller does not say.

    Returns:
        The rows by instrument, and notes that explain the choice.

    Raises:
        InputError: no rows, no such pull, no pull that is complete, none until that time, too many rows or pulls.
    """
    if options.at is not None and options.pull is not None:
        raise InputError("a pull or a time, not both", file=file, field="at")
    if options.at is not None or (log and options.pull is None):
        return select_newest(rows, LATEST if options.at is None else options.at, file)
    return select_pull(rows, options.pull, file)


class Newest:
    """The newest of the rows of each kind and instrument, until a time: what several answers of a venue come down to.

    Args:
        at: ``latest``, a time, or None, which is as ``latest``.
    """

    def __init__(self, at: str | None) -> None:
        self._until = None if at in (None, LATEST) else parse_time(at or "", field="at")
        self._rows: dict[str, dict[str, tuple[int, Mapping[str, Any]]]] = {}
        self.later = 0

    def put(self, kind: str, name: str, time: int, row: Mapping[str, Any]) -> None:
        """Keep a row, unless a newer one is there. Raises InputError for too many instruments."""
        if self._until is not None and time > self._until:
            self.later += 1
            return
        rows = self._rows.setdefault(kind, {})
        if name not in rows or time >= rows[name][0]:
            rows[name] = (time, row)
            if len(rows) > MAX_PULL_ROWS:
                raise InputError(f"more than {MAX_PULL_ROWS} instruments")

    def of(self, kind: str) -> Mapping[str, tuple[int, Mapping[str, Any]]]:
        """Time in milliseconds and row, by instrument."""
        return self._rows.get(kind, {})


def select_newest(rows: Iterable[tuple[str, R]], at: str, file: str) -> tuple[dict[str, R], list[str]]:
    """The newest row of each instrument until a time (``latest``: whenever); of several of one time, the last.

    Raises:
        InputError: as ``select``.
    """
    until = None if at == LATEST else parse_time(at, field="at")
    chosen: dict[str, R] = {}
    count = later = 0
    for name, row in rows:
        if until is not None and row.time > until:
            later += 1
            continue
        count += 1
        before = chosen.get(name)
        if before is None or row.time >= before.time:
            chosen[name] = row
            if len(chosen) > MAX_PULL_ROWS:
                raise InputError(f"more than {MAX_PULL_ROWS} instruments", file=file)
    if not chosen:
        raise InputError(
            "holds no instruments" if until is None or not later else f"holds no row until {at}", file=file
        )
    notes = []
    if count > len(chosen):
        notes.append(f"{count} rows of {len(chosen)} instruments: the newest of each is used")
    if until is not None:
        notes.append(f"as of {format_time(until)}, as asked: {later} later rows are not used")
    return chosen, notes


def select_pull(rows: Iterable[tuple[str, T]], pull: int | None, file: str) -> tuple[dict[str, T], list[str]]:
    """Split rows into pulls and keep one: the given one, or the last that holds every instrument of the file.

    Args:
        rows: instrument and row, in the file's order; consumed once, at most two pulls are kept in memory.
        pull: counted from 1.
        file: name for errors.

    Returns:
        The rows of the pull by instrument, and notes that explain the choice.

    Raises:
        InputError: no rows, no such pull, no pull that is complete, too many rows or pulls.
    """
    seen: set[str] = set()
    sizes: list[int] = []
    kept: tuple[int, dict[str, T]] = (0, {})
    current: dict[str, T] = {}

    def close() -> None:
        nonlocal kept, current
        sizes.append(len(current))
        if len(sizes) == pull or (pull is None and len(current) == len(seen)):
            kept = (len(sizes), current)
        current = {}

    for name, row in rows:
        if name in current:
            close()
        seen.add(name)
        current[name] = row
        if len(seen) > MAX_PULL_ROWS or len(sizes) >= MAX_PULLS:
            raise InputError(f"more than {MAX_PULL_ROWS} instruments or {MAX_PULLS} pulls", file=file)
    if not current:
        raise InputError("holds no instruments", file=file)
    close()
    number, chosen = kept
    listed = ", ".join(map(str, sizes[:8])) + (", ..." if len(sizes) > 8 else "")
    holds = f"{len(sizes)} pull{'s' * (len(sizes) > 1)} of {listed} rows ({len(seen)} instruments)"
    if pull is not None and not chosen:
        raise InputError(f"there is no pull {pull}: the file holds {holds}", file=file, field="pull")
    if pull is None and len(chosen) != len(seen):
        raise InputError(
            f"no pull is complete (an instrument that appears again starts a new one): the file holds {holds}",
            file=file,
            hint=Hint.CHOOSE_PULL,
        )
    notes = []
    if len(sizes) > 1:
        why = "as asked" if pull is not None else "the last complete one"
        notes.append(f"the file holds {holds}: pull {number} is used, {why}")
    if len(chosen) != len(seen):
        notes.append(f"pull {number} lacks {len(seen) - len(chosen)} of the file's {len(seen)} instruments")
    return chosen, notes


def median(values: Sequence[str]) -> tuple[str, str, str]:
    """The exact median, least and greatest of decimal texts (the mean of the middle two where they are even)."""
    ordered = sorted(map(Decimal, values))
    places = max(max(-int(v.as_tuple().exponent), 0) for v in ordered)
    units = [to_units(plain_decimal(v), places) for v in ordered]
    middle = units[(len(units) - 1) // 2] + units[len(units) // 2]
    return from_units(middle * 5, places + 1), from_units(units[0], places), from_units(units[-1], places)
