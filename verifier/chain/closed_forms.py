"""Public polynomials of the chain layout at zeta, in closed form (docs/protocol-chain.md section 3).

Both chain arguments use them: for one account (``argument``) and for many together (``joint``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from zkmargin.circuits.chain import (
    BALANCE_DIGITS,
    BALANCE_POWER,
    GROUP_STRIDE,
    KAPPA,
    MAX_ASSETS,
    ROWS,
    SLACK_DIGITS,
    TABLE_PACK,
    ChainLayout,
    ChainPrices,
    ChainWeights,
    amount_cell,
    fold_scales,
    group_charge_cell,
    held_cell,
    owed_cell,
)
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.exact import bilinear
from zkmargin.crypto.field import batch_inverse, dot, inverse, powers, r
from zkmargin.crypto.scalars import Vector, inner, lagrange_at, limbs, vector
from zkmargin.engine.components import SCALE_BP
from zkmargin.formats.errors import VerificationError
from zkmargin.verifier.chain.proof import PINNED, PRICE

DOMAIN = Domain.of(ROWS)
DIGITS = range(SLACK_DIGITS)


def cauchy(cells: Sequence[int], order: int, rho: int, zeta: int) -> list[int]:
    """sum_k u_k L_{(n/order) k + cell}(zeta) of each cell, u_k = (1 - rho^order)/(omega^(n k / order) - rho).

    With Y = zeta omega^-cell it is (order/n) (zeta^n - 1) (Y^order - rho^order) / ((Y^order - 1) (Y - rho)).
    Raises ZeroDivisionError where that has no value.
    """
    scale, rho_order = order * inverse(ROWS) * DOMAIN.vanishing_at(zeta), pow(rho, order, r)
    Y = [zeta * DOMAIN.elements[-cell % ROWS] % r for cell in cells]
    Y_order = [pow(y, order, r) for y in Y]
    over = batch_inverse([(e - 1) * (y - rho) % r for y, e in zip(Y, Y_order, strict=True)], scale)
    return [(e - rho_order) * x % r for e, x in zip(Y_order, over, strict=True)]


def lagrange(rows: Sequence[int], zeta: int) -> list[int]:
    """L_row(zeta) = omega^row (zeta^n - 1) / (n (zeta - omega^row)) of each row. ZeroDivisionError on one of them."""
    roots = [DOMAIN.elements[row] for row in rows]
    over = batch_inverse([ROWS * (zeta - root) % r for root in roots], DOMAIN.vanishing_at(zeta))
    return [root * x % r for root, x in zip(roots, over, strict=True)]


class TableValues(Protocol):
    """What both chain proofs open at zeta beside their columns."""

    @property
    def r(self) -> tuple[int, ...]:
        """[4] folded scenario rows."""

    @property
    def pinned(self) -> tuple[int, ...]:
        """t, sel_p, the cells of W_g and of the claim."""

    @property
    def prices(self) -> tuple[int, ...]:
        """marks, som_0, som_1."""

    @property
    def side_rows(self) -> tuple[int, ...]:
        """The layout's ``side_rows``."""

    @property
    def phi(self) -> int:
        """The running sum at zeta."""

    @property
    def phi_shifted(self) -> int:
        """The running sum at omega zeta."""


@dataclass(frozen=True)
class PublicAtZeta:
    """Every public polynomial at zeta, from what a table opens to and closed forms.

    Attributes:
        positions, collateral, long, short, packed: U of what is committed, of p, of m, and of each packed column.
        t, sel_p, sel_c: the range table, and the rows that are not listed.
        constants: of the rows without an instrument; 0 where there are no gain offsets.
    """

    positions: int
    collateral: int
    long: int
    short: int
    packed: tuple[int, ...]
    t: int
    sel_p: int
    sel_c: int
    constants: int


