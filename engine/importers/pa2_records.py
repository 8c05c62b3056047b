"""The records of the expanded unpacked SPAN format: columns, signs, and prices by locator and alignment (``pa2``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from zkmargin.engine.importers.source import Progress, Source
from zkmargin.engine.importers.span_common import Side
from zkmargin.formats import InputError

MAX_LINE = 512
MAX_LINES = 50_000_000
NO_PRICE = frozenset("9")
#: Truncated first decimals of k/8: the last digit of a price in eighths.
_EIGHTHS = {"0": 0, "1": 1, "2": 2, "3": 3, "5": 4, "6": 5, "7": 6, "8": 7}
TICKS = {"C": 32, "K": 64}


@dataclass(frozen=True, slots=True)
class Line:
    """One record."""

    number: int
    text: str

    def at(self, first: int, last: int) -> str:
        """The text of columns ``first`` to ``last``, without blanks around it."""
        return self.text[first - 1 : last].strip()

    def whole(self, first: int, last: int, default: int = 0) -> int:
        """A number without sign. Raises InputError."""
        text = self.at(first, last)
        if not text:
            return default
        if not re.fullmatch(r"[0-9]{1,20}", text):
            raise InputError(
                "not a number", field=f"type {self.text[:2].strip()} columns {first}-{last}", line=self.number
            )
        return int(text)

    def signed(self, first: int, last: int) -> int:
        """A number whose sign is in the column after it. Raises InputError."""
        sign = self.text[last : last + 1]
        if sign not in ("", " ", "+", "-"):
            raise InputError("not a sign", field=f"type {self.text[:2].strip()} column {last + 1}", line=self.number)
        return -self.whole(first, last) if sign == "-" else self.whole(first, last)


def read_lines(source: Source, progress: Progress | None) -> Iterator[Line]:
    """The records of a file, one at a time. Raises InputError."""
    with source.reader(progress) as file:
        number = 0
        while raw := file.readline(MAX_LINE + 1):
            number += 1
            if len(raw) > MAX_LINE or number > MAX_LINES:
                raise InputError(f"a line longer than {MAX_LINE}, or more than {MAX_LINES} lines", line=number)
            text = raw.decode("latin-1").rstrip("\r\n")
            if text.strip("\x1a "):
                yield Line(number, text)


def series_key(line: Line, columns: tuple[tuple[int, int], ...]) -> tuple[str, ...]:
    """The key of a future or an option series; a month may be blank or zeros where there is none."""
    return tuple(line.at(*pair).lstrip("0") for pair in columns)


def side_of(line: Line, column: int) -> Side:
    """A leg's market side. Raises InputError."""
    match line.at(column, column):
        case "A":
            return "A"
        case "B":
            return "B"
    raise InputError("neither A nor B", field=f"type {line.text[:2].strip()} column {column}", line=line.number)


def locator(line: Line, first: int, last: int) -> int:
    """A decimal locator, which may be negative. Raises InputError."""
    text = line.at(first, last) or "0"
    if not re.fullmatch(r"-?[0-9]{1,3}", text):
        raise InputError("not a decimal locator", field=f"type P columns {first}-{last}", line=line.number)
    return int(text)


def exponent(line: Line, sign: int, first: int, last: int) -> int:
    """A power of ten whose sign is in a column of its own."""
    return -line.whole(first, last) if line.at(sign, sign) == "-" else line.whole(first, last)


def price_of(first: Line, second: Line, terms: Line) -> Fraction | None:
    """The settlement price in points; None where the file has none."""
    precise = first.at(123, 123) == "Y"
    digits = first.at(109, 122) if precise else second.at(111, 117)
    if not digits or set(digits) == NO_PRICE:
        return None
    value = aligned(second, digits, locator(terms, 34, 36), terms.at(40, 40))
    return -value if second.at(118, 118) == "-" else value


def aligned(line: Line, digits: str, decimals: int, code: str) -> Fraction:
    """A price by its decimal locator and alignment code. Raises InputError for a code or digit that means nothing."""
    if not re.fullmatch(r"[0-9]{1,20}", digits):
        raise InputError("not a price", field=f"type {line.text[:2]}", line=line.number)
    raw = int(digits)
    if code == "" or raw == 0:
        return Fraction(raw) / Fraction(10) ** decimals
    eighths = _EIGHTHS.get(digits[-1])
    if code not in ("0", *TICKS) or eighths is None or (code in TICKS and decimals != 3) or decimals < 1:
        raise InputError(
            f"a price that alignment {code} does not allow", field=f"type {line.text[:2]}", line=line.number
        )
    if code == "0":
        return (raw // 10 + Fraction(eighths, 8)) / Fraction(10) ** (decimals - 1)
    return raw // 1000 + (raw % 1000 // 10 + Fraction(eighths, 8)) / TICKS[code]
