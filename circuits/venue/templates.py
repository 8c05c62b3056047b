"""Where everything of an account stands: a block of B rows of a column set, or the columns of a dense account."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from zkmargin.circuits.venue.classes import MAX_CHARGE_BITS, BlockClass, Options, Ratio, headroom_of
from zkmargin.circuits.venue.integers import (
    AccountIntegers,
    AccountShape,
    Exponents,
    Term,
    account_integers,
    circuit_integers,
    digits_for,
)
from zkmargin.circuits.venue.policies import AccountCircuit
from zkmargin.circuits.venue.rules import VenueRules
from zkmargin.crypto.segments import segments


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

    @property
    def lots(self) -> int:
        """Lots that the legs of a slot can hold together."""
        return self.V * self.row_legs * self.position_bound

    @cached_property
    def account(self) -> AccountCircuit | None:
        """The circuit of one account, where the policy needs one. Raises InputError."""
        policy = self.rules.policy
        if policy is None:
            return None
        return policy.of_block(
            digit_bits=self.options.digit_bits,
            position_bits=self.spec.position_bits,
            lots=self.lots,
            charge_bits=self.spec.charge_bits,
        )

    @cached_property
    def integers(self) -> AccountIntegers:
        """The bounded integers of a block. Raises InputError."""
        rules, slots, lots = self.rules, self.spec.slots, self.lots
        if self.account is not None:
            value = lots * rules.largest_mark
            return circuit_integers(self.account, rules, self.options, self.spec.ratio, self.headroom, value)
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


@dataclass(frozen=True, eq=False)
class DenseTemplate:
    """A large account: committed positions and balances, the positions' digits row by row, packed cells.

    Digit columns of its own: for segment s, column ``2 D s + d`` holds digit d of the long side of the slots in it and
    ``2 D s + D + d`` of the short side. Its packed cells stand in columns that accounts share: a statement says where.
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
        value = bound * sum(map(abs, rules.marks.tolist()))
        if self.account is None:
            made = self._by_groups(value)
        else:
            made = circuit_integers(self.account, rules, self.options, self.claim, self.headroom, value)
        e = Exponents(rules.scenario_columns, rules.assets, self.options.copies)
        bounds = []  # c_j - held_j + owed_j = 0: the committed balance is what the cells say
        for j in range(rules.assets):
            bounds.append(Term(made.index(f"held {j}"), "account", 0, e.balance(j), -1))
            if rules.owed[j]:
                bounds.append(Term(made.index(f"owed {j}"), "account", 0, e.balance(j), 1))
        return AccountIntegers(made.bounded, (*made.terms, *bounds), made.big, made.constants)

    @cached_property
    def account(self) -> AccountCircuit | None:
        """The circuit of one account, where the policy needs one. Raises InputError."""
        policy = self.rules.policy
        if policy is None:
            return None
        return policy.of_dense(digit_bits=self.options.digit_bits, position_bits=self.position_bits)

    def _by_groups(self, value: int) -> AccountIntegers:
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
            value=value,
            claim=self.claim,
            headroom=self.headroom,
        )
        return account_integers(rules, self.options, shape)

    @property
    def position_columns(self) -> int:
        """Digit columns of the account's own."""
        return 2 * self.position_digits * self.segments

    @property
    def cells(self) -> int:
        """Packed cells: the digits of its bounded integers."""
        return self.integers.starts[-1]

    def cell_terms(self) -> Iterator[tuple[int, Term, int]]:
        """(packed cell, term, weight 2^(kd) of its digit) for every cell that a term reads."""
        for term in self.integers.terms:
            start = self.integers.starts[term.integer]
            for d in range(self.integers.bounded[term.integer].digits):
                yield start + d, term, 1 << (self.options.digit_bits * d)


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
