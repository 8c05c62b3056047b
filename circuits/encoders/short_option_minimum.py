"""Short option minimum: a rate on what is short, per contract or per strike.

    per contract   sum_i som_i m_i
    per strike     sum_k n_k,   n_k >= -sum_{i at strike k} som_i q_i,   n_k >= 0
    floor:  W_g >= that sum over the group       added, flat:  + the sum over all

m_i is the short digits of slot i, and p_i = q_i + m_i >= 0 makes m_i >= max(-q_i, 0): a prover that overstates
m_i or n_k only raises its own charge.
"""

from __future__ import annotations

import numpy as np

from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.language.system import Form
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.components.short_option_minimum import PublishedShortOptionMinimum


@encode.register
def _encode_short_option_minimum(component: PublishedShortOptionMinimum, requirement: Requirement) -> None:
    """A candidate of each group in mode ``floor``, otherwise one addition."""
    sums = [_minimum(component, requirement, g) for g in range(len(requirement.groups))]
    if component.mode == "floor":
        for g, minimum in enumerate(sums):
            requirement.candidate(g, component.type, "short option minimum", minimum, floor=True)
    else:
        total = sum(sums, Form())
        requirement.addition(component.type, "short option minimum", total, factored=component.mode == "added")


def _minimum(component: PublishedShortOptionMinimum, requirement: Requirement, group: int) -> Form:
    charge = np.where(requirement.group_of == group, component.charge.values, 0)
    if component.strikes is None:
        return requirement.system.dense("short", charge)
    total = Form()
    for slots in component.members():
        row = np.zeros_like(charge)
        row[slots] = -charge[slots]
        if row.any():
            loss = requirement.system.dense("positions", row)
            total += requirement.at_least(component.type, f"strike {slots[0]}", loss)
    return total
