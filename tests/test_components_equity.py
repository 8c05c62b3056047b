"""Collateral and factors: concave haircut tiers, resting orders, depeg and the floors against procyclicality."""

import json
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import lab
from support.edge import on_the_edge
from support.typed import JsonObject, Keywords, Passed

from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import PublishedPart
from zkmargin.engine.components.factors import AntiProcyclicality, Depeg, Factors, PublishedFactors
from zkmargin.engine.components.haircuts import AssetTerms, CollateralTier, Haircuts, PublishedHaircuts
from zkmargin.engine.components.open_orders import OpenOrders, PublishedOpenOrders
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.example import example_market
from zkmargin.engine.margin import equity, margin_report, requirement_total
from zkmargin.engine.policy import Policy, load_policy
from zkmargin.engine.publishing import publish
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError

UNIT = (1, 1, 72, True)
TIME = "2026-01-02T03:04:05Z"


def snapshot_of(parts: Sequence[PublishedPart] = (), assets: Passed = (), tiers: Passed = ()) -> Snapshot:
    """One future that loses 7 money units a lot, the given assets and cash. Read back as a document, so validated."""
    base = lab.snapshot(groups=[0], risk=[[-7]], charges=None, marks=[0], assets=[*assets, UNIT])
    grid = next(p for p in base.components if isinstance(p, PublishedWorstScenario))
    haircuts = next(p for p in base.components if isinstance(p, PublishedHaircuts))
    components = (grid, *parts, haircuts.model_copy(update={"tiers": tuple(tiers)}))
    return Snapshot.parse(base.model_copy(update={"components": components}).to_bytes())


# --- haircut tiers ------------------------------------------------------------------------------------------


def test_tiers_are_published_as_lines() -> None:
    part = Haircuts.model_validate_json(
        json.dumps(
            {
                "assets": {
                    "USDC": {"haircut_bp": 0},
                    "BTC": {
                        "haircut_bp": 500,
                        "tiers": [{"above": "1000000", "haircut_bp": 1000}, {"above": "5000000", "haircut_bp": 4000}],
                    },
                    "ETH": {"haircut_bp": 1000},
                }
            }
        )
    )
    valuation = Valuation(example_market(TIME))
    published = publish(part, valuation)
    assert isinstance(published, PublishedHaircuts)
    price = valuation.asset_prices[1]
    assert published.tiers == (
        CollateralTier(slot=1, value=price * 9000, start=500 * 10**15),
        CollateralTier(slot=1, value=price * 6000, start=500 * 10**15 + 3000 * 5 * 10**15),
    )
    # 100 BTC: 1,000,000 at 95 %, 4,000,000 at 90 %, the rest at 60 %
    lots = 100 * 10**5
    worth = Fraction(published.collateral_value((0, lots, 0)), 10**13)
    value = Fraction("92416.5") * 100
    assert worth == 950_000 + 3_600_000 + (value - 5_000_000) * Fraction(3, 5)
    assert published.collateral_value((0, -lots, 0)) == -lots * price * 10_000


@given(st.data())
def test_tiers_against_the_oracle_and_the_circuit(data: st.DataObject) -> None:
    price, before = data.draw(st.integers(1, 2**20)), data.draw(st.integers(0, 3000))
    haircuts = sorted(data.draw(st.sets(st.integers(before + 1, 10_000), max_size=3)))
    steps = sorted(data.draw(st.sets(st.integers(1, 2**30), min_size=len(haircuts), max_size=len(haircuts))))
    tiers, start, last = [], 0, before
    for above, haircut in zip(steps, haircuts, strict=True):
        start += above * (haircut - last)
        last = haircut
        tiers.append(CollateralTier(slot=0, value=price * (10_000 - haircut), start=start))
    asset = (price * (10_000 - before), price * 10_000, 20, True)
    snapshot = snapshot_of(assets=[asset], tiers=tiers)
    balance = data.draw(st.integers(1 - 2**20, 2**20 - 1))
    value, worth = price * balance, 0
    edges = [0, *steps]
    for k, haircut in enumerate([before, *haircuts]):
        upper = edges[k + 1] if k + 1 < len(edges) else max(value, 0)
        worth += (10_000 - haircut) * max(0, min(value, upper) - edges[k])
    if value < 0:
        worth = 10_000 * value
    assert equity(snapshot, BookLots((0,), (balance, 0))).collateral == worth
    on_the_edge(snapshot, (data.draw(st.integers(-9, 9)),), (balance,))


