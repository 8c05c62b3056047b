"""Short option minimum, per contract: a rate on the short side of every option.

    floor:  W_g >= sum_i som_i m_i       added:  + sum_i som_i m_i

m_i is the short digits of slot i, and p_i = q_i + m_i >= 0 makes m_i >= max(-q_i, 0): a prover that overstates
m_i only raises its own charge.
"""

from __future__ import annotations

import numpy as np

from circuits.requirement import Requirement
from engine.components import PublishedShortOptionMinimum


def encode(component: PublishedShortOptionMinimum, requirement: Requirement) -> None:
    """A candidate of each group in mode ``floor``, one addition in mode ``added``."""
    charge = component.charge.values
    if component.mode == "added":
        requirement.addition(component.type, "short option minimum", requirement.system.dense("short", charge))
        return
    for g in range(len(requirement.groups)):
        minimum = requirement.system.dense("short", np.where(requirement.group_of == g, charge, 0))
        requirement.candidate(g, component.type, "short option minimum", minimum)
