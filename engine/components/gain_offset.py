"""Gain offset: inside a product group, gains of one class count against losses of another, but only in part.

OCC's TIMS (Risk Based Haircuts and Customer Portfolio Margin user guide): a class is everything on one underlying,
classes form product groups, and at each price point the charge is ``sum_c (loss_c - alpha gain_c)``; the group's
charge is the worst point. Deribit's ``pnl_offset`` between pairs is the same, with a cap on what is offset
(``max_offsetable_pnl``). With L the loss of a class (a gain is negative), alpha in [0, 1] and a cap:

    max(L, alpha L, -cap)  =  max(alpha L + (1 - alpha) max(L, 0), -cap)

which is convex in the positions. An offset above 1 would pay out more than was gained: refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from zkmargin.engine.components.base import (
    MAX_LABEL,
    SCALE_BP,
    Charge,
    Extent,
    Label,
    Labels,
    Leg,
    PolicyPart,
    PublishedPart,
    Selective,
    spread,
)
from zkmargin.engine.components.worst_scenario import ScenarioGrid
from zkmargin.engine.decimals import to_units
from zkmargin.engine.exact import exact_dot
from zkmargin.engine.units import MONEY_DECIMALS
from zkmargin.formats import FrozenMap, InputError, IntArray, Map, Model, Seq
from zkmargin.formats.budget import spend


class ProductGroup(Model):
    """Underlyings whose P&L offsets.

    Attributes:
        underlyings: the classes.
        offset_bp: the part of a class's gain that counts against other losses.
        offsets_bp: the same for single classes.
        caps: the most that a class's gain counts for, after the offset, in quote; without one, no limit.
    """

    underlyings: Seq[str] = Field(min_length=1)
    offset_bp: int = Field(ge=0, le=SCALE_BP)
    offsets_bp: Map[str, int] = Field(default_factory=FrozenMap)
    caps: Map[str, str] = Field(default_factory=FrozenMap)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.underlyings)) != len(self.underlyings):
            raise InputError("an underlying twice", field="underlyings")
        for name in (*self.offsets_bp, *self.caps):
            if name not in self.underlyings:
                raise InputError(f'"{name[:40]}" is not in the product group', field="offsets_bp")
        for name, offset in self.offsets_bp.items():
            if not 0 <= offset <= SCALE_BP:
                raise InputError(
                    "an offset outside 0 to 10000: more than the whole gain cannot count", field=f"offsets_bp.{name}"
                )
        for name, cap in self.caps.items():
            if to_units(cap, MONEY_DECIMALS, field=f"caps.{name}") < 0:
                raise InputError("must not be negative", field=f"caps.{name}")
        return self


class GainOffset(Selective, PolicyPart):
    """The worst scenario of product groups with partial offset of gains.

    Attributes:
        grid: the scenarios; those of the underlyings of one product group are taken together, point by point.
        overrides: grids of single underlyings; inside a product group all have the same number of points.
        product_groups: by name; an underlying that is in none is a group of its own.
    """

    type: Literal["gain_offset"] = "gain_offset"
    grid: ScenarioGrid
    overrides: Map[str, ScenarioGrid] = Field(default_factory=FrozenMap)
    product_groups: Map[str, ProductGroup] = Field(default_factory=FrozenMap)

    RISK: ClassVar[bool] = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        grids = {name: grid.count for name, grid in {**self.overrides, "": self.grid}.items()}
        check_product_groups(self.product_groups, lambda name: grids.get(name, grids[""]))
        return self

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:
        """And the product groups with their scenarios."""
        common = self.grid.labels()
        own = {name: self.overrides[name].labels() for name in groups if name in self.overrides}
        labels = [own.get(name, common) for name in groups]
        return {**super().implied(groups, prices), "families": families_of(groups, self.product_groups, labels)}


class OffsetClass(Model):
    """A class by its risk group, the part of its gain that counts, and at most how many money units of it."""

    group: int = Field(ge=0)
    offset_bp: int = Field(ge=0, le=SCALE_BP)
    cap: int | None = Field(default=None, ge=0, lt=1 << 100)


class Family(Model):
    """A product group, or a risk group of its own, with the labels of its scenarios."""

    name: Label
    classes: Seq[OffsetClass] = Field(min_length=1)
    scenarios: Labels

    @property
    def key(self) -> int | str:
        """Where its charge counts: a single class in its risk group, several in a joint group."""
        return self.name if len(self.classes) > 1 else self.classes[0].group


#: What the losses of a class count for, point by point.
Count = Callable[[OffsetClass, Mapping[int, Sequence[int]]], list[int]]


class PublishedGainOffset(Selective, PublishedPart):
    """Product groups over a risk array.

    Attributes:
        families: every risk group is a class of exactly one.
        risk: [N, S] P&L (gain positive) of one lot long, money units; columns beyond a family's own are 0.
    """

    type: Literal["gain_offset"] = "gain_offset"
    families: Seq[Family]
    risk: IntArray

    RISK: ClassVar[bool] = True
    BY_SLOT: ClassVar[Mapping[str, int]] = {"risk": 0}

    @property
    def joint_groups(self) -> tuple[str, ...]:
        """The product groups of more than one class."""
        return tuple(family.name for family in self.families if len(family.classes) > 1)

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:  # noqa: ARG002
        """Check the classes and the shape of the array. Raises InputError."""
        if sorted(part.group for family in self.families for part in family.classes) != list(range(groups)):
            raise InputError("not every risk group is in exactly one product group", field="families")
        if len(set(self.joint_groups)) != len(self.joint_groups):
            raise InputError("two product groups with one name", field="families")
        if not all(family.scenarios for family in self.families):
            raise InputError("a product group without a scenario: nothing would be charged", field="families")
        counts = {part.group: len(family.scenarios) for family in self.families for part in family.classes}
        shape = (len(group_of), max(counts.values(), default=0))
        if self.risk.values.shape != shape:
            raise InputError(f"has the shape {self.risk.values.shape}, not {shape}", field="risk")
        if np.any(self.risk.values == np.iinfo(np.int64).min):
            raise InputError("a value outside 64 bits with sign", field="risk")
        own = np.array([counts[group] for group in group_of], dtype=np.int64)
        if np.any(self.risk.values[np.arange(shape[1]) >= own[:, None]]):
            raise InputError("a value beyond the scenarios of its group", field="risk")

    def extent(self, *, group_of: Sequence[int], groups: int, assets: int) -> Extent:  # noqa: ARG002
        """A row for each scenario and class."""
        sizes = [(len(family.scenarios), len(family.classes)) for family in self.families]
        return Extent(sum(s * c for s, c in sizes), sum(s * c**2 for s, c in sizes))

    def assess(self, legs: Sequence[Leg]) -> Charge:
        """Candidates in 1/10^4 money units: each scenario of each product group."""
        return self._charge(legs, _counted)

    def outcomes(self, legs: Sequence[Leg]) -> Charge:
        """The sums of the classes' losses and gains, all of them whole."""
        return self._charge(legs, _whole)

    def _charge(self, legs: Sequence[Leg], count: Count) -> Charge:
        alone: dict[int, Sequence[int]] = {}
        joint: dict[str, Sequence[int]] = {}
        for family in self.families:
            losses = self._class_losses(family, legs)
            if losses:
                sums = [sum(point) for point in zip(*(count(part, losses) for part in family.classes), strict=True)]
                if isinstance(family.key, str):
                    joint[family.key] = sums
                else:
                    alone[family.key] = sums
        return Charge(candidates=alone, joint=joint, scale=SCALE_BP)

    def shares(self, legs: Sequence[Leg], candidate: int | None) -> Sequence[int]:
        """The loss of each leg, for a class of its own."""
        if candidate is None:
            return [0] * len(legs)
        return [SCALE_BP * self._loss(leg, candidate) for leg in legs]

    def joint_shares(self, legs: Sequence[Leg], name: str, candidate: int) -> Sequence[int]:
        """Each leg's loss as it counts in its class; a capped gain is spread over the class in proportion."""
        family = next(family for family in self.families if family.key == name)
        shares = [0] * len(legs)
        losses = self._class_losses(family, legs)
        for part in family.classes:
            places = [i for i, leg in enumerate(legs) if leg.group == part.group]
            amount = _counted(part, losses)[candidate]
            own = spread(amount, [self._loss(legs[i], candidate) for i in places])
            for i, share in zip(places, own, strict=True):
                shares[i] = share
        return shares

    def label(self, group: int, candidate: int) -> str:
        """The scenario's label."""
        return next(family for family in self.families if family.key == group).scenarios[candidate]

    def joint_label(self, name: str, candidate: int) -> str:
        """The scenario's label."""
        return next(family for family in self.families if family.key == name).scenarios[candidate]

    def _loss(self, leg: Leg, candidate: int) -> int:
        return -leg.lots * int(self.risk.values[leg.slot, candidate])

    def _class_losses(self, family: Family, legs: Sequence[Leg]) -> dict[int, list[int]]:
        """The losses of each class that has legs; a class without any loses nothing anywhere."""
        members: dict[int, list[Leg]] = defaultdict(list)
        for leg in legs:
            if any(part.group == leg.group for part in family.classes):
                members[leg.group].append(leg)
        if not members:
            return {}
        count = len(family.scenarios)
        losses = {part.group: [0] * count for part in family.classes}
        for group, chosen in members.items():
            rows = self.risk.values[[leg.slot for leg in chosen], :count]
            losses[group] = exact_dot(rows, [-leg.lots for leg in chosen])
        return losses


