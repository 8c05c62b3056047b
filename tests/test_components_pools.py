"""Charges on sizes: gross charge, minimum delta, the two upper bounds, provisions, shorts per strike."""

import json
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import lab
from support.edge import on_the_edge
from support.typed import Unchecked

from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import PublishedPart
from zkmargin.engine.components.base import Requirement
from zkmargin.engine.components.delta_shock_upper_bound import (
    SCALE,
    DeltaShock,
    DeltaShockUpperBound,
    PublishedDeltaShockUpperBound,
)
from zkmargin.engine.components.gross_charge import GrossCharge, PublishedGrossCharge
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.min_delta import MinDelta, PublishedMinDelta
from zkmargin.engine.components.pools import GrossPools, Line, Pool, tier_lines
from zkmargin.engine.components.provisions import Fees, Funding, PublishedFees, PublishedFunding
from zkmargin.engine.components.short_option_minimum import Mode, PublishedShortOptionMinimum, ShortOptionMinimum
from zkmargin.engine.components.vega_term_upper_bound import PublishedVegaTermUpperBound, VegaTermUpperBound
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.example import example_market
from zkmargin.engine.margin import margin_report, requirement_total
from zkmargin.engine.notional import delta_notionals, notional, vegas
from zkmargin.engine.pricing import black76
from zkmargin.engine.publishing import publish
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError
from zkmargin.formats.arrays import IntArray

UNIT = (1, 1, 72, True)
GROUPS = [0, 1, 0, 1]
SIZE = st.one_of(st.integers(0, 9), st.integers(0, 2**30))
MONEY = st.one_of(st.integers(-9, 9), st.integers(-(2**30), 2**30))
LOTS = st.lists(st.one_of(st.integers(-9, 9), st.integers(1 - 2**16, 2**16 - 1)), min_size=4, max_size=4)
MODE: st.SearchStrategy[Mode] = st.sampled_from(["floor", "added", "flat"])
REQUIREMENT: st.SearchStrategy[Requirement] = st.sampled_from(["initial", "maintenance"])
TIME = "2026-01-02T03:04:05Z"


@pytest.fixture(scope="module")
def valuation() -> Valuation:
    return Valuation(example_market(TIME))


def snapshot_of(part: PublishedPart, risk: list[list[int]] | None = None) -> Snapshot:
    """Four slots in two risk groups, a scenario, cash and one component. Read back as a document, so validated."""
    base = lab.snapshot(groups=GROUPS, risk=[[0]] * 4, charges=None, marks=[0] * 4, assets=[UNIT])
    haircuts = next(p for p in base.components if isinstance(p, PublishedHaircuts))
    grid = PublishedWorstScenario(scenarios=(("s",), ("s",)), risk=lab.array(risk or [[0]] * 4))
    return Snapshot.parse(base.model_copy(update={"components": (grid, part, haircuts)}).to_bytes())


def expected(
    risk: list[int], amounts: Sequence[Fraction | int], mode: Mode, requirement: Requirement, joint: None = None
) -> int:
    """The requirement in valuation units from the definition: amounts per risk group, or of a joint group."""
    factor = {"initial": 10_000, "maintenance": 8_000}[requirement]
    losses = [max(0, loss) for loss in risk]
    if mode == "floor" and joint is None:
        return factor * sum(max(loss, up(amount)) for loss, amount in zip(losses, amounts, strict=True))
    extra = up(sum(amounts))
    if mode == "flat":
        return factor * sum(losses) + 10_000 * extra
    return factor * (sum(losses) + extra)


