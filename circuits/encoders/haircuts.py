"""Collateral after haircuts: held balances count at less than their price, owed ones at more.

    value = sum_j long_value_j h_j - d_j - short_value_j o_j,   balance_j = h_j - o_j,  h_j, o_j >= 0
    d_j >= long_value_j h_j - (value_t h_j + start_t)  for each tier t of slot j,  d_j >= 0

Overstating both sides by the same amount changes the value by at most (long_value - short_value) <= 0 times it, and
overstating d_j lowers it: the prover only hurts itself, so h_j, o_j and d_j need not be exact.
"""

from __future__ import annotations

from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.components.haircuts import PublishedHaircuts


@encode.register
def _encode_haircuts(component: PublishedHaircuts, requirement: Requirement) -> None:
    """Add the collateral's value to equity (valuation units)."""
    values = zip(component.long_value.values.tolist(), component.short_value.values.tolist(), strict=True)
    for j, (long_value, short_value) in enumerate(values):
        held, owed = requirement.system.collateral(j)
        requirement.credit(held * long_value - owed * short_value)
        above = [held * (long_value - tier.value) - tier.start for tier in component.tiers if tier.slot == j]
        if above:
            requirement.credit(-requirement.at_least(component.type, f"concentration of collateral {j}", *above))
