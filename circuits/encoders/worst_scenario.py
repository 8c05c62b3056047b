"""Worst scenario: the charge of a group is at least its loss in every scenario.

W_g + sum_i q_i R[i, s] >= 0        for each group g and scenario s
"""

from __future__ import annotations

import numpy as np

from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario


@encode.register
def _encode_worst_scenario(component: PublishedWorstScenario, requirement: Requirement) -> None:
    """One candidate a scenario: the loss -sum_i q_i R[i, s] over the group's slots."""
    risk = component.risk.values
    for g, labels in enumerate(component.scenarios):
        members = requirement.group_of == g
        for s, label in enumerate(labels):
            loss = np.where(members, -risk[:, s], 0)
            requirement.candidate(g, component.type, label, requirement.system.dense("positions", loss))
