"""Brackets: each position alone, at rates that grow with its notional; and the policies that follow exchanges so."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from support.edge import on_the_edge
from support.typed import JsonObject, Passed

from zkmargin.engine.book import Book, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.tiered_margin import PublishedTieredMargin, TieredMargin
from zkmargin.engine.margin import margin_report
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy, policy_names
from zkmargin.engine.publishing.snapshots import build_snapshot, check_snapshot
from zkmargin.engine.snapshot import CollateralSlot, Snapshot
from zkmargin.formats import InputError, IntArray

MONEY = 10**13  # valuation units in one quote


def market(*underlyings: str, assets: tuple[str, ...] = ("USDC",), **more: Passed) -> Market:
    prices = {"BTC": "100000", "ETH": "4000", "SOL": "200"}
    instruments = [
        {"id": f"{name}-{kind}", "kind": "perpetual", "underlying": name, "lot": "0.1", "mark_price": prices[name]}
        | more
        for name in underlyings
        for kind in ("PERP", "OTHER")
    ]
    return Market.parse(
        json.dumps(
            {
                "format": "zkmargin/market/v1",
                "time": "2026-01-02T03:04:05Z",
                "underlyings": [{"name": name, "index_price": prices[name]} for name in underlyings],
                "instruments": instruments,
                "assets": [{"name": a, "price": prices.get(a, "1"), "lot": "0.01"} for a in assets],
            }
        )
    )


def requirement(snapshot: Snapshot, kind: str, **positions: str) -> Fraction:
    book = Book(positions={name.replace("_", "-"): lots for name, lots in positions.items()})
    return Fraction(margin_report(snapshot, to_lots(book, snapshot), kind).total, MONEY)


@pytest.fixture(scope="module")
def hyperliquid() -> Snapshot:
    return build_snapshot(market("BTC", "ETH", "SOL"), load_policy("hyperliquid"))


def test_hyperliquid_by_its_own_formula(hyperliquid: Snapshot) -> None:
    """maintenance = notional x rate(tier) - deduction(tier), the deduction as its documentation defines it."""
    for name, price, rates, bound in (
        ("BTC", 100_000, (Fraction(1, 80), Fraction(1, 40)), 150_000_000),
        ("SOL", 200, (Fraction(1, 40), Fraction(1, 20)), 70_000_000),
    ):
        for lots in (1, bound // price, bound // price + 1, 3 * bound // price):
            notional = lots * price
            tier = int(notional > bound)
            deduction = bound * (rates[1] - rates[0]) * tier
            expected = notional * rates[tier] - deduction
            for sign in ("", "-"):
                found = requirement(hyperliquid, "maintenance", **{f"{name}_PERP": f"{sign}{lots}"})
                assert found == expected
            assert requirement(hyperliquid, "initial", **{f"{name}_PERP": str(lots)}) == 2 * expected
    # 25x and 15x: 1/15 in millionths, rounded up against the account
    assert requirement(hyperliquid, "initial", ETH_PERP="50000") == 4_000_000 + Fraction(66_667 * 100_000_000, 10**6)


def test_nothing_nets(hyperliquid: Snapshot) -> None:
    one = requirement(hyperliquid, "initial", BTC_PERP="10")
    assert requirement(hyperliquid, "initial", BTC_PERP="10", BTC_OTHER="-10") == 2 * one
    assert requirement(hyperliquid, "initial") == 0


def test_binance_brackets_by_maintenance_amount() -> None:
    snapshot = build_snapshot(market("BTC", assets=("USDT", "BTC")), load_policy("binance-tiered"))
    # announced 18 March 2021: 0.40 % up to 50,000, 0.50 % to 250,000, 1 % to 1,000,000, 2.5 % to 10,000,000
    for lots, expected in (
        ("0.5", Fraction(50_000 * 4, 1000)),
        ("2.5", Fraction(250_000 * 5, 1000) - 50),
        ("10", Fraction(1_000_000, 100) - 50 - 1250),
        ("100", Fraction(10_000_000 * 25, 1000) - 50 - 1250 - 15_000),
    ):
        assert requirement(snapshot, "maintenance", BTC_PERP=lots) == expected


def test_binance_collateral_counts_in_tiers() -> None:
    """The FAQ's first example: 120 million in BTC count 119.5 million."""
    snapshot = build_snapshot(market("BTC", assets=("USDT", "BTC")), load_policy("binance-tiered"))
    lots = to_lots(Book(collateral={"BTC": "1200"}), snapshot)
    assert Fraction(margin_report(snapshot, lots, "initial").equity.total, MONEY) == 119_500_000


