"""Expected shortfall by Rockafellar and Uryasev: any threshold t is sound, the best one is exact.

    u_j >= L_j - t, u_j >= 0 for each scenario j;     c W >= a t + b sum_j u_j

t is a bounded integer less a public offset, since it is negative where even the boundary scenario is a gain.
"""

from __future__ import annotations

from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.encoders.joint_scenarios import group_losses
from zkmargin.circuits.language.hints import Ranked, Sum
from zkmargin.circuits.language.system import Form
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.components.expected_shortfall import PublishedExpectedShortfall


@encode.register
def _encode_expected_shortfall(component: PublishedExpectedShortfall, requirement: Requirement) -> None:
    """One candidate for the joint group, or for each risk group."""
    a, b, c = component.factors
    system = requirement.system
    for group, losses in group_losses(component, requirement):
        if not any(loss.terms for loss in losses):
            continue
        bounds = [system.bounds(loss) for loss in losses]
        low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
        best = Sum(Ranked(tuple(losses), component.rank), -low)
        t = system.integer(f"{component.type}: threshold", high - low, best) + low
        excess = sum(
            (
                requirement.at_least(component.type, f"above the threshold: {label}", loss - t)
                for label, loss in zip(component.scenarios, losses, strict=True)
            ),
            Form(),
        )
        requirement.candidate(group, component.type, component.label(0, 0), a * t + b * excess, scale=c)
