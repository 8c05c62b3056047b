"""Public multipliers: part of the requirement's factor (``Snapshot.factor_bp``), nothing of their own."""

from __future__ import annotations

from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.components.factors import PublishedFactors


@encode.register
def _encode_factors(component: PublishedFactors, requirement: Requirement) -> None:
    """No equation: the factor stands in the claim's."""
