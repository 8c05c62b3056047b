"""What is published of a market: collateral charge. Its rule: ``engine/components/collateral_charge.py``."""

from __future__ import annotations

import numpy as np

from zkmargin.engine.components.collateral_charge import CollateralCharge, PublishedCollateralCharge
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.units import basis_points
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import IntArray


@publish.register
def _publish_collateral_charge(part: CollateralCharge, valuation: Valuation) -> PublishedCollateralCharge | None:
    """Charges in money units per lot held, rounded half away from zero; None without any. Raises InputError."""
    market = valuation.market
    charge = np.zeros(len(market.assets), dtype=np.int64)
    for j, asset in enumerate(market.assets):
        rate = basis_points(part.rates_bp.get(asset.name, 0))
        if part.doubt is not None:
            spot = None if asset.underlying is None else market.underlying(asset.underlying).confidence
            rate += part.doubt.rate((asset.confidence, spot))
        charge[j] = valuation.money(rate * valuation.asset_prices[j], asset.name)
    return PublishedCollateralCharge(requirements=part.requirements, charge=IntArray(charge)) if charge.any() else None
