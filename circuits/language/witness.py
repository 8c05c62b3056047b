"""The hidden side of a circuit: integers in named cells, and the debug prover that checks them.

Everything here is secret. Reprs show no numbers; ``ConstraintError`` messages do, and are for the owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.system import SIDES, Atom, Column, Int64Array
from zkmargin.crypto.exact import int_sums
from zkmargin.crypto.field import r
from zkmargin.crypto.segments import segment_rows
from zkmargin.formats.errors import ConstraintError, InputError


@dataclass(frozen=True, repr=False)
class Witness:
    """Values of every hidden integer.

    Attributes:
        positions, long, short: lots, one a position slot; an honest witness has positions = long - short.
        collateral: lots, one a collateral slot.
        bounded: values of the bounded integers.
        gates: the three wires of each product gate.
    """

    positions: tuple[int, ...]
    long: tuple[int, ...]
    short: tuple[int, ...]
    collateral: tuple[int, ...]
    bounded: tuple[int, ...]
    gates: tuple[tuple[int, int, int], ...] = ()
    # init=False: a copy with other values (dataclasses.replace) must not keep the sums of the old ones
    _sums: dict[str, list[int]] = field(default_factory=dict, init=False, compare=False)

    def value(self, circuit: Circuit, atom: Atom) -> int:
        """The integer value of one atom."""
        kind, index = atom
        if kind == "collateral":
            return self.collateral[index]
        if kind == "bounded":
            return self.bounded[index]
        if kind in ("A", "B", "C"):
            return self.gates[index]["ABC".index(kind)]
        return _dense_sums(circuit, self._sums, kind, getattr(self, kind))[index]

    def columns(self, circuit: Circuit) -> dict[Column, Int64Array | list[int]]:
        """The committed, digit and gate columns by name, as in ``Combination.rows``: n entries each.

        int64 arrays, except the gate wires: those are lists of field elements.
        """
        n, k = circuit.n, circuit.k
        result: dict[Column, Int64Array | list[int]] = {}
        for role, count in (("positions", circuit.position_segments), ("collateral", circuit.collateral_segments)):
            for s in range(count):
                result[f"{role}[{s}]"] = segment_rows(getattr(self, role), n, s)
        digits = circuit.position_digits
        for s in range(circuit.position_segments):
            for side, kind in enumerate(SIDES):
                rows = segment_rows(getattr(self, kind), n, s)
                for d in range(digits):
                    result[f"f[{circuit.digit_column(s, side, d)}]"] = (rows >> (k * d)) & (n - 1)
        packed = np.zeros((circuit.digit_columns - circuit.packed_offset) * n, dtype=np.int64)
        for start, variable, x in zip(circuit.cells, circuit.bounded, self.bounded, strict=False):
            packed[start : start + variable.digits] = [(x >> (k * d)) & (n - 1) for d in range(variable.digits)]
        for column in range(circuit.packed_offset, circuit.digit_columns):
            start = (column - circuit.packed_offset) * n
            result[f"f[{column}]"] = packed[start : start + n]
        if circuit.gates:
            for i, wire in enumerate("ABC"):
                values = [gate[i] % r for gate in self.gates]
                result[wire] = values + [0] * (n - len(values))
        return result


def assign(circuit: Circuit, positions: Sequence[int], collateral: Sequence[int]) -> Witness:
    """The honest witness of a book: sides split, bounded integers filled by their hints.

    Raises:
        InputError: wrong number of slots, or a quantity outside its bound.
        ConstraintError: a slack would be negative: the rule that the book breaks, and by how much.
    """
    if len(positions) != circuit.position_count or len(collateral) != circuit.collateral_count:
        raise InputError(
            f"a book of {len(positions)} positions and {len(collateral)} balances for a circuit of "
            f"{circuit.position_count} and {circuit.collateral_count}"
        )
    bound = circuit.position_bound
    for i, q in enumerate(positions):
        if not -bound <= q <= bound:
            raise InputError("a position is larger than the circuit proves", field=f"positions[{i}]")
    circuit.refuse_retired(positions, collateral)
    long = tuple([q * (q > 0) for q in positions])
    short = tuple([-q * (q < 0) for q in positions])
    values: dict[Atom, int] = {("collateral", j): q for j, q in enumerate(collateral)}
    sums: dict[str, list[int]] = {}
    sides = {"positions": tuple(positions), "long": long, "short": short}

    def value(atom: Atom) -> int:
        if atom not in values:
            kind, index = atom
            if kind in sides:
                values[atom] = _dense_sums(circuit, sums, kind, sides[kind])[index]
            else:
                a, b = (form.value(value) for form in circuit.gates[index])
                values["A", index], values["B", index], values["C", index] = a, b, a * b
        return values[atom]

    slack_of = {e.slack: e for e in circuit.equations if e.slack is not None}
    bounded = []
    for v, variable in enumerate(circuit.bounded):
        x = variable.hint.value(value)
        if x < 0 and v in slack_of:
            rule, name = slack_of[v].rule, slack_of[v].name
            raise ConstraintError(f"{rule}: {name}: short by {-x}", rule=rule, shortfall=-x)
        if not 0 <= x < circuit.n**variable.digits:
            raise InputError(f"{variable.name}: does not fit its range")
        values["bounded", v] = x
        bounded.append(x)
    gates = tuple((value(("A", g)), value(("B", g)), value(("C", g))) for g in range(len(circuit.gates)))
    return Witness(tuple(positions), long, short, tuple(collateral), tuple(bounded), gates)


def check(circuit: Circuit, witness: Witness) -> None:
    """The debug prover: every constraint on integers, as the proof enforces it on field elements.

    Raises:
        ConstraintError: names the first violated rule with its integers.
    """
    digits_bound = circuit.n**circuit.position_digits
    for i, (q, p, m) in enumerate(zip(witness.positions, witness.long, witness.short, strict=True)):
        if circuit.position_digits and not (0 <= p < digits_bound and 0 <= m < digits_bound):
            raise ConstraintError(f"slot {i}: a side outside [0, {digits_bound})", rule="position range")
        if circuit.position_digits and q != p - m:
            raise ConstraintError(f"slot {i}: {q} is not {p} - {m}", rule="position digits", shortfall=abs(q - p + m))
    circuit.refuse_retired(witness.positions, witness.collateral)
    for variable, x in zip(circuit.bounded, witness.bounded, strict=True):
        if not 0 <= x < circuit.n**variable.digits:
            raise ConstraintError(f"{variable.name}: {x} is outside its range", rule="bounded integer")
    for g, (a, b, c) in enumerate(witness.gates):
        if (a * b - c) % r:
            raise ConstraintError(f"gate {g}: {a} * {b} is not {c}", rule="product gate")
    for equation in circuit.equations:
        off = equation.form.value(lambda atom: witness.value(circuit, atom))
        if off % r:
            raise ConstraintError(
                f"{equation.rule}: {equation.name}: off by {off}", rule=equation.rule, shortfall=abs(off)
            )


def _dense_sums(circuit: Circuit, cache: dict[str, list[int]], kind: str, side: Sequence[int]) -> list[int]:
    """All rows of one public matrix times one side, exactly."""
    if kind not in cache:
        matrix: Int64Array = circuit.matrices[kind]  # type: ignore[index]  # kind is a DenseKind here
        cache[kind] = int_sums(matrix, side)
    return cache[kind]
