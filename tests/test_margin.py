"""Margin against an oracle written with Fractions, on random small snapshots made by hand (no pricing)."""

import json
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import lab
from support.typed import Passed

from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import CLAIM_BOUND, Claim
from zkmargin.engine.components import Requirement
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.short_option_minimum import PublishedShortOptionMinimum
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.margin import claim_slack, equity, largest_claim, margin_report, requirement_total
from zkmargin.engine.names import Kind
from zkmargin.engine.policy import load_policy
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError

POLICY = load_policy("default")
MONEY = st.integers(-(2**40), 2**40)
LOTS = st.one_of(st.just(0), st.integers(-40, 40), st.integers(-(2**30) + 1, 2**30 - 1))


def make_snapshot(
    *,
    groups: list[int],
    kinds: Sequence[Kind],
    risk: list[list[int]],
    charges: list[int],
    marks: list[int],
    mode: Literal["floor", "added"] = "floor",
    assets: tuple[tuple[int, int, int], ...] = ((10**7, 10_000, 10_100),),
    counts: list[int] | None = None,
) -> Snapshot:
    """A snapshot from integers: ``groups`` is the group of each slot, ``counts`` the scenarios of each group."""
    counts = counts or [len(risk[0]) if groups else 0] * (max(groups, default=-1) + 1)
    amounts = [(price * held, price * owed, 52, True) for price, held, owed in assets]
    base = lab.snapshot(
        groups=groups, risk=risk, charges=charges, marks=marks, assets=amounts, mode=mode, bits=32, version=2
    )
    scenarios = tuple(tuple(f"U{k} scenario {s}" for s in range(count)) for k, count in enumerate(counts))
    slots = zip(base.instruments, kinds, strict=True)
    balances = zip(base.collateral, assets, strict=True)
    return base.model_copy(
        update={
            "instruments": tuple(slot.model_copy(update={"kind": kind}) for slot, kind in slots),
            "collateral": tuple(slot.model_copy(update={"price": price}) for slot, (price, _, _) in balances),
            "components": (base.components[0].model_copy(update={"scenarios": scenarios}), *base.components[1:]),
        }
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[Snapshot, BookLots]:
    n, g, s = draw(st.integers(1, 6)), draw(st.integers(1, 3)), draw(st.integers(1, 5))
    every: st.SearchStrategy[Kind] = st.sampled_from(["option", "future", "perpetual", "spot"])
    kinds = draw(st.lists(every, min_size=n, max_size=n))
    groups = draw(st.permutations([*range(min(g, n)), *(draw(st.integers(0, g - 1)) for _ in range(n - min(g, n)))]))
    g = max(groups) + 1
    if set(groups) != set(range(g)):
        groups, g = [0] * n, 1
    # A group may have fewer scenarios than the widest.
    counts = [s, *(draw(st.integers(1, s)) for _ in range(g - 1))]
    risk = [[draw(MONEY) if k < counts[group] else 0 for k in range(s)] for group in groups]
    positive = st.integers(0, 2**40)
    marks = [draw(positive) if kind in ("option", "spot") else 0 for kind in kinds]
    charges = [draw(positive) if kind == "option" else 0 for kind in kinds]
    assets = tuple(
        (draw(st.integers(1, 2**40)), draw(st.integers(0, 10_000)), draw(st.integers(10_000, 20_000)))
        for _ in range(draw(st.integers(0, 2)))
    )
    snapshot = make_snapshot(
        groups=groups,
        kinds=kinds,
        risk=risk,
        charges=charges,
        marks=marks,
        mode=draw(st.sampled_from(["floor", "added"])),
        assets=assets,
        counts=counts,
    )
    lots = BookLots(
        tuple(draw(st.lists(LOTS, min_size=n, max_size=n))),
        tuple(draw(st.lists(st.integers(-(2**45), 2**45), min_size=len(assets), max_size=len(assets)))),
    )
    return snapshot, lots


def oracle_requirement(snapshot: Snapshot, positions: Sequence[int], name: Requirement) -> Fraction:
    """The requirement in quote currency, written from the definition."""
    grid, minimum, _ = snapshot.components
    assert isinstance(grid, PublishedWorstScenario)
    assert isinstance(minimum, PublishedShortOptionMinimum)
    unit = Fraction(1, 10**9)
    total, added = Fraction(0), Fraction(0)
    for group in range(len(snapshot.groups)):
        members = [i for i, slot in enumerate(snapshot.instruments) if slot.group == group]
        losses = [
            -sum(positions[i] * int(grid.risk.values[i, s]) for i in members) for s in range(len(grid.scenarios[group]))
        ]
        shorts = sum(-positions[i] * int(minimum.charge.values[i]) for i in members if positions[i] < 0)
        if minimum.mode == "floor":
            losses.append(shorts)
        else:
            added += shorts
        total += max(0, *losses)
    return (total + added) * unit * Fraction(POLICY.requirements[name], 10_000)


def oracle_equity(snapshot: Snapshot, lots: BookLots) -> Fraction:
    haircuts = snapshot.components[2]
    assert isinstance(haircuts, PublishedHaircuts)
    marked = sum(q * int(m) for q, m in zip(lots.positions, snapshot.marks.values, strict=True))
    value = Fraction(marked)
    for j, balance in enumerate(lots.collateral):
        rate = haircuts.long_value if balance > 0 else haircuts.short_value
        value += Fraction(balance * int(rate.values[j]), 10_000)
    return value / 10**9


UNIT = Fraction(1, 10**13)


@given(cases(), st.sampled_from(["initial", "maintenance"]))
def test_requirement_and_equity_match_the_oracle(case: tuple[Snapshot, BookLots], name: Requirement) -> None:
    snapshot, lots = case
    report = margin_report(snapshot, lots, name)
    assert report.total * UNIT == oracle_requirement(snapshot, lots.positions, name)
    assert report.equity.total * UNIT == oracle_equity(snapshot, lots)
    assert requirement_total(snapshot, lots, name) == report.total
    assert equity(snapshot, lots) == report.equity
    assert report.surplus == report.equity.total - report.total
    assert sum(group.charge for group in report.groups) + sum(a.amount for a in report.additions) == report.total


@given(cases(), st.sampled_from(["initial", "maintenance"]))
def test_legs_alone_and_contributions(case: tuple[Snapshot, BookLots], name: Requirement) -> None:
    snapshot, lots = case
    report = margin_report(snapshot, lots, name)
    assert [leg.id for leg in report.legs] == [f"I{i}" for i, q in enumerate(lots.positions) if q]
    for leg in report.legs:
        slot = int(leg.id[1:])
        single = [0] * len(lots.positions)
        single[slot] = leg.lots
        assert leg.alone * UNIT == oracle_requirement(snapshot, single, name)
        assert leg.mark_to_market == 10_000 * leg.lots * int(snapshot.marks.values[slot])
        assert Fraction(leg.quantity) == Fraction(leg.lots, 10)
    # Euler: the shares at what binds add up to the requirement, in each group too.
    assert sum(leg.contribution for leg in report.legs) == report.total


@given(cases(), st.sampled_from(["initial", "maintenance"]))
def test_netting_never_costs(case: tuple[Snapshot, BookLots], name: Requirement) -> None:
    snapshot, lots = case
    report = margin_report(snapshot, lots, name)
    compared = report.comparison
    assert compared.portfolio <= compared.cross <= compared.isolated
    assert compared.netting_benefit == compared.cross - compared.portfolio >= 0
    assert compared.portfolio == report.total - report.equity.mark_to_market
    assert compared.cross == sum(leg.alone for leg in report.legs) - report.equity.mark_to_market
    assert compared.isolated == sum(max(0, leg.alone - leg.mark_to_market) for leg in report.legs)


@given(cases(), st.integers(1, 1000))
def test_the_requirement_is_positively_homogeneous(case: tuple[Snapshot, BookLots], factor: int) -> None:
    snapshot, lots = case
    scaled = BookLots(tuple(factor * q for q in lots.positions), lots.collateral)
    assert requirement_total(snapshot, scaled) == factor * requirement_total(snapshot, lots)


@given(cases(), st.integers(0, 5))
def test_the_requirement_is_subadditive(case: tuple[Snapshot, BookLots], cut: int) -> None:
    snapshot, lots = case
    left = tuple(q if i < cut else q // 2 for i, q in enumerate(lots.positions))
    right = tuple(q - part for q, part in zip(lots.positions, left, strict=True))
    parts = [requirement_total(snapshot, BookLots(part, lots.collateral)) for part in (left, right)]
    assert requirement_total(snapshot, lots) <= sum(parts)


@given(cases(), st.integers(1, 65_535), st.integers(1, 65_535), st.sampled_from(["initial", "maintenance"]))
def test_a_claim_holds_exactly_when_its_slack_is_not_negative(
    case: tuple[Snapshot, BookLots], num: int, den: int, name: Requirement
) -> None:
    snapshot, lots = case
    ratio = Fraction(num, den)
    claim = Claim(ratio.numerator, ratio.denominator, name)
    holds = oracle_equity(snapshot, lots) >= ratio * oracle_requirement(snapshot, lots.positions, name)
    assert (claim_slack(snapshot, lots, claim) >= 0) == holds
    assert margin_report(snapshot, lots, name).slack(claim) == claim_slack(snapshot, lots, claim)


def small(**changes: Passed) -> Snapshot:
    """One future that loses 7 money units a lot, one asset worth 1 a lot."""
    given_parts = {
        "groups": [0],
        "kinds": ["future"],
        "risk": [[0, -7, 5]],
        "charges": [0],
        "marks": [0],
        "assets": ((1, 10_000, 10_000),),
    }
    return make_snapshot(**{**given_parts, **changes})


def test_equity_exactly_at_the_requirement_and_one_unit_below() -> None:
    snapshot, claim = small(), Claim()
    assert claim_slack(snapshot, BookLots((3,), (21,)), claim) == 0
    assert claim_slack(snapshot, BookLots((3,), (20,)), claim) == -10_000
    assert claim_slack(snapshot, BookLots((3,), (26,)), Claim.parse("1.25")) == 4 * 260_000 - 5 * 210_000 < 0
    assert claim_slack(snapshot, BookLots((3,), (27,)), Claim.parse("1.25")) > 0
    assert claim_slack(snapshot, BookLots((3,), (17,)), Claim.parse("1", "maintenance")) > 0
    assert claim_slack(snapshot, BookLots((3,), (16,)), Claim.parse("1", "maintenance")) < 0


def test_the_report_names_what_binds() -> None:
    report = margin_report(small(), BookLots((3,), (20,)))
    (group,) = report.groups
    assert (group.component, group.candidate, group.label) == ("worst_scenario", 1, "U0 scenario 1")
    assert group.components == {"worst_scenario": 210_000, "short_option_minimum": 0}
    assert (report.ratio, report.largest_claim, report.collateral_to_add) == ("0.9523", "20/21", 10_000)
    short = margin_report(small(kinds=["option"], charges=[9]), BookLots((-2,), (20,)))
    assert (short.groups[0].component, short.groups[0].label) == ("short_option_minimum", "short option minimum")
    assert short.total == 180_000
    added = margin_report(small(kinds=["option"], charges=[9], mode="added"), BookLots((-2,), (20,)))
    assert (added.groups[0].component, added.groups[0].candidate) == ("worst_scenario", 2)
    assert [(item.component, item.amount) for item in added.additions] == [("short_option_minimum", 180_000)]
    assert added.total == 280_000


def test_a_book_without_loss_and_an_empty_book_are_states_of_their_own() -> None:
    gain = margin_report(small(risk=[[1, 2, 3]]), BookLots((3,), (0,)))
    assert (gain.total, gain.groups[0].label, gain.groups[0].component) == (0, "no loss in any scenario", None)
    assert gain.legs[0].contribution == 0
    empty = margin_report(small(), BookLots((0,), (0,)))
    assert (empty.total, empty.groups[0].label, empty.ratio, empty.legs) == (0, "no position", None, ())
    assert empty.largest_claim == "65535/1"
    assert margin_report(small(), BookLots((0,), (-1,))).largest_claim is None


def test_collateral_to_add_is_rounded_against_the_account() -> None:
    # Maintenance 0.8 x 7 = 5.6 money units: 5 are too few, 6 cover it.
    report = margin_report(small(), BookLots((1,), (0,)), "maintenance")
    assert (report.total, report.collateral_to_add) == (56_000, 60_000)


def test_the_report_as_json_has_exact_decimals() -> None:
    report = margin_report(small(), BookLots((3,), (20,)))
    data = json.loads(report.model_dump_json())
    assert data["total"] == "0.000000021"
    assert data["equity"]["total"] == "0.00000002"
    assert data["surplus"] == "-0.000000001"
    assert data["groups"][0]["components"]["worst_scenario"] == "0.000000021"
    assert data["legs"][0]["quantity"] == "0.3"


def test_a_report_and_a_book_must_belong_together() -> None:
    snapshot = small()
    with pytest.raises(InputError, match="not of this snapshot"):
        margin_report(snapshot, BookLots((1, 2), (0,)))
    with pytest.raises(InputError, match="not of this snapshot"):
        equity(snapshot, BookLots((1,), ()))
    with pytest.raises(InputError, match="no requirement is called"):
        margin_report(snapshot, BookLots((1,), (0,)), "other")
    with pytest.raises(InputError, match="the report is of the initial requirement"):
        margin_report(snapshot, BookLots((1,), (0,))).slack(Claim(requirement="maintenance"))


@pytest.mark.parametrize(
    ("text", "num", "den"), [("1.0", 1, 1), ("1.25", 5, 4), ("5/4", 5, 4), ("10/8", 5, 4), ("0.5", 1, 2)]
)
def test_claims_are_read_exactly(text: str, num: int, den: int) -> None:
    assert Claim.parse(text, "maintenance") == Claim(num, den, "maintenance")


@pytest.mark.parametrize("text", ["0", "-1", "65536", "1/65536", "1.00001", "5/0", "1/-1", "nan", "1e3", "", "1/", "/"])
def test_claims_that_are_no_ratio_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="claim"):
        Claim.parse(text)


def test_claims_must_name_a_requirement_and_be_reduced() -> None:
    with pytest.raises(InputError, match="initial or maintenance"):
        Claim(1, 1, "other")
    with pytest.raises(InputError, match="lowest terms"):
        Claim(2, 2)
    assert str(Claim(5, 4)) == "equity at least 5/4 of the initial requirement"
    assert str(Claim()) == "equity at least 1 of the initial requirement"


@given(st.integers(0, 2**70), st.integers(1, 2**70))
def test_the_largest_claim_is_the_best_from_below(worth: int, requirement: int) -> None:
    best = max(
        (
            Fraction(min(worth * den // requirement, CLAIM_BOUND - 1), den)
            for den in {*range(1, 300), *range(CLAIM_BOUND - 300, CLAIM_BOUND)}
        ),
        default=Fraction(0),
    )
    claim = largest_claim(worth, requirement)
    if claim is None:
        assert worth * (CLAIM_BOUND - 1) < requirement
        return
    value = Fraction(claim.num, claim.den)
    assert best <= value <= Fraction(worth, requirement)


@pytest.mark.parametrize("worth", [1, 7919, 104_729, 3 * 2**60 + 1])
@pytest.mark.parametrize("requirement", [3, 15_485_863, 2**61 - 1])
def test_the_largest_claim_among_all_denominators(worth: int, requirement: int) -> None:
    best = max(Fraction(min(worth * den // requirement, CLAIM_BOUND - 1), den) for den in range(1, CLAIM_BOUND))
    claim = largest_claim(worth, requirement)
    assert (Fraction(0) if claim is None else Fraction(claim.num, claim.den)) == best
