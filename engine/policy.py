"""A margin policy is data: factors, a layout, and a list of components with a person's parameters.

Named policies are the files ``engine/policies/NAME.json``; anything else is a path to a policy document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import Field, StrictInt, TypeAdapter, ValidationError, model_validator

from zkmargin.engine.components import ELSEWHERE, MODULES, REQUIREMENTS, PolicyComponent, Requirement, parts_of
from zkmargin.engine.components.base import PolicyPart
from zkmargin.engine.components.haircuts import Haircuts
from zkmargin.engine.components.open_orders import OpenOrders
from zkmargin.formats import Document, InputError, Map, Model, PlainName, Seq, load_document
from zkmargin.formats.documents import input_error

MAX_FACTOR_BP = 100_000
MAX_COMPONENTS = 64
WHOLE_HAIRCUT_BP = 10_000
MIN_DOMAIN, MAX_DOMAIN = 16, 2048
SHIPPED = Path(__file__).with_name("policies")
LAYOUT_PROFILES = ("fast", "compact")


def check_domain_size(size: int) -> int:
    """A domain size is a power of two within the limits. Raises InputError."""
    if not MIN_DOMAIN <= size <= MAX_DOMAIN or size & (size - 1):
        raise InputError(f"must be a power of two from {MIN_DOMAIN} to {MAX_DOMAIN}", field="domain_size")
    return size


def domain_size_for(profile: str, slots: int) -> int:
    """The domain size of a layout profile for this many instrument slots (docs/benchmarks.md has the measurements).

    ``fast``: the least from 256 to 1024 that takes all slots in one segment, else 1024. ``compact``: 1024 if that takes
    all slots in one segment, else 2048: fewer columns, so a smaller proof, that takes longer to make.

    Raises:
        InputError: another profile.
    """
    if profile == "fast":
        return next((n for n in (256, 512, 1024) if slots < n), 1024)
    if profile == "compact":
        return 1024 if slots < 1024 else 2048
    raise InputError(f"a layout profile is one of {', '.join(LAYOUT_PROFILES)}", field="layout")


class PolicyLayout(Model):
    """How a proof is laid out: rows per segment, and the bounds of hidden quantities in bits of their lots.

    Attributes:
        domain_size: rows of a column, a power of two.
        position_bits: every position is below ``2**position_bits`` lots, long or short.
        collateral_bits: the same for collateral balances, unless an asset has its own bound.
        range_proved: whether a proof shows the positions' bound itself; else their bound rests on who signed them.
    """

    domain_size: int
    position_bits: int = Field(ge=1, le=60)
    collateral_bits: int = Field(ge=1, le=60)
    range_proved: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_domain_size(self.domain_size)
        return self


class Policy(Document):
    """A margin policy.

    Attributes:
        requirements: factor of each requirement in basis points of the components' charge; equal if they coincide.
        approximation: which of its numbers have no published source, or what it leaves out of the rules that it is
            named after; empty for a policy that claims no such thing.
        max_price_age_seconds: prices older than this, relative to the market's time, are refused.

    Raises:
        InputError: parameters that would make a requirement wrong, with the reason.

    Example:
        >>> policy = load_policy("default")
        >>> policy.name, policy.factor_bp("initial")
        ('default', 10000)
        >>> policy.digest().hex()[:8]
        '2c088513'
    """

    FORMAT: ClassVar[str] = "zkmargin/policy/v1"

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    title: PlainName = Field(max_length=200)
    description: str = Field(default="", max_length=4000)
    version: PlainName = Field(min_length=1, max_length=40)
    approximation: str = Field(default="", max_length=4000)
    requirements: Map[Requirement, int]
    layout: PolicyLayout
    max_price_age_seconds: int = Field(ge=0, le=31_536_000)
    components: Seq[PolicyComponent]

    @model_validator(mode="after")
    def _check(self) -> Self:
        for error in (*_wrong_factors(self.requirements), *_wrong_parts(self.components, self.layout)):
            raise error
        return self

    @property
    def approximate(self) -> bool:
        """Whether some of its numbers or rules are not the published ones."""
        return bool(self.approximation)

    @property
    def haircuts(self) -> Haircuts:
        """The component that says what collateral counts for."""
        return next(part for part in self.components if isinstance(part, Haircuts))

    def factor_bp(self, requirement: str) -> int:
        """The factor of a requirement in basis points. Raises InputError for an unknown name."""
        for name, factor in self.requirements.items():
            if name == requirement:
                return factor
        raise InputError(f'no requirement is called "{requirement[:40]}"', hint="it is initial or maintenance")


def _wrong_factors(requirements: Mapping[Requirement, int]) -> Iterator[InputError]:
    """What the factors would make wrong."""
    for name in REQUIREMENTS:
        if name not in requirements:
            yield InputError(f"no factor for the {name} requirement", field="requirements")
        elif not 0 < requirements[name] <= MAX_FACTOR_BP:
            yield InputError(f"must be above 0 and at most {MAX_FACTOR_BP} bp", field=f"requirements.{name}")
    if requirements.get("maintenance", 0) > requirements.get("initial", MAX_FACTOR_BP):
        yield InputError("maintenance above initial: an account could open what it cannot keep", field="requirements")


def _wrong_parts(components: Sequence[PolicyComponent], layout: PolicyLayout) -> Iterator[InputError]:
    """What the components would make wrong together."""
    if len(components) > MAX_COMPONENTS:
        yield InputError(f"more than {MAX_COMPONENTS} components", field="components")
    haircuts = [part for part in components if isinstance(part, Haircuts)]
    for part in components:
        for name in part.assets if isinstance(part, OpenOrders) and haircuts else ():
            terms = haircuts[0].assets.get(name)
            if terms is not None and terms.haircut_bp != WHOLE_HAIRCUT_BP:  # resting orders are no collateral
                yield InputError("orders would count as collateral: their haircut must be 10000", field=name)
    for name in REQUIREMENTS:
        if not any(part.RISK and part.applies_to(name) for part in components):
            yield InputError(
                f"no worst_scenario component for the {name} requirement, nor another measure of market risk",
                field="components",
            )
    if len(haircuts) != 1:
        yield InputError("exactly one haircuts component says what collateral counts for", field="components")
    for part in components:
        if part.needs_sides and not layout.range_proved:
            yield InputError(
                f"{part.type} charges short positions, or each on its own, so positions must be range-proved",
                field="layout.range_proved",
            )


def policy_mistakes(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Everything wrong with the JSON value of a policy, as (field, reason): fields that are missing or unknown, and
    values that do not go. Where a value of a component does not go, each of its values is looked at
    by itself; what they mean together is looked at when each of them goes.

    Example:
        >>> data = load_policy("default").to_json() | {"version": "", "requirements": {"initial": 0, "maintenance": 1}}
        >>> [field for field, reason in policy_mistakes(data)]
        ['version', 'requirements.initial', 'requirements']
    """
    found: list[tuple[str, str]] = []

    def read(kind: Any, value: object, where: str = "") -> Any:
        """The value as its type; None where it is none, and why is noted."""
        try:
            return TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            mistakes = input_error(error, file=None).facts["errors"]
        except InputError as error:  # the first of them ended the reading: each value by itself
            before = len(found)
            for piece in _pieces(kind, value, where):
                read(*piece)
            mistakes = [{"field": error.field, "reason": error.reason}] if len(found) == before else []
        found.extend((".".join(filter(None, (where, one.get("field")))), one["reason"]) for one in mistakes)
        return None

    given = data.get("components")
    right = load_policy("default").to_json()  # what is read on its own is taken from here, to look at the rest
    own = ["requirements", "layout", *(["components"] if isinstance(given, list) else [])]
    read(Policy, {**data, **{name: right[name] for name in own if name in data}})
    kinds = {"requirements": Map[Requirement, StrictInt], "layout": PolicyLayout}
    factors, layout = (read(kind, data[name], name) if name in data else None for name, kind in kinds.items())
    listed = given if isinstance(given, list) else []
    parts = [read(PolicyComponent, part, f"components[{i}]") for i, part in enumerate(listed)]
    wrong = [] if factors is None else [*_wrong_factors(factors)]
    if layout is not None and parts and None not in parts:
        wrong += _wrong_parts(parts, layout)
    return [*found, *((error.field or "", error.reason) for error in wrong)]


