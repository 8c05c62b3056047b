"""What is published of a market: gross charge. Its rule: ``engine/components/gross_charge.py``."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from zkmargin.engine.components.base import SCALE_BP
from zkmargin.engine.components.gross_charge import (
    GrossCharge,
    GrossRate,
    PublishedGrossCharge,
    group_keys,
)
from zkmargin.engine.components.pools import Pool, tier_lines
from zkmargin.engine.decimals import to_fraction
from zkmargin.engine.market import Instrument
from zkmargin.engine.notional import notional
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.valuation import Valuation, quantity_per_lot
from zkmargin.formats import IntArray


def _covers(part: GrossRate, instrument: Instrument) -> bool:
    """Whether an instrument is charged at this rate."""
    named = part.underlyings is None or instrument.underlying in part.underlyings
    return named and instrument.kind in part.kinds


def _sizes(part: GrossRate, valuation: Valuation, slot: int, mark: int) -> tuple[int, int]:
    """Money units of one lot held and of one lot sold that the pool's lines apply to."""
    instrument = valuation.market.instruments[slot]
    if part.amount is not None:
        charge = to_fraction(part.amount) * quantity_per_lot(instrument) * valuation.money_unit
    else:
        charge = notional(valuation, slot) * (Fraction(part.rate_bp or 0, SCALE_BP) if part.long_up_to_mark else 1)
    size = valuation.money(charge, instrument.id)
    return (min(size, mark) if part.long_up_to_mark else size), size


@publish.register
def _publish_gross_charge(part: GrossCharge, valuation: Valuation) -> PublishedGrossCharge | None:
    """Sizes per lot in money units, rounded half away from zero; None where no instrument has a rate."""
    market = valuation.market
    capped = any(rate.long_up_to_mark for rate in part.rates)
    marks = valuation.marks().tolist() if capped else [0] * valuation.size
    pool = np.full(valuation.size, -1, dtype=np.int64)
    long, short = (np.zeros(valuation.size, dtype=np.int64) for _ in range(2))
    keys: dict[tuple[int, str], int] = {}
    pools: list[Pool] = []
    groups = group_keys(valuation.groups, part.product_groups)
    for slot, instrument in enumerate(market.instruments):
        number = next((n for n, rate in enumerate(part.rates) if _covers(rate, instrument)), None)
        if number is None:
            continue
        rate = part.rates[number]
        name = instrument.id if rate.tiers and rate.per == "instrument" else instrument.underlying
        place = keys.setdefault((number, name), len(pools))
        if place == len(pools):
            group = groups[int(valuation.group_of[slot])]
            pools.append(Pool(name=name, group=group, lines=tier_lines(rate.tier_rates())))
        pool[slot] = place
        long[slot], short[slot] = _sizes(rate, valuation, slot, marks[slot])
    if not pools:
        return None
    return PublishedGrossCharge(
        requirements=part.requirements,
        mode=part.mode,
        scale=SCALE_BP,
        pools=tuple(pools),
        pool=IntArray(pool),
        long=IntArray(long),
        short=IntArray(short),
    )
