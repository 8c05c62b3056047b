"""What is published of a market: joint scenarios. Its rule: ``engine/components/joint_scenarios.py``."""

from __future__ import annotations

import numpy as np

from zkmargin.engine.components.joint_scenarios import (
    JointMove,
    JointScenarios,
    PublishedJointScenarios,
    ScenarioList,
)
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.units import Scenario
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError, IntArray
from zkmargin.formats.budget import spend


def joint_array(part: ScenarioList, valuation: Valuation) -> IntArray:
    """[N, S] P&L of one lot long of every slot. Raises InputError for an underlying without a move."""
    risk = valuation.table(len(part.scenarios))
    spend("scenarios", len(valuation.groups) * len(part.scenarios))
    for group, underlying in enumerate(valuation.groups):
        moves = [_move(part, scenario, underlying) for scenario in part.scenarios]
        rows = np.flatnonzero(valuation.group_of == group)
        risk[rows] = valuation.profits(
            rows, moves, vol_rule=part.vol_rule(), time_step_ms=1000 * part.time_step_seconds
        )
    return IntArray(risk)


def _move(part: ScenarioList, scenario: JointMove, underlying: str) -> Scenario:
    move = scenario.moves.get(underlying, part.others)
    if move is None:
        raise InputError(
            f'the scenario "{scenario.name}" says nothing about {underlying}',
            field=f"{part.type}.scenarios",
            hint='give its move, or "others" for all that are not named',
        )
    return Scenario(move.price_move_bp, move.vol_move_bp, scenario.weight_bp)


@publish.register
def _publish_joint_scenarios(part: JointScenarios, valuation: Valuation) -> PublishedJointScenarios:
    """Revalue every instrument in every scenario. Raises InputError."""
    return PublishedJointScenarios(
        **part.implied(valuation.groups, {}),
        risk=joint_array(part, valuation),
    )
