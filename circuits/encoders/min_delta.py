"""Minimum delta: net and gross delta of each group, weighted.

    n_g >= v_g, n_g >= -v_g,  v_g = sum_i delta_i q_i          gross_g = sum_i |delta_i| (p_i + m_i)
    20000 W_g >= (2 net - hedged) n_g + hedged gross_g         (rates in bp)

Both weights are not below 0, so overstating n_g or both sides of a position only raises the charge.
"""

from __future__ import annotations

import numpy as np

from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.encoders.pools import magnitude, place_charge
from zkmargin.circuits.language.system import Form
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.components.min_delta import SCALE, PublishedMinDelta


@encode.register
def _encode_min_delta(component: PublishedMinDelta, requirement: Requirement) -> None:
    """A candidate of each group in mode ``floor``, otherwise one addition."""
    net_weight, gross_weight = component.weights
    amounts: list[tuple[int | str, Form]] = []
    for g, name in enumerate(requirement.groups):
        delta = np.where(requirement.group_of == g, component.delta.values, 0)
        net = magnitude(requirement, component.type, f"net delta of {name}", delta)
        gross = requirement.system.dense("long", abs(delta)) + requirement.system.dense("short", abs(delta))
        amounts.append((g, net * net_weight + gross * gross_weight))
    place_charge(requirement, component.type, component.mode, amounts, SCALE)
