"""Discounted scenarios: price x vol moves in which each expiry's shocked value is discounted, long and short apart.

Derive PMRM_2 (v2-core, PMRMLib_2): per scenario the P&L of a risk group is, with weight w and relative move s,

    w ( sum over expiries (discounted V_e(s) - V_e) + sum over futures, perpetuals, spot and collateral of value x s )

V_e is what the expiry's options are worth, undiscounted by the static discount: even an unchanged price loses, which
stands for time. In the last half hour before expiry only the part of the forward that is not yet averaged into the
settlement price moves. Collateral named ``risk_cancelling`` moves with its underlying; other collateral does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from zkmargin.engine.components.base import Charge, Extent, Labels, Leg, PolicyPart, PublishedPart, Selective
from zkmargin.engine.components.static_discount import (
    StaticDiscount,
    by_expiry,
    by_group,
    check_expiries,
    check_matrix,
    counted_shortfall,
    members,
)
from zkmargin.engine.components.worst_scenario import ScenarioGrid
from zkmargin.engine.exact import exact_dot
from zkmargin.formats import FrozenMap, InputError, IntArray, Map, Seq

_1E14 = 10**14


class DiscountedScenarios(Selective, PolicyPart):
    """The grid and its discount.

    Attributes:
        overrides: whole grids for single underlyings.
        settlement_average_seconds: how long before expiry the settlement price begins to be averaged.
        risk_cancelling: assets whose balances gain and lose with their underlying in every scenario.
    """

    type: Literal["discounted_scenarios"] = "discounted_scenarios"
    grid: ScenarioGrid
    overrides: Map[str, ScenarioGrid] = Field(default_factory=FrozenMap)
    discount: StaticDiscount
    settlement_average_seconds: int = Field(default=0, ge=0, le=86_400)
    risk_cancelling: Seq[str] = ()

    RISK: ClassVar[bool] = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(grid.time_step_seconds for grid in (self.grid, *self.overrides.values())):
            raise InputError("the static discount stands for time: a time step would count it twice", field="grid")
        if len(set(self.risk_cancelling)) != len(self.risk_cancelling):
            raise InputError("an asset twice", field="risk_cancelling")
        return self

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:
        """And the labels of every group's scenarios."""
        labels = self.grid.labels()
        own = {group: self.overrides[group].labels() for group in groups if group in self.overrides}
        return {**super().implied(groups, prices), "scenarios": tuple(own.get(group, labels) for group in groups)}


