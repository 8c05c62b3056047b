from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import pairwise
from math import erf, exp, log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkmargin.engine.book import Book, to_lots
from zkmargin.engine.decimals import format_time, parse_time, to_fraction
from zkmargin.engine.example import YEAR_MS, _log, _normal, _sqrt, example_book, example_expiries, example_market
from zkmargin.engine.margin import margin_report
from zkmargin.engine.market import Instrument, Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import InputError

NOW = "2026-01-02T03:04:05Z"


@pytest.fixture(scope="module")
def market() -> Market:
    return example_market(NOW)


def black(market: Market, option: Instrument) -> float:
    """Undiscounted Black-76 in floating point: only to judge the shape of the surface."""
    forward = float(market.forward(option.underlying, option.expiry or "").price)
    years = (parse_time(option.expiry or "") - parse_time(market.time)) / YEAR_MS
    strike, deviation = float(option.strike or ""), float(option.implied_vol or "") * sqrt(years)
    d1 = log(forward / strike) / deviation + deviation / 2
    call = forward * (1 + erf(d1 / sqrt(2))) / 2 - strike * (1 + erf((d1 - deviation) / sqrt(2))) / 2
    return call if option.option_type == "call" else call - forward + strike


def test_what_is_in_it(market: Market) -> None:
    kinds = Counter((i.underlying, i.kind) for i in market.instruments)
    for name in ("BTC", "ETH"):
        assert kinds[name, "option"] >= 200
        assert (kinds[name, "future"], kinds[name, "perpetual"], kinds[name, "spot"]) == (6, 1, 1)
    assert len({i.expiry for i in market.instruments if i.kind == "option"}) == 6
    assert [a.name for a in market.assets] == ["USDC", "BTC", "ETH"]
    assert all(Fraction(a.price) * Fraction(a.lot) >= Fraction(1, 100) for a in market.assets)


def test_the_same_time_gives_the_same_bytes_and_they_parse(market: Market) -> None:
    assert example_market(NOW).to_bytes() == market.to_bytes()
    assert Market.parse(market.to_bytes()) == market
    assert example_market("2026-01-02T03:04:06Z").digest() != market.digest()


def test_a_bad_time_is_refused() -> None:
    with pytest.raises(InputError, match="time: not a UTC time"):
        example_market("now")


def test_prices_admit_no_arbitrage(market: Market) -> None:
    """Butterflies per expiry; total variance rises with expiry at the money."""
    for name in ("BTC", "ETH"):
        variance = []
        for expiry in sorted({f.expiry for f in market.forwards}):
            calls = [i for i in market.instruments if (i.underlying, i.expiry, i.option_type) == (name, expiry, "call")]
            prices = [black(market, i) for i in calls]
            slopes = [b - a for a, b in pairwise(prices)]
            assert all(a < b < 0 for a, b in pairwise([*slopes, 0.0][:-1])), (name, expiry)
            vol = float(calls[len(calls) // 2].implied_vol or "")
            variance.append(vol**2 * (parse_time(expiry) - parse_time(market.time)))
        assert variance == sorted(variance)


@given(st.integers(parse_time("2024-01-01T00:00:00Z"), parse_time("2040-01-01T00:00:00Z")))
def test_expiries_are_fridays_at_eight_in_order(now: int) -> None:
    expiries = example_expiries(now)
    assert len(set(expiries)) == 6
    assert list(expiries) == sorted(expiries)
    assert expiries[0] - now >= 36 * 3_600_000
    assert expiries[-1] - now < 430 * 86_400_000
    # 1970-01-02 was a Friday.
    assert all((at - 86_400_000 - 8 * 3_600_000) % (7 * 86_400_000) == 0 for at in expiries)
    assert all(format_time(at).endswith("T08:00:00Z") for at in expiries)


@given(st.integers(parse_time("2024-01-01T00:00:00Z"), parse_time("2040-01-01T00:00:00Z")))
def test_any_time_gives_a_market_and_a_book(now: int) -> None:
    at = example_market(format_time(now))
    check_book(at, example_book(at))


def check_book(market: Market, book: dict[str, dict[str, str]]) -> None:
    lots = {i.id: Fraction(i.lot) for i in market.instruments}
    asset_lots = {a.name: Fraction(a.lot) for a in market.assets}
    assert set(book) == {"positions", "collateral"}
    assert all(to_fraction(size) % lots[name] == 0 != to_fraction(size) for name, size in book["positions"].items())
    assert all(to_fraction(size) % asset_lots[name] == 0 for name, size in book["collateral"].items())
    assert 60 <= len(book["positions"]) <= 150


def test_the_book_is_hedged(market: Market) -> None:
    """Its delta is small beside the options it is short, and it is short more options than it is long."""
    book = example_book(market)
    kinds = {i.id: i for i in market.instruments}
    assert {kinds[name].kind for name in book["positions"]} == {"option", "future", "perpetual", "spot"}
    assert set(book["collateral"]) == {"USDC", "BTC", "ETH"}
    for underlying in ("BTC", "ETH"):
        delta, short, long = 0.0, 0.0, 0.0
        for name, text in book["positions"].items():
            instrument, size = kinds[name], float(text)
            if instrument.underlying != underlying:
                continue
            if instrument.kind == "option":
                forward = float(market.forward(underlying, instrument.expiry or "").price)
                years = (parse_time(instrument.expiry or "") - parse_time(market.time)) / YEAR_MS
                deviation = float(instrument.implied_vol or "") * sqrt(years)
                d1 = log(forward / float(instrument.strike or "")) / deviation + deviation / 2
                call = (1 + erf(d1 / sqrt(2))) / 2
                delta += size * (call if instrument.option_type == "call" else call - 1)
                short, long = short - min(size, 0.0), long + max(size, 0.0)
            elif instrument.kind == "future":
                forward = float(market.forward(underlying, instrument.expiry or "").price)
                delta += size * float(instrument.multiplier) / forward
            else:
                delta += size
        assert short > long > 0
        assert abs(delta) < 0.01 * short


@pytest.mark.parametrize("time", [NOW, "2026-06-25T23:59:59Z", "2027-10-04T06:00:00.5Z"])
def test_the_book_meets_the_default_policy_with_some_room(time: str) -> None:
    """A demo that is close enough to the requirement to be worth a proof, whatever the date."""
    market = example_market(time)
    snapshot = build_snapshot(market, load_policy("default"))
    report = margin_report(snapshot, to_lots(Book.model_validate(example_book(market)), snapshot))
    assert 11 * report.total < 10 * report.equity.total < 13 * report.total


def test_the_rational_approximations_are_as_good_as_they_say() -> None:
    for number in range(20, 400):
        ratio = Fraction(number, 100)
        assert abs(float(_log(ratio)) - log(number / 100)) <= 0.03 * abs(log(number / 100))
    for number in range(-300, 301):
        assert abs(float(_normal(Fraction(number, 50))) - (1 + erf(number / 50 / sqrt(2))) / 2) < 3e-4
    assert 0 <= sqrt(2) - float(_sqrt(Fraction(2))) < 1e-6
    assert exp(0) == float(1 + _log(Fraction(1)))
