"""Inter-commodity credit: spreads between the net deltas of groups, as relief of their charges.

    C_g <= sum over spreads and legs of g of credit n / scale,  W_g >= V_g + surcharges - C_g

The counts n are the published ones, by hidden bits (circuits/spreads.py): a greater one would lower the requirement.
"""

from __future__ import annotations

import numpy as np

from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.language.system import Form
from zkmargin.circuits.requirement import Requirement
from zkmargin.circuits.spreads import form_counts, split_sides
from zkmargin.engine.components.inter_commodity_credit import SCALE, PublishedInterCommodityCredit


@encode.register
def _encode_inter_commodity_credit(component: PublishedInterCommodityCredit, requirement: Requirement) -> None:
    """One relief for each group that a spread names."""
    system = requirement.system
    named = {account for spread in component.spreads for leg in spread.legs for account in leg.accounts}
    sides = []
    for group, name in enumerate(requirement.groups):
        own = np.where(requirement.group_of == group, component.deltas.values, 0)
        net = system.dense("positions", own) if group in named else Form()
        sides.append(split_sides(system, net, f"{component.type} {name}"))
    amounts = [Form() for _ in requirement.groups]
    counts = form_counts(system, component.spreads, sides, component.type)
    for spread, credits_, count in zip(component.spreads, component.credits, counts, strict=True):
        for leg, credit in zip(spread.legs, credits_, strict=True):
            amounts[leg.accounts[0]] += credit * count
    for group, amount in enumerate(amounts):
        requirement.relief(group, component.type, requirement.groups[group], amount, scale=SCALE)
