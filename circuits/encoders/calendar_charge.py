"""Calendar charge: spreads between the periods of a group, as an offset of its losses.

exact         sum_p charge_p n_p, the counts n_p by hidden bits (circuits/spreads.py)
convex bound  sum_a rate_a t_a, t_a >= d_a, t_a >= -d_a
delivery      sum_a rate_a |d_a|, with the sides of d_a or with t_a
"""

from __future__ import annotations

import numpy as np

from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.language.system import Form
from zkmargin.circuits.requirement import Requirement
from zkmargin.circuits.spreads import form_counts, split_sides
from zkmargin.engine.components.calendar_charge import SCALE, PublishedCalendarCharge


@encode.register
def _encode_calendar_charge(component: PublishedCalendarCharge, requirement: Requirement) -> None:
    """One surcharge for each group that has any."""
    system = requirement.system
    account_of, deltas = component.account_of.values, component.deltas.values
    net = [
        system.dense("positions", np.where(account_of == account, deltas, 0))
        for account in range(len(component.accounts))
    ]
    amounts = [Form() for _ in requirement.groups]
    if component.method == "exact":
        sides = [split_sides(system, d, name) for d, name in zip(net, component.accounts, strict=True)]
        gross = [long + short for long, short in sides]
        rates = list(component.delivery)
        counts = form_counts(system, component.spreads, sides, component.type)
        for spread, charge, count in zip(component.spreads, component.charges, counts, strict=True):
            amounts[component.account_groups[spread.legs[0].accounts[0]]] += charge * count
    else:
        rates = [b + d for b, d in zip(component.bounds(), component.delivery, strict=True)]
        gross = [
            requirement.at_least(component.type, name, d, -d) if rate and d.terms else Form()
            for d, rate, name in zip(net, rates, component.accounts, strict=True)
        ]
    for group, rate, size in zip(component.account_groups, rates, gross, strict=True):
        amounts[group] += rate * size
    for group, amount in enumerate(amounts):
        requirement.surcharge(group, component.type, requirement.groups[group], amount, scale=SCALE)
