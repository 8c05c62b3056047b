"""What is published of a market: oracle confidence. Its rule: ``engine/components/oracle_confidence.py``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from zkmargin.engine.components.gross_charge import PublishedGrossCharge
from zkmargin.engine.components.oracle_confidence import OracleConfidence
from zkmargin.engine.notional import notional
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import IntArray


@publish.register
def _publish_oracle_confidence(part: OracleConfidence, valuation: Valuation) -> PublishedGrossCharge | None:
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
            found.append(market.forward_of(instrument).confidence)
        if instrument.kind == "option":
            found += perpetuals[instrument.underlying]
        size[slot] = valuation.money(part.doubt.rate(found) * notional(valuation, slot), instrument.id)
    if not size.any():
        return None
    return gross_charge(valuation, size, part.implied(valuation.groups, {}))


def gross_charge(
    valuation: Valuation, size: np.ndarray[tuple[int], np.dtype[np.int64]], terms: Mapping[str, Any]
) -> PublishedGrossCharge:
    """Charges per lot [N], long or short alike, with the terms of ``one_pool_a_group`` and its requirements."""
    return PublishedGrossCharge(**terms, pool=IntArray(valuation.group_of), long=IntArray(size), short=IntArray(size))
