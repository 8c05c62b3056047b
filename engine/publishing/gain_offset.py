"""What is published of a market: gain offset. Its rule: ``engine/components/gain_offset.py``."""

from __future__ import annotations

import numpy as np

from zkmargin.engine.components.gain_offset import (
    GainOffset,
    PublishedGainOffset,
)
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import IntArray


@publish.register
def _publish_gain_offset(part: GainOffset, valuation: Valuation) -> PublishedGainOffset:
    """Revalue every instrument in every scenario of its underlying. Raises InputError."""
    grids = [part.overrides.get(name, part.grid) for name in valuation.groups]
    lists = [grid.scenarios() for grid in grids]
    risk = valuation.table(max((len(scenarios) for scenarios in lists), default=0))
    for place, (grid, scenarios) in enumerate(zip(grids, lists, strict=True)):
        rows = np.flatnonzero(valuation.group_of == place)
        risk[rows, : len(scenarios)] = valuation.profits(
            rows, scenarios, vol_rule=grid.vol_rule(), time_step_ms=1000 * grid.time_step_seconds
        )
    return PublishedGainOffset(**part.implied(valuation.groups, {}), risk=IntArray(risk))
