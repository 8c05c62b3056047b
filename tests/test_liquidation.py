"""Liquidation plans against brute force on small books, in every mode; order, pro rata, auctions, prices, the proof."""

import json
import random
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies._internal.core import DataObject
from support import lab
from support.typed import Draw

from zkmargin.accounts import commit_book
from zkmargin.accounts.holder import update_opening
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.decimals import to_units
from zkmargin.engine.example import example_market
from zkmargin.engine.fills import add_fills, fills_to_lots
from zkmargin.engine.limits import Limit
from zkmargin.engine.margin import claim_slack, contributions, limit_slack, margin_report
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError, InputError
from zkmargin.prover import prove
from zkmargin.risk.auction import AuctionTerms, closing_fraction, offer
from zkmargin.risk.costs import CostRate, Costs, ImpactTier, costs_of
from zkmargin.risk.liquidation import Planner, plan_liquidation
from zkmargin.risk.path import Path as PricePath
from zkmargin.risk.path import liquidation_price, parse_ratios
from zkmargin.risk.plans import Terms
from zkmargin.risk.trading import cash_slot
from zkmargin.verifier import Statement, verify

TIME = "2026-11-20T12:00:00Z"


#: One money unit a lot, counted in full: cash that pays for anything.
CASH = (10_000, 10_000, 40, True)


# --- against brute force ------------------------------------------------------------------------------------


def small(draw: Draw) -> tuple[Snapshot, BookLots]:
    """Three instruments in two groups, two scenarios, and a book."""
    snapshot = lab.snapshot(
        groups=[0, 0, 1],
        risk=[[draw(st.integers(-900, 900)) for _ in range(2)] for _ in range(3)],
        charges=draw(st.one_of(st.none(), st.lists(st.integers(0, 200), min_size=3, max_size=3))),
        marks=draw(st.lists(st.integers(0, 300), min_size=3, max_size=3)),
        assets=[CASH],
        mode=draw(st.sampled_from(["floor", "added"])),
    )
    lots = tuple(draw(st.integers(-3, 3)) for _ in range(3))
    return snapshot, BookLots(lots, (draw(st.integers(-300, 2_000)),))


def small_costs(draw: Draw) -> Costs:
    rates = tuple(
        CostRate(
            instruments=(f"I{i}",),
            amount=f"{draw(st.integers(1, 90)) * 1e-8:.8f}",  # money units a lot of 0.1
            most=f"0.{draw(st.integers(0, 4))}",
        )
        for i in range(3)
    )
    return Costs(rates=rates)


def brute(planner: Planner, terms: Terms) -> int | None:
    """The least cost over all permitted trades."""
    choices: list[tuple[int, ...]] = [(0,)] * 3
    for own in planner.tradable:
        held = planner.lots.positions[own.slot]
        choices[own.slot] = tuple(range(own.low - held, own.high - held + 1))
    costs = []
    for amounts in product(*choices):
        trades = {slot: amount for slot, amount in enumerate(amounts) if amount}
        if terms.mode == "close" and any(
            abs(planner.lots.positions[s] + a) > abs(planner.lots.positions[s]) for s, a in trades.items()
        ):
            continue
        if planner.holds(trades):
            costs.append(planner.cost_of(trades))
    return min(costs, default=None)


@given(st.data())
def test_a_plan_is_the_cheapest_that_brute_force_finds(data: st.DataObject) -> None:
    snapshot, book = small(data.draw)
    claim = Claim(*data.draw(st.sampled_from([(1, 1), (5, 4), (1, 2)])))
    terms = Terms(costs=small_costs(data.draw), mode=data.draw(st.sampled_from(["any", "close"])), seconds=5.0)
    planner = Planner(snapshot, book, claim, terms)
    least = brute(planner, terms)
    if least is None:
        with pytest.raises(ConstraintError, match="no permitted trades") as caught:
            planner.plan()
        assert (caught.value.shortfall or 0) > 0
        return
    plan = planner.plan()
    assert plan.cost == 10_000 * least
    assert plan.bound <= plan.cost
    after = add_fills(book, fills_to_lots(plan.fills(), snapshot), snapshot)
    assert claim_slack(snapshot, after, claim) >= 0
    assert plan.after.shortfall == 0


