"""Worst scenario: price moves x vol moves x a time step, and weighted tails; the largest loss per risk group.

The form of SPAN's risk arrays and of the grids of Deribit, Derive and Paradex: each underlying is a risk group,
a group's charge is the largest loss over its scenarios, charges of groups add up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from zkmargin.engine.components.base import (
    MAX_SCENARIOS,
    Charge,
    Extent,
    Labels,
    Leg,
    PolicyPart,
    PublishedPart,
    Selective,
)
from zkmargin.engine.exact import exact_dot
from zkmargin.engine.units import MAX_PRICE_MOVE_BP, Scenario, VolRule
from zkmargin.formats import FrozenMap, InputError, IntArray, Map, Model, Seq
from zkmargin.formats.budget import spend

WHOLE_BP = 10_000
MAX_VOL_MOVE_BP = 100_000


class Tail(Model):
    """An extreme move of which only the part ``weight_bp`` of the P&L counts (applied to the risk array)."""

    price_move_bp: int
    vol_move_bp: int
    weight_bp: int

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_moves((self.price_move_bp,), (self.vol_move_bp,))
        if not 0 < self.weight_bp <= WHOLE_BP:
            raise InputError(
                "a tail's weight must be above 0 and at most 10000: more than the whole P&L cannot count",
                field="weight_bp",
            )
        return self


class ShockRule(Model):
    """How a scenario acts on an option.

    Attributes:
        tenor_exponent_short_1e4: the exponent of a vol move's tenor scale below 30 days to expiry, in 1e-4.
        tenor_exponent_long_1e4: the exponent above.
        tenor_floor_seconds: times to expiry below this count as this in the exponent.
        vol_floor_bp: a vol shocked upwards is at least this (5000 is an implied vol of 50 %).
        time_step_seconds: shocked values are taken this much closer to expiry, never past it.
        inverse_in_coin: the P&L of inverse contracts counts in coins at today's index (a move s of M quote at price P
            gains ``M s / (P (1+s))`` coins), for venues whose equity and margin are in coin, as Deribit's.
    """

    tenor_exponent_short_1e4: int = Field(default=0, ge=0, le=10_000)
    tenor_exponent_long_1e4: int = Field(default=0, ge=0, le=10_000)
    tenor_floor_seconds: int = Field(default=86_400, ge=60, le=30 * 86_400)
    vol_floor_bp: int = Field(default=0, ge=0, le=100_000)
    time_step_seconds: int = Field(default=0, ge=0, le=30 * 86_400)
    inverse_in_coin: bool = False

    def vol_rule(self) -> VolRule:
        """How vol moves act on an instrument's own vol."""
        return VolRule(
            exponent_short_1e4=self.tenor_exponent_short_1e4,
            exponent_long_1e4=self.tenor_exponent_long_1e4,
            tenor_floor_ms=1000 * self.tenor_floor_seconds,
            floor_1e9=100_000 * self.vol_floor_bp,
            inverse_in_coin=self.inverse_in_coin,
        )


class ScenarioGrid(ShockRule):
    """Scenarios of one underlying: every price move with every vol move, then the tails.

    Attributes:
        price_moves_bp: relative moves of index and forwards together, basis points (-3000 is -30 %).
        vol_moves_bp: relative moves of implied vol, times ``(30 days / time to expiry)^exponent``.
        tails: moves beyond the grid, weighted.
        published_grid: the grid is a published one and is taken as it is, even without symmetry or a zero move.
    """

    price_moves_bp: Seq[int] = Field(min_length=1)
    vol_moves_bp: Seq[int] = Field(min_length=1)
    tails: Seq[Tail] = ()
    published_grid: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        prices, vols = self.price_moves_bp, self.vol_moves_bp
        check_moves(prices, vols)
        for field, values in (("price_moves_bp", prices), ("vol_moves_bp", vols), ("tails", self.tails)):
            if len(set(values)) != len(values):
                raise InputError("the same move twice", field=field)
        if self.count > MAX_SCENARIOS:
            raise InputError(f"more than {MAX_SCENARIOS} scenarios", field="price_moves_bp")
        if self.published_grid:
            return self
        hint = 'say "published_grid": true if an exchange publishes this grid as it is'
        if 0 not in prices:
            raise InputError("a home-made grid without a zero price move", field="price_moves_bp", hint=hint)
        if {-move for move in prices} != set(prices):
            raise InputError(
                "a home-made grid that is not symmetric: one side of the market would be charged less",
                field="price_moves_bp",
                hint=hint,
            )
        if 0 not in vols:
            raise InputError("a home-made grid without a zero vol move", field="vol_moves_bp", hint=hint)
        return self

    @property
    def count(self) -> int:
        """The number of scenarios."""
        return len(self.price_moves_bp) * len(self.vol_moves_bp) + len(self.tails)

    def scenarios(self) -> tuple[Scenario, ...]:
        """The scenarios in published order: price moves as listed, vol moves within each, then the tails."""
        spend("scenarios", self.count)
        grid = [Scenario(price, vol, WHOLE_BP) for price in self.price_moves_bp for vol in self.vol_moves_bp]
        return (*grid, *(Scenario(t.price_move_bp, t.vol_move_bp, t.weight_bp) for t in self.tails))

    def labels(self) -> tuple[str, ...]:
        """The scenarios' labels."""
        return tuple(scenario.label() for scenario in self.scenarios())


