"""What is published of a market: expected shortfall. Its rule: ``engine/components/expected_shortfall.py``."""

from __future__ import annotations

from zkmargin.engine.components.expected_shortfall import ExpectedShortfall, PublishedExpectedShortfall
from zkmargin.engine.publishing.base import publish
from zkmargin.engine.publishing.joint_scenarios import joint_array
from zkmargin.engine.valuation import Valuation


@publish.register
def _publish_expected_shortfall(part: ExpectedShortfall, valuation: Valuation) -> PublishedExpectedShortfall:
    """Revalue every instrument in every scenario. Raises InputError."""
    return PublishedExpectedShortfall(
        **part.implied(valuation.groups, {}),
        risk=joint_array(part, valuation),
    )