@given(st.data())
def test_every_step_lowers_the_shortfall_and_only_the_last_ends_it(data: DataObject) -> None:
    snapshot, book = small(data.draw)
    planner = Planner(snapshot, book, Claim(1, 1), Terms(costs=small_costs(data.draw), seconds=2.0))
    try:
        plan = planner.plan()
    except ConstraintError:
        return
    shortfalls = [plan.before.shortfall, *(step.after.shortfall for step in plan.steps)]
    assert all(later < earlier for earlier, later in pairwise(shortfalls))
    assert shortfalls[-1] == 0
    done: dict[str, int] = {}
    for step in plan.steps:
        done |= {trade.id: trade.lots for trade in step.trades}
        trades = {int(name[1:]): lots for name, lots in done.items()}
        assert step.after.equity - step.after.requirement >= -step.after.shortfall
        assert claim_slack(snapshot, planner.after(trades), Claim(1, 1)) == planner.slacks([trades])[0]


@given(st.data())
def test_pro_rata_is_the_least_part_of_ten_thousand(data: DataObject) -> None:
    snapshot, book = small(data.draw)
    planner = Planner(snapshot, book, Claim(1, 1), Terms(costs=small_costs(data.draw)))
    found = planner.pro_rata()
    everything = {slot: -amount for slot, amount in enumerate(book.positions) if amount}
    if found.fraction is None:
        assert planner.slacks([everything])[0] < 0
        return
    chosen = {int(trade.id[1:]): trade.lots for trade in found.trades}
    assert planner.slacks([chosen])[0] >= 0 or claim_slack(snapshot, book, Claim(1, 1)) >= 0
    # whole lots, rounded away from 0: a divisible book needs no more than this part
    part = to_units(found.fraction, 9)
    if found.closed_form is not None and claim_slack(snapshot, book, Claim(1, 1)) < 0:
        assert part <= 10**9


# --- policies, modes, limits --------------------------------------------------------------------------------


def short_book(snapshot: Snapshot, seed: int, part: str = "0.85") -> BookLots:
    """A random book whose equity is a part of its requirement."""
    draw = random.Random(seed)  # noqa: S311 - a test's books
    lots = [0] * len(snapshot.instruments)
    for slot in draw.sample(range(len(lots)), 10):
        lots[slot] = draw.randint(-60, 60)
    cash = cash_slot(snapshot, "USDC")
    balances = [0] * len(snapshot.collateral)
    report = margin_report(snapshot, BookLots(tuple(lots), tuple(balances)))
    missing = int(report.total * Fraction(part)) - report.equity.mark_to_market
    balances[cash] = missing // (10_000 * snapshot.collateral[cash].price)
    return BookLots(tuple(lots), tuple(balances))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["default", "span", "tims", "deribit-pm", "derive-pmrm2", "paradex"])
def test_every_policy_is_planned_and_never_costs_more_than_closing(name: str) -> None:
    snapshot = build_snapshot(example_market(TIME), load_policy(name))
    book = short_book(snapshot, 5)
    claim = Claim(1, 1)
    assert claim_slack(snapshot, book, claim) < 0
    for mode in ("any", "close"):
        plan = plan_liquidation(snapshot, book, claim, Terms(mode=mode, seconds=0.5, compare=True))
        assert plan.greedy_cost is not None
        assert plan.cost <= plan.greedy_cost
        after = add_fills(book, fills_to_lots(plan.fills(), snapshot), snapshot)
        assert claim_slack(snapshot, after, claim) >= 0
        if mode == "close":
            assert all(abs(a) <= abs(b) and a * b >= 0 for a, b in zip(after.positions, book.positions, strict=True))


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return build_snapshot(example_market(TIME), load_policy("default"))


def test_neutralising_trades_futures_perpetuals_and_spot_towards_delta_0(snapshot: Snapshot) -> None:
    lots = [0] * len(snapshot.instruments)
    slots = {slot.id: i for i, slot in enumerate(snapshot.instruments)}
    lots[slots["BTC-PERPETUAL"]], lots[slots["ETH-PERPETUAL"]] = 5_000, -20_000
    balances = [0] * len(snapshot.collateral)
    balances[cash_slot(snapshot, "USDC")] = 150_000_00
    book = BookLots(tuple(lots), tuple(balances))
    plan = plan_liquidation(snapshot, book, Claim(1, 1), Terms(mode="neutralise"))
    assert plan.trades
    kinds = {slot.id: slot.kind for slot in snapshot.instruments}
    assert all(kinds[trade.id] != "option" for trade in plan.trades)
    for name, before in plan.before.deltas.items():
        after = Fraction(plan.after.deltas[name])
        assert abs(after) <= abs(Fraction(before))
        assert after * Fraction(before) >= 0


