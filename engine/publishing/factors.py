"""What is published of a market: factors. Its rule: ``engine/components/factors.py``."""

from __future__ import annotations

from fractions import Fraction

from zkmargin.engine.components.base import SCALE_BP
from zkmargin.engine.components.factors import Depeg, Factors, PublishedFactors
from zkmargin.engine.decimals import to_fraction
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError


def depeg_multiplier(part: Depeg, valuation: Valuation) -> Fraction:
    """The multiplier at the market's price. Raises InputError where the market lacks the asset."""
    for asset in valuation.market.assets:
        if asset.name == part.asset:
            below = max(Fraction(0), to_fraction(part.threshold) - to_fraction(asset.price))
            return 1 + below * Fraction(part.factor_bp, SCALE_BP)
    raise InputError("the market has no price of this asset", field=f"factors.depeg {part.asset[:40]}")


@publish.register
def _publish_factors(part: Factors, valuation: Valuation) -> PublishedFactors:
    """The multiplier in basis points, rounded up. Raises InputError for a missing price or an absurd multiplier."""
    depeg = Fraction(1) if part.depeg is None else depeg_multiplier(part.depeg, valuation)
    return PublishedFactors(requirements=part.requirements, value_bp=part.value_bp(depeg))
