"""The chain layout: the same margin policy, its cells and weights placed so that a contract can evaluate them.

``Circuit`` combines its public equations by powers of rho and reads the whole risk matrix at zeta. A contract cannot.
Here the same equations get other weights and the same integers other cells (docs/protocol-chain.md section 3), such
that every public polynomial is either one of a few committed ones (``verifier.chain.table``) or has a closed form:

    kappa = 16,  kappa_k = omega^(64 k),  P = rho^16,
    x_k = (1 - P) / (kappa_k - rho),      y_j = (1 - rho^4) / (omega^(256 j) - rho)
    group g, scenario s = 4 k + a   rho^(64 g) x_k P^a        the short option minimum takes s = S_g
    the claim rho^128,   balance j  rho^129 y_j,   the lookup rho^133

As polynomials in rho the x_k are independent of degree below 16 and the y_j of degree below 4, so these weights are
independent and take disjoint degrees 0 .. 133. A scenario index that no scenario uses says ``W_g = slack``.

Columns: ``f_0..f_2`` the digits of p, ``f_3..f_5`` those of m, ``f_{6+g}`` the packed cells of group g; claim and
collateral sit in ``f_6``. Every cell is looked up in [0, 1024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from zkmargin.circuits.language.system import Int64Array
from zkmargin.circuits.language.witness import Witness
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.exact import CutMatrix, int_matvec
from zkmargin.crypto.field import batch_inverse, powers, r
from zkmargin.crypto.scalars import Vector, vector
from zkmargin.crypto.segments import segment_rows
from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.short_option_minimum import PublishedShortOptionMinimum
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats.errors import InputError

Part = TypeVar("Part")

#: n, the rows of every column, and the base of every digit.
ROWS = 1024
DIGIT_BITS = 10
#: kappa: scenarios 4 k .. 4 k + 3 have their cells in block k of 64 rows.
KAPPA = 16
BLOCK = ROWS // KAPPA
#: Rows of a table point, M_k(X) = sum_a X^a R_{4k+a}(X^4), and columns of a proof point.
TABLE_PACK = 4
COLUMN_PACK = 3
MAX_SCENARIOS = KAPPA * TABLE_PACK
MAX_GROUPS = 2
MAX_ASSETS = 4
MAX_INSTRUMENTS = ROWS - 1
POSITION_DIGITS = 3
SLACK_DIGITS = 9
BALANCE_DIGITS = 5
CLAIM_DIGITS = 12
SIDE_COLUMNS = 2 * POSITION_DIGITS
#: Accounts of one joint proof: beyond them no transaction has the gas.
MAX_ACCOUNTS = 256
#: Numerator and denominator of a claim, and the factor in basis points, in the contract's words.
MAX_RATIO = (1 << 16) - 1
MAX_FACTOR_BP = (1 << 32) - 1
#: Exponents of rho.
GROUP_STRIDE = MAX_SCENARIOS
CLAIM_POWER = MAX_GROUPS * GROUP_STRIDE
BALANCE_POWER = CLAIM_POWER + 1
LOOKUP_POWER = BALANCE_POWER + MAX_ASSETS
#: Powers of chi: three helpers, digits, two selectors.
HELPERS = 3

#: Why a component has no cells (docs/protocol-chain.md section 8), by its type.
_NO_CELLS = {
    "gain_offset": "a class of a product group needs three numbers a scenario, more than a column has rows for",
    "gross_charge": "its rates count in 10^-4 of a money unit, for which the claim's cells have no digits",
    "dampened_tails": "it needs hidden bits, which no row identity of the argument keeps",
}
_OTHER = "no row of the table and no weight says what it charges"

_HELD, _OWED, _CHARGE, _CLAIM = 36, 41, 46, BLOCK + 46


def scenario_cell(s: int, d: int) -> int:
    """Row of digit d of the slack of scenario index s, in the column of its group."""
    return BLOCK * (s // TABLE_PACK) + SLACK_DIGITS * (s % TABLE_PACK) + d


def held_cell(j: int, d: int) -> int:
    """Row in ``f_6`` of digit d of what is held of asset j."""
    return ROWS // MAX_ASSETS * j + _HELD + d


def owed_cell(j: int, d: int) -> int:
    """Row in ``f_6`` of digit d of what is owed of asset j; only where a debt is allowed."""
    return ROWS // MAX_ASSETS * j + _OWED + d


def charge_cell(d: int) -> int:
    """Row of digit d of W_g, in the column of its group."""
    return _CHARGE + d


def claim_cell(d: int) -> int:
    """Row in ``f_6`` of digit d of the claim's slack."""
    return _CLAIM + d


