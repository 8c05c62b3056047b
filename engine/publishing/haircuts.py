"""What is published of a market: haircuts. Its rule: ``engine/components/haircuts.py``."""

from __future__ import annotations

from zkmargin.engine.components.haircuts import (
    Haircuts,
    PublishedHaircuts,
)
from zkmargin.engine.publishing.base import publish, publish_arrays
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.valuation import Valuation


@publish.register
def _publish_haircuts(part: Haircuts, valuation: Valuation) -> PublishedHaircuts:
    """Values per lot held and owed, exact. Raises InputError for an asset without terms."""
    return part.published([asset.name for asset in valuation.market.assets], valuation.asset_prices)


@publish_arrays.register
def _publish_arrays_haircuts(part: Haircuts, arrays: RiskArrays) -> PublishedHaircuts:
    """The same: collateral needs no pricing model."""
    return part.published([asset.name for asset in arrays.assets], arrays.asset_prices)
