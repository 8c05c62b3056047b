"""The Greeks that a snapshot publishes beside its deltas."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from zkmargin.engine.decimals import to_fraction
from zkmargin.engine.exact import Int64Array, scale_round
from zkmargin.engine.sensitivities import Sensitivities
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError, IntArray

DAYS_PER_YEAR = 365
_PER_CENT = 100
_1E11 = 10**11


def sensitivities(valuation: Valuation) -> Sensitivities:
    """The Greeks of a market's instruments, each rounded once, half away from zero.

    Raises:
        InputError: a Greek of one lot past 64 bits; names the instrument.
    """
    from zkmargin.engine.pricing import greeks  # noqa: PLC0415 - compiled code, which a verifier never loads

    market, options = valuation.market, valuation.options
    index_prices = tuple(market.underlying(name).index_price for name in valuation.groups)
    columns = {name: np.zeros(valuation.size, dtype=np.int64) for name in ("gammas", "vegas", "thetas", "rhos")}
    if len(options.slots):
        found = greeks(options.forward, options.strike, options.vol, options.time, options.rate, options.is_call)
        index = [to_fraction(price) for price in index_prices]
        terms = zip(
            options.slots.tolist(),
            options.names,
            options.forward.tolist(),
            found.gamma_1e11.tolist(),
            options.factors,
            strict=True,
        )
        for slot, name, forward, gamma, factor in terms:
            bend = factor * forward * gamma / _1E11
            columns["gammas"][slot] = valuation.money(bend / (_PER_CENT * index[valuation.group_of[slot]]), name)
        inverse = [market.instruments[slot].settlement == "inverse" for slot in options.slots.tolist()]
        rhos = np.where(inverse, 0, found.rho)
        for column, values, per in (
            ("vegas", found.vega, _PER_CENT),
            ("thetas", found.theta, DAYS_PER_YEAR),
            ("rhos", rhos, _PER_CENT),
        ):
            columns[column][options.slots] = _scaled(
                values, [factor / per for factor in options.factors], options.names
            )
    return Sensitivities(index_prices=index_prices, **{name: IntArray(column) for name, column in columns.items()})


def _scaled(values: Int64Array, factors: Sequence[Fraction], names: Sequence[str]) -> Int64Array:
    try:
        return scale_round(values[:, None], [f.numerator for f in factors], [f.denominator for f in factors])[:, 0]
    except OverflowError as error:
        raise InputError(
            "a Greek of one lot is past 64 bits of money units", field=names[error.args[0]], hint="use a smaller lot"
        ) from None
