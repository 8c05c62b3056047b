"""Skew scenarios: the absolute P&L of each expiry, on whichever side of its static discount it is.

    W_g >= sum_e t_e,   t_e >= G_e - n_e,   t_e >= n_e - G_e,   t_e >= 0             for each skew

G_e = sum q gain and X_e = sum q shortfall over the expiry's slots; n_e = max(0, -X_e) exactly, as overstating it would
lower the first bound. With a hidden bit b_e = 1 - c_e and B at least |X_e|:

    X_e = x_e - n_e,   x_e <= B b_e,   n_e <= B c_e,   x_e, n_e >= 0
"""

from __future__ import annotations

import numpy as np

from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.language.hints import Above, AtMost, Largest
from zkmargin.circuits.language.system import Form
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.components.skew_scenarios import PublishedSkewScenarios
from zkmargin.engine.components.static_discount import members


@encode.register
def _encode_skew_scenarios(component: PublishedSkewScenarios, requirement: Requirement) -> None:
    """One candidate a skew of each group."""
    system, gain, shortfall = requirement.system, component.gain.values, component.shortfall.values
    expiries = members(component.expiries.values)
    for g in range(len(requirement.groups)):
        own = requirement.group_of == g
        for k, label in enumerate(component.scenarios):
            loss = Form()
            for expiry, slots in expiries:
                profit = system.dense("positions", np.where(own & slots, gain[:, k], 0))
                value = system.dense("positions", np.where(own & slots, shortfall[:, k], 0))
                name = f"expiry {expiry} {label}"
                if value.terms:
                    profit -= _shortfall(component.type, name, value, requirement)
                if profit.terms:
                    loss += requirement.at_least(component.type, name, profit, -profit)
            requirement.candidate(g, component.type, label, loss)


def _shortfall(rule: str, name: str, value: Form, requirement: Requirement) -> Form:
    """max(0, -value), exactly."""
    system = requirement.system
    low, high = system.bounds(value)
    most = max(-low, high)
    above = system.integer(f"{rule}: {name} above", most, Largest(value, 0))
    below = system.integer(f"{rule}: {name} below", most, Largest(-value, 0))
    long = system.integer(f"{rule}: {name} long", 1, Above(value, -1))
    short = system.integer(f"{rule}: {name} short", 1, AtMost(value, -1))
    system.equal(rule, f"{name} sides", value - above + below)
    system.equal(rule, f"{name} bit", long + short - 1)
    system.at_least_zero(rule, f"{name} if long", most * long - above)
    system.at_least_zero(rule, f"{name} if short", most * short - below)
    return below
