"""What is published of a market: delta norm. Its rule: ``engine/components/delta_norm.py``."""

from __future__ import annotations

from zkmargin.engine.components.delta_norm import DeltaNorm, PublishedDeltaNorm
from zkmargin.engine.notional import delta_notionals
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import IntArray


@publish.register
def _publish_delta_norm(part: DeltaNorm, valuation: Valuation) -> PublishedDeltaNorm:
    """Delta notionals per lot in money units, and the matrix of the market's groups. Raises InputError past 64 bits."""
    return PublishedDeltaNorm(**part.implied(valuation.groups, {}), delta=IntArray(delta_notionals(valuation)))
