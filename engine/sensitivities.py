"""Greeks of one lot of every instrument, as a snapshot holds them. For people: nothing is charged or proved from them.

    delta   units of the underlying: the P&L per relative move of the price, divided by the index (``Snapshot.deltas``)
    gamma   what a rise of the price by 1 % adds to delta
    vega    quote per point of vol (0.01), all vols moving alike
    theta   quote per calendar day that passes, prices and vols unchanged
    rho     quote per percentage point (0.01) of the rates that discount, forwards unchanged

Index and forwards move together. A future, a perpetual and spot have a delta only: they are lines in the price
(``engine.valuation``). Inverse options are not discounted, so their rho is 0. Black-76 throughout: ``engine.pricing``.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from zkmargin.engine.decimals import to_fraction
from zkmargin.engine.exact import Int64Array, place, scale_round
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError, IntArray, Model, Seq

DAYS_PER_YEAR = 365
_PER_CENT = 100
_1E11 = 10**11


class Sensitivities(Model):
    """Greeks of one lot long of N instruments in G risk groups, beside ``Snapshot.deltas``.

    Attributes:
        index_prices: [G] quote per unit of each group's underlying, decimal text.
        gammas: [N] 1e-9 units of underlying per 1 %.
        vegas: [N] money units per point of vol.
        thetas: [N] money units per day.
        rhos: [N] money units per percentage point.
    """

    index_prices: Seq[str]
    gammas: IntArray
    vegas: IntArray
    thetas: IntArray
    rhos: IntArray

    def placed(self, slots: Int64Array, size: int) -> Sensitivities:
        """The same of a longer list of slots: row i becomes that of ``slots[i]``, all others are 0."""
        names = ("gammas", "vegas", "thetas", "rhos")
        moved = {name: IntArray(place(getattr(self, name).values, slots, size)) for name in names}
        return Sensitivities(index_prices=self.index_prices, **moved)

    def check(self, *, size: int, groups: int) -> None:
        """Check shapes and prices. Raises InputError."""
        for name in ("gammas", "vegas", "thetas", "rhos"):
            shape = getattr(self, name).values.shape
            if shape != (size,):
                raise InputError(f"has the shape {shape}, not ({size},)", field=f"sensitivities.{name}")
        if len(self.index_prices) != groups:
            raise InputError(f"{len(self.index_prices)} of {groups} groups", field="sensitivities.index_prices")
        for price in self.index_prices:
            if to_fraction(price, field="sensitivities.index_prices") <= 0:
                raise InputError("must be above 0", field="sensitivities.index_prices")


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
