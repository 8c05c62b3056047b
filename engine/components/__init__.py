"""The catalogue of margin components: ``MODULES`` is the one place that lists them.

A component named T has a policy part (what a policy file says) and a published part (what a snapshot holds), told
apart by ``"type": "T"``. To add one: write the pair in a module of this package and list the module below; write how it
is published in ``engine/publishing`` and its equations in ``circuits/encoders``, under the same name. Both are found.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from importlib import import_module
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, cast

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic_core import SchemaValidator, core_schema

from zkmargin.engine.components.base import REQUIREMENTS, SCALE_BP, Charge, Leg, PolicyPart, PublishedPart, Requirement

Part = TypeVar("Part", PolicyPart, PublishedPart)

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


#: Types whose module is called otherwise.
ELSEWHERE = {"funding": "provisions", "fees": "provisions"}


def parts_of(base: type[Part], modules: Iterable[str] = MODULES) -> list[type[Part]]:
    """The classes of all components that give themselves a name, in order; their modules are imported.

    Example:
        >>> [part.__name__ for part in parts_of(PolicyPart, ["provisions"])]
        ['Funding', 'Fees']
    """
    return [
        part
        for module in (import_module(f"{__name__}.{name}") for name in modules)
        for part in vars(module).values()
        if isinstance(part, type) and issubclass(part, base) and part.__module__ == module.__name__
        if "type" in part.__annotations__
    ]


class _ByType(Generic[Part]):
    """pydantic's union of all components, told apart by ``type``, of which only what a document holds is imported and
    built: two dozen modules would be a fifth of the time of a command.
    """

    def __init__(self, base: type[Part]) -> None:
        self.base: type[Part] = base
        self.built: dict[str, SchemaValidator] = {}

    def read(self, value: object) -> Part:
        """A component from its JSON value, or itself. Errors are those of the whole union."""
        tag = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
        if not isinstance(tag, str) or ELSEWHERE.get(tag, tag) not in MODULES:
            tag = ""
        if tag not in self.built:
            self.built[tag] = self._validator(tag)
        return cast("Part", self.built[tag].validate_python(value))

    def _validator(self, tag: str) -> SchemaValidator:
        """Of the union of one type; of all types for the empty one, whose errors list them."""
        modules = [ELSEWHERE.get(tag, tag)] if tag else []
        for part in parts_of(self.base, modules):
            if part.model_fields["type"].default == tag:
                part.model_rebuild()
                choices = {tag: part.__pydantic_core_schema__}
                return SchemaValidator(core_schema.tagged_union_schema(choices, discriminator="type"))
        return SchemaValidator(self.whole())

    def whole(self) -> core_schema.CoreSchema:
        """The schema of all components."""
        union: Any = Annotated[reduce(or_, parts_of(self.base)), Field(discriminator="type")]
        return TypeAdapter(union).core_schema

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(self.whole())


if TYPE_CHECKING:
    PolicyComponent = PolicyPart
    PublishedComponent = PublishedPart
else:
    PolicyComponent = Annotated[PolicyPart, _ByType(PolicyPart)]
    PublishedComponent = Annotated[PublishedPart, _ByType(PublishedPart)]

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
    "parts_of",
]
