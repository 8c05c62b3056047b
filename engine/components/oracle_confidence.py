"""Oracle confidence: size costs more where an oracle doubts the price.

Derive PMRM_2, "oracle contingency" (v2-core, PMRMLib_2), initial margin only: where the least confidence c that bears
on a position is below a threshold, (1 - c) x rate x notional, nothing netting. On a perpetual, future or spot bear the
confidence of its underlying and its own; on an option those of its underlying, forward and vol, and of the perpetuals
on its underlying. Collateral: see ``collateral_charge``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from engine.components.base import SCALE_BP, PolicyPart, Selective
from engine.components.gross_charge import PublishedGrossCharge
from engine.components.pools import Line, Pool
from engine.decimals import to_fraction
from engine.notional import notional
from engine.revaluation import basis_points
from engine.valuation import Valuation
from formats import IntArray, Model, Seq


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

    def publish(self, valuation: Valuation) -> PublishedGrossCharge | None:
        """A gross charge in money units per lot, rounded half away from zero; None without doubt. Raises InputError."""
        market = valuation.market
        perpetuals: dict[str, list[str | None]] = defaultdict(list)
        for instrument in market.instruments:
            if instrument.kind == "perpetual":
                perpetuals[instrument.underlying].append(instrument.confidence)
        size = np.zeros(valuation.size, dtype=np.int64)
        for slot, instrument in enumerate(market.instruments):
            found = [market.underlying(instrument.underlying).confidence, instrument.confidence]
            if instrument.expiry is not None:
                found.append(market.forward(instrument.underlying, instrument.expiry).confidence)
            if instrument.kind == "option":
                found += perpetuals[instrument.underlying]
            size[slot] = valuation.money(self.doubt.rate(found) * notional(valuation, slot), instrument.id)
        return gross_charge(valuation, size, self.requirements, "flat") if size.any() else None


def gross_charge(
    valuation: Valuation,
    size: np.ndarray[tuple[int], np.dtype[np.int64]],
    requirements: Seq[str],
    mode: Literal["added", "flat"],
) -> PublishedGrossCharge:
    """Charges per lot [N], long or short alike, as a published gross charge with one pool a risk group."""
    return PublishedGrossCharge(
        requirements=requirements,
        mode=mode,
        scale=1,
        pools=tuple(Pool(name=name, group=g, lines=(Line(slope=1),)) for g, name in enumerate(valuation.groups)),
        pool=IntArray(valuation.group_of),
        long=IntArray(size),
        short=IntArray(size),
    )
