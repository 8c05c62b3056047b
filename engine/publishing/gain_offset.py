"""What is published of a market: gain offset. Its rule: ``engine/components/gain_offset.py``."""

from __future__ import annotations

from zkmargin.engine.components.gain_offset import GainOffset, PublishedGainOffset
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.publishing.worst_scenario import grid_array
from zkmargin.engine.valuation import Valuation


@publish.register
def _publish_gain_offset(part: GainOffset, valuation: Valuation) -> PublishedGainOffset:
    """Revalue every instrument in every scenario of its underlying. Raises InputError."""
    grids = [part.overrides.get(name, part.grid) for name in valuation.groups]
    return PublishedGainOffset(**part.implied(valuation.groups, {}), risk=grid_array(valuation, grids))
