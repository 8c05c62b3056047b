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

from zkmargin.engine.decimals import to_fraction
from zkmargin.engine.exact import Int64Array, place
from zkmargin.formats import InputError, IntArray, Model, Seq


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
