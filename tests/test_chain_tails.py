"""Chain layouts with dampened tails: the engine's charges, the deribit-pm policy, tables, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from support.chain_files import one_coin_market
from support.chain_lab import chain_snapshot
from support.chain_layouts import covered
from support.chain_mutants import take
from support.chain_offsets import TAILS, offset, offset_snapshot, with_tails
from support.chain_tails_forge import dampened
from support.typed import Keywords, Passed
from test_chain_wide import least_of_the_first

from zkmargin.circuits.chain import (
    SLACK_DIGITS,
    ChainLayout,
    ChainPrices,
    amount_cell,
    digit_columns,
    group_charge_cell,
)
from zkmargin.crypto.srs import embedded
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.dampened_tails import PublishedDampenedTails
from zkmargin.engine.components.gain_offset import Family, OffsetClass
from zkmargin.engine.example import example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.prover.chain_tables import commit_rows_fast
from zkmargin.verifier.chain import Table, check_table

NO_DEBTS = (False, False, False, False)


@pytest.mark.parametrize("name", TAILS)
def test_a_bit_says_whether_a_charge_covers_its_tails(name: str) -> None:
    given, case = offset_snapshot(name), offset(name)
    prices, draw, seen = case.statement.prices, np.random.default_rng(11), set()
    for most in (90, 400, 2_000) * 10:
        book = draw.integers(-most, most, size=len(given.instruments)).tolist()
        witness = replace(case.witness, positions=tuple(book), long=tuple(max(q, 0) for q in book))
        witness = replace(witness, short=tuple(max(-q, 0) for q in book), collateral=(1 << 48, 30))
        columns = digit_columns(prices, witness, 1, 1)
        for g in prices.layout.charged:
            W, V = (take(columns[7], [group_charge_cell(h, d) for d in range(SLACK_DIGITS)]) for h in (g, g + 1))
            bit = take(columns[6], [amount_cell("floor", g + 1, d) for d in range(SLACK_DIGITS)])
            assert bit == (V <= W)
            seen.add(bit)
    assert name == "tails and floors" or seen == {0, 1}  # a floor is above every dampener there


def test_the_policy_of_deribit_on_one_coin() -> None:
    given = build_snapshot(one_coin_market(), load_policy("deribit-pm"), domain_size=1024)
    prices = ChainPrices.of(given, "maintenance")
    assert (prices.layout.scenarios, prices.layout.gross, prices.scales) == ((27, 10), ("added",), (1, 1))
    draw, claim = np.random.default_rng(5), Claim(1, 1, "initial")
    prices, bound = ChainPrices.of(given, "initial"), 0
    for scale in (400, 50, 2):
        book = [
            -abs(x) if i % 3 else x for i, x in enumerate(draw.integers(-scale, scale, size=len(given.instruments)))
        ]
        book = [int(x) for x in book]
        least = least_of_the_first(given, book)
        assert covered(prices, given, book, least, claim, second=0)
        assert least == 0 or not covered(prices, given, book, least - 1, claim, second=0)
        bound += least > 0
    assert bound


# --- layouts and tables -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenarios", "offsets", "reason"),
    [
        ((6, 6), False, "a group of dampened tails"),
        ((6,), True, "a group of dampened tails"),
        ((6, 6, 6), True, "a group of dampened tails"),
        ((6, 2), True, "a group of dampened tails"),
        ((120, 8), True, "do not hold them"),
    ],
)
def test_layouts_that_there_are_none_of(scenarios: tuple[int, ...], offsets: bool, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        ChainLayout(7, scenarios, NO_DEBTS, offsets=offsets, tails=True)


def test_layouts_at_their_edges() -> None:
    layout = ChainLayout(1023, (115, 7), NO_DEBTS, ("flat",), offsets=True, tails=True)
    assert layout.index(1, 7) == (1, 63)
    assert layout.flags == 256 + 128 + 64
    layout = ChainLayout(1023, (27, 10) * 3, NO_DEBTS, ("added",), offsets=True, tails=True)
    assert [(row.group, row.offset) for row in layout.side_rows] == [(2, 0), (4, 0), (0, 3), (0, 3)]


def test_a_table_is_of_version_4_and_checked_point_by_point() -> None:
    case = offset("tails beyond")
    table, prices = case.statement.table, case.statement.prices
    assert table.format_version == 4
    assert (table.scenarios, table.scales, table.tails) == ((9, 10), (1, 1), True)
    assert Table.parse(table.to_bytes()) == table
    arguments: Keywords = {"snapshot_digest": case.snapshot.digest(), "srs": embedded(), "commit": commit_rows_fast}
    check_table(table, prices, **arguments)
    changed = table.model_copy(update={"tails": False})
    assert changed.hash != table.hash
    with pytest.raises(InputError) as refused:
        check_table(changed, prices, **arguments)
    assert refused.value.field == "table: tails"
    with pytest.raises(InputError, match="version"):
        Table.parse(table.to_bytes().replace(b"chain-table/v4", b"chain-table/v3"))


def test_a_table_of_another_dampener_is_another_statement() -> None:
    case = offset("tails beyond")
    false = dampened(case, 7_568)
    assert false.statement.table.hash != case.statement.table.hash
    with pytest.raises(InputError, match="not the commitment") as refused:
        check_table(
            false.statement.table.model_copy(update={"snapshot": case.snapshot.digest().hex()}),
            case.statement.prices,
            snapshot_digest=case.snapshot.digest(),
            srs=embedded(),
            commit=commit_rows_fast,
        )
    assert refused.value.field == "table: rows[5]"


# --- refusals by name -------------------------------------------------------------------------------------------------


def changed(name: str, change: Callable[[PublishedDampenedTails], PublishedDampenedTails]) -> Snapshot:
    given = offset_snapshot(name)
    first, tails, *others = given.components
    assert isinstance(tails, PublishedDampenedTails)
    found: Snapshot = given.model_copy(update={"components": (first, change(tails), *others)})
    return found


def two_coins() -> Snapshot:
    return build_snapshot(example_market("2026-01-02T03:04:05Z"), load_policy("deribit-pm"), domain_size=1024)


def five_groups() -> Snapshot:
    families = [Family(name=f"U{g}", classes=(OffsetClass(group=g, offset_bp=0),), scenarios=("-",)) for g in range(5)]
    return with_tails(chain_snapshot(groups=5, count=11), families, [[1, 2, 3]] * 11, [(3, 1)] * 5)


@pytest.mark.parametrize(
    ("given", "field", "reason"),
    [
        (two_coins, "gain_offset: BTC and ETH", "135 \\+ 42 lines of gain offsets and tails take 179 indices"),
        (five_groups, "dampened_tails", "5 product groups, each with its tails: the chain layout has at most 4"),
        (
            lambda: changed("tails beyond", lambda part: part.model_copy(update={"dampeners": ((1 << 62) + 1,)})),
            "dampened_tails: F0",
            "62 bits",
        ),
        (
            lambda: changed(
                "tails of two classes",
                lambda part: part.model_copy(
                    update={
                        "families": tuple(
                            part.families[0].model_copy(update={"name": f"U{g}", "classes": (one,)})
                            for g, one in enumerate(part.families[0].classes)
                        ),
                        "dampeners": (1, 1),
                    }
                ),
            ),
            "dampened_tails",
            "product groups are not those of gain_offset",
        ),
    ],
)
def test_what_has_no_layout_is_refused_by_name(given: Passed, field: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as refused:
        ChainPrices.of(given(), "initial")
    assert refused.value.field == field


def test_the_largest_dampener_has_a_layout() -> None:
    given = changed("tails beyond", lambda part: part.model_copy(update={"dampeners": (1 << 62,)}))
    assert ChainPrices.of(given, "initial").constants[1][-2:] == (1 << 62, 1 << 62)
