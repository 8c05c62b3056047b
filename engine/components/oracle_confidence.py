"""Oracle confidence: size costs more where an oracle doubts the price.

Derive PMRM_2, "oracle contingency" (v2-core, PMRMLib_2), initial margin only: where the least confidence c that bears
on a position is below a threshold, (1 - c) x rate x notional, nothing netting. On a perpetual, future or spot bear the
confidence of its underlying and its own; on an option those of its underlying, forward and vol, and of the perpetuals
on its underlying. Collateral: see ``collateral_charge``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar, Literal

from pydantic import Field

from zkmargin.engine.components.base import SCALE_BP, PolicyPart, Selective
from zkmargin.engine.components.pools import Line, Pool
from zkmargin.engine.decimals import to_fraction
from zkmargin.engine.units import basis_points
from zkmargin.formats import Model


class Doubt(Model):
    """What doubt costs: below ``threshold_bp`` of confidence, ``rate_bp`` times what is missing to certainty."""

    threshold_bp: int = Field(gt=0, le=SCALE_BP)
    rate_bp: int = Field(gt=0, le=100 * SCALE_BP)

    def rate(self, confidences: Iterable[str | None]) -> Fraction:
        """The part of a notional that the least confidence costs."""
        least = min((to_fraction(given) for given in confidences if given is not None), default=Fraction(1))
        doubted = least < basis_points(self.threshold_bp)
        return (1 - least) * basis_points(self.rate_bp) if doubted else Fraction(0)


class OracleConfidence(Selective, PolicyPart):
    """A flat charge on every position whose price is in doubt, long or short."""

    type: Literal["oracle_confidence"] = "oracle_confidence"
    doubt: Doubt

    NEEDS_SIDES: ClassVar[bool] = True
    PUBLISHES: ClassVar[str] = "gross_charge"

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:
        """And one pool a risk group, on top of the requirement."""
        return {**super().implied(groups, prices), **one_pool_a_group(groups, "flat")}

    def may_be_silent(self, kinds: Collection[str]) -> bool:  # noqa: ARG002
        """Without doubt."""
        return True


def one_pool_a_group(groups: Sequence[str], mode: Literal["added", "flat"]) -> dict[str, Any]:
    """The terms of a gross charge in money units whose pools are the risk groups."""
    pools = tuple(Pool(name=name, group=g, lines=(Line(slope=1),)) for g, name in enumerate(groups))
    return {"mode": mode, "scale": 1, "pools": pools}
