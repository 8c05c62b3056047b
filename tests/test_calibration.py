"""Calibrated policies against brute force in fractions; derivations recomputed bit for bit; backtests."""

import json
import math
import random
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.histories import FULL, made
from support.typed import Keywords

from zkmargin.circuits import build_circuit
from zkmargin.cli import main
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.expected_shortfall import ExpectedShortfall
from zkmargin.engine.components.joint_scenarios import JointScenarios
from zkmargin.engine.components.worst_scenario import WorstScenario
from zkmargin.engine.example import example_market
from zkmargin.engine.margin import requirement_total
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import InputError
from zkmargin.integers import root_up
from zkmargin.risk.backtest import backtest, christoffersen, kupiec, traffic_light
from zkmargin.risk.calibration import calibrate, check_derivation, scaled_grid
from zkmargin.risk.history import History, quantile
from zkmargin.risk.levels import Series, ewma, level_of
from zkmargin.risk.rules import (
    BP,
    Buffer,
    Derivation,
    Historical,
    Liquidity,
    Quantile,
    Regimes,
    Rule,
    Stressed,
    Volatility,
    VolScan,
)

# --- measures -----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=30), st.integers(1, 10_000))
def test_a_quantile_is_the_least_value_that_enough_do_not_exceed(values: list[int], level: int) -> None:
    found = quantile(values, level)
    assert found in values
    assert 10_000 * sum(v <= found for v in values) >= level * len(values)
    smaller = [v for v in values if v < found]
    assert not smaller or 10_000 * sum(v <= max(smaller) for v in values) < level * len(values)


@given(st.lists(st.integers(-(10**8), 10**8), min_size=1, max_size=40), st.integers(1, 9_999))
def test_ewma_is_the_recursion_rounded_against_nobody_by_more_than_a_unit(moves: list[int], weight: int) -> None:
    exact = Fraction(sum(m * m for m in moves[:10]), len(moves[:10]))
    for move, found in zip(moves, ewma(moves, weight), strict=True):
        exact = (weight * exact + (10_000 - weight) * move * move) / 10_000
        # each step drops less than one unit of variance, of which the part lambda stays
        assert exact - Fraction(10_000, 10_000 - weight) - 1 <= found * found
        assert max(found - 1, 0) ** 2 <= exact


@given(st.integers(0, 10**30))
def test_roots_are_rounded_up(square: int) -> None:
    root = root_up(square)
    assert root * root >= square
    assert root == 0 or (root - 1) ** 2 < square


RULES = st.builds(
    lambda q, v, floor, stressed, ten, buffer, regimes: Rule(
        name="r",
        quantile=Quantile(level_bp=9_900, horizon_days=2, look_back_days=60) if q or not v else None,
        volatility=Volatility(multiple_1e4=25_000, horizon_days=2) if v else None,
        floor_bp=floor,
        stressed=Stressed(first="2024-05-01", last="2024-07-20") if stressed else None,
        ten_year_days=2_500 if ten else None,
        buffer=Buffer() if buffer else None,
        regimes=Regimes(enter_1e4=14_000, leave_1e4=11_000, stressed_1e4=12_500) if regimes and v else None,
    ),
    *(st.booleans() for _ in range(2)),
    st.sampled_from([0, 300, 2_000]),
    *(st.booleans() for _ in range(4)),
)


@given(RULES, st.integers(0, 3), st.integers(330, 400), st.one_of(st.none(), st.integers(1, 10**9)), st.booleans())
def test_a_level_depends_on_the_days_before_alone(
    rule: Rule, seed: int, days: int, before: int | None, stressed: bool
) -> None:
    history, regime = made(seed), "stressed" if stressed else "calm"
    part = history.until(history.dates[days - 1])
    assert Series(history, "ETH", rule).level(days, before, regime) == level_of(part, "ETH", rule, before, regime)


