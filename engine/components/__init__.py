"""The catalogue of margin components: ``MODULES`` is the one place that lists them.

A component named T has a policy part (what a policy file says) and a published part (what a snapshot holds), told
apart by ``"type": "T"``. To add one: write the pair in a module of this package and list the module below; write how it
is published in ``engine/publishing`` and its equations in ``circuits/encoders``, under the same name. Both are found.
"""

from __future__ import annotations

from functools import reduce
from importlib import import_module
from operator import or_
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from zkmargin.engine.components.base import REQUIREMENTS, SCALE_BP, Charge, Leg, PolicyPart, PublishedPart, Requirement

#: The modules of all components, in the order in which schemas list them.
MODULES = (
    "calendar_charge",
    "inter_commodity_credit",
    "span_scenarios",
    "collateral_charge",
    "delta_norm",
    "delta_shock_upper_bound",
    "expected_shortfall",
    "factors",
    "provisions",
    "gain_offset",
    "gross_charge",
    "basis_contingency",
    "dampened_tails",
    "discounted_scenarios",
    "oracle_confidence",
    "roll_shock",
    "skew_scenarios",
    "haircuts",
    "joint_scenarios",
    "min_delta",
    "open_orders",
    "short_option_minimum",
    "tiered_margin",
    "vega_term_upper_bound",
    "worst_scenario",
)


def _parts(base: type) -> list[Any]:
    """The classes of all components that give themselves a name, in order."""
    modules: list[ModuleType] = [import_module(f"{__name__}.{name}") for name in MODULES]
    return [
        part
        for module in modules
        for part in vars(module).values()
        if isinstance(part, type) and issubclass(part, base) and part.__module__ == module.__name__
        if "type" in part.__annotations__
    ]


if TYPE_CHECKING:
    PolicyComponent = PolicyPart
    PublishedComponent = PublishedPart
else:
    PolicyComponent = Annotated[reduce(or_, _parts(PolicyPart)), Field(discriminator="type")]
    PublishedComponent = Annotated[reduce(or_, _parts(PublishedPart)), Field(discriminator="type")]

__all__ = [
    "MODULES",
    "REQUIREMENTS",
    "SCALE_BP",
    "Charge",
    "Leg",
    "PolicyComponent",
    "PolicyPart",
    "PublishedComponent",
    "PublishedPart",
    "Requirement",
]