def up(amount: Fraction | int) -> int:
    return -(-Fraction(amount) // 1)


def confirm(snapshot: Snapshot, lots: list[int], requirement: Requirement, wanted: int) -> None:
    book = BookLots(tuple(lots), (0,))
    assert requirement_total(snapshot, book, requirement) == wanted
    report = margin_report(snapshot, book, requirement)
    # what binds is shared out before the one rounding up of each amount
    assert abs(sum(leg.contribution for leg in report.legs) - wanted) <= 30_000
    on_the_edge(snapshot, lots, claim=Claim(requirement=requirement))


#: Risk, lots, losses by group, mode, requirement.
Setting = tuple[list[list[int]], list[int], list[int], Mode, Requirement]


@st.composite
def settings(draw: st.DrawFn) -> Setting:
    risk = [[draw(MONEY)] for _ in GROUPS]
    lots = draw(LOTS)
    losses = [-sum(lots[i] * risk[i][0] for i in slots) for slots in ([0, 2], [1, 3])]
    return risk, lots, losses, draw(MODE), draw(REQUIREMENT)


# --- gross charge -------------------------------------------------------------------------------------------


def gross(
    long: list[int],
    short: list[int],
    tiers: list[tuple[int, int]],
    mode: Mode = "added",
    groups: tuple[int | str, int | str] = (0, 1),
    kind: type[PublishedGrossCharge | PublishedFees | PublishedFunding] = PublishedGrossCharge,
    scale: int = 10_000,
) -> GrossPools:
    pools = tuple(Pool(name=f"pool {k}", group=g, lines=tier_lines(tiers)) for k, g in enumerate(groups))
    return kind(
        mode=mode, scale=scale, pools=pools, pool=lab.array(GROUPS), long=lab.array(long), short=lab.array(short)
    )


def tiered(size: int, tiers: list[tuple[int, int]]) -> Fraction | int:
    """Marginal rates from the definition, in money units."""
    edges = [above for above, _ in tiers] + [size]
    return sum(
        Fraction(rate, 10_000) * max(0, min(size, edges[k + 1]) - above)
        if k + 1 < len(tiers)
        else Fraction(rate, 10_000) * max(0, size - above)
        for k, (above, rate) in enumerate(tiers)
    )


def test_marginal_rates_by_hand() -> None:
    tiers = [(0, 100), (1000, 200), (5000, 1000)]
    snapshot = snapshot_of(gross([1] * 4, [2] * 4, tiers))
    for lots, charge in (
        ((1000, 0, 0, 0), 10),
        ((-1000, 0, 0, 0), 30),
        ((3000, 0, 1000, 0), 10 + 60),
        ((3000, 0, -1000, 0), 10 + 80),
        ((6000, 0, 0, 0), 10 + 80 + 100),
        ((1000, 1000, 0, 0), 20),
        ((1, 0, 0, 0), 1),  # 0.01 rounded up
    ):
        assert requirement_total(snapshot, BookLots(lots, (0,))) == 10_000 * charge


@given(settings(), st.data())
def test_gross_charge_against_the_oracle_and_the_circuit(setting: Setting, data: st.DataObject) -> None:
    risk, lots, losses, mode, requirement = setting
    long, short = ([data.draw(SIZE) for _ in GROUPS] for _ in range(2))
    steps = data.draw(st.lists(st.tuples(st.integers(1, 2**40), st.integers(1, 999)), max_size=2))
    tiers = [(0, data.draw(st.integers(0, 500)))]
    for above, more in steps:
        tiers.append((tiers[-1][0] + above, tiers[-1][1] + more))
    snapshot = snapshot_of(gross(long, short, tiers, mode), risk)
    sizes = [sum(max(lots[i], 0) * long[i] + max(-lots[i], 0) * short[i] for i in slots) for slots in ([0, 2], [1, 3])]
    amounts = [tiered(size, tiers) for size in sizes]
    confirm(snapshot, lots, requirement, expected(losses, amounts, mode, requirement))


def test_a_floor_competes_in_a_joint_group() -> None:
    part = gross([3] * 4, [3] * 4, [(0, 10_000)], "floor", ("all", "all"))
    snapshot = snapshot_of(part)
    report = margin_report(snapshot, BookLots((2, -5, 0, 0), (0,)))
    assert [(g.group, g.charge, g.label) for g in report.groups][-1] == ("all", 210_000, "gross charge")
    assert [leg.contribution for leg in report.legs] == [60_000, 150_000]
    on_the_edge(snapshot, (2, -5, 0, 0))


RATE = {"kinds": ["perpetual"], "rate_bp": 300}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rates": []}, "rates"),
        ({"rates": [{**RATE, "amount": "1"}]}, "either a rate_bp or an amount"),
        ({"rates": [{"kinds": ["perpetual"]}]}, "either a rate_bp or an amount"),
        ({"rates": [{"kinds": ["perpetual"], "amount": "-1"}]}, "negative"),
        ({"rates": [{**RATE, "tiers": [{"above": "10", "rate_bp": 200}]}]}, "would not be convex"),
        ({"rates": [{**RATE, "tiers": [{"above": "10", "rate_bp": 300}]}]}, "would not be convex"),
        ({"rates": [{**RATE, "tiers": [{"above": "0", "rate_bp": 400}]}]}, "ascending order"),
        ({"rates": [{**RATE, "long_up_to_mark": True, "tiers": [{"above": "1", "rate_bp": 400}]}]}, "tiers are of"),
        ({"product_groups": {"a": ["BTC"], "b": ["BTC"]}, "mode": "floor"}, "in two product groups"),
        ({"product_groups": {"a": ["BTC"]}}, "only a floor"),
    ],
)
def test_rates_that_would_be_wrong_are_refused(
    change: dict[str, list[dict[str, int | list[str] | str]]], reason: str
) -> None:
    with pytest.raises((InputError, ValueError), match=reason):
        GrossCharge.model_validate_json(json.dumps({"mode": "flat", "rates": [RATE], **change}))


