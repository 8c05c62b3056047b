"""Greeks: finite differences of Black-76 marks, exact sums over legs, and what imported arrays do not have."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support.typed import JsonObject, Passed

import zkmargin
from zkmargin.engine.book import Book, BookLots, to_lots
from zkmargin.engine.decimals import format_time, from_units, parse_time, to_fraction
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.greeks import UNITS, greek_report
from zkmargin.engine.importers import import_arrays
from zkmargin.engine.market import Forward, Instrument, Market, Underlying
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.greeks import sensitivities
from zkmargin.engine.publishing.snapshots import build_snapshot, build_snapshot_from_arrays
from zkmargin.engine.sensitivities import Sensitivities
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError, IntArray

TIME, EXPIRY, PAST = "2026-01-02T03:04:05Z", "2026-03-27T08:00:00Z", "2026-01-01T08:00:00Z"
HOUR = 3_600_000
#: Money units of the finite differences: fine enough for second derivatives.
FINE = 13
MARKET_TIME = "2026-01-02T03:04:05Z"


def option(name: str, right: str, strike: str, *, settlement: str = "linear", expiry: str = EXPIRY) -> Instrument:
    return Instrument.model_validate(
        {
            "id": name,
            "kind": "option",
            "underlying": "BTC",
            "expiry": expiry,
            "strike": strike,
            "option_type": right,
            "implied_vol": "0.55",
            "settlement": settlement,
            "lot": "0.01",
        }
    )


def small_market(*, time: str = TIME, move: Fraction = Fraction(0), vol: str = "0.55", rate: str = "0.04") -> Market:
    """Calls and puts around the forward; index and forwards moved by a fraction."""

    def moved(price: str) -> str:
        value = to_fraction(price) * (1 + move)
        return from_units(round(value * 10**12), 12)

    options = [
        option("CALL", "call", "95000"),
        option("PUT", "put", "80000"),
        option("COIN-CALL", "call", "100000", settlement="inverse"),
        option("COIN-PUT", "put", "90000", settlement="inverse"),
        option("PAST", "put", "95000", expiry=PAST),
    ]
    return Market(
        time=time,
        underlyings=(Underlying(name="BTC", index_price=moved("90000")),),
        forwards=(
            Forward(underlying="BTC", expiry=EXPIRY, price=moved("91000"), rate=rate),
            Forward(underlying="BTC", expiry=PAST, price=moved("90000")),
        ),
        instruments=(
            *(o.model_copy(update={"implied_vol": vol}) for o in options),
            Instrument(id="FUT", kind="future", underlying="BTC", expiry=EXPIRY, lot="0.1"),
            Instrument(id="PERP", kind="perpetual", underlying="BTC", lot="1", multiplier="10", settlement="inverse"),
            Instrument(id="SPOT", kind="spot", underlying="BTC", lot="0.001"),
        ),
    )


def worth(slot: int, **bumps: Passed) -> Fraction:
    """Quote that one lot is worth in a bumped market."""
    return Fraction(int(Valuation(small_market(**bumps), money_decimals=FINE).marks()[slot]), 10**FINE)


def close(found: int, expected: Fraction, scale: Fraction) -> None:
    """A Greek in 1e-9 is within 1e-5 of its scale and three units of the last place."""
    assert abs(Fraction(found, 10**9) - expected) <= scale * Fraction(1, 10**5) + Fraction(3, 10**9)


@pytest.fixture(scope="module")
def greeks() -> tuple[list[int], Sensitivities]:
    valuation = Valuation(small_market())
    return valuation.deltas().tolist(), sensitivities(valuation)


@pytest.mark.parametrize("slot", range(4))
def test_greeks_are_derivatives_of_the_mark(greeks: tuple[list[int], Sensitivities], slot: int) -> None:
    deltas, found = greeks
    index, lot, step = Fraction(90000), Fraction(1, 100), Fraction(1, 1000)
    up, now, down = (worth(slot, move=move) for move in (step, Fraction(0), -step))
    close(deltas[slot], (up - down) / (2 * step * index), lot)
    # gamma: what 1 % of the price adds to delta
    close(int(found.gammas.values[slot]), (up - 2 * now + down) / step**2 / index / 100, lot / 10)
    vegas = [worth(slot, vol=vol) for vol in ("0.551", "0.549")]
    close(int(found.vegas.values[slot]), (vegas[0] - vegas[1]) / Fraction("0.002") / 100, lot * 200)
    later = [worth(slot, time=format_time(parse_time(TIME) + shift)) for shift in (HOUR, -HOUR)]
    close(int(found.thetas.values[slot]), (later[0] - later[1]) * 12, lot * 100)
    rates = [worth(slot, rate=rate) for rate in ("0.041", "0.039")]
    close(int(found.rhos.values[slot]), (rates[0] - rates[1]) / Fraction("0.002") / 100, lot * 100)


def test_inverse_options_are_not_discounted_and_lines_have_a_delta_only(
    greeks: tuple[list[int], Sensitivities],
) -> None:
    _, found = greeks
    ids = [instrument.id for instrument in small_market().instruments]
    for name in ("COIN-CALL", "COIN-PUT"):
        assert found.rhos.values[ids.index(name)] == 0
    for name in ("FUT", "PERP", "SPOT", "PAST"):
        for column in (found.gammas, found.vegas, found.thetas, found.rhos):
            assert column.values[ids.index(name)] == 0
    assert found.index_prices == ("90000",)


# --- a book ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def market() -> Market:
    return example_market(MARKET_TIME)


@pytest.fixture(scope="module")
def snapshot(market: Market) -> Snapshot:
    return build_snapshot(market, load_policy("default"))


@pytest.fixture(scope="module")
def lots(market: Market, snapshot: Snapshot) -> BookLots:
    return to_lots(Book.model_validate(example_book(market)), snapshot)


def test_a_book_is_the_exact_sum_of_its_legs(snapshot: Snapshot, lots: BookLots) -> None:
    report = greek_report(snapshot, lots)
    assert report.source == "snapshot"
    assert report.missing == ""
    assert set(report.units) == set(UNITS)
    assert [u.name for u in report.underlyings] == ["BTC", "ETH"]
    assert (report.book.delta, report.book.gamma) == (None, None)
    for greek in ("delta_value", "gamma_value", "vega", "theta", "rho"):
        assert getattr(report.book, greek) == sum(getattr(leg, greek) for leg in report.legs)
        assert getattr(report.book, greek) == sum(getattr(u, greek) for u in report.underlyings)
    slots = {slot.id: i for i, slot in enumerate(snapshot.instruments)}
    assert snapshot.sensitivities is not None
    for leg in report.legs:
        amount = lots.positions[slots[leg.name]]
        assert leg.delta == amount * int(snapshot.deltas.values[slots[leg.name]])
        assert leg.vega == amount * int(snapshot.sensitivities.vegas.values[slots[leg.name]])
    btc = report.underlyings[0]
    assert btc.delta is not None
    assert btc.delta_value is not None
    index = to_fraction(snapshot.sensitivities.index_prices[0])
    assert abs(btc.delta_value - btc.delta * index) <= len(report.legs)
    assert json.loads(report.model_dump_json())["book"]["vega"] == from_units(report.book.vega or 0, 9)


def test_the_snapshots_own_market_gives_the_same(market: Market, snapshot: Snapshot, lots: BookLots) -> None:
    stored, computed = greek_report(snapshot, lots), greek_report(snapshot, lots, market)
    assert computed.source == "market"
    assert computed.model_copy(update={"source": "snapshot"}) == stored


def test_a_later_market_gives_its_own(snapshot: Snapshot, lots: BookLots) -> None:
    later = example_market("2026-01-02T04:04:05Z")
    report = greek_report(snapshot, lots, later)
    assert (report.time, report.market_digest) == (later.time, later.digest().hex())
    assert report.book.theta != greek_report(snapshot, lots).book.theta


def test_a_market_that_lacks_an_instrument_of_the_book_is_refused_by_name(
    market: Market, snapshot: Snapshot, lots: BookLots
) -> None:
    held = [slot.id for slot, amount in zip(snapshot.instruments, lots.positions, strict=True) if amount]
    fields = {name: getattr(market, name) for name in Market.model_fields}
    without = tuple(i for i in market.instruments if i.id != held[0])
    with pytest.raises(InputError, match=f"{held[0]}: the market does not have it"):
        greek_report(snapshot, lots, Market.model_validate({**fields, "instruments": without}))
    other = tuple(i.model_copy(update={"multiplier": "2"}) if i.id == held[0] else i for i in market.instruments)
    with pytest.raises(InputError, match=f"{held[0]}: another multiplier in the market"):
        greek_report(snapshot, lots, Market.model_validate({**fields, "instruments": other}))
    old = tuple(
        i.model_copy(update={"time": "2026-01-01T00:00:00Z"}) if i.id == held[0] else i for i in market.instruments
    )
    with pytest.raises(InputError, match="older than the market"):
        greek_report(snapshot, lots, Market.model_validate({**fields, "instruments": old}))


def test_imported_arrays_have_a_composite_delta_and_say_so() -> None:
    path = Path(zkmargin.__file__).parent / "cli" / "samples" / "span_demo.spn"
    snapshot = build_snapshot_from_arrays(
        import_arrays(path, "span-xml", lots={"ALPHA": "75", "BETA": "1"}), load_policy("span")
    )
    assert snapshot.sensitivities is None
    report = greek_report(snapshot, to_lots(Book(positions={"ALPHA-20260630": "75", "BETA-202609": "-2"}), snapshot))
    assert "no other Greeks" in report.missing
    assert [u.delta for u in report.underlyings] == [leg.delta for leg in report.legs]
    assert report.book.model_dump() == {"name": "book", **dict.fromkeys(UNITS)}


def test_an_empty_book_has_no_greeks(snapshot: Snapshot) -> None:
    report = greek_report(snapshot, to_lots(Book(), snapshot))
    assert (report.legs, report.underlyings, report.book.vega) == ((), (), 0)


# --- what a snapshot refuses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"gammas": IntArray(np.zeros(3, dtype=np.int64))}, "sensitivities.gammas: has the shape"),
        ({"index_prices": ("1",)}, "sensitivities.index_prices: 1 of 2 groups"),
        ({"index_prices": ("1", "0")}, "must be above 0"),
        ({"index_prices": ("1", "x")}, "not a decimal number"),
    ],
)
def test_sensitivities_that_do_not_fit_are_refused(snapshot: Snapshot, change: JsonObject, reason: str) -> None:
    assert snapshot.sensitivities is not None
    bad = snapshot.sensitivities.model_copy(update=change)
    fields = {name: getattr(snapshot, name) for name in Snapshot.model_fields}
    with pytest.raises(InputError, match=reason):
        Snapshot.model_validate({**fields, "sensitivities": bad})