@pytest.mark.parametrize(
    ("tiers", "reason"),
    [
        ([{"above": "0", "haircut_bp": 600}], "above 0"),
        ([{"above": "10", "haircut_bp": 500}], "would not be concave"),
        ([{"above": "10", "haircut_bp": 600}, {"above": "20", "haircut_bp": 600}], "would not be concave"),
        ([{"above": "10", "haircut_bp": 600}, {"above": "10", "haircut_bp": 700}], "ascending order"),
        ([{"above": "10", "haircut_bp": 10_001}], "haircut_bp"),
    ],
)
def test_tiers_that_would_be_wrong_are_refused(tiers: list[dict[str, int | str]], reason: str) -> None:
    with pytest.raises((InputError, ValueError), match=reason):
        AssetTerms.model_validate_json(json.dumps({"haircut_bp": 500, "tiers": tiers}))


def test_published_tiers_must_fit() -> None:
    for tier in (CollateralTier(slot=2, value=0, start=0), CollateralTier(slot=0, value=9, start=0)):
        with pytest.raises(InputError, match="a tier of no slot, or one that does not lower"):
            snapshot_of(assets=[(9, 9, 20, False)], tiers=[tier])


# --- open orders --------------------------------------------------------------------------------------------


@given(st.sampled_from(["added", "flat"]), st.integers(0, 2**30), st.integers(0, 2**20 - 1), st.integers(0, 9))
def test_resting_orders_are_provided_for(mode: Literal["added", "flat"], rate: int, orders: int, short: int) -> None:
    part = PublishedOpenOrders(mode=mode, rate=lab.array([rate, 0]), requirements=("initial",))
    snapshot = snapshot_of([part], assets=[(0, 0, 20, False)])
    lots = BookLots((short,), (orders, 0))
    provision = -(-rate * orders // 10_000) * 10_000
    assert requirement_total(snapshot, lots) == 70_000 * short + provision
    assert requirement_total(snapshot, lots, "maintenance") == 56_000 * short
    report = margin_report(snapshot, lots)
    assert sum(item.amount for item in report.additions) == provision
    # the provision is of balances: no leg contributes to it
    assert sum(leg.contribution for leg in report.legs) == 70_000 * short
    on_the_edge(snapshot, (short,), (orders,))


def policy_with(part: JsonObject, **terms: Passed) -> Policy:
    data = json.loads(load_policy("default").to_bytes())
    data["components"].append(part)
    data["components"][2]["assets"]["BTC"].update(terms)
    return Policy.parse(json.dumps(data), file="policy.json")


def test_the_slots_of_orders_must_count_for_nothing() -> None:
    part = {"type": "open_orders", "assets": {"BTC": 1000}}
    assert policy_with(part, haircut_bp=10_000)
    with pytest.raises(InputError, match="orders would count as collateral"):
        policy_with(part, haircut_bp=9_999)
    valuation = Valuation(example_market(TIME))
    published = publish(OpenOrders(assets={"BTC": 1000}), valuation)
    assert isinstance(published, PublishedOpenOrders)
    assert published.rate.values.tolist() == [0, valuation.asset_prices[1] * 1000, 0]
    for rate, reason in (([1], "has the shape"), ([-1, 0, 0], "a negative rate")):
        with pytest.raises(InputError, match=reason):
            _check(published, rate)


def _check(published: PublishedOpenOrders, rate: list[int]) -> None:
    import numpy as np

    from zkmargin.formats import IntArray

    part = published.model_copy(update={"rate": IntArray(np.array(rate, dtype=np.int64))})
    part.check(group_of=(), groups=0, assets=3)


# --- factors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "multiplier"),
    [
        ({"stressed": "24"}, Fraction("1.25")),  # 0.75 x 12 + 0.25 x 24 = 15
        ({"stressed": "24", "stress_weight_bp": 5000}, Fraction("1.5")),
        ({"stressed": "6"}, Fraction(1)),  # never below the level now
        ({"ten_year": "18"}, Fraction("1.5")),
        ({"ten_year": "6"}, Fraction(1)),
        ({"previous": "20"}, Fraction("1.25")),  # the buffer of 25 % is kept while levels are lower
        ({"previous": "14"}, Fraction(14, 12)),
        ({"previous": "9"}, Fraction(1)),  # and exhausted as they rise
        ({"stressed": "24", "ten_year": "16", "previous": "100"}, Fraction("1.25") * Fraction(16, 12)),
    ],
)
def test_the_three_options_of_article_28(levels: Keywords, multiplier: Fraction) -> None:
    assert AntiProcyclicality(now="12", **levels).multiplier() == multiplier