def test_rates_are_published_by_kind_and_underlying(valuation: Valuation) -> None:
    part = GrossCharge.model_validate_json(
        json.dumps(
            {
                "mode": "flat",
                "rates": [
                    {"kinds": ["perpetual"], "underlyings": ["BTC"], "rate_bp": 300},
                    {"kinds": ["perpetual", "future"], "rate_bp": 500, "tiers": [{"above": "1000000", "rate_bp": 700}]},
                    {"kinds": ["option"], "amount": "375", "long_up_to_mark": True},
                ],
            }
        )
    )
    published: Unchecked = publish(part, valuation)
    names = [i.id for i in valuation.market.instruments]
    slot = names.index("BTC-PERPETUAL")
    assert published.long.values[slot] == published.short.values[slot] == 92_416_500_000  # 0.001 BTC at the index
    assert published.pools[published.pool.values[slot]].lines == (Line(slope=300),)
    slot = names.index("ETH-PERPETUAL")
    lines = published.pools[published.pool.values[slot]].lines
    assert lines == (Line(slope=500), Line(slope=700, start=200 * 10**15))
    assert published.pool.values[names.index("BTC-SPOT")] == -1
    marks = valuation.marks()
    options = [k for k, i in enumerate(valuation.market.instruments) if i.kind == "option" and i.underlying == "BTC"]
    for k in options:
        assert published.short.values[k] == 37_500_000_000  # 375 per coin, 0.1 coins a lot
        assert published.long.values[k] == min(37_500_000_000, marks[k])
    assert (
        publish(
            GrossCharge.model_validate_json(json.dumps({"mode": "flat", "rates": [{**RATE, "underlyings": ["SOL"]}]})),
            valuation,
        )
        is None
    )


def test_a_rate_on_sizes_needs_range_proved_positions() -> None:
    for part in (GrossCharge, MinDelta, Funding, Fees):
        assert part.NEEDS_SIDES
    assert ShortOptionMinimum(rate_bp=1).needs_sides
    assert not ShortOptionMinimum(rate_bp=1, per="strike").needs_sides


def test_pools_that_do_not_fit_a_snapshot_are_refused() -> None:
    good = gross([1] * 4, [1] * 4, [(0, 1)])
    for change, reason in (
        ({"pool": lab.array([0, 1, 0, 2])}, "a pool that is not there"),
        ({"pool": lab.array([0, 0, 0, 1])}, "another risk group"),
        ({"pool": lab.array([0, 1])}, "has the shape"),
        ({"long": lab.array([0, 1, -1, 0])}, "a negative size"),
        ({"short": lab.array([0, 1])}, "has the shape"),
    ):
        with pytest.raises(InputError, match=reason):
            snapshot_of(good.model_copy(update=change))


# --- minimum delta ------------------------------------------------------------------------------------------


def test_paradex_example() -> None:
    # docs.paradex.trade: +1 perpetual and -5 calls of delta 0.3 at a spot of 70,000
    part = PublishedMinDelta(mode="floor", net_rate_bp=200, hedged_rate_bp=100, delta=_int_array([70_000, 21_000]))
    from zkmargin.engine.components import Leg

    charge = part.assess([Leg(0, 0, 1), Leg(1, 0, -5)])
    assert Fraction(charge.candidates[0][0], charge.scale) == 1_400


