"""Joint scenarios: the charge of the joint group (or of each group) is at least the loss in every scenario.

W + sum_i q_i R[i, s] >= 0        for each scenario s, over all slots (or the group's)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.language.system import Form
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.components.joint_scenarios import PublishedJointScenarios, ScenarioArray


@encode.register
def _encode_joint_scenarios(component: PublishedJointScenarios, requirement: Requirement) -> None:
    """One candidate a scenario and group."""
    for group, losses in group_losses(component, requirement):
        for label, loss in zip(component.scenarios, losses, strict=True):
            requirement.candidate(group, component.type, label, loss)


def group_losses(component: ScenarioArray, requirement: Requirement) -> Iterator[tuple[int | str, list[Form]]]:
    """The groups that an array charges, each with its loss in every scenario."""
    risk, dense = component.risk.values, requirement.system.dense
    if component.group is not None:
        yield component.group, [dense("positions", -column) for column in risk.T]
        return
    for g in range(len(requirement.groups)):
        members = requirement.group_of == g
        yield g, [dense("positions", np.where(members, -column, 0)) for column in risk.T]
