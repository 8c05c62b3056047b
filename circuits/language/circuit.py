"""A frozen circuit: layout, public equations and digest. Public, built from a snapshot alone.

Columns over H (n rows each):

    committed   positions: one a segment; collateral: one a segment. Slot i sits in segment i // (n-1), row
                i mod (n-1); the last row of a segment and all rows without a slot are *unlisted* and zero
    digits f_c  for each position segment the digits of p, then of m (lowest first), row-aligned with q;
                then the packed digits of the bounded integers. Every cell is looked up in [0, n)
    gates       A, B, C, one row a gate (only if the circuit has gates)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import accumulate, pairwise
from operator import mul
from types import MappingProxyType

import numpy as np

from zkmargin.circuits.language.system import (
    DENSE_KINDS,
    SIDES,
    Bounded,
    Column,
    DenseKind,
    Equation,
    Form,
    Int64Array,
    System,
)
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.exact import CutMatrix, bilinear, int_matvec
from zkmargin.crypto.field import powers, r
from zkmargin.crypto.scalars import ZERO, Vector, inner, limbs, vector
from zkmargin.crypto.segments import listed, segments
from zkmargin.formats.canonical import canonical_bytes, keccak256
from zkmargin.formats.errors import ConstraintError, InputError

CIRCUIT_FORMAT = "zkmargin/circuit/v1"
#: With retired slots or spare segments: those of a universe.
CIRCUIT_FORMAT_2 = "zkmargin/circuit/v2"
#: Columns whose helper h_g share one commitment (protocol section 4, message 2).
LOOKUP_GROUP = 3


def _read_only(matrix: Int64Array) -> Int64Array:
    """The same numbers over bytes: nobody can make them writable again."""
    if not matrix.flags.writeable:
        return matrix
    return np.frombuffer(matrix.tobytes(), dtype=np.int64).reshape(matrix.shape)


@dataclass(frozen=True)
class Shape:
    """How many elements each message of the proof has: derived from the circuit, never from a proof.

    Example:
        >>> statement.circuit.shape
        Shape(digits=7, gates=False, helpers=3, pieces=3)
    """

    digits: int
    gates: bool
    helpers: int
    pieces: int


@dataclass(frozen=True)
class Circuit:
    """The public equations over a layout.

    Attributes:
        n: domain size; digits are base n.
        position_count, collateral_count: slots of the two committed vectors.
        position_digits: digits a side of every position; 0 when positions are not range-proved.
        position_bound: greatest absolute value of a position, in lots.
        matrices: for each side, the int64 matrix [rows, position_count] that dense atoms refer to.
        bounded: the bounded integers, in the order of their cells.
        gates: for each product gate its two input forms.
        equations: the J public equations.
        retired: slots by role that are in the list and forced to zero, as rows without a slot are: a universe of
            instruments keeps the slot of what was delisted, and never uses it again.
        least_segments: committed columns of each role at least, positions first: room for slots to come.

    Example:
        >>> circuit = statement.circuit
        >>> circuit.n, len(circuit.equations)
        (1024, 76)
    """

    n: int
    position_count: int
    collateral_count: int
    position_digits: int
    position_bound: int
    matrices: Mapping[DenseKind, Int64Array]
    bounded: tuple[Bounded, ...]
    gates: tuple[tuple[Form, Form], ...]
    equations: tuple[Equation, ...]
    retired: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    least_segments: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        # Circuits are cached and shared: nothing in one can be written to.
        frozen = {kind: _read_only(matrix) for kind, matrix in self.matrices.items()}
        object.__setattr__(self, "matrices", MappingProxyType(frozen))

    @classmethod
    def freeze(
        cls,
        system: System,
        collateral_count: int,
        *,
        retired: tuple[tuple[int, ...], tuple[int, ...]] = ((), ()),
        least_segments: tuple[int, int] = (1, 1),
    ) -> Circuit:
        """The circuit of a finished system. Raises InputError when the gates do not fit one segment."""
        if len(system.gates) > system.n:
            raise InputError(f"{len(system.gates)} product gates do not fit {system.n} rows")
        matrices = {
            kind: np.array(system.rows[kind], dtype=np.int64).reshape(len(system.rows[kind]), system.position_count)
            for kind in DENSE_KINDS
        }
        return cls(
            n=system.n,
            position_count=system.position_count,
            collateral_count=collateral_count,
            position_digits=system.position_digits,
            position_bound=system.position_bound,
            matrices=matrices,
            bounded=tuple(system.bounded),
            gates=tuple(system.gates),
            equations=tuple(system.equations),
            retired=retired,
            least_segments=least_segments,
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Copied between processes without what is computed from the fields."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Circuit, tuple((values | {"matrices": dict(self.matrices)}).values())

    # --- layout -------------------------------------------------------------------------------------------

    @property
    def domain(self) -> Domain:
        """H."""
        return Domain.of(self.n)

    @property
    def k(self) -> int:
        """Bits of a digit: n = 2^k."""
        return self.n.bit_length() - 1

    @property
    def position_segments(self) -> int:
        """Committed columns that hold the positions."""
        return max(segments(self.position_count, self.n), self.least_segments[0])

    @property
    def collateral_segments(self) -> int:
        """Committed columns that hold the collateral."""
        return max(segments(self.collateral_count, self.n), self.least_segments[1])

    @property
    def packed_offset(self) -> int:
        """Index of the first digit column that holds bounded integers."""
        return self.position_segments * 2 * self.position_digits

    def digit_column(self, segment: int, side: int, d: int) -> int:
        """The digit column of digit d of the long (0) or short (1) side of a position segment."""
        return (2 * segment + side) * self.position_digits + d

    @cached_property
    def cells(self) -> tuple[int, ...]:
        """For each bounded integer the packed cell of its lowest digit (cell = column * n + row)."""
        starts, at = [], 0
        for x in self.bounded:
            starts.append(at)
            at += x.digits
        return (*starts, at)

    @property
    def digit_columns(self) -> int:
        """Number of columns f_c."""
        return self.packed_offset + max(1, -(-self.cells[-1] // self.n))

    @property
    def lookup_groups(self) -> list[range]:
        """The digit columns, in groups that share a helper."""
        count = self.digit_columns
        return [range(i, min(i + LOOKUP_GROUP, count)) for i in range(0, count, LOOKUP_GROUP)]

    @property
    def shape(self) -> Shape:
        """Message sizes of a proof. deg T = g (n + 1) for the largest group g: T has g pieces."""
        groups = self.lookup_groups
        return Shape(self.digit_columns, bool(self.gates), len(groups), len(groups[0]))

    @cached_property
    def digit_cells(self) -> tuple[tuple[tuple[int, int, int], ...], ...]:
        """For each bounded integer, (digit column, row, weight n^d) of its cells, lowest digit first."""
        offset, n = self.packed_offset, self.n
        weights = powers(n, max((x.digits for x in self.bounded), default=0))
        places = [(offset + cell // n, cell % n) for cell in range(self.cells[-1])]
        return tuple(
            tuple((*place, weight) for place, weight in zip(places[start:stop], weights, strict=False))
            for start, stop in pairwise(self.cells)
        )

    @cached_property
    def cut(self) -> tuple[CutMatrix, ...]:
        """For each position segment, the rows of all matrices over its listed slots, ready for exact products."""
        starts = range(0, self.position_segments * (self.n - 1), self.n - 1)
        return tuple(
            CutMatrix.of(np.vstack([self.matrices[kind][:, start : start + self.n - 1] for kind in DENSE_KINDS]))
            for start in starts
        )

    @cached_property
    def packed(self) -> tuple[tuple[Vector, tuple[tuple[int, int, int], ...]], ...]:
        """For each packed digit column, the weights n^d of its cells, and (v, first cell, end) of every bounded integer
        v that has digits there.
        """
        n, weights = self.n, vector(weight for cells in self.digit_cells for _, _, weight in cells)
        spans: list[list[tuple[int, int, int]]] = [[] for _ in range(self.packed_offset, self.digit_columns)]
        for v, (start, end) in enumerate(pairwise(self.cells)):
            for column in range(start // n, -(-end // n)):
                spans[column].append((v, max(start - column * n, 0), min(end - column * n, n)))
        return tuple((weights[column * n : (column + 1) * n], tuple(inside)) for column, inside in enumerate(spans))

    @cached_property
    def listed_rows(self) -> dict[Column, int]:
        """For each committed column, positions first, the number of its listed rows: they are its first rows."""
        n = self.n
        positions = {f"positions[{s}]": listed(self.position_count, n, s) for s in range(self.position_segments)}
        collateral = {f"collateral[{s}]": listed(self.collateral_count, n, s) for s in range(self.collateral_segments)}
        return positions | collateral

    @cached_property
    def retired_rows(self) -> dict[Column, tuple[int, ...]]:
        """For each committed column that has some, its rows among the listed ones whose slots are retired."""
        found: dict[Column, list[int]] = {}
        for role, slots in zip(("positions", "collateral"), self.retired, strict=True):
            for slot in slots:
                s, row = divmod(slot, self.n - 1)
                found.setdefault(f"{role}[{s}]", []).append(row)
        return {column: tuple(rows) for column, rows in found.items()}

    def refuse_retired(self, positions: Sequence[int], collateral: Sequence[int]) -> None:
        """Raises ConstraintError where a book holds something in a retired slot; does not say how much."""
        for role, slots, book in zip(("positions", "collateral"), self.retired, (positions, collateral), strict=True):
            for slot in slots:
                if book[slot]:
                    raise ConstraintError(f"{role} slot {slot} is retired: no book may hold it", rule="retired slot")

    def selector(self, column: Column) -> list[int]:
        """1 on every row of a committed column that is not a listed slot, or a retired one, else 0."""
        count = self.listed_rows[column]
        values = [0] * count + [1] * (self.n - count)
        for row in self.retired_rows.get(column, ()):
            values[row] = 1
        return values

    # --- identity -----------------------------------------------------------------------------------------

    @cached_property
    def digest(self) -> bytes:
        """keccak-256 over everything above: layout, matrices, integers, gates and equations."""
        natural = (segments(self.position_count, self.n), segments(self.collateral_count, self.n))
        plain = self.retired == ((), ()) and (self.position_segments, self.collateral_segments) == natural
        universe = {
            "retired": {"positions": list(self.retired[0]), "collateral": list(self.retired[1])},
            "segments": [self.position_segments, self.collateral_segments],
        }
        return keccak256(
            canonical_bytes(
                ({} if plain else universe)
                | {
                    "format": CIRCUIT_FORMAT if plain else CIRCUIT_FORMAT_2,
                    "n": self.n,
                    "positions": [self.position_count, self.position_digits, self.position_bound],
                    "collateral": self.collateral_count,
                    "matrices": {
                        kind: [list(m.shape), keccak256(m.astype("<i8").tobytes()).hex()]
                        for kind, m in self.matrices.items()
                    },
                    "bounded": [[x.name, x.digits] for x in self.bounded],
                    "gates": [[_canonical(a), _canonical(b)] for a, b in self.gates],
                    "equations": [[e.rule, e.name, _canonical(e.form)] for e in self.equations],
                }
            )
        )

    def without_equation(self, j: int) -> Circuit:
        """This circuit with one equation dropped: for tests that show what each equation is there for."""
        return replace(self, equations=self.equations[:j] + self.equations[j + 1 :])

    # --- public polynomials -------------------------------------------------------------------------------

    def combine(self, rho: int) -> Combination:
        """The J equations combined by rho^0 .. rho^(J-1): one weight an atom, and the right side sigma."""
        scales = powers(rho, len(self.equations))
        weights: dict[str, list[int]] = {
            **{kind: [0] * len(self.matrices[kind]) for kind in DENSE_KINDS},
            "collateral": [0] * self.collateral_count,
            "bounded": [0] * len(self.bounded),
            **{kind: [0] * len(self.gates) for kind in "ABC"},
        }
        sigma = 0
        for scale, equation in zip(scales, self.equations, strict=True):
            for (kind, index), coefficient in equation.form.terms.items():
                weights[kind][index] += scale * coefficient
            sigma -= scale * equation.form.constant
        return Combination(self, {kind: [w % r for w in ws] for kind, ws in weights.items()}, sigma % r)


@dataclass(frozen=True)
class Combination:
    """The public polynomials U of the combined equation: total = sum over columns <column, U> = sigma."""

    circuit: Circuit
    weights: dict[str, list[int]]
    sigma: int

    def sides(self) -> dict[DenseKind, list[list[int]]]:
        """For positions and their proved long and short sides, the coefficient of every row, segment by segment.

        Digit d of a side has n^d times its side's coefficient.
        """
        c = self.circuit
        kinds = DENSE_KINDS if c.position_digits else DENSE_KINDS[:1]
        slots = {kind: int_matvec(c.matrices[kind].T, self.weights[kind]) for kind in kinds}
        return {kind: [_segment(slots[kind], c.n, s) for s in range(c.position_segments)] for kind in kinds}

    def others(self) -> dict[Column, list[int]]:
        """U on H for every column that is not a position's: collateral, packed digits, gate wires."""
        c, n, w = self.circuit, self.circuit.n, self.weights
        result: dict[Column, list[int]] = {}
        for s in range(c.collateral_segments):
            result[f"collateral[{s}]"] = _segment(w["collateral"], n, s)
        for column in range(c.packed_offset, c.digit_columns):
            result[f"f[{column}]"] = [0] * n
        for v, weight in enumerate(w["bounded"]):
            for column, row, power in c.digit_cells[v]:
                result[f"f[{column}]"][row] = weight * power % r
        for wire in "ABC" if c.gates else "":
            result[wire] = [*w[wire], *[0] * (n - len(c.gates))]
        return result

    def rows(self) -> dict[Column, list[int]]:
        """Every U on H, by column: positions[s], collateral[s], f[c], and A, B, C if there are gates; n values each."""
        c, sides = self.circuit, self.sides()
        result = self.others()
        for s in range(c.position_segments):
            result[f"positions[{s}]"] = sides["positions"][s]
            for d in range(c.position_digits):
                for side, kind in enumerate(SIDES):
                    result[f"f[{c.digit_column(s, side, d)}]"] = [x * c.n**d % r for x in sides[kind][s]]
        return result

    def at(self, lagrange: Vector) -> dict[Column, int]:
        """Every U at a point, from the values L_i of the Lagrange basis there: no transform, no n x N work
        beyond one exact bilinear form a side.
        """
        c, n = self.circuit, self.circuit.n
        w = {kind: vector(weights) for kind, weights in self.weights.items()}
        dense, basis = [limbs(w[kind]) for kind in DENSE_KINDS], limbs(lagrange)
        result: dict[Column, int] = {}
        for s, matrix in enumerate(c.cut):
            side = dict(zip(DENSE_KINDS, bilinear(dense, matrix, basis[: matrix.columns]), strict=True))
            result[f"positions[{s}]"] = side["positions"]
            for d in range(c.position_digits):
                for i, kind in enumerate(SIDES):
                    result[f"f[{c.digit_column(s, i, d)}]"] = side[kind] * n**d % r
        for s in range(c.collateral_segments):
            part = w["collateral"][s * (n - 1) :][: n - 1]
            result[f"collateral[{s}]"] = int(inner(part, lagrange[: len(part)]))
        for column, (place_values, spans) in enumerate(c.packed, c.packed_offset):
            sums = [ZERO, *accumulate(map(mul, place_values, lagrange))]
            total = sum((w["bounded"][v] * (sums[end] - sums[start]) for v, start, end in spans), ZERO)
            result[f"f[{column}]"] = int(total)
        for wire in "ABC" if c.gates else "":
            result[wire] = int(inner(w[wire], lagrange[: len(c.gates)]))
        return result


def _segment(values: Sequence[int], n: int, s: int) -> list[int]:
    """The rows of segment s of a slot vector, filled with zeros to n."""
    part = list(values[s * (n - 1) : (s + 1) * (n - 1)])
    return part + [0] * (n - len(part))


def _canonical(form: Form) -> list[object]:
    return [str(form.constant), [[kind, index, str(c)] for (kind, index), c in sorted(form.terms.items())]]
