"""The seam between margin components and everything else.

A component is a pair of classes in one module: the policy part (a person's parameters) publishes the integer part
(what a snapshot holds, a circuit encodes and a margin is computed from). ``engine.margin`` knows components only
through ``PublishedPart``: losses that compete within a risk group, additions to the requirement, collateral value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from zkmargin.engine.exact import Int64Array, place
from zkmargin.formats import InputError, IntArray, Model, PlainName, Seq

Requirement = Literal["initial", "maintenance"]
REQUIREMENTS: tuple[Requirement, ...] = ("initial", "maintenance")

#: One valuation unit is a money unit divided by this, so that basis points of money stay exact integers.
SCALE_BP = 10_000


#: At most so many scenarios in a list, and characters of what a person calls one (joined, in a product group).
MAX_SCENARIOS = 1024
MAX_LABEL = 8_000
Label = Annotated[PlainName, Field(max_length=MAX_LABEL)]
Labels = Annotated[Seq[Label], Field(max_length=MAX_SCENARIOS)]


class Leg(NamedTuple):
    """A position that is not zero: the instrument's slot, its risk group, and signed lots."""

    slot: int
    group: int
    lots: int


#: Work is counted in terms that are added up once and then gone. A term that stays in an equation is also bounded,
#: hashed and weighted later: it counts as so many.
KEPT = 16


class Extent(NamedTuple):
    """How much work a component's circuit takes at most: a snapshot has limits for the sums.

    Attributes:
        rows: rows of public coefficients (one number for each slot) that are looked at, zeros too.
        terms: terms that are added up; a form that grows to k terms one by one takes k^2 of them.
    """

    rows: int = 0
    terms: int = 0


@dataclass(frozen=True, slots=True)
class Charge:
    """What one component asks of a book, in 1/scale money units.

    Rates make rational amounts; each amount is rounded up (against the account) to a whole money unit in one place,
    ``engine.margin``, as the circuit does.

    Attributes:
        candidates: per risk group, losses (gain negative) of which only the largest, over all components, counts.
        addition: an amount on top of the groups' charges, multiplied by the requirement's factor; never negative.
        joint: the same as ``candidates`` for groups that span risk groups, by a name of the component's own.
            Components that use one name compete in that group; its charge adds to those of the risk groups.
        offsets: per risk group, an amount on top of its largest loss, before floors compete with the result:
            SPAN's ``max(scan + calendar charge - inter-commodity credit, short option minimum)``. Negative is a
            credit, which never takes the group's charge below 0.
        flat: an amount on top of the requirement, not multiplied by the factor; never negative.
        scale: what a money unit counts in this charge.
    """

    candidates: Mapping[int, Sequence[int]] = field(default_factory=dict)
    addition: int = 0
    flat: int = 0
    scale: int = 1
    joint: Mapping[str, Sequence[int]] = field(default_factory=dict)
    offsets: Mapping[int, int] = field(default_factory=dict)


