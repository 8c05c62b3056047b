"""Measures of market risk beyond the grid: joint scenarios, expected shortfall, gain offset.

Each against numbers worked out by hand, an oracle in fractions, and the circuit at the edge of the claim.
"""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import lab
from support.edge import on_the_edge
from support.typed import Draw, JsonObject, Passed

from zkmargin.engine.book import BookLots
from zkmargin.engine.components.expected_shortfall import ExpectedShortfall, PublishedExpectedShortfall
from zkmargin.engine.components.gain_offset import Family, GainOffset, OffsetClass, PublishedGainOffset
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.joint_scenarios import JointMove, JointScenarios, Move, PublishedJointScenarios
from zkmargin.engine.example import example_market
from zkmargin.engine.margin import MarginReport, margin_report, requirement_total
from zkmargin.engine.publishing import publish
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError

UNIT = (1, 1, 72, True)
GROUPS = [0, 1, 0, 1]
MONEY = st.one_of(st.integers(-9, 9), st.integers(-(2**30), 2**30))
LOTS = st.lists(st.one_of(st.integers(-9, 9), st.integers(1 - 2**16, 2**16 - 1)), min_size=4, max_size=4)


def snapshot_of(*parts: Passed, groups: list[int] = GROUPS, marks: None = None) -> Snapshot:
    """Four slots in two risk groups, cash, and the given components. Read back as a document, so validated."""
    base = lab.snapshot(
        groups=groups, risk=[[0]] * len(groups), charges=None, marks=marks or [0] * len(groups), assets=[UNIT]
    )
    haircuts = next(part for part in base.components if isinstance(part, PublishedHaircuts))
    return Snapshot.parse(base.model_copy(update={"components": (*parts, haircuts)}).to_bytes())


def rows(draw: Draw, width: int) -> list[list[int]]:
    return [[draw(MONEY) for _ in range(width)] for _ in GROUPS]


def losses_of(risk: list[list[int]], lots: list[int], slots: list[int]) -> list[int]:
    return [-sum(lots[i] * risk[i][s] for i in slots) for s in range(len(risk[0]))]


def money(snapshot: Snapshot, lots: list[int]) -> Fraction:
    """The requirement in money units, factor 1."""
    return Fraction(requirement_total(snapshot, BookLots(tuple(lots), (0,))), 10_000)