@pytest.mark.parametrize("name", ["hyperliquid", "binance-tiered"])
@pytest.mark.parametrize("kind", ["initial", "maintenance"])
def test_engine_and_circuit_agree_at_the_edge_and_one_unit_short(name: str, kind: str) -> None:
    quotes = market("BTC", assets=("USDC",))
    snapshot = build_snapshot(quotes, load_policy(name))
    check_snapshot(snapshot, quotes)
    Snapshot.parse(snapshot.to_bytes()).check_loaded()
    unit = IntArray(np.array([1], dtype=np.int64))
    cash = CollateralSlot(asset="cash", lot="1", price=1, bits=70, negative_allowed=True)
    parts = [part for part in snapshot.components if not isinstance(part, PublishedHaircuts)]
    edge = snapshot.replaced(
        collateral=(cash,), components=(*parts, PublishedHaircuts(long_value=unit, short_value=unit))
    )
    for lots in ((3, -7), (16_000, 1), (-18_000, 9_000)):
        on_the_edge(edge, lots, claim=Claim(requirement=kind))


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({"BTC": [("1", 10)]}, "begin at 0"),
        ({"BTC": [("0", 10), ("0", 20)]}, "begin at 0 and ascend"),
        ({"BTC": [("0", 10), ("5", 20), ("5", 30)]}, "ascend"),
        ({"BTC": [("0", 10), ("5", 10)]}, "rates must grow"),
        ({}, "no brackets"),
        ({"BTC": [("0", 0)]}, "greater than 0"),
        ({"BTC": [("0", 10**6 + 1)]}, "less than or equal to"),
    ],
)
def test_brackets_that_are_refused(tables: JsonObject, reason: str) -> None:
    given = {name: [{"above": a, "rate_ppm": r} for a, r in rows] for name, rows in tables.items()}
    data = json.loads(load_policy("hyperliquid").to_bytes())
    data["components"][0]["tables"] = given
    with pytest.raises(InputError, match=reason):
        type(load_policy("hyperliquid")).parse(json.dumps(data))


def test_what_has_no_brackets_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="underlying ETH: the policy has no brackets for it"):
        build_snapshot(market("ETH"), load_policy("binance-tiered"))
    option = market("BTC").to_json()
    option["forwards"] = [{"underlying": "BTC", "expiry": "2026-03-27T08:00:00Z", "price": "100000"}]
    option["instruments"].append(
        {
            "id": "C", "kind": "option", "underlying": "BTC", "expiry": "2026-03-27T08:00:00Z", "strike": "1",
            "option_type": "call", "implied_vol": "0.5", "lot": "1",
        }
    )  # fmt: skip
    with pytest.raises(InputError, match="C: brackets are of futures and perpetuals: a option has none"):
        build_snapshot(Market.parse(json.dumps(option)), load_policy("hyperliquid"))


def test_the_published_part_is_a_measure_of_risk(hyperliquid: Snapshot) -> None:
    (part,) = (p for p in hyperliquid.components if isinstance(p, PublishedTieredMargin))
    assert part.RISK
    assert (part.mode, part.scale, len(part.pools)) == ("added", 10**6, 6)
    assert isinstance(load_policy("hyperliquid").components[0], TieredMargin)


def test_every_named_policy_says_of_when_its_rules_are() -> None:
    import re

    for name in policy_names():
        policy = load_policy(name)
        text = policy.description + policy.approximation
        assert re.search(r"\b(19|20)[0-9]{2}\b", text) or name == "default", name
