"""Malicious provers of chain layouts: what a mutant of the verifier is, and how its forger proves.

A mutant is the verifier without one row, equation or weight. Its forger proves a claim that is false by just that, to
the mutant; the real verifiers, the contract's included, refuse the proof. The mutants: ``chain_wide_forge``,
``chain_offsets_forge``, ``chain_tails_forge``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

import zkmargin.prover.chain
from support.chain_lab import ChainCase, prove
from zkmargin.circuits.chain import (
    CLAIM_DIGITS,
    ROWS,
    SIDE_COLUMNS,
    SLACK_DIGITS,
    ChainPrices,
    ChainWeights,
    claim_cell,
    digit_columns,
    public_rows,
    scenario_cell,
)
from zkmargin.circuits.chain.layout import CONSTANT_ROW
from zkmargin.crypto.commitment import lagrange_points
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import inverse, r
from zkmargin.crypto.group import msm
from zkmargin.crypto.srs import embedded
from zkmargin.engine.claims import Claim
from zkmargin.prover import _kernels as K
from zkmargin.prover.chain_rounds import committed_book
from zkmargin.prover.polynomials import blinded
from zkmargin.verifier.chain import ChainProof
from zkmargin.verifier.chain.argument import ratio

Columns = list[npt.NDArray[np.int64]]
#: What of the program is otherwise: a place, an attribute and its value.
Changes = tuple[tuple[object, str, object], ...]
DEN = 30_000


@dataclass(frozen=True)
class Mutant:
    """What the verifier lacks, and the columns that a forger commits to because of it.

    Attributes:
        hidden: lots in the row of the constants.
    """

    name: str
    layout: str
    changes: Changes
    columns: Callable[[ChainCase], Columns]
    hidden: int = 0

    @contextmanager
    def without(self) -> Iterator[None]:
        """The program without it."""
        with ExitStack() as stack:
            for place, attribute, wrong in self.changes:
                stack.enter_context(patch.object(place, attribute, wrong))
            yield

    def false_case(self, case: ChainCase) -> ChainCase:
        """The account with a claim that is false by the least that a ratio can say."""
        prices, low, high = case.statement.prices, 1, 65_535
        while high - low > 1:
            num = (low + high) // 2
            try:
                digit_columns(prices, case.witness, num, DEN)
                low = num
            except ValueError:
                high = num
        assert high < 65_535, "no claim of this account is false"
        return with_hidden(with_claim(case, high), self.hidden) if self.hidden else with_claim(case, high)

    def prove(self, case: ChainCase) -> ChainProof:
        """A proof of the false claim for the mutant. Fails where what is missing does not make it true."""
        with self.without(), hiding(self.hidden):
            columns = self.columns(case)
            put(columns[SIDE_COLUMNS], [claim_cell(d) for d in range(CLAIM_DIGITS)], 0)
            slack = missing(case, columns, self.hidden)
            assert 0 <= slack < 1 << (10 * CLAIM_DIGITS), "the mutant's claim is false as well"
            put(columns[SIDE_COLUMNS], [claim_cell(d) for d in range(CLAIM_DIGITS)], slack)
            return prove(case, "forged", columns=columns)


def with_claim(case: ChainCase, num: int) -> ChainCase:
    """The account with the claim num : DEN."""
    claim = Claim(1, 1, "initial")
    for name, value in (("num", num), ("den", DEN)):
        object.__setattr__(claim, name, value)
    inner = replace(case.statement.statement, claim=claim)
    return replace(case, statement=replace(case.statement, statement=inner))


def put(column: npt.NDArray[np.int64], cells: list[int], x: int) -> None:
    """An integer into its cells."""
    for d, cell in enumerate(cells):
        column[cell] = x >> (10 * d) & 1023


def take(column: npt.NDArray[np.int64], cells: list[int]) -> int:
    """The integer of its cells."""
    return sum(int(column[cell]) << (10 * d) for d, cell in enumerate(cells))


def missing(case: ChainCase, columns: Columns, hidden: int = 0) -> int:
    """What the claim's slack has to be for all equations to hold, as the program has them now."""
    num, den = ratio(case.statement)
    w, witness, layout = ChainWeights(3), case.witness, case.statement.prices.layout
    U = public_rows(case.statement.prices, w, num, den)
    long, short = (columns[i] + 1024 * columns[i + 1] + 1024**2 * columns[i + 2] for i in (0, 3))
    total = sum(x * U["positions"][i] for i, x in enumerate(witness.positions)) + hidden * U["positions"][CONSTANT_ROW]
    total += sum(x * U["collateral"][j] for j, x in enumerate(witness.collateral))
    total += sum(U["constants"][layout.instruments :]) if "constants" in U else 0
    for name, column in (("long", long), ("short", short), ("packed[0]", columns[6]), ("packed[1]", columns[-1])):
        if name in U:
            total += sum(int(x) * u for x, u in zip(column, U[name], strict=True) if x)
    return total * inverse(w.claim) % r


def plain(case: ChainCase, prices: ChainPrices | None = None) -> Columns:
    """Honest columns of a claim that is true, its slack 0."""
    columns = digit_columns(prices or case.statement.prices, case.witness, 1, 65_535)
    put(columns[SIDE_COLUMNS], [claim_cell(d) for d in range(CLAIM_DIGITS)], 0)
    return columns


def cells(s: int) -> list[int]:
    """Of the slack of an index."""
    return [scenario_cell(s, d) for d in range(SLACK_DIGITS)]


_charged = ChainWeights.charged


def without_charge(layout: str, group: int) -> Mutant:
    """The charge of a group stands in no claim."""

    def wrong(w: ChainWeights, prices: ChainPrices, g: int, num: int) -> int:
        return _charged(w, prices, g, 0 if g == group else num)

    return Mutant(f"{layout}: W_{group} not in the claim", layout, ((ChainWeights, "charged", wrong),), plain)


# --- lots in a row of no instrument -----------------------------------------------------------------------------------


def with_hidden(case: ChainCase, lots: int) -> ChainCase:
    """The account whose commitment has lots in the row of the constants besides."""
    statement = case.statement.statement
    basis = lagrange_points(embedded().g1_powers(ROWS), Domain.of(ROWS))
    parts = []
    for part in statement.parts:
        (point,) = part.decoded()
        changed = msm([point, basis[CONSTANT_ROW]], [1, lots if part.role == "positions" else 0])
        parts.append(part.model_copy(update={"points": (bytes(changed.to_compressed_bytes()).hex(),)}))
    return replace(case, statement=replace(case.statement, statement=replace(statement, parts=tuple(parts))))


@contextmanager
def hiding(lots: int) -> Iterator[None]:
    """The prover commits to these lots."""

    def book(witness: object, blinders: dict[str, int]) -> tuple[K.FieldVector, ...]:
        rows = list(committed_book(witness, blinders))  # type: ignore[arg-type]
        values = K.to_ints(rows[0])
        values[CONSTANT_ROW] = lots
        rows[0] = K.from_ints(values)
        rows[2] = blinded(rows[0], [blinders["positions[0]"]])
        return tuple(rows)

    with patch.object(zkmargin.prover.chain, "committed_book", book) if lots else ExitStack():
        yield