def test_a_depeg_raises_the_factor_and_is_rounded_up() -> None:
    data = json.loads(example_market(TIME).to_bytes())
    data["assets"][0]["price"] = "0.97003"
    valuation = Valuation(type(example_market(TIME)).parse(json.dumps(data)))
    part = Factors(requirements=("initial",), depeg=Depeg(asset="USDC", threshold="0.98", factor_bp=40_000))
    published = publish(part, valuation)
    assert isinstance(published, PublishedFactors)
    assert published.value_bp == 10_399  # 1 + 4 x 0.00997 = 1.03988
    assert (published.multiplier_bp("initial"), published.multiplier_bp("maintenance")) == (10_399, 10_000)
    calm = publish(part, Valuation(example_market(TIME)))
    assert isinstance(calm, PublishedFactors)
    assert calm.value_bp == 10_000
    with pytest.raises(InputError, match="no price of this asset"):
        publish(Factors(depeg=Depeg(asset="DAI", threshold="0.98", factor_bp=1)), valuation)
    both = Factors(
        depeg=Depeg(asset="USDC", threshold="0.98", factor_bp=40_000),
        anti_procyclicality=AntiProcyclicality(now="1", ten_year="2"),
    )
    product = publish(both, valuation)
    assert isinstance(product, PublishedFactors)
    assert product.value_bp == 20_798
    with pytest.raises(InputError, match="a multiplier above 100"):
        publish(Factors(anti_procyclicality=AntiProcyclicality(now="1", ten_year="101")), valuation)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({}, "it would do nothing"),
        ({"anti_procyclicality": {"now": "1"}}, "it would do nothing"),
        ({"anti_procyclicality": {"now": "0", "ten_year": "1"}}, "above 0"),
        ({"anti_procyclicality": {"now": "1", "stressed": "2", "stress_weight_bp": 2499}}, "stress_weight_bp"),
        ({"anti_procyclicality": {"now": "1", "previous": "2", "buffer_bp": 2499}}, "buffer_bp"),
        ({"depeg": {"asset": "USDC", "threshold": "0", "factor_bp": 1}}, "above 0"),
    ],
)
def test_factors_that_would_be_wrong_are_refused(data: dict[str, dict[str, str]], reason: str) -> None:
    with pytest.raises((InputError, ValueError), match=reason):
        Factors.model_validate_json(json.dumps(data))


@given(st.integers(10_000, 30_000), st.integers(10_000, 30_000), st.integers(0, 1000))
def test_multipliers_in_engine_and_circuit(first: int, second: int, short: int) -> None:
    parts = [PublishedFactors(value_bp=first), PublishedFactors(value_bp=second, requirements=("initial",))]
    snapshot = snapshot_of(parts)
    factor = -(-first * second // 10_000)
    assert snapshot.factor_bp("initial") == factor
    assert snapshot.factor_bp("maintenance") == -(-8_000 * first // 10_000)
    lots = BookLots((short,), (0,))
    assert requirement_total(snapshot, lots) == factor * 7 * short
    on_the_edge(snapshot, (short,))
    on_the_edge(snapshot, (short,), claim=Claim(5, 4, "maintenance"))
