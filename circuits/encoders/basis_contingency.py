"""Basis contingency: each expiry loses in the worse direction of its forward.

t_e >= -sum_(i of e) q_i change[i, up],   t_e >= -sum_(i of e) q_i change[i, down],   t_e >= 0
floor:  W_g >= sum_e t_e over the group       added:  + sum_e t_e
"""

from __future__ import annotations

import numpy as np

from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.language.system import Form
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.components.basis_contingency import PublishedBasisContingency
from zkmargin.engine.components.static_discount import members


@encode.register
def _encode_basis_contingency(component: PublishedBasisContingency, requirement: Requirement) -> None:
    """A candidate of each group in mode ``floor``, otherwise one addition."""
    system, change = requirement.system, component.change.values
    sums = [Form() for _ in requirement.groups]
    for expiry, slots in members(component.expiries.values):
        losses = [system.dense("positions", np.where(slots, -change[:, way], 0)) for way in (0, 1)]
        losses = [loss for loss in losses if loss.terms]
        if losses:
            group = int(requirement.group_of[slots][0])
            sums[group] += requirement.at_least(component.type, f"expiry {expiry}", *losses)
    if component.mode == "floor":
        for g, loss in enumerate(sums):
            requirement.candidate(g, component.type, "basis contingency", loss)
    else:
        requirement.addition(component.type, "basis contingency", sum(sums, Form()))
