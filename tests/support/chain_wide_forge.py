"""Malicious provers of wide chain layouts: one for each row and equation that only these have.

A mutant is the verifier without one of them. Its forger proves a claim that is false by just that, to the mutant; the
real verifiers, the contract's included, refuse the proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from support.chain_lab import WIDE, ChainCase, prove, wide
from zkmargin.circuits.chain import (
    CLAIM_DIGITS,
    SIDE_COLUMNS,
    SLACK_DIGITS,
    ChainLayout,
    ChainPrices,
    ChainWeights,
    GrossMode,
    SideRow,
    amount_cell,
    claim_cell,
    digit_columns,
    group_charge_cell,
    public_rows,
    scenario_cell,
    weights,
)
from zkmargin.circuits.chain.layout import FLOOR_INDEX
from zkmargin.crypto.field import inverse, r
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import SCALE_BP
from zkmargin.verifier.chain import ChainProof, closed_forms
from zkmargin.verifier.chain.argument import ratio

Columns = list[npt.NDArray[np.int64]]
DEN = 30_000


@dataclass(frozen=True)
class Mutant:
    """What the verifier lacks, and the columns that a forger commits to because of it."""

    name: str
    layout: str
    changes: tuple[tuple[object, str, object], ...]
    columns: Callable[[ChainCase], Columns]

    @contextmanager
    def without(self) -> Iterator[None]:
        """The program without it."""
        with ExitStack() as stack:
            for place, attribute, wrong in self.changes:
                stack.enter_context(patch.object(place, attribute, wrong))
            yield

    def false_case(self, case: ChainCase) -> ChainCase:
        """The account with a claim that is false by the least that a ratio can say."""
        prices, low, high = case.statement.prices, 1, 65_535
        while high - low > 1:
            num = (low + high) // 2
            try:
                digit_columns(prices, case.witness, num, DEN)
                low = num
            except ValueError:
                high = num
        assert high < 65_535, "no claim of this account is false"
        return with_claim(case, high)

    def prove(self, case: ChainCase) -> ChainProof:
        """A proof of the false claim for the mutant. Fails where what is missing does not make it true."""
        with self.without():
            columns = self.columns(case)
            slack = missing(case, columns)
            assert 0 <= slack < 1 << (10 * CLAIM_DIGITS), "the mutant's claim is false as well"
            put(columns[SIDE_COLUMNS], [claim_cell(d) for d in range(CLAIM_DIGITS)], slack)
            return prove(case, "forged", columns=columns)


def with_claim(case: ChainCase, num: int) -> ChainCase:
    """The account with the claim num : DEN."""
    claim = Claim(1, 1, "initial")
    for name, value in (("num", num), ("den", DEN)):
        object.__setattr__(claim, name, value)
    inner = replace(case.statement.statement, claim=claim)
    return replace(case, statement=replace(case.statement, statement=inner))


def put(column: npt.NDArray[np.int64], cells: list[int], x: int) -> None:
    """An integer into its cells."""
    for d, cell in enumerate(cells):
        column[cell] = x >> (10 * d) & 1023


def take(column: npt.NDArray[np.int64], cells: list[int]) -> int:
    """The integer of its cells."""
    return sum(int(column[cell]) << (10 * d) for d, cell in enumerate(cells))


def missing(case: ChainCase, columns: Columns) -> int:
    """What the claim's slack has to be for all equations to hold, as the program has them now."""
    num, den = ratio(case.statement)
    w, witness = ChainWeights(3), case.witness
    U = public_rows(case.statement.prices, w, num, den)
    long, short = (columns[i] + 1024 * columns[i + 1] + 1024**2 * columns[i + 2] for i in (0, 3))
    total = sum(x * U["positions"][i] for i, x in enumerate(witness.positions))
    total += sum(x * U["collateral"][j] for j, x in enumerate(witness.collateral))
    for name, column in (("long", long), ("short", short), ("packed[0]", columns[6]), ("packed[1]", columns[-1])):
        if name in U:
            total += sum(int(x) * u for x, u in zip(column, U[name], strict=True) if x)
    return total * inverse(w.claim) % r


def plain(case: ChainCase, prices: ChainPrices | None = None) -> Columns:
    """Honest columns of a claim that is true, its slack 0."""
    columns = digit_columns(prices or case.statement.prices, case.witness, 1, 65_535)
    put(columns[SIDE_COLUMNS], [claim_cell(d) for d in range(CLAIM_DIGITS)], 0)
    return columns


_sides, _charged, _amount = ChainWeights.sides, ChainWeights.charged, ChainWeights.amount


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


def without_charge(layout: str, group: int) -> Mutant:
    """A group's charge stands in no claim."""

    def wrong(w: ChainWeights, prices: ChainPrices, g: int, num: int) -> int:
        return _charged(w, prices, g, 0 if g == group else num)

    return Mutant(f"{layout}: W_{group} not in the claim", layout, ((ChainWeights, "charged", wrong),), plain)


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


def cells(s: int) -> list[int]:
    """Of the slack of an index."""
    return [scenario_cell(s, d) for d in range(SLACK_DIGITS)]


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