def up(amount: Fraction | int) -> int:
    return max(0, -(-amount // 1))


def contributions_add_up(snapshot: Snapshot, lots: list[int]) -> MarginReport:
    report = margin_report(snapshot, BookLots(tuple(lots), (0,)))
    assert abs(sum(leg.contribution for leg in report.legs) - report.total) <= 20_000 * len(lots)
    return report


# --- joint scenarios ----------------------------------------------------------------------------------------


def joint(risk: list[list[int]], group: str | None = "together", **more: Passed) -> PublishedJointScenarios:
    names = tuple(f"day {s}" for s in range(len(risk[0])))
    return PublishedJointScenarios(group=group, scenarios=names, risk=lab.array(risk), **more)


def test_joint_scenarios_net_across_underlyings_and_alone_they_do_not() -> None:
    risk = [[-10, 10], [8, -8], [0, 0], [0, 0]]
    together = snapshot_of(joint(risk))
    report = margin_report(together, BookLots((1, 1, 0, 0), (0,)))
    assert [(g.group, g.charge, g.label) for g in report.groups] == [("together", 20_000, "day 0")]
    assert [leg.contribution for leg in report.legs] == [100_000, -80_000]
    alone = snapshot_of(joint(risk, group=None))
    report = margin_report(alone, BookLots((1, 1, 0, 0), (0,)))
    assert [(g.group, g.charge, g.label) for g in report.groups] == [("U0", 100_000, "day 0"), ("U1", 80_000, "day 1")]


def test_components_of_one_joint_group_compete_and_those_of_two_add() -> None:
    first, second = [[-10], [0], [0], [0]], [[-7], [0], [0], [0]]
    same = snapshot_of(joint(first), joint(second))
    apart = snapshot_of(joint(first), joint(second, group="stress"))
    assert money(same, [1, 0, 0, 0]) == 10
    assert money(apart, [1, 0, 0, 0]) == 17
    empty = margin_report(apart, BookLots((0, 0, 0, 0), (0,)))
    assert (empty.total, [g.label for g in empty.groups]) == (0, ["no position", "no position"])


@given(st.data())
def test_joint_scenarios_against_the_oracle_and_the_circuit(data: st.DataObject) -> None:
    risk, group = rows(data.draw, 3), data.draw(st.sampled_from([None, "together"]))
    lots = data.draw(LOTS)
    snapshot = snapshot_of(joint(risk, group))
    members = [[0, 1, 2, 3]] if group else [[0, 2], [1, 3]]
    assert money(snapshot, lots) == sum(max(0, *losses_of(risk, lots, slots)) for slots in members)
    assert sum(leg.contribution for leg in margin_report(snapshot, BookLots(tuple(lots), (0,))).legs) == 10_000 * money(
        snapshot, lots
    )
    on_the_edge(snapshot, lots)


MOVES = {"BTC": Move(price_move_bp=-1000), "ETH": Move(price_move_bp=-1500, vol_move_bp=2000)}


def test_published_joint_scenarios_move_every_underlying_by_its_own_amount() -> None:
    market = example_market("2026-01-02T03:04:05Z")
    part = JointScenarios(source="historical", group="book", scenarios=(JointMove(name="a day", moves=MOVES),))
    published = publish(part, Valuation(market))
    assert isinstance(published, PublishedJointScenarios)
    risk = published.risk.values[:, 0].tolist()
    by_id = dict(zip((i.id for i in market.instruments), risk, strict=True))
    assert by_id["BTC-SPOT"] == -924_165_000  # 0.0001 BTC of 92416.5, a tenth of it
    assert by_id["ETH-SPOT"] == -476_737_500  # 0.001 ETH of 3178.25, 15 %


def test_a_joint_scenario_must_say_how_every_underlying_moves() -> None:
    market = example_market("2026-01-02T03:04:05Z")
    some = JointMove(name="a day", moves={"BTC": Move(price_move_bp=-1000)})
    with pytest.raises(InputError, match='"a day" says nothing about ETH'):
        publish(JointScenarios(source="historical", scenarios=(some,)), Valuation(market))
    still = JointScenarios(source="historical", scenarios=(some,), others=Move(price_move_bp=0))
    published = publish(still, Valuation(market))
    assert isinstance(published, PublishedJointScenarios)
    assert published.risk.values.any()


@pytest.mark.parametrize(
    ("scenarios", "source", "reason"),
    [
        ([("a", -1000), ("b", 0)], "stress", "not symmetric"),
        ([("a", 1000), ("a", -1000)], "stress", "the same scenario twice"),
        ([("a", -10_000)], "historical", "above -10000"),
        ([("a", 1000)], "invented", "source"),
    ],
)
def test_lists_that_would_be_wrong_are_refused(scenarios: list[tuple[str, int]], source: str, reason: str) -> None:
    data = [{"name": name, "moves": {"BTC": {"price_move_bp": move}}} for name, move in scenarios]
    with pytest.raises((InputError, ValueError), match=reason):
        JointScenarios.model_validate_json(json.dumps({"source": source, "scenarios": data}))


def test_a_published_array_must_fit() -> None:
    good = joint([[1], [2], [3], [4]])
    for change, reason in (
        ({"risk": lab.array([[1], [2]])}, "has the shape"),
        ({"risk": lab.array([[-(2**63)], [1], [1], [1]])}, "64 bits with sign"),
        ({"group": "U0"}, "a risk group of its own already"),
        ({"requirements": ("initial",)}, "no scenarios for the maintenance"),
    ):
        with pytest.raises(InputError, match=reason):
            snapshot_of(good.model_copy(update=change))


# --- expected shortfall -------------------------------------------------------------------------------------


def shortfall(
    risk: list[list[int]], level: int, weight: int = 10_000, group: str | None = "together"
) -> PublishedExpectedShortfall:
    return PublishedExpectedShortfall(
        group=group,
        scenarios=tuple(f"day {s}" for s in range(len(risk[0]))),
        risk=lab.array(risk),
        level_bp=level,
        weight_bp=weight,
    )


def oracle_shortfall(losses: list[int], level: int) -> Fraction:
    """min over t of t + sum max(L - t, 0) / ((1 - level) N), attained at one of the losses."""
    tail = Fraction(len(losses) * (10_000 - level), 10_000)
    return min(t + sum(max(loss - t, 0) for loss in losses) / tail for t in losses)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (8000, 9),  # the worst one of five
        (6000, Fraction(9 + 5, 2)),
        (7000, Fraction(9 + Fraction(5, 2), Fraction(3, 2))),  # one and a half
        (9900, 9),  # less than one scenario: the worst
    ],
)
def test_expected_shortfall_by_hand(level: int, expected: Fraction | int) -> None:
    snapshot = snapshot_of(shortfall([[-9, -5, 3, 2, -1], [0] * 5, [0] * 5, [0] * 5], level))
    assert money(snapshot, [1, 0, 0, 0]) == up(expected)
    report = margin_report(snapshot, BookLots((1, 0, 0, 0), (0,)))
    assert report.groups[0].label.startswith("expected shortfall ")


