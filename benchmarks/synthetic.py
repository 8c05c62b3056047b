"""Snapshots and books of any size, with random integers: for measuring only, no market is behind them.

The statement is that of the tables in docs/benchmarks.md: one risk group of options, S scenarios, a short option
minimum per contract (where positions are range-proved, which it needs), one collateral asset. Every position is drawn
from its whole range and none is left out: a real book has zeros and small numbers, which only makes a proof faster.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zkmargin.engine.book import BookLots
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.short_option_minimum import PublishedShortOptionMinimum
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.policy import Policy, load_policy
from zkmargin.engine.sensitivities import Sensitivities
from zkmargin.engine.snapshot import CollateralSlot, InstrumentSlot, Layout, Snapshot
from zkmargin.formats import IntArray

SEED = 4844
#: Bounds of the public integers, in money units per lot.
MAX_RISK, MAX_MARK, MAX_CHARGE = 10**9, 10**9, 10**7
COLLATERAL_BITS = 55
COLLATERAL_PRICE = 10**9


@dataclass(frozen=True)
class Case:
    """The size of a statement: ``position_bits`` bounds a position, ``n`` is the domain size."""

    slots: int
    scenarios: int
    position_bits: int = 20
    range_proved: bool = True
    n: int = 1024
    collateral_bits: int = COLLATERAL_BITS

    def __str__(self) -> str:
        return f"{self.slots} x {self.scenarios}"

    @property
    def digit_bits(self) -> int:
        """Bits of a digit; every bound is a whole number of digits."""
        return self.n.bit_length() - 1

    @property
    def bits(self) -> int:
        """The positions' bound as the circuit has it."""
        return -(-self.position_bits // self.digit_bits) * self.digit_bits


def policy_of(case: Case) -> Policy:
    """The default policy with S vol moves, one kind of collateral, and no charge for shorts without range proofs."""
    text = load_policy("default").model_dump(mode="json")
    worst, minimum, haircuts = text["components"]
    worst["grid"] |= {"price_moves_bp": [0], "vol_moves_bp": list(range(case.scenarios)), "tails": []}
    haircuts["assets"] = {"USD": {"haircut_bp": 0, "bits": case.collateral_bits}}
    text["layout"] |= {"domain_size": case.n, "position_bits": case.bits, "range_proved": case.range_proved}
    components = [worst, minimum, haircuts] if case.range_proved else [worst, haircuts]
    return Policy.model_validate(text | {"name": "synthetic", "components": components})


def snapshot_of(case: Case) -> Snapshot:
    """A snapshot of that size. The same case gives the same snapshot."""
    draw = np.random.default_rng(SEED)
    risk = draw.integers(-MAX_RISK, MAX_RISK, size=(case.slots, case.scenarios), dtype=np.int64, endpoint=True)
    charge = draw.integers(0, MAX_CHARGE, size=case.slots, dtype=np.int64)
    minimum = (PublishedShortOptionMinimum(mode="floor", charge=IntArray(charge)),) if case.range_proved else ()
    policy, time = policy_of(case), "2026-01-01T00:00:00Z"
    nothing = IntArray(np.zeros(case.slots, dtype=np.int64))
    value = np.array([COLLATERAL_PRICE * 10_000], dtype=np.int64)
    return Snapshot(
        name=f"{policy.name} {time}",
        time=time,
        quote="USD",
        market_digest="00" * 32,
        policy=policy,
        layout=Layout(domain_size=case.n, position_bits=case.bits, range_proved=case.range_proved),
        groups=("U",),
        instruments=tuple(
            InstrumentSlot(
                id=f"I{i}",
                kind="option",
                group=0,
                underlying="U",
                lot="0.1",
                expiry=None,
                strike=None,
                option_type=None,
                settlement="linear",
                multiplier="1",
            )
            for i in range(case.slots)
        ),
        collateral=(
            CollateralSlot(
                asset="USD",
                lot="1",
                price=COLLATERAL_PRICE,
                bits=-(-case.collateral_bits // case.digit_bits) * case.digit_bits,
                negative_allowed=False,
            ),
        ),
        marks=IntArray(draw.integers(0, MAX_MARK, size=case.slots, dtype=np.int64)),
        deltas=nothing,
        sensitivities=Sensitivities(index_prices=("1",), gammas=nothing, vegas=nothing, thetas=nothing, rhos=nothing),
        components=(
            PublishedWorstScenario(
                scenarios=policy.components[0].implied(("U",), {})["scenarios"], risk=IntArray(risk)
            ),
            *minimum,
            PublishedHaircuts(long_value=IntArray(value), short_value=IntArray(value)),
        ),
    )


def book_of(case: Case) -> BookLots:
    """Positions over the whole range, and collateral that covers any of them."""
    bound = (1 << case.bits) - 1
    draw = np.random.default_rng(SEED + 1)
    positions = draw.integers(-bound, bound, size=case.slots, dtype=np.int64, endpoint=True)
    return BookLots(tuple(positions.tolist()), ((1 << case.collateral_bits) - 1,))
