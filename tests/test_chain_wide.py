"""Wide chain layouts: charges by size, three to eight risk groups. Engine, provers, verifiers, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from support.chain_lab import (
    ChainCase,
    by_size,
    chain_case,
    chain_snapshot,
    funds,
    least_funds,
    wide,
)
from support.chain_layouts import covered
from support.chain_mutants import take
from support.lab import array
from support.typed import Keywords, Passed

from zkmargin.circuits.chain import (
    BALANCE_DIGITS,
    CLAIM_DIGITS,
    GROSS_MODES,
    MAX_ASSETS,
    MAX_SCENARIOS,
    ROWS,
    SLACK_DIGITS,
    ChainLayout,
    ChainPrices,
    amount_cell,
    claim_cell,
    digit_columns,
    group_charge_cell,
    held_cell,
    owed_cell,
    scenario_cell,
)
from zkmargin.crypto.srs import embedded
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.gross_charge import PublishedGrossCharge
from zkmargin.engine.components.pools import Line, Pool
from zkmargin.engine.example import example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.prover.chain_tables import commit_rows_fast
from zkmargin.verifier.chain import Table, check_table

NO_DEBTS = (False, False, False, False)


# --- the layout -------------------------------------------------------------------------------------------------------


def test_cells_of_wide_layouts_are_disjoint() -> None:
    first = [scenario_cell(s, d) for s in range(MAX_SCENARIOS) for d in range(SLACK_DIGITS)]
    second_column = first + [group_charge_cell(g, d) for g in range(8) for d in range(SLACK_DIGITS)]
    first += [claim_cell(d) for d in range(CLAIM_DIGITS)]
    first += [amount_cell(mode, 0, d) for mode in GROSS_MODES[1:] for d in range(SLACK_DIGITS)]
    first += [amount_cell("floor", g, d) for g in range(8) for d in range(SLACK_DIGITS)]
    first += [46 + d for d in range(SLACK_DIGITS)]  # W_0
    first += [cell(j, d) for cell in (held_cell, owed_cell) for j in range(MAX_ASSETS) for d in range(BALANCE_DIGITS)]
    for cells in (first, second_column):
        assert len(cells) == len(set(cells))
        assert 0 <= min(cells) <= max(cells) < ROWS


@pytest.mark.parametrize(
    ("scenarios", "gross", "reason"),
    [
        ((62,), ("floor",), "leave no index"),
        ((61,), ("added",), "leave no index"),
        ((60,), ("flat",), "leave no index"),
        ((31, 31, 31, 31, 1), (), "do not hold them"),
        ((64, 1, 1), (), "do not hold them"),
        ((1,) * 9, (), "1 to 8"),
        ((5,), ("flat", "floor"), "in order"),
        ((5,), ("floor", "floor"), "once each"),
    ],
)
def test_layouts_that_there_are_none_of(scenarios: tuple[int, ...], gross: Passed, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        ChainLayout(7, scenarios, NO_DEBTS, gross)


@pytest.mark.parametrize(("scenarios", "gross"), [((61,), ("floor",)), ((59, 61), GROSS_MODES), ((31,) * 4, ())])
def test_layouts_at_their_edges(scenarios: tuple[int, ...], gross: Passed) -> None:
    assert ChainLayout(1023, scenarios, NO_DEBTS, gross).places


# --- the engine -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["all of them", "three groups", "eight groups and all of them"])
def test_integers_are_those_of_todays_circuit(name: str) -> None:
    case = wide(name)
    circuit, prices = case.statement.statement.circuit, case.statement.prices
    columns, layout = digit_columns(prices, case.witness, 5, 4), prices.layout
    named = {variable.name: x for variable, x in zip(circuit.bounded, case.witness.bounded, strict=True)}
    for g in range(layout.groups):
        cells = [group_charge_cell(g, d) if layout.shared else 46 + d for d in range(SLACK_DIGITS)]
        assert take(columns[7 if layout.shared else 6 + g], cells) == named[f"charge of U{g}"]
    for mode in set(layout.gross) - {"floor"}:
        found = take(columns[6], [amount_cell(mode, 0, d) for d in range(SLACK_DIGITS)])
        assert found in {x for key, x in named.items() if key.startswith("gross_charge")}
    assert take(columns[6], [claim_cell(d) for d in range(CLAIM_DIGITS)]) == named["slack of claim: 5:4"]


# --- tables -----------------------------------------------------------------------------------------------------------


def test_a_wide_table_is_of_version_2_and_checked_point_by_point() -> None:
    case = wide("all of them")
    table, prices = case.statement.table, case.statement.prices
    assert table.format_version == 2
    assert Table.parse(table.to_bytes()) == table
    arguments: Keywords = {"snapshot_digest": case.snapshot.digest(), "srs": embedded(), "commit": commit_rows_fast}
    check_table(table, prices, **arguments)
    for field, value in {"gross": ("floor", "added"), "sides": (table.rows[0], table.sides[1])}.items():
        changed = table.model_copy(update={field: value})
        assert changed.hash != table.hash
        with pytest.raises(InputError) as refused:
            check_table(changed, prices, **arguments)
        assert str(refused.value.field).startswith(f"table: {field}")
    with pytest.raises(InputError, match="version"):
        Table.parse(table.to_bytes().replace(b"chain-table/v2", b"chain-table/v1"))


def test_charges_by_size_are_in_the_layout_and_in_the_hash() -> None:
    plain = chain_case(chain_snapshot(groups=1), [1] * 7, [10**6, 30], claim=Claim(1, 1, "initial"))
    layout = plain.statement.prices.layout
    assert layout.flags == 1
    assert replace(layout, gross=("floor", "flat")).flags == 1 + 16 + 64


# --- refusals by name -------------------------------------------------------------------------------------------------


def size_charge(given: Snapshot, **changed: Passed) -> Snapshot:
    """A snapshot with one charge by size, changed."""
    charged = by_size(given, changed.pop("mode", "flat"))
    *others, last = charged.components
    return charged.model_copy(update={"components": (*others, last.model_copy(update=changed))})


def pools(**line: int) -> tuple[Pool, ...]:
    return tuple(Pool(name=f"U{g}", group=g, lines=(Line(slope=3), Line(**line))) for g in (0, 1))


@pytest.mark.parametrize(
    ("changed", "field", "reason"),
    [
        ({"pools": pools(slope=9, start=4)}, "gross_charge: U0", "tiers"),
        ({"scale": 7}, "gross_charge", "1/7 of a money unit"),
        ({"long": array([2**61] * 7, (7,))}, "gross_charge", "64 bits"),
    ],
)
def test_charges_by_size_that_do_not_fit_are_refused(changed: Keywords, field: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as refused:
        ChainPrices.of(size_charge(chain_snapshot(), **changed), "initial")
    assert refused.value.field == field


def test_floors_of_product_groups_are_refused() -> None:
    joint = tuple(Pool(name=f"U{g}", group="both", lines=(Line(slope=3),)) for g in (0, 1))
    with pytest.raises(InputError, match="a floor of a product group"):
        ChainPrices.of(size_charge(chain_snapshot(), mode="floor", pools=joint), "initial")


def test_two_charges_of_a_mode_are_taken_where_they_round_alike() -> None:
    given = chain_snapshot()
    for mode, reason in (("floor", "competes alone"), ("flat", "rounded up")):
        with pytest.raises(InputError, match=reason):
            ChainPrices.of(by_size(by_size(given, mode), mode), "initial")  # type: ignore[arg-type]
    whole = by_size(by_size(given, "flat"), "flat", rate=0)
    *others, last = whole.components
    assert isinstance(last, PublishedGrossCharge)
    lines = tuple(pool.model_copy(update={"lines": (Line(slope=20_000),)}) for pool in last.pools)
    both = whole.model_copy(update={"components": (*others, last.model_copy(update={"pools": lines}))})
    prices, book = ChainPrices.of(both, "initial"), [5, -3, 2, 0, 1, -9, 4]
    least = funds(both, book)
    assert covered(prices, both, book, least, Claim(3, 2, "initial"))
    assert not covered(prices, both, book, least - 1, Claim(3, 2, "initial"))


def test_rows_of_zeros_have_no_point() -> None:
    with pytest.raises(InputError, match="rows of zeros"):
        ChainPrices.of(chain_snapshot(groups=3, charges=[0] * 7), "initial")


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="a size by its rates can have"):
        ChainPrices.of(size_charge(chain_snapshot(), long=array([2**55] * 7, (7,))), "initial")


def test_gain_offsets_of_single_classes_are_worst_scenarios() -> None:
    # no product group of the policy has two underlyings in this market: its gains offset nothing
    policy = load_policy("tims")
    changed = [
        part.model_copy(update={"product_groups": {}}) if hasattr(part, "product_groups") else part
        for part in policy.components
    ]
    policy = policy.model_copy(update={"components": tuple(changed)})
    given = build_snapshot(example_market("2026-01-02T03:04:05Z"), policy, domain_size=1024)
    prices = ChainPrices.of(given, "initial")
    assert prices.layout.gross == ("floor",)
    book = np.random.default_rng(3).integers(-50, 50, size=len(given.instruments)).tolist()
    least, claim = least_of_the_first(given, book), Claim(1, 1, "initial")
    assert covered(prices, given, book, least, claim, second=0)
    assert not covered(prices, given, book, least - 1, claim, second=0)


def least_of_the_first(given: Snapshot, book: list[int]) -> int:
    """As ``funds``, of the first asset alone."""
    return least_funds(given, book, (0,) * (len(given.collateral) - 1), Claim(1, 1, "initial"))


def test_columns_are_counted_in_int64() -> None:
    case: ChainCase = wide("all of them")
    columns: list[npt.NDArray[np.int64]] = digit_columns(case.statement.prices, case.witness, 5, 4)
    assert all(column.dtype == np.int64 for column in columns)