@given(RULES, st.integers(0, 3), st.one_of(st.none(), st.integers(1, 10**9)), st.sampled_from(["calm", "stressed"]))
def test_the_tools_against_procyclicality_only_raise(rule: Rule, seed: int, before: int | None, regime: str) -> None:
    level = level_of(made(seed), "BTC", rule, before, regime)
    measures = [m for m in (level.by_quantile, level.by_volatility) if m is not None]
    assert level.raw == max(*measures, rule.floor_bp * BP)
    assert level.applied >= level.raw
    assert level.scan_bp * BP >= level.applied > (level.scan_bp - 1) * BP
    if rule.ten_year_days:
        assert level.applied >= (level.ten_year or 0)
    if rule.stressed:
        assert 10_000 * level.applied >= 7_500 * level.raw + 2_500 * (level.stressed or 0)
    if rule.buffer and before is None and not rule.stressed and not rule.ten_year_days and level.regime == "calm":
        assert level.applied == level.raw * 12_500 // 10_000
    if rule.buffer and before is not None:
        bare = level_of(made(seed), "BTC", rule.model_copy(update={"buffer": None}), None, regime)
        assert level.applied == max(bare.applied, min(bare.applied * 12_500 // 10_000, before))


def test_regimes_have_hysteresis() -> None:
    rule = Rule(
        name="r", volatility=Volatility(), regimes=Regimes(enter_1e4=13_000, leave_1e4=9_000, stressed_1e4=20_000)
    )
    history = made(1)
    series = Series(history, "BTC", rule)
    regimes, regime = [], "calm"
    for days in range(50, 401):
        regime = series.level(days, None, regime).regime
        regimes.append(regime)
    assert "stressed" in regimes
    entered = [series.level(days, None, "calm").regime for days in range(50, 401)]
    assert regimes.count("stressed") > entered.count("stressed")  # it is left later than it is entered
    assert all(a == "stressed" for a, b in zip(regimes, entered, strict=True) if b == "stressed")
    with pytest.raises(InputError, match="no hysteresis"):
        Regimes(enter_1e4=1, leave_1e4=2, stressed_1e4=10_000)


def test_a_calibrated_policy_publishes_and_proves() -> None:
    history = made(2)
    policy, derivation = calibrate(history, FULL)
    check_derivation(derivation, history, policy)
    worst = next(part for part in policy.components if isinstance(part, WorstScenario))
    for name, level in derivation.levels.items():
        grid = worst.overrides[name]
        assert max(grid.price_moves_bp) == level.scan_bp
        assert all(tail.weight_bp * abs(tail.price_move_bp) >= level.scan_bp * 10_000 for tail in grid.tails)
    snapshot = build_snapshot(example_market("2026-11-20T12:00:00Z"), policy)
    assert build_circuit(snapshot, Claim(1, 1)).equations
    assert [part.type for part in policy.components][-2:] == ["expected_shortfall", "joint_scenarios"]
    plain = FULL.model_copy(update={"historical": Historical(group="book", days=60), "correlation_bp": ()})
    assert calibrate(history, plain)[0].components[-1].type == "joint_scenarios"


def test_size_is_charged_against_a_days_volume() -> None:
    terms: Keywords = {
        "daily_volume": {"BTC": "1000000"},
        "tiers": [{"part_bp": 1_000, "rate_bp": 50}, {"part_bp": 5_000, "rate_bp": 200}],
    }
    rule = Rule(name="sized", volatility=Volatility(), liquidity=Liquidity.model_validate(terms))
    policy, derivation = calibrate(made(2), rule)
    check_derivation(derivation, made(2), policy)
    plain, _ = calibrate(made(2), Rule(name="plain", volatility=Volatility()))
    market = example_market("2026-11-20T12:00:00Z")
    totals = []
    for own in (policy, plain):
        snapshot = build_snapshot(market, own)
        place = next(i for i, slot in enumerate(snapshot.instruments) if slot.id == "BTC-PERPETUAL")
        lots = [0] * len(snapshot.instruments)
        lots[place] = 10_000  # ten BTC at the index of 92,416.50: 924,165 in quote
        book = BookLots(tuple(lots), (0,) * len(snapshot.collateral))
        totals.append(Fraction(requirement_total(snapshot, book), 10**13))
    # 0.5 % of what is above 100,000, and 1.5 % more of what is above 500,000
    assert totals[0] - totals[1] == Fraction("824165") * Fraction(5, 1000) + Fraction("424165") * Fraction(15, 1000)
    for bad in ({**terms, "daily_volume": {"BTC": "0"}}, {**terms, "tiers": terms["tiers"][::-1]}):
        with pytest.raises(InputError):
            Liquidity.model_validate(bad)


def test_filtered_days_are_scaled_by_todays_volatility() -> None:
    history = made(4)
    policy, _ = calibrate(history, FULL)
    listed = next(part for part in policy.components if isinstance(part, ExpectedShortfall))
    moves, vols = history.returns("BTC"), ewma(history.returns("BTC"), 9_700)
    for scenario, move, vol in zip(listed.scenarios, moves[-60:], vols[-60:], strict=True):
        scaled = Fraction(move * vols[-1], vol * BP)
        assert abs(scenario.moves["BTC"].price_move_bp - scaled) <= 1
        assert abs(scenario.moves["BTC"].price_move_bp) >= abs(scaled) - 1


@given(st.integers(1, 9_900))
def test_grids_are_scaled_and_stay_symmetric(scan: int) -> None:
    worst = next(part for part in load_policy("default").components if isinstance(part, WorstScenario))
    grid = scaled_grid(worst.grid, scan)
    assert max(grid.price_moves_bp) == scan
    assert {-move for move in grid.price_moves_bp} == set(grid.price_moves_bp)
    assert 0 in grid.price_moves_bp


def test_any_change_to_a_derivation_shows() -> None:
    history = made(3)
    policy, derivation = calibrate(history, FULL)
    data = json.loads(derivation.to_bytes())
    for field in ("raw", "applied", "scan_bp", "volatility", "by_quantile"):
        bent = json.loads(json.dumps(data))
        bent["levels"]["BTC"][field] = int(bent["levels"]["BTC"][field]) + 1
        with pytest.raises(InputError, match="another level follows"):
            check_derivation(Derivation.parse(json.dumps(bent)), history, policy)
    other = json.loads(json.dumps(data))
    del other["levels"]["ETH"]
    with pytest.raises(InputError, match=r"another level|other underlyings"):
        check_derivation(Derivation.parse(json.dumps(other)), history, policy)
    with pytest.raises(InputError, match="not of this policy"):
        check_derivation(derivation, history, load_policy("default"))
    with pytest.raises(InputError, match="not of this history"):
        check_derivation(derivation, made(5), policy)
    with pytest.raises(InputError, match="not the digest of its rule"):
        check_derivation(
            derivation.model_copy(update={"rule": Rule(name="x", volatility=Volatility())}), history, policy
        )


def test_a_series_of_policies_under_one_rule() -> None:
    history = made(2)
    _, first = calibrate(history, FULL, as_of=history.dates[250])
    policy, second = calibrate(history, FULL, before=first)
    check_derivation(second, history, policy)
    assert second.before == first.digest().hex()
    assert second.rule_digest == first.rule_digest
    assert second.before_levels["BTC"] == first.levels["BTC"].applied
    with pytest.raises(InputError, match="of another rule"):
        calibrate(history, Rule(name="x", volatility=Volatility()), before=first)


# --- backtests ----------------------------------------------------------------------------------------------


def test_a_backtest_counts_what_a_person_would() -> None:
    history = made(6)
    rule = Rule(name="plain", quantile=Quantile(level_bp=9_900, look_back_days=100))
    found = backtest(history, rule, first=history.dates[150], horizon=1)
    track = found.tracks[0]
    moves = history.returns("BTC")
    hits = 0
    for place in range(150, 399):
        seen = sorted(abs(move) for move in moves[place - 100 : place])
        scan = -(-seen[98] // BP)
        hits += -(-abs(moves[place]) // BP) > scan
    assert (track.exceedances, len(track.dates)) == (hits, 249)
    assert track.mean_bp == round(sum(track.scan_bp) / 249, 2)
    with pytest.raises(InputError, match="no day"):
        backtest(history, rule, first="2099-01-01")
    with pytest.raises(InputError, match="looks back"):
        backtest(history, rule, first=history.dates[10])


@given(st.integers(0, 250))
def test_kupiec_is_smallest_surprise_at_the_expected_rate(hits: int) -> None:
    value = kupiec(hits, 250, 0.02)
    assert 0 <= value <= 1
    assert value <= kupiec(5, 250, 0.02) == pytest.approx(1.0)


def test_the_published_zones_and_tests() -> None:
    # Basel Committee, "Supervisory framework for the use of backtesting", 1996: 250 days at 1 %
    assert [traffic_light(k, 250, 0.01) for k in range(11)] == ["green"] * 5 + ["yellow"] * 5 + ["red"]
    # Kupiec 1995, table of non-rejection regions at 95 %: fewer than 7 exceedances in 255 days at 1 %
    assert kupiec(6, 255, 0.01) > 0.05 > kupiec(7, 255, 0.01)
    assert christoffersen([False] * 10) is None
    assert (christoffersen([True, True, True, False] * 20) or 1) > 0
    clustered = [False] * 60 + [True] * 8 + [False] * 60
    assert (christoffersen(clustered) or 0) < 0.001


# --- implied vols -------------------------------------------------------------------------------------------


def with_vols(seed: int) -> History:
    history = made(seed)
    draw = random.Random(seed + 100)  # noqa: S311 - a test's history
    vols = {name: [draw.randint(300, 900) for _ in history.dates] for name in history.prices}
    lines = [f"{day},0.{vols['BTC'][place]},0.{vols['ETH'][place]}" for place, day in enumerate(history.dates)]
    return history.with_vols(History.parse("date,BTC,ETH\n" + "\n".join(lines)))


@given(st.integers(0, 5), st.integers(1, 5), st.integers(1, 10_000), st.sampled_from([0, 2_000, 60_000]))
def test_vols_move_by_the_quantile_of_their_own_moves(seed: int, horizon: int, level: int, floor: int) -> None:
    history = with_vols(seed)
    terms = VolScan(level_bp=level, horizon_days=horizon, look_back_days=50, floor_bp=floor)
    rule = Rule(name="r", volatility=Volatility(), vols=terms)
    scan = level_of(history, "ETH", rule, None, "calm").vol_scan_bp
    vols = history.vols["ETH"]
    moves = sorted(abs(Fraction(b - a, a)) for a, b in list(zip(vols, vols[horizon:], strict=False))[-50:])
    exact = moves[max(-(-50 * level // 10_000), 1) - 1] * 10_000
    assert scan is not None
    assert scan >= max(math.ceil(exact) - 1, floor, 1)
    assert scan <= max(math.ceil(exact) + 1, floor, 1)


def test_the_grid_follows_vols_and_the_policy_can_be_proved() -> None:
    history, market = with_vols(1), example_market("2026-11-20T12:00:00Z")
    rule = Rule(
        name="r",
        volatility=Volatility(),
        vols=VolScan(level_bp=9_500, look_back_days=100),
        historical=Historical(group="book", days=5),
    )
    policy, derivation = calibrate(history, rule)
    check_derivation(derivation, history, policy)
    base = next(part for part in load_policy("default").components if isinstance(part, WorstScenario))
    worst = next(part for part in policy.components if isinstance(part, WorstScenario))
    for name, level in derivation.levels.items():
        grid = worst.overrides[name]
        widest = max(abs(move) for move in base.grid.vol_moves_bp)
        assert max(grid.vol_moves_bp) == -(-max(base.grid.vol_moves_bp) * (level.vol_scan_bp or 0) // widest)
        assert 0 in grid.vol_moves_bp
        assert min(grid.vol_moves_bp) >= -9_900
    days = next(part for part in policy.components if isinstance(part, JointScenarios))
    assert any(move.vol_move_bp for scenario in days.scenarios for move in scenario.moves.values())
    build_circuit(build_snapshot(market, policy), Claim(1, 1))
    bent = derivation.levels["BTC"].model_copy(update={"vol_scan_bp": 1})
    levels = {**dict(derivation.levels.items()), "BTC": bent}
    with pytest.raises(InputError, match="another level"):
        check_derivation(derivation.model_copy(update={"levels": levels}), history, policy)


def test_a_rule_without_vols_is_what_it_was() -> None:
    history, plain = with_vols(2), made(2)
    rule = Rule(name="r", volatility=Volatility(), historical=Historical(group="book", days=5))
    with_them, without = calibrate(history, rule)[0], calibrate(plain, rule)[0]
    assert with_them == without


def test_vols_of_other_days_or_of_something_else_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    history = made(3)
    with pytest.raises(InputError, match="other dates than the closes"):
        history.with_vols(made(3).until(history.dates[100]))
    with pytest.raises(InputError, match="no closes"):
        History(history.dates, {"BTC": history.prices["BTC"]}).with_vols(history)
    monkeypatch.chdir(tmp_path)
    lines = [
        f"{day},{b / 10**9},{e / 10**9}" for day, b, e in zip(history.dates, *history.prices.values(), strict=True)
    ]
    Path("closes.csv").write_text("date,BTC,ETH\n" + "\n".join(lines) + "\n")
    Path("vols.csv").write_text("date,BTC\n" + "\n".join(f"{day},0.{k % 7 + 3}" for k, day in enumerate(history.dates)))
    rule = Rule(name="r", volatility=Volatility(), vols=VolScan(level_bp=9_900, look_back_days=100))
    Path("rule.json").write_bytes(rule.to_bytes())
    line = "policy calibrate closes.csv --rule rule.json -o p.json --derivation d.json"
    assert main(line.split()) == 2
    assert "give a history of them" in capsys.readouterr().err
    assert main([*line.split(), "--vols", "vols.csv"]) == 0
    out = capsys.readouterr().out
    assert "BTC: scan range" in out
    assert "vols by" in out
    check_line = "policy check p.json --derivation d.json --history closes.csv"
    assert main([*check_line.split(), "--vols", "vols.csv"]) == 0
    assert main(check_line.split()) == 2
    assert "not of this history" in capsys.readouterr().err
