"""The margin of many accounts at once, to the last unit what ``margin_report`` says of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zkmargin.circuits import build_circuit
from zkmargin.circuits.many import MEMORY, CircuitProducts, assign_many
from zkmargin.circuits.margin import new_circuit
from zkmargin.circuits.requirement import charge_name
from zkmargin.engine.book import BookLots
from zkmargin.engine.books import Books, Products
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.margin import collateral_to_add, largest_claim
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.integers import Integers

Array = npt.NDArray[Any]


@dataclass(frozen=True, repr=False)
class Margins:
    """The margin of M accounts. Amounts are exact integers in valuation units (1e-13 of the quote currency), [M].

    An array is int64 where its values fit, else of Python integers (dtype object). Secret: about hidden books.

    Attributes:
        requirement: its name.
        mark_to_market: options and spot at their marks.
        collateral: balances after haircuts.
        equity: their sum.
        total: the requirement, its factor included.
        charges: the charge of each risk group and joint group that the policy has, factor included.

    Example:
        >>> from zkmargin import margin_many
        >>> margins = margin_many(snapshot, [lots, lots])
        >>> len(margins), margins.surplus.shape
        (2, (2,))
    """

    requirement: str
    mark_to_market: Array
    collateral: Array
    equity: Array
    total: Array
    charges: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.total)

    def __repr__(self) -> str:
        return f"Margins({len(self)} accounts)"

    @property
    def surplus(self) -> Array:
        """Equity less requirement; negative is missing."""
        return (Integers.of(self.equity) - Integers.of(self.total)).tight().array

    def slack(self, claim: Claim) -> Array:
        """``den equity - num requirement``: the claim holds where this is not negative. Raises InputError."""
        if claim.requirement != self.requirement:
            raise InputError(f"these margins are of the {self.requirement} requirement", field="claim")
        return (claim.den * Integers.of(self.equity) - claim.num * Integers.of(self.total)).tight().array

    def largest_claim(self, account: int) -> Claim | None:
        """The largest claim that holds for an account, or None."""
        return largest_claim(int(self.equity[account]), int(self.total[account]), self.requirement)

    def collateral_to_add(self, account: int) -> int:
        """What an account lacks for a claim of 1, rounded up to a money unit, in valuation units."""
        return collateral_to_add(int(self.equity[account]), int(self.total[account]))


class MarginModel:
    """A snapshot and a requirement, ready for the margins of many books: make it once, use it every second.

    Raises:
        InputError: an unknown requirement, or a policy that the circuit cannot express; use ``margin_report`` then.
    """

    def __init__(self, snapshot: Snapshot, requirement: str = "initial", *, once: bool = False) -> None:
        self.snapshot, self.requirement = snapshot, requirement
        # One that is used once needs no digest to be found again by.
        self.circuit = (new_circuit if once else build_circuit)(snapshot, Claim(1, 1, requirement))
        self.products = CircuitProducts(self.circuit)
        self._marks = Products(snapshot.marks.values.reshape(1, -1))
        self._haircuts = next(part for part in snapshot.components if isinstance(part, PublishedHaircuts))
        names = {variable.name: v for v, variable in enumerate(self.circuit.bounded)}
        groups = [*snapshot.groups, *(name for part in snapshot.components for name in part.joint_groups)]
        self._charges = {name: names[charge_name(name)] for name in groups if charge_name(name) in names}
        self._slots = snapshot.instruments, snapshot.collateral
        self._claim = len(self.circuit.bounded) - 1

    def margins(self, books: Books | Sequence[BookLots], *, memory: int = MEMORY, bounded: bool = True) -> Margins:
        """The margins of many books.

        Args:
            books: the books; single ones are put together.
            memory: bytes to work in; accounts are taken so many at a time.
            bounded: refuse balances beyond their bounds; a simulator may ask what they would be worth.

        Raises:
            InputError: books that are not of this snapshot, or beyond its bounds; names the account's place.
        """
        given = books if isinstance(books, Books) else Books.of(books)
        if not len(given):
            given = Books.dense(*(np.zeros((0, len(s)), dtype=np.int64) for s in self._slots))
        if bounded:
            given.check(self.snapshot)
        size = self.products.block(memory)
        starts = range(0, max(len(given), 1), size)
        blocks = [self._block(given.part(start, min(start + size, len(given)))) for start in starts]
        joined = [_joined(column) for column in zip(*blocks, strict=True)]
        marked, collateral, equity, total, *charges = joined
        return Margins(
            self.requirement, marked, collateral, equity, total, dict(zip(self._charges, charges, strict=True))
        )

    def _block(self, books: Books) -> list[Integers]:
        witness = assign_many(self.circuit, books, self.products)
        marked = self._marks.of(books)[0] * SCALE_BP
        balances = [Integers.of(column.copy()) for column in books.collateral.T]
        worth = self._haircuts.values_of(balances)
        collateral = worth if isinstance(worth, Integers) else Integers.of([worth] * len(books))
        equity = marked + collateral
        total = equity - witness.bounded(self._claim)  # the claim 1 : 1 is equity - requirement >= 0
        factor = self.snapshot.factor_bp(self.requirement)
        charges = [witness.bounded(v) * factor for v in self._charges.values()]
        return [marked, collateral, equity, total, *charges]


def margin_many(
    snapshot: Snapshot,
    books: Books | Sequence[BookLots],
    requirement: str = "initial",
    *,
    memory: int = MEMORY,
) -> Margins:
    """The margins of many accounts, bit for bit what ``margin_report`` says of each, as matrix work.

    Args:
        snapshot: the public integers.
        books: ``Books.sparse``, ``Books.dense``, or single books.
        requirement: ``initial`` or ``maintenance``.
        memory: bytes to work in.

    Raises:
        InputError: an unknown requirement, a policy that the circuit cannot express (charges on short or gross
            positions where positions are not range-proved), or books that are not of this snapshot.

    Example:
        >>> from zkmargin import build_snapshot, load_policy
        >>> from zkmargin.engine.example import example_market
        >>> snapshot = build_snapshot(example_market("2026-11-20T12:00:00Z"), load_policy("default"))
        >>> cash = [0] * len(snapshot.collateral)
        >>> books = Books.sparse([0, 1, 2], [0, 0], [3, -3], [cash, cash])
        >>> margins = margin_many(snapshot, books)
        >>> [bool(total > 0) for total in margins.total]
        [True, True]
    """
    return MarginModel(snapshot, requirement).margins(books, memory=memory)


def _joined(parts: Sequence[Integers]) -> Array:
    arrays = [part.tight().array for part in parts]
    if any(array.dtype == object for array in arrays):
        arrays = [array.astype(object) for array in arrays]
    joined: Array = np.concatenate(arrays)
    return joined