class WorstScenario(Selective, PolicyPart):
    """The largest loss over a grid of scenarios; ``overrides`` holds whole grids for single underlyings."""

    type: Literal["worst_scenario"] = "worst_scenario"
    grid: ScenarioGrid
    overrides: Map[str, ScenarioGrid] = Field(default_factory=FrozenMap)

    RISK: ClassVar[bool] = True

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:
        """And the labels of every group's scenarios."""
        labels = self.grid.labels()
        own = {group: self.overrides[group].labels() for group in groups if group in self.overrides}
        return {**super().implied(groups, prices), "scenarios": tuple(own.get(group, labels) for group in groups)}


class PublishedWorstScenario(Selective, PublishedPart):
    """The risk array: ``risk[i, s]`` is the P&L (gain positive) of one lot long of slot i in scenario s of its group.

    Attributes:
        requirements: the requirements that it counts in.
        scenarios: labels per group and scenario; tail weights are already in the risk array.
        risk: [N, S] money units, S the largest number of scenarios of a group; columns beyond a group's own are 0.
    """

    type: Literal["worst_scenario"] = "worst_scenario"
    scenarios: Seq[Labels]
    risk: IntArray

    RISK: ClassVar[bool] = True
    BY_SLOT: ClassVar[Mapping[str, int]] = {"risk": 0}

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:  # noqa: ARG002
        """Check shapes, that no group lacks scenarios, and that columns beyond its own are 0. Raises InputError."""
        if len(self.scenarios) != groups:
            raise InputError(f"labels for {len(self.scenarios)} groups, not {groups}", field="scenarios")
        if not all(self.scenarios):
            raise InputError("a group without a scenario: nothing would be charged", field="scenarios")
        counts = np.array([len(labels) for labels in self.scenarios], dtype=np.int64)
        shape = (len(group_of), int(counts.max(initial=0)))
        if self.risk.values.shape != shape:
            raise InputError(f"has the shape {self.risk.values.shape}, not {shape}", field="risk")
        if np.any(self.risk.values == np.iinfo(np.int64).min):
            raise InputError("a value outside 64 bits with sign", field="risk")
        if len(group_of):
            beyond = np.arange(shape[1]) >= counts[np.asarray(group_of)][:, None]
            if np.any(self.risk.values[beyond]):
                raise InputError("a value beyond the scenarios of its group", field="risk")

    def extent(self, *, group_of: Sequence[int], groups: int, assets: int) -> Extent:  # noqa: ARG002
        """A row for each scenario of each group."""
        return Extent(rows=sum(map(len, self.scenarios)))

    def assess(self, legs: Sequence[Leg]) -> Charge:
        """Candidates: the loss of each group in each of its scenarios."""
        by_group: dict[int, list[Leg]] = defaultdict(list)
        for leg in legs:
            by_group[leg.group].append(leg)
        losses: dict[int, list[int]] = {}
        for group, members in by_group.items():
            rows = self.risk.values[[leg.slot for leg in members], : len(self.scenarios[group])]
            losses[group] = exact_dot(rows, [-leg.lots for leg in members])
        return Charge(candidates=losses)

    def share(self, leg: Leg, candidate: int | None) -> int:
        """One leg's loss in a scenario."""
        return 0 if candidate is None else -leg.lots * int(self.risk.values[leg.slot, candidate])

    def label(self, group: int, candidate: int) -> str:
        """The scenario's label."""
        return self.scenarios[group][candidate]


def check_moves(prices: Sequence[int], vols: Sequence[int]) -> None:
    """Refuse moves outside what pricing takes. Raises InputError."""
    for move in prices:
        if not -WHOLE_BP < move <= MAX_PRICE_MOVE_BP:
            raise InputError(
                f"a price move must be above -10000 (prices stay above 0) and at most {MAX_PRICE_MOVE_BP}",
                field="price_moves_bp",
            )
    for move in vols:
        if not -WHOLE_BP <= move <= MAX_VOL_MOVE_BP:
            raise InputError(f"a vol move must be between -10000 and {MAX_VOL_MOVE_BP}", field="vol_moves_bp")
