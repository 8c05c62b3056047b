"""What is published of a market: tiered margin. Its rule: ``engine/components/tiered_margin.py``."""

from __future__ import annotations

import numpy as np

from zkmargin.engine.components.pools import Pool
from zkmargin.engine.components.tiered_margin import PublishedTieredMargin, TieredMargin
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError, IntArray


@publish.register
def _publish_tiered_margin(part: TieredMargin, valuation: Valuation) -> PublishedTieredMargin:
    """Notionals per lot at the mark, rounded half away from zero. Raises InputError for an option or spot, by name."""
    size, pools = np.zeros(valuation.size, dtype=np.int64), []
    for slot, instrument in enumerate(valuation.market.instruments):
        line = valuation.line(slot)
        if line is None or instrument.kind == "spot":
            raise InputError(
                f"brackets are of futures and perpetuals: a {instrument.kind} has none", field=instrument.id
            )
        size[slot] = valuation.money(line, instrument.id)
        lines = part.lines(instrument.underlying)
        pools.append(Pool(name=instrument.id, group=int(valuation.group_of[slot]), lines=lines))
    return PublishedTieredMargin(
        **part.implied(valuation.groups, {}),
        pools=tuple(pools),
        pool=IntArray(np.arange(valuation.size, dtype=np.int64)),
        long=IntArray(size),
        short=IntArray(size),
    )
