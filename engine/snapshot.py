"""A snapshot: everything public that a margin is computed and proved from, as integers.

market + policy -> snapshot is deterministic: anyone can redo it, bit for bit, and compare digests. Money is counted
in units of 1e-9 quote, quantities in lots, rates in basis points. The integers are the rule: nothing rounds later.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, StringConstraints, model_validator

from zkmargin.engine.components import REQUIREMENTS, SCALE_BP, PolicyPart, PublishedComponent
from zkmargin.engine.components.base import Extent
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.decimals import parse_time, to_fraction
from zkmargin.engine.names import MAX_INSTRUMENTS, CarryMethod, Kind, Name, OptionType, Settlement
from zkmargin.engine.policy import MAX_COMPONENTS, Policy, check_domain_size
from zkmargin.engine.sensitivities import Sensitivities
from zkmargin.engine.stress import is_stress_charge
from zkmargin.engine.units import MAX_ASSET_PRICE
from zkmargin.formats import Digest, Document, Hint, InputError, IntArray, Model, PlainName, Seq, Since

#: Bits of a quantity's bound after rounding up to whole digits.
MAX_BITS = 72
#: What a snapshot is built with: columns of a proof hold 64-bit integers with sign.
MAX_COMMITTED_BITS = 63

#: Limits, so that a hostile snapshot costs bounded time and memory (docs/formats.md says what real ones need).
MAX_GROUPS = 1 << 13
MAX_COLLATERAL = 1 << 12
#: Rows of coefficients that its circuit looks at, these times slots, and terms that it adds up (``Extent``).
MAX_ROWS = 1 << 20
MAX_CELLS = 1 << 30
MAX_TERMS = 1 << 27

Decimal = Annotated[str, StringConstraints(max_length=60)]


class InstrumentSlot(Model):
    """What a position in a slot means; ``group`` indexes the snapshot's groups, decimals are in the market's units.

    ``listed`` counts the listings of its universe (0: there from the beginning), ``retired`` says that it was delisted:
    no book may hold it, and no other contract ever takes its slot.
    """

    id: Name
    kind: Kind
    group: int = Field(ge=0)
    underlying: Name
    lot: Decimal
    expiry: Decimal | None
    strike: Decimal | None
    option_type: OptionType | None
    settlement: Settlement
    multiplier: Decimal
    listed: Annotated[int, Since(2), Field(ge=0, lt=MAX_INSTRUMENTS)] = 0
    retired: Annotated[bool, Since(2)] = False

    def terms(self) -> tuple[str | None, ...]:
        """What one unit is and how it is counted: what a slot map binds."""
        return (
            self.id,
            self.kind,
            self.underlying,
            self.expiry,
            self.strike,
            self.option_type,
            self.settlement,
            self.multiplier,
            self.lot,
        )


class CollateralSlot(Model):
    """What a balance in a slot means: ``price`` in money units per lot, |balance| below ``2**bits`` lots.

    ``listed`` and ``retired`` as for instruments.
    """

    asset: Name
    lot: Decimal
    price: int = Field(gt=0, lt=MAX_ASSET_PRICE)
    bits: int = Field(ge=1, le=MAX_BITS)
    negative_allowed: bool
    listed: Annotated[int, Since(2), Field(ge=0, lt=MAX_INSTRUMENTS)] = 0
    retired: Annotated[bool, Since(2)] = False


class Layout(Model):
    """Rows per segment, and the positions' bound: below ``2**position_bits`` lots, long or short.

    The capacities are those of a universe: how many slots commitments have room for, 0 without one.
    """

    domain_size: int
    position_bits: int = Field(ge=1, le=MAX_BITS)
    range_proved: bool
    position_capacity: Annotated[int, Since(2), Field(ge=0, le=MAX_INSTRUMENTS)] = 0
    collateral_capacity: Annotated[int, Since(2), Field(ge=0, le=MAX_COLLATERAL)] = 0

    @property
    def digit_bits(self) -> int:
        """Bits of one digit: log2 of the domain size. Every bound is a whole number of digits."""
        return self.domain_size.bit_length() - 1


class CarriedQuote(Model):
    """A price that the market did not have, and where it was taken from instead (``engine.carried``).

    Attributes:
        id: the instrument, or ``forward UNDERLYING EXPIRY``.
        method: ``last`` from an earlier market, ``interpolated`` between quotes of this one, ``index`` for a mark that
            is the index or the forward, ``stressed``: moved against both sides of a position.
        source: digest of the market that it comes from, hex.
        age_seconds: how much older than the snapshot it is, rounded up; of an interpolation its oldest quote.
    """

    id: PlainName = Field(max_length=200)
    method: CarryMethod
    source: Digest
    age_seconds: int = Field(ge=0, lt=1 << 40)


class Snapshot(Document):
    """Slots, groups, marks and the published components; N instrument slots, M collateral slots.

    Attributes:
        market_digest: digest of the market that it was built from, hex.
        policy: the whole policy that it was built with.
        groups: risk groups, one per underlying, in order of first appearance.
        instruments: N slots in the market's order.
        collateral: M slots in the market's order.
        marks: [N] value of one lot in money units; 0 for futures and perpetuals, which are carried at zero.
        deltas: [N] 1e-9 units of underlying per lot; only limits on exposure are about them.
        sensitivities: informational: the other Greeks; None for a snapshot of imported arrays, which have none.
        components: what the requirement is computed from.
        universe: digest of the universe that fixes the slots, hex; None without one: the market's order is their order.
        carried: what had no quote in the market, in the order of slots.

    Version 1 has neither universes nor carried quotes, and its slot maps do not bind expiry, strike and option type.

    Raises:
        InputError: parts that do not fit each other.

    Example:
        >>> len(snapshot.instruments), snapshot.layout.domain_size
        (448, 1024)
        >>> snapshot.digest() == Snapshot.parse(snapshot.to_bytes()).digest()
        True
    """

    FORMAT: ClassVar[str] = "zkmargin/snapshot/v2"
    READS: ClassVar[tuple[str, ...]] = ("zkmargin/snapshot/v1",)

    name: PlainName = Field(max_length=200)
    time: str
    quote: Name
    money_unit: Literal["0.000000001"] = "0.000000001"
    market_digest: Digest
    policy: Policy
    layout: Layout
    groups: Seq[Name] = Field(max_length=MAX_GROUPS)
    instruments: Seq[InstrumentSlot] = Field(max_length=MAX_INSTRUMENTS)
    collateral: Seq[CollateralSlot] = Field(max_length=MAX_COLLATERAL)
    marks: IntArray
    deltas: IntArray
    sensitivities: Sensitivities | None = None
    components: Seq[PublishedComponent] = Field(max_length=MAX_COMPONENTS + 1)
    universe: Annotated[Digest | None, Since(2)] = None
    carried: Annotated[Seq[CarriedQuote], Since(2), Field(max_length=2 * MAX_INSTRUMENTS)] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        parse_time(self.time, field="time")
        check_domain_size(self.layout.domain_size)
        digit = self.layout.digit_bits
        for field, bits in (("layout.position_bits", self.layout.position_bits), *self._collateral_bits()):
            if bits % digit:
                raise InputError(f"not a multiple of the {digit} bits of a digit", field=field)
        _refuse_twice("instruments", [slot.id for slot in self.instruments])
        _refuse_twice("collateral", [slot.asset for slot in self.collateral])
        _refuse_twice("groups", self.groups)
        for slot in self.instruments:
            if slot.group >= len(self.groups) or self.groups[slot.group] != slot.underlying:
                raise InputError("its group is not its underlying", field=slot.id)
        lots = {slot.lot: slot.asset for slot in reversed(self.collateral)}
        lots |= {slot.lot: slot.id for slot in reversed(self.instruments)}  # thousands of slots have a handful of lots
        for lot, where in lots.items():
            if to_fraction(lot, field=f"{where} lot") <= 0:
                raise InputError("must be above 0", field=f"{where} lot")
        for field, array in (("marks", self.marks), ("deltas", self.deltas)):
            if array.values.shape != (len(self.instruments),):
                raise InputError(f"has the shape {array.values.shape}, not ({len(self.instruments)},)", field=field)
            # -2^63 has no absolute value in 64 bits, and limits on gross exposure take one
            if np.any(array.values == np.iinfo(np.int64).min):
                raise InputError("a value outside 64 bits with sign", field=field)
        if self.sensitivities is not None:
            self.sensitivities.check(size=len(self.instruments), groups=len(self.groups))
        for slot, mark in zip(self.instruments, self.marks.values.tolist(), strict=True):
            if mark < 0 or (mark and slot.kind in ("future", "perpetual")):
                raise InputError("a mark below 0, or of a future or perpetual not 0", field=slot.id)
        if not set(self.group_of) == set(range(len(self.groups))):
            raise InputError("a risk group without an instrument", field="groups")
        sizes: dict[str, Any] = {
            "group_of": self.group_of,
            "groups": len(self.groups),
            "assets": len(self.collateral),
        }
        for part in self.components:
            try:
                part.check(**sizes)
            except InputError as error:
                raise InputError(error.reason, field=f"{part.type}.{error.field or ''}".rstrip(".")) from None
        self._check_universe()
        self._check_coverage()
        self._check_extent([part.extent(**sizes) for part in self.components])
        return self

    def _check_universe(self) -> None:
        """Listings in order, within the capacity; what is retired counts for nothing. Raises InputError."""
        kinds: tuple[tuple[str, Sequence[InstrumentSlot | CollateralSlot], int], ...] = (
            ("instruments", self.instruments, self.layout.position_capacity),
            ("collateral", self.collateral, self.layout.collateral_capacity),
        )
        for what, slots, capacity in kinds:
            listings = [slot.listed for slot in slots]
            if listings != sorted(listings):
                raise InputError("a slot of an earlier listing behind one of a later", field=what)
            if self.universe is None and (capacity or any(listings) or any(slot.retired for slot in slots)):
                raise InputError("listings, retired slots and a capacity belong to a universe", field=what)
            if self.universe is not None and len(slots) > capacity:
                raise InputError(f"{len(slots)} slots, more than the universe's capacity of {capacity}", field=what)
        if self.universe is None and (self.carried):
            raise InputError("carried quotes belong to a universe", field="carried")
        retired = np.array([slot.retired for slot in self.instruments], dtype=bool)
        if retired.any():
            for field, array in (("marks", self.marks), ("deltas", self.deltas)):
                if array.values[retired].any():
                    raise InputError("a retired slot is worth nothing", field=field)
            for part in self.components:
                for name, absent in part.BY_SLOT.items():
                    own = getattr(part, name)
                    if own is not None and np.any(own.values[retired] != absent):
                        raise InputError("a retired slot has no part in it", field=f"{part.type}.{name}")

    def retired_slots(self, role: str) -> tuple[int, ...]:
        """The slots of a role that were delisted, ascending."""
        slots = [s.retired for s in self.instruments] if role == "positions" else [s.retired for s in self.collateral]
        return tuple(place for place, retired in enumerate(slots) if retired)

    def refuse_retired(self, what: str) -> None:
        """Raises InputError where a slot is retired: for arguments that force no listed slot to zero."""
        if self.retired_slots("positions") or self.retired_slots("collateral"):
            raise InputError(
                f"has retired slots, which {what} does not force to zero",
                field="instruments",
                hint=Hint.NEW_UNIVERSE,
            )

    def segments(self, role: str) -> int:
        """Columns of ``domain_size`` rows, one of them without a slot, that a role's slots and spare ones take."""
        slots: Sequence[object] = self.instruments if role == "positions" else self.collateral
        spare = self.layout.position_capacity if role == "positions" else self.layout.collateral_capacity
        return max(1, -(-max(len(slots), spare) // (self.layout.domain_size - 1)))

    def _check_extent(self, extents: Sequence[Extent]) -> None:
        groups, assets = len(self.groups), len(self.collateral)
        rows = sum(extent.rows for extent in extents)
        terms = sum(extent.terms for extent in extents) + groups**2 + assets**2
        for what, most, found in (
            ("rows of coefficients", MAX_ROWS, rows),
            ("coefficients", MAX_CELLS, rows * len(self.instruments)),
            ("terms", MAX_TERMS, terms),
        ):
            if found > most:
                raise InputError(f"a circuit of {found} {what}, more than {most}", field="components")

    def _collateral_bits(self) -> list[tuple[str, int]]:
        return [(f"asset {slot.asset} bits", slot.bits) for slot in self.collateral]

    def _check_coverage(self) -> None:
        for name in REQUIREMENTS:
            if not any(part.RISK and part.applies_to(name) for part in self.components):
                raise InputError(f"no scenarios for the {name} requirement", field="components")
        if sum(isinstance(part, PublishedHaircuts) for part in self.components) != 1:
            raise InputError("exactly one component says what collateral counts for", field="components")
        for part in self.components:
            for joint in part.joint_groups:
                if joint in self.groups:
                    raise InputError(f'"{joint[:40]}" is a risk group of its own already', field=part.type)

    def check_loaded(self) -> None:
        """Check the snapshot against its own policy: everything of it that follows without a market.

        That is the names of the components, their order, what ``PolicyPart.implied`` gives (labels, rates, modes,
        scales, what collateral counts for at its price), and the terms of the collateral. The prices and the arrays
        are not checked: ``check_snapshot`` rebuilds them.

        Raises:
            InputError: names what contradicts the policy.
        """
        policy, digit = self.policy, self.layout.digit_bits
        if self.name != f"{policy.name} {self.time}":
            raise InputError("not the policy's name and the time", field="name")
        if self.layout.range_proved != policy.layout.range_proved:
            raise InputError("not what the policy says", field="layout.range_proved")
        if self.groups != tuple(dict.fromkeys(slot.underlying for slot in self.instruments)):
            raise InputError("not the underlyings in order of first appearance", field="groups")
        for slot in self.collateral:
            terms = policy.haircuts.terms(slot.asset)
            bits = whole_digits(terms.bits or policy.layout.collateral_bits, digit)
            if (slot.bits, slot.negative_allowed) != (bits, terms.negative_allowed):
                raise InputError("its bound or sign is not the policy's", field=f"asset {slot.asset}")
        self._check_components()

    def _check_components(self) -> None:
        """Each component is published by one of the policy, in its order; parts that may be silent can be missing."""
        # Imported arrays have no sensitivities, and may hold no charge for an option.
        imported = self.sensitivities is None
        kinds = frozenset() if imported else self._kinds_alive()
        prices = {slot.asset: slot.price for slot in self.collateral}
        listed = len(self.components) - self._check_stress_charge()
        reached = {0}  # how many components the parts so far may have published
        blamed: dict[int, str] = {}
        for part in self.policy.components:
            if imported and not part.IMPORTABLE:
                raise InputError("no sensitivities, but a component that imported arrays do not allow", field=part.type)
            wrong = {place: self._contradiction(part, place, prices) for place in reached}
            blamed = {place: field for place, field in wrong.items() if field is not None and "." in field} | blamed
            after = {place + 1 for place, field in wrong.items() if field is None}
            if part.may_be_silent(kinds):
                after |= reached
            if not after:
                place = max(reached)
                raise InputError("not what the policy says", field=blamed.get(place, wrong[place]))
            reached = after
        if listed not in reached:
            place = max(reached)
            raise InputError("not what the policy says", field=blamed.get(place, self.components[place].type))

    def _check_stress_charge(self) -> int:
        """How many components stand behind the policy's: one, the charge on what is carried at a stressed vol."""
        if not any(quote.method == "stressed" for quote in self.carried):
            return 0
        if not self.components or not is_stress_charge(self.components[-1], self.groups):
            raise InputError("no charge on what is carried at a stressed vol", field="components")
        return 1

    def _kinds_alive(self) -> frozenset[Kind]:
        """The kinds of instrument that have not expired: what the policy's components are about."""
        now = parse_time(self.time)
        return frozenset(
            s.kind for s in self.instruments if not s.retired and (s.expiry is None or parse_time(s.expiry) > now)
        )

    def _contradiction(self, part: PolicyPart, place: int, prices: Mapping[str, int]) -> str | None:
        """The field in which a component is not what a part of the policy publishes."""
        published = self.components[place] if place < len(self.components) else None
        kind = part.PUBLISHES or part.type
        if published is None or published.type != kind:
            return kind
        implied = part.implied(self.groups, prices).items()
        return next((f"{kind}.{name}" for name, value in implied if getattr(published, name) != value), None)

    def factor_bp(self, requirement: str) -> int:
        """The factor of a requirement in basis points: the policy's, times public multipliers, rounded up.

        Raises:
            InputError: an unknown requirement.
        """
        factor = Fraction(self.policy.factor_bp(requirement))
        for part in self.components:
            factor *= Fraction(part.multiplier_bp(requirement), SCALE_BP)
        return math.ceil(factor)

    @cached_property
    def group_of(self) -> tuple[int, ...]:
        """[N] the group of each instrument slot."""
        return tuple(slot.group for slot in self.instruments)


def whole_digits(bits: int, digit: int) -> int:
    """A bound in bits, rounded up to whole digits. Raises InputError past what a 64-bit integer with sign holds."""
    rounded = -(-bits // digit) * digit
    if rounded > MAX_COMMITTED_BITS:
        raise InputError(
            f"a bound of {bits} bits takes {rounded} bits of whole digits, at most {MAX_COMMITTED_BITS}",
            field="layout",
            hint=f"ask for at most {MAX_COMMITTED_BITS // digit * digit} bits with digits of {digit}",
        )
    return rounded


def _refuse_twice(field: str, names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        raise InputError("a name appears twice", field=field)
