"""The named policies derive-pmrm2 and deribit-pm on the example market: circuit equals engine, and what they say."""

import json
import random
from collections.abc import Callable
from importlib import resources

import numpy as np
import pytest
from support.edge import on_the_edge
from support.typed import Json

from zkmargin.engine.book import Book, BookLots, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.collateral_charge import PublishedCollateralCharge
from zkmargin.engine.components.dampened_tails import PublishedDampenedTails
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.margin import claim_slack, margin_report, requirement_total
from zkmargin.engine.market import Market
from zkmargin.engine.policy import Policy, load_policy, policy_names
from zkmargin.engine.publishing.snapshots import build_snapshot, check_snapshot
from zkmargin.engine.snapshot import CollateralSlot, Snapshot
from zkmargin.formats import InputError, IntArray

TIME = "2026-01-02T03:04:05Z"
NAMED = ("derive-pmrm2", "deribit-pm")


@pytest.fixture(scope="module")
def market() -> Market:
    return example_market(TIME)


@pytest.fixture(scope="module", params=NAMED)
def snapshot(request: pytest.FixtureRequest, market: Market) -> Snapshot:
    return build_snapshot(market, load_policy(request.param))


def with_cash(snapshot: Snapshot) -> Snapshot:
    """The snapshot with one more collateral slot, which counts a valuation unit a lot: an edge can be met exactly."""
    cash = CollateralSlot(asset="cash", lot="1", price=1, bits=70, negative_allowed=True)
    parts = []
    for part in snapshot.components:
        grown = part
        for name in ("long_value", "short_value"):
            if isinstance(part, PublishedHaircuts):
                grown = grown.model_copy(update={name: appended(getattr(part, name), 1)})
        for name in ("collateral_gain", "collateral_group"):
            if hasattr(part, name):
                grown = grown.model_copy(update={name: appended(getattr(part, name), -1 if "group" in name else 0)})
        if isinstance(part, PublishedCollateralCharge):
            grown = grown.model_copy(update={"charge": appended(part.charge, 0)})
        parts.append(grown)
    wider = snapshot.model_copy(update={"collateral": (*snapshot.collateral, cash), "components": tuple(parts)})
    return Snapshot.parse(wider.to_bytes())


def appended(array: IntArray, value: int) -> IntArray:
    last = np.full((1, *array.values.shape[1:]), value, dtype=np.int64)
    return IntArray(np.concatenate([array.values, last]))


def random_book(snapshot: Snapshot, seed: int) -> tuple[list[int], list[int]]:
    """Positions in 3 to 200 slots, and balances: the unit slot is not among them."""
    draw = random.Random(seed)  # noqa: S311 - a test's books
    positions = [0] * len(snapshot.instruments)
    for slot in draw.sample(range(len(positions)), draw.choice([3, 20, 200])):
        positions[slot] = draw.randint(-(10**3), 10**3)
    balances = [draw.randint(-(10**6) if slot.negative_allowed else 0, 10**6) for slot in snapshot.collateral]
    return positions, balances


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("requirement", ["initial", "maintenance"])
def test_engine_and_circuit_agree_on_random_books(snapshot: Snapshot, seed: int, requirement: str) -> None:
    positions, balances = random_book(snapshot, seed)
    # single hidden integers are bent in the tests of each component
    on_the_edge(with_cash(snapshot), positions, balances, claim=Claim(requirement=requirement), moves=())
    on_the_edge(with_cash(snapshot), positions, balances, claim=Claim(7, 4, requirement), moves=())


def test_the_example_book(snapshot: Snapshot, market: Market) -> None:
    lots = to_lots(Book.model_validate(example_book(market)), snapshot)
    report = margin_report(snapshot, lots)
    assert report.total > requirement_total(snapshot, lots, "maintenance") > 0
    assert claim_slack(snapshot, lots, Claim()) > 0
    assert report.comparison.netting_benefit > 0
    check_snapshot(snapshot, market)


def test_what_they_are_called_and_do_not_know() -> None:
    assert set(NAMED) <= set(policy_names())
    for name in NAMED:
        policy = load_policy(name)
        assert policy.name == name
        assert policy.approximate


def edited(name: str, edit: Callable[[Json], None]) -> Policy:
    data = json.loads((resources.files("zkmargin.engine") / "policies" / f"{name}.json").read_text("utf-8"))
    edit(data["components"])
    return Policy.parse(json.dumps(data))


def test_the_deployment_script_of_derive_is_refused_with_the_reason() -> None:
    def swap(components: Json) -> None:
        discount = components[0]["discount"]
        discount["long_base_bp"], discount["short_base_bp"] = 10_500, 9_500

    with pytest.raises(InputError, match="long_base_bp 10500 above short_base_bp 9500"):
        edited("derive-pmrm2", swap)


def test_risk_cancelling_collateral_lowers_what_a_covered_call_costs(market: Market) -> None:
    snapshot = build_snapshot(market, load_policy("derive-pmrm2"))
    call = next(
        slot
        for slot, i in enumerate(snapshot.instruments)
        if i.underlying == "BTC" and i.option_type == "call" and float(i.strike or 0) > 95_000
    )
    coin = next(j for j, slot in enumerate(snapshot.collateral) if slot.asset == "BTC")
    short = tuple(-10 if slot == call else 0 for slot in range(len(snapshot.instruments)))
    lots = int(1 / float(snapshot.collateral[coin].lot))

    def requirement(coins: int, positions: tuple[int, ...]) -> int:
        balances = tuple(coins * lots if j == coin else 0 for j in range(len(snapshot.collateral)))
        return requirement_total(snapshot, BookLots(positions, balances), "maintenance")

    flat = (0,) * len(short)
    # the coin falls where the call gains: together they cost less than the coin alone
    assert 0 < requirement(1, short) < requirement(1, flat)
    assert requirement(0, short) > 0


def test_a_depeg_raises_initial_margin_only(market: Market) -> None:
    data = market.to_json()
    for asset in data["assets"]:
        if asset["name"] == "USDC":
            asset["price"] = "0.93"
    policy = load_policy("derive-pmrm2")
    before, after = (build_snapshot(m, policy) for m in (market, Market.parse(json.dumps(data))))
    assert (before.factor_bp("initial"), after.factor_bp("initial")) == (10_000, 11_000)
    assert before.factor_bp("maintenance") == after.factor_bp("maintenance") == 8_000


def test_the_deribit_dampener_waves_small_tails_through(market: Market) -> None:
    snapshot = build_snapshot(market, load_policy("deribit-pm"))
    tails = next(part for part in snapshot.components if isinstance(part, PublishedDampenedTails))
    family = next(family for family in tails.families if family.name == "BTC and ETH")
    assert tails.dampeners[tails.families.index(family)] == 100_000 * 10**9
    option = next(slot for slot, i in enumerate(snapshot.instruments) if i.option_type == "put")
    for lots, waved in ((-1, True), (-(10**4), False)):
        book = BookLots(
            tuple(lots if slot == option else 0 for slot in range(len(snapshot.instruments))),
            (0,) * len(snapshot.collateral),
        )
        (charge,) = (group for group in margin_report(snapshot, book).groups if group.group == "BTC and ETH")
        assert (charge.components["dampened_tails"] <= 0) == waved
