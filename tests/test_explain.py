"""What a margin comes from: risk arrays, marginal contributions, what-if trades, under every policy of the example."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from zkmargin.engine.book import Book, BookLots, load_book, sum_of_books, to_lots
from zkmargin.engine.components.gain_offset import PublishedGainOffset
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.explain import marginals, parse_trades, risk_array, what_if
from zkmargin.engine.importers import import_market
from zkmargin.engine.margin import legs_of, margin_report, requirement_total
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy, policy_names
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError

TIME = "2026-01-02T03:04:05Z"
#: NSE's indices are not in the example market, and brackets are of futures and perpetuals alone.
POLICIES = [name for name in policy_names() if name not in ("span-nse", "binance-tiered", "hyperliquid")]
SCALE = 10_000


@pytest.fixture(scope="module")
def market() -> Market:
    return example_market(TIME)


@pytest.fixture(scope="module", params=POLICIES)
def case(request: pytest.FixtureRequest, market: Market) -> tuple[Snapshot, BookLots]:
    snapshot = build_snapshot(market, load_policy(request.param))
    return snapshot, to_lots(Book.model_validate(example_book(market)), snapshot)


@pytest.fixture(scope="module")
def default(market: Market) -> Snapshot:
    return build_snapshot(market, load_policy("default"))


@pytest.mark.parametrize("requirement", ["initial", "maintenance"])
def test_the_array_holds_what_sets_each_charge(case: tuple[Snapshot, BookLots], requirement: str) -> None:
    snapshot, lots = case
    report, rows = margin_report(snapshot, lots, requirement), risk_array(snapshot, lots, requirement)
    factor = snapshot.factor_bp(requirement)
    for group in report.groups:
        own = [row for row in rows if row.group == group.group]
        bound = [row for row in own if row.binding]
        assert len(bound) == (group.candidate is not None)
        for component, amount in group.components.items():
            found = [-row.counted for row in own if row.component == component]
            if found:  # not spread charges, which are no scenarios
                assert Fraction(max(found), SCALE) * factor <= amount
        if bound:
            assert (bound[0].component, bound[0].label) == (group.component, group.label)
            assert bound[0].candidate == group.candidate


def test_the_array_is_the_books_profit_in_each_scenario(default: Snapshot, market: Market) -> None:
    lots = to_lots(Book.model_validate(example_book(market)), default)
    (part,) = (p for p in default.components if p.type == "worst_scenario")
    assert isinstance(part, PublishedWorstScenario)
    for row in risk_array(default, lots):
        if row.component == "worst_scenario":
            group = default.groups.index(row.group)
            sums = sum(
                leg.lots * int(part.risk.values[leg.slot, row.candidate])
                for leg in legs_of(default, lots)
                if leg.group == group
            )
            assert row.profit == SCALE * sums


def test_marginals_are_what_closing_a_leg_frees(case: tuple[Snapshot, BookLots]) -> None:
    snapshot, lots = case
    found, legs = marginals(snapshot, lots), legs_of(snapshot, lots)
    assert len(found) == len(legs)
    leg = legs[len(legs) // 2]
    closed = tuple(0 if slot == leg.slot else q for slot, q in enumerate(lots.positions))
    without = requirement_total(snapshot, BookLots(closed, lots.collateral))
    assert found[len(legs) // 2] == requirement_total(snapshot, lots) - without


def test_what_if_is_the_margin_of_the_book_with_the_trades(case: tuple[Snapshot, BookLots]) -> None:
    snapshot, lots = case
    trades = parse_trades(["-3 BTC-PERPETUAL", "+1.5 BTC-PERPETUAL", "2 ETH-SPOT"], snapshot)
    found = what_if(snapshot, lots, trades)
    before, after = margin_report(snapshot, lots), margin_report(snapshot, sum_of_books([lots, trades], snapshot))
    assert found.trades == {"BTC-PERPETUAL": "-1.5", "ETH-SPOT": "2"}
    assert found.before.requirement == before.total
    assert found.before.largest_claim == before.largest_claim
    assert found.after.requirement == after.total
    assert found.before.equity == found.after.equity == before.equity.total
    assert found.premium == after.equity.mark_to_market - before.equity.mark_to_market > 0
    assert found.after.surplus == before.equity.total - after.total
    opposite = what_if(
        snapshot,
        sum_of_books([lots, trades], snapshot),
        parse_trades(["1.5 BTC-PERPETUAL", "-2 ETH-SPOT"], snapshot),
    )
    assert opposite.after.requirement == before.total


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("BTC-PERPETUAL", "not a trade"),
        ("5BTC-PERPETUAL", "not a trade"),
        ("+-5 BTC-PERPETUAL", "not a trade"),
        ("1e3 BTC-PERPETUAL", "not a trade"),
        ("5 BTC-NOTHING", "no such instrument"),
        ("0.00001 BTC-SPOT", "not a multiple of the lot"),
        ("5..0 BTC-SPOT", "not a decimal number"),
        ("99999999999 BTC-SPOT", "too large"),
    ],
)
def test_a_trade_that_is_none_is_refused(default: Snapshot, text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        parse_trades([text], default)


def test_trades_past_the_bound_of_positions_are_refused(default: Snapshot) -> None:
    most = (1 << default.layout.position_bits) - 1
    slot = next(i for i, s in enumerate(default.instruments) if s.id == "BTC-PERPETUAL")
    full = BookLots(
        tuple(most if i == slot else 0 for i in range(len(default.instruments))), (0,) * len(default.collateral)
    )
    with pytest.raises(InputError, match="BTC-PERPETUAL: the books add up to"):
        what_if(default, full, parse_trades(["1 BTC-PERPETUAL"], default))


def test_the_premium_credit_is_the_options_value(case: tuple[Snapshot, BookLots]) -> None:
    snapshot, lots = case
    report = margin_report(snapshot, lots)
    kinds = {slot.id: slot.kind for slot in snapshot.instruments}
    value = sum(leg.mark_to_market for leg in report.legs if kinds[leg.id] == "option")
    assert report.premium.net_option_value == value
    assert report.premium.before == report.total
    assert report.premium.after == report.total - value


def test_gains_and_small_tails_are_shown_whole_where_they_count_in_part(market: Market) -> None:
    """A gain that offsets nothing and a tail within its dampener compete as 0; the book's P&L is not 0."""
    snapshot = build_snapshot(market, load_policy("deribit-pm"))
    whole = to_lots(Book.model_validate(example_book(market)), snapshot)
    one = replace(whole, positions=tuple(int(i == 0) for i in range(len(whole.positions))))
    differs = set()
    for lots in (whole, one):
        rows = risk_array(snapshot, lots)
        slots = [i for i, amount in enumerate(lots.positions) if amount]
        for part in snapshot.components:
            if not isinstance(part, PublishedGainOffset):  # dampened tails are one
                continue
            own = [row for row in rows if row.component == part.type]
            differs |= {part.type for row in own if row.profit != row.counted}
            for row in own:
                family = next(f for f in part.families if row.group in (f.key, snapshot.groups[f.classes[0].group]))
                groups = {one.group for one in family.classes}
                sums = sum(
                    lots.positions[i] * int(part.risk.values[i, row.candidate])
                    for i in slots
                    if snapshot.group_of[i] in groups
                )
                assert row.profit == SCALE * sums
    assert differs == {"gain_offset", "dampened_tails"}


@pytest.mark.conformance
def test_a_long_calls_array_is_its_profit(conformance_data: Path) -> None:
    """Case 34: one long call under deribit-pm gains 4,858.89 at +16 % and +50 % of vol."""
    folder = conformance_data / "cases" / "34-array-shows-zero"
    if not folder.is_dir():
        pytest.skip("the case is absent")
    found = import_market(folder / "t.json", "deribit-json", prices={"USDC": "1"})
    snapshot = build_snapshot(found, load_policy("deribit-pm"))
    rows = {row.label: row for row in risk_array(snapshot, load_book(folder / "b.json", snapshot))}
    gain = rows["price +16 % vol +50 %"]
    assert round(gain.profit / 10**13, 2) == 4858.89
    assert gain.counted == 0
