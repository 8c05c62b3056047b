"""What rho makes of the equations, and every public polynomial of the chain layout, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from zkmargin.circuits.chain.layout import (
    ABOVE_INDEX,
    BALANCE_DIGITS,
    BALANCE_POWER,
    BEYOND,
    CLAIM_DIGITS,
    CLAIM_POWER,
    GROUP_STRIDE,
    INDEX_OF,
    KAPPA,
    LOOKUP_POWER,
    MAX_ASSETS,
    MAX_SCENARIOS,
    MINIMUM_INDEX,
    PACKED_COLUMNS,
    ROWS,
    SLACK_DIGITS,
    TABLE_PACK,
    TAIL_LINES,
    WAIVED,
    ChainLayout,
    GrossMode,
    amount_cell,
    charge_cell,
    claim_cell,
    group_charge_cell,
    held_cell,
    owed_cell,
    scenario_cell,
)
from zkmargin.circuits.chain.prices import ChainPrices
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.exact import int_matvec
from zkmargin.crypto.field import batch_inverse, powers, r
from zkmargin.engine.components import SCALE_BP


@dataclass(frozen=True)
class ChainWeights:
    """What rho makes of the equations (module docstring). Raises ZeroDivisionError where a denominator vanishes."""

    rho: int

    @cached_property
    def P(self) -> int:
        """rho^16."""
        return pow(self.rho, KAPPA, r)

    @cached_property
    def x(self) -> list[int]:
        """x_0 .. x_15."""
        roots = powers(Domain.of(KAPPA).omega, KAPPA)
        return batch_inverse([root - self.rho for root in roots], 1 - self.P)

    @cached_property
    def y(self) -> list[int]:
        """y_0 .. y_3."""
        roots = powers(Domain.of(MAX_ASSETS).omega, MAX_ASSETS)
        return batch_inverse([root - self.rho for root in roots], 1 - pow(self.rho, MAX_ASSETS, r))

    def scenario(self, column: int, s: int) -> int:
        """The weight of index s of a packed column."""
        k, a = divmod(s, TABLE_PACK)
        return pow(self.rho, GROUP_STRIDE * column, r) * self.x[k] * pow(self.P, a, r) % r

    def index(self, layout: ChainLayout, g: int, s: int) -> int:
        """The weight of index s of a group."""
        return self.scenario(*layout.index(g, s))

    def minimum(self, layout: ChainLayout, g: int) -> int:
        """The weight of a group's short option minimum; at 64 scenarios it has none (and no minimum)."""
        s = layout.scenarios[g] + MINIMUM_INDEX
        return self.index(layout, g, s) if layout.shared or s < MAX_SCENARIOS else 0

    def sides(self, layout: ChainLayout) -> list[int]:
        """The weight of each of the layout's ``side_rows``."""
        return [self.index(layout, row.group, layout.scenarios[row.group] + row.offset) for row in layout.side_rows]

    def charge(self, layout: ChainLayout, g: int) -> int:
        """What D_g W_g has in the equations of its group: in each of its indices, but those of amounts by size.

        V, which tails compete for, is taken off in the two lines after them.
        """
        if layout.shared:
            total = sum(self.index(layout, g, s) for s in range(TABLE_PACK * layout.blocks(g)))
        else:
            total = pow(self.rho, GROUP_STRIDE * g, r) * self.all_scenarios
        if layout.is_tails(g):
            return (total - 2 * (self.within(layout, g) + self.covered(layout, g))) % r
        return (total - sum(self.size(layout, mode, g) for mode, h in layout.amounts if h == g)) % r

    def charged(self, prices: ChainPrices, g: int, num: int) -> int:
        """What W_g has in all: in the equations of its group, where it covers tails, in the claim; V is in no claim."""
        layout, total = prices.layout, prices.scales[g] * self.charge(prices.layout, g)
        if layout.is_tails(g):
            return total % r
        total += prices.scales[g + 1] * self.covered(layout, g + 1) if layout.tails else 0
        return (total - self.claim * num * prices.factor_bp) % r

    def within(self, layout: ChainLayout, g: int) -> int:
        """The weight of the line that tails are within their dampener."""
        return self.index(layout, g, layout.scenarios[g] - TAIL_LINES)

    def covered(self, layout: ChainLayout, g: int) -> int:
        """The weight of the line that the charge of the group before covers tails."""
        return self.index(layout, g, layout.scenarios[g] - 1)

    def bit(self, layout: ChainLayout, g: int) -> int:
        """What b of a group of tails has."""
        return (BEYOND * self.within(layout, g) - WAIVED * self.covered(layout, g)) % r

    def amount(self, prices: ChainPrices, mode: GrossMode, g: int, num: int) -> int:
        """What B_g, A or F has in all: against the sizes that it is made of, and below W_g or in the claim."""
        layout = prices.layout
        made = SCALE_BP * self.size(layout, mode, g)
        if mode == "floor":
            return (made - prices.scales[g] * self.index(layout, g, layout.scenarios[g] + ABOVE_INDEX)) % r
        return (made - self.claim * num * (prices.factor_bp if mode == "added" else SCALE_BP)) % r

    def size(self, layout: ChainLayout, mode: GrossMode, g: int) -> int:
        """The weight of 10^4 times an amount against the sizes that it is made of."""
        return self.index(layout, g, layout.scenarios[g] + INDEX_OF[mode])

    @property
    def claim(self) -> int:
        """rho^128."""
        return pow(self.rho, CLAIM_POWER, r)

    def balance(self, j: int) -> int:
        """rho^129 y_j."""
        return pow(self.rho, BALANCE_POWER, r) * self.y[j] % r

    @property
    def lookup(self) -> int:
        """rho^133."""
        return pow(self.rho, LOOKUP_POWER, r)

    @property
    def all_scenarios(self) -> int:
        """sum over all 64 scenario indices of x_k P^a = kappa rho^(kappa-1) (1 + P + P^2 + P^3)."""
        return KAPPA * pow(self.rho, KAPPA - 1, r) * (1 + self.P + self.P**2 + self.P**3) % r


