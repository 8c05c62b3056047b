"""Snapshots against the definitions: Fractions over single Black-76 values, floats, and coin-settled P&L."""

import json
import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.typed import Json, JsonObject, Keywords, Passed

from zkmargin.engine import pricing, valuation
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.short_option_minimum import PublishedShortOptionMinimum
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario, ScenarioGrid, Tail, WorstScenario
from zkmargin.engine.exact import round_half_away
from zkmargin.engine.market import Asset, Forward, Instrument, Market, Underlying
from zkmargin.engine.policy import Policy, load_policy
from zkmargin.engine.pricing import black76
from zkmargin.engine.publishing.snapshots import build_snapshot, check_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.units import MS_PER_YEAR, Scenario, VolRule
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError, IntArray

TIME, EXPIRY, PAST = "2026-01-01T08:00:00Z", "2026-03-02T08:00:00Z", "2025-12-31T08:00:00Z"
DAY = 86_400_000
INDEX, FORWARD = Fraction("90000.5"), Fraction("91234.25")


def option(name: str, strike: str, **more: Passed) -> Instrument:
    given_parts = {
        "id": name,
        "kind": "option",
        "underlying": "BTC",
        "expiry": EXPIRY,
        "strike": strike,
        "option_type": "call",
        "implied_vol": "0.55",
        "lot": "0.1",
    }
    return Instrument(**{**given_parts, **more})


INSTRUMENTS = (
    option("CALL", "95000"),
    option("PUT", "80000", option_type="put", implied_vol="0.654321", lot="0.25"),
    option("COIN-CALL", "95000", settlement="inverse"),
    option("COIN-PUT", "120000", settlement="inverse", option_type="put", multiplier="0.01", lot="1"),
    option("PAST-PUT", "95000", expiry=PAST, option_type="put", settlement_value="5000"),
    Instrument(id="FUT", kind="future", underlying="BTC", expiry=EXPIRY, lot="0.001"),
    Instrument(id="FUT-MARKED", kind="future", underlying="BTC", expiry=EXPIRY, lot="1", mark_price="91111.75"),
    Instrument(
        id="COIN-FUT", kind="future", underlying="BTC", expiry=EXPIRY, lot="1", multiplier="10", settlement="inverse"
    ),
    Instrument(id="PERP", kind="perpetual", underlying="BTC", lot="0.01"),
    Instrument(
        id="COIN-PERP",
        kind="perpetual",
        underlying="BTC",
        lot="1",
        multiplier="10",
        settlement="inverse",
        mark_price="90123.5",
    ),
    Instrument(id="SPOT", kind="spot", underlying="BTC", lot="0.0001"),
    Instrument(id="ETH-PERP", kind="perpetual", underlying="ETH", lot="0.1"),
)
SLOT = {instrument.id: slot for slot, instrument in enumerate(INSTRUMENTS)}


def make_market(**changes: Passed) -> Market:
    given_parts = {
        "time": TIME,
        "underlyings": (Underlying(name="BTC", index_price="90000.5"), Underlying(name="ETH", index_price="3000.1")),
        "forwards": (
            Forward(underlying="BTC", expiry=EXPIRY, price="91234.25", rate="0.05"),
            Forward(underlying="BTC", expiry=PAST, price="90000"),
        ),
        "instruments": INSTRUMENTS,
        "assets": (Asset(name="USDC", price="0.9998", lot="0.01"), Asset(name="BTC", price="90000.5", lot="0.00001")),
    }
    return Market(**{**given_parts, **changes})


def policy_with(**changes: Passed) -> Policy:
    """The default policy with parts of its first component's grid, or of itself, replaced."""
    data = json.loads(load_policy("default").to_bytes())
    for key, value in changes.items():
        target = data if key in data else data["components"][0]["grid"]
        target[key] = value
    return Policy.parse(json.dumps(data))


MARKET, POLICY = make_market(), load_policy("default")


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return build_snapshot(MARKET, POLICY)


def grid_of(snapshot: Snapshot) -> PublishedWorstScenario:
    return next(part for part in snapshot.components if isinstance(part, PublishedWorstScenario))


def risk_of(snapshot: Snapshot, name: str) -> list[int]:
    row: list[int] = grid_of(snapshot).risk.values[SLOT[name]].tolist()
    return row


def rounded(value: Fraction) -> int:
    return round_half_away(value.numerator, value.denominator)


(GRID,) = (part.grid for part in POLICY.components if isinstance(part, WorstScenario))
SCENARIOS = GRID.scenarios()


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


def test_documents_keep_their_digest(snapshot: Snapshot) -> None:
    again = Snapshot.parse(snapshot.to_bytes(), file="snapshot.json")
    assert again == snapshot
    assert again.digest() == snapshot.digest()
    data = json.loads(snapshot.to_bytes())
    assert Snapshot.parse(json.dumps(dict(reversed(list(data.items()))))).digest() == snapshot.digest()
    assert build_snapshot(MARKET, POLICY).digest() == snapshot.digest()


