"""From books and their openings to the bytes of a chain proof, of one account or of many together."""

from __future__ import annotations

from collections.abc import Sequence

from zkmargin.accounts.openings import Opening, check_opened, total_blinders
from zkmargin.circuits.books import margin_witness
from zkmargin.crypto.field import random_scalar
from zkmargin.engine.book import BookLots
from zkmargin.prover.chain import prove_chain_argument
from zkmargin.prover.chain_joint import prove_joint_argument
from zkmargin.prover.profile import Profile
from zkmargin.prover.prove import default_threads, explained
from zkmargin.verifier.chain import ChainStatement, encode_chain_proof, verify_chain
from zkmargin.verifier.chain.joint import JointStatement, verify_joint
from zkmargin.verifier.chain.joint_proof import encode_joint_proof


def prove_chain(
    statement: ChainStatement,
    lots: BookLots,
    openings: Sequence[Opening],
    *,
    threads: int | None = None,
    profile: Profile | None = None,
) -> bytes:
    """A chain proof that the committed book meets the claim; verified before it is returned.

    Args:
        statement: what to prove, of the openings' own commitments.
        lots: the whole book, the sum of all committed parts.
        openings: the openings of all parts of positions and collateral.
        threads: how many parts of the work run at the same time; the proof does not depend on it.
        profile: filled with times and sizes, if given.

    Raises:
        ConstraintError: the claim is false for this book (for its owner: holds the numbers).
        InputError: documents that do not belong together, or a number that the chain layout has no room for.
    """
    profile, inner = profile or Profile(), statement.statement
    check_opened(openings, inner.parts)
    with profile.stage("witness"):
        witness = margin_witness(inner.snapshot, inner.claim, lots)
        blinders = total_blinders(openings)
    threads = threads or default_threads()
    argument = prove_chain_argument(statement, witness, blinders, random_scalar, threads=threads, profile=profile)
    proof = encode_chain_proof(argument, inner.srs.digest)
    with profile.stage("self-verification"), explained([(inner, lots, blinders)]):
        verify_chain(statement, proof)
    return proof


def prove_joint(
    statement: JointStatement,
    accounts: Sequence[tuple[BookLots, Sequence[Opening]]],
    *,
    threads: int | None = None,
    profile: Profile | None = None,
) -> bytes:
    """One proof that every account meets the claim; verified before it is returned.

    Args:
        statement: what to prove, of the openings' own commitments.
        accounts: book and openings of each account, in the order of the statement.
        threads, profile: as for ``prove_chain``.

    Raises:
        ConstraintError: the claim is false for one of the books (for its owner: holds the numbers).
        InputError: documents that do not belong together, or a number that the chain layout has no room for.
    """
    profile = profile or Profile()
    witnesses, blinders = [], []
    with profile.stage("witness"):
        for one, (lots, openings) in zip(statement.accounts, accounts, strict=True):
            check_opened(openings, one.statement.parts)
            witnesses.append(margin_witness(one.statement.snapshot, one.statement.claim, lots))
            blinders.append(total_blinders(openings))
    threads = threads or default_threads()
    argument = prove_joint_argument(statement, witnesses, blinders, random_scalar, threads=threads, profile=profile)
    proof = encode_joint_proof(argument, statement.srs.digest)
    opened = zip(statement.accounts, accounts, blinders, strict=True)
    with profile.stage("self-verification"), explained([(one.statement, lots, b) for one, (lots, _), b in opened]):
        verify_joint(statement, proof)
    return proof
