"""The witness of today's circuit in the cells of the chain layout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zkmargin.circuits.chain.layout import (
    BALANCE_DIGITS,
    BEYOND,
    CLAIM_DIGITS,
    DIGIT_BITS,
    FLOOR_INDEX,
    INDEX_OF,
    MAX_SCENARIOS,
    MINIMUM_INDEX,
    POSITION_DIGITS,
    ROWS,
    SIDE_COLUMNS,
    SLACK_DIGITS,
    TABLE_PACK,
    WAIVED,
    GrossMode,
    SideRow,
    amount_cell,
    charge_cell,
    claim_cell,
    group_charge_cell,
    held_cell,
    owed_cell,
    scenario_cell,
)
from zkmargin.circuits.chain.prices import ChainPrices
from zkmargin.circuits.language.system import Int64Array
from zkmargin.circuits.language.witness import Witness
from zkmargin.crypto.exact import int_matvec
from zkmargin.crypto.field import r
from zkmargin.crypto.segments import segment_rows
from zkmargin.engine.components import SCALE_BP
from zkmargin.formats.errors import InputError


def digit_columns(prices: ChainPrices, witness: Witness, num: int, den: int) -> list[Int64Array]:
    """f_0 .. f_6 (and f_7): the witness of today's circuit in the cells of the chain layout, int64 [1024] each.

    Raises:
        InputError: an integer that does not fit its digits (a claim of a huge ratio).
        ValueError: the claim is false for this witness.
    """
    layout, mask = prices.layout, ROWS - 1
    columns = []
    for side in (witness.long, witness.short):
        rows = segment_rows(side, ROWS, 0)
        columns += [rows >> (DIGIT_BITS * d) & mask for d in range(POSITION_DIGITS)]
    positions, short = witness.positions, witness.short
    sized = _by_size(prices, witness.long, short)
    packed = [np.zeros(ROWS, dtype=np.int64) for _ in range(layout.packed)]
    charges = []
    for g in layout.charged:
        scale = prices.scales[g]
        losses = [*_losses(prices, positions, g), sized[g, MINIMUM_INDEX]]
        if "floor" in layout.gross:
            # W_g is no part of what the floor is made of
            losses += [0, scale * -(-sized[g, FLOOR_INDEX] // SCALE_BP)]
        W = -(-max([0, *losses]) // scale)
        W = _write_tails(prices, positions, packed, g + 1, W) if layout.tails else W
        charges.append(W)
        slacks = [scale * W - loss for loss in losses]
        _write_slacks(prices, packed, g, slacks, scale * W)
        place = packed[1] if layout.shared else packed[g]
        cells = [group_charge_cell(g, d) if layout.shared else charge_cell(d) for d in range(SLACK_DIGITS)]
        _write(place, cells, W, "a charge")
    amounts: dict[GrossMode, int] = {}
    for mode, g in layout.amounts:
        size = sized[g, INDEX_OF[mode]]
        amounts[mode] = -(-size // SCALE_BP)
        column, index = layout.index(g, layout.scenarios[g] + INDEX_OF[mode])
        slack = SCALE_BP * amounts[mode] - size
        _write(packed[0], [amount_cell(mode, g, d) for d in range(SLACK_DIGITS)], amounts[mode], "a charge by size")
        _write(packed[column], [scenario_cell(index, d) for d in range(SLACK_DIGITS)], slack, "its slack")
    columns += packed
    equity = SCALE_BP * _sums(prices.marks[None, :], positions)[0]
    for j, balance in enumerate(witness.collateral):
        held, owed = max(balance, 0), max(-balance, 0)
        _write(columns[SIDE_COLUMNS], [held_cell(j, d) for d in range(BALANCE_DIGITS)], held, "a balance")
        if layout.debts[j]:
            _write(columns[SIDE_COLUMNS], [owed_cell(j, d) for d in range(BALANCE_DIGITS)], owed, "a debt")
        equity += prices.long_value[j] * held - prices.short_value[j] * owed
    required = prices.factor_bp * (sum(charges) + amounts.get("added", 0)) + SCALE_BP * amounts.get("flat", 0)
    slack = den * equity - num * required
    if slack < 0:
        raise ValueError("the claim is false")
    _write(columns[SIDE_COLUMNS], [claim_cell(d) for d in range(CLAIM_DIGITS)], slack, "the slack of the claim")
    return columns


def _losses(prices: ChainPrices, positions: Sequence[int], g: int) -> list[int]:
    """What competes for the charge of a group, 1/D_g of a money unit."""
    rows = prices.rows[g][: prices.layout.scenarios[g]]
    return [-x - constant for x, constant in zip(_sums(rows, positions), prices.constants[g], strict=True)]


def _write_slacks(prices: ChainPrices, packed: list[Int64Array], g: int, slacks: Sequence[int], unused: int) -> None:
    """The slacks of a group's indices; ``unused`` is that of an index that only says W_g = slack."""
    layout = prices.layout
    count = TABLE_PACK * layout.blocks(g) if layout.shared else MAX_SCENARIOS
    for s, slack in enumerate([*slacks, *[unused] * count][:count]):
        column, index = layout.index(g, s)
        _write(packed[column], [scenario_cell(index, d) for d in range(SLACK_DIGITS)], slack, "a slack")


def _write_tails(prices: ChainPrices, positions: Sequence[int], packed: list[Int64Array], g: int, W: int) -> int:
    """V, the bit and the slacks of a group of tails; the charge of the group before it, raised where they count."""
    scale = prices.scales[g]
    *losses, within, _ = _losses(prices, positions, g)
    V = max(0, *(-(-loss // scale) for loss in losses))
    if scale * V > -within:
        W = max(W, V)
    beyond = int(V <= W)
    slacks = [scale * V - loss for loss in losses]
    slacks += [BEYOND * beyond - within - scale * V, scale * W + WAIVED * (1 - beyond) - scale * V]
    _write_slacks(prices, packed, g, slacks, scale * V)
    _write(packed[1], [group_charge_cell(g, d) for d in range(SLACK_DIGITS)], V, "a tail")
    _write(packed[0], [amount_cell("floor", g, d) for d in range(SLACK_DIGITS)], beyond, "a bit")
    return W


def _by_size(prices: ChainPrices, long: Sequence[int], short: Sequence[int]) -> dict[tuple[int, int], int]:
    """By (group, offset of the index) what the sides of the positions are charged."""
    layout, sides = prices.layout, {"long": long, "short": short}
    rows = [SideRow("short", g, MINIMUM_INDEX) for g in range(layout.packed)]  # none is of tails, and its row is 0
    given = [*zip(rows, prices.minimums, strict=False), *zip(layout.side_rows, prices.sides, strict=True)]
    found: dict[tuple[int, int], int] = {}
    for row, values in given:
        key = (row.group, row.offset)
        found[key] = found.get(key, 0) + _sums(values[None, :], sides[row.side])[0]
    return found


def _sums(matrix: Int64Array, vector: Sequence[int]) -> list[int]:
    """Rows of a matrix times lots, exactly."""
    sums = int_matvec(np.ascontiguousarray(matrix[:, : len(vector)]), [x % r for x in vector])
    return [x if x <= r // 2 else x - r for x in sums]


def _write(column: Int64Array, cells: Sequence[int], x: int, what: str) -> None:
    if not 0 <= x < ROWS ** len(cells):
        raise InputError(f"{what} does not fit the chain layout's {DIGIT_BITS * len(cells)} bits")
    for d, cell in enumerate(cells):
        column[cell] = x >> (DIGIT_BITS * d) & (ROWS - 1)
