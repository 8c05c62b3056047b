"""What is published of a market: vega term upper bound. Its rule: ``engine/components/vega_term_upper_bound.py``."""

from __future__ import annotations

import numpy as np

from zkmargin.engine.components.pools import Line, Pool
from zkmargin.engine.components.vega_term_upper_bound import SCALE, PublishedVegaTermUpperBound, VegaTermUpperBound
from zkmargin.engine.notional import vegas
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import IntArray


@publish.register
def _publish_vega_term_upper_bound(
    part: VegaTermUpperBound, valuation: Valuation
) -> PublishedVegaTermUpperBound | None:
    """Vegas per lot in money units per 1.00 of vol; a pool is an expiry. None without options."""
    pool = np.full(valuation.size, -1, dtype=np.int64)
    keys: dict[tuple[int, str], int] = {}
    for slot, instrument in enumerate(valuation.market.instruments):
        if instrument.kind == "option":
            group = int(valuation.group_of[slot])
            pool[slot] = keys.setdefault((group, instrument.expiry or ""), len(keys))
    if not keys:
        return None
    return PublishedVegaTermUpperBound(
        requirements=part.requirements,
        mode=part.mode,
        scale=SCALE,
        pools=tuple(
            Pool(name=f"{valuation.groups[g]} {expiry}", group=g, lines=(Line(slope=part.vol_move_bp),))
            for g, expiry in keys
        ),
        pool=IntArray(pool),
        value=IntArray(vegas(valuation)),
    )
