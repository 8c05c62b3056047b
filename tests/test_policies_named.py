"""The named policies tims and paradex on the example market, and the schema of every policy."""

import json
import random
import re
from fractions import Fraction

import numpy as np
import pytest
from support.edge import on_the_edge
from support.typed import Passed

from zkmargin.circuits.encoders import base, encoder_of
from zkmargin.engine.book import Book, BookLots, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import PolicyPart, PublishedPart, parts_of
from zkmargin.engine.components.gain_offset import GainOffset
from zkmargin.engine.components.gross_charge import GrossCharge
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.worst_scenario import WorstScenario
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.margin import MarginReport, margin_report, requirement_total
from zkmargin.engine.market import Market
from zkmargin.engine.policy import Policy, load_policy, policy_names, policy_schema
from zkmargin.engine.publishing import publish, publish_arrays
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import CollateralSlot, Snapshot
from zkmargin.formats import IntArray

TIME = "2026-01-02T03:04:05Z"
NAMED = ("tims", "paradex")


@pytest.fixture(scope="module")
def market() -> Market:
    return example_market(TIME)


@pytest.fixture(scope="module", params=NAMED)
def snapshot(request: pytest.FixtureRequest, market: Market) -> Snapshot:
    return build_snapshot(market, load_policy(request.param))


def with_cash(snapshot: Snapshot) -> Snapshot:
    """The snapshot with one collateral slot that counts a valuation unit a lot, so that an edge can be met exactly."""
    unit = IntArray(np.array([1], dtype=np.int64))
    parts = [part for part in snapshot.components if not isinstance(part, PublishedHaircuts)]
    cash = CollateralSlot(asset="cash", lot="1", price=1, bits=70, negative_allowed=True)
    haircuts = PublishedHaircuts(long_value=unit, short_value=unit)
    return snapshot.model_copy(update={"collateral": (cash,), "components": (*parts, haircuts)})


def random_book(snapshot: Snapshot, seed: int) -> tuple[int, ...]:
    draw = random.Random(seed)  # noqa: S311 - a test's books
    size = draw.choice([3, 20, 200])
    lots = [0] * len(snapshot.instruments)
    for slot in draw.sample(range(len(lots)), min(size, len(lots))):
        lots[slot] = draw.randint(-(10**3), 10**3)
    return tuple(lots)


def test_named_policies_say_what_they_do_not_know() -> None:
    assert set(NAMED) <= set(policy_names())
    for name in NAMED:
        policy = load_policy(name)
        assert policy.name == name
        assert policy.approximate
        assert policy.description


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("requirement", ["initial", "maintenance"])
def test_engine_and_circuit_agree_on_random_books(snapshot: Snapshot, seed: int, requirement: str) -> None:
    edge = with_cash(snapshot)
    # single hidden integers are bent in the tests of each component
    on_the_edge(edge, random_book(snapshot, seed), claim=Claim(requirement=requirement), moves=())
    on_the_edge(
        edge, random_book(snapshot, seed + 10), claim=Claim(7, 4, requirement), moves=(-1,) if seed == 0 else ()
    )


def test_the_example_book_and_its_report(snapshot: Snapshot, market: Market) -> None:
    lots = to_lots(Book.model_validate(example_book(market)), snapshot)
    report = margin_report(snapshot, lots)
    assert report.total > 0
    assert abs(sum(leg.contribution for leg in report.legs) - report.total) <= 10**6
    assert report.comparison.netting_benefit > 0
    assert requirement_total(snapshot, lots, "maintenance") <= report.total


# --- paradex ------------------------------------------------------------------------------------------------


