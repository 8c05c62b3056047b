"""The witness of a venue's proof from its books, and what is wrong with them in the words of names and instruments."""

from __future__ import annotations

from collections.abc import Sequence

from zkmargin.accounts.commitments import commit_vector
from zkmargin.accounts.slots import ROLES
from zkmargin.app.venue_dense import DenseBook
from zkmargin.engine.book import BookLots
from zkmargin.formats import ConstraintError, InputError
from zkmargin.prover.venue.blocks import ClassBooks
from zkmargin.prover.venue.preparing import Preparing
from zkmargin.prover.venue.witness import VenueWitness, build_witness, net_positions
from zkmargin.verifier.venue.customers import tag_of
from zkmargin.verifier.venue.statement import VenueStatement


def witness_of(
    statement: VenueStatement,
    books: Sequence[ClassBooks],
    nonces: Sequence[Sequence[bytes]],
    dense: Sequence[DenseBook] = (),
    makers: Preparing | None = None,
) -> VenueWitness:
    """The witness, its columns by workers where there are some.

    Tags are made here: no equation reads them, and with one wrong tag no customer would get a note.

    Raises InputError for an opening of another book, else as ``build_witness``.
    """
    tags = [
        [tag_of(statement.digest, name, nonce) for name, nonce in zip(mine.names, drawn, strict=True)]
        for mine, drawn in zip(books, nonces, strict=True)
    ]
    hidden, names = [account.hidden for account in dense], [account.name for account in dense]
    try:
        witness = build_witness(statement, books, tags, hidden, names, makers)
    except ConstraintError as error:
        raise _by_name(error, statement, books, [account.lots for account in dense]) from None
    committed = statement.committed_points()
    for y, (account, (lots, blinders)) in enumerate(zip(dense, hidden, strict=True)):
        for role in ROLES:
            mine = [blinders[name] for name in sorted(blinders) if name.startswith(role)]
            points = commit_vector(statement.srs, statement.n, getattr(lots, role), mine)
            stated = (committed[f"dense {y} {role}[{s}]"] for s in range(len(mine)))
            if points != [bytes(point.to_compressed_bytes()) for point in stated]:
                raise InputError(
                    f"its opening does not open its commitment to these {role}", field=f"account {account.name[:100]}"
                )
    return witness


def _by_name(
    error: ConstraintError, statement: VenueStatement, books: Sequence[ClassBooks], dense: Sequence[BookLots]
) -> ConstraintError:
    """The error; where books do not sum to the stated net positions, one that names the first such instrument."""
    if error.rule != "net" or statement.terms.net is None:
        return error
    found = zip(statement.terms.net, net_positions(statement, books, dense), strict=True)
    i, want, have = next((i, want, have) for i, (want, have) in enumerate(found) if int(want) != have)
    return ConstraintError(
        f"terms: net: {statement.snapshot.instruments[i].id}: the books together have {have} lots, not {want}",
        rule="net",
        shortfall=0,
        hint="is an account missing? The other side of each trade must be among the books",
    )