def fold_scales(layout: ChainLayout, weights: ChainWeights) -> list[int]:
    """rho^(64 c) x_k of each point of scenario rows, group by group, by its column and block."""
    columns = powers(pow(weights.rho, GROUP_STRIDE, r), PACKED_COLUMNS)
    blocks = (block + k for block, points in zip(layout.places, layout.points, strict=True) for k in range(points))
    return [columns[block // KAPPA] * weights.x[block % KAPPA] % r for block in blocks]


def folded_rows(prices: ChainPrices, weights: ChainWeights) -> list[list[int]]:
    """r_0 .. r_3 on H: r_a = sum_g sum_k rho^(64 c) x_b R_{g, 4k+a}, where block b of column c is the k-th of g.

    Then U_positions holds sum_a P^a r_a.
    """
    sums = int_matvec(prices.folding, fold_scales(prices.layout, weights))
    return [sums[a * ROWS : (a + 1) * ROWS] for a in range(TABLE_PACK)]


def public_rows(
    prices: ChainPrices, weights: ChainWeights, num: int, den: int, folded: Sequence[Sequence[int]] | None = None
) -> dict[str, list[int]]:
    """Every U on H: ``positions``, ``collateral``, ``short`` (of m, digit d has 1024^d of it), ``packed[c]``.

    ``long``, of p, is there where the layout charges by size; ``constants``, of rows without an instrument, with gain
    offsets. This is what the equations mean, cell by cell; the closed forms of ``verifier.chain.closed_forms``
    must agree.
    """
    layout, w, n = prices.layout, weights, ROWS
    folded = folded or folded_rows(prices, w)
    P = powers(w.P, TABLE_PACK)
    mark_weight = w.claim * den * SCALE_BP
    marks = prices.marks.tolist()
    rows = [sum(p * row[i] for p, row in zip(P, folded, strict=True)) % r for i in range(n)]
    positions = [(row + mark_weight * mark) % r for row, mark in zip(rows, marks, strict=True)]
    sides = {"short": [0] * n} | ({"long": [0] * n} if layout.gross else {})
    charged = [("short", w.minimum(layout, g), prices.minimums[g]) for g in layout.charged if g < PACKED_COLUMNS]
    given = zip(layout.side_rows, w.sides(layout), prices.sides, strict=True)
    charged += [(row.side, weight, values) for row, weight, values in given]
    for side, weight, values in charged:
        for i, x in enumerate(values.tolist()):
            if x:
                sides[side][i] = (sides[side][i] - weight * x) % r
    collateral = [0] * n
    for j in range(MAX_ASSETS):
        collateral[j] = (w.balance(j) + w.claim * den * prices.long_value[j]) % r
    packed = [[0] * n for _ in range(layout.packed)]
    for column, cells in enumerate(packed):
        for s in range(MAX_SCENARIOS):
            for d in range(SLACK_DIGITS):
                cells[scenario_cell(s, d)] = -w.scenario(column, s) * n**d % r
    for g in range(layout.groups):
        charge = w.charged(prices, g, num)
        for d in range(SLACK_DIGITS):
            if layout.shared:
                packed[1][group_charge_cell(g, d)] = charge * n**d % r
            else:
                packed[g][charge_cell(d)] = charge * n**d % r
            if layout.is_tails(g):
                packed[0][amount_cell("floor", g, d)] = w.bit(layout, g) * n**d % r
    for mode, g in layout.amounts:
        for d in range(SLACK_DIGITS):
            packed[0][amount_cell(mode, g, d)] = w.amount(prices, mode, g, num) * n**d % r
    for d in range(CLAIM_DIGITS):
        packed[0][claim_cell(d)] = -w.claim * n**d % r
    for j in range(MAX_ASSETS):
        owed = w.balance(j) - w.claim * den * (prices.short_value[j] - prices.long_value[j])
        for d in range(BALANCE_DIGITS):
            packed[0][held_cell(j, d)] = -w.balance(j) * n**d % r
            if layout.debts[j]:
                packed[0][owed_cell(j, d)] = owed * n**d % r
    return (
        {"positions": positions, "collateral": collateral}
        | sides
        | {f"packed[{c}]": cells for c, cells in enumerate(packed)}
        | ({"constants": rows} if layout.offsets else {})
    )
