"""Delta norm: a hidden root whose square is at least a public quadratic form, by product gates.

    x_g = sum_i delta_i q_i over the group's slots        y_g = sum_h Sigma_gh x_h
    gates  x_g y_g  and  C C,        C C - sum_g x_g y_g >= 0,        10^4 W >= C

Sigma is positive semidefinite, so the sum is not negative and the least C is the ceiling of its root; a larger one only
raises the charge. C is a bounded integer, so it is not negative.
"""

from __future__ import annotations

import numpy as np

from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.language.hints import RootUp
from zkmargin.circuits.language.system import Form
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.components.base import SCALE_BP
from zkmargin.engine.components.delta_norm import LABEL, PublishedDeltaNorm
from zkmargin.integers import root_up


@encode.register
def _encode_delta_norm(component: PublishedDeltaNorm, requirement: Requirement) -> None:
    """One candidate of the joint group."""
    system, groups = requirement.system, range(len(requirement.groups))
    delta, sigma = component.delta.values, component.sigma.values.tolist()
    x = [system.dense("positions", np.where(requirement.group_of == g, delta, 0)) for g in groups]
    square = Form()
    for g in groups:
        y = sum((x[h] * sigma[g][h] for h in groups), Form())
        if x[g].terms and y.terms:
            square += system.product(x[g], y)
    if not square.terms:
        return
    root = system.integer(f"{component.type}: root", root_up(system.bounds(square)[1]), RootUp(square))
    system.at_least_zero(component.type, LABEL, system.product(root, root) - square)
    requirement.candidate(component.group, component.type, LABEL, root, scale=SCALE_BP)
