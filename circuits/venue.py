"""What a venue's proof asks of an account, in integers: rules from a snapshot, classes, and the cells of a block.

A small account is a *block* of B rows of a column set; a large one is *dense*, with today's committed columns. Both
satisfy the same public linear equations over bounded non-negative integers (docs/protocol-venue.md section 3); what
differs is where the integers stand. A *template* lists, once for all accounts of a class, which cell is multiplied by
what in which equation:

    slot family      equations of one group slot: scenarios, short minimum, copies of the group
    account family   equations of one account: the claim, the bit of an exemption, balances
    plain family     sums over all accounts: how many are exempt, shortfalls, totals, unread cells

It is public and small; values are never here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, StringConstraints, model_validator

from zkmargin.circuits.language.system import MAX_FORM
from zkmargin.crypto.segments import segments
from zkmargin.engine.claims import VALUATION_DECIMALS, Claim
from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.components.factors import PublishedFactors
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.short_option_minimum import PublishedShortOptionMinimum
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.limits import Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, Model, PlainName, Seq, Since

Int64Array = npt.NDArray[np.int64]
Family = Literal["slot", "account", "plain"]

MAX_LEGS = 64
MAX_SLOTS = 16
MAX_BLOCK = 64
MAX_ACCOUNTS = 1 << 24
MAX_CHARGE_BITS = 62


@dataclass(frozen=True, eq=False)
class VenueRules:
    """A snapshot's policy as the integers that a venue proof reads. N instruments, M assets, S scenario columns.

    Attributes:
        requirement: ``initial`` or ``maintenance``.
        groups: number of risk groups.
        group_of: [N] the group of each instrument.
        risk: int64 [N, S] P&L of one lot in each scenario of its group, money units; 0 beyond a group's own.
        scenarios: [groups] how many scenarios each group has.
        minimum: int64 [N] charge of one short lot, money units, or None where the policy has no short minimum.
        marks: int64 [N] value of one lot, money units.
        long_value, short_value: [M] valuation units credited for a lot held, debited for one owed.
        balance_bits: [M] bound of each balance.
        owed: [M] whether a balance may be negative.
        factor_bp: the requirement's factor, basis points.
    """

    requirement: str
    groups: int
    group_of: tuple[int, ...]
    risk: Int64Array
    scenarios: tuple[int, ...]
    minimum: Int64Array | None
    marks: Int64Array
    long_value: tuple[int, ...]
    short_value: tuple[int, ...]
    balance_bits: tuple[int, ...]
    owed: tuple[bool, ...]
    factor_bp: int

    @property
    def instruments(self) -> int:
        """N."""
        return len(self.group_of)

    @property
    def assets(self) -> int:
        """M."""
        return len(self.long_value)

    @property
    def scenario_columns(self) -> int:
        """S."""
        return int(self.risk.shape[1])

    @property
    def largest_loss(self) -> int:
        """The most that one lot can lose in a scenario, or costs at least when sold short; money units."""
        charges = [0] if self.minimum is None else self.minimum.tolist()
        return max(int(np.abs(self.risk).max(initial=0)), *charges, 0)

    @property
    def largest_mark(self) -> int:
        """The largest value of one lot, money units."""
        return int(np.abs(self.marks).max(initial=0))

    @classmethod
    def of(cls, snapshot: Snapshot, requirement: str) -> VenueRules:
        """The rules of a snapshot.

        Raises:
            InputError: a component that a venue proof does not have, by name.
        """
        snapshot.refuse_retired("a venue proof")
        risk: PublishedWorstScenario | None = None
        minimum: PublishedShortOptionMinimum | None = None
        haircuts: PublishedHaircuts | None = None
        for part in snapshot.components:
            if not part.applies_to(requirement) or isinstance(part, PublishedFactors):
                continue
            if isinstance(part, PublishedWorstScenario) and risk is None:
                risk = part
            elif isinstance(part, PublishedShortOptionMinimum) and minimum is None and part.strikes is None:
                if part.mode != "floor":
                    raise _outside(f'short_option_minimum in mode "{part.mode}"')
                minimum = part
            elif isinstance(part, PublishedHaircuts) and not part.tiers:
                haircuts = part
            else:
                raise _outside(_described(part))
        if risk is None or haircuts is None:
            raise _outside("a policy without worst scenarios and haircuts")
        return cls(
            requirement=requirement,
            groups=len(snapshot.groups),
            group_of=snapshot.group_of,
            risk=np.ascontiguousarray(risk.risk.values),
            scenarios=tuple(len(labels) for labels in risk.scenarios),
            minimum=None if minimum is None else np.ascontiguousarray(minimum.charge.values),
            marks=np.ascontiguousarray(snapshot.marks.values),
            long_value=tuple(haircuts.long_value.values.tolist()),
            short_value=tuple(haircuts.short_value.values.tolist()),
            balance_bits=tuple(slot.bits for slot in snapshot.collateral),
            owed=tuple(slot.negative_allowed for slot in snapshot.collateral),
            factor_bp=snapshot.factor_bp(requirement),
        )


def _described(part: object) -> str:
    name = str(getattr(part, "type", "component"))
    if isinstance(part, PublishedShortOptionMinimum) and part.strikes is not None:
        return f"{name} per strike"
    return f"{name} with tiers" if isinstance(part, PublishedHaircuts) else name


def _outside(what: str) -> InputError:
    return InputError(
        f"a venue proof does not have {what}",
        field="policy",
        hint="venue/v1 proves worst scenarios, a short option minimum per contract, haircuts and factors",
    )


RatioText = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,4}(/[1-9][0-9]{0,4})?$")]


@dataclass(frozen=True)
class Ratio:
    """num : den in lowest terms."""

    num: int
    den: int

    @classmethod
    def parse(cls, text: str) -> Ratio:
        """Read a claim's ratio. Raises InputError."""
        claim = Claim.parse(text)
        return cls(claim.num, claim.den)

    def __str__(self) -> str:
        return str(self.num) if self.den == 1 else f"{self.num}/{self.den}"


