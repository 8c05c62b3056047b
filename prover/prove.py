"""From a book and its openings to proof bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from zkmargin.accounts.commitments import commit_vector
from zkmargin.accounts.openings import Opening, check_opened, total_blinders
from zkmargin.accounts.slots import ROLES
from zkmargin.circuits.books import margin_witness
from zkmargin.crypto.field import random_scalar
from zkmargin.crypto.group import encode_g1
from zkmargin.engine.book import Book, BookLots, as_lots
from zkmargin.formats import InputError, VerificationError
from zkmargin.prover.argument import prove_with_values
from zkmargin.prover.profile import Profile
from zkmargin.verifier import Statement
from zkmargin.verifier.argument import reduce_to_opening
from zkmargin.verifier.proof import decode_proof, encode_proof
from zkmargin.verifier.verify import fold, holds


def prove(
    statement: Statement,
    book: Book | BookLots,
    openings: Sequence[Opening],
    *,
    threads: int | None = None,
    profile: Profile | None = None,
) -> bytes:
    """A proof that the committed book meets the claim and the limits; verified before it is returned.

    Args:
        statement: what to prove, of the openings' own commitments: ``Statement.of(snapshot, [opening.commitment()
            for opening in openings], claim)``.
        book: the whole book, the sum of all committed parts.
        openings: the openings of all parts of positions and collateral.
        threads: how many parts of the work run at the same time (default: the processors, at most 4); the proof
            does not depend on it.
        profile: filled with times and sizes, if given.

    Raises:
        ConstraintError: the claim is false for this book (for its owner: holds the numbers).
        InputError: documents that do not belong together.

    Example:
        >>> len(prove(statement, book, [opening]))
        1116
    """
    lots = as_lots(book, statement.snapshot)
    profile = profile or Profile()
    with profile.stage("statement"):
        check_opened(openings, statement.parts)
    with profile.stage("witness"):
        witness = margin_witness(statement.snapshot, statement.claim, lots, statement.limits)
        blinders = total_blinders(openings)
    threads = threads or default_threads()
    argument, own = prove_with_values(statement, witness, blinders, random_scalar, threads=threads, profile=profile)
    proof = encode_proof(argument, statement.srs.digest)
    with profile.stage("self-verification"), explained([(statement, lots, blinders)]):
        decoded = decode_proof(proof, statement.circuit.shape, statement.srs.digest)
        opening = reduce_to_opening(statement, decoded, own, own.points)
        if not holds(*fold([opening], [1], statement.srs), statement.srs):
            raise VerificationError("the proof does not prove this statement", check="pairing")
    return proof


def default_threads() -> int:
    """The processors that this process may use, at most 4: a proof has no more work to share."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, 4)


@contextmanager
def explained(accounts: Sequence[tuple[Statement, BookLots, dict[str, int]]]) -> Iterator[None]:
    """Around a prover's check of its own proof: where that fails, openings that do not fit are named as the reason.

    Args:
        accounts: statement, book and blinders of each account that the proof is about.
    """
    try:
        yield
    except VerificationError:
        for statement, lots, blinders in accounts:
            check_openings(statement, lots, blinders)
        raise


def check_openings(statement: Statement, lots: BookLots, blinders: dict[str, int]) -> None:
    """The likely reason why an own proof fails: openings that do not open the commitments to this book."""
    committed = statement.committed_points()
    for role in ROLES:
        columns = [column for column in committed if column.startswith(role)]
        row = [blinders[column] for column in columns]
        points = commit_vector(statement.srs, statement.circuit.n, getattr(lots, role), row)
        if any(point != encode_g1(committed[column]) for column, point in zip(columns, points, strict=True)):
            raise InputError(
                f"the openings of {role} do not belong to this book",
                field="opening",
                hint="give every opening of the account, and the book that was committed",
            )
