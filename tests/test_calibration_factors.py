"""Rules that emit multipliers and matrices, against brute force in fractions; and series of derivations."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.command_line import Run
from support.typed import Keywords

from zkmargin.app.calibrating import derived
from zkmargin.circuits import build_circuit
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.delta_norm import DeltaNorm, check_covariance
from zkmargin.engine.components.factors import Factors
from zkmargin.engine.components.worst_scenario import WorstScenario
from zkmargin.engine.example import example_market
from zkmargin.engine.margin import requirement_total
from zkmargin.engine.policy import Policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import InputError
from zkmargin.risk.backtest import backtest, in_force
from zkmargin.risk.calibration import calibrate, check_derivation, first_known
from zkmargin.risk.history import UNIT, History
from zkmargin.risk.levels import covariances, ewma_products, level_of, matrix_of
from zkmargin.risk.rules import (
    BP,
    Buffer,
    Covariances,
    Derivation,
    Multiplier,
    Quantile,
    Regimes,
    Rule,
    Stressed,
    Volatility,
)


def walk(seed: int, names: Sequence[str] = ("BTC", "ETH"), days: int = 160) -> History:
    """Closes that move by a fixed pattern of the seed, wildly in the middle."""
    columns, rows = {}, [f"2024-{1 + day // 28:02d}-{1 + day % 28:02d}" for day in range(days)]
    for place, name in enumerate(names):
        price, column = 1_000 * UNIT, []
        for day in range(days):
            size = 40 if days // 3 < day < days // 2 else 9
            step = (seed * 7919 + day * 104_729 + (day * day * (31 + place)) % 997) % (2 * size + 1) - size
            price = price * (1_000 + step) // 1_000
            column.append(price)
        columns[name] = tuple(column)
    return History(tuple(rows), columns)


RULE = Rule(
    name="factored",
    quantile=Quantile(level_bp=9_900, look_back_days=40),
    volatility=Volatility(multiple_1e4=25_000),
    floor_bp=200,
    stressed=Stressed(first="2024-02-20", last="2024-03-25"),
    ten_year_days=2_500,
    buffer=Buffer(),
    factors=Multiplier(requirements=("initial",)),
)

RULES = st.builds(
    lambda stressed, ten, buffer, weight, floor, regimes: RULE.replaced(
        stressed=Stressed(first="2024-02-20", last="2024-03-25", weight_bp=weight) if stressed else None,
        ten_year_days=2_500 if ten else None,
        buffer=Buffer() if buffer or not (stressed or ten) else None,
        floor_bp=floor,
        regimes=Regimes(enter_1e4=12_000, leave_1e4=9_000, stressed_1e4=13_000) if regimes else None,
    ),
    *(st.booleans() for _ in range(3)),
    st.sampled_from([2_500, 6_000]),
    st.sampled_from([0, 300, 2_000]),
    st.booleans(),
)
BEFORE = st.one_of(st.none(), st.integers(1, 10**9))


@settings(max_examples=40)
@given(RULES, st.integers(0, 5), BEFORE, st.integers(100, 160), st.sampled_from(["calm", "stressed"]))
def test_the_multiplier_is_article_28_in_fractions(
    rule: Rule, seed: int, before: int | None, days: int, regime: str
) -> None:
    history = walk(seed)
    level = level_of(history.until(history.dates[days - 1]), "ETH", rule, before, regime)
    plain = rule.replaced(factors=None, stressed=None, ten_year_days=None, buffer=None)
    measured = level_of(history.until(history.dates[days - 1]), "ETH", plain, None, regime)
    # the measures, and the scan range with them, are those of a rule without the tools
    assert (level.raw, level.regime, level.scan_bp) == (measured.raw, measured.regime, measured.scan_bp)
    assert level.now == max(measured.applied, BP)
    now = exact = Fraction(level.now or 0)
    if rule.stressed is not None:
        weight = Fraction(rule.stressed.weight_bp, 10_000)
        exact = max(exact, (1 - weight) * now + weight * (level.stressed or 0))
    if rule.ten_year_days is not None:
        exact = max(exact, Fraction(level.ten_year or 0))
    if rule.buffer is not None:
        whole = exact * Fraction(125, 100)
        exact = whole if before is None else max(exact, min(whole, Fraction(before)))
    assert 0 <= level.applied - exact < 1
    assert level.multiplier_bp is not None
    # at first the buffer is whole, rounded up to a billionth: never more than one unit of the multiplier
    assert 0 <= level.multiplier_bp - math.ceil(exact / now * 10_000) <= (before is None)
    assert level.multiplier_bp >= 10_000


def test_a_requirement_is_multiplied_and_can_be_proved() -> None:
    history, market = walk(1), example_market("2026-11-20T12:00:00Z")
    policy, derivation = calibrate(history, RULE)
    assert (derivation.format, derivation.rule.format) == ("zkmargin/derivation/v3", "zkmargin/rule/v3")
    check_derivation(derivation, history, policy)
    part = policy.components[-1]
    assert isinstance(part, Factors)
    tallest = max(level.multiplier_bp or 0 for level in derivation.levels.values())
    snapshot = build_snapshot(market, policy)
    assert snapshot.factor_bp("initial") == math.ceil(Fraction(policy.factor_bp("initial") * tallest, 10_000))
    assert snapshot.factor_bp("maintenance") == policy.factor_bp("maintenance")
    plain, _ = calibrate(history, Rule(name="x", quantile=RULE.quantile, volatility=RULE.volatility, floor_bp=200))
    bare = build_snapshot(market, plain)
    place = next(i for i, slot in enumerate(snapshot.instruments) if slot.id == "BTC-PERPETUAL")
    lots = tuple(-7_000 if i == place else 0 for i in range(len(snapshot.instruments)))
    book = BookLots(lots, (0,) * len(snapshot.collateral))
    assert requirement_total(snapshot, book) * 10_000 == requirement_total(bare, book) * tallest
    assert build_circuit(snapshot, Claim(1, 1)).equations


def test_the_largest_multiplier_of_the_named_underlyings_counts() -> None:
    history = walk(3, ("BTC", "ETH", "SOL"))
    levels = calibrate(history, RULE)[1].levels
    by = {name: level.multiplier_bp or 0 for name, level in levels.items()}
    assert len(set(by.values())) > 1
    for names in (("BTC",), ("SOL", "ETH"), ()):
        rule = RULE.replaced(factors=Multiplier(underlyings=names))
        part = calibrate(history, rule)[0].components[-1]
        assert isinstance(part, Factors)
        assert part.value_bp(Fraction(1)) == max(by[name] for name in names or by)
        assert part.requirements == ("initial", "maintenance")
    with pytest.raises(InputError, match="no such underlying"):
        calibrate(history, RULE.replaced(factors=Multiplier(underlyings=("DOGE",))))


# --- matrices -----------------------------------------------------------------------------------------------

NORM = Rule(name="norm", base="delta-norm", volatility=Volatility(), covariances=Covariances())
MOVES = st.lists(st.integers(-(10**9), 10**9), min_size=12, max_size=12)


@settings(max_examples=60)
@given(st.lists(MOVES, min_size=1, max_size=5), st.integers(1, 9_999), st.integers(1, 200_000), st.integers(1, 30))
def test_matrices_stay_positive_semidefinite_whatever_is_rounded(
    columns: list[list[int]], weight: int, multiple: int, horizon: int
) -> None:
    terms = Covariances(lambda_1e4=weight, multiple_1e4=multiple, horizon_days=horizon)
    found = [[ewma_products(a, b, weight)[-1] for b in columns] for a in columns]
    matrix = matrix_of(found, terms)
    check_covariance(matrix, field="matrix")
    for i, a in enumerate(columns):
        for j, b in enumerate(columns):
            products = [x * y for x, y in zip(a, b, strict=True)]
            exact = Fraction(sum(products[:10]), 10)
            for product in products:
                exact = (weight * exact + (10_000 - weight) * product) / 10_000
            scaled = exact * Fraction(multiple, 10_000) ** 2 * horizon / 10**10  # from 1e-18 to bp^2
            assert abs(matrix[i][j] - scaled) <= (len(columns) + 1 if i == j else 1)
            assert i != j or matrix[i][j] >= scaled - Fraction(1, 10)


def test_perfectly_correlated_moves_make_a_singular_matrix_that_is_accepted() -> None:
    history = walk(2)
    twins = History(history.dates, {"BTC": history.prices["BTC"], "ETH": history.prices["BTC"]})
    policy, derivation = calibrate(twins, NORM)
    check_derivation(derivation, twins, policy)
    part = next(part for part in policy.components if isinstance(part, DeltaNorm))
    (a, b), (c, d) = part.matrix
    assert (a, b) == (d, c)
    assert b <= a <= b + 2


def test_a_delta_norm_is_calibrated_and_competes_as_before() -> None:
    history = walk(5, ("BTC", "ETH", "SOL"))
    policy, derivation = calibrate(history, NORM)
    check_derivation(derivation, history, policy)
    part = next(part for part in policy.components if isinstance(part, DeltaNorm))
    assert part.underlyings == ("BTC", "ETH", "SOL")
    assert derivation.covariances == tuple(map(tuple, covariances(history, Covariances())))
    for place, level in enumerate(derivation.levels.values()):
        assert level.delta_bp == math.isqrt(part.matrix[place][place] - 1) + 1
    with pytest.raises(InputError, match="no delta_norm"):
        calibrate(history, NORM.replaced(base="default"))
    with pytest.raises(InputError, match="no worst_scenario grid"):
        calibrate(history, NORM.replaced(covariances=None))
    with pytest.raises(InputError, match="no worst_scenario grid"):
        calibrate(history, NORM.replaced(vols={"level_bp": 9_900, "look_back_days": 20}))
    many = History(history.dates, {f"X{i}": history.prices["BTC"] for i in range(65)})
    with pytest.raises(InputError, match="at most 64"):
        calibrate(many, NORM)
    bent = [[entry + (i == j == 0) for j, entry in enumerate(row)] for i, row in enumerate(derivation.covariances)]
    with pytest.raises(InputError, match="other covariances"):
        check_derivation(derivation.replaced(covariances=tuple(map(tuple, bent))), history, policy)


# --- backtests and series -----------------------------------------------------------------------------------


def test_a_backtest_charges_what_each_days_policy_would() -> None:
    history = walk(4)
    first, before = history.dates[100], None
    dates, ranges = in_force(history, RULE, first, 1)
    norm = in_force(history, NORM, first, 1)[1]
    for place, day in enumerate(dates):
        policy, before = calibrate(history, RULE, as_of=day, before=before)
        part, worst = policy.components[-1], policy.components[0]
        assert isinstance(part, Factors)
        assert isinstance(worst, WorstScenario)
        for name, own in ranges.items():
            scan = max(worst.overrides[name].price_moves_bp)
            assert own[place] == math.ceil(Fraction(scan * part.value_bp(Fraction(1)), 10_000))
        if place % 20 == 0:
            matrix = next(p for p in calibrate(history, NORM, as_of=day)[0].components if isinstance(p, DeltaNorm))
            assert norm["BTC"][place] == math.isqrt(matrix.matrix[0][0] - 1) + 1
    track = backtest(history, RULE, first=first).tracks[1]
    assert track.scan_bp == tuple(ranges["ETH"])
    moves = history.returns("ETH")[100:]
    assert track.exceedances == sum(-(-abs(m) // BP) > own for m, own in zip(moves, track.scan_bp, strict=True))


#: A history, and a policy after the other with its derivation.
Series = tuple[History, list[tuple[Policy, Derivation]]]


@pytest.fixture(scope="module")
def series() -> Series:
    history, found = walk(6), list[tuple[Policy, Derivation]]()
    for day in (100, 120, 140):
        found.append(calibrate(history, RULE, as_of=history.dates[day], before=found[-1][1] if found else None))
    return history, found


def test_a_series_is_recomputed_from_its_first_derivation(series: Series) -> None:
    history, ((_, one), (second, two), (policy, three)) = series
    check_derivation(three, history, policy, [two, one])
    assert first_known(three, [two, one]).before is None
    assert first_known(three).before == two.digest().hex()
    with pytest.raises(InputError, match="does not follow the derivation of"):
        check_derivation(three, history, policy, [one])
    forged = two.replaced(before_levels={"BTC": 10**8, "ETH": 10**8})
    with pytest.raises(InputError, match="another level"):
        check_derivation(three, history, policy, [forged, one])
    with pytest.raises(InputError, match="no earlier day"):
        calibrate(history, RULE, as_of=two.as_of, before=three)
    # somebody starts from levels of their own: every number follows from them, and the chain shows it
    start = one.replaced(levels={name: level.replaced(applied=1) for name, level in one.levels.items()})
    own_policy, own = calibrate(history, RULE, as_of=two.as_of, before=start)
    assert own_policy != second
    check_derivation(own, history, own_policy)
    with pytest.raises(InputError, match="does not follow the derivation of"):
        check_derivation(own, history, own_policy, [one])
    with pytest.raises(InputError, match="other levels than"):
        check_derivation(own.replaced(before=one.digest().hex()), history, own_policy, [one])
    with pytest.raises(InputError, match="names no derivation"):
        check_derivation(own.replaced(before=None), history, own_policy)
    regimes = own.replaced(before_levels=two.before_levels, before_regimes={"BTC": "stressed", "ETH": "calm"})
    with pytest.raises(InputError, match=r"another level|other regimes"):
        check_derivation(regimes.replaced(before=one.digest().hex()), history, own_policy, [one])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, series: Series) -> Path:
    history, found = series
    rows = [
        f"{day},{b / UNIT:.9f},{e / UNIT:.9f}"
        for day, b, e in zip(history.dates, history.prices["BTC"], history.prices["ETH"], strict=True)
    ]
    (tmp_path / "closes.csv").write_text("date,BTC,ETH\n" + "\n".join(rows) + "\n")
    (tmp_path / "rule.json").write_bytes(RULE.to_bytes())
    for place, (policy, derivation) in enumerate(found, 1):
        (tmp_path / f"p{place}.json").write_bytes(policy.to_bytes())
        (tmp_path / f"d{place}.json").write_bytes(derivation.to_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_say_what_was_recomputed(folder: Path, capsys: pytest.CaptureFixture[str], series: Series) -> None:
    run, (_, found) = Run(capsys), series
    out = run("policy calibrate closes.csv --rule rule.json --as-of 2024-05-01 -o p.json --derivation d.json")
    assert "level in force" in out.out
    assert "initial margin x 1." in out.out
    check = "policy check p2.json --derivation d2.json --history closes.csv"
    assert "are taken as it says" in run(check).out
    assert "taken as it says" not in run(f"{check} --before d1.json").out
    facts = json.loads(run(f"{check} --before d1.json --json").out)
    assert facts["rule"] == RULE.digest().hex()
    assert "no earlier day" in run(f"{check} --before d3.json", code=2).err
    assert "goes with" in run("policy check p2.json --before d1.json", code=2).err
    policy, derivation = found[1]
    digest = policy.digest().hex()
    assert derived(policy, "d2.json", "closes.csv", None, ["d1.json"]) == {digest: derivation.rule_digest}
    with pytest.raises(InputError, match="the derivation before it is needed"):
        derived(policy, "d2.json", "closes.csv")
    assert derived(found[0][0], "d1.json", "closes.csv")
    assert folder.exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"factors": {}, "buffer": None, "stressed": None, "ten_year_days": None}, "multiplies by none"),
        ({"factors": {"requirements": ["other"]}}, "no requirement is called"),
        ({"covariances": {"lambda_1e4": 10_000}}, "lambda_1e4"),
        ({"format": "zkmargin/rule/v2"}, "unknown key in version 2"),
    ],
)
def test_rules_that_are_none(change: Keywords, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Rule.parse(json.dumps({**json.loads(RULE.to_bytes()), **change}))


def test_rules_say_their_version_by_what_they_ask_for() -> None:
    assert Rule(name="x", volatility=Volatility()).format == "zkmargin/rule/v2"
    assert NORM.format == "zkmargin/rule/v3"
    assert "factors" not in json.loads(Rule(name="x", volatility=Volatility()).to_bytes())
