"""What one lot stands for, in money units: the amounts that rates on size, delta and vega are taken of."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from zkmargin.engine.decimals import to_fraction
from zkmargin.engine.exact import Int64Array
from zkmargin.engine.valuation import Valuation


def notional(valuation: Valuation, slot: int) -> Fraction:
    """Money units of the underlying in one lot at the index; of an inverse future what its coins are worth.

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
    market = valuation.market
    values = np.zeros(valuation.size, dtype=np.int64)
    for slot, (instrument, delta) in enumerate(zip(market.instruments, valuation.deltas().tolist(), strict=True)):
        index = to_fraction(market.underlying(instrument.underlying).index_price) * valuation.money_unit
        values[slot] = valuation.money(index * delta / 10**9, instrument.id)
    return values


def vegas(valuation: Valuation) -> Int64Array:
    """[N] money units per lot that an option's value changes by per 1.00 of volatility; 0 for everything else."""
    from zkmargin.engine.pricing import greeks  # noqa: PLC0415 - compiled code, which a verifier never loads

    values = np.zeros(valuation.size, dtype=np.int64)
    options = valuation.options
    if len(options.slots) == 0:
        return values
    vega = greeks(options.forward, options.strike, options.vol, options.time, options.rate, options.is_call).vega
    for slot, name, price_units, factor in zip(
        options.slots.tolist(), options.names, vega.tolist(), options.factors, strict=True
    ):
        values[slot] = valuation.money(factor * price_units, name)
    return values