def test_only_what_may_be_traded_is_and_limits_hold(snapshot: Snapshot) -> None:
    book = short_book(snapshot, 8)
    terms = Terms(may_trade=("*-PERPETUAL",))
    plan = plan_liquidation(snapshot, book, Claim(1, 1), terms)
    assert {trade.id for trade in plan.trades} <= {"BTC-PERPETUAL", "ETH-PERPETUAL"}
    limit = Limit.parse("headroom >= 5000")
    kept = plan_liquidation(snapshot, book, Claim(1, 1), Terms(limits=(limit,)))
    after = add_fills(book, fills_to_lots(kept.fills(), snapshot), snapshot)
    assert limit_slack(limit, snapshot, after) >= 0
    assert kept.cost >= plan_liquidation(snapshot, book, Claim(1, 1)).bound


def test_nothing_to_do_and_nothing_that_helps(snapshot: Snapshot) -> None:
    rich = short_book(snapshot, 3, "1.5")
    plan = plan_liquidation(snapshot, rich, Claim(1, 1))
    assert (plan.steps, plan.cost, plan.collateral) == ((), 0, {})
    poor = short_book(snapshot, 3, "-0.5")
    with pytest.raises(ConstraintError, match="equity is not above 0"):
        plan_liquidation(snapshot, poor, Claim(1, 1), Terms(mode="close"))
    nothing = Costs(rates=(CostRate(most="0"),))
    with pytest.raises(ConstraintError, match="the cost file limits"):
        plan_liquidation(snapshot, short_book(snapshot, 3), Claim(1, 1), Terms(costs=nothing))


def test_greedy_closes_the_largest_contribution_first(snapshot: Snapshot) -> None:
    book = short_book(snapshot, 4)
    planner = Planner(snapshot, book, Claim(1, 1), Terms(mode="close"))
    greedy = planner.greedy()
    assert greedy is not None
    first = next(iter(greedy))
    shares = contributions(snapshot, book, "initial")
    assert shares[first] == max(shares.values())
    assert planner.slacks([greedy])[0] >= 0
    smaller = {**greedy}
    last = list(greedy)[-1]
    smaller[last] -= 1 if greedy[last] > 0 else -1
    assert planner.slacks([smaller])[0] < 0
    report = margin_report(snapshot, book)
    assert {leg.id: leg.contribution for leg in report.legs} == {
        snapshot.instruments[slot].id: round(share) for slot, share in shares.items()
    }


# --- costs --------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 50), max_size=4, unique=True), st.integers(0, 120), st.data())
def test_impact_is_marginal_and_grows(sizes: list[int], lots: int, data: st.DataObject) -> None:
    tiers = tuple(
        ImpactTier(above=f"{size / 10:.1f}", impact_bp=data.draw(st.integers(1, 100))) for size in sorted(sizes)
    )
    snapshot = build_snapshot(example_market(TIME), load_policy("default"))
    option = next(i for i, slot in enumerate(snapshot.instruments) if slot.lot == "0.1")
    rate = CostRate(half_spread_bp=1, tiers=tiers)
    cost = costs_of(Costs(rates=(rate,)), snapshot)[option]
    assert cost is not None
    marginal = [cost.of(k + 1) - cost.of(k) for k in range(lots)]
    assert marginal == sorted(marginal)
    assert cost.of(lots) == cost.of(-lots) == sum(marginal)