def test_paradex_has_its_24_scenarios() -> None:
    policy = load_policy("paradex")
    (grid,) = (part.grid for part in policy.components if isinstance(part, WorstScenario))
    scenarios = {(s.price_move_bp, s.vol_move_bp): s.weight_bp for s in grid.scenarios()}
    inside = {(100 * p, v): 10_000 for p in (12, 8, 4, 0, -4, -8, -12) for v in (4000, -2200)}
    edge = {(1600, 4000): 10_000, (-1600, 4000): 10_000}
    tails = {-6600: 2400, -3300: 4800, 5000: 3200, 10_000: 1600, 20_000: 800, 30_000: 533, 40_000: 400, 50_000: 320}
    assert scenarios == inside | edge | {(move, 4000): weight for move, weight in tails.items()}
    assert len(scenarios) == 24


def paradex(market: Market, **positions: Passed) -> dict[str, MarginReport]:
    snapshot = build_snapshot(market, load_policy("paradex"))
    lots = to_lots(Book(positions=positions), snapshot)
    return {name: margin_report(snapshot, lots, name) for name in ("initial", "maintenance")}


def test_paradex_by_hand(market: Market) -> None:
    reports = paradex(market, **{"BTC-PERPETUAL": "10"})
    mark = Fraction("92434.98")  # the index and 0.02 %
    scan = mark * 10 * Fraction(16, 100)
    funding = mark * 10 * Fraction(1, 10_000)
    fees = Fraction("92416.5") * 10 * Fraction(3, 10_000)
    close = Fraction(1, 10**4)
    assert abs(Fraction(reports["initial"].total, 10**13) - (scan + funding + fees)) < close
    assert abs(Fraction(reports["maintenance"].total, 10**13) - (scan / 2 + funding + fees)) < close


def test_a_hedged_book_still_pays_the_minimum_delta(market: Market) -> None:
    # long spot against a short perpetual: no scenario loses much, 1 % of the hedged delta is due
    reports = paradex(market, **{"BTC-PERPETUAL": "-10", "BTC-SPOT": "10"})
    (group,) = (g for g in reports["initial"].groups if g.group == "BTC")
    assert (group.component, group.label) == ("min_delta", "minimum delta")
    charge = Fraction(group.charge, 10**13)
    assert abs(charge - Fraction("9241.65")) < 10


# --- tims ---------------------------------------------------------------------------------------------------


def test_tims_has_ten_points_and_its_ranges() -> None:
    policy = load_policy("tims")
    (part,) = (part for part in policy.components if isinstance(part, GainOffset))
    for grid in (part.grid, *part.overrides.values()):
        moves = grid.price_moves_bp
        assert len(moves) == 10
        assert grid.vol_moves_bp == (0,)
        down, up = [m for m in moves if m < 0], [m for m in moves if m > 0]
        assert {b - a for a, b in zip(down, [*down[1:], 0], strict=True)} == {-down[-1]}
        assert {b - a for a, b in zip([0, *up], up, strict=False)} == {up[0]}
    assert (part.grid.price_moves_bp[0], part.grid.price_moves_bp[-1]) == (-1500, 1500)
    assert (part.overrides["SPX"].price_moves_bp[0], part.overrides["SPX"].price_moves_bp[-1]) == (-800, 600)
    (minimum,) = (part for part in policy.components if isinstance(part, GrossCharge))
    assert {name: set(group.underlyings) for name, group in part.product_groups.items()} == {
        name: set(members) for name, members in minimum.product_groups.items()
    }


def tims(market: Market, **positions: Passed) -> MarginReport:
    snapshot = build_snapshot(market, load_policy("tims"))
    return margin_report(snapshot, to_lots(Book(positions=positions), snapshot))


def test_tims_offsets_gains_by_half(market: Market) -> None:
    report = tims(market, **{"BTC-SPOT": "1", "ETH-SPOT": "-20"})
    btc, eth = Fraction("92416.5") * Fraction(15, 100), 20 * Fraction("3178.25") * Fraction(15, 100)
    (group,) = report.groups
    assert (group.group, group.label) == ("large coins", "price -15 % vol 0 %")
    assert Fraction(report.total, 10**13) == btc - eth / 2
    # contributions: the loss in full, the gain by half
    assert [Fraction(leg.contribution, 10**13) for leg in report.legs] == [btc, -eth / 2]


