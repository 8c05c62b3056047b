from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkmargin.engine.decimals import format_time, from_units, parse_time, to_fraction, to_units
from zkmargin.formats import InputError

NOT_DECIMALS = [
    "",
    " ",
    "+1",
    "-0",
    "-0.0",
    ".5",
    "5.",
    "1e3",
    "1E-3",
    "1_000",
    "1,000",
    "0x10",
    "01",
    "00.5",
    "--1",
    "- 1",
    " 1",
    "1 ",
    "1\n",
    "NaN",
    "nan",
    "Infinity",
    "-inf",
    "١٢",
    "\uff11",
    "1.2.3",
    "½",
    "1" * 61,
]


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [
        ("0", 9, 0),
        ("0.000", 0, 0),
        ("1", 0, 1),
        ("-12.5", 1, -125),
        ("-12.500", 1, -125),
        ("0.000000001", 9, 1),
        ("123456789012345678901234567890", 2, 12345678901234567890123456789000),
    ],
)
def test_units_are_exact(text: str, decimals: int, units: int) -> None:
    assert to_units(text, decimals) == units
    assert to_fraction(text) == Fraction(units, 10**decimals)


@pytest.mark.parametrize("text", NOT_DECIMALS)
def test_what_is_not_a_decimal_is_refused(text: str) -> None:
    for convert in (lambda: to_units(text, 9, field="price"), lambda: to_fraction(text, field="price")):
        with pytest.raises(InputError) as caught:
            convert()
        assert caught.value.field == "price"


def test_an_error_never_repeats_the_number() -> None:
    for text in ("987.65.4", "0.98765"):
        with pytest.raises(InputError) as caught:
            to_units(text, 2, field="position")
        assert "987" not in str(caught.value)


@pytest.mark.parametrize("value", [None, 1, 1.5, b"1", True])
def test_only_text_is_a_decimal(value: object) -> None:
    with pytest.raises(InputError, match="decimal string"):
        to_units(value, 9)  # type: ignore[arg-type]


def test_a_value_finer_than_the_unit_is_refused_not_rounded() -> None:
    with pytest.raises(InputError, match="more than 2 decimals"):
        to_units("0.001", 2)
    assert to_units("0.0100", 2) == 1


@given(st.integers(-(10**40), 10**40), st.integers(0, 18))
def test_units_to_text_and_back(units: int, decimals: int) -> None:
    text = from_units(units, decimals)
    assert to_units(text, decimals) == units
    assert text == "0" or not (text.endswith("0") and "." in text)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.001Z", 1),
        ("2021-02-11T18:44:14.256Z", 1613069054256),
        ("2024-02-29T08:00:00Z", 1709193600000),
        ("9999-12-31T23:59:59.999Z", 253402300799999),
    ],
)
def test_times(text: str, milliseconds: int) -> None:
    assert parse_time(text) == milliseconds
    assert format_time(milliseconds) == text


def test_a_short_fraction_of_a_second() -> None:
    assert parse_time("1970-01-01T00:00:01.5Z") == 1500


@pytest.mark.parametrize(
    "text",
    [
        "2021-02-11",
        "2021-02-11T18:44:14",
        "2021-02-11 18:44:14Z",
        "2021-02-11T18:44:14+00:00",
        "2021-02-11T18:44:14.1234Z",
        "2021-02-30T00:00:00Z",
        "2021-13-01T00:00:00Z",
        "2021-01-01T24:00:00Z",
        "2016-12-31T23:59:60Z",
        "1969-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "٢021-01-01T00:00:00Z",
        "2021-02-11T18:44:14Z\n",
        "",
        "NaN",
    ],
)
def test_what_is_not_a_time_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_time(text, field="expiry")
    assert caught.value.field == "expiry"


@pytest.mark.parametrize("milliseconds", [-1, 253402300800000, 10**30])
def test_a_time_outside_the_calendar_is_refused(milliseconds: int) -> None:
    with pytest.raises(InputError, match="1970 to 9999"):
        format_time(milliseconds)


@given(st.integers(0, 253402300799999))
def test_times_to_text_and_back(milliseconds: int) -> None:
    assert parse_time(format_time(milliseconds)) == milliseconds
