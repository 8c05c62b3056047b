"""Components in which options net within an expiry: discounted scenarios, skew, basis; and dampened tails."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import lab
from support.edge import on_the_edge
from support.typed import Keywords, Passed

from zkmargin.circuits import build_circuit
from zkmargin.circuits.language.system import Bounded, Form
from zkmargin.circuits.language.witness import assign, check
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import PublishedPart
from zkmargin.engine.components.basis_contingency import PublishedBasisContingency
from zkmargin.engine.components.collateral_charge import PublishedCollateralCharge
from zkmargin.engine.components.dampened_tails import PublishedDampenedTails
from zkmargin.engine.components.discounted_scenarios import PublishedDiscountedScenarios
from zkmargin.engine.components.gain_offset import Family, OffsetClass
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.skew_scenarios import PublishedSkewScenarios
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.margin import margin_report, requirement_total
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError, InputError

UNIT = (1, 1, 72, True)
COIN = (10_000_000, 10_000_000, 20, True)


#: Two risk groups; slots 0 to 3 expire (two expiries of the first group, one of the second), the last two do not.
GROUPS = [0, 0, 0, 1, 0, 1]
EXPIRIES = [0, 1, 0, 2, -1, -1]
N = len(GROUPS)
MONEY = st.one_of(st.integers(-9, 9), st.integers(-(2**30), 2**30))
SIZE = st.one_of(st.integers(0, 9), st.integers(0, 2**30))
LOTS = st.lists(st.one_of(st.just(0), st.integers(-9, 9), st.integers(1 - 2**16, 2**16 - 1)), min_size=N, max_size=N)
REQUIREMENT = st.sampled_from(["initial", "maintenance"])
FACTOR = {"initial": 10_000, "maintenance": 8_000}


def matrix(element: st.SearchStrategy[int], columns: int) -> st.SearchStrategy[list[list[int]]]:
    return st.lists(st.lists(element, min_size=columns, max_size=columns), min_size=N, max_size=N)


def without_expiry(rows: list[list[int]]) -> list[list[int]]:
    return [row if expiry >= 0 else [0] * len(row) for row, expiry in zip(rows, EXPIRIES, strict=True)]


def snapshot_of(part: PublishedPart) -> Snapshot:
    """Six slots in two risk groups, a coin and cash, one component. Read back as a document, so validated."""
    base = lab.snapshot(groups=GROUPS, risk=[[0]] * N, charges=None, marks=[0] * N, assets=[COIN, UNIT])
    haircuts = next(p for p in base.components if isinstance(p, PublishedHaircuts))
    grid = PublishedWorstScenario(scenarios=(("s",), ("s",)), risk=lab.array([[0]] * N))
    return Snapshot.parse(base.model_copy(update={"components": (grid, part, haircuts)}).to_bytes())


def confirm(snapshot: Snapshot, lots: Sequence[int], coin: int, requirement: str, charge: int, flat: int = 0) -> None:
    """The engine's requirement is ``charge`` and its circuit agrees at the edge; shares add up but for collateral."""
    book = BookLots(tuple(lots), (coin, 0))
    assert requirement_total(snapshot, book, requirement) == FACTOR[requirement] * charge + 10_000 * flat
    if coin == 0:
        report = margin_report(snapshot, book, requirement)
        assert abs(sum(leg.contribution for leg in report.legs) - report.total) <= 30_000
    on_the_edge(snapshot, lots, (coin,), claim=Claim(requirement=requirement))


def sums(
    lots: list[int], rows: list[list[int]], column: int, group: int | None = None, expiry: int | None = None
) -> int:
    return sum(
        lots[i] * rows[i][column]
        for i in range(N)
        if (group is None or GROUPS[i] == group) and (expiry is None or EXPIRIES[i] == expiry)
    )


# --- discounted scenarios -----------------------------------------------------------------------------------


