"""Expected shortfall: the mean of the worst ``(1 - level) N`` of N equally likely joint scenarios.

The boundary scenario counts with the fraction that is left (Acerbi and Tasche, "On the coherence of expected
shortfall", 2002), so that the measure is continuous in the level and never below value at risk. It equals
``min_t t + sum_j max(L_j - t, 0) / ((1 - level) N)`` (Rockafellar and Uryasev, "Optimization of conditional
value-at-risk", 2000): any t is sound and the best one exact, which is what the circuit uses. OCC's STANS charges 99 %
expected shortfall. ``weight_bp`` mixes: two components with weights 7500 and 2500 in groups of their own add up to
three quarters of one measure and one of another (EMIR RTS 153/2013 Art. 28(1)(b): stressed observations).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from zkmargin.engine.components.base import Extent, Leg
from zkmargin.engine.components.joint_scenarios import ScenarioArray, ScenarioList
from zkmargin.engine.components.worst_scenario import WHOLE_BP
from zkmargin.engine.exact import exact_dot
from zkmargin.formats import InputError
from zkmargin.integers import ranked


class ExpectedShortfall(ScenarioList):
    """The mean of the worst part of a list of scenarios.

    Attributes:
        level_bp: the level; 9900 takes the worst hundredth.
        weight_bp: what part of the measure is charged.
    """

    type: Literal["expected_shortfall"] = "expected_shortfall"
    level_bp: int = Field(gt=0, lt=WHOLE_BP)
    weight_bp: int = Field(default=WHOLE_BP, gt=0, le=WHOLE_BP)

    COPIED: ClassVar[tuple[str, ...]] = ("requirements", "group", "level_bp", "weight_bp")

    @model_validator(mode="after")
    def _check_likely(self) -> Self:
        if any(scenario.weight_bp != WHOLE_BP for scenario in self.scenarios):
            raise InputError("a weighted scenario: here all are equally likely and count in full", field="scenarios")
        return self


class PublishedExpectedShortfall(ScenarioArray):
    """Expected shortfall as integers.

    With N scenarios the measure is ``weight (10^4 (L_(1) + ... + L_(m)) + rest L_(m+1)) / (10^4 tail)`` where ``tail =
    N (10^4 - level)`` counts scenarios in 1e-4, m is its whole part and ``rest`` what is left; numerator and
    denominator are divided by what they have in common.
    """

    type: Literal["expected_shortfall"] = "expected_shortfall"
    level_bp: int = Field(gt=0, lt=WHOLE_BP)
    weight_bp: int = Field(gt=0, le=WHOLE_BP)

    @property
    def tail(self) -> int:
        """How many scenarios are averaged, in 1e-4."""
        return len(self.scenarios) * (WHOLE_BP - self.level_bp)

    @property
    def factors(self) -> tuple[int, int, int]:
        """(a, b, c): the charge is ``(a t + b sum_j max(L_j - t, 0)) / c`` at the best t."""
        terms = (self.weight_bp * self.tail, self.weight_bp * WHOLE_BP, WHOLE_BP * self.tail)
        common = gcd(*terms)
        return terms[0] // common, terms[1] // common, terms[2] // common

    @property
    def scale(self) -> int:
        """The denominator."""
        return self.factors[2]

    def extent(self, *, group_of: Sequence[int], groups: int, assets: int) -> Extent:
        """And the sum of the excesses over the threshold."""
        rows = super().extent(group_of=group_of, groups=groups, assets=assets).rows
        return Extent(rows, rows * len(self.scenarios))

    def measure(self, losses: Sequence[int]) -> Sequence[int]:
        """The one candidate."""
        return (sum(loss * weight for loss, weight in zip(losses, self._weights(losses), strict=True)),)

    def shares(self, legs: Sequence[Leg], candidate: int | None) -> Sequence[int]:
        """Each leg's mean loss over the scenarios that count."""
        if candidate is None:
            return [0] * len(legs)
        weights = self._weights(self.losses(legs))
        rows = self.risk.values[[leg.slot for leg in legs]]
        means = exact_dot(rows.T.copy(), weights)
        return [-leg.lots * mean for leg, mean in zip(legs, means, strict=True)]

    def label(self, group: int, candidate: int) -> str:  # noqa: ARG002
        """For example ``expected shortfall 99 % of 500 scenarios``."""
        whole, rest = divmod(self.level_bp, 100)
        level = f"{whole}{f'.{rest:02d}'.rstrip('0') if rest else ''}"
        return f"expected shortfall {level} % of {len(self.scenarios)} scenarios"

    @property
    def rank(self) -> int:
        """How many scenarios are worse than the boundary scenario."""
        return self.tail // WHOLE_BP

    def threshold(self, losses: Sequence[Any]) -> Any:
        """The loss of the boundary scenario, of one book or of many at once: the best t."""
        return ranked(losses, self.rank)

    def _weights(self, losses: Sequence[int]) -> list[int]:
        """What each scenario counts for: the worst ones in full, the boundary one with the rest."""
        a, b, _ = self.factors
        order = sorted(range(len(losses)), key=lambda j: losses[j], reverse=True)
        whole = self.rank
        weights = [0] * len(losses)
        for j in order[:whole]:
            weights[j] = b
        weights[order[whole]] = a - b * whole
        return weights