def _int_array(values: list[int]) -> IntArray:
    from zkmargin.formats import IntArray

    return IntArray(np.array(values, dtype=np.int64))


@given(settings(), st.data())
def test_min_delta_against_the_oracle_and_the_circuit(setting: Setting, data: st.DataObject) -> None:
    risk, lots, losses, mode, requirement = setting
    delta = [data.draw(MONEY) for _ in GROUPS]
    hedged = data.draw(st.integers(0, 400))
    net = data.draw(st.integers(-(-hedged // 2), 500))
    part = PublishedMinDelta(mode=mode, net_rate_bp=net, hedged_rate_bp=hedged, delta=lab.array(delta))
    amounts = []
    for slots in ([0, 2], [1, 3]):
        total = abs(sum(lots[i] * delta[i] for i in slots))
        all_of_it = sum(abs(lots[i] * delta[i]) for i in slots)
        amounts.append(Fraction(net, 10_000) * total + Fraction(hedged, 10_000) * Fraction(all_of_it - total, 2))
    snapshot = snapshot_of(part, risk)
    confirm(snapshot, lots, requirement, expected(losses, amounts, mode, requirement))


def test_min_delta_refuses_what_is_not_convex() -> None:
    with pytest.raises((InputError, ValueError), match="not be convex"):
        MinDelta(net_rate_bp=49, hedged_rate_bp=100)
    part = PublishedMinDelta(mode="floor", net_rate_bp=49, hedged_rate_bp=100, delta=lab.array([0] * 4))
    with pytest.raises(InputError, match="not convex"):
        snapshot_of(part)
    with pytest.raises(InputError, match="has the shape"):
        snapshot_of(part.model_copy(update={"delta": lab.array([0])}))


def test_delta_notionals_of_the_example(valuation: Valuation) -> None:
    values = delta_notionals(valuation)
    names = [i.id for i in valuation.market.instruments]
    assert values[names.index("BTC-SPOT")] == 9_241_650_000
    assert notional(valuation, names.index("BTC-SPOT")) == 9_241_650_000
    future = next(k for k, i in enumerate(valuation.market.instruments) if i.kind == "future" and i.underlying == "BTC")
    # 10 USD of an inverse future are worth a little less at the index than at its own price
    assert 9_900_000_000 < notional(valuation, future) < 10_000_000_000
    published = publish(MinDelta(net_rate_bp=200, hedged_rate_bp=100), valuation)
    assert isinstance(published, PublishedMinDelta)
    assert published.delta.values.tolist() == values.tolist()


# --- upper bounds -------------------------------------------------------------------------------------------


def delta_shock(threshold: int, saturation: int, cap_bp: int, delta: Fraction) -> Fraction:
    """Deribit's charge itself, with its concave kink."""
    low, high, cap = Fraction(threshold), Fraction(saturation), Fraction(cap_bp, 10_000)
    return delta * cap * min(Fraction(1), max(Fraction(0), delta - low) / (high - low))


@given(st.integers(0, 1000), st.integers(1, 1000), st.integers(1, 10_000), st.integers(1, 12), st.data())
def test_the_delta_shock_is_bounded_from_above_and_met_at_its_points(
    threshold: int, more: int, cap: int, chords: int, data: st.DataObject
) -> None:
    shock = DeltaShock(threshold=str(threshold), saturation=str(threshold + more), cap_bp=cap, chords=chords)
    pool = Pool(name="p", group=0, lines=shock.lines(Fraction(10**9)))
    delta = data.draw(st.integers(0, 3000 * 10**9))
    exact = delta_shock(threshold, threshold + more, cap, Fraction(delta, 10**9)) * 10**9
    assert Fraction(pool.amount(delta), SCALE) >= exact
    place = data.draw(st.integers(0, chords))
    point = Fraction(threshold) + Fraction(more * place, chords)
    met = delta_shock(threshold, threshold + more, cap, point) * 10**9
    near = Fraction(pool.amount(-(-point * 10**9 // 1)), SCALE)
    # off by one money unit of delta at a slope of up to 2001, and by slopes rounded up to 1e-9 of 2e12 money units
    assert 0 <= near - met <= 5_000


@given(settings(), st.data())
def test_the_delta_shock_in_engine_and_circuit(setting: Setting, data: st.DataObject) -> None:
    risk, lots, losses, mode, requirement = setting
    value = [data.draw(MONEY) for _ in GROUPS]
    shock = DeltaShock(threshold="0.000001", saturation="0.00001", cap_bp=1000, chords=3)
    pools = tuple(Pool(name=f"U{g}", group=g, lines=shock.lines(Fraction(10**9))) for g in range(2))
    part = PublishedDeltaShockUpperBound(
        mode=mode, scale=SCALE, pools=pools, pool=lab.array(GROUPS), value=lab.array(value)
    )
    amounts = []
    for pool, slots in zip(pools, ([0, 2], [1, 3]), strict=True):
        size = abs(sum(lots[i] * value[i] for i in slots))
        amounts.append(Fraction(max(0, *(line.slope * size - line.start for line in pool.lines)), SCALE))
    snapshot = snapshot_of(part, risk)
    confirm(snapshot, lots, requirement, expected(losses, amounts, mode, requirement))


def test_a_delta_shock_needs_a_saturation_above_its_threshold(valuation: Valuation) -> None:
    with pytest.raises((InputError, ValueError), match="above the threshold"):
        DeltaShock(threshold="2", saturation="2", cap_bp=1)
    part = DeltaShockUpperBound(shock=DeltaShock(threshold="20000000", saturation="50000000", cap_bp=1000))
    published = publish(part, valuation)
    assert isinstance(published, PublishedDeltaShockUpperBound)
    assert [pool.name for pool in published.pools] == ["BTC", "ETH"]
    assert len(published.pools[0].lines) == 8


@given(settings(), st.data())
def test_the_vega_term_bound_in_engine_and_circuit(setting: Setting, data: st.DataObject) -> None:
    risk, lots, losses, mode, requirement = setting
    value = [data.draw(MONEY) for _ in GROUPS]
    pools = tuple(Pool(name=str(k), group=g, lines=(Line(slope=150),)) for k, g in enumerate(GROUPS))
    part = PublishedVegaTermUpperBound(
        mode=mode, scale=20_000, pools=pools, pool=lab.array([0, 1, 2, 3]), value=lab.array(value)
    )
    exact, amounts = Fraction(0), []
    for slots in ([0, 2], [1, 3]):
        own = [lots[i] * value[i] for i in slots]
        amounts.append(Fraction(150, 10_000) * Fraction(sum(map(abs, own)), 2))
        exact = Fraction(150, 10_000) * Fraction(sum(map(abs, own)) - abs(sum(own)), 2)
        assert amounts[-1] >= exact
        if sum(own) == 0:
            assert amounts[-1] == exact
    snapshot = snapshot_of(part, risk)
    confirm(snapshot, lots, requirement, expected(losses, amounts, mode, requirement))


def test_vegas_of_the_example_are_slopes_of_the_price(valuation: Valuation) -> None:
    values = vegas(valuation)
    options = valuation.options
    up, down = (
        black76(options.forward, options.strike, options.vol + d, options.time, options.rate, options.is_call)
        for d in (10**6, -(10**6))
    )
    slopes = [factor * int(a - b) / Fraction(2, 1000) for factor, a, b in zip(options.factors, up, down, strict=True)]
    for slot, slope in zip(options.slots.tolist(), slopes, strict=True):
        assert abs(values[slot] - slope) <= max(abs(slope) * Fraction(1, 1000), 10**6)
    published: Unchecked = publish(VegaTermUpperBound(vol_move_bp=100), valuation)
    assert len(published.pools) == 12
    assert published.pool.values[0] == -1


# --- provisions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [PublishedFees, PublishedFunding])
def test_provisions_are_flat(kind: type[PublishedFees | PublishedFunding]) -> None:
    part = gross([3, 0, 5, 0], [0, 4, 5, 0], [(0, 1)], "flat", kind=kind, scale=1)
    snapshot = snapshot_of(part, [[-1]] * 4)
    lots = (2, -3, 4, 0)
    assert requirement_total(snapshot, BookLots(lots, (0,)), "maintenance") == 8_000 * 6 + 10_000 * (6 + 12 + 20)
    on_the_edge(snapshot, lots, claim=Claim(requirement="maintenance"))


def test_funding_is_charged_to_the_side_that_pays(valuation: Valuation) -> None:
    names = [i.id for i in valuation.market.instruments]
    btc, eth = names.index("BTC-PERPETUAL"), names.index("ETH-PERPETUAL")
    published: Unchecked = publish(Funding(rates_ppm={"BTC-PERPETUAL": 200, "ETH": -300}, default_ppm=100), valuation)
    mark, other = valuation.line(btc), valuation.line(eth)
    assert mark is not None
    assert other is not None
    assert (published.long.values[btc], published.short.values[btc]) == (up(mark * 200 / 10**6), 0)
    assert (published.long.values[eth], published.short.values[eth]) == (0, up(other * 300 / 10**6))
    both: Unchecked = publish(Funding(default_ppm=100), valuation)
    assert both.long.values[btc] == both.short.values[btc] == up(mark / 10_000)
    assert not both.long.values[names.index("BTC-SPOT")]


def test_fees_are_capped_by_the_premium(valuation: Valuation) -> None:
    published = publish(
        Fees.model_validate_json(
            json.dumps({"rates": [{"kinds": ["option"], "rate_ppm": 300, "up_to_mark_bp": 1250}]})
        ),
        valuation,
    )
    assert isinstance(published, PublishedFees)
    marks = valuation.marks().tolist()
    seen = set()
    for slot, instrument in enumerate(valuation.market.instruments):
        fee = published.long.values[slot]
        if instrument.kind != "option":
            assert fee == 0
            continue
        whole, cap = up(notional(valuation, slot) * 300 / 10**6), up(Fraction(marks[slot], 8))
        assert fee == min(whole, cap)
        seen.add(whole < cap)
    assert seen == {True, False}


# --- shorts per strike --------------------------------------------------------------------------------------


def strikes(charge: list[int], numbers: list[int], mode: Mode) -> PublishedShortOptionMinimum:
    return PublishedShortOptionMinimum(mode=mode, charge=lab.array(charge), strikes=lab.array(numbers))


def test_calls_and_puts_of_a_strike_net() -> None:
    snapshot = snapshot_of(strikes([7, 7, 7, 7], [0, 1, 0, 1], "added"))
    report = margin_report(snapshot, BookLots((10, 3, -20, 5), (0,)))
    assert report.total == 70 * 10_000  # +10 and -20 count 10
    assert [leg.contribution for leg in report.legs] == [-700_000, 0, 1_400_000, 0]


@given(settings(), st.data())
def test_shorts_per_strike_against_the_oracle_and_the_circuit(setting: Setting, data: st.DataObject) -> None:
    risk, lots, losses, mode, requirement = setting
    charge = [data.draw(SIZE) for _ in GROUPS]
    numbers = data.draw(st.sampled_from([[0, 1, 0, 1], [0, 1, 2, 3], [2, 0, 3, 1]]))
    amounts = [0, 0]
    for number in set(numbers):
        slots = [i for i in range(4) if numbers[i] == number]
        amounts[GROUPS[slots[0]]] += max(0, -sum(lots[i] * charge[i] for i in slots))
    snapshot = snapshot_of(strikes(charge, numbers, mode), risk)
    confirm(snapshot, lots, requirement, expected(losses, amounts, mode, requirement))


def test_strikes_are_published_by_underlying_expiry_and_strike(valuation: Valuation) -> None:
    published: Unchecked = publish(ShortOptionMinimum(rate_bp=30, per="strike", mode="flat"), valuation)
    options = [i for i in valuation.market.instruments if i.kind == "option"]
    assert len(published.members()) == len(options) // 2
    for slots in published.members():
        call, put = (valuation.market.instruments[slot] for slot in slots)
        assert (call.strike, call.expiry, call.underlying) == (put.strike, put.expiry, put.underlying)
        assert (call.option_type, put.option_type) == ("call", "put")
    assert published.mode == "flat"


def test_strikes_that_do_not_fit_are_refused() -> None:
    for numbers, reason in (
        ([0, 1], "has the shape"),
        ([0, -1, 0, 1], "without a strike"),
        ([0, 0, 1, 1], "two risk groups"),
    ):
        with pytest.raises(InputError, match=reason):
            snapshot_of(strikes([1] * 4, numbers, "floor"))