@given(st.data())
def test_expected_shortfall_against_the_oracle_and_the_circuit(data: st.DataObject) -> None:
    risk, level = rows(data.draw, data.draw(st.integers(1, 6))), data.draw(st.integers(1, 9_999))
    weight, group = data.draw(st.sampled_from([10_000, 7_500, 1])), data.draw(st.sampled_from([None, "together"]))
    lots = data.draw(LOTS)
    snapshot = snapshot_of(shortfall(risk, level, weight, group))
    members = [[0, 1, 2, 3]] if group else [[0, 2], [1, 3]]
    measured = [oracle_shortfall(losses_of(risk, lots, slots), level) for slots in members]
    assert money(snapshot, lots) == sum(up(Fraction(weight, 10_000) * amount) for amount in measured)
    contributions_add_up(snapshot, lots)
    on_the_edge(snapshot, lots)


def test_a_mixture_of_two_measures_adds_up() -> None:
    now, stressed = [[-8, 0], [0, 0], [0, 0], [0, 0]], [[-20, 0], [0, 0], [0, 0], [0, 0]]
    mixed = snapshot_of(shortfall(now, 5000, 7_500), shortfall(stressed, 5000, 2_500, "stressed"))
    assert money(mixed, [1, 0, 0, 0]) == Fraction(3, 4) * 8 + Fraction(1, 4) * 20


def test_expected_shortfall_refuses_what_would_be_wrong() -> None:
    day = {"name": "a", "moves": {"BTC": {"price_move_bp": 1}}}
    for change, reason in (
        ({"level_bp": 10_000}, "level_bp"),
        ({"level_bp": 0}, "level_bp"),
        ({"scenarios": [{**day, "weight_bp": 5000}]}, "equally likely"),
    ):
        given_data = {"source": "historical", "scenarios": [day], "level_bp": 9900, **change}
        with pytest.raises((InputError, ValueError), match=reason):
            ExpectedShortfall.model_validate_json(json.dumps(given_data))


def test_expected_shortfall_is_published_from_a_list() -> None:
    days: list[JsonObject] = [{"name": str(k), "moves": {}, "others": None} for k in range(2)]
    moves = [{"BTC": {"price_move_bp": m}, "ETH": {"price_move_bp": m}} for m in (-500, 400)]
    data = [{"name": day["name"], "moves": move} for day, move in zip(days, moves, strict=True)]
    part = ExpectedShortfall.model_validate_json(
        json.dumps({"source": "historical", "group": "book", "scenarios": data, "level_bp": 9900})
    )
    published = publish(part, Valuation(example_market("2026-01-02T03:04:05Z")))
    assert isinstance(published, PublishedExpectedShortfall)
    assert (published.level_bp, published.scenarios, published.risk.values.shape[1]) == (9900, ("0", "1"), 2)


# --- gain offset --------------------------------------------------------------------------------------------


def offset(
    risk: list[list[int]],
    offsets: list[int] | tuple[int, int],
    caps: tuple[int | None, None] | list[int | None] = (None, None),
    *,
    together: bool = True,
) -> PublishedGainOffset:
    labels = tuple(f"point {s}" for s in range(len(risk[0])))
    classes = [OffsetClass(group=g, offset_bp=offsets[g], cap=caps[g]) for g in range(2)]
    families = (
        (Family(name="pair", classes=tuple(classes), scenarios=labels),)
        if together
        else tuple(Family(name=f"U{g}", classes=(classes[g],), scenarios=labels) for g in range(2))
    )
    return PublishedGainOffset(families=families, risk=lab.array(risk))


