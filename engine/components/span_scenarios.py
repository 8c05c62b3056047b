"""SPAN scenarios: the largest loss over sixteen scenarios per combined commodity, from SPAN's own risk arrays.

CME, "SPAN methodology", scanning risk: ``max(0, max_j sum_i x_i ra_ij)`` over each combined commodity. The arrays are
computed from the parameters below (``engine.span``), or imported from a clearing house's file; either way they are
published as ``worst_scenario``: gain positive, weights of the extreme scenarios already in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from zkmargin.engine.components.base import PolicyPart, Selective
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.span import SpanModel
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError, IntArray

if TYPE_CHECKING:
    from zkmargin.engine.risk_arrays import RiskArrays


class SpanScenarios(SpanModel, Selective, PolicyPart):
    """Parameters of SPAN's scenarios; calendar charges and inter-commodity credits take their deltas from them."""

    type: Literal["span_scenarios"] = "span_scenarios"

    RISK: ClassVar[bool] = True
    PUBLISHES: ClassVar[str] = "worst_scenario"

    def publish(self, valuation: Valuation) -> PublishedWorstScenario:
        """The risk arrays of a market. Raises InputError."""
        labels = self.labels()
        return PublishedWorstScenario(
            requirements=self.requirements,
            scenarios=tuple(labels for _ in valuation.groups),
            risk=IntArray(self.arrays(valuation)),
        )

    def publish_arrays(self, arrays: RiskArrays) -> PublishedWorstScenario:
        """Imported arrays as they are: nothing is priced, and the parameters above are not used."""
        return PublishedWorstScenario(
            requirements=self.requirements,
            scenarios=tuple(arrays.scenarios for _ in arrays.groups),
            risk=IntArray(arrays.gains_per_lot()),
        )


def span_model(valuation: Valuation, component: str) -> SpanScenarios:
    """The policy's SPAN parameters. Raises InputError where it has none."""
    model = valuation.part(SpanScenarios)
    if model is None:
        raise InputError(
            "takes its deltas and scan ranges from span_scenarios, which the policy lacks", field=component
        )
    return model
