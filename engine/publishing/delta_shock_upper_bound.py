"""What is published of a market: the delta shock. Its rule: ``engine/components/delta_shock_upper_bound.py``."""

from __future__ import annotations

from zkmargin.engine.components.delta_shock_upper_bound import (
    SCALE,
    DeltaShockUpperBound,
    PublishedDeltaShockUpperBound,
)
from zkmargin.engine.notional import delta_notionals
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import IntArray


@publish.register
def _publish_delta_shock_upper_bound(part: DeltaShockUpperBound, valuation: Valuation) -> PublishedDeltaShockUpperBound:
    """Delta notionals per lot in money units, and the lines of each underlying."""
    return PublishedDeltaShockUpperBound(
        requirements=part.requirements,
        mode=part.mode,
        scale=SCALE,
        pools=part.pools_of(valuation.groups, valuation.money_unit),
        pool=IntArray(valuation.group_of),
        value=IntArray(delta_notionals(valuation)),
    )