def test_costs_are_read_by_pattern_and_kind(snapshot: Snapshot) -> None:
    costs = Costs(
        rates=(
            CostRate(instruments=("BTC-PERPETUAL",), half_spread_bp=1, fee_bp=1, most="2.5"),
            CostRate(kinds=("option",), half_spread_of_mark_bp=100),
        )
    )
    found = costs_of(costs, snapshot)
    for slot, cost, mark in zip(snapshot.instruments, found, snapshot.marks.values.tolist(), strict=True):
        if slot.id == "BTC-PERPETUAL":
            assert cost is not None
            # 0.001 BTC at 92,416.50, two basis points; 2.5 BTC are 2,500 lots
            assert (cost.tiers, cost.most) == (((None, 18_483_300),), 2_500)
        elif slot.kind == "option":
            assert cost is not None
            assert cost.tiers[0][1] == -(-mark // 100)
        else:
            assert cost is None
    bare = lab.snapshot(groups=[0], risk=[[1]], charges=None, marks=[0], assets=[CASH])
    with pytest.raises(InputError, match="no index price"):
        costs_of(costs.model_copy(update={"rates": (CostRate(fee_bp=1),)}), bare)


@pytest.mark.parametrize(
    ("rate", "reason"),
    [
        ({"tiers": [{"above": "2", "impact_bp": 1}, {"above": "1", "impact_bp": 1}]}, "ascending"),
        ({"tiers": [{"above": "0", "impact_bp": 1}]}, "above 0"),
        ({"amount": "-1"}, "negative"),
        ({"most": "-1"}, "negative"),
        ({"fee_bp": -1}, "fee_bp"),
    ],
)
def test_costs_that_are_none(rate: dict[str, list[dict[str, int | str]]], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Costs.parse(json.dumps({"format": "zkmargin/costs/v1", "rates": [rate]}))


# --- auctions and closed forms ------------------------------------------------------------------------------


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_fraction_solves_its_equation(requirement: int, short: int, cost: int, value: int) -> None:
    fraction = closing_fraction(-short, requirement, cost)
    if fraction is not None:
        assert -short + fraction * (requirement - cost) == 0
        assert 0 < fraction <= 1
    else:
        assert -short + requirement - cost < 0 or requirement <= cost
    terms = AuctionTerms(buffer_bp=0, start_bp=9_000)
    found = offer(value, -short, terms)
    if value and found.fraction < 1:
        # what stays, with the proceeds, is whole: (1 - f) M + price = 0
        assert (1 - found.fraction) * -short + found.price == 0


@pytest.mark.conformance
def test_auctions_are_those_of_the_published_cases(conformance_family: Callable[[str], list[Path]]) -> None:
    terms = AuctionTerms(
        buffer_bp=2_000, start_bp=9_800, knee_bp=8_000, fast_seconds=100, slow_seconds=14_400, insolvent_seconds=100
    )
    seen = 0
    for path in conformance_family("margin/derive_pm1_srm"):
        for case in json.loads(path.read_text()).values():
            reserved = 0
            for action in case["Actions"]:
                result, want = action["Results"], action["Liquidator"]["PercentWant"]
                found = offer(
                    result["PreMtM"],
                    result["PreMM"],
                    terms,
                    seconds=action["Time"],
                    reserved=reserved,
                    lower=result["Lowerbound"],
                )
                assert found.solvent == (result["PreMtM"] > 0)
                if found.solvent:
                    assert abs(found.fraction - Fraction(result["PreFMax"], 10**18)) < Fraction(1, 10**9)
                    taken = min(Fraction(want, 10**18), found.fraction)
                    paid = taken * terms.price(action["Time"]) * (result["PreMtM"] - reserved)
                    assert abs(paid - result["ExpectedBidPrice"]) < result["ExpectedBidPrice"] / 10**6
                    reserved += result["ExpectedBidPrice"]
                else:
                    paid = Fraction(want, 10**18) * found.price
                    assert abs(paid - result["SMPayout"]) < abs(result["SMPayout"]) / 10**6
                seen += 1
    assert seen


def test_prices_of_an_auction_fall_to_0() -> None:
    terms = AuctionTerms()
    prices = [terms.price(t) for t in (0, 450, 900, 22_500, 44_100, 10**6)]
    assert prices == [Fraction(x) for x in ("0.95", "0.825", "0.7", "0.35", "0", "0")]
    assert offer(100, 20, terms).fraction == 0
    assert offer(100, -50, terms, seconds=10**6).fraction == 1
    with pytest.raises(InputError, match="above the price"):
        AuctionTerms(start_bp=5_000, knee_bp=6_000)


# --- liquidation prices -------------------------------------------------------------------------------------


def test_the_claim_fails_at_the_price_and_holds_one_tick_nearer(snapshot: Snapshot) -> None:
    market = example_market(TIME)
    slots = {slot.id: i for i, slot in enumerate(snapshot.instruments)}
    lots = [0] * len(slots)
    lots[slots["BTC-PERPETUAL"]] = 2_000
    balances = [0] * len(snapshot.collateral)
    balances[cash_slot(snapshot, "USDC")] = 70_000_00
    book = BookLots(tuple(lots), tuple(balances))
    path = PricePath(market, snapshot.policy, book, "BTC", cash="USDC")
    found = liquidation_price(path, "BTC", Claim(1, 1))
    assert (found.tick, found.above) == ("0.1", None)
    assert found.below is not None
    below = Fraction(found.below)
    assert path.slack(below, Claim(1, 1)) < 0 <= path.slack(below + Fraction("0.1"), Claim(1, 1))
    # a line: 2 BTC long, 30 % of its value required, 70,000 + 2 (P - 92416.5 x 1.0002) >= 0.6 P x 1.0002
    mark = Fraction(next(i.mark_price for i in market.instruments if i.id == "BTC-PERPETUAL") or "0")
    scale = mark / Fraction("92416.5")
    assert abs(below - (2 * mark - 70_000) / (scale * Fraction("1.4"))) < Fraction("0.2")
    short = BookLots(tuple(-x for x in lots), tuple(balances))
    other = liquidation_price(PricePath(market, snapshot.policy, short, "BTC", cash="USDC"), "BTC", Claim(1, 1), "0.5")
    assert other.below is None
    assert other.above is not None
    assert Fraction(other.above) % Fraction("0.5") == 0
    failing = BookLots(tuple(lots), (0,) * len(balances))
    now = liquidation_price(PricePath(market, snapshot.policy, failing, "BTC", cash="USDC"), "BTC", Claim(1, 1))
    assert now.below == now.above == "92416.5"


def test_other_underlyings_move_along_by_their_ratios(snapshot: Snapshot) -> None:
    market = example_market(TIME)
    slots = {slot.id: i for i, slot in enumerate(snapshot.instruments)}
    lots = [0] * len(slots)
    lots[slots["ETH-PERPETUAL"]] = 1_000
    book = BookLots(tuple(lots), (0,) * len(snapshot.collateral))
    path = PricePath(market, snapshot.policy, book, "BTC", cash="USDC", ratios={"ETH": Fraction("1.5")})
    moved, after = path.at(path.index * Fraction(9, 10))
    assert Fraction(moved.underlying("ETH").index_price) == Fraction(market.underlying("ETH").index_price) * Fraction(
        "0.85"
    )
    cash = cash_slot(snapshot, "USDC")
    mark = Fraction(next(i.mark_price for i in market.instruments if i.id == "ETH-PERPETUAL") or "0")
    assert after.collateral[cash] == (-10 * mark * Fraction("0.15") * 100).__floor__()
    assert parse_ratios(("ETH=1.2",)) == {"ETH": Fraction("1.2")}
    for text, reason in (("ETH", "not like"), ("ETH=x", "decimal")):
        with pytest.raises(InputError, match=reason):
            parse_ratios((text,))
    with pytest.raises(InputError, match="above 0"):
        liquidation_price(path, "BTC", Claim(1, 1), "0")
    with pytest.raises(InputError, match="no such asset"):
        PricePath(market, snapshot.policy, book, "BTC", cash="DOGE")


# --- the proof chain ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_state_after_a_plan_is_proved_from_the_updated_commitment() -> None:
    snapshot = build_snapshot(example_market(TIME), load_policy("default"), domain_size=512)
    book, claim = short_book(snapshot, 6), Claim(1, 1)
    opening = commit_book(snapshot, book)
    with pytest.raises(ConstraintError):
        prove(Statement.of(snapshot, [opening.commitment()], claim), book, [opening])
    plan = plan_liquidation(snapshot, book, claim)
    fills = fills_to_lots(plan.fills(), snapshot)
    after = add_fills(book, fills, snapshot)
    renewed, _ = update_opening(snapshot, opening, fills)
    statement = Statement.of(snapshot, [renewed.commitment()], claim, context=b"whole again")
    verify(statement, prove(statement, after, [renewed]))