@given(
    LOTS,
    matrix(MONEY, 2),
    matrix(SIZE, 2),
    st.lists(MONEY, min_size=2, max_size=2),
    st.integers(-999, 999),
    REQUIREMENT,
)
def test_discounted_scenarios_match_their_formula(
    lots: list[int], gain: list[list[int]], shortfall: list[list[int]], moved: list[int], coin: int, requirement: str
) -> None:
    shortfall = without_expiry(shortfall)
    part = PublishedDiscountedScenarios(
        scenarios=(("down", "up"), ("down", "up")),
        expiries=lab.array(EXPIRIES),
        gain=lab.array(gain),
        shortfall=lab.array(shortfall),
        collateral_group=lab.array([0, -1]),
        collateral_gain=lab.array([moved, [0, 0]]),
    )
    charge = 0
    for group, expiries in ((0, (0, 1)), (1, (2,))):
        losses = [
            -sums(lots, gain, s, group)
            + sum(max(0, -sums(lots, shortfall, s, expiry=e)) for e in expiries)
            - (coin * moved[s] if group == 0 else 0)
            for s in (0, 1)
        ]
        charge += max(0, *losses)
    confirm(snapshot_of(part), lots, coin, requirement, charge)


# --- skew ---------------------------------------------------------------------------------------------------


@given(LOTS, matrix(MONEY, 2), matrix(SIZE, 2), REQUIREMENT)
def test_skew_scenarios_match_their_formula(
    lots: list[int], gain: list[list[int]], shortfall: list[list[int]], requirement: str
) -> None:
    gain, shortfall = without_expiry(gain), without_expiry(shortfall)
    part = PublishedSkewScenarios(
        scenarios=("linear", "absolute"),
        expiries=lab.array(EXPIRIES),
        gain=lab.array(gain),
        shortfall=lab.array(shortfall),
    )
    charge = sum(
        max(
            sum(abs(sums(lots, gain, k, expiry=e) - max(0, -sums(lots, shortfall, k, expiry=e))) for e in expiries)
            for k in (0, 1)
        )
        for expiries in ((0, 1), (2,))
    )
    confirm(snapshot_of(part), lots, 0, requirement, charge)


def test_a_skew_with_a_static_discount_is_not_convex_and_still_exact() -> None:
    # One expiry: G = 5 q, X = 20 q. Long: |5 q|. Short: |5 q + 20 q| = 25 |q|. More shortfall could hide a gain.
    column = [[5], [0], [0], [0], [0], [0]]
    shortfall = [[20], [0], [0], [0], [0], [0]]
    part = PublishedSkewScenarios(
        scenarios=("linear",), expiries=lab.array(EXPIRIES), gain=lab.array(column), shortfall=lab.array(shortfall)
    )
    snapshot = snapshot_of(part)
    for lots, charge in ((3, 15), (-3, 75), (0, 0)):
        confirm(snapshot, (lots, 0, 0, 0, 0, 0), 0, "initial", charge)


# --- basis --------------------------------------------------------------------------------------------------


@given(LOTS, matrix(MONEY, 2), st.sampled_from(["floor", "added"]), REQUIREMENT)
def test_basis_contingency_matches_its_formula(
    lots: list[int], change: list[list[int]], mode: Literal["floor", "added"], requirement: str
) -> None:
    change = without_expiry(change)
    part = PublishedBasisContingency(mode=mode, expiries=lab.array(EXPIRIES), change=lab.array(change))
    charge = sum(max(0, *(-sums(lots, change, way, expiry=e) for way in (0, 1))) for e in (0, 1, 2))
    confirm(snapshot_of(part), lots, 0, requirement, charge)


# --- dampened tails -----------------------------------------------------------------------------------------


