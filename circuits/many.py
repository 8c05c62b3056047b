"""The hidden integers of many books at once: one vector of integers for each bounded integer of a circuit.

The same hints that ``assign`` runs on the integers of one book run here on vectors of ``zkmargin.integers``, one
entry an account. So whatever a circuit says of one book it says of a hundred thousand, in the time of some hundred
array operations, and no rule is written down a second time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.system import DENSE_KINDS, Atom, DenseKind, Int64Array
from zkmargin.circuits.language.witness import Witness
from zkmargin.engine.books import Books, Products
from zkmargin.formats.errors import InputError
from zkmargin.integers import Integers, largest

#: Bytes that the vectors of one block may take, unless told otherwise.
MEMORY = 256 << 20


class CircuitProducts:
    """The public matrices of a circuit, ready for many books. Make it once for a circuit that is used often."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.matrices: Mapping[DenseKind, Products] = {kind: Products(circuit.matrices[kind]) for kind in DENSE_KINDS}
        self.slacks = [e.slack for e in circuit.equations if e.slack is not None]

    @property
    def bytes_per_account(self) -> int:
        """A bound of what one account's vectors take, in bytes, while everything is small enough for int64."""
        rows = sum(len(self.circuit.matrices[kind]) for kind in DENSE_KINDS)
        return 8 * (3 * rows + 2 * len(self.circuit.bounded) + 64)

    def block(self, memory: int = MEMORY) -> int:
        """How many accounts to take at a time."""
        return max(1, memory // self.bytes_per_account)


@dataclass(frozen=True, repr=False)
class ManyWitness:
    """The hidden integers of M books. Values are computed when they are first asked for, then kept.

    Unlike a ``Witness`` it may be of books that break the claim or a limit: those have a negative slack there.

    Attributes:
        products: the circuit's matrices.
        books: the books.
    """

    products: CircuitProducts
    books: Books

    def __len__(self) -> int:
        return len(self.books)

    def __repr__(self) -> str:
        return f"ManyWitness({len(self)} accounts)"

    @property
    def circuit(self) -> Circuit:
        """The circuit."""
        return self.products.circuit

    @cached_property
    def _values(self) -> dict[Atom, Integers]:
        return {}

    @cached_property
    def _sums(self) -> dict[str, list[Integers]]:
        return {}

    def value(self, atom: Atom) -> Integers:
        """The value of an atom in every account: [M]."""
        values = self._values
        if atom not in values:
            values[atom] = self._computed(*atom)
        return values[atom]

    def bounded(self, v: int) -> Integers:
        """The v-th bounded integer of every account: [M]. Negative where it is the slack of a claim that is false."""
        return self.value(("bounded", v))

    def digits(self, v: int) -> Int64Array:
        """The digits of a bounded integer, lowest first: [digits, M] in [0, n).

        Raises:
            InputError: a value outside the integer's range, as of an account whose claim is false.
        """
        variable, x = self.circuit.bounded[v], self.bounded(v)
        k, n = self.circuit.k, self.circuit.n
        if len(x) and (int(x.array.min()) < 0 or int(x.array.max()) >= n**variable.digits):
            raise InputError(f"{variable.name}: an account's value does not fit its range")
        return np.stack([((x.array >> (k * d)) & (n - 1)).astype(np.int64) for d in range(variable.digits)])

    @property
    def shortfalls(self) -> Integers:
        """By how much each account breaks the claim or a limit, in the units of the rule it breaks most; 0 if none."""
        shortfalls: Integers = largest(0, *(-self.bounded(v) for v in self.products.slacks))
        return shortfalls

    def witness(self, account: int) -> Witness:
        """One account's witness. Raises InputError where its claim is false."""
        circuit = self.circuit
        lots = self.books.lots_of(account, circuit.position_count)
        bounded = tuple(int(self.bounded(v).array[account]) for v in range(len(circuit.bounded)))
        if any(not 0 <= x < circuit.n**variable.digits for x, variable in zip(bounded, circuit.bounded, strict=True)):
            raise InputError("an account whose claim or limit is false has no witness", field=f"account {account}")
        wires = range(len(circuit.gates))
        return Witness(
            lots.positions,
            tuple(max(q, 0) for q in lots.positions),
            tuple(max(-q, 0) for q in lots.positions),
            lots.collateral,
            bounded,
            tuple(
                (
                    int(self.value(("A", g)).array[account]),
                    int(self.value(("B", g)).array[account]),
                    int(self.value(("C", g)).array[account]),
                )
                for g in wires
            ),
        )

    def _computed(self, kind: str, index: int) -> Integers:
        if kind == "collateral":
            return Integers.of(self.books.collateral[:, index].copy())
        if kind == "bounded":
            return self._vector(self.circuit.bounded[index].hint.value(self.value)).tight()
        if kind in ("A", "B"):
            return self._vector(self.circuit.gates[index]["AB".index(kind)].value(self.value))
        if kind == "C":
            return self.value(("A", index)) * self.value(("B", index))
        if kind not in self._sums:
            products = self.products.matrices[kind]  # type: ignore[index]  # a DenseKind here
            self._sums[kind] = products.of(self.books, kind)  # type: ignore[arg-type]
        return self._sums[kind][index]

    def _vector(self, value: Any) -> Integers:
        """A value that is the same for every account, as a vector."""
        if isinstance(value, Integers):
            return value
        return Integers.of([value] * len(self))


def assign_many(circuit: Circuit, books: Books, products: CircuitProducts | None = None) -> ManyWitness:
    """The hidden integers of many books under one circuit.

    Args:
        circuit: what is to be proved of each.
        books: within the circuit's slots and bounds.
        products: of this circuit, if they are at hand.

    Raises:
        InputError: books of another number of slots, or a position that the circuit cannot hold.

    Example:
        >>> from zkmargin import Claim, build_snapshot, load_policy
        >>> from zkmargin.circuits import build_circuit
        >>> from zkmargin.engine.example import example_market
        >>> snapshot = build_snapshot(example_market("2026-11-20T12:00:00Z"), load_policy("default"))
        >>> books = Books.sparse([0, 1], [0], [3], [[10**9] * len(snapshot.collateral)])
        >>> witness = assign_many(build_circuit(snapshot, Claim(1, 1)), books)
        >>> witness.shortfalls.tolist()
        [0]
    """
    wide = circuit.position_count if books.table is None else books.table.shape[1]
    if (wide, books.collateral.shape[1]) != (circuit.position_count, circuit.collateral_count) or (
        books.last_slot >= circuit.position_count
    ):
        raise InputError("the books are not of this circuit: another number of slots")
    if books.most > circuit.position_bound:
        raise InputError("a position is larger than the circuit proves")
    return ManyWitness(CircuitProducts(circuit) if products is None else products, books)


def assign_blocks(circuit: Circuit, books: Books, memory: int = MEMORY) -> Iterator[tuple[int, ManyWitness]]:
    """(place of the first account, its block) for all books, so many at a time as fit into ``memory`` bytes.

    Raises:
        InputError: as ``assign_many``.
    """
    products = CircuitProducts(circuit)
    size = products.block(memory)
    for start in range(0, len(books), size):
        yield start, assign_many(circuit, books.part(start, min(start + size, len(books))), products)
