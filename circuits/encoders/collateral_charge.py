"""Collateral charge: + sum_j charge_j h_j, with h_j the held side of collateral slot j.

A prover that overstates h_j only raises its own charge.
"""

from __future__ import annotations

from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.language.system import Form
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.components.collateral_charge import PublishedCollateralCharge


@encode.register
def _encode_collateral_charge(component: PublishedCollateralCharge, requirement: Requirement) -> None:
    """One flat addition."""
    charges = enumerate(component.charge.values.tolist())
    total = sum((requirement.system.collateral(j)[0] * charge for j, charge in charges), Form())
    requirement.addition(component.type, "collateral charge", total, factored=False)
