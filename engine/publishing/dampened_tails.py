"""What is published of a market: dampened tails. Its rule: ``engine/components/dampened_tails.py``."""

from __future__ import annotations

import numpy as np

from zkmargin.engine.components.dampened_tails import DampenedTails, PublishedDampenedTails, tail_labels
from zkmargin.engine.components.gain_offset import (
    families_of,
)
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import IntArray


@publish.register
def _publish_dampened_tails(part: DampenedTails, valuation: Valuation) -> PublishedDampenedTails:
    """Revalue every instrument in every tail of its underlying. Raises InputError."""
    tables = [part.overrides.get(name, part.table) for name in valuation.groups]
    risk = valuation.table(max((len(table.tails) for table in tables), default=0))
    is_option = np.array([valuation.line(slot) is None for slot in range(valuation.size)], dtype=bool)
    for group, table in enumerate(tables):
        for chosen, scenarios in ((is_option, table.scenarios()), (~is_option, table.edges())):
            rows = np.flatnonzero((valuation.group_of == group) & chosen)
            risk[rows, : len(scenarios)] = valuation.profits(
                rows, scenarios, vol_rule=table.vol_rule(), time_step_ms=1000 * table.time_step_seconds
            )
    labels = [tail_labels(table) for table in tables]
    families = families_of(valuation.groups, part.product_groups, labels)
    return PublishedDampenedTails(
        requirements=part.requirements,
        families=families,
        risk=IntArray(risk),
        dampeners=tuple(part.dampener_of(family, valuation.money_unit) for family in families),
    )