class PublishedDiscountedScenarios(Selective, PublishedPart):
    """P&L of one lot long, in two parts: ``gain`` adds up, ``shortfall`` counts against an expiry that is short.

    loss of scenario s = -sum_i q_i gain[i, s] + sum over expiries of max(0, -sum_(i of expiry) q_i shortfall[i, s])
                         - sum_j balance_j collateral_gain[j, s]

    Attributes:
        scenarios: labels per group and scenario; weights are in the arrays.
        expiries: [N] a number for each expiry of an underlying, -1 for slots without one.
        gain: [N, S] money units: ``positive V(s) - V``.
        shortfall: [N, S] money units, not negative: ``(negative - positive) V(s)``.
        collateral_group: [M] the risk group that a balance moves with, -1 for none.
        collateral_gain: [M, S] money units per collateral lot.
    """

    type: Literal["discounted_scenarios"] = "discounted_scenarios"
    scenarios: Seq[Labels]
    expiries: IntArray
    gain: IntArray
    shortfall: IntArray
    collateral_group: IntArray
    collateral_gain: IntArray

    RISK: ClassVar[bool] = True
    BY_SLOT: ClassVar[Mapping[str, int]] = {"expiries": -1, "gain": 0, "shortfall": 0}

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:
        """Check shapes, signs, and that columns beyond a group's scenarios are 0. Raises InputError."""
        if len(self.scenarios) != groups:
            raise InputError(f"labels for {len(self.scenarios)} groups, not {groups}", field="scenarios")
        if not all(self.scenarios):
            raise InputError("a group without a scenario: nothing would be charged", field="scenarios")
        counts = np.array([*(len(labels) for labels in self.scenarios), 0], dtype=np.int64)  # the last is of group -1
        width = int(counts.max())
        check_expiries(self.expiries, group_of)
        check_matrix("gain", self.gain, (len(group_of), width))
        check_matrix("shortfall", self.shortfall, (len(group_of), width), negative=False)
        check_matrix("collateral_group", self.collateral_group, (assets,))
        check_matrix("collateral_gain", self.collateral_gain, (assets, width))
        moved = self.collateral_group.values
        if np.any((moved < -1) | (moved >= groups)):
            raise InputError("not a risk group", field="collateral_group")
        if np.any(self.shortfall.values[self.expiries.values < 0]):
            raise InputError("a shortfall without an expiry", field="shortfall")
        for field, array, of in (
            ("gain", self.gain, np.asarray(group_of, dtype=np.int64)),
            ("shortfall", self.shortfall, np.asarray(group_of, dtype=np.int64)),
            ("collateral_gain", self.collateral_gain, moved),
        ):
            if np.any(array.values[np.arange(width) >= counts[of][:, None]]):
                raise InputError("a value beyond the scenarios of its group", field=field)

    def extent(self, *, group_of: Sequence[int], groups: int, assets: int) -> Extent:  # noqa: ARG002
        """A row for each scenario of each group, and for each of these and every expiry."""
        rows, expiries = sum(map(len, self.scenarios)), len(members(self.expiries.values))
        return Extent(rows * (1 + expiries), rows * (expiries**2 + assets**2))

    def assess(self, legs: Sequence[Leg]) -> Charge:
        """Candidates: the loss of each group in each of its scenarios, collateral left out."""
        losses: dict[int, list[int]] = {}
        for group, own in by_group(legs).items():
            rows = self.gain.values[[leg.slot for leg in own], : len(self.scenarios[group])]
            losses[group] = exact_dot(rows, [-leg.lots for leg in own])
            for part in by_expiry(own, self.expiries).values():
                rows = self.shortfall.values[[leg.slot for leg in part], : len(self.scenarios[group])]
                short = counted_shortfall(exact_dot(rows, [leg.lots for leg in part]), rows)
                losses[group] = [loss + extra for loss, extra in zip(losses[group], short, strict=True)]
        return Charge(candidates=losses)

    def assess_balances(self, lots: Sequence[int]) -> Charge:
        """Candidates: what the collateral that moves with each group loses in its scenarios."""
        losses: dict[int, list[int]] = {}
        groups = self.collateral_group.values
        for group in sorted({int(groups[j]) for j, balance in enumerate(lots) if balance and groups[j] >= 0}):
            rows = np.flatnonzero(groups == group)
            matrix = self.collateral_gain.values[rows, : len(self.scenarios[group])]
            losses[group] = exact_dot(matrix, [-lots[j] for j in rows.tolist()])
        return Charge(candidates=losses)

    def shares(self, legs: Sequence[Leg], candidate: int | None) -> Sequence[int]:
        """Each leg's loss in a scenario; a leg of a short expiry has its part of the shortfall too."""
        if candidate is None:
            return [0] * len(legs)
        gain, shortfall = self.gain.values[:, candidate], self.shortfall.values[:, candidate]
        short = {
            expiry
            for expiry, part in by_expiry(legs, self.expiries).items()
            if sum(leg.lots * int(shortfall[leg.slot]) for leg in part) < 0
        }
        return [
            -leg.lots * (int(gain[leg.slot]) + (int(shortfall[leg.slot]) if self._expiry(leg) in short else 0))
            for leg in legs
        ]

    def label(self, group: int, candidate: int) -> str:
        """The scenario's label."""
        return self.scenarios[group][candidate]

    def _expiry(self, leg: Leg) -> int:
        return int(self.expiries.values[leg.slot])