def _counted(part: OffsetClass, losses: Mapping[int, Sequence[int]]) -> list[int]:
    """What the losses of a class count for, in 1/10^4 money units."""
    counted = [loss * (SCALE_BP if loss > 0 else part.offset_bp) for loss in losses[part.group]]
    return counted if part.cap is None else [max(amount, -SCALE_BP * part.cap) for amount in counted]


def _whole(part: OffsetClass, losses: Mapping[int, Sequence[int]]) -> list[int]:
    """The losses of a class, in 1/10^4 money units."""
    return [SCALE_BP * loss for loss in losses[part.group]]


def classes_of(groups: Sequence[str], product_groups: Mapping[str, Sequence[str]]) -> list[tuple[str, list[int]]]:
    """(name, risk groups) of every product group with an underlying in the market, then of every underlying in none."""
    families = [
        (name, [place for place, underlying in enumerate(groups) if underlying in members])
        for name, members in product_groups.items()
    ]
    grouped = {member for members in product_groups.values() for member in members}
    alone = [(underlying, [place]) for place, underlying in enumerate(groups) if underlying not in grouped]
    return [(name, places) for name, places in families if places] + alone


def check_product_groups(product_groups: Mapping[str, ProductGroup], length: Callable[[str], int]) -> None:
    """Refuse an underlying in two product groups, or a group of lists whose ``length`` differs. Raises InputError."""
    members = [name for group in product_groups.values() for name in group.underlyings]
    if len(set(members)) != len(members):
        raise InputError("an underlying in two product groups", field="product_groups")
    for name, group in product_groups.items():
        if len({length(member) for member in group.underlyings}) > 1:
            raise InputError("its underlyings have grids of different length", field=f"product_groups.{name}")