@given(
    LOTS,
    matrix(MONEY, 2),
    st.booleans(),
    st.integers(0, 10_000),
    st.one_of(st.none(), st.integers(0, 2**40)),
    st.one_of(st.integers(0, 20), st.integers(0, 2**46)),
    REQUIREMENT,
)
def test_dampened_tails_match_their_formula(
    lots: list[int],
    risk: list[list[int]],
    together: bool,
    offset: int,
    cap: int | None,
    dampener: int,
    requirement: str,
) -> None:
    classes = [OffsetClass(group=g, offset_bp=offset, cap=cap) for g in (0, 1)]
    labels = ("down", "up")
    families = (
        (Family(name="both", classes=tuple(classes), scenarios=labels),)
        if together
        else tuple(Family(name=f"U{g}", classes=(c,), scenarios=labels) for g, c in enumerate(classes))
    )
    part = PublishedDampenedTails(families=families, risk=lab.array(risk), dampeners=(dampener,) * len(families))

    def counted(group: int, s: int) -> Fraction:
        loss = -sums(lots, risk, s, group)
        gain = Fraction(offset, 10_000) * loss if loss < 0 else Fraction(loss)
        return gain if cap is None else max(gain, Fraction(-cap))

    totals = [sum(counted(g, s) for g in (0, 1)) for s in (0, 1)]
    alone = [[Fraction(-sums(lots, risk, s, g)) for s in (0, 1)] for g in (0, 1)]
    charge = sum(
        max([0, *(-(-loss // 1) for loss in losses if loss > dampener)]) for losses in ([totals] if together else alone)
    )
    confirm(snapshot_of(part), lots, 0, requirement, charge)


def test_a_tail_at_its_dampener_counts_nothing_and_one_unit_more_counts_whole() -> None:
    families = tuple(
        Family(name=f"U{g}", classes=(OffsetClass(group=g, offset_bp=0),), scenarios=("down",)) for g in (0, 1)
    )
    risk = lab.array([[-1], [0], [0], [0], [0], [0]])
    snapshot = snapshot_of(PublishedDampenedTails(families=families, risk=risk, dampeners=(1000, 1000)))
    for lots, charge in ((1000, 0), (1001, 1001)):
        confirm(snapshot, (lots, 0, 0, 0, 0, 0), 0, "initial", charge)


# --- provers that lie about a side ---------------------------------------------------------------------------


def lie(snapshot: Snapshot, lots: tuple[int, ...], told: dict[str, int]) -> ConstraintError:
    """What refuses a prover without a cent who puts ``told`` (by the end of a name) into hidden integers."""
    circuit = build_circuit(snapshot, Claim())

    def bend(x: Bounded) -> Bounded:
        lies = [value for end, value in told.items() if x.name.endswith(end) and not x.name.startswith("slack")]
        return replace(x, hint=Form(constant=lies[0])) if lies else x

    bounded = tuple(bend(x) for x in circuit.bounded)
    bent = replace(circuit, bounded=bounded)
    with pytest.raises(ConstraintError) as caught:
        check(bent, assign(bent, lots, (0, 0)))
    return caught.value


@pytest.mark.parametrize(
    ("told", "equation"),
    [
        ({" long": 0, " short": 1}, "if long"),
        ({" long": 1, " short": 0}, "if short"),
        ({" long": 1, " short": 1}, "bit"),
    ],
)
def test_a_skew_takes_the_side_that_the_value_is_on(told: dict[str, int], equation: str) -> None:
    # G = 15 and X = 60: a shortfall of 15, out of nothing, would make the P&L 0 and the charge too
    rows = lab.array([[5], [0], [0], [0], [0], [0]]), lab.array([[20], [0], [0], [0], [0], [0]])
    part = PublishedSkewScenarios(scenarios=("s",), expiries=lab.array(EXPIRIES), gain=rows[0], shortfall=rows[1])
    error = lie(snapshot_of(part), (3, 0, 0, 0, 0, 0), {" above": 75, " below": 15, **told})
    assert equation in str(error)


@pytest.mark.parametrize(
    ("told", "equation"),
    [
        ({" beyond": 0, " within": 1}, "within"),
        ({" beyond": 1, " within": 0}, "beyond"),
        ({" beyond": 1, " within": 1}, "bit"),
    ],
)
def test_a_tail_beyond_its_dampener_counts(told: dict[str, int], equation: str) -> None:
    families = tuple(
        Family(name=f"U{g}", classes=(OffsetClass(group=g, offset_bp=0),), scenarios=("down",)) for g in (0, 1)
    )
    risk = lab.array([[-1], [0], [0], [0], [0], [0]])
    part = PublishedDampenedTails(families=families, risk=risk, dampeners=(1000, 1000))
    error = lie(snapshot_of(part), (1001, 0, 0, 0, 0, 0), {"down U0": 0, **told})
    assert equation in str(error)


# --- collateral ---------------------------------------------------------------------------------------------


@given(SIZE, st.integers(-999, 999))
def test_a_collateral_charge_is_flat_and_on_what_is_held(rate: int, coin: int) -> None:
    part = PublishedCollateralCharge(requirements=("initial",), charge=lab.array([rate, 0]))
    snapshot = snapshot_of(part)
    confirm(snapshot, [0] * N, coin, "initial", 0, flat=rate * max(coin, 0))
    confirm(snapshot, [0] * N, coin, "maintenance", 0)


# --- what a snapshot refuses --------------------------------------------------------------------------------


def discounted(**change: Passed) -> PublishedDiscountedScenarios:
    values: Keywords = {
        "scenarios": (("s",), ("s",)),
        "expiries": lab.array(EXPIRIES),
        "gain": lab.array([[0]] * N),
        "shortfall": lab.array([[0]] * N),
        "collateral_group": lab.array([0, -1]),
        "collateral_gain": lab.array([[0], [0]]),
    }
    return PublishedDiscountedScenarios(**(values | change))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("expiries", [0] * N, "an expiry in two risk groups"),
        ("expiries", [0], "has the shape"),
        ("gain", [[0]], "has the shape"),
        ("gain", [[-(2**63)]] * N, "outside 64 bits"),
        ("shortfall", [[-1]] + [[0]] * 5, "a negative value"),
        ("shortfall", [[0]] * 5 + [[1]], "a shortfall without an expiry"),
        ("collateral_group", [2, -1], "not a risk group"),
        ("collateral_gain", [[0], [1]], "beyond the scenarios of its group"),
    ],
)
def test_a_snapshot_refuses_discounted_scenarios_that_no_policy_publishes(
    field: str, value: list[int], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        snapshot_of(discounted(**{field: lab.array(value)}))


def test_a_snapshot_refuses_other_parts_that_no_policy_publishes() -> None:
    expiries, zero = lab.array(EXPIRIES), lab.array([[0]] * N)
    last = lab.array([[0]] * 5 + [[1]])
    families = tuple(
        Family(name=f"U{g}", classes=(OffsetClass(group=g, offset_bp=0),), scenarios=("s",)) for g in (0, 1)
    )
    for part, reason in (
        (PublishedSkewScenarios(scenarios=("s",), expiries=expiries, gain=last, shortfall=zero), "without an expiry"),
        (PublishedSkewScenarios(scenarios=("s",), expiries=expiries, gain=zero, shortfall=last), "without an expiry"),
        (
            PublishedSkewScenarios(
                scenarios=("s",), expiries=expiries, gain=zero, shortfall=lab.array([[-1]] + [[0]] * 5)
            ),
            "a negative value",
        ),
        (
            PublishedBasisContingency(mode="floor", expiries=expiries, change=lab.array([[0, 0]] * 5 + [[0, 1]])),
            "without an expiry",
        ),
        (PublishedDampenedTails(families=families, risk=zero, dampeners=(1,)), "not one dampener"),
        (PublishedDampenedTails(families=families, risk=zero, dampeners=(1, -1)), "not one dampener"),
        (PublishedCollateralCharge(charge=lab.array([-1, 0])), "a negative value"),
    ):
        with pytest.raises(InputError, match=reason):
            snapshot_of(part)
