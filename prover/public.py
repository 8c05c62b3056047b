"""The public polynomials of one proof as the prover has them: rows on H, coefficients, values at a point.

The verifier computes the values at zeta from the circuit alone (``verifier.argument.public_values``). The prover needs
the polynomials anyway, for the quotient; evaluating them costs a tenth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from py_arkworks_bls12381 import G1Point

from zkmargin.circuits.language.circuit import Circuit, Combination
from zkmargin.circuits.language.system import SIDES, Column
from zkmargin.crypto.field import r
from zkmargin.crypto.group import encode_g1
from zkmargin.prover import _kernels as K
from zkmargin.verifier.argument import Challenges, PublicValues, decoded, public_values


@dataclass(frozen=True, eq=False)
class PublicPolynomials:
    """Every U of the combined equation, total = sum over columns of column * U.

    The digit columns of a side have multiples of one polynomial, n^d times the side's: it stands here once, under
    ``long[s]`` or ``short[s]``, and belongs to the column ``sides`` makes of the digits.

    Attributes:
        combination: the equations combined by powers of rho.
        beta, rho: the challenges.
        on_H: rows by column; ``mu`` included, the helpers' constant not.
    """

    combination: Combination
    beta: int
    rho: int
    on_H: Mapping[str, K.FieldVector]
    table: K.FieldVector

    @classmethod
    def of(cls, circuit: Circuit, beta: int, rho: int) -> PublicPolynomials:
        """From the circuit and the challenges of round 1. ``table`` is w: 1/(beta + i) in row i."""
        combination, n = circuit.combine(rho), circuit.n
        weights, on_H = combination.weights, {}
        kinds = ("positions", *SIDES) if circuit.position_digits else ("positions",)
        for s in range(circuit.position_segments):
            start = s * (n - 1)
            for kind in kinds:
                stop = min(start + n - 1, circuit.position_count)
                rows = circuit.matrices[kind]  # type: ignore[index]  # a DenseKind
                on_H[f"{kind}[{s}]"] = K.combined_rows(rows, weights[kind], start, max(start, stop), n)
        for s in range(circuit.collateral_segments):
            part = weights["collateral"][s * (n - 1) : (s + 1) * (n - 1)]
            on_H[f"collateral[{s}]"] = K.pad(K.from_ints(part), n)
        bounded = K.from_ints([*weights["bounded"], 0])
        for c, (places, powers) in enumerate(_packed(circuit), circuit.packed_offset):
            on_H[f"f[{c}]"] = K.mul(K.gathered(bounded, places), powers)
        for wire in "ABC" if circuit.gates else "":
            on_H[wire] = K.pad(K.from_ints(weights[wire]), n)
        table = K.batch_inverse(K.add(K.constant(beta, n), _integers(n)))
        on_H["mu"] = K.scale(table, -pow(rho, len(circuit.equations), r))
        return cls(combination, beta, rho, on_H, table)

    @property
    def circuit(self) -> Circuit:
        """Whose equations they are."""
        return self.combination.circuit

    @property
    def sigma(self) -> int:
        """Right side of the combined equation."""
        return self.combination.sigma

    @cached_property
    def lookup(self) -> int:
        """rho^J, the weight of the lookup sum and so of every helper."""
        return pow(self.rho, len(self.circuit.equations), r)

    @cached_property
    def coefficients(self) -> dict[str, K.FieldVector]:
        """The same as ``on_H`` in the monomial basis."""
        return {name: K.intt(rows) for name, rows in self.on_H.items()}

    def sides(self, columns: Mapping[str, K.FieldVector]) -> dict[str, K.FieldVector]:
        """``long[s]`` and ``short[s]``: sum_d n^d f_c, from the digit columns on H or on any coset."""
        c, result = self.circuit, {}
        for s in range(c.position_segments if c.position_digits else 0):
            for side, kind in enumerate(SIDES):
                digits = [(columns[f"f[{c.digit_column(s, side, d)}]"], c.n**d) for d in range(c.position_digits)]
                result[f"{kind}[{s}]"] = K.linear(digits)
        return result

    def total(
        self, columns: Mapping[str, K.FieldVector], U: Mapping[str, K.FieldVector], sides: Mapping[str, K.FieldVector]
    ) -> K.FieldVector:
        """``total`` without the helpers, on H or a coset: columns, U and sides on the same."""
        return K.sum_of_products([(sides.get(name) or columns[name], u) for name, u in U.items()])

    def values_at(self, zeta: int) -> PublicValues:
        """What ``verifier.argument.public_values`` gives."""
        c = self.circuit
        selectors = {column: selector(c, column) for column in c.listed_rows}
        found = K.evaluate_many([*self.coefficients.values(), *selectors.values()], zeta)
        values = dict(zip(self.coefficients, found, strict=False))
        w = -values.pop("mu") * pow(self.lookup, -1, r) % r
        U: dict[Column, int] = {}
        for name, value in values.items():
            kind, _, index = name.partition("[")
            if kind in SIDES:
                s = int(index[:-1])
                for d in range(c.position_digits):
                    U[f"f[{c.digit_column(s, SIDES.index(kind), d)}]"] = value * c.n**d % r
            else:
                U[name] = value
        return PublicValues(U, w, dict(zip(selectors, found[len(self.coefficients) :], strict=True)), self.sigma)


@dataclass(frozen=True, eq=False)
class OwnValues:
    """What the prover has at hand of its own proof, for its self-check: the same functions as a verifier's.

    The check replays the transcript of the encoded proof. At other challenges than those of the proof made, values are
    computed as any verifier does, and so is a point that is not one of the proof made.

    Attributes:
        made_at, values: the public values, and the challenges at which they are those.
        coordinates: x || y of each point, 96 bytes, by its encoding.
    """

    made_at: Challenges
    values: PublicValues
    coordinates: Mapping[bytes, bytes]

    def __call__(self, circuit: Circuit, x: Challenges) -> PublicValues:
        """The values at the challenges of a transcript."""
        mine = self.made_at
        same = (mine.beta, mine.rho, mine.zeta) == (x.beta, x.rho, x.zeta)
        return self.values if same else public_values(circuit, x)

    def points(self, encoded: Iterable[tuple[str, bytes]]) -> dict[str, G1Point]:
        """As ``verifier.argument.decoded``.

        A known point is encoded again, where a verifier takes a root and asks for the subgroup: sums of the setup's
        points do not leave it.
        """
        return {name: self._known(data) or decoded([(name, data)])[name] for name, data in encoded}

    def _known(self, data: bytes) -> G1Point | None:
        """The point of an encoding, from its coordinates; None if they are not at hand or those of another point."""
        coordinates = self.coordinates.get(data, b"")
        if not any(coordinates):
            return None
        try:
            point = G1Point.from_xy_bytes_unchecked_be(coordinates)
        except ValueError:  # not on the curve
            return None
        return point if encode_g1(point) == data else None


def selector(circuit: Circuit, column: Column) -> K.FieldVector:
    """The polynomial that is 1 on the unlisted rows of a committed column; kept."""
    return _selector(circuit.n, circuit.listed_rows[column], circuit.retired_rows.get(column, ()))


def selector_on(circuit: Circuit, column: Column, j: int, cosets: K.Cosets) -> K.FieldVector:
    """Its values on coset j; kept."""
    return _selector_on(circuit.n, circuit.listed_rows[column], circuit.retired_rows.get(column, ()), j, cosets)


@lru_cache(maxsize=64)
def _selector(n: int, listed: int, retired: tuple[int, ...]) -> K.FieldVector:
    rows = np.arange(n, dtype=np.int64) >= listed
    rows[list(retired)] = True
    return K.intt(K.from_int64(rows.astype(np.int64)))


@lru_cache(maxsize=64)
def _selector_on(n: int, listed: int, retired: tuple[int, ...], j: int, cosets: K.Cosets) -> K.FieldVector:
    return cosets.values([_selector(n, listed, retired)], j)[0]


@lru_cache(maxsize=8)
def _integers(n: int) -> K.FieldVector:
    return K.from_int64(np.arange(n, dtype=np.int64))


def _packed(circuit: Circuit) -> Sequence[tuple[np.typing.NDArray[np.int64], K.FieldVector]]:
    """For each packed digit column: which bounded integer stands in every row (one past the last for none), and n^d."""
    return _packed_cells(circuit.n, len(circuit.bounded), circuit.cells, circuit.digit_columns - circuit.packed_offset)


@lru_cache(maxsize=16)
def _packed_cells(
    n: int, count: int, cells: tuple[int, ...], columns: int
) -> Sequence[tuple[np.typing.NDArray[np.int64], K.FieldVector]]:
    owner = np.full(columns * n, count, dtype=np.int64)
    lengths = np.diff(cells)
    owner[: cells[-1]] = np.repeat(np.arange(count), lengths)
    place = np.zeros(columns * n, dtype=np.int64)
    place[: cells[-1]] = np.arange(cells[-1]) - np.repeat(cells[:-1], lengths)
    powers = K.powers(n, int(place.max(initial=0)) + 1)
    return [
        (owner[None, c * n : (c + 1) * n], K.gathered(powers, place[None, c * n : (c + 1) * n])) for c in range(columns)
    ]