def test_check_rebuilds_and_compares(snapshot: Snapshot) -> None:
    check_snapshot(snapshot, MARKET)
    with pytest.raises(InputError, match="market_digest: the snapshot was built from another market"):
        check_snapshot(snapshot, make_market(source="elsewhere"))
    changed = grid_of(snapshot).risk.values.copy()
    changed[0, 0] += 1
    parts = (grid_of(snapshot).model_copy(update={"risk": IntArray(changed)}), *snapshot.components[1:])
    for update, field in (
        ({"components": parts}, "components"),
        ({"marks": IntArray(snapshot.marks.values + snapshot.marks.values.clip(0, 1))}, "marks"),
        ({"name": "other"}, "name"),
        ({"policy": policy_with(time_step_seconds=0)}, "components"),
    ):
        with pytest.raises(InputError, match=f"{field}: differs from what its market and policy give"):
            check_snapshot(snapshot.model_copy(update=update), MARKET)


def test_stale_prices_are_refused_by_name() -> None:
    late = [i.model_copy(update={"time": "2026-01-01T07:49:59Z"}) if i.id == "PUT" else i for i in INSTRUMENTS]
    with pytest.raises(InputError, match="PUT: its price is 601 s older than the market"):
        build_snapshot(make_market(instruments=tuple(late)), POLICY)
    build_snapshot(make_market(instruments=tuple(late)), policy_with(max_price_age_seconds=601))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"assets": (Asset(name="DOGE", price="1", lot="1"),)}, "asset DOGE: the policy has no haircut"),
        (
            {"assets": (Asset(name="USDC", price="0.99985", lot="0.000001"),)},
            "asset USDC: one lot is not worth",
        ),
        ({"assets": (Asset(name="BTC", price="90000", lot="1000000"),)}, "asset BTC: one lot is worth too much"),
        (
            {
                "forwards": (Forward(underlying="BTC", expiry=EXPIRY, price="0.001"),),
                "instruments": (option("FAR", "1000000000"),),
            },
            "FAR: its strike is too far above its forward",
        ),
        (
            {
                "forwards": (Forward(underlying="BTC", expiry=EXPIRY, price="100000"),),
                "instruments": (option("NEAR", "0.0000000000001"),),
            },
            "NEAR: its strike is too far below its forward",
        ),
        ({"instruments": (option("HUGE", "95000", lot="10000000000"),)}, "HUGE: its P&L or value per lot"),
        (
            {"instruments": (Instrument(id="HUGE", kind="perpetual", underlying="BTC", lot="1000000"),)},
            "HUGE: its P&L or value per lot",
        ),
        ({"instruments": (option("WILD", "95000", implied_vol="90"),)}, "WILD: a vol shocked above 10000 %"),
        (
            {
                "forwards": (Forward(underlying="BTC", expiry="2226-03-02T08:00:00Z", price="9"),),
                "instruments": (option("LATE", "9", expiry="2226-03-02T08:00:00Z"),),
            },
            "LATE: its expiry is more than 100 years away",
        ),
        (
            {
                "forwards": (Forward(underlying="BTC", expiry=EXPIRY, price="9", rate="7"),),
                "instruments": (option("RATE", "9"),),
            },
            f"forward BTC {EXPIRY} rate: too large a rate for its time",
        ),
        (
            {
                "forwards": (Forward(underlying="BTC", expiry="2036-03-02T08:00:00Z", price="9", rate="-0.5"),),
                "instruments": (option("RATE", "9", expiry="2036-03-02T08:00:00Z"),),
            },
            "forward BTC 2036-03-02T08:00:00Z rate: too large a rate for its time",
        ),
    ],
)
def test_data_that_does_not_fit_is_refused_by_name(changes: Keywords, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        build_snapshot(make_market(**changes), POLICY)


def test_pricing_takes_everything_that_valuation_lets_through() -> None:
    assert pricing.MAX_VOL_1E9 == valuation.MAX_VOL_1E9
    assert pricing.MAX_RATE_1E9 == valuation.MAX_RATE_1E9
    assert pricing.MAX_YEARS == valuation.MAX_YEARS
    assert 1 << valuation.PRICE_BITS < pricing.MAX_PRICE
    longest = np.array([valuation.MAX_YEARS * MS_PER_YEAR])
    growth = np.array([-valuation.MAX_GROWTH_1E9 // valuation.MAX_YEARS])
    most = np.array([1 << valuation.PRICE_BITS])
    assert black76(most, most, np.array([10**11]), longest, growth, np.array([True]))[0] > 0


def test_markets_without_options_or_instruments() -> None:
    perps = build_snapshot(make_market(instruments=INSTRUMENTS[-1:], forwards=()), POLICY)
    assert [part.type for part in perps.components] == ["worst_scenario", "haircuts"]
    assert perps.groups == ("ETH",)
    empty = build_snapshot(make_market(instruments=(), assets=()), POLICY)
    assert grid_of(empty).risk.values.shape == (0, 0)
    assert Snapshot.parse(empty.to_bytes()).digest() == empty.digest()


def array(values: npt.ArrayLike) -> JsonObject:
    return IntArray(np.array(values, dtype=np.int64)).to_json()


def set_at(data: Json, path: list[str | int], value: int) -> None:
    *parents, last = path
    for key in parents:
        data = data[key]
    data[last] = value


N, S, M = len(INSTRUMENTS), 35, 2


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (["layout", "domain_size"], 1000, "domain_size: must be a power of two"),
        (["layout", "position_bits"], 31, "layout.position_bits: not a multiple of the 10 bits"),
        (["collateral", 0, "bits"], 51, "asset USDC bits: not a multiple of the 10 bits"),
        (["collateral", 0, "price"], 0, "greater than 0"),
        (["collateral", 1, "asset"], "USDC", "collateral: a name appears twice"),
        (["collateral", 1, "lot"], "0", "BTC lot: must be above 0"),
        (["instruments", 1, "id"], "CALL", "instruments: a name appears twice"),
        (["instruments", 1, "group"], 1, "PUT: its group is not its underlying"),
        (["instruments", 1, "group"], 7, "PUT: its group is not its underlying"),
        (["instruments", 1, "lot"], "-1", "PUT lot: must be above 0"),
        (["groups"], ["BTC", "BTC"], "groups: a name appears twice"),
        (["marks"], array([0] * (N - 1)), "marks: has the shape"),
        (["deltas"], array([[0] * N]), "deltas: has the shape"),
        (["marks"], array([-1] * N), "CALL: a mark below 0"),
        (["marks"], array([1] * N), "FUT: a mark below 0, or of a future"),
        (["components", 0, "risk"], array(np.zeros((N, S - 1))), "worst_scenario.risk: has the shape"),
        (["components", 0, "risk"], array(np.full((N, S), -(2**63))), "worst_scenario.risk: a value outside"),
        (["components", 0, "scenarios", 1], ["only one"], "worst_scenario.risk: a value beyond the scenarios"),
        (["components", 0, "scenarios"], [["x"] * S], "worst_scenario.scenarios: labels for 1 groups, not 2"),
        (["components", 0, "requirements"], ["initial"], "components: no scenarios for the maintenance"),
        (["components", 0, "requirements"], ["initial", "maintenance", "x"], 'no requirement is called "x"'),
        (["components", 1, "charge"], array([0]), "short_option_minimum.charge: has the shape"),
        (["components", 1, "charge"], array([-1] * N), "short_option_minimum.charge: a negative charge"),
        (["components", 2, "long_value"], array([1] * (M + 1)), "haircuts.long_value: has the shape"),
        (["components", 2, "long_value"], array([-1] * M), "haircuts.long_value: a negative value"),
        (["components", 2, "short_value"], array([0] * M), "haircuts.short_value: owing an asset"),
        (["components"], [], "components: no scenarios"),
        (["market_digest"], "00", "not 32 bytes in lower-case hexadecimal"),
        (["money_unit"], "0.01", "0.000000001"),
        (["time"], "yesterday", "time: not a UTC time"),
        (["format"], "zkmargin/snapshot/v3", "another version"),
    ],
)
def test_snapshots_whose_parts_do_not_fit_are_refused(
    snapshot: Snapshot, path: list[str | int], value: int, reason: str
) -> None:
    data = json.loads(snapshot.to_bytes())
    set_at(data, path, value)
    with pytest.raises(InputError, match=reason) as caught:
        Snapshot.parse(json.dumps(data), file="snapshot.json")
    assert str(caught.value).startswith("snapshot.json")


def test_exactly_one_component_of_collateral(snapshot: Snapshot) -> None:
    data = json.loads(snapshot.to_bytes())
    data["components"].append(data["components"][2])
    with pytest.raises(InputError, match="exactly one component says"):
        Snapshot.parse(json.dumps(data))


def test_grids_are_models_of_their_own() -> None:
    grid = ScenarioGrid(
        price_moves_bp=(-500, 0, 500),
        vol_moves_bp=(0,),
        tails=(Tail(price_move_bp=4000, vol_move_bp=0, weight_bp=100),),
    )
    assert grid.scenarios()[-1] == Scenario(4000, 0, 100)


def test_reading_a_snapshot_and_a_book_loads_no_compiled_code() -> None:
    code = "import sys; from zkmargin.engine import book, margin, snapshot; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