@dataclass(frozen=True)
class ChainLayout:
    """What a contract pins: it never sees a snapshot, and no attester can change any of this.

    Attributes:
        instruments: N, listed rows of the positions.
        scenarios: S_g for each risk group, one or two.
        debts: for each of the four collateral rows, whether a debt has digits.
    """

    instruments: int
    scenarios: tuple[int, ...]
    debts: tuple[bool, bool, bool, bool]

    def __post_init__(self) -> None:
        if not 1 <= self.instruments <= MAX_INSTRUMENTS:
            raise InputError(f"{self.instruments} instruments: a chain layout has 1 to {MAX_INSTRUMENTS}", field="N")
        if not 1 <= len(self.scenarios) <= MAX_GROUPS:
            raise InputError(f"{len(self.scenarios)} risk groups: a chain layout has 1 to {MAX_GROUPS}", field="groups")
        for count in self.scenarios:
            if not 1 <= count <= MAX_SCENARIOS:
                raise InputError(f"{count} scenarios: a chain layout has 1 to {MAX_SCENARIOS}", field="scenarios")

    @property
    def groups(self) -> int:
        """G, one or two."""
        return len(self.scenarios)

    @property
    def columns(self) -> int:
        """Digit columns: six of the sides, one a group."""
        return SIDE_COLUMNS + self.groups

    @property
    def points(self) -> tuple[int, ...]:
        """K_g: table points of each group's scenario rows."""
        return tuple(-(-count // TABLE_PACK) for count in self.scenarios)

    @property
    def debt_mask(self) -> int:
        """Bit j is set where asset j may be owed."""
        return sum(1 << j for j, allowed in enumerate(self.debts) if allowed)

    def pinned_rows(self) -> list[list[int]]:
        """[t, sel_p, W, claim]: the rows that depend on the layout alone. 1024 integers each.

        t_i = i; sel_p is 1 on unlisted rows; W and claim hold 1024^d in the cells of their digits.
        """
        n = ROWS
        charge, claim = [0] * n, [0] * n
        for d in range(SLACK_DIGITS):
            charge[charge_cell(d)] = n**d
        for d in range(CLAIM_DIGITS):
            claim[claim_cell(d)] = n**d
        return [list(range(n)), [int(i >= self.instruments) for i in range(n)], charge, claim]


@dataclass(frozen=True)
class ChainPrices:
    """What a snapshot says in a layout, for one requirement: the integers that a table commits to.

    Attributes:
        layout: where they go.
        rows: for each group int64 [4 K_g, 1024]: the risk row of each scenario, 0 outside the group and from S_g on.
        marks: int64 [1024], money units a lot.
        minimums: int64 [2, 1024], the short option minimum of a short lot by group.
        factor_bp: the requirement's factor.
        assets: M, listed rows of the collateral.
        long_value, short_value: four integers each, money units / 10^4 a lot held and owed; 0 beyond M.
    """

    layout: ChainLayout
    rows: tuple[Int64Array, ...]
    marks: Int64Array
    minimums: Int64Array
    factor_bp: int
    assets: int
    long_value: tuple[int, ...]
    short_value: tuple[int, ...]

    @classmethod
    def of(cls, snapshot: Snapshot, requirement: str) -> ChainPrices:
        """Place a snapshot in the chain layout.

        Raises:
            InputError: names what does not fit, and why.
        """
        snapshot.refuse_retired("the chain profile")
        count, groups = len(snapshot.instruments), len(snapshot.groups)
        fit("layout.domain_size", snapshot.layout.domain_size, ROWS, exactly=True, what="rows")
        fit("instruments", count, MAX_INSTRUMENTS, what="instruments")
        if groups > MAX_GROUPS:
            raise InputError(
                f"{groups} risk groups: the chain layout has at most {MAX_GROUPS}",
                field="groups",
                hint="each group has a column of cells and table points of its own",
            )
        fit("layout.position_bits", snapshot.layout.position_bits, POSITION_DIGITS * DIGIT_BITS, what="position bits")
        fit("collateral", len(snapshot.collateral), MAX_ASSETS, what="collateral assets")
        for slot in snapshot.collateral:
            fit(f"asset {slot.asset} bits", slot.bits, BALANCE_DIGITS * DIGIT_BITS, what="bits of a balance")
        parts = [part for part in snapshot.components if part.applies_to(requirement)]
        worst = _only(parts, PublishedWorstScenario, "worst_scenario")
        minimum = _only(parts, PublishedShortOptionMinimum, "short_option_minimum")
        haircuts = _only(parts, PublishedHaircuts, "haircuts")
        for part in parts:
            if not isinstance(part, (PublishedWorstScenario, PublishedShortOptionMinimum, PublishedHaircuts)):
                raise InputError(
                    f"has no cells in the chain layout: {_NO_CELLS.get(part.type, _OTHER)}",
                    field=part.type,
                    hint="it takes worst scenarios, a short option minimum and haircuts",
                )
        if worst is None or haircuts is None:
            raise InputError("the chain layout takes a policy of worst scenarios and haircuts", field="policy")
        if haircuts.tiers:
            raise InputError("concentration tiers have no cells in the chain layout", field="haircuts.tiers")
        if minimum is not None and (minimum.mode != "floor" or minimum.strikes is not None):
            raise InputError(
                'the chain layout takes it per contract and as a floor (mode "floor")', field="short_option_minimum"
            )
        group_of = np.asarray(snapshot.group_of, dtype=np.int64)
        minimums = np.zeros((MAX_GROUPS, ROWS), dtype=np.int64)
        if minimum is not None:
            for g in range(groups):
                minimums[g, :count] = np.where(group_of == g, minimum.charge.values, 0)
        scenarios = tuple(len(labels) for labels in worst.scenarios)
        for g, name in enumerate(snapshot.groups):
            fit(f"worst_scenario: {name}", scenarios[g], MAX_SCENARIOS, what="scenarios")
            if scenarios[g] == MAX_SCENARIOS and minimums[g].any():
                raise InputError(
                    f"{MAX_SCENARIOS} scenarios leave no index for the short option minimum: at most "
                    f"{MAX_SCENARIOS - 1} beside one",
                    field=f"worst_scenario: {name}",
                )
        debts = [slot.negative_allowed for slot in snapshot.collateral] + [False] * MAX_ASSETS
        layout = ChainLayout(count, scenarios, (debts[0], debts[1], debts[2], debts[3]))
        rows = []
        for g, points in enumerate(layout.points):
            matrix = np.zeros((TABLE_PACK * points, ROWS), dtype=np.int64)
            matrix[: scenarios[g], :count] = np.where(group_of == g, worst.risk.values[:, : scenarios[g]].T, 0)
            rows.append(matrix)
        marks = np.zeros(ROWS, dtype=np.int64)
        marks[:count] = snapshot.marks.values
        values = [
            [*map(int, array.values), *[0] * MAX_ASSETS][:MAX_ASSETS]
            for array in (haircuts.long_value, haircuts.short_value)
        ]
        prices = cls(
            layout,
            tuple(rows),
            marks,
            minimums,
            snapshot.factor_bp(requirement),
            len(snapshot.collateral),
            tuple(values[0]),
            tuple(values[1]),
        )
        prices._check(snapshot)
        return prices

    def _check(self, snapshot: Snapshot) -> None:
        """Every honest integer fits its digits, and no table point is the point at infinity."""
        fit("factor", self.factor_bp, MAX_FACTOR_BP, what="basis points")
        bound = (1 << snapshot.layout.position_bits) - 1
        for g, name in enumerate(snapshot.groups):
            absolute = np.abs(self.rows[g].astype(object)).sum(axis=1)
            most = bound * max([*absolute.tolist(), int(self.minimums[g].astype(object).sum())])
            if 2 * most >= 1 << (SLACK_DIGITS * DIGIT_BITS):
                raise InputError(
                    f"a loss can have {most.bit_length()} bits, more than a slack's {SLACK_DIGITS * DIGIT_BITS - 1}",
                    field=f"worst_scenario: {name}",
                    hint="use fewer position bits or larger lots",
                )
            for k in range(self.layout.points[g]):
                if not self.rows[g][TABLE_PACK * k : TABLE_PACK * (k + 1)].any():
                    raise InputError(
                        f"scenarios {TABLE_PACK * k} to {TABLE_PACK * k + TABLE_PACK - 1} change no price: their table "
                        "point would be infinity, which contracts refuse",
                        field=f"worst_scenario: {name}",
                        hint="leave out scenarios without any effect, or spread them over the list",
                    )
        for j, (long_value, short_value) in enumerate(zip(self.long_value, self.short_value, strict=True)):
            if not 0 <= long_value <= short_value:
                raise InputError("an asset owed would count less than held", field=f"haircuts: asset {j}")

    @cached_property
    def folding(self) -> Int64Array:
        """int64 [4 * 1024, K_0 + K_1]: row ``1024 a + i`` holds what instrument i has in row a of each table point."""
        blocks = [
            rows.reshape(points, TABLE_PACK, ROWS) for rows, points in zip(self.rows, self.layout.points, strict=True)
        ]
        return np.ascontiguousarray(np.concatenate(blocks).transpose(1, 2, 0).reshape(TABLE_PACK * ROWS, -1))

    @cached_property
    def cut(self) -> CutMatrix:
        """``folding`` as ``crypto.exact.bilinear`` takes it."""
        return CutMatrix.of(self.folding)

    @cached_property
    def price_vectors(self) -> list[Vector]:
        """marks, som_0, som_1 as scalars."""
        return [vector(row) for row in self.price_rows()[:3]]

    def price_rows(self) -> list[list[int]]:
        """[marks, som_0, som_1, 1]: the last one is the constant 1, so that no table has the point at infinity here."""
        return [self.marks.tolist(), self.minimums[0].tolist(), self.minimums[1].tolist(), [1] * ROWS]


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

    def scenario(self, g: int, s: int) -> int:
        """The weight of scenario index s of group g."""
        k, a = divmod(s, TABLE_PACK)
        return pow(self.rho, GROUP_STRIDE * g, r) * self.x[k] * pow(self.P, a, r) % r

    def minimum(self, layout: ChainLayout, g: int) -> int:
        """The weight of a group's short option minimum; at 64 scenarios it has none (and no minimum)."""
        return self.scenario(g, layout.scenarios[g]) if layout.scenarios[g] < MAX_SCENARIOS else 0

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
    """rho^(64 g) x_k of each point of scenario rows, group by group."""
    scales: list[int] = []
    for g, points in enumerate(layout.points):
        scale = pow(weights.rho, GROUP_STRIDE * g, r)
        scales += [scale * x % r for x in weights.x[:points]]
    return scales


def folded_rows(prices: ChainPrices, weights: ChainWeights) -> list[list[int]]:
    """r_0 .. r_3 on H: r_a = sum_g rho^(64 g) sum_k x_k R_{g, 4k+a}. Then U_positions holds sum_a P^a r_a."""
    sums = int_matvec(prices.folding, fold_scales(prices.layout, weights))
    return [sums[a * ROWS : (a + 1) * ROWS] for a in range(TABLE_PACK)]


def public_rows(
    prices: ChainPrices, weights: ChainWeights, num: int, den: int, folded: Sequence[Sequence[int]] | None = None
) -> dict[str, list[int]]:
    """Every U on H: ``positions``, ``collateral``, ``short`` (of m, digit d has 1024^d of it), ``packed[g]``.

    This is what the equations mean, cell by cell; the closed forms of ``verifier.chain.argument`` must agree.
    """
    layout, w, n = prices.layout, weights, ROWS
    folded = folded or folded_rows(prices, w)
    P = powers(w.P, TABLE_PACK)
    mark_weight = w.claim * den * SCALE_BP
    marks = prices.marks.tolist()
    positions = [
        (sum(p * row[i] for p, row in zip(P, folded, strict=True)) + mark_weight * marks[i]) % r for i in range(n)
    ]
    minimum = [w.minimum(layout, g) for g in range(layout.groups)]
    short = [-sum(m * int(prices.minimums[g][i]) for g, m in enumerate(minimum)) % r for i in range(n)]
    collateral = [0] * n
    for j in range(MAX_ASSETS):
        collateral[j] = (w.balance(j) + w.claim * den * prices.long_value[j]) % r
    packed = [[0] * n for _ in range(layout.groups)]
    for g in range(layout.groups):
        charge = pow(w.rho, GROUP_STRIDE * g, r) * w.all_scenarios - w.claim * num * prices.factor_bp
        for d in range(SLACK_DIGITS):
            packed[g][charge_cell(d)] = charge * n**d % r
        for s in range(MAX_SCENARIOS):
            for d in range(SLACK_DIGITS):
                packed[g][scenario_cell(s, d)] = -w.scenario(g, s) * n**d % r
    for d in range(CLAIM_DIGITS):
        packed[0][claim_cell(d)] = -w.claim * n**d % r
    for j in range(MAX_ASSETS):
        owed = w.balance(j) - w.claim * den * (prices.short_value[j] - prices.long_value[j])
        for d in range(BALANCE_DIGITS):
            packed[0][held_cell(j, d)] = -w.balance(j) * n**d % r
            if layout.debts[j]:
                packed[0][owed_cell(j, d)] = owed * n**d % r
    return {"positions": positions, "collateral": collateral, "short": short} | {
        f"packed[{g}]": rows for g, rows in enumerate(packed)
    }


def digit_columns(prices: ChainPrices, witness: Witness, num: int, den: int) -> list[Int64Array]:
    """f_0 .. f_{5+G}: the witness of today's circuit in the cells of the chain layout, int64 [1024] each.

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
    charges = []
    for g in range(layout.groups):
        column = np.zeros(ROWS, dtype=np.int64)
        losses = [-x for x in _sums(prices.rows[g][: layout.scenarios[g]], positions)]
        minimum = _sums(prices.minimums[g : g + 1], short)[0]
        W = max([0, minimum, *losses])
        charges.append(W)
        below = [*losses, minimum][:MAX_SCENARIOS]
        below += [0] * (MAX_SCENARIOS - len(below))
        _write(column, [charge_cell(d) for d in range(SLACK_DIGITS)], W, "a charge")
        for s, loss in enumerate(below):
            _write(column, [scenario_cell(s, d) for d in range(SLACK_DIGITS)], W - loss, "the slack of a scenario")
        columns.append(column)
    equity = SCALE_BP * _sums(prices.marks[None, :], positions)[0]
    for j, balance in enumerate(witness.collateral):
        held, owed = max(balance, 0), max(-balance, 0)
        _write(columns[SIDE_COLUMNS], [held_cell(j, d) for d in range(BALANCE_DIGITS)], held, "a balance")
        if layout.debts[j]:
            _write(columns[SIDE_COLUMNS], [owed_cell(j, d) for d in range(BALANCE_DIGITS)], owed, "a debt")
        equity += prices.long_value[j] * held - prices.short_value[j] * owed
    slack = den * equity - num * prices.factor_bp * sum(charges)
    if slack < 0:
        raise ValueError("the claim is false")
    _write(columns[SIDE_COLUMNS], [claim_cell(d) for d in range(CLAIM_DIGITS)], slack, "the slack of the claim")
    return columns


def fit(field: str, found: int, most: int, *, what: str, exactly: bool = False) -> None:
    """Refuse a size that the chain layout has no room for. Raises InputError."""
    if found != most if exactly else found > most:
        raise InputError(
            f"{found} {what}: the chain layout has {'exactly' if exactly else 'at most'} {most}", field=field
        )


def _only(parts: Sequence[object], kind: type[Part], name: str) -> Part | None:
    """The component of a kind, if there is one. InputError for two."""
    found = [part for part in parts if isinstance(part, kind)]
    if len(found) > 1:
        raise InputError(f"{len(found)} components of this kind: the chain layout takes one", field=name)
    return found[0] if found else None


def _sums(matrix: Int64Array, vector: Sequence[int]) -> list[int]:
    """Rows of a matrix times lots, exactly."""
    sums = int_matvec(np.ascontiguousarray(matrix[:, : len(vector)]), [x % r for x in vector])
    return [x if x <= r // 2 else x - r for x in sums]


def _write(column: Int64Array, cells: Sequence[int], x: int, what: str) -> None:
    if not 0 <= x < ROWS ** len(cells):
        raise InputError(f"{what} does not fit the chain layout's {DIGIT_BITS * len(cells)} bits")
    for d, cell in enumerate(cells):
        column[cell] = x >> (DIGIT_BITS * d) & (ROWS - 1)
