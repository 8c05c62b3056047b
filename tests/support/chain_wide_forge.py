"""Malicious provers of wide chain layouts: one for each row and equation that charges by size and many groups have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from support.chain_lab import WIDE, ChainCase, wide
from support.chain_mutants import Columns, Mutant, cells, plain, put, take, without_charge
from zkmargin.circuits.chain import (
    SLACK_DIGITS,
    ChainLayout,
    ChainPrices,
    ChainWeights,
    GrossMode,
    SideRow,
    amount_cell,
    group_charge_cell,
    weights,
)
from zkmargin.circuits.chain.layout import FLOOR_INDEX
from zkmargin.engine.components import SCALE_BP
from zkmargin.verifier.chain import closed_forms

_sides, _amount = ChainWeights.sides, ChainWeights.amount


def without_row(layout: str, place: int) -> Mutant:
    """A side row counts for nothing."""

    def wrong(w: ChainWeights, given: ChainLayout) -> list[int]:
        return [weight if i != place else 0 for i, weight in enumerate(_sides(w, given))]

    def columns(case: ChainCase) -> Columns:
        prices = case.statement.prices
        sides = tuple(np.zeros_like(row) if i == place else row for i, row in enumerate(prices.sides))
        return plain(case, replace(prices, sides=sides))

    row = wide(layout).statement.prices.layout.side_rows[place]
    return Mutant(f"{layout}: row {place}, {row.side} {row.offset}", layout, ((ChainWeights, "sides", wrong),), columns)


def without_amount(layout: str, mode: GrossMode) -> Mutant:
    """What is added stands in no claim."""

    def wrong(w: ChainWeights, prices: ChainPrices, given: GrossMode, g: int, num: int) -> int:
        return _amount(w, prices, given, g, 0 if given == mode else num)

    return Mutant(f"{layout}: {mode} not in the claim", layout, ((ChainWeights, "amount", wrong),), plain)


def floor_beside_the_charge(layout: str) -> Mutant:
    """No equation says that a group's charge is at least its floor."""

    def wrong(w: ChainWeights, prices: ChainPrices, mode: GrossMode, g: int, num: int) -> int:
        return SCALE_BP * w.size(prices.layout, mode, g) if mode == "floor" else _amount(w, prices, mode, g, num)

    def columns(case: ChainCase) -> Columns:
        prices, given = case.statement.prices, case.statement.prices.layout
        none = [np.zeros_like(row) if at.offset == FLOOR_INDEX else row for at, row in _given(prices)]
        made, honest = plain(case, replace(prices, sides=tuple(none))), plain(case)
        for g in range(given.groups):
            column, index = given.index(g, given.scenarios[g] + FLOOR_INDEX)
            for c, places in ((0, [amount_cell("floor", g, d) for d in range(SLACK_DIGITS)]), (column, cells(index))):
                put(made[6 + c], places, take(honest[6 + c], places))
        return made

    return Mutant(f"{layout}: charges below their floors", layout, ((ChainWeights, "amount", wrong),), columns)


def _given(prices: ChainPrices) -> Iterator[tuple[SideRow, npt.NDArray[np.int64]]]:
    return zip(prices.layout.side_rows, prices.sides, strict=True)


def one_weight_for_two(layout: str) -> Mutant:
    """Both packed columns have the same weights: what one group can spare pays for the losses of another."""

    def columns(case: ChainCase) -> Columns:
        given, made = case.statement.prices.layout, plain(case)
        last = given.groups - 1
        charge = [group_charge_cell(last, d) for d in range(SLACK_DIGITS)]
        indices = [given.index(last, s)[1] for s in range(4 * given.blocks(last))]
        slacks = [[take(made[6 + c], cells(s)) for c in (0, 1)] for s in indices]
        moved = min(take(made[7], charge), *(a + b for a, b in slacks))
        put(made[7], charge, take(made[7], charge) - moved)
        for s, (a, b) in zip(indices, slacks, strict=True):
            put(made[7], cells(s), max(0, b - moved))
            put(made[6], cells(s), a + min(0, b - moved))
        return made

    stride = tuple((module, "GROUP_STRIDE", 0) for module in (weights, closed_forms))
    return Mutant(f"{layout}: one weight for two groups", layout, stride, columns)


MUTANTS = (
    *(without_row("all of them", place) for place in range(8)),
    floor_beside_the_charge("all of them"),
    without_amount("all of them", "added"),
    without_amount("all of them", "flat"),
    without_row("three groups", 0),
    without_charge("three groups", 2),
    one_weight_for_two("three groups"),
)
assert all(mutant.layout in WIDE for mutant in MUTANTS)
