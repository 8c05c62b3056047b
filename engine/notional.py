"""What one lot stands for, in money units: the amounts that rates on size are taken of."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from engine.exact import Int64Array
from engine.valuation import Valuation


def notional(valuation: Valuation, slot: int) -> Fraction:
    """Money units of the underlying in one lot at the index; of an inverse future or perpetual, what its coins are worth.

    An inverse contract of M quote at price P holds M / P coins, worth the index each.
    """
    instrument = valuation.market.instruments[slot]
    if instrument.kind != "option" and instrument.settlement == "inverse":
        return valuation.line(slot) or Fraction(0)
    return valuation.index_value(slot)


def delta_notionals(valuation: Valuation) -> Int64Array:
    """[N] money units per lot that the P&L changes by per relative move of 1 of the price, to first order.

    The snapshot's deltas (1e-9 of the underlying) times the index, rounded half away from zero.
    """
    values = np.zeros(valuation.size, dtype=np.int64)
    for slot, delta in enumerate(valuation.deltas().tolist()):
        values[slot] = valuation.money(valuation.index_price(slot) * delta / 10**9, valuation.market.instruments[slot].id)
    return values
