"""The bounded integers of an account, and what they are multiplied by in which equation.

    slot family      equations of one group slot: scenarios, short minimum, copies of the group; all but the claim of
                     an account that has a circuit of its own
    account family   equations of one account: the claim, the bit of an exemption, balances
    plain family     sums over all accounts: how many are exempt, shortfalls, totals, unread cells

It is public and small; values are never here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from zkmargin.circuits.language.system import MAX_FORM
from zkmargin.circuits.venue.classes import Options, Ratio
from zkmargin.circuits.venue.policies import AccountCircuit
from zkmargin.circuits.venue.rules import VenueRules
from zkmargin.engine.components import SCALE_BP
from zkmargin.formats import InputError

Family = Literal["slot", "account", "plain"]


@dataclass(frozen=True)
class Exponents:
    """Which power of rho belongs to which equation (docs/protocol-venue.md section 3).

    ``scenario_columns`` is S, or the number of equations of an account's circuit.
    """

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

    Attributes:
        bounded: the integers.
        terms: what they are multiplied by.
        big: what an exempt account's claim is lifted by (0 without exemptions).
        constants: (exponent, constant) of the equations of the slot family that have one.
    """

    bounded: tuple[Bounded, ...]
    terms: tuple[Term, ...]
    big: int
    constants: tuple[tuple[int, int], ...] = ()

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
    for charge in charges:
        made.term(charge, "account", e.claim, -requirement)
    for j in range(rules.assets):
        made.term(held[j], "account", e.claim, den * rules.long_value[j])
        if j in owed:
            made.term(owed[j], "account", e.claim, -den * rules.short_value[j])
    return AccountIntegers(*_with_claim(made, options, e, lower, upper))


def circuit_integers(
    account: AccountCircuit, rules: VenueRules, options: Options, claim: Ratio | None, headroom: int, value: int
) -> AccountIntegers:
    """The integers and terms of an account that has a circuit of its own.

    Args:
        account: its circuit, without a claim.
        rules: the snapshot's policy.
        options: of the statement.
        claim: num : den, or None.
        headroom: what equity exceeds the claimed multiple by at least, valuation units.
        value: the largest absolute value that all positions together can have, money units.

    Raises:
        InputError: an equation that could wrap around the field.
    """
    e = Exponents(rules.scenario_columns, rules.assets, options.copies)
    made = _Integers()
    for bounded in account.circuit.bounded:
        made.integer(account.name_of(bounded.name), bounded.digits)
    constants = []
    for exponent, equation in enumerate(account.equations):
        for (kind, v), coefficient in equation.form.terms.items():
            if kind == "bounded":
                made.term(v, "slot", exponent, coefficient)
        if equation.form.constant:
            constants.append((exponent, equation.form.constant))
    for j, (held, _) in enumerate(account.balances):
        if options.totals:
            made.term(held, "plain", e.total(j), 1)
    if claim is None:
        return AccountIntegers(tuple(made.bounded), tuple(made.terms), 0, tuple(constants))
    den = options.den
    cells = den * account.collateral - claim.num * (den // claim.den) * account.requirement
    for (_, v), coefficient in cells.terms.items():
        made.term(v, "account", e.claim, coefficient)
    low, high = account.reach(cells)
    lower, upper = den * (SCALE_BP * value + headroom) - low, den * SCALE_BP * value + high
    return AccountIntegers(*_with_claim(made, options, e, lower, upper), tuple(constants))


def _with_claim(
    made: _Integers, options: Options, e: Exponents, lower: int, upper: int
) -> tuple[tuple[Bounded, ...], tuple[Term, ...], int]:
    """Exemption, shortfall and slack of a claim between -lower and upper; what an exempt one is lifted by."""
    k, den, big = options.digit_bits, options.den, 0
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
    return tuple(made.bounded), tuple(made.terms), big


def _check_form(bound: int, name: str) -> None:
    if bound >= MAX_FORM:
        raise InputError(
            f"{name}: a value of {bound.bit_length()} bits could wrap around the field",
            hint="use fewer position bits, larger lots or fewer legs",
        )