def public_at(
    prices: ChainPrices, num: int, den: int, weights: ChainWeights, zeta: int, values: TableValues
) -> PublicAtZeta:
    """The closed forms of docs/protocol-chain.md section 3. ZeroDivisionError where one has no value."""
    n, w, layout = ROWS, weights, prices.layout
    t, sel_p, charge_cells, claim_cells = values.pinned
    marks, *minimums = values.prices
    P = powers(w.P, TABLE_PACK)
    L = lagrange(range(MAX_ASSETS), zeta)
    positions = dot(P, values.r) + w.claim * den * SCALE_BP * marks
    collateral = sum((w.balance(j) + w.claim * den * prices.long_value[j]) * L[j] for j in range(MAX_ASSETS))

    # packed columns: W_g, scenario slacks, claim slack, balances
    weight = [P[a] * n**d for a in range(TABLE_PACK) for d in range(SLACK_DIGITS)]
    slacks = dot(weight, cauchy(range(TABLE_PACK * SLACK_DIGITS), KAPPA, w.rho, zeta))
    held = of_digits(cauchy([held_cell(0, d) for d in range(BALANCE_DIGITS)], MAX_ASSETS, w.rho, zeta))
    packed = [-pow(w.rho, GROUP_STRIDE * column, r) * slacks for column in range(layout.packed)]
    for g in range(layout.groups):
        if layout.shared:
            packed[1] += w.charged(prices, g, num) * _number(zeta, [group_charge_cell(g, d) for d in DIGITS])
        else:
            packed[g] += w.charged(prices, g, num) * charge_cells
        if layout.is_tails(g):
            packed[0] += w.bit(layout, g) * _number(zeta, [amount_cell("floor", g, d) for d in DIGITS])
    for mode, g in layout.amounts:
        packed[0] += w.amount(prices, mode, g, num) * _number(zeta, [amount_cell(mode, g, d) for d in DIGITS])
    packed[0] -= w.claim * claim_cells + pow(w.rho, BALANCE_POWER, r) * held
    for j in range(MAX_ASSETS):
        if layout.debts[j]:
            owed = w.balance(j) - w.claim * den * (prices.short_value[j] - prices.long_value[j])
            packed[0] += owed * _number(zeta, [owed_cell(j, d) for d in range(BALANCE_DIGITS)])
    own = sum(w.minimum(layout, g) * minimums[g] for g in layout.charged if g < len(minimums))
    by_side = {"long": 0, "short": own}
    for side_row, own, value in zip(layout.side_rows, w.sides(layout), values.side_rows, strict=True):
        by_side[side_row.side] += own * value
    return PublicAtZeta(
        positions=positions % r,
        collateral=collateral % r,
        long=-by_side["long"] % r,
        short=-by_side["short"] % r,
        packed=tuple(U % r for U in packed),
        t=t,
        sel_p=sel_p,
        sel_c=(1 - sum(L[: prices.assets])) % r,
        constants=dot(P, values.r) if layout.offsets else 0,
    )


def _number(zeta: int, cells: Sequence[int]) -> int:
    """sum_d n^d L_cell(zeta): what places an integer in its cells."""
    return of_digits(lagrange(cells, zeta))


def helper_row(h: int, fractions: Sequence[tuple[int, int]]) -> int:
    """h prod b - sum_i s_i prod_{j != i} b_j of fractions (b, s): 0 where h = sum_i s_i / b_i."""
    product, parts = 1, 0
    for b, s in fractions:
        product, parts = product * b % r, (parts * b + s * product) % r
    return (h * product - parts) % r


def of_digits(digits: Sequence[int]) -> int:
    """sum_d n^d digit_d."""
    return dot(digits, [ROWS**d for d in range(len(digits))])


def check_public(prices: ChainPrices, weights: ChainWeights, zeta: int, values: TableValues) -> None:
    """Every public value against the snapshot's rows. Raises VerificationError."""
    basis = lagrange_at(DOMAIN, zeta)
    bytes_of = limbs(basis)
    folded = bilinear([bytes_of] * TABLE_PACK, prices.cut, limbs(vector(fold_scales(prices.layout, weights))))
    expected: list[tuple[str, int, int]] = []
    expected += zip(PINNED, values.pinned, [int(inner(row, basis)) for row in _pinned(prices.layout)], strict=True)
    expected += zip(PRICE, values.prices, [int(inner(row, basis)) for row in prices.price_vectors], strict=True)
    sides = [int(inner(row, basis)) for row in prices.side_vectors]
    expected += zip((f"side row {i}" for i in range(len(sides))), values.side_rows, sides, strict=True)
    expected += zip(("r_0", "r_1", "r_2", "r_3"), values.r, folded, strict=True)
    for name, given, own in expected:
        if given != own:
            raise VerificationError(f"{name} at zeta is not the snapshot's", check="public value")


@lru_cache(maxsize=8)
def _pinned(layout: ChainLayout) -> list[Vector]:
    return [vector(row) for row in layout.pinned_rows()]
