"""Malicious provers of layouts with gain offsets: one for each thing that only these have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import zkmargin.prover.chain
import zkmargin.verifier.chain.argument
from support.chain_lab import ChainCase, table_of
from support.chain_mutants import Changes, Columns, Mutant, cells, plain, put, take, without_charge
from zkmargin.circuits.chain import (
    POSITION_DIGITS,
    SLACK_DIGITS,
    TABLE_PACK,
    ChainLayout,
    ChainPrices,
    ChainWeights,
    GrossMode,
    amount_cell,
    group_charge_cell,
    weights,
)
from zkmargin.circuits.chain.layout import CONSTANT_ROW, INDEX_OF
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import batch_inverse, powers, r
from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.components.gain_offset import OffsetClass
from zkmargin.engine.snapshot import Snapshot
from zkmargin.verifier.chain import ChainStatement, closed_forms

#: Lots of nothing, in the row of the constants.
HIDDEN = 5_000


def lots_of_nothing(layout: str) -> Mutant:
    """Rows without an instrument are not held at 0: lots there multiply every cap."""

    def columns(case: ChainCase) -> Columns:
        prices = case.statement.prices
        grown = [rows.copy() for rows in prices.rows]
        for rows in grown:
            rows[:, CONSTANT_ROW] *= 1 + HIDDEN
        made = plain(case, replace(prices, rows=tuple(grown)))
        for d in range(POSITION_DIGITS):
            made[d][CONSTANT_ROW] = HIDDEN >> (10 * d) & 1023  # the digits are those of what is committed
        return made

    def no_selector(x: int, count: int) -> list[int]:
        return [0 if (count, i) == (7, 5) else y for i, y in enumerate(powers(x, count))]  # chi^5 sel_p positions

    modules = (zkmargin.prover.chain, zkmargin.verifier.chain.argument)
    changes = tuple((module, "powers", no_selector) for module in modules)
    return Mutant(f"{layout}: lots in the row of the constants", layout, changes, columns, HIDDEN)


# --- weights and scales -----------------------------------------------------------------------------------------------

_charged, _amount = ChainWeights.charged, ChainWeights.amount


def twice_the_scale(layout: str, group: int) -> Mutant:
    """A money unit of one charge counts twice against its lines."""

    def doubled(prices: ChainPrices) -> ChainPrices:
        return replace(prices, scales=tuple(D * (1 + (g == group)) for g, D in enumerate(prices.scales)))

    def charged(w: ChainWeights, prices: ChainPrices, g: int, num: int) -> int:
        return _charged(w, doubled(prices), g, num)

    def amount(w: ChainWeights, prices: ChainPrices, mode: GrossMode, g: int, num: int) -> int:
        return _amount(w, doubled(prices), mode, g, num)

    def columns(case: ChainCase) -> Columns:
        return plain(case, doubled(case.statement.prices))

    changes = ((ChainWeights, "charged", charged), (ChainWeights, "amount", amount))
    return Mutant(f"{layout}: D_{group} twice", layout, changes, columns)


def floor_by_a_lot(layout: str) -> Mutant:
    """What a charge is above its floor by is not scaled as the charge is: 10^4 W - B >= 0 asks for a part of B."""

    def wrong(w: ChainWeights, prices: ChainPrices, mode: GrossMode, g: int, num: int) -> int:
        return _amount(w, replace(prices, scales=(1,) * len(prices.scales)), mode, g, num)

    def columns(case: ChainCase) -> Columns:
        prices = case.statement.prices
        layout = prices.layout
        made = plain(case)
        no_floor = plain(case, replace(prices, sides=tuple(row * 0 for row in prices.sides)))
        for g in range(layout.groups):
            B = take(made[6], [amount_cell("floor", g, d) for d in range(SLACK_DIGITS)])
            charge = [group_charge_cell(g, d) for d in range(SLACK_DIGITS)]
            before, D = take(made[7], charge), prices.scales[g]
            W = max(take(no_floor[7], charge), -(-B // D))
            put(made[7], charge, W)
            for s in range(TABLE_PACK * layout.blocks(g)):
                column, index = layout.index(g, s)
                if s - layout.scenarios[g] in _without(layout, g):
                    continue
                above = s == layout.scenarios[g] + 2
                old = take(made[6 + column], cells(index)) + (D * B if above else 0)
                put(made[6 + column], cells(index), old - D * (before - W) - (B if above else 0))
        return made

    return Mutant(f"{layout}: floors not scaled", layout, ((ChainWeights, "amount", wrong),), columns)


def _without(layout: ChainLayout, g: int) -> set[int]:
    """Offsets of the indices that have no W_g: what is made of sizes."""
    return {INDEX_OF[mode] for mode, h in layout.amounts if h == g}


def _same_weight(layout: str, name: str, changes: Changes, step: int) -> Mutant:
    """Lines under one weight: what one can spare pays for another. ``step`` apart, or the four of a block for 1."""

    def columns(case: ChainCase) -> Columns:
        prices, made = case.statement.prices, plain(case)
        given, D = prices.layout, prices.scales[0]
        charge = [group_charge_cell(0, d) for d in range(SLACK_DIGITS)]
        count = TABLE_PACK * given.blocks(0)
        slack = [take(made[6 + given.index(0, s)[0]], cells(given.index(0, s)[1])) for s in range(count)]
        ties: Sequence[Sequence[int]]
        if step == 1:
            ties = [range(s, s + TABLE_PACK) for s in range(0, count, TABLE_PACK)]
        else:
            ties = [range(s, count, step) for s in range(min(step, count))]
        charged = [s - given.scenarios[0] not in _without(given, 0) for s in range(count)]
        spare = [sum(slack[s] for s in tie) // (D * sum(charged[s] for s in tie)) for tie in ties]
        lowered = min(take(made[7], charge), *spare)
        assert lowered > 0, "no line has anything to spare"
        put(made[7], charge, take(made[7], charge) - lowered)
        for tie in ties:
            rest = sum(slack[s] for s in tie) - lowered * D * sum(charged[s] for s in tie)
            for s in tie:
                column, index = given.index(0, s)
                put(made[6 + column], cells(index), rest)
                rest = 0
        return made

    return Mutant(f"{layout}: {name}", layout, changes, columns)


def lines_of_a_scenario_under_one_weight(layout: str) -> Mutant:
    """The gain of a class pays for the loss of another in more than its part."""

    def x(w: ChainWeights) -> list[int]:
        roots = powers(Domain.of(16).omega, 16)
        return batch_inverse([root - w.rho for root in roots], 1 - pow(w.rho, 16, r))

    changes = ((ChainWeights, "P", property(lambda _: 1)), (ChainWeights, "x", property(x)))
    return _same_weight(layout, "the lines of a scenario under one weight", changes, 1)


def columns_under_one_weight(layout: str) -> Mutant:
    """A group that goes on in the second column has the first one's weights there."""
    changes = tuple((module, "GROUP_STRIDE", 0) for module in (weights, closed_forms))
    return _same_weight(layout, "one weight for both columns", changes, 64)


