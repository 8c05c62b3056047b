"""What is published of a market: worst scenario. Its rule: ``engine/components/worst_scenario.py``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zkmargin.engine.components.worst_scenario import PublishedWorstScenario, ScenarioGrid, WorstScenario
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import IntArray


@publish.register
def _publish_worst_scenario(part: WorstScenario, valuation: Valuation) -> PublishedWorstScenario:
    """Revalue every instrument in every scenario of its underlying. Raises InputError."""
    grids = [part.overrides.get(group, part.grid) for group in valuation.groups]
    return PublishedWorstScenario(**part.implied(valuation.groups, {}), risk=grid_array(valuation, grids))


def grid_array(valuation: Valuation, grids: Sequence[ScenarioGrid]) -> IntArray:
    """[N, S] P&L of one lot long in every scenario of its group's grid; columns beyond a group's own are 0."""
    lists = [grid.scenarios() for grid in grids]
    risk = valuation.table(max((len(scenarios) for scenarios in lists), default=0))
    for group, (grid, scenarios) in enumerate(zip(grids, lists, strict=True)):
        rows = np.flatnonzero(valuation.group_of == group)
        risk[rows, : len(scenarios)] = valuation.profits(
            rows, scenarios, vol_rule=grid.vol_rule(), time_step_ms=1000 * grid.time_step_seconds
        )
    return IntArray(risk)
