"""The amounts of the charge on what a universe carries at a stressed vol (``engine.stress``)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil

import numpy as np

from zkmargin.engine.components.base import REQUIREMENTS
from zkmargin.engine.components.gross_charge import PublishedGrossCharge
from zkmargin.engine.exact import Int64Array
from zkmargin.engine.stress import stress_pools
from zkmargin.engine.units import WHOLE_BP, Scenario, VolRule
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import IntArray

#: A vol move acts as it is: no tenor, no floor.
_PLAIN = VolRule(exponent_short_1e4=0, exponent_long_1e4=0, tenor_floor_ms=1, floor_1e9=0)


def stress_charge(
    valuation: Valuation, slots: Int64Array, stressed: Sequence[int], stress_bp: int
) -> PublishedGrossCharge:
    """The charge of one lot held and of one lot sold, money units rounded up.

    Args:
        valuation: of what is alive, N slots of its own.
        slots: [N] where these are among all slots.
        stressed: the slots, among all, that are carried at a stressed vol.
        stress_bp: the relative move of the vol.

    Returns:
        For the N slots of the valuation.
    """
    own, options = {int(slot): place for place, slot in enumerate(slots)}, valuation.options
    places = [own[slot] for slot in stressed]
    which = np.searchsorted(options.slots, np.array(places, dtype=np.int64))
    moves = [Scenario(0, -stress_bp, WHOLE_BP), Scenario(0, stress_bp, WHOLE_BP)]
    changes = options.changes(which, moves, _PLAIN, 0).tolist()
    pool, long, short = (np.full(valuation.size, fill, dtype=np.int64) for fill in (-1, 0, 0))
    for slot, option, (down, up) in zip(places, which.tolist(), changes, strict=True):
        factor, name = options.factors[option], options.names[option]
        pool[slot] = valuation.group_of[slot]
        long[slot] = valuation.money(Fraction(ceil(factor * max(-down, 0))), name)
        short[slot] = valuation.money(Fraction(ceil(factor * max(up, 0))), name)
    return PublishedGrossCharge(
        requirements=REQUIREMENTS,
        mode="flat",
        scale=1,
        pools=stress_pools(valuation.groups),
        pool=IntArray(pool),
        long=IntArray(long),
        short=IntArray(short),
    )
