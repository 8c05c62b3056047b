"""Gain offset: at each scenario the classes of a product group add up, gains in part and perhaps capped.

    p_c >= L_c, p_c >= 0                                       10^4 max(L, a L) = a L + (10^4 - a) p
    without a cap   x_c = a L_c + (10^4 - a) p_c
    with one        x_c + 10^4 cap >= a L_c + (10^4 - a) p_c + 10^4 cap, and >= 0
    10^4 W >= sum_c x_c

A class that is a product group of its own is charged its plain losses: what its gains count for plays no part.
"""

from __future__ import annotations

import numpy as np

from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.language.system import Form
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.components.gain_offset import OffsetClass, PublishedGainOffset


@encode.register
def _encode_gain_offset(component: PublishedGainOffset, requirement: Requirement) -> None:
    """One candidate a scenario and product group."""
    for family in component.families:
        for s, label in enumerate(family.scenarios):
            losses = [class_loss(component, requirement, part.group, s) for part in family.classes]
            if isinstance(family.key, int):
                requirement.candidate(family.key, component.type, label, losses[0])
            else:
                counted = (
                    counted_loss(part, loss, requirement, f"{component.type}: {label}")
                    for part, loss in zip(family.classes, losses, strict=True)
                )
                requirement.candidate(family.key, component.type, label, sum(counted, Form()), scale=SCALE_BP)


def class_loss(component: PublishedGainOffset, requirement: Requirement, group: int, s: int) -> Form:
    """The loss of a class in scenario s, money units."""
    return requirement.system.dense(
        "positions", np.where(requirement.group_of == group, -component.risk.values[:, s], 0)
    )


def counted_loss(part: OffsetClass, loss: Form, requirement: Requirement, rule: str) -> Form:
    """What a class counts for, in 1/10^4 money units: never less than the rule says."""
    counted = loss * SCALE_BP
    if part.offset_bp < SCALE_BP and loss.terms:
        above = requirement.at_least(rule, f"losses of class {part.group}", loss)
        counted = loss * part.offset_bp + above * (SCALE_BP - part.offset_bp)
    if part.cap is not None and loss.terms:
        floor = SCALE_BP * part.cap
        counted = requirement.at_least(rule, f"capped gains of class {part.group}", counted + floor) - floor
    return counted
