"""Dampened tails: extreme moves of which a fraction counts, and which count only beyond a loss that is waved through.

Deribit portfolio margin, "extended table" (docs.deribit.com, ``private/pme/simulate``): at extreme moves with vols up,
of an option's P&L the part price_range / |move| x factor counts; what is linear enters with its P&L at the edge of the
price range. Pairs of a currency add up, gains in part (``gain_offset``). An aggregated loss up to the dampener counts
0, a larger one counts whole: that jump is not convex, and a hidden bit for each scenario says which side it is on, so
the circuit says exactly what the engine says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from zkmargin.engine.components.base import SCALE_BP, Charge, Leg, PolicyPart, Selective
from zkmargin.engine.components.gain_offset import (
    Family,
    ProductGroup,
    PublishedGainOffset,
    check_product_groups,
    families_of,
)
from zkmargin.engine.components.worst_scenario import ShockRule, Tail
from zkmargin.engine.decimals import to_units
from zkmargin.engine.units import MONEY, MONEY_DECIMALS, Scenario
from zkmargin.formats import FrozenMap, InputError, Map, Seq
from zkmargin.formats.budget import spend


class TailTable(ShockRule):
    """The table of an underlying.

    Attributes:
        tails: moves, and the part of an option's P&L that counts.
        edge_bp: futures, perpetuals and spot enter with their P&L at this move, up for tails upwards and down for
            those downwards.
    """

    tails: Seq[Tail] = Field(min_length=1, max_length=64)
    edge_bp: int = Field(gt=0, lt=SCALE_BP)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(abs(tail.price_move_bp) < self.edge_bp for tail in self.tails):
            raise InputError("a tail inside the price range", field="tails")
        return self

    def scenarios(self) -> tuple[Scenario, ...]:
        """The tails as they act on options."""
        return tuple(Scenario(tail.price_move_bp, tail.vol_move_bp, tail.weight_bp) for tail in self.tails)

    def edges(self) -> tuple[Scenario, ...]:
        """The tails as they act on everything else."""
        signs = (1 if tail.price_move_bp > 0 else -1 for tail in self.tails)
        return tuple(Scenario(sign * self.edge_bp, 0, SCALE_BP) for sign in signs)


def tail_labels(table: TailTable) -> tuple[str, ...]:
    """The labels of a table's tails."""
    spend("scenarios", len(table.tails))
    return tuple(scenario.label() for scenario in table.scenarios())


class DampenedTails(Selective, PolicyPart):
    """Tables for all underlyings, and for single ones instead.

    Attributes:
        dampener: the loss in quote up to which a tail counts 0, for each underlying that is in no product group.
        dampeners: the same for single underlyings and product groups.
        product_groups: as in ``gain_offset``; tails of one group compete where that component's scenarios do.
    """

    type: Literal["dampened_tails"] = "dampened_tails"
    table: TailTable
    overrides: Map[str, TailTable] = Field(default_factory=FrozenMap)
    dampener: str
    dampeners: Map[str, str] = Field(default_factory=FrozenMap)
    product_groups: Map[str, ProductGroup] = Field(default_factory=FrozenMap)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, amount in {"": self.dampener, **self.dampeners}.items():
            if to_units(amount, MONEY_DECIMALS, field=f"dampeners.{name}" if name else "dampener") < 0:
                raise InputError("must not be negative", field="dampener")
        counts = {name: len(self.overrides.get(name, self.table).tails) for name in (*self.overrides, "")}
        check_product_groups(self.product_groups, lambda name: counts.get(name, counts[""]))
        return self

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:
        """And the product groups with their scenarios and dampeners."""
        own = {name: tail_labels(self.overrides[name]) for name in groups if name in self.overrides}
        common = tail_labels(self.table)
        labels = [own.get(name, common) for name in groups]
        families = families_of(groups, self.product_groups, labels)
        dampeners = tuple(self.dampener_of(family, MONEY) for family in families)
        return {**super().implied(groups, prices), "families": families, "dampeners": dampeners}

    def dampener_of(self, family: Family, money_unit: Fraction) -> int:
        """The dampener of a product group in money units."""
        text = self.dampeners.get(family.name, self.dampener)
        return int(to_units(text, MONEY_DECIMALS) * money_unit / 10**MONEY_DECIMALS)


class PublishedDampenedTails(PublishedGainOffset):
    """Product groups over the tails' risk array; ``dampeners`` in money units, one for each product group."""

    type: Literal["dampened_tails"] = "dampened_tails"  # type: ignore[assignment]  # a component of its own
    dampeners: Seq[int]

    RISK: ClassVar[bool] = False

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:
        """As ``gain_offset``, and the dampeners. Raises InputError."""
        super().check(group_of=group_of, groups=groups, assets=assets)
        if len(self.dampeners) != len(self.families) or any(not 0 <= amount < 1 << 100 for amount in self.dampeners):
            raise InputError("not one dampener, not negative, for each product group", field="dampeners")

    def assess(self, legs: Sequence[Leg]) -> Charge:
        """Candidates in 1/10^4 money units: losses beyond the dampener whole, smaller ones and gains not at all.

        That an aggregated gain counts 0 as well is what Deribit's second published simulation shows.
        """
        whole = super().assess(legs)
        dampener = {f.key: SCALE_BP * amount for f, amount in zip(self.families, self.dampeners, strict=True)}

        def dampened(key: int | str, losses: Sequence[int]) -> list[int]:
            return [loss if loss > dampener[key] else 0 for loss in losses]

        return Charge(
            candidates={group: dampened(group, losses) for group, losses in whole.candidates.items()},
            joint={name: dampened(name, losses) for name, losses in whole.joint.items()},
            scale=whole.scale,
        )
