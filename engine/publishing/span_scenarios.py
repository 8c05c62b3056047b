"""What is published of a market: span scenarios. Its rule: ``engine/components/span_scenarios.py``."""

from __future__ import annotations

from zkmargin.engine.components.span_scenarios import SpanScenarios
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.publishing.base import publish, publish_arrays
from zkmargin.engine.publishing.span_arrays import span_arrays
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError, IntArray


@publish.register
def _publish_span_scenarios(part: SpanScenarios, valuation: Valuation) -> PublishedWorstScenario:
    """The risk arrays of a market. Raises InputError."""
    labels = part.labels()
    return PublishedWorstScenario(
        requirements=part.requirements,
        scenarios=tuple(labels for _ in valuation.groups),
        risk=IntArray(span_arrays(part, valuation)),
    )


@publish_arrays.register
def _publish_arrays_span_scenarios(part: SpanScenarios, arrays: RiskArrays) -> PublishedWorstScenario:
    """Imported arrays as they are: nothing is priced, and the parameters above are not used."""
    return PublishedWorstScenario(
        requirements=part.requirements,
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
