"""What is published of a market: roll shock. Its rule: ``engine/components/roll_shock.py``."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from zkmargin.engine.components.gross_charge import PublishedGrossCharge
from zkmargin.engine.components.roll_shock import RollShock
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.notional import notional
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.publishing.oracle_confidence import gross_charge
from zkmargin.engine.units import MS_PER_YEAR, basis_points
from zkmargin.engine.valuation import Valuation


@publish.register
def _publish_roll_shock(part: RollShock, valuation: Valuation) -> PublishedGrossCharge | None:
    """A gross charge in money units per lot, rounded half away from zero; None where nothing rolls."""
    now = parse_time(valuation.market.time)
    size = np.zeros(valuation.size, dtype=np.int64)
    for slot, instrument in enumerate(valuation.market.instruments):
        if instrument.kind not in ("future", "perpetual"):
            continue
        terms = part.overrides.get(instrument.underlying, part.rate)
        time = max(parse_time(instrument.expiry) - now, 0) if instrument.expiry else 0
        grown = basis_points(terms.annualised_move_risk_bp) * Fraction(time, MS_PER_YEAR)
        rate = max(basis_points(terms.min_annualised_move_bp), grown)
        size[slot] = valuation.money(rate * notional(valuation, slot), instrument.id)
    if not size.any():
        return None
    return gross_charge(valuation, size, part.implied(valuation.groups, {}))
