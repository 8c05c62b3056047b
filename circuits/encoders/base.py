"""The seam between published components and their equations."""

from __future__ import annotations

from functools import singledispatch

from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.components import PublishedPart


@singledispatch
def encode(component: PublishedPart, requirement: Requirement) -> None:
    """Add the equations of a component to what is required. The encoder is found by the component's class."""
    raise NotImplementedError(f"no equations for {component.type}")