#: Limits of a class or of a large account (engine/limits.py), in canonical text.
Limits = Annotated[Seq[Annotated[str, Field(max_length=400)]], Since(2), Field(max_length=1)]


def headroom_of(limits: Sequence[str], claim: str | None) -> int:
    """By how much equity exceeds the claimed multiple of the requirement at least, valuation units.

    Raises:
        InputError: a limit that venue proofs do not have, by its kind, one that is not in canonical text, or one of
            accounts of which nothing is claimed.
    """
    headroom = 0
    for text in limits:
        limit = Limit.parse(text)
        if limit.kind != "headroom":
            raise InputError(f"{limit.kind}: venue proofs have no such limit", field="limits")
        if str(limit) != text:
            raise InputError(f"not in canonical text: {limit}", field="limits")
        if claim is None:
            raise InputError("a limit where nothing is claimed", field="limits")
        headroom = -(-limit.bound * 10**VALUATION_DECIMALS // 1)
    return headroom


class BlockClass(Model):
    """A class of small accounts: how many, how large each may be, and what is claimed of each.

    Attributes:
        name: of the class, for people.
        accounts: M_c, the number of accounts (pad with empty ones to hide it).
        legs: L, positions that a group slot holds at most.
        slots: K, group slots of an account.
        block: B, rows of a block: a power of two.
        position_bits: each side of a leg is below 2^(whole digits of this).
        charge_bits: charges of a slot, and slacks beside them, are below 2^(whole digits of this), money units.
        claim: equity : requirement, ``"1"`` or ``"5/4"``; None where nothing is claimed of the class: its accounts
            count in net positions and totals only.
        limits: further claims of each account, in canonical text: ``headroom >= X`` alone.
    """

    name: PlainName = Field(min_length=1, max_length=100)
    accounts: int = Field(ge=1, le=MAX_ACCOUNTS)
    legs: int = Field(ge=1, le=MAX_LEGS)
    slots: int = Field(ge=1, le=MAX_SLOTS)
    block: int = Field(ge=1, le=MAX_BLOCK)
    position_bits: int = Field(ge=1, le=60)
    charge_bits: int = Field(ge=1, le=MAX_CHARGE_BITS)
    claim: RatioText | None = "1"
    limits: Limits = ()

    @model_validator(mode="after")
    def _check(self) -> BlockClass:
        headroom_of(self.limits, self.claim)
        if self.block & (self.block - 1):
            raise InputError("not a power of two", field="block")
        if self.slots > self.block:
            raise InputError(f"{self.slots} slots do not fit a block of {self.block} rows", field="block")
        if self.claim is not None and str(self.ratio) != self.claim:
            raise InputError("not in lowest terms", field="claim")
        return self

    @property
    def ratio(self) -> Ratio | None:
        """The claim as two integers, or None."""
        return None if self.claim is None else Ratio.parse(self.claim)


@dataclass(frozen=True)
class Options:
    """What a statement adds to the claims, as far as templates depend on it (docs/protocol-venue.md section 2).

    Attributes:
        digit_bits: k, every bounded integer is written in base 2^k.
        den: DEN, the least common multiple of all claims' denominators.
        exempt: whether accounts may be marked as exempt.
        cap: the cap on all shortfalls together, valuation units, or None.
        totals: whether the totals of held balances are public.
        copies: the largest V of all classes: how many rows may repeat a group.
    """

    digit_bits: int
    den: int
    exempt: bool
    cap: int | None
    totals: bool
    copies: int


@dataclass(frozen=True)
class Exponents:
    """Which power of rho belongs to which equation (docs/protocol-venue.md section 4)."""

    scenario_columns: int
    assets: int
    copies: int

    @property
    def minimum(self) -> int:
        """The short minimum; scenarios are 0 .. S - 1."""
        return self.scenario_columns

    def copy(self, v: int) -> int:
        """Row v = 1 .. V - 1 of a slot repeats its group."""
        return self.scenario_columns + v

    @property
    def claim(self) -> int:
        """Equity against requirement."""
        return self.scenario_columns + self.copies

    @property
    def bit(self) -> int:
        """u + u' = 1."""
        return self.claim + 1

    @property
    def exempt(self) -> int:
        """The sum of all u."""
        return self.claim + 2

    @property
    def cap(self) -> int:
        """The sum of all shortfalls."""
        return self.claim + 3

    @property
    def unused(self) -> int:
        """The sum of all unread digit cells is 0."""
        return self.claim + 4

    def total(self, j: int) -> int:
        """The sum of all held balances of asset j."""
        return self.claim + 5 + j

    def balance(self, j: int) -> int:
        """A dense account's committed balance j is held - owed."""
        return self.claim + 5 + self.assets + j

    @property
    def range(self) -> int:
        """The range lookup."""
        return self.claim + 5 + 2 * self.assets

    @property
    def weighted(self) -> int:
        """The weighted lookup of legs: the last."""
        return self.range + 1


@dataclass(frozen=True)
class Bounded:
    """A bounded integer of an account: 0 <= x < 2^(k digits)."""

    name: str
    digits: int


@dataclass(frozen=True)
class Term:
    """``coefficient * (family weight) * rho^exponent`` times bounded integer ``integer``.

    The family weight is Gs of ``slot`` (for a dense account: of the group), Ga of the account, or 1.
    """

    integer: int
    family: Family
    slot: int
    exponent: int
    coefficient: int


class _Integers:
    """Collects bounded integers and what they are multiplied by."""

    def __init__(self) -> None:
        self.bounded: list[Bounded] = []
        self.terms: list[Term] = []

    def integer(self, name: str, digits: int) -> int:
        self.bounded.append(Bounded(name, digits))
        return len(self.bounded) - 1

    def term(self, integer: int, family: Family, exponent: int, coefficient: int, slot: int = 0) -> None:
        self.terms.append(Term(integer, family, slot, exponent, coefficient))


def digits_for(bits: int, digit_bits: int) -> int:
    """Whole digits that hold so many bits; at least one."""
    return max(1, -(-bits // digit_bits))


@dataclass(frozen=True)
class AccountShape:
    """What decides the integers of an account, be it a block or dense.

    Attributes:
        scenarios: for each slot its number of scenarios.
        losses: for each slot the most that its positions can lose, money units.
        charge_digits: for each slot the digits of its charge and of the slacks beside it.
        value: the largest absolute value that all positions together can have, money units.
        claim: num : den, or None.
        headroom: what equity exceeds that by at least, valuation units.
    """

    scenarios: tuple[int, ...]
    losses: tuple[int, ...]
    charge_digits: tuple[int, ...]
    value: int
    claim: Ratio | None
    headroom: int


@dataclass(frozen=True)
class AccountIntegers:
    """The bounded integers of an account in the order of their cells, and the terms that read them.

    ``big`` is what an exempt account's claim is lifted by (0 without exemptions).
    """

    bounded: tuple[Bounded, ...]
    terms: tuple[Term, ...]
    big: int

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The first cell of each integer, and the number of all cells."""
        starts = [0]
        for x in self.bounded:
            starts.append(starts[-1] + x.digits)
        return tuple(starts)

    def index(self, name: str) -> int:
        """The number of the integer with this name. Raises ValueError."""
        return [x.name for x in self.bounded].index(name)


def account_integers(rules: VenueRules, options: Options, shape: AccountShape) -> AccountIntegers:
    """The integers and terms of an account.

    Raises:
        InputError: an equation that could wrap around the field.
    """
    k, e = options.digit_bits, Exponents(rules.scenario_columns, rules.assets, options.copies)
    made, slots = _Integers(), range(len(shape.scenarios))
    charge_tops = [(1 << (k * digits)) - 1 for digits in shape.charge_digits]
    for top, loss in zip(charge_tops, shape.losses, strict=True):
        _check_form(2 * top + loss, "charge")

    charges = [made.integer(f"charge {s}", shape.charge_digits[s]) for s in slots]
    for s in slots:
        for j in range(shape.scenarios[s]):
            made.term(charges[s], "slot", j, 1, s)
            slack = made.integer(f"slack {s} {j}", shape.charge_digits[s])
            made.term(slack, "slot", j, -1, s)
        if rules.minimum is not None:
            made.term(charges[s], "slot", e.minimum, 1, s)
            slack = made.integer(f"slack {s} minimum", shape.charge_digits[s])
            made.term(slack, "slot", e.minimum, -1, s)

    held_top = owed_top = 0
    held, owed = [], {}
    for j in range(rules.assets):
        digits = digits_for(rules.balance_bits[j], k)
        held.append(made.integer(f"held {j}", digits))
        held_top += rules.long_value[j] * ((1 << (k * digits)) - 1)
        if options.totals:
            made.term(held[j], "plain", e.total(j), 1)
        if rules.owed[j]:
            owed[j] = made.integer(f"owed {j}", digits)
            owed_top += rules.short_value[j] * ((1 << (k * digits)) - 1)
    if shape.claim is None:
        return AccountIntegers(tuple(made.bounded), tuple(made.terms), 0)

    # claim, over the common DEN:
    # den (sum q mark + held - owed) - num factor sum W + BIG u + den d - slack = den headroom
    den, requirement = options.den, shape.claim.num * (options.den // shape.claim.den) * rules.factor_bp
    equity_top = SCALE_BP * shape.value
    upper = den * (equity_top + held_top)
    lower = den * (equity_top + owed_top + shape.headroom) + requirement * sum(charge_tops)
    big = 0
    for charge in charges:
        made.term(charge, "account", e.claim, -requirement)
    for j in range(rules.assets):
        made.term(held[j], "account", e.claim, den * rules.long_value[j])
        if j in owed:
            made.term(owed[j], "account", e.claim, -den * rules.short_value[j])
    if options.exempt:
        big = lower
        upper += big
        bit, other = made.integer("exempt", 1), made.integer("not exempt", 1)
        made.term(bit, "account", e.bit, 1)
        made.term(other, "account", e.bit, 1)
        made.term(bit, "account", e.claim, big)
        made.term(bit, "plain", e.exempt, 1)
    if options.cap is not None:
        digits = digits_for(options.cap.bit_length(), k)
        shortfall = made.integer("shortfall", digits)
        made.term(shortfall, "account", e.claim, den)
        made.term(shortfall, "plain", e.cap, 1)
        upper += den * ((1 << (k * digits)) - 1)
    slack = made.integer("claim", digits_for(upper.bit_length(), k))
    made.term(slack, "account", e.claim, -1)
    _check_form((1 << (k * made.bounded[slack].digits)) + upper + lower + (big << k), "claim")
    return AccountIntegers(tuple(made.bounded), tuple(made.terms), big)


def _check_form(bound: int, name: str) -> None:
    if bound >= MAX_FORM:
        raise InputError(
            f"{name}: a value of {bound.bit_length()} bits could wrap around the field",
            hint="use fewer position bits, larger lots or fewer legs",
        )


@dataclass(frozen=True, eq=False)
class BlockTemplate:
    """A class of block accounts over a domain: where everything of a block stands.

    Leg l of row b has its instrument in ``id l``, its sides in the digit columns ``2 D l + d`` (long) and
    ``2 D l + D + d`` (short). Packed cell z is in packed column z div B, row z mod B of the block. Rows of block t are
    t, t + T, t + 2 T, ...: a coset.
    """

    spec: BlockClass
    rules: VenueRules
    options: Options
    n: int

    @property
    def T(self) -> int:
        """Blocks of a set."""
        return self.n // self.spec.block

    @property
    def sets(self) -> int:
        """Column sets of the class."""
        return -(-self.spec.accounts // self.T)

    @property
    def V(self) -> int:
        """Rows of a slot."""
        return self.spec.block // self.spec.slots

    @property
    def row_legs(self) -> int:
        """Legs of a row."""
        return -(-self.spec.legs // self.V)

    @property
    def position_digits(self) -> int:
        """D, digits of a side."""
        return digits_for(self.spec.position_bits, self.options.digit_bits)

    @property
    def position_bound(self) -> int:
        """Greatest value of one side of a leg."""
        return int((1 << (self.options.digit_bits * self.position_digits)) - 1)

    @cached_property
    def integers(self) -> AccountIntegers:
        """The bounded integers of a block. Raises InputError."""
        rules, slots = self.rules, self.spec.slots
        lots = self.V * self.row_legs * self.position_bound
        shape = AccountShape(
            scenarios=(rules.scenario_columns,) * slots,
            losses=(lots * rules.largest_loss,) * slots,
            charge_digits=(digits_for(self.spec.charge_bits, self.options.digit_bits),) * slots,
            value=slots * lots * rules.largest_mark,
            claim=self.spec.ratio,
            headroom=self.headroom,
        )
        return account_integers(rules, self.options, shape)

    @property
    def headroom(self) -> int:
        """What is claimed beyond the requirement, valuation units: the right side of the claim, over DEN."""
        return headroom_of(self.spec.limits, self.spec.claim)

    @property
    def packed_offset(self) -> int:
        """Digit columns before the packed ones."""
        return 2 * self.position_digits * self.row_legs

    @cached_property
    def digit_columns(self) -> int:
        """Number of digit columns of a set."""
        return self.packed_offset + -(-self.integers.starts[-1] // self.spec.block)

    @property
    def opened_columns(self) -> int:
        """ids, the group and the digits: every column that is evaluated."""
        return self.row_legs + 1 + self.digit_columns

    @property
    def tag_columns(self) -> int:
        """B sets share one."""
        return -(-self.sets // self.spec.block)

    @property
    def claimed(self) -> bool:
        """Whether the class has a claim, and so counts in Qc."""
        return self.spec.claim is not None

    def cell_terms(self) -> Iterator[tuple[int, int, Term, int]]:
        """(digit column, row b of the block, term, weight 2^(kd) of the digit) for every cell that a term reads."""
        B, k, integers = self.spec.block, self.options.digit_bits, self.integers
        for term in integers.terms:
            start = integers.starts[term.integer]
            for d in range(integers.bounded[term.integer].digits):
                z = start + d
                yield self.packed_offset + z // B, z % B, term, 1 << (k * d)

    @cached_property
    def read_cells(self) -> npt.NDArray[np.bool_]:
        """bool [digit columns, B]: the cells of a used block that something reads."""
        B = self.spec.block
        read = np.zeros((self.digit_columns, B), dtype=np.bool_)
        read[: self.packed_offset, : self.spec.slots * self.V] = True
        packed = read[self.packed_offset :].reshape(-1)
        packed[: self.integers.starts[-1]] = True
        return read

    def exponents(self) -> Exponents:
        """The powers of rho."""
        return Exponents(self.rules.scenario_columns, self.rules.assets, self.options.copies)


@dataclass(frozen=True, eq=False)
class DenseTemplate:
    """A large account: committed positions and balances, their digits row by row, packed cells over n rows.

    Digit columns: for segment s, column ``2 D s + d`` holds digit d of the long side of the slots in it and ``2 D s + D
    + d`` of the short side; then the packed ones, cell z in packed column z div n, row z mod n.
    """

    rules: VenueRules
    options: Options
    n: int
    position_bits: int
    claim: Ratio | None
    headroom: int = 0

    @property
    def segments(self) -> int:
        """Columns of positions."""
        return segments(self.rules.instruments, self.n)

    @property
    def balance_segments(self) -> int:
        """Columns of balances."""
        return segments(self.rules.assets, self.n)

    @property
    def position_digits(self) -> int:
        """D, digits of a side."""
        return digits_for(self.position_bits, self.options.digit_bits)

    @property
    def position_bound(self) -> int:
        """Greatest value of one side of a position."""
        return int((1 << (self.options.digit_bits * self.position_digits)) - 1)

    @cached_property
    def integers(self) -> AccountIntegers:
        """The bounded integers of the account; slots are the risk groups. Raises InputError."""
        rules, bound = self.rules, self.position_bound
        losses = []
        for g in range(rules.groups):
            members = [i for i, group in enumerate(rules.group_of) if group == g]
            rows = [sum(map(abs, column)) for column in zip(*rules.risk[members].tolist(), strict=True)]
            charge = 0 if rules.minimum is None else sum(rules.minimum[members].tolist())
            losses.append(bound * max([*rows, charge, 0]))
        shape = AccountShape(
            scenarios=rules.scenarios,
            losses=tuple(losses),
            charge_digits=tuple(digits_for((2 * loss).bit_length(), self.options.digit_bits) for loss in losses),
            value=bound * sum(map(abs, rules.marks.tolist())),
            claim=self.claim,
            headroom=self.headroom,
        )
        made = account_integers(rules, self.options, shape)
        e = Exponents(rules.scenario_columns, rules.assets, self.options.copies)
        bounds = []  # c_j - held_j + owed_j = 0: the committed balance is what the cells say
        for j in range(rules.assets):
            bounds.append(Term(made.index(f"held {j}"), "account", 0, e.balance(j), -1))
            if rules.owed[j]:
                bounds.append(Term(made.index(f"owed {j}"), "account", 0, e.balance(j), 1))
        return AccountIntegers(made.bounded, (*made.terms, *bounds), made.big)

    @property
    def packed_offset(self) -> int:
        """Digit columns before the packed ones."""
        return 2 * self.position_digits * self.segments

    @cached_property
    def digit_columns(self) -> int:
        """Number of digit columns of the account."""
        return self.packed_offset + -(-self.integers.starts[-1] // self.n)

    def cell_terms(self) -> Iterator[tuple[int, int, Term, int]]:
        """(digit column, row, term, weight 2^(kd) of the digit) for every packed cell that a term reads."""
        for term in self.integers.terms:
            start = self.integers.starts[term.integer]
            for d in range(self.integers.bounded[term.integer].digits):
                z = start + d
                yield self.packed_offset + z // self.n, z % self.n, term, 1 << (self.options.digit_bits * d)


def default_charge_bits(rules: VenueRules, legs: int, position_bits: int, digit_bits: int) -> int:
    """Bits that hold every charge and slack that positions inside their bound can give, at most 62."""
    bound = (1 << (digit_bits * digits_for(position_bits, digit_bits))) - 1
    return min(MAX_CHARGE_BITS, max(1, (2 * legs * bound * rules.largest_loss).bit_length()))


def choose_block(candidates: Sequence[BlockTemplate]) -> BlockTemplate:
    """The template of least cost; of equals the smaller block.

    Small blocks waste no cells but make wide sets, and a prover evaluates each template's public polynomials once: that
    costs it about as much as eight sets.
    """
    return min(candidates, key=lambda t: ((t.sets + 8) * t.opened_columns + t.tag_columns, t.spec.block))


def common_denominator(classes: Sequence[BlockClass | Ratio]) -> int:
    """DEN, the least common multiple of the claims' denominators."""
    ratios = [c if isinstance(c, Ratio) else c.ratio for c in classes]
    return math.lcm(*(ratio.den for ratio in ratios if ratio is not None))


def position_segments(rules: VenueRules, n: int) -> int:
    """Rows of instruments take this many columns."""
    return segments(rules.instruments, n)
