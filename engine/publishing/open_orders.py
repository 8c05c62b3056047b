"""What is published of a market: open orders. Its rule: ``engine/components/open_orders.py``."""

from __future__ import annotations

from zkmargin.engine.components.open_orders import OpenOrders, PublishedOpenOrders
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.valuation import Valuation


@publish.register
def _publish_open_orders(part: OpenOrders, valuation: Valuation) -> PublishedOpenOrders:
    """Charges per lot, exact. Raises InputError past 64 bits."""
    names = (asset.name for asset in valuation.market.assets)
    return PublishedOpenOrders(**part.implied((), dict(zip(names, valuation.asset_prices, strict=True))))
