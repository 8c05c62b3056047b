"""Chain layouts with gain offsets: lines of product groups. Engine, provers, verifiers, forgers, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.chain_lab import chain_snapshot
from support.chain_layouts import covered
from support.chain_offsets import OFFSETS, offset, offset_snapshot
from support.chain_offsets_forge import lenient
from support.lab import array
from support.typed import Keywords, Passed
from test_chain_wide import least_of_the_first

from zkmargin.circuits.chain import SLACK_DIGITS, ChainLayout, ChainPrices, digit_columns, group_charge_cell
from zkmargin.crypto.srs import embedded
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.gain_offset import Family, OffsetClass, PublishedGainOffset
from zkmargin.engine.example import example_market
from zkmargin.engine.margin import margin_report
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.prover.chain_tables import commit_rows_fast
from zkmargin.verifier.chain import Table, check_table

NO_DEBTS = (False, False, False, False)


# --- the layout and the engine ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OFFSETS)
def test_charges_are_those_of_the_engine(name: str) -> None:
    given, case = offset_snapshot(name), offset(name)
    prices, draw = case.statement.prices, np.random.default_rng(11)
    names = [family.name if len(family.classes) > 1 else None for family in given.components[0].families]  # type: ignore[attr-defined]
    for most in (90, 400, 2_000) * 10:
        book = draw.integers(-most, most, size=len(given.instruments)).tolist()
        lots = replace(case.lots, positions=tuple(book))
        witness = replace(case.witness, positions=tuple(book), long=tuple(max(q, 0) for q in book))
        witness = replace(witness, short=tuple(max(-q, 0) for q in book), collateral=(1 << 48, 30))
        columns = digit_columns(prices, witness, 1, 1)
        report = {group.group: group.charge for group in margin_report(given, lots).groups}
        for f, (g, name_of) in enumerate(zip(prices.layout.charged, names, strict=True)):
            cells = [group_charge_cell(g, d) for d in range(SLACK_DIGITS)]
            found = sum(int(columns[7][cell]) << (10 * d) for d, cell in enumerate(cells))
            key = name_of or given.groups[given.components[0].families[f].classes[0].group]  # type: ignore[attr-defined]
            assert found * prices.factor_bp == report.get(key, 0)


@pytest.mark.parametrize(
    ("scenarios", "gross", "reason"),
    [
        ((129,), (), "1 to 128"),
        ((128,), (), "do not hold them"),
        ((124,), ("floor", "flat"), "do not hold them"),
        ((40, 40, 45), (), "do not hold them"),
        ((1,) * 9, (), "1 to 8"),
        ((0,), (), "1 to 128"),
    ],
)
def test_layouts_that_there_are_none_of(scenarios: tuple[int, ...], gross: Passed, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        ChainLayout(7, scenarios, NO_DEBTS, gross, offsets=True)


@pytest.mark.parametrize(
    ("scenarios", "gross"), [((127,), ()), ((123,), ("flat",)), ((40, 40, 39), ()), ((15,) * 8, ())]
)
def test_layouts_at_their_edges(scenarios: tuple[int, ...], gross: Passed) -> None:
    layout = ChainLayout(1023, scenarios, NO_DEBTS, gross, offsets=True)
    assert layout.index(layout.groups - 1, layout.indices(layout.groups - 1) - 1) <= (1, 63)


def test_the_policy_of_occ_on_the_example_market() -> None:
    given = build_snapshot(example_market("2026-01-02T03:04:05Z"), load_policy("tims"), domain_size=1024)
    prices = ChainPrices.of(given, "initial")
    assert prices.layout.scenarios == (40,)  # ten points, two classes of two lines
    assert prices.scales == (2,)
    assert prices.layout.gross == ("floor",)
    draw, bound, claim = np.random.default_rng(5), 0, Claim(1, 1, "initial")
    for _ in range(3):
        book = [
            -abs(x) if i % 3 else x for i, x in enumerate(draw.integers(-50, 50, size=len(given.instruments)).tolist())
        ]
        least = least_of_the_first(given, book)
        assert covered(prices, given, book, least, claim, second=0)
        assert least == 0 or not covered(prices, given, book, least - 1, claim, second=0)
        bound += least > 0
    assert bound


# --- proofs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "change"), [("two classes", "gains in full"), ("a class alone", "no cap")])
def test_a_table_of_another_rule_is_another_statement(name: str, change: str) -> None:
    case = offset(name)
    false = lenient(case, change)
    arguments: Keywords = {"snapshot_digest": case.snapshot.digest(), "srs": embedded(), "commit": commit_rows_fast}
    with pytest.raises(InputError, match="not what the snapshot gives"):
        check_table(false.statement.table, case.statement.prices, **arguments)
    assert len(false.statement.prices.rows[0]) != len(case.statement.prices.rows[0]) or change == "no cap"


# --- tables -----------------------------------------------------------------------------------------------------------


def test_a_table_is_of_version_3_and_checked_point_by_point() -> None:
    case = offset("a class alone")
    table, prices = case.statement.table, case.statement.prices
    assert table.format_version == 3
    assert (table.scales, table.sides, table.gross) == ((1, 10_000), (table.sides[0],), ("added",))
    assert Table.parse(table.to_bytes()) == table
    arguments: Keywords = {"snapshot_digest": case.snapshot.digest(), "srs": embedded(), "commit": commit_rows_fast}
    check_table(table, prices, **arguments)
    for field, value in {"scales": (1, 9_999), "rows": (*table.rows[:-1], table.price)}.items():
        changed = table.model_copy(update={field: value})
        assert changed.hash != table.hash
        with pytest.raises(InputError) as refused:
            check_table(changed, prices, **arguments)
        assert str(refused.value.field).startswith(f"table: {field}")
    for scales, reason in (((1,), "one for each group"), ((0, 1), "greater than or equal"), ((1, 10_001), "less than")):
        with pytest.raises(InputError, match=reason):
            Table.parse(table.model_copy(update={"scales": scales}).to_bytes())
    with pytest.raises(InputError, match="version"):
        Table.parse(table.to_bytes().replace(b"chain-table/v3", b"chain-table/v2"))


def test_two_tables_that_differ_in_a_constant_have_two_hashes() -> None:
    case = offset("a class alone")
    other = lenient(case, "no cap")
    assert other.statement.table.hash != case.statement.table.hash


# --- refusals by name -------------------------------------------------------------------------------------------------


def changed(name: str, *families: Family, risk: int | None = None) -> Snapshot:
    given = offset_snapshot(name)
    part, *others = given.components
    assert isinstance(part, PublishedGainOffset)
    update: Keywords = {"families": families} if families else {}
    if risk is not None:
        update["risk"] = array([risk] * part.risk.values.size, part.risk.values.shape)
    found: Snapshot = given.model_copy(update={"components": (part.model_copy(update=update), *others)})
    return found


def family(*terms: tuple[int, int, int | None], scenarios: int = 9) -> Family:
    classes = tuple(OffsetClass(group=g, offset_bp=offset_bp, cap=cap) for g, offset_bp, cap in terms)
    return Family(name="F0", classes=classes, scenarios=tuple(f"scenario {s}" for s in range(scenarios)))


@pytest.mark.parametrize(
    ("given", "field", "reason"),
    [
        (lambda: changed("two classes", family((0, 5_000, None), (1, 3_333, 1 << 60))), "gain_offset: F0", "64 bits"),
        (
            lambda: changed("two classes", family((0, 5_000, None), (1, 3_333, None)), risk=1 << 60),
            "gain_offset: F0",
            "64 bits",
        ),
        (lambda: changed("two classes", risk=1 << 57), "gain_offset: F0", "a loss can have"),
    ],
)
def test_values_that_do_not_fit_are_refused(given: Passed, field: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as refused:
        ChainPrices.of(given(), "initial")
    assert refused.value.field == field


def test_more_lines_than_the_columns_hold_are_refused() -> None:
    terms = ((5_000, 7),) * 4  # 81 choices of a line, 80 of them with a loss
    given = chain_snapshot(groups=4, count=9, scenarios=9)
    worst, *others = given.components
    classes = tuple(OffsetClass(group=g, offset_bp=offset_bp, cap=cap) for g, (offset_bp, cap) in enumerate(terms))
    for scenarios, reason in (
        (2, "160 lines of gain offsets take 161 indices: the chain layout has 128"),
        (9, "81 choices of a line in each of 9"),
    ):
        labels = tuple(f"scenario {s}" for s in range(scenarios))
        risk = array(worst.risk.values[:, :scenarios].ravel().tolist(), (9, scenarios))  # type: ignore[attr-defined]
        part = PublishedGainOffset(families=(Family(name="all", classes=classes, scenarios=labels),), risk=risk)
        changed_ = given.model_copy(update={"components": (part, others[-1])})
        with pytest.raises(InputError, match=reason) as refused:
            ChainPrices.of(changed_, "initial")
        assert refused.value.field == "gain_offset: all"


def test_what_competes_in_a_class_alone_is_refused() -> None:
    given = offset_snapshot("three product groups")
    *others, haircuts, floor, flat = given.components
    minimum = chain_snapshot(groups=5, count=len(given.instruments)).components[1]
    with pytest.raises(InputError, match="in each risk group alone") as refused:
        ChainPrices.of(given.model_copy(update={"components": (*others, minimum, haircuts)}), "initial")
    assert refused.value.field == "short_option_minimum"
    pools = tuple(pool.model_copy(update={"group": g}) for g, pool in enumerate(floor.pools))  # type: ignore[attr-defined]
    alone = floor.model_copy(update={"pools": pools})
    with pytest.raises(InputError, match="a class alone, beside its product group") as refused:
        ChainPrices.of(given.model_copy(update={"components": (*others, haircuts, alone, flat)}), "initial")
    assert refused.value.field == "gross_charge: U0"
