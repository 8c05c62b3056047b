"""The statement that a peer proves, in integers: the same snapshot and book as zkmargin's, claim and bounds included.

Positions are ``long - short`` with both sides range-proved, as in docs/circuit.md. For each scenario the collateral at
its price, the marks and the scenario's gain cover the requirement, and the same holds for the short option minimum:
S + 1 differences that are shown to be no less than zero. Arrays are part of the circuit, as a general prover has them
cheapest; positions, collateral and a blinder are hidden behind one hash, the only public input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.synthetic import Case, book_of, snapshot_of
from zkmargin.engine.components.short_option_minimum import PublishedShortOptionMinimum
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario

#: Bits of range proofs: of a side, of collateral, and of a difference, which is below
#: 2^(32 + 31 + 10) of gains and 2^(64 + 30) of collateral.
SIDE_BITS, COLLATERAL_BITS, DIFFERENCE_BITS = 32, 64, 96
BLINDER = 0x1D5F_9A3B_77C2_4E11


@dataclass(frozen=True)
class Instance:
    """Public integers and hidden ones.

    Attributes:
        gains: [S + 1][N] per lot held long.
        charges: [N] per lot short, in the last difference only.
        price: of one lot of collateral.
    """

    gains: list[list[int]]
    charges: list[int]
    price: int
    long: list[int]
    short: list[int]
    collateral: int

    @property
    def slots(self) -> int:
        """How many instruments."""
        return len(self.long)

    def differences(self) -> list[int]:
        """What has to be no less than zero."""
        held = [a - b for a, b in zip(self.long, self.short, strict=True)]
        owned = self.collateral * self.price
        sums = [owned + sum(g * x for g, x in zip(row, held, strict=True)) for row in self.gains]
        sums[-1] -= sum(c * s for c, s in zip(self.charges, self.short, strict=True))
        return sums


def instance_of(case: Case) -> Instance:
    """The integers of ``benchmarks.synthetic``'s snapshot and book, with positions below 2^32."""
    snapshot, lots = snapshot_of(case), book_of(case)
    worst = next(part for part in snapshot.components if isinstance(part, PublishedWorstScenario))
    minimum = next(part for part in snapshot.components if isinstance(part, PublishedShortOptionMinimum))
    marks = snapshot.marks.values
    bound = (1 << SIDE_BITS) - 1
    positions = [max(-bound, min(bound, x)) for x in lots.positions]
    gains = (worst.risk.values.T.astype(np.int64) + marks).tolist()
    return Instance(
        gains=[*gains, marks.tolist()],
        charges=minimum.charge.values.tolist(),
        price=snapshot.collateral[0].price,
        long=[max(x, 0) for x in positions],
        short=[max(-x, 0) for x in positions],
        collateral=lots.collateral[0],
    )
