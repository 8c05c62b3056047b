"""From a book and its openings to a proof that its claim is false."""

from __future__ import annotations

from collections.abc import Sequence

from zkmargin.accounts.openings import Opening, check_opened, total_blinders
from zkmargin.circuits.breach import breach_witness
from zkmargin.crypto.field import random_scalar
from zkmargin.engine.book import Book, BookLots, as_lots
from zkmargin.prover.argument import prove_argument
from zkmargin.prover.prove import default_threads, explained
from zkmargin.verifier.breach import BreachStatement, verify_breach
from zkmargin.verifier.proof import encode_proof


def prove_breach(
    statement: BreachStatement, book: Book | BookLots, openings: Sequence[Opening], *, threads: int | None = None
) -> bytes:
    """A proof that the committed book does not meet the claim; verified before it is returned.

    Args:
        statement: what to prove, of the openings' own commitments.
        book: the whole book.
        openings: of all parts of positions and collateral.
        threads: as for ``prove``.

    Raises:
        ConstraintError: no breach that scenarios alone show (for who knows the book: holds the number).
        InputError: documents that do not belong together, or a policy that is refused by name.

    Example:
        >>> from zkmargin import Claim, verify_breach
        >>> breach = BreachStatement.of(snapshot, [commitment], Claim(3))
        >>> len(verify_breach(breach, prove_breach(breach, book, [opening])))
        32
    """
    account = statement.account
    lots = as_lots(book, account.snapshot)
    check_opened(openings, account.parts)
    witness, blinders = breach_witness(account.snapshot, account.claim, lots), total_blinders(openings)
    argument = prove_argument(statement, witness, blinders, random_scalar, threads=threads or default_threads())
    proof = encode_proof(argument, statement.srs.digest)
    with explained([(account, lots, blinders)]):
        verify_breach(statement, proof)
    return proof
