"""What is published of a market: skew scenarios. Its rule: ``engine/components/skew_scenarios.py``."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from zkmargin.engine.components.skew_scenarios import PublishedSkewScenarios, Skew, SkewScenarios
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.publishing.static_discount import discount_multipliers
from zkmargin.engine.revaluation import Expiry, Option, Options, log, shocked_vol, sqrt
from zkmargin.engine.units import basis_points
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import IntArray


def skew_multipliers(part: Skew, expiry: Expiry, chosen: Sequence[Option]) -> list[Fraction]:
    """What multiplies the vol of each option of one expiry, less 1."""
    root = sqrt(expiry.years)
    cap = basis_points(part.base_bp) * root + basis_points(part.cap_base_bp)
    spread = basis_points(part.vol_bp) + basis_points(part.vol_slope_bp) * root
    width = max(basis_points(part.min_width_bp), basis_points(part.width_bp) * root * spread)
    changes = []
    for option in chosen:
        moneyness = log(Fraction(option.strike, option.forward))
        k = abs(moneyness) if part.shape == "absolute" else moneyness
        change = k * cap / width
        changes.append(min(change, cap) if k >= 0 else max(change, -cap))
    return changes


@publish.register
def _publish_skew_scenarios(part: SkewScenarios, valuation: Valuation) -> PublishedSkewScenarios | None:
    """Revalue every option in every skew; None without options. Raises InputError."""
    options = Options(valuation)
    if not options.options:
        return None
    gain = valuation.table(len(part.skews))
    shortfall = valuation.table(gain.shape[1])
    chosen = options.options
    changes: dict[int, list[Fraction]] = {option.slot: [] for option in chosen}
    for place, expiry in enumerate(options.expiries):
        own = [option for option in chosen if option.expiry == place]
        for skew in part.skews:
            for option, change in zip(own, skew_multipliers(skew, expiry, own), strict=True):
                changes[option.slot].append(change)
    vols = [[shocked_vol(o.vol, change, floor=0) for change in changes[o.slot]] for o in chosen]
    places = range(len(options.expiries))
    values = options.values(chosen, {place: [Fraction(0)] * len(part.skews) for place in places}, vols)
    marks, weights = options.marks(chosen), [basis_points(skew.weight_bp) for skew in part.skews]
    kept, lost = {}, {}
    for place, expiry in enumerate(options.expiries):
        whole = (Fraction(1), Fraction(1))
        long, short = discount_multipliers(part.discount, expiry) if part.discount else whole
        kept[place] = [(weight * long, weight) for weight in weights]
        lost[place] = [(weight * (short - long), Fraction(0)) for weight in weights]
    slots = [option.slot for option in chosen]
    gain[slots] = options.amounts(chosen, values, marks, kept)
    shortfall[slots] = options.amounts(chosen, values, marks, lost)
    expiries = options.expiry_of.copy()
    expiries[np.setdiff1d(np.arange(valuation.size), slots)] = -1
    return PublishedSkewScenarios(
        **part.implied(valuation.groups, {}),
        expiries=IntArray(expiries),
        gain=IntArray(gain),
        shortfall=IntArray(shortfall),
    )