def families_of(
    groups: Sequence[str], product_groups: Mapping[str, ProductGroup], labels: Sequence[Sequence[str]]
) -> tuple[Family, ...]:
    """The families of a market's risk groups with their scenarios' labels, in the order of ``classes_of``."""
    families = []
    for name, places in classes_of(groups, {key: group.underlyings for key, group in product_groups.items()}):
        terms = product_groups.get(name)
        classes = tuple(
            OffsetClass(
                group=place,
                offset_bp=terms.offsets_bp.get(groups[place], terms.offset_bp) if terms else 0,
                cap=_cap(terms, groups[place]),
            )
            for place in places
        )
        own = [labels[place] for place in places]
        if len(own) > 1:
            spend("scenarios", sum(map(len, own)), field=f"product_groups.{name}"[:200])
        points = zip(*own, strict=True)
        families.append(
            Family(name=name, classes=classes, scenarios=tuple(_label(point, groups, places) for point in points))
        )
    return tuple(families)


def _cap(terms: ProductGroup | None, underlying: str) -> int | None:
    cap = None if terms is None else terms.caps.get(underlying)
    return None if cap is None else to_units(cap, MONEY_DECIMALS)


def _label(point: Sequence[str], groups: Sequence[str], places: Sequence[int]) -> str:
    if len(set(point)) == 1:
        return point[0]
    length = sum(len(groups[place]) + len(label) + 3 for place, label in zip(places, point, strict=True)) - 2
    if length > MAX_LABEL:
        raise InputError(f"a scenario's label of {length} characters, more than {MAX_LABEL}", field="product_groups")
    spend("characters", length)
    return ", ".join(f"{groups[place]} {label}" for place, label in zip(places, point, strict=True))
