"""One encoder for each margin component, found by the component's name.

To add a component: write ``engine/components/T.py`` (its meaning) and ``circuits/encoders/T.py`` (its equations),
and register both under the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zkmargin.circuits.encoders import (
    basis_contingency,
    calendar_charge,
    collateral_charge,
    dampened_tails,
    discounted_scenarios,
    expected_shortfall,
    factors,
    gain_offset,
    haircuts,
    inter_commodity_credit,
    joint_scenarios,
    min_delta,
    open_orders,
    pools,
    short_option_minimum,
    skew_scenarios,
    worst_scenario,
)
from zkmargin.circuits.requirement import Requirement

# Any: each encoder takes its own published component.
Encoder = Callable[[Any, Requirement], None]

ENCODERS: dict[str, Encoder] = {
    "calendar_charge": calendar_charge.encode,
    "inter_commodity_credit": inter_commodity_credit.encode,
    "collateral_charge": collateral_charge.encode,
    "delta_shock_upper_bound": pools.encode_net,
    "expected_shortfall": expected_shortfall.encode,
    "factors": factors.encode,
    "fees": pools.encode_gross,
    "funding": pools.encode_gross,
    "basis_contingency": basis_contingency.encode,
    "dampened_tails": dampened_tails.encode,
    "discounted_scenarios": discounted_scenarios.encode,
    "skew_scenarios": skew_scenarios.encode,
    "gain_offset": gain_offset.encode,
    "gross_charge": pools.encode_gross,
    "haircuts": haircuts.encode,
    "joint_scenarios": joint_scenarios.encode,
    "min_delta": min_delta.encode,
    "open_orders": open_orders.encode,
    "short_option_minimum": short_option_minimum.encode,
    "vega_term_upper_bound": pools.encode_net,
    "worst_scenario": worst_scenario.encode,
}
