"""Joint scenarios: lists in which each underlying moves by its own amount, over all slots at once.

Correlation stress, historical days, simulated draws (filtered historical simulation resamples by date, which keeps
the dependence between underlyings; CME SPAN 2 and OCC STANS move all factors together). With a ``group`` the losses
of the whole book in one scenario net and form a joint group of that name, whose charge adds to those of the risk
groups: a policy that charges a book jointly has no ``worst_scenario`` for the same risk. Components that name the same
group compete in it. Without a ``group`` each underlying stands alone and the scenarios compete with its others.
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
    Label,
    Labels,
    Leg,
    PolicyPart,
    PublishedPart,
    Selective,
)
from zkmargin.engine.components.worst_scenario import WHOLE_BP, ShockRule, check_moves
from zkmargin.engine.exact import exact_dot
from zkmargin.engine.names import NAME_PATTERN
from zkmargin.formats import FullMap, InputError, IntArray, Model, PlainName, Seq


class Move(Model):
    """A relative move of an underlying's price, and of its options' implied vols, in basis points."""

    price_move_bp: int
    vol_move_bp: int = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_moves((self.price_move_bp,), (self.vol_move_bp,))
        return self


class JointMove(Model):
    """One joint scenario: a move of every underlying; ``weight_bp`` of the P&L counts."""

    name: PlainName = Field(min_length=1, max_length=80)
    moves: FullMap[str, Move]
    weight_bp: int = Field(default=WHOLE_BP, gt=0, le=WHOLE_BP)


class ScenarioList(Selective, ShockRule, PolicyPart):
    """Joint scenarios and where they count; the base of ``joint_scenarios`` and ``expected_shortfall``.

    Attributes:
        group: the joint group that the scenarios form, or None: each underlying alone.
        source: ``stress`` is home-made and must be symmetric in prices; ``published``, ``historical`` and
            ``simulated`` lists are taken as they are.
        scenarios: the list, up to 1024.
        others: the move of underlyings that a scenario does not name; without one, they are refused.
    """

    group: str | None = Field(default=None, pattern=NAME_PATTERN)
    source: Literal["stress", "published", "historical", "simulated"]
    scenarios: Seq[JointMove] = Field(min_length=1, max_length=MAX_SCENARIOS)
    others: Move | None = None

    RISK: ClassVar[bool] = True
    COPIED: ClassVar[tuple[str, ...]] = ("requirements", "group")

    @model_validator(mode="after")
    def _check_list(self) -> Self:
        names = [scenario.name for scenario in self.scenarios]
        if len(set(names)) != len(names):
            raise InputError("the same scenario twice", field="scenarios")
        prices = [
            (scenario.weight_bp, tuple(sorted((name, move.price_move_bp) for name, move in scenario.moves.items())))
            for scenario in self.scenarios
        ]
        mirrored = {(weight, tuple((name, -price) for name, price in moves)) for weight, moves in prices}
        if self.source == "stress" and mirrored != set(prices):
            raise InputError(
                "home-made scenarios that are not symmetric: one side of the market would be charged less",
                field="scenarios",
                hint='"source" says whether the list is published, historical or simulated',
            )
        return self

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:
        """And the names of the scenarios."""
        return {**super().implied(groups, prices), "scenarios": tuple(scenario.name for scenario in self.scenarios)}


class JointScenarios(ScenarioList):
    """The largest loss over a list of joint scenarios."""

    type: Literal["joint_scenarios"] = "joint_scenarios"


class ScenarioArray(Selective, PublishedPart):
    """A risk array over all slots: ``risk`` [N, S], P&L (gain positive) of one lot long, weights applied.

    Attributes:
        group: the joint group that the book's losses form, or None: each risk group alone.
        scenarios: S labels.
    """

    group: Label | None
    scenarios: Labels
    risk: IntArray

    RISK: ClassVar[bool] = True
    BY_SLOT: ClassVar[Mapping[str, int]] = {"risk": 0}

    @property
    def joint_groups(self) -> tuple[str, ...]:
        """The one joint group, if any."""
        return () if self.group is None else (self.group,)

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:  # noqa: ARG002
        """Check the shape and range. Raises InputError."""
        shape = (len(group_of), len(self.scenarios))
        if self.risk.values.shape != shape or not self.scenarios:
            raise InputError(
                f"has the shape {self.risk.values.shape}, not {shape} of one scenario at least", field="risk"
            )
        if np.any(self.risk.values == np.iinfo(np.int64).min):
            raise InputError("a value outside 64 bits with sign", field="risk")

    def losses(self, legs: Sequence[Leg]) -> list[int]:
        """[S] what the legs together lose in each scenario, money units."""
        return exact_dot(self.risk.values[[leg.slot for leg in legs]], [-leg.lots for leg in legs])

    def measure(self, losses: Sequence[int]) -> Sequence[int]:
        """The candidates that a group's losses make, in 1/``scale`` money units."""
        raise NotImplementedError

    @property
    def scale(self) -> int:
        """What a money unit counts in ``measure``."""
        return 1

    def extent(self, *, group_of: Sequence[int], groups: int, assets: int) -> Extent:  # noqa: ARG002
        """A row for each scenario, and for each group where these stand alone."""
        return Extent(rows=len(self.scenarios) * (1 if self.group else groups))

    def assess(self, legs: Sequence[Leg]) -> Charge:
        """Candidates of the joint group, or of each risk group."""
        if self.group is not None:
            return Charge(joint={self.group: self.measure(self.losses(legs))} if legs else {}, scale=self.scale)
        members: dict[int, list[Leg]] = defaultdict(list)
        for leg in legs:
            members[leg.group].append(leg)
        candidates = {group: self.measure(self.losses(chosen)) for group, chosen in members.items()}
        return Charge(candidates=candidates, scale=self.scale)

    def joint_shares(self, legs: Sequence[Leg], name: str, candidate: int) -> Sequence[int]:  # noqa: ARG002
        """Each leg's summand: the joint group holds all legs."""
        return self.shares(legs, candidate)

    def joint_label(self, name: str, candidate: int) -> str:  # noqa: ARG002
        """As in a risk group."""
        return self.label(0, candidate)


class PublishedJointScenarios(ScenarioArray):
    """Joint scenarios as integers; the candidates are the losses themselves."""

    type: Literal["joint_scenarios"] = "joint_scenarios"

    def measure(self, losses: Sequence[int]) -> Sequence[int]:
        """The losses."""
        return losses

    def share(self, leg: Leg, candidate: int | None) -> int:
        """One leg's loss in a scenario."""
        return 0 if candidate is None else -leg.lots * int(self.risk.values[leg.slot, candidate])

    def label(self, group: int, candidate: int) -> str:  # noqa: ARG002
        """The scenario's label."""
        return self.scenarios[candidate]
