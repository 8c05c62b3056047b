"""What an account saves by margining the books of several venues as one. For the prover only: about secret books."""

from __future__ import annotations

from collections.abc import Sequence

from zkmargin.engine.book import BookLots, sum_of_books
from zkmargin.engine.margin import Amount, requirement_total
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Model, Seq


class BookAlone(Model):
    """A book's name and its own requirement."""

    name: str
    requirement: Amount


class Netting(Model):
    """Requirements of several books, each alone and all as one. Amounts as in ``MarginReport``.

    Attributes:
        alone: the requirement of each book.
        separate: their sum: what must be met where each venue margins its own part.
        together: the requirement of the sum of the books.
        saved: ``separate`` less ``together``; below 0 where a component charges concentration.
    """

    requirement: str
    alone: Seq[BookAlone]
    separate: Amount
    together: Amount
    saved: Amount


def netting(snapshot: Snapshot, books: Sequence[tuple[str, BookLots]], requirement: str = "initial") -> Netting:
    """Compare margining named books apart and as one account.

    Raises:
        InputError: an unknown requirement, books that are not of this snapshot, or whose sum leaves its bounds.
    """
    alone = [(name, requirement_total(snapshot, lots, requirement)) for name, lots in books]
    together = requirement_total(snapshot, sum_of_books([lots for _, lots in books], snapshot), requirement)
    separate = sum(amount for _, amount in alone)
    return Netting(
        requirement=requirement,
        alone=tuple(BookAlone(name=name, requirement=amount) for name, amount in alone),
        separate=separate,
        together=together,
        saved=separate - together,
    )
