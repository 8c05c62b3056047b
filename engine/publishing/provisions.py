"""What is published of a market: provisions. Its rule: ``engine/components/provisions.py``."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np

from zkmargin.engine.components.provisions import PPM, Fees, Funding, PublishedFees, PublishedFunding
from zkmargin.engine.market import Instrument
from zkmargin.engine.notional import notional
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import IntArray


@publish.register
def _publish_funding(part: Funding, valuation: Valuation) -> PublishedFunding | None:
    """Charges per lot in money units, rounded up; None without perpetuals."""
    long, short = (np.zeros(valuation.size, dtype=np.int64) for _ in range(2))
    for slot, instrument in enumerate(valuation.market.instruments):
        if instrument.kind != "perpetual":
            continue
        rate = part.rates_ppm.get(instrument.id, part.rates_ppm.get(instrument.underlying))
        sides = (part.default_ppm, part.default_ppm) if rate is None else (max(rate, 0), max(-rate, 0))
        value = valuation.line(slot) or Fraction(0)
        long[slot], short[slot] = (_up(valuation, value * Fraction(side, PPM), instrument) for side in sides)
    if all(instrument.kind != "perpetual" for instrument in valuation.market.instruments):
        return None
    return PublishedFunding(
        **part.implied(valuation.groups, {}),
        pool=IntArray(valuation.group_of),
        long=IntArray(long),
        short=IntArray(short),
    )


@publish.register
def _publish_fees(part: Fees, valuation: Valuation) -> PublishedFees:
    """Fees per lot in money units, rounded up."""
    fees = np.zeros(valuation.size, dtype=np.int64)
    marks = valuation.marks().tolist()
    for slot, instrument in enumerate(valuation.market.instruments):
        rate = next((rate for rate in part.rates if instrument.kind in rate.kinds), None)
        if rate is None:
            continue
        fee = notional(valuation, slot) * Fraction(rate.rate_ppm, PPM)
        if rate.up_to_mark_bp is not None and instrument.kind == "option":
            fee = min(fee, Fraction(marks[slot] * rate.up_to_mark_bp, 10_000))
        fees[slot] = _up(valuation, fee, instrument)
    return PublishedFees(
        **part.implied(valuation.groups, {}),
        pool=IntArray(valuation.group_of),
        long=IntArray(fees),
        short=IntArray(fees),
    )


def _up(valuation: Valuation, amount: Fraction, instrument: Instrument) -> int:
    return valuation.money(Fraction(ceil(amount)), instrument.id)