def test_tims_has_a_minimum_per_contract(market: Market) -> None:
    wing = next(i.id for i in market.instruments if i.kind == "option" and i.underlying == "ETH")
    far = next(i.id for i in reversed(market.instruments) if i.kind == "option" and i.underlying == "ETH")
    report = tims(market, **{wing: "-10", far: "0"})
    (group,) = report.groups
    minimum = Fraction(group.components["gross_charge"], 10**13)
    assert minimum == 10 * Fraction("0.375")
    assert group.components["gain_offset"] >= 0
    options = {i.id: "1" for i in market.instruments if i.kind == "option" and i.underlying == "ETH"}
    long = tims(market, **options)
    snapshot = build_snapshot(market, load_policy("tims"))
    marks = dict(zip((s.id for s in snapshot.instruments), snapshot.marks.values.tolist(), strict=True))
    expected = sum(min(375_000_000, marks[name]) for name in options)
    assert long.groups[0].components["gross_charge"] == 10_000 * expected


def test_an_empty_book_is_a_state_of_its_own(snapshot: Snapshot) -> None:
    report = margin_report(snapshot, BookLots((0,) * len(snapshot.instruments), (0,) * len(snapshot.collateral)))
    assert (report.total, {g.label for g in report.groups}) == (0, {"no position"})


# --- schema -------------------------------------------------------------------------------------------------


def test_every_component_of_the_catalogue_is_published_and_encoded() -> None:
    published = parts_of(PublishedPart)
    for part in published:
        assert encoder_of(part) is not base.encode.dispatch(object), part
    names = {part.model_fields["type"].default for part in published}
    for rule in parts_of(PolicyPart):
        assert publish.dispatch(rule) is not publish.dispatch(object), rule
        assert (publish_arrays.dispatch(rule) is not publish_arrays.dispatch(object)) == rule.IMPORTABLE, rule
        assert (rule.PUBLISHES or rule.model_fields["type"].default) in names


def test_the_schema_names_every_component_and_its_parameters() -> None:
    schema = policy_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert schema["properties"]["format"]["const"] == Policy.FORMAT
    assert {"format", "name", "requirements", "components"} <= set(schema["required"])
    kinds = schema["properties"]["components"]["items"]["discriminator"]["mapping"]
    ours = {
        "collateral_charge",
        "delta_shock_upper_bound",
        "expected_shortfall",
        "factors",
        "fees",
        "funding",
        "gain_offset",
        "gross_charge",
        "haircuts",
        "joint_scenarios",
        "min_delta",
        "open_orders",
        "short_option_minimum",
        "vega_term_upper_bound",
        "worst_scenario",
    }
    assert ours <= set(kinds)
    grid = schema["$defs"]["GrossRate"]["properties"]
    assert {"kinds", "rate_bp", "amount", "tiers"} <= set(grid)
    for name in policy_names():
        document = json.loads(load_policy(name).to_bytes())
        assert set(document) <= set(schema["properties"])
        assert {part["type"] for part in document["components"]} <= set(kinds)


@pytest.mark.parametrize("name", policy_names())
def test_every_policy_says_of_when_its_rules_are_and_whose(name: str) -> None:
    """A year and a source in its own words; the default has its own parameters, and says so."""
    policy = load_policy(name)
    words = f"{policy.description} {policy.approximation}"
    if name == "default":
        assert "our own parameters" in words
        return
    assert re.search(r"(January|March|September|November) 20[12][0-9]|20[12][0-9]-[01][0-9]-[0-3][0-9]", words)
    assert re.search(r"docs\.|\.io|API|FINRA|OCC|Basel|NSE Clearing|CME|FAQ|commit [0-9a-f]{8}", words)
