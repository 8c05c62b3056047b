"""Reading rows of ticker text: bounded CSV streaming, machine-written numbers, medians and pulls.

A *pull* is one pass over the instruments of an exchange. Files often hold several passes one after the
other; a new one starts where an instrument appears again.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TextIO, TypeVar

from zkmargin.engine.decimals import from_units, to_units
from zkmargin.formats import InputError
from zkmargin.formats.files import STDIO

MAX_CSV_LENGTH = 1 << 30
MAX_LINE = 1 << 16
MAX_COLUMNS = 256
MAX_PULL_ROWS = 1 << 16
MAX_PULLS = 100_000
MAX_EXPONENT = 30

R = TypeVar("R")

_NUMBER = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,2})?")


def read_csv(path: str | Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Stream the rows of a CSV file with a header, keeping the given columns: ``(line, {column: text})``.

    Memory is bounded by one line (``MAX_LINE`` characters), whatever the file's size.

    Raises:
        InputError: unreadable, not UTF-8, above ``MAX_CSV_LENGTH``, a line too long, a missing or repeated
            column, a row of another width or without a line end (a file that was cut off), broken quoting.
    """
    name = str(path)
    try:
        with _opened(path) as file:
            reader = csv.reader(_lines(file, name), strict=True)
            header = next(reader, None)
            if not header:
                raise InputError("the file is empty", file=name)
            if len(header) > MAX_COLUMNS:
                raise InputError(f"more than {MAX_COLUMNS} columns", file=name, line=1)
            at = _columns(header, columns, name)
            for row in reader:
                if len(row) != len(header):
                    raise InputError(
                        f"{len(row)} columns where the header has {len(header)}: is the file cut off?",
                        file=name,
                        line=reader.line_num,
                    )
                yield reader.line_num, {column: row[index] for column, index in at.items()}
    except OSError as error:
        raise InputError(f"cannot be read: {(error.strerror or 'error').lower()}", file=name) from None
    except UnicodeDecodeError:
        raise InputError("not UTF-8 text", file=name) from None
    except csv.Error as error:
        raise InputError(f"not CSV: {error}", file=name, line=reader.line_num) from None


@contextmanager
def _opened(path: str | Path) -> Iterator[TextIO]:
    """The file as text, or standard input for ``-`` (left open)."""
    if str(path) != STDIO:
        with Path(path).open(encoding="utf-8", newline="") as file:
            yield file
        return
    stdin = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", newline="")
    try:
        yield stdin
    finally:
        stdin.detach()


def _columns(header: list[str], columns: Sequence[str], name: str) -> dict[str, int]:
    header = [header[0].removeprefix("\ufeff"), *header[1:]]
    for column in columns:
        if header.count(column) != 1:
            reason = "the header has no such column" if column not in header else "the column appears twice"
            raise InputError(reason, file=name, line=1, field=column)
    return {column: header.index(column) for column in columns}


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
        raise InputError("missing" if value is None or value == "" else "not a number")
    number = Decimal(text)
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int) or abs(number.adjusted()) > MAX_EXPONENT or abs(exponent) > 2 * MAX_EXPONENT:
        raise InputError("a number out of range")
    units = int("".join(map(str, digits))) * (-1 if sign else 1)
    return from_units(units * 10 ** max(exponent, 0), max(-exponent, 0))


def select_pull(rows: Iterable[tuple[str, R]], pull: int | None, file: str) -> tuple[dict[str, R], list[str]]:
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
    kept: tuple[int, dict[str, R]] = (0, {})
    current: dict[str, R] = {}

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
            hint="check for repeated rows, or choose one with --pull N",
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
