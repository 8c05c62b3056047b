"""Exact decimal text and times as integers: the only way numbers enter the engine.

A decimal is an optional minus sign, digits without a superfluous leading zero, and optionally a point
followed by digits: ``-12.5``. No exponent, no NaN, no plus sign, no grouping, ASCII only: what a person
reads is what is computed with. Times are UTC and become milliseconds since 1970-01-01.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from zkmargin.formats import InputError

MAX_DECIMAL_LENGTH = 60
MS_PER_SECOND = 1000

_DECIMAL = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.([0-9]{1,3}))?Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_units(text: str, unit_decimals: int, *, field: str | None = None) -> int:
    """The exact number of units of ``10**-unit_decimals`` that a decimal text stands for.

    Args:
        text: the decimal.
        unit_decimals: decimals of the unit, >= 0 (9 for the money unit 1e-9).
        field: what the number is, for the error.

    Raises:
        InputError: not a decimal, or not a whole number of units. The text is not repeated: it may be secret.
    """
    sign, whole, fraction = _split(text, field)
    kept, rest = fraction[:unit_decimals], fraction[unit_decimals:]
    if rest.strip("0"):
        raise InputError(f"has more than {unit_decimals} decimals", field=field)
    units = int(whole + kept.ljust(unit_decimals, "0"))
    return -units if sign else units


def to_nearest_units(text: str, unit_decimals: int, *, field: str | None = None) -> int:
    """The nearest number of units of ``10**-unit_decimals`` to a decimal text, half away from zero.

    For prices, vols, strikes and rates, which pricing counts in units far finer than they are known to. Quantities and
    money are never rounded: ``to_units``.

    Args:
        text: the decimal.
        unit_decimals: decimals of the unit, >= 0.
        field: what the number is, for the error.

    Raises:
        InputError: not a decimal.

    Example:
        >>> to_nearest_units("1.5551965233045728", 9)
        1555196523
    """
    sign, whole, fraction = _split(text, field)
    kept = fraction[:unit_decimals]
    units = int(whole + kept.ljust(unit_decimals, "0")) + (fraction[unit_decimals : unit_decimals + 1] >= "5")
    return -units if sign else units


def from_units(units: int, unit_decimals: int) -> str:
    """The shortest decimal text of ``units * 10**-unit_decimals``; inverse of ``to_units``."""
    digits = str(abs(units)).rjust(unit_decimals + 1, "0")
    cut = len(digits) - unit_decimals
    fraction = digits[cut:].rstrip("0")
    return ("-" if units < 0 else "") + digits[:cut] + (f".{fraction}" if fraction else "")


def to_cents(units: int, unit_decimals: int) -> str:
    """Units as text to the cent, rounded down, thousands separated: what people are shown.

    Example:
        >>> to_cents(1_234_567_899, 5), to_cents(-1, 5)
        ('12,345.67', '-0.01')
    """
    cents = units // 10 ** (unit_decimals - 2)
    sign, cents = ("-", -cents) if cents < 0 else ("", cents)
    return f"{sign}{cents // 100:,}.{cents % 100:02d}"


def to_fraction(text: str, *, field: str | None = None) -> Fraction:
    """The exact value of a decimal text. Raises InputError as ``to_units`` does."""
    sign, whole, fraction = _split(text, field)
    value = Fraction(int(whole + fraction), 10 ** len(fraction))
    return -value if sign else value


def parse_time(text: str, *, field: str | None = None) -> int:
    """Milliseconds since 1970 of an ISO-8601 UTC time ``2026-01-02T03:04:05Z`` (up to 3 fraction digits).

    Raises:
        InputError: another form, a date that does not exist, or a year before 1970.
    """
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InputError("not a UTC time like 2026-01-02T03:04:05Z", field=field)
    try:
        year, month, day, hour, minute, second = int(text[:4]), *(int(text[at : at + 2]) for at in range(5, 19, 3))
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise InputError("a date or time of day that does not exist", field=field) from None
    if moment < _EPOCH:
        raise InputError("a time before 1970", field=field)
    return (moment - _EPOCH) // timedelta(milliseconds=1) + int((match.group(1) or "").ljust(3, "0"))


def format_time(milliseconds: int) -> str:
    """The ISO-8601 UTC text of milliseconds since 1970, with three fraction digits only where they are not zero.

    Raises:
        InputError: negative, or past the year 9999.
    """
    try:
        if milliseconds < 0:
            raise OverflowError  # noqa: TRY301 - one message for both ends of the calendar
        moment = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise InputError("a time outside the years 1970 to 9999") from None
    fraction = milliseconds % MS_PER_SECOND
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{fraction:03d}Z" if fraction else "Z")


def _split(text: str, field: str | None) -> tuple[str, str, str]:
    """Sign, whole digits and fraction digits of a decimal text; raises InputError."""
    if not isinstance(text, str):
        raise InputError("not a decimal string", field=field)
    if len(text) > MAX_DECIMAL_LENGTH:
        raise InputError(f"a decimal of {len(text)} characters (at most {MAX_DECIMAL_LENGTH})", field=field)
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise InputError("not a decimal number like -12.5", field=field)
    sign, whole, fraction = match.group(1), match.group(2), match.group(3) or ""
    if sign and not (whole + fraction).strip("0"):
        raise InputError("-0 is not a number here: write 0", field=field)
    return sign, whole, fraction
