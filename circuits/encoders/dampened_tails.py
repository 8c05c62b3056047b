"""Dampened tails: an aggregated loss A, in 1/10^4 money units, counts only beyond its dampener D.

    D - A + B b >= 0,   y - A + B c >= 0,   y >= 0,   b + c = 1              10^4 W >= y

with hidden bits b, c and B at least |A| and D: b = 0 says A <= D, b = 1 makes y at least A. A prover that says b = 1
where it need not only raises its own charge.
"""

from __future__ import annotations

from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.encoders.gain_offset import class_loss, counted_loss
from zkmargin.circuits.language.hints import Above, AtMost, Largest, Product
from zkmargin.circuits.language.system import Form
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.components.dampened_tails import PublishedDampenedTails


@encode.register
def _encode_dampened_tails(component: PublishedDampenedTails, requirement: Requirement) -> None:
    """One candidate a tail and product group."""
    for family, dampener in zip(component.families, component.dampeners, strict=True):
        for s, label in enumerate(family.scenarios):
            rule = f"{component.type}: {label}"
            losses = [class_loss(component, requirement, part.group, s) for part in family.classes]
            if isinstance(family.key, int):
                total = losses[0] * SCALE_BP
            else:
                pairs = zip(family.classes, losses, strict=True)
                total = sum((counted_loss(part, loss, requirement, rule) for part, loss in pairs), Form())
            if total.terms:
                counted = _beyond(rule, family.name, total, SCALE_BP * dampener, requirement)
                requirement.candidate(family.key, component.type, label, counted, scale=SCALE_BP)


def _beyond(rule: str, name: str, total: Form, dampener: int, requirement: Requirement) -> Form:
    """A form that is at least ``total`` where that is above the dampener, and at least 0."""
    system = requirement.system
    most = max(*map(abs, system.bounds(total)), dampener)
    over = system.integer(f"{rule} {name} beyond", 1, Above(total, dampener))
    under = system.integer(f"{rule} {name} within", 1, AtMost(total, dampener))
    counted = system.integer(f"{rule} {name}", most, Product(Largest(0, total), Above(total, dampener)))
    system.equal(rule, f"{name} bit", over + under - 1)
    system.at_least_zero(rule, f"{name} within", most * over - total + dampener)
    system.at_least_zero(rule, f"{name} beyond", counted - total + most * under)
    return counted
