"""The seam between margin components and everything else.

A component is a pair of classes in one module: the policy part (a person's parameters) publishes the integer part
(what a snapshot holds, a circuit encodes and a margin is computed from). ``engine.margin`` knows components only
through ``PublishedPart``: losses that compete within a risk group, additions to the requirement, collateral value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from engine.valuation import Valuation
from formats import Model

#: One valuation unit is a money unit divided by this, so that basis points of money stay exact integers.
SCALE_BP = 10_000


class Leg(NamedTuple):
    """A position that is not zero: the instrument's slot, its risk group, and signed lots."""

    slot: int
    group: int
    lots: int


@dataclass(frozen=True, slots=True)
class Charge:
    """What one component asks of a book, in 1/scale money units.

    Rates make rational amounts; each amount is rounded up (against the account) to a whole money unit in one place,
    ``engine.margin``, as the circuit does.

    Attributes:
        candidates: per risk group, losses (gain negative) of which only the largest, over all components, counts.
        addition: an amount on top of the groups' charges, multiplied by the requirement's factor; never negative.
        flat: an amount on top of the requirement, not multiplied by the factor; never negative.
        scale: what a money unit counts in this charge.
    """

    candidates: Mapping[int, Sequence[int]] = field(default_factory=dict)
    addition: int = 0
    flat: int = 0
    scale: int = 1


class PublishedPart(Model):
    """The integer part of a component, as a snapshot holds it. Every charge is a sum over legs per candidate."""

    type: str

    def applies_to(self, requirement: str) -> bool:  # noqa: ARG002 - most components count in every requirement
        """Whether the component counts in a requirement."""
        return True

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:
        """Check the arrays against N = len(group_of) instrument slots, the risk groups and the collateral slots.

        Raises:
            InputError: a shape or a value that no policy publishes.
        """
        raise NotImplementedError

    def assess(self, legs: Sequence[Leg]) -> Charge:  # noqa: ARG002 - components of collateral charge nothing
        """What the component asks of a book, given as its legs in any order."""
        return Charge()

    def share(self, leg: Leg, candidate: int | None) -> int:  # noqa: ARG002
        """One leg's summand in candidate ``candidate`` of its group, or for None in what is added (1/scale)."""
        return 0

    def shares(self, legs: Sequence[Leg], candidate: int | None) -> Sequence[int]:
        """Every leg's summand, in the order of ``legs`` (those of the candidate's group, or all for None).

        A component in which legs net against each other (per strike, per expiry) overrides this: the shares are a
        subgradient, and add up to the amount that ``assess`` gives.
        """
        return [self.share(leg, candidate) for leg in legs]

    def label(self, group: int, candidate: int) -> str:
        """What a person calls a candidate of a group."""
        raise NotImplementedError

    def collateral_value(self, lots: Sequence[int]) -> int:  # noqa: ARG002
        """The value of collateral balances (lots per collateral slot) that counts as equity, in valuation units."""
        return 0


class PolicyPart(Model):
    """The parameters of a component, in a person's terms."""

    type: str

    #: Whether the charge needs the long and short side of each position, which only range-proved positions have.
    NEEDS_SIDES: ClassVar[bool] = False

    def publish(self, valuation: Valuation) -> PublishedPart | None:
        """The integers for a market, or None when the component says nothing about it.

        Raises:
            InputError: parameters or prices that do not fit; names the instrument or asset.
        """
        raise NotImplementedError
