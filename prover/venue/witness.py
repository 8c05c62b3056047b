"""The witness of a venue: who is under its claim, who is exempt, and the columns of everybody.

Everything here is secret. ``ConstraintError`` messages name accounts and shortfalls: they are for the venue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from zkmargin.crypto.field import r
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import from_units
from zkmargin.formats.errors import ConstraintError, InputError
from zkmargin.prover.venue.blocks import (
    Assessment,
    ClassBooks,
    ClassWitness,
    assess,
    check_books,
    class_witness,
    under_claim,
)
from zkmargin.prover.venue.dense import DenseAssessment, DenseWitness, assess_dense, dense_witness, surpluses
from zkmargin.verifier.venue.statement import VenueStatement

Int64Array = npt.NDArray[np.int64]
NAMED = 10


@dataclass(repr=False)
class VenueWitness:
    """Everything hidden: columns of the classes, tags, the cap's column, dense accounts.

    Attributes:
        classes: one a class.
        tags: [tag columns][n] field elements.
        extra: int64 [n] or None.
        dense: of all dense accounts.
        blinders: of the dense accounts' committed columns, by name.
    """

    classes: tuple[ClassWitness, ...]
    tags: list[list[int]]
    extra: Int64Array | None
    dense: DenseWitness
    blinders: dict[str, int]

    def columns(self, statement: VenueStatement) -> dict[str, list[int]]:
        """Every column on H by name, as the reference prover takes them."""
        found: dict[str, list[int]] = {}
        for x in statement.sets:
            mine = self.classes[x.kind]
            rows = [*mine.ids[x.local], mine.group[x.local], *mine.digits[x.local]]
            for name, values in zip(statement.set_columns(x), rows, strict=True):
                found[name] = values.reshape(-1).astype(np.int64).tolist()
        for j, tags in enumerate(self.tags):
            found[f"tag {j}"] = list(tags)
        if self.extra is not None:
            found["extra digit 0"] = self.extra.tolist()
        found |= {name: rows.tolist() for name, rows in self.dense.committed.items()}
        names = statement.digit_names("dense", statement.dense_columns)
        return found | {name: rows.tolist() for name, rows in zip(names, self.dense.digits, strict=True)}


@dataclass(frozen=True)
class Unhealthy:
    """An account under its claim: for the venue only. ``shortfall`` in valuation units."""

    account: int
    name: str
    shortfall: int


def unhealthy(statement: VenueStatement, books: Sequence[ClassBooks]) -> list[Unhealthy]:
    """Every block account that misses its claim, worst first. Raises InputError."""
    found: list[Unhealthy] = []
    first = 0
    for mine, under in zip(books, _Here(statement).examine(books), strict=True):
        found += [Unhealthy(first + a, mine.names[a], short) for a, short in under]
        first += len(mine.names)
    return sorted(found, key=lambda account: -account.shortfall)


class Maker(Protocol):
    """Whoever makes the columns of block accounts: this process, or workers (``prover.venue.preparing``)."""

    def examine(self, books: Sequence[ClassBooks]) -> list[list[tuple[int, int]]]:
        """For each class who is under its claim: (account, shortfall)."""
        ...

    def columns(
        self, books: Sequence[ClassBooks], marks: Sequence[npt.NDArray[np.bool_]]
    ) -> tuple[list[ClassWitness], int]:
        """The columns of every class, and the sum of all shortfalls."""
        ...


class _Here:
    """This process."""

    def __init__(self, statement: VenueStatement) -> None:
        self.templates = statement.templates
        self.assessed: list[Assessment] = []

    def examine(self, books: Sequence[ClassBooks]) -> list[list[tuple[int, int]]]:
        """As ``Maker``."""
        self.assessed = [assess(template, mine) for template, mine in zip(self.templates, books, strict=True)]
        return [under_claim(template, one) for template, one in zip(self.templates, self.assessed, strict=True)]

    def columns(
        self, books: Sequence[ClassBooks], marks: Sequence[npt.NDArray[np.bool_]]
    ) -> tuple[list[ClassWitness], int]:
        """As ``Maker``."""
        every = zip(self.templates, books, marks, self.assessed, strict=True)
        made = [class_witness(template, mine, marked, one) for template, mine, marked, one in every]
        return [columns for columns, _ in made], sum(missing for _, missing in made)


def build_witness(
    statement: VenueStatement,
    books: Sequence[ClassBooks],
    tags: Sequence[Sequence[int]],
    dense: Sequence[tuple[BookLots, dict[str, int]]] = (),
    dense_names: Sequence[str] = (),
    maker: Maker | None = None,
) -> VenueWitness:
    """The witness of a venue.

    Args:
        books: one a class.
        tags: for each class one tag an account.
        dense: for each dense account its book and the blinders of its commitments.
        dense_names: what errors call them; by their numbers without.
        maker: makes the columns of block accounts; this process without.

    Raises:
        InputError: books that do not fit their classes, or the statement's net positions or totals.
        ConstraintError: accounts under their claims, by name, with their shortfalls.
    """
    for template, mine in zip(statement.templates, books, strict=True):
        check_books(template, mine)  # here, whoever makes the columns: those of a cut position are another account's
    maker = maker or _Here(statement)
    under = maker.examine(books)
    lots = [book for book, _ in dense]
    dense_assessed = assess_dense(statement, lots)
    names = dense_names or [f"dense account {y}" for y in range(len(dense))]
    marks = _marks(statement, books, under, dense_assessed, names)
    _check_sums(statement, books, lots)
    classes, shortfalls = maker.columns(books, marks[:-1])
    accounts, missing = dense_witness(statement, lots, dense_assessed, marks[-1])
    extra = _cap_column(statement, shortfalls + missing)
    blinders = {f"dense {y} {column}": b for y, (_, hidden) in enumerate(dense) for column, b in hidden.items()}
    return VenueWitness(tuple(classes), tag_rows(statement, tags), extra, accounts, blinders)


def tag_rows(statement: VenueStatement, tags: Sequence[Sequence[int]]) -> list[list[int]]:
    """The tag columns: account t of a set has its tag at row t + T b, b the set's row in its column."""
    rows = [[0] * statement.n for _ in range(statement.tag_columns)]
    for x in statement.sets:
        T = statement.templates[x.kind].T
        column, b = statement.tag_column(x)
        mine = tags[x.kind][x.local * T : x.local * T + x.used]
        rows[column][T * b : T * b + len(mine)] = [tag % r for tag in mine]
    return rows


