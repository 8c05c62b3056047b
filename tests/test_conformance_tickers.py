"""A recorded file of tickers: every option twice in two pulls, forwards that differ, no futures, no stablecoin."""

from __future__ import annotations

import csv
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from support.ticker_files import import_csv, notes

from zkmargin.formats import InputError

# The real file: every option twice in two pulls, forwards that differ within an expiry, no futures, no stablecoin.


@pytest.fixture(scope="module")
def real_file(conformance_family: Callable[[str], list[Path]]) -> Path:
    return conformance_family("margin/deribit/deribit_btc_options_2021-02-11.csv")[0]


@pytest.fixture(scope="module")
def real_rows(real_file: Path) -> list[dict[str, str]]:
    with real_file.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.conformance
def test_every_option_once_from_either_pull(real_file: Path, real_rows: list[dict[str, str]]) -> None:
    assert len(real_rows) == 976
    for pull, part in ((1, real_rows[:488]), (2, real_rows[488:]), (None, real_rows[488:])):
        market = import_csv(real_file, pull=pull, prices={"USDC": "1"})
        expected = {r["instrument_name"]: Fraction(r["mark_iv"]) / 100 for r in part}
        assert {i.id: Fraction(i.implied_vol or "") for i in market.instruments} == expected
        assert len(expected) == len(market.instruments) == 488
        assert "2 pulls of 488, 488 rows (488 instruments)" in notes(market)


@pytest.mark.conformance
def test_nine_expiries_at_eight_with_their_median_and_spread(real_file: Path, real_rows: list[dict[str, str]]) -> None:
    market = import_csv(real_file)
    assert len(market.forwards) == 9
    assert all(f.expiry.endswith("T08:00:00Z") for f in market.forwards)
    assert sum("forwards from" in note for note in market.notes) == 9
    june = market.forward("BTC", "2021-06-25T08:00:00Z")
    quoted = sorted(Fraction(r["underlying_price"]) for r in real_rows[488:] if "-25JUN21-" in r["instrument_name"])
    assert Fraction(june.price) == (quoted[18] + quoted[19]) / 2
    assert "BTC 2021-06-25: 38 forwards from 49926.03 to 50690.65 (154 bp apart)" in notes(market)


@pytest.mark.conformance
def test_the_markets_time_is_the_newest_and_each_price_keeps_its_own(real_file: Path) -> None:
    market = import_csv(real_file)
    assert market.time == "2021-02-11T18:44:14.256Z"
    assert min(i.time or "" for i in market.instruments) == "2021-02-11T18:42:23.476Z"
    market.refuse_stale(111)
    with pytest.raises(InputError, match="its price is 111 s older than the market"):
        market.refuse_stale(110)


@pytest.mark.conformance
def test_what_the_file_lacks_is_said(real_file: Path) -> None:
    market = import_csv(real_file)
    assert "no futures or perpetuals in the file" in notes(market)
    assert "no stablecoin price in the file" in notes(market)
    assert "BTC 2021-02-26: the exchange prices this expiry off the index" in notes(market)