class PublishedPart(Model):
    """The integer part of a component, as a snapshot holds it. Every charge is a sum over legs per candidate."""

    type: str

    #: Whether it is a measure of market risk: every requirement has one.
    RISK: ClassVar[bool] = False
    #: The arrays with a row for each instrument slot, and what stands there for a slot that it asks nothing of.
    BY_SLOT: ClassVar[Mapping[str, int]] = {}

    def applies_to(self, requirement: str) -> bool:  # noqa: ARG002 - most components count in every requirement
        """Whether the component counts in a requirement."""
        return True

    def placed(self, slots: Int64Array, size: int) -> Self:
        """The same of a longer list of slots: row i becomes that of ``slots[i]``, all other slots have no part in it.

        Args:
            slots: [n] int64, ascending: where the n rows belong.
            size: N, how many slots there are.
        """
        arrays = {name: getattr(self, name) for name in self.BY_SLOT}
        moved = {
            name: IntArray(place(array.values, slots, size, fill=self.BY_SLOT[name]))
            for name, array in arrays.items()
            if array is not None
        }
        return self.replaced(**moved)

    def cleared(self, slots: npt.NDArray[np.bool_]) -> Self:
        """The same without the slots of a mask [N]: they have no part in it."""
        arrays = {name: getattr(self, name) for name in self.BY_SLOT}
        left = {
            name: IntArray(
                np.where(slots.reshape(-1, *[1] * (array.values.ndim - 1)), self.BY_SLOT[name], array.values)
            )
            for name, array in arrays.items()
            if array is not None
        }
        return self.replaced(**left)

    @property
    def is_floor(self) -> bool:
        """Whether its candidates are floors: they compete with a group's losses after ``Charge.offsets``."""
        return False

    @property
    def joint_groups(self) -> tuple[str, ...]:
        """The names that ``Charge.joint`` uses."""
        return ()

    def multiplier_bp(self, requirement: str) -> int:  # noqa: ARG002
        """What the requirement's factor is multiplied by, in basis points: public, at most a few times 10000."""
        return SCALE_BP

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:
        """Check the arrays against N = len(group_of) instrument slots, the risk groups and the collateral slots.

        Raises:
            InputError: a shape or a value that no policy publishes.
        """
        raise NotImplementedError

    def extent(self, *, group_of: Sequence[int], groups: int, assets: int) -> Extent:  # noqa: ARG002
        """How large its circuit can become."""
        return Extent()

    def assess(self, legs: Sequence[Leg]) -> Charge:  # noqa: ARG002 - components of collateral charge nothing
        """What the component asks of a book, given as its legs in any order."""
        return Charge()

    def outcomes(self, legs: Sequence[Leg]) -> Charge:
        """The losses themselves in every candidate of ``assess``, where a rule counts gains or losses in part.

        For people: no requirement is made of them. Keys and lengths are those of ``assess``.
        """
        return self.assess(legs)

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

    def joint_shares(self, legs: Sequence[Leg], name: str, candidate: int) -> Sequence[int]:
        """As ``shares``, of a candidate of the joint group ``name``, for all legs of the book."""
        raise NotImplementedError

    def offset_shares(self, legs: Sequence[Leg], group: int) -> Sequence[int]:
        """As ``shares``, of the offset of a group, for all legs of the book."""
        raise NotImplementedError

    def joint_label(self, name: str, candidate: int) -> str:
        """As ``label``, of a candidate of the joint group ``name``."""
        raise NotImplementedError

    def assess_balances(self, lots: Sequence[int]) -> Charge:  # noqa: ARG002
        """What the component asks for collateral balances (lots per collateral slot): an addition or a flat amount.

        Its candidates are what balances add to those of ``assess``, loss by loss, in the same scale.
        """
        return Charge()

    def collateral_value(self, lots: Sequence[int]) -> int:  # noqa: ARG002
        """The value of collateral balances (lots per collateral slot) that counts as equity, in valuation units."""
        return 0


class PolicyPart(Model):
    """The parameters of a component, in a person's terms."""

    type: str

    #: Whether the charge needs the long and short side of each position, which only range-proved positions have.
    NEEDS_SIDES: ClassVar[bool] = False
    #: Whether it is a measure of market risk: every requirement has one.
    RISK: ClassVar[bool] = False
    #: The type of what it publishes, where that is not its own.
    PUBLISHES: ClassVar[str] = ""
    #: Whether it can be published from imported arrays, without pricing.
    IMPORTABLE: ClassVar[bool] = False
    #: The parameters that it publishes as they are.
    COPIED: ClassVar[tuple[str, ...]] = ("requirements",)

    def applies_to(self, requirement: str) -> bool:  # noqa: ARG002
        """Whether the component counts in a requirement."""
        return True

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:  # noqa: ARG002
        """The published fields that follow from what a snapshot holds besides them: no market is needed to check these.

        Args:
            groups: names of the risk groups.
            prices: money units per lot of each asset, in the order of the collateral slots.

        Raises:
            InputError: an asset that the policy does not name.
        """
        return {name: getattr(self, name) for name in self.COPIED}

    def may_be_silent(self, kinds: Collection[str]) -> bool:  # noqa: ARG002
        """Whether it may publish nothing about a market that has these kinds of instrument."""
        return False

    @property
    def needs_sides(self) -> bool:
        """``NEEDS_SIDES``, unless it depends on the parameters."""
        return self.NEEDS_SIDES


class Selective(Model):
    """Mixed into parts that count in some requirements only."""

    requirements: Seq[str] = Field(default=REQUIREMENTS, min_length=1)

    @model_validator(mode="after")
    def _check_requirements(self) -> Self:
        for name in self.requirements:
            if name not in REQUIREMENTS:
                raise InputError(f'no requirement is called "{name[:40]}"', field="requirements")
        return self

    def applies_to(self, requirement: str) -> bool:
        """Whether the component counts in a requirement."""
        return requirement in self.requirements


def spread(amount: int, weights: Sequence[int]) -> list[int]:
    """Integers in proportion to weights (whose sum is not 0 unless the amount is) that add up to the amount."""
    total = sum(weights)
    parts = [amount * weight // total for weight in weights] if total else [0] * len(weights)
    if parts:
        parts[max(range(len(weights)), key=lambda i: abs(weights[i]))] += amount - sum(parts)
    return parts


def added_up(one: Mapping[int, Sequence[int]], other: Mapping[int, Sequence[int]]) -> dict[int, Sequence[int]]:
    """The candidates of two charges of one component: in a group that both have, loss by loss."""
    both = {group: [a + b for a, b in zip(one[group], other[group], strict=True)] for group in one if group in other}
    return {**other, **one, **both}