def _marks(
    statement: VenueStatement,
    books: Sequence[ClassBooks],
    missed: Sequence[Sequence[tuple[int, int]]],
    dense: Sequence[DenseAssessment],
    dense_names: Sequence[str],
) -> list[npt.NDArray[np.bool_]]:
    """Who is marked as exempt, class by class, and last the dense accounts. Raises ConstraintError."""
    terms = statement.terms
    under: list[Unhealthy] = []
    marks, first = [], 0
    for mine, missing_claim in zip(books, missed, strict=True):
        bad = np.zeros(len(mine.names), dtype=np.bool_)
        bad[[a for a, _ in missing_claim]] = True
        under += [Unhealthy(first + a, mine.names[a], short) for a, short in missing_claim]
        marks.append(bad)
        first += len(mine.names)
    bad, den = np.zeros(len(statement.dense), dtype=np.bool_), terms.options.den
    for y, surplus in sorted(surpluses(dense).items()):
        bad[y] = surplus < 0
        under += [Unhealthy(first + y, dense_names[y], -(surplus // den))] if surplus < 0 else []
    marks.append(bad)
    if terms.cap is not None:
        total, cap = sum(one.shortfall for one in under), int(terms.cap)
        if total > cap:
            raise _refused(under, f"all shortfalls are {_money(total)} together, more than the cap of {_money(cap)}")
        return marks
    if len(under) > (terms.exempt or 0):
        raise _refused(
            under,
            f"{len(under)} account{' is' if len(under) == 1 else 's are'} under margin, {terms.exempt or 0} may be",
        )
    if terms.exempt is None:
        return marks
    missing = terms.exempt - len(under)
    claimed = [np.full(template.spec.accounts, template.claimed) for template in statement.templates]
    claimed.append(np.array([y.template.claim is not None for y in statement.dense], dtype=np.bool_))
    for has_claim, marked in zip(claimed, marks, strict=True):  # marking a healthy account helps nobody
        more = np.flatnonzero(~marked & has_claim)[:missing]
        marked[more] = True
        missing -= len(more)
    if missing:
        raise InputError(f"{terms.exempt} exempt accounts where fewer have a claim", field="terms: exempt")
    return marks


def _refused(under: Sequence[Unhealthy], reason: str) -> ConstraintError:
    worst = sorted(under, key=lambda one: -one.shortfall)
    named = "; ".join(f"{one.name[:60]}: {_money(one.shortfall)}" for one in worst[:NAMED])
    more = f" and {len(worst) - NAMED} more" if len(worst) > NAMED else ""
    error = ConstraintError(
        f"{reason}; short by: {named}{more}",
        rule="claim",
        shortfall=worst[0].shortfall if worst else 0,
        hint="nothing was proved; raise their collateral, or state exemptions or a cap",
    )
    error.facts = {"unhealthy": [{"account": one.name, "shortfall": _money(one.shortfall)} for one in worst]}
    return error


def _money(amount: int) -> str:
    return from_units(amount, VALUATION_DECIMALS)


def net_positions(statement: VenueStatement, books: Sequence[ClassBooks], dense: Sequence[BookLots] = ()) -> list[int]:
    """[N] lots of all accounts together."""
    net = np.zeros(statement.rules.instruments, dtype=object)
    for mine in books:
        ids, lots = mine.instruments.reshape(-1), mine.lots.reshape(-1)
        for shift in (0, 30):  # 30 bits at a time: a sum of 2^30 of them stays below 2^60
            part = (lots >> shift) & ((1 << 30) - 1) if shift == 0 else lots >> shift
            sums = np.zeros(len(net), dtype=np.int64)
            np.add.at(sums, ids, part)
            net = net + sums.astype(object) * (1 << shift)
    for book in dense:
        net = net + np.array(book.positions, dtype=object)
    return [int(x) for x in net]


def held_totals(statement: VenueStatement, books: Sequence[ClassBooks], dense: Sequence[BookLots] = ()) -> list[int]:
    """[M] lots of all held balances together."""
    totals = []
    for j in range(statement.rules.assets):
        held = sum(sum(np.maximum(mine.balances[:, j], 0).tolist()) for mine in books)
        totals.append(held + sum(max(book.collateral[j], 0) for book in dense))
    return totals


def _check_sums(statement: VenueStatement, books: Sequence[ClassBooks], dense: Sequence[BookLots]) -> None:
    terms = statement.terms
    for field, stated, found in (
        ("net", terms.net, net_positions(statement, books, dense) if terms.net is not None else []),
        ("totals", terms.totals, held_totals(statement, books, dense) if terms.totals is not None else []),
    ):
        for i, (want, have) in enumerate(zip(stated or (), found, strict=True)):
            if int(want) != have:
                raise ConstraintError(
                    f"terms: {field}[{i}] says {want}, the books together have {have} lots", rule=field, shortfall=0
                )


def _cap_column(statement: VenueStatement, shortfalls: int) -> Int64Array | None:
    if statement.terms.cap is None:
        return None
    column, slack = np.zeros(statement.n, dtype=np.int64), int(statement.terms.cap) - shortfalls
    for row in range(statement.cap_digits):
        column[row] = (slack >> (statement.k * row)) & ((1 << statement.k) - 1)
    return column
