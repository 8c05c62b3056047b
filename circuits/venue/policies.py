"""Policies that need the circuit of a whole account: any components whose equations are linear.

A gain of one risk group that offsets a loss of another, a credit between commodities, a charge on gross size: such
rules join groups, so an account has one slot with all its positions, and the equations are those of docs/circuit.md,
written in the venue's digits. What differs from a proof of one account is

* where digits stand, and their base 2^k;
* ranges of rows: a block has few legs, so a row reaches ``lots`` times its largest coefficient, not the sum over
  all instruments. Widths of integers are for books whose losses fit the class's charge bits; that no equation wraps
  around the field is checked with all lots that digits admit. A narrower integer only refuses books;
* balances of a block have no commitment: ``held - owed`` is the balance;
* the claim, which is the venue's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from zkmargin.circuits.encoders import encode
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.hints import Largest
from zkmargin.circuits.language.system import (
    DENSE_KINDS,
    MAX_FORM,
    Bounds,
    DenseKind,
    Equation,
    Form,
    Int64Array,
    System,
)
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.components import PublishedPart
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError

#: The rule of the equations that say what a committed balance is: a block has no commitment.
BALANCE_RULE = "collateral bound"
#: Components that multiply positions.
NOT_LINEAR = ("delta_norm",)


@dataclass(frozen=True)
class RowTerm:
    """``coefficient`` times row ``row`` of the matrix of one side stands in equation ``exponent``."""

    kind: DenseKind
    row: int
    exponent: int
    coefficient: int


class BlockSystem(System):
    """The circuit of a block account.

    Args:
        expected: how many lots all legs hold together, as far as the widths of integers go.
        layout: as for every system.
    """

    def __init__(self, expected: int, **layout: Any) -> None:
        self.expected = expected
        super().__init__(**layout)

    def row_bounds(self, kind: DenseKind, coefficients: Int64Array) -> Bounds:
        """Between all expected lots in the worst instrument and all of them in the best."""
        return _reach(kind, coefficients, self.expected)


def _reach(kind: DenseKind, coefficients: Int64Array, lots: int) -> Bounds:
    low, high = lots * min(int(coefficients.min()), 0), lots * max(int(coefficients.max()), 0)
    return (-max(-low, high), max(-low, high)) if kind == "positions" else (low, high)


@dataclass(frozen=True, eq=False)
class AccountCircuit:
    """The equations of one account, but for its claim.

    Attributes:
        circuit: frozen, with the equations that define balances.
        balances: for each asset the indices of ``held`` and of ``owed`` (or None) among the bounded integers.
        collateral: the value of the collateral, valuation units: a form of bounded integers.
        requirement: factor included, valuation units: a form of bounded integers.
        lots: of a block what all legs can hold together, of a dense account None.
    """

    circuit: Circuit
    balances: tuple[tuple[int, int | None], ...]
    collateral: Form
    requirement: Form
    lots: int | None

    @cached_property
    def equations(self) -> tuple[Equation, ...]:
        """Those that the proof has a power of rho for: all but the definitions of balances."""
        return tuple(equation for equation in self.circuit.equations if equation.rule != BALANCE_RULE)

    def row_terms(self) -> tuple[RowTerm, ...]:
        """The public rows in the equations."""
        return tuple(
            RowTerm(kind, row, exponent, coefficient)
            for exponent, equation in enumerate(self.equations)
            for (kind, row), coefficient in sorted(equation.form.terms.items())
            if kind in DENSE_KINDS
        )

    def name_of(self, name: str) -> str:
        """What a venue calls a bounded integer: ``held 0`` for ``collateral 0 held``."""
        words = name.split(" ")
        if len(words) == 3 and words[0] == "collateral" and words[2] in ("held", "owed"):
            return f"{words[2]} {words[1]}"
        return name

    def reach(self, form: Form) -> Bounds:
        """The least and the greatest value of a form with every digit anywhere in its range."""
        low = high = form.constant
        for (kind, index), coefficient in form.terms.items():
            if kind == "bounded":
                ends = (0, (1 << (self.circuit.k * self.circuit.bounded[index].digits)) - 1)
            else:
                row = self.circuit.matrices[kind][index]  # type: ignore[index]  # no other atoms are left
                ends = self._row_reach(kind, row)  # type: ignore[arg-type]
            low += coefficient * ends[coefficient < 0]
            high += coefficient * ends[coefficient > 0]
        return low, high

    def _row_reach(self, kind: DenseKind, row: Int64Array) -> Bounds:
        if self.lots is not None:
            return _reach(kind, row, self.lots)
        low, high = (sum(row[side].tolist()) * self.circuit.position_bound for side in (row < 0, row > 0))
        return (low - high, high - low) if kind == "positions" else (low, high)


@dataclass(frozen=True, eq=False)
class AccountPolicy:
    """A snapshot's policy as the equations of a whole account.

    Raises:
        InputError: a component that a venue proof does not have, by its name.
    """

    snapshot: Snapshot
    requirement: str

    def __post_init__(self) -> None:
        if self._shared.circuit.gates:
            raise InputError(
                f"a venue proof does not have {next(p.type for p in self._parts if p.type in NOT_LINEAR)}",
                field="policy",
                hint="venue/v1 proves every component whose equations are linear: this one multiplies positions",
            )

    @cached_property
    def _parts(self) -> list[PublishedPart]:
        return [part for part in self.snapshot.components if part.applies_to(self.requirement)]

    @cached_property
    def largest_loss(self) -> int:
        """The greatest absolute value in the components' risk arrays, at least 1; money units.

        Where none has such an array, that of all rows of net positions.
        """
        arrays = [part.risk.values for part in self._parts if hasattr(part, "risk")]
        return max(1, *(int(np.abs(array).max(initial=0)) for array in arrays or [self.matrices["positions"]]), 1)

    # --- what all circuits of the policy share ------------------------------------------------------------

    @cached_property
    def _shared(self) -> AccountCircuit:
        layout = self.snapshot.layout
        return self._of(self._wide(layout.domain_size.bit_length() - 1, layout.position_bits), None)

    @property
    def equations(self) -> int:
        """How many equations an account has, but for the claim."""
        return len(self._shared.equations)

    @property
    def matrices(self) -> Mapping[DenseKind, Int64Array]:
        """The public rows, int64 [rows, N] for each side."""
        return self._shared.circuit.matrices

    @cached_property
    def row_terms(self) -> tuple[RowTerm, ...]:
        """Which row stands in which equation."""
        return self._shared.row_terms()

    # --- circuits -----------------------------------------------------------------------------------------

    def of_block(self, *, digit_bits: int, position_bits: int, lots: int, charge_bits: int) -> AccountCircuit:
        """The circuit of a block account.

        Args:
            digit_bits: k.
            position_bits: of a side of a leg.
            lots: what all legs can hold together.
            charge_bits: losses are expected below 2^charge_bits, money units.

        Raises:
            InputError: an equation that could wrap around the field.
        """
        expected = max(1, min(lots, (1 << charge_bits) // self.largest_loss))
        system = BlockSystem(expected, **self._layout(digit_bits, position_bits))
        return self._checked(self._of(system, lots))

    def of_dense(self, *, digit_bits: int, position_bits: int) -> AccountCircuit:
        """The circuit of a dense account. Raises InputError."""
        return self._checked(self._of(self._wide(digit_bits, position_bits), None))

    def _layout(self, digit_bits: int, position_bits: int) -> dict[str, Any]:
        return {
            "n": 1 << digit_bits,
            "position_count": len(self.snapshot.instruments),
            "position_bits": position_bits,
            "range_proved": True,
            "collateral": [(slot.bits, slot.negative_allowed) for slot in self.snapshot.collateral],
        }

    def _wide(self, digit_bits: int, position_bits: int) -> System:
        return System(**self._layout(digit_bits, position_bits))

    def _of(self, system: System, lots: int | None) -> AccountCircuit:
        snapshot = self.snapshot
        group_of = np.array(snapshot.group_of, dtype=np.int64)
        worthless = np.zeros(len(group_of), dtype=np.int64)  # marks stand in the venue's claim, not here
        requirement = Requirement(system, tuple(snapshot.groups), group_of, worthless)
        for part in self._parts:
            encode(part, requirement)
        amount = requirement.amount(snapshot.factor_bp(self.requirement))
        if any(kind in DENSE_KINDS for kind, _ in amount.terms):  # the claim reads no rows but the marks
            bound = system.integer("requirement", system.bounds(amount)[1], Largest(amount, 0))
            system.at_least_zero("requirement", "requirement", bound - amount)
            amount = bound
        balances: list[tuple[int, int | None]] = []
        for slot in snapshot.collateral:
            last = -1 if not balances else max(x for x in balances[-1] if x is not None)
            balances.append((last + 1, last + 2 if slot.negative_allowed else None))
        circuit = Circuit.freeze(system, len(snapshot.collateral))
        return AccountCircuit(circuit, tuple(balances), requirement.equity, amount, lots)

    def _checked(self, account: AccountCircuit) -> AccountCircuit:
        for equation in account.equations:
            low, high = account.reach(equation.form)
            if max(-low, high) >= MAX_FORM:
                raise InputError(
                    f"{equation.rule}, {equation.name}: a value of {max(-low, high).bit_length()} bits could wrap "
                    "around the field",
                    hint="use fewer position bits, larger lots or fewer legs",
                )
        same = account.row_terms() == self.row_terms and all(
            np.array_equal(account.circuit.matrices[kind], self.matrices[kind]) for kind in DENSE_KINDS
        )
        if not same or account.collateral.constant or account.requirement.constant:
            raise InputError("its equations are not the same for all accounts: no venue proof has them", field="policy")
        return account
