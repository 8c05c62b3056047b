"""Discounted scenarios: losses that add up, and what an expiry that is short costs on top.

    W_g + sum_i q_i gain[i, s] + sum_j h_j collateral_gain[j, s] >= sum_e n_es     for each group g and scenario s
    n_es >= -sum_(i of e) q_i shortfall[i, s],   n_es >= 0                         for each of its expiries e

with h_j the balance of collateral slot j. A prover that overstates n_es only raises its own charge.
"""

from __future__ import annotations

import numpy as np

from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.language.system import Form
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.components.discounted_scenarios import PublishedDiscountedScenarios
from zkmargin.engine.components.static_discount import members


@encode.register
def _encode_discounted_scenarios(component: PublishedDiscountedScenarios, requirement: Requirement) -> None:
    """One candidate a scenario of each group."""
    system, gain, shortfall = requirement.system, component.gain.values, component.shortfall.values
    expiries = members(component.expiries.values)
    balances = component.collateral_group.values
    for g, labels in enumerate(component.scenarios):
        own = requirement.group_of == g
        for s, label in enumerate(labels):
            loss = system.dense("positions", np.where(own, -gain[:, s], 0))
            for expiry, slots in expiries:
                short = system.dense("positions", np.where(own & slots, -shortfall[:, s], 0))
                if short.terms:
                    loss += requirement.at_least(component.type, f"expiry {expiry} {label}", short)
            for j in np.flatnonzero(balances == g).tolist():
                loss -= _balance(requirement, j) * int(component.collateral_gain.values[j, s])
            requirement.candidate(g, component.type, label, loss)


def _balance(requirement: Requirement, j: int) -> Form:
    held, owed = requirement.system.collateral(j)
    return held - owed
