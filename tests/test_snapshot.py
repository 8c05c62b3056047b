"""Snapshots against the definitions: Fractions over single Black-76 values, floats, and coin-settled P&L."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.priced_market import (
    DAY,
    FORWARD,
    INDEX,
    INSTRUMENTS,
    MARKET,
    POLICY,
    SCENARIOS,
    SLOT,
    TIME,
    grid_of,
    make_market,
    option,
    policy_with,
    risk_of,
    rounded,
)
from support.typed import Passed

from zkmargin.engine import pricing
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.short_option_minimum import PublishedShortOptionMinimum
from zkmargin.engine.market import Forward
from zkmargin.engine.policy import Policy
from zkmargin.engine.pricing import black76
from zkmargin.engine.publishing.snapshots import build_snapshot, check_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.units import Scenario, VolRule
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return build_snapshot(MARKET, POLICY)


def test_slots_groups_and_layout(snapshot: Snapshot) -> None:
    assert snapshot.groups == ("BTC", "ETH")
    assert [slot.id for slot in snapshot.instruments] == list(SLOT)
    assert snapshot.group_of == (*([0] * 11), 1)
    assert snapshot.market_digest == MARKET.digest().hex()
    assert (snapshot.time, snapshot.quote, snapshot.money_unit) == (TIME, "USD", "0.000000001")
    assert snapshot.policy == POLICY
    assert (snapshot.layout.domain_size, snapshot.layout.position_bits, snapshot.layout.digit_bits) == (1024, 30, 10)
    usdc, btc = snapshot.collateral
    assert (usdc.price, usdc.bits, usdc.negative_allowed) == (9_998_000, 50, True)
    assert (btc.price, btc.bits, btc.negative_allowed) == (900_005_000, 50, False)
    haircuts = snapshot.components[2]
    assert isinstance(haircuts, PublishedHaircuts)
    assert haircuts.long_value.values.tolist() == [99_980_000_000, 8_100_045_000_000]
    assert haircuts.short_value.values.tolist() == [100_979_800_000, 9_000_050_000_000]


@pytest.mark.parametrize(("size", "bits", "digit"), [(16, 32, 4), (128, 35, 7), (2048, 33, 11)])
def test_bounds_are_rounded_up_to_whole_digits(size: int, bits: int, digit: int) -> None:
    built = build_snapshot(MARKET, POLICY, domain_size=size)
    assert (built.layout.domain_size, built.layout.position_bits, built.layout.digit_bits) == (size, bits, digit)
    assert {slot.bits for slot in built.collateral} == {-(-50 // digit) * digit}
    assert build_snapshot(MARKET, POLICY, domain_size=size, position_bits=1).layout.position_bits == digit
    check_snapshot(built, MARKET)
    widest = 60 if digit < 11 else 55
    check_snapshot(build_snapshot(MARKET, POLICY, domain_size=size, position_bits=widest), MARKET)


@pytest.mark.parametrize(
    ("size", "bits"),
    [(1000, None), (8, None), (4096, None), (None, 61), (None, 0), (None, -5), (2048, 56), (256, 57)],
)
def test_layouts_outside_the_limits_are_refused(size: int | None, bits: int | None) -> None:
    with pytest.raises(InputError, match=r"domain_size|position_bits|at most 63"):
        build_snapshot(MARKET, POLICY, domain_size=size, position_bits=bits)


def test_labels(snapshot: Snapshot) -> None:
    labels = grid_of(snapshot).scenarios
    assert len(labels[0]) == len(labels[1]) == 35
    assert labels[0][0] == "price -30 % vol -50 %"
    assert labels[1][13] == "price 0 % vol 0 %"
    assert labels[0][34] == "tail price +500 % vol +50 % weight 6 %"


def value(name: str, *, price: Fraction = Fraction(1), vol_1e9: int | None = None, later_ms: int = 0) -> Fraction:
    """Quote per unit of one option, priced alone, in the finest decimal unit that holds ten forwards in 57 bits."""
    instrument = INSTRUMENTS[SLOT[name]]
    inverse = instrument.settlement == "inverse"
    forward = FORWARD
    strike = Fraction(instrument.strike or "")
    unit = max(10**k for k in range(30) if max(10 * forward, strike) * 10**k < 2**57)
    cells = [
        forward * price * unit,
        strike * unit,
        int(Fraction(instrument.implied_vol or "") * 10**9) if vol_1e9 is None else vol_1e9,
        60 * DAY - later_ms,
        0 if inverse else 50_000_000,
    ]
    F, K, vol, time, rate = (np.array([int(cell)]) for cell in cells)
    priced = black76(F, K, vol, time, rate, np.array([instrument.option_type == "call"]))
    result = Fraction(int(priced[0]), unit)
    return result * INDEX / forward if inverse else result


def quantity(name: str) -> Fraction:
    return Fraction(INSTRUMENTS[SLOT[name]].lot) * Fraction(INSTRUMENTS[SLOT[name]].multiplier)


OPTIONS = [i.id for i in INSTRUMENTS if i.kind == "option" and not i.settled]


@pytest.mark.parametrize("name", OPTIONS)
def test_option_marks_and_profits_follow_the_definition(snapshot: Snapshot, name: str) -> None:
    mark = value(name)
    assert snapshot.marks.values[SLOT[name]] == rounded(mark * quantity(name) * 10**9)
    vol = int(Fraction(INSTRUMENTS[SLOT[name]].implied_vol or "") * 10**9)
    scale = Fraction(int(pricing.tenor_scale_1e9(np.array([60 * DAY]), 3000, 1300, DAY)[0]), 10**9)
    for scenario, profit in zip(SCENARIOS, risk_of(snapshot, name), strict=True):
        shocked = vol + rounded(vol * scale * scenario.vol_move_bp / 10_000)
        if scenario.vol_move_bp > 0:
            shocked = max(shocked, 500_000_000)
        price = 1 + Fraction(scenario.price_move_bp, 10_000)
        after = value(name, price=price, vol_1e9=max(shocked, 0), later_ms=DAY)
        expected = (after - mark) * quantity(name) * 10**9 * scenario.weight_bp / 10_000
        assert profit == rounded(expected)


def black_float(
    strike: float, vol: float, years: float, *, rate: float, sign: int, forward: float = 91_234.25
) -> float:
    deviation = vol * math.sqrt(years)
    d1 = math.log(forward / strike) / deviation + deviation / 2
    phi = [(1 + math.erf(sign * d / math.sqrt(2))) / 2 for d in (d1, d1 - deviation)]
    return math.exp(-rate * years) * sign * (forward * phi[0] - strike * phi[1])


def test_marks_and_a_profit_in_floating_point(snapshot: Snapshot) -> None:
    call = black_float(95_000, 0.55, 60 / 365, rate=0.05, sign=1)
    coin = black_float(95_000, 0.55, 60 / 365, rate=0, sign=1) * 90_000.5 / 91_234.25
    put = black_float(80_000, 0.654321, 60 / 365, rate=0.05, sign=-1)
    marks = snapshot.marks.values
    assert marks[SLOT["CALL"]] == pytest.approx(call * 0.1e9, rel=1e-9)
    assert marks[SLOT["COIN-CALL"]] == pytest.approx(coin * 0.1e9, rel=1e-9)
    assert marks[SLOT["PUT"]] == pytest.approx(put * 0.25e9, rel=1e-9)
    assert marks[SLOT["PAST-PUT"]] == 500 * 10**9  # settled at 95,000 - 90,000, a tenth of it
    assert not any(risk_of(snapshot, "PAST-PUT"))
    vol = 0.654321 * (1 + 0.5 * (30 / 60) ** 0.13)
    after = black_float(80_000, vol, 59 / 365, rate=0.05, sign=-1, forward=0.7 * 91_234.25)
    assert risk_of(snapshot, "PUT")[2] == pytest.approx((after - put) * 0.25e9, rel=1e-7)


def test_futures_perpetuals_and_spot_are_linear(snapshot: Snapshot) -> None:
    per_lot = {
        "FUT": FORWARD / 1000,
        "FUT-MARKED": Fraction("91111.75"),
        "PERP": INDEX / 100,
        "SPOT": INDEX / 10_000,
        "COIN-FUT": 10 * INDEX / FORWARD,
        "COIN-PERP": 10 * INDEX / Fraction("90123.5"),
        "ETH-PERP": Fraction("300.01"),
    }
    for name, price in per_lot.items():
        expected = [rounded(price * 10**9 * s.price_move_bp * s.weight_bp / 10**8) for s in SCENARIOS]
        assert risk_of(snapshot, name) == expected
        mark = rounded(price * 10**9) if name == "SPOT" else 0
        assert snapshot.marks.values[SLOT[name]] == mark


@pytest.mark.parametrize(("name", "price"), [("COIN-FUT", FORWARD), ("COIN-PERP", Fraction("90123.5"))])
def test_inverse_profits_are_what_the_coins_are_worth_after_the_move(
    snapshot: Snapshot, name: str, price: Fraction
) -> None:
    for scenario, profit in zip(SCENARIOS, risk_of(snapshot, name), strict=True):
        move = 1 + Fraction(scenario.price_move_bp, 10_000)
        coins = 10 / price - 10 / (price * move)
        assert profit == rounded(coins * INDEX * move * 10**9 * scenario.weight_bp / 10_000)


def test_short_option_minimum_is_a_part_of_the_index(snapshot: Snapshot) -> None:
    minimum = snapshot.components[1]
    assert isinstance(minimum, PublishedShortOptionMinimum)
    for name, slot in SLOT.items():
        expected = rounded(INDEX * quantity(name) * 10**9 * 50 / 10_000) if name in OPTIONS else 0
        assert minimum.charge.values[slot] == expected


def test_deltas_are_units_of_the_underlying(snapshot: Snapshot) -> None:
    deltas = dict(zip(SLOT, snapshot.deltas.values.tolist(), strict=True))
    assert deltas["SPOT"] == 100_000
    assert deltas["PERP"] == 10_000_000
    assert deltas["ETH-PERP"] == 100_000_000
    assert deltas["FUT"] == rounded(FORWARD / INDEX * 10**6)
    assert deltas["COIN-PERP"] == rounded(10 / Fraction("90123.5") * 10**9)
    assert deltas["PAST-PUT"] == 0
    d1 = math.log(91_234.25 / 95_000) / (0.55 * math.sqrt(60 / 365)) + 0.55 * math.sqrt(60 / 365) / 2
    chance = (1 + math.erf(d1 / math.sqrt(2))) / 2
    # The premium in coin is worth I / F of the undiscounted value: its delta is N(d1) of the index.
    assert deltas["COIN-CALL"] == pytest.approx(chance * 1e8, abs=1)
    assert deltas["CALL"] == pytest.approx(chance * math.exp(-0.05 * 60 / 365) * 91_234.25 / 90_000.5 * 1e8, abs=1)


def test_no_move_is_no_profit_without_a_time_step_and_decay_with_one() -> None:
    still = build_snapshot(MARKET, policy_with(time_step_seconds=0))
    assert not grid_of(still).risk.values[:, 13].any()
    decayed = grid_of(build_snapshot(MARKET, POLICY)).risk.values[:, 13]
    assert decayed[SLOT["CALL"]] < 0
    assert decayed[SLOT["PAST-PUT"]] == 0
    assert not decayed[SLOT["FUT"] :].any()


def test_a_time_step_past_expiry_stops_at_intrinsic() -> None:
    market = make_market(
        forwards=(Forward(underlying="BTC", expiry="2026-01-01T09:00:00Z", price="90000"),),
        instruments=(option("SOON", "85000", expiry="2026-01-01T09:00:00Z", lot="1"),),
    )
    built = build_snapshot(market, POLICY)
    profits = grid_of(built).risk.values[0]
    mark = int(built.marks.values[0])
    assert mark + int(profits[13]) == 5_000 * 10**9
    assert mark + int(profits[24]) == (90_000 * 13 // 10 - 85_000) * 10**9


def rule(**changes: Passed) -> VolRule:
    return VolRule(
        **{"exponent_short_1e4": 0, "exponent_long_1e4": 0, "tenor_floor_ms": DAY, "floor_1e9": 0, **changes}
    )


def test_vol_floor_binds_upwards_only() -> None:
    market = make_market(instruments=(option("LOW", "91000", implied_vol="0.2"),))
    priced = Valuation(market)
    rows = np.array([0])
    scenarios = [Scenario(0, move, 10_000) for move in (-5000, 0, 1000, 15_000)]
    floored = priced.profits(rows, scenarios, vol_rule=rule(floor_1e9=500_000_000), time_step_ms=0)[0]
    plain = priced.profits(rows, scenarios, vol_rule=rule(), time_step_ms=0)[0]
    assert floored[:2].tolist() == plain[:2].tolist()
    assert floored[1] == 0
    assert floored[2] == floored[3] == plain[3]  # 0.2 x 2.5 is the floor itself
    assert floored[2] > plain[2]


def test_a_vol_move_of_the_whole_vol_leaves_intrinsic_value() -> None:
    market = make_market(instruments=(option("ITM", "50000", settlement="inverse", lot="1"),))
    priced = Valuation(market)
    profit = priced.profits(np.array([0]), [Scenario(0, -10_000, 10_000)], vol_rule=rule(), time_step_ms=0)[0, 0]
    intrinsic = rounded((FORWARD - 50_000) * INDEX / FORWARD * 10**9)
    assert abs(int(priced.marks()[0]) + int(profit) - intrinsic) <= 1


def test_weights_scale_the_profit_before_its_only_rounding() -> None:
    priced = Valuation(MARKET)
    rows = np.arange(len(INSTRUMENTS))
    scenarios = [Scenario(5000, 0, weight) for weight in (10_000, 5_000, 1)]
    profits = priced.profits(rows, scenarios, vol_rule=rule(), time_step_ms=DAY).astype(object)
    for whole, half, least in profits.tolist():
        assert abs(2 * half - whole) <= 2
        assert abs(10_000 * least - whole) <= 10_000


def test_groups_may_have_grids_of_their_own() -> None:
    data = json.loads(POLICY.to_bytes())
    data["components"][0]["overrides"] = {
        "ETH": {"price_moves_bp": [-4000, 0, 4000], "vol_moves_bp": [0]},
        "SOL": {"price_moves_bp": [0], "vol_moves_bp": [0]},
    }
    built = build_snapshot(MARKET, Policy.parse(json.dumps(data)))
    grid = grid_of(built)
    assert [len(labels) for labels in grid.scenarios] == [35, 3]
    assert grid.risk.values[SLOT["ETH-PERP"]].tolist() == [
        -120_004_000_000,
        0,
        120_004_000_000,
        *([0] * 32),
    ]


@given(
    st.lists(
        st.tuples(st.integers(1, 10**7), st.integers(1, 10**7), st.integers(1, 3000), st.booleans(), st.booleans()),
        min_size=1,
        max_size=5,
    ),
    st.lists(st.tuples(st.integers(-9_999, 90_000), st.integers(-10_000, 20_000), st.integers(1, 10_000)), max_size=4),
)
def test_options_of_any_size_price_without_overflow(
    cells: list[tuple[int, int, int, bool, bool]], moves: list[tuple[int, int, int]]
) -> None:
    """A long option never loses more than its mark, and a call never gains more than its share of the move."""
    built = [
        (
            Forward(underlying="BTC", expiry=f"2026-02-0{k + 1}T08:00:00Z", price=str(forward)),
            option(
                f"O{k}",
                str(max(strike, forward // 1000, 1) if strike < 4000 * forward else 4000 * forward),
                expiry=f"2026-02-0{k + 1}T08:00:00Z",
                implied_vol=str(Fraction(vol, 1000).numerator / 1000) if vol % 1000 == 0 else f"0.{vol:04d}",
                option_type="call" if is_call else "put",
                settlement="inverse" if inverse else "linear",
            ),
        )
        for k, (forward, strike, vol, is_call, inverse) in enumerate(cells)
    ]
    market = make_market(forwards=tuple(f for f, _ in built), instruments=tuple(o for _, o in built), assets=())
    priced = Valuation(market)
    profits = priced.profits(
        np.arange(len(cells)), [Scenario(*move) for move in moves], vol_rule=rule(), time_step_ms=0
    )
    marks = priced.marks()
    assert (marks >= 0).all()
    assert (profits + marks[:, None] >= -1).all()