def test_gains_count_in_part_against_other_losses() -> None:
    risk = [[-10, 10], [8, -30], [0, 0], [0, 0]]
    # point 0: 10 - 0.9 x 8 = 2.8, point 1: 30 - 0.9 x 10 = 21, of one lot each
    snapshot = snapshot_of(offset(risk, (9000, 9000)))
    report = margin_report(snapshot, BookLots((1, 1, 0, 0), (0,)))
    assert [(g.group, g.label, g.charge) for g in report.groups] == [("pair", "point 1", 210_000)]
    assert [leg.contribution for leg in report.legs] == [-90_000, 300_000]
    assert money(snapshot_of(offset(risk, (5000, 9000))), [1, 1, 0, 0]) == 25
    assert money(snapshot_of(offset(risk, (0, 0))), [1, 1, 0, 0]) == 30
    assert money(snapshot_of(offset(risk, (10_000, 10_000))), [1, 1, 0, 0]) == 20
    assert money(snapshot_of(offset(risk, (9000, 9000), (4, None))), [1, 1, 0, 0]) == 26
    assert money(snapshot_of(offset(risk, (9000, 9000), together=False)), [1, 1, 0, 0]) == 40


def test_a_product_group_of_one_class_is_its_risk_group() -> None:
    risk = [[-10, 10], [8, -30], [0, 0], [0, 0]]
    on_the_edge(snapshot_of(offset(risk, (9000, 9000), together=False)), [1, 1, 0, 0])


@given(st.data())
def test_gain_offset_against_the_oracle_and_the_circuit(data: st.DataObject) -> None:
    risk, lots = rows(data.draw, 3), data.draw(LOTS)
    offsets = [data.draw(st.sampled_from([0, 4000, 9000, 10_000])) for _ in range(2)]
    caps = [data.draw(st.sampled_from([None, 0, 10, 2**30])) for _ in range(2)]
    snapshot = snapshot_of(offset(risk, offsets, caps))
    points = []
    for s in range(3):
        total = Fraction(0)
        for g, slots in enumerate(([0, 2], [1, 3])):
            loss = losses_of(risk, lots, slots)[s]
            gain = Fraction(offsets[g], 10_000) * max(-loss, 0)
            cap = caps[g]
            total += max(loss, 0) - (gain if cap is None else min(gain, Fraction(cap)))
        points.append(total)
    assert money(snapshot, lots) == up(max(points))
    contributions_add_up(snapshot, lots)
    on_the_edge(snapshot, lots)


GRID = {"price_moves_bp": [-1000, 0, 1000], "vol_moves_bp": [0]}
LONGER = {"price_moves_bp": [-1000, -500, 0, 500, 1000], "vol_moves_bp": [0]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"product_groups": {"a": {"underlyings": ["BTC"], "offset_bp": 10_001}}}, "offset_bp"),
        (
            {"product_groups": {"a": {"underlyings": ["BTC"], "offset_bp": 1, "offsets_bp": {"BTC": 10_001}}}},
            "whole gain",
        ),
        ({"product_groups": {"a": {"underlyings": ["BTC"], "offset_bp": 1, "caps": {"BTC": "-1"}}}}, "negative"),
        (
            {"product_groups": {"a": {"underlyings": ["BTC"], "offset_bp": 1, "caps": {"ETH": "1"}}}},
            "not in the product",
        ),
        (
            {
                "product_groups": {
                    "a": {"underlyings": ["BTC"], "offset_bp": 1},
                    "b": {"underlyings": ["BTC"], "offset_bp": 1},
                }
            },
            "in two product groups",
        ),
        (
            {"overrides": {"ETH": LONGER}, "product_groups": {"a": {"underlyings": ["BTC", "ETH"], "offset_bp": 1}}},
            "different length",
        ),
    ],
)
def test_offsets_that_would_be_wrong_are_refused(
    change: dict[str, dict[str, dict[str, dict[str, int] | int | list[str]]]], reason: str
) -> None:
    with pytest.raises((InputError, ValueError), match=reason):
        GainOffset.model_validate_json(json.dumps({"grid": GRID, **change}))


def test_product_groups_that_do_not_fit_a_snapshot_are_refused() -> None:
    good = offset([[1], [2], [3], [4]], (0, 0))
    (family,) = good.families
    for change, reason in (
        ({"families": (family, family)}, "exactly one product group"),
        ({"families": (family.model_copy(update={"classes": family.classes[:1]}),)}, "exactly one product group"),
        ({"risk": lab.array([[1, 1], [2, 2], [3, 3], [4, 4]])}, "has the shape"),
        ({"families": (family.model_copy(update={"name": "U1"}),)}, "a risk group of its own already"),
    ):
        with pytest.raises(InputError, match=reason):
            snapshot_of(good.model_copy(update=change))