def _pieces(kind: Any, value: object, where: str) -> Iterator[tuple[Any, object, str]]:
    """The values inside a value, each with its type and its place; nothing where no model is inside."""
    if kind is PolicyComponent and isinstance(value, dict):
        module = ELSEWHERE.get(str(value.get("type")), str(value.get("type")))
        named = parts_of(PolicyPart, [module] if module in MODULES else [])
        kind = next((part for part in named if part.model_fields["type"].default == value.get("type")), kind)
    model = _model_in(kind)
    if model is None:
        return
    if isinstance(value, dict) and (kind is model or not set(value).isdisjoint(model.model_fields)):
        for name in (name for name in value if name in model.model_fields):
            field = model.model_fields[name]
            yield Annotated[(field.annotation, *field.metadata, None)], value[name], f"{where}.{name}"
    elif isinstance(value, dict):
        yield from ((model, item, f"{where}.{name}") for name, item in value.items())
    elif isinstance(value, list):
        yield from ((model, item, f"{where}[{place}]") for place, item in enumerate(value))


def _model_in(kind: Any) -> type[Model] | None:
    """The model that a type is, or that its items are."""
    if isinstance(kind, type) and issubclass(kind, Model):
        return kind
    return next((model for inner in get_args(kind) if (model := _model_in(inner)) is not None), None)