MUTANTS = (
    lines_of_a_scenario_under_one_weight("two classes"),
    columns_under_one_weight("over both columns"),
    lots_of_nothing("a class alone"),
    without_charge("a class alone", 0),
    without_charge("a class alone", 1),
    twice_the_scale("two classes", 0),
    twice_the_scale("a class alone", 1),
    floor_by_a_lot("over both columns"),
)


# --- tables that offset more than the rule ----------------------------------------------------------------------------


#: What a rule says otherwise of a class.
LENIENT: dict[str, Callable[[OffsetClass], dict[str, int | None]]] = {
    "gains in full": lambda _: {"offset_bp": SCALE_BP},
    "no cap": lambda _: {"cap": None},
    "a higher cap": lambda part: {"cap": part.cap and part.cap + 1},
}


def lenient(case: ChainCase, change: str) -> ChainCase:
    """The account before a table of another rule: whoever would attest it lies about prices."""
    offsets, *others = case.snapshot.components
    families = []
    for family in offsets.families:  # type: ignore[attr-defined]
        classes = tuple(part.model_copy(update=LENIENT[change](part)) for part in family.classes)
        families.append(family.model_copy(update={"classes": classes}))
    given = case.snapshot.model_copy(
        update={"components": (offsets.model_copy(update={"families": tuple(families)}), *others)}
    )
    return before_table_of(case, given)


def before_table_of(case: ChainCase, given: Snapshot) -> ChainCase:
    """The account before the table of another snapshot."""
    table, inner = table_of(given), case.statement.statement
    prices = ChainPrices.of(given, inner.claim.requirement)
    return replace(case, snapshot=given, statement=ChainStatement(inner, prices, table))
