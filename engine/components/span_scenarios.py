"""SPAN scenarios: the largest loss over sixteen scenarios per combined commodity, from SPAN's own risk arrays.

CME, "SPAN methodology", scanning risk: ``max(0, max_j sum_i x_i ra_ij)`` over each combined commodity. The arrays are
computed from the parameters below (``engine.span``), or imported from a clearing house's file; either way they are
published as ``worst_scenario``: gain positive, weights of the extreme scenarios already in them.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from zkmargin.engine.components.base import PolicyPart, Selective
from zkmargin.engine.span import SpanModel


class SpanScenarios(SpanModel, Selective, PolicyPart):
    """Parameters of SPAN's scenarios; calendar charges and inter-commodity credits take their deltas from them."""

    type: Literal["span_scenarios"] = "span_scenarios"

    RISK: ClassVar[bool] = True
    PUBLISHES: ClassVar[str] = "worst_scenario"
    IMPORTABLE: ClassVar[bool] = True
