"""What is published of a market: min delta. Its rule: ``engine/components/min_delta.py``."""

from __future__ import annotations

from zkmargin.engine.components.min_delta import MinDelta, PublishedMinDelta
from zkmargin.engine.notional import delta_notionals
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import IntArray


@publish.register
def _publish_min_delta(part: MinDelta, valuation: Valuation) -> PublishedMinDelta:
    """Delta notionals per lot in money units. Raises InputError past 64 bits."""
    return PublishedMinDelta(
        requirements=part.requirements,
        mode=part.mode,
        net_rate_bp=part.net_rate_bp,
        hedged_rate_bp=part.hedged_rate_bp,
        delta=IntArray(delta_notionals(valuation)),
    )