def policy_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of policy documents, with every component and its parameters."""
    schema = Policy.model_json_schema()
    schema["description"] = schema["description"].partition("\n\nExample:")[0]
    schema["properties"]["format"] = {"const": Policy.FORMAT, "type": "string"}
    schema["required"] = ["format", *schema["required"]]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def shipped_policy(name: str) -> Policy | None:
    """The policy that ships under a name, or None."""
    return load_policy(name) if name in policy_names() else None


def compare_with_shipped(policy: Policy) -> Literal["as shipped", "altered", "own"]:
    """What a policy's name is worth: it is a text in the file, and anybody's policy can call itself ``default``.

    ``as shipped``: equal, by digest, to the policy that ships under its name; ``altered``: another one than that;
    ``own``: none ships under its name.
    """
    shipped = shipped_policy(policy.name)
    if shipped is None:
        return "own"
    return "as shipped" if shipped.digest() == policy.digest() else "altered"


def policy_names() -> tuple[str, ...]:
    """The policies that ship with this package.

    Example:
        >>> "default" in policy_names()
        True
    """
    return tuple(sorted(item.stem for item in SHIPPED.glob("*.json")))


def load_policy(name_or_path: str | Path) -> Policy:
    """A named policy, or a policy document from a path. Raises InputError.

    Example:
        >>> load_policy("span").title
        'CME SPAN'
        >>> load_policy("spam")
        Traceback (most recent call last):
        ...
        zkmargin.formats.errors.InputError: spam: no such policy, and no such file
    """
    if isinstance(name_or_path, str) and name_or_path in policy_names():
        text = (SHIPPED / f"{name_or_path}.json").read_text("utf-8")
        return Policy.parse(text, file=f"policy {name_or_path}")
    if isinstance(name_or_path, str) and "/" not in name_or_path and not Path(name_or_path).exists():
        names = ", ".join(policy_names())
        raise InputError("no such policy, and no such file", file=name_or_path, hint=f"named policies: {names}")
    return load_document(Policy, name_or_path)
