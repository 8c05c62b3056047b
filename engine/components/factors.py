"""Public multipliers of a requirement's factor: stablecoin depeg, and floors against procyclicality.

Everything here is public and computed when a snapshot is built, so a proof is the same with any of it.

* Depeg (Derive PMRM: ``1 + max(0, threshold - price) x factor`` on initial margin; OKX MR9).
* Anti-procyclicality, EMIR RTS 153/2013 Art. 28(1), at least one of three, applied to the level M of a calibrated
  parameter that the requirement is proportional to (a scan range, say):
  (b) at least 25 % weight to stressed observations, ``M = (1 - w) now + w stressed``, here never below now;
  (c) not below the level of a 10-year look-back, ``M = max(M, ten_year)``;
  (a) a buffer of at least 25 % that may be exhausted while levels rise, ``M = max(M, min((1 + b) M, previous))``.
  The multiplier is M / now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from zkmargin.engine.components.base import SCALE_BP, PolicyPart, PublishedPart, Selective
from zkmargin.engine.decimals import to_fraction
from zkmargin.formats import InputError, Model

#: A multiplier beyond this is a mistake.
MAX_MULTIPLIER_BP = 100 * SCALE_BP


class Depeg(Model):
    """``1 + max(0, threshold - price) factor``, price and threshold in quote, the factor in 1e-4 (40000 is 4)."""

    asset: str
    threshold: str
    factor_bp: int = Field(ge=0, le=100 * SCALE_BP)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if to_fraction(self.threshold, field="threshold") <= 0:
            raise InputError("must be above 0", field="threshold")
        return self


class AntiProcyclicality(Model):
    """Levels of one parameter in one unit of any kind, as decimals.

    Attributes:
        now: the level as calibrated now.
        stressed: calibrated on stressed observations, with the weight ``stress_weight_bp``.
        ten_year: calibrated on ten years.
        previous: the level that was last applied, with the buffer ``buffer_bp``.
    """

    now: str
    stressed: str | None = None
    stress_weight_bp: int = Field(default=2_500, ge=2_500, le=SCALE_BP)
    ten_year: str | None = None
    previous: str | None = None
    buffer_bp: int = Field(default=2_500, ge=2_500, le=10 * SCALE_BP)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("now", "stressed", "ten_year", "previous"):
            text = getattr(self, name)
            if text is not None and to_fraction(text, field=name) <= 0:
                raise InputError("must be above 0", field=name)
        if self.stressed is None and self.ten_year is None and self.previous is None:
            raise InputError("none of stressed, ten_year and previous is given: it would do nothing", field="now")
        return self

    def multiplier(self) -> Fraction:
        """The applied level over the level now; never below 1."""
        now = to_fraction(self.now)
        level = now
        if self.stressed is not None:
            weight = Fraction(self.stress_weight_bp, SCALE_BP)
            level = max(level, (1 - weight) * now + weight * to_fraction(self.stressed))
        if self.ten_year is not None:
            level = max(level, to_fraction(self.ten_year))
        if self.previous is not None:
            buffered = level * (1 + Fraction(self.buffer_bp, SCALE_BP))
            level = max(level, min(buffered, to_fraction(self.previous)))
        return level / now


class Factors(Selective, PolicyPart):
    """Multipliers of the requirements that are named; both, where both are given."""

    type: Literal["factors"] = "factors"
    depeg: Depeg | None = None
    anti_procyclicality: AntiProcyclicality | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.depeg is None and self.anti_procyclicality is None:
            raise InputError("neither depeg nor anti_procyclicality: it would do nothing", field="depeg")
        return self

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:
        """And the multiplier, where it depends on no price."""
        known = {} if self.depeg is not None else {"value_bp": self.value_bp(Fraction(1))}
        return {**super().implied(groups, prices), **known}

    def value_bp(self, multiplier: Fraction) -> int:
        """The multiplier in basis points, rounded up. Raises InputError for an absurd one."""
        if self.anti_procyclicality is not None:
            multiplier *= self.anti_procyclicality.multiplier()
        value = ceil(multiplier * SCALE_BP)
        if value > MAX_MULTIPLIER_BP:
            raise InputError("a multiplier above 100", field="factors")
        return value


class PublishedFactors(Selective, PublishedPart):
    """``value_bp``: what the factors of the named requirements are multiplied by, in basis points; not below 10000."""

    type: Literal["factors"] = "factors"
    value_bp: int = Field(ge=SCALE_BP, le=MAX_MULTIPLIER_BP)

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:
        """Nothing depends on the slots."""

    def multiplier_bp(self, requirement: str) -> int:
        """The multiplier, where the requirement is named."""
        return self.value_bp if self.applies_to(requirement) else SCALE_BP
