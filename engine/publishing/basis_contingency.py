"""What is published of a market: basis contingency. Its rule: ``engine/components/basis_contingency.py``."""

from __future__ import annotations

from fractions import Fraction

from zkmargin.engine.components.basis_contingency import BasisContingency, PublishedBasisContingency
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.revaluation import Options, rounded_rows
from zkmargin.engine.units import basis_points
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import IntArray


@publish.register
def _publish_basis_contingency(part: BasisContingency, valuation: Valuation) -> PublishedBasisContingency | None:
    """Revalue everything that expires; None where nothing does. Raises InputError."""
    options = Options(valuation)
    if not options.expiries:
        return None
    average = 1000 * part.settlement_average_seconds
    rates, moves = [], {}
    for place, expiry in enumerate(options.expiries):
        moving = Fraction(min(expiry.time, average), average) if average else Fraction(1)
        moves[place] = [moving * basis_points(part.up_bp), moving * basis_points(part.down_bp)]
        rates.append(basis_points(part.add_bp) + basis_points(part.multiple_bp) * expiry.years)
    chosen = options.options
    change = valuation.table(2)
    if chosen:
        values = options.values(chosen, moves, [[option.vol] * 2 for option in chosen])
        terms = {place: [(rate, rate)] * 2 for place, rate in enumerate(rates)}
        change[[o.slot for o in chosen]] = options.amounts(chosen, values, options.marks(chosen), terms)
    for slot, place in enumerate(options.expiry_of.tolist()):
        line = valuation.line(slot)
        if line is not None and place >= 0:
            name = valuation.market.instruments[slot].id
            moved = [[rates[place] * line * move for move in moves[place]]]
            change[slot] = rounded_rows(moved, [name], valuation)[0]
    return PublishedBasisContingency(
        requirements=part.requirements,
        mode=part.mode,
        expiries=IntArray(options.expiry_of),
        change=IntArray(change),
    )
