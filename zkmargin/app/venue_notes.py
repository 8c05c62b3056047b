"""What follows a venue's proof: its verification, notes for customers from what the venue kept, a customer's check."""

from __future__ import annotations

import csv
import io
import os
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from zkmargin.accounts import Commitment
from zkmargin.app.files import blamed_on, load, no_formula, read_proof
from zkmargin.app.venue_accounts import Accounts, VenueAccount
from zkmargin.app.venue_classes import class_books, members_of
from zkmargin.app.venue_dense import DenseBook
from zkmargin.app.venue_witness import witness_of
from zkmargin.circuits.venue import VenueRules
from zkmargin.crypto.keys import Signer
from zkmargin.engine.book import BookLots
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import (
    ConstraintError,
    Digest,
    Document,
    Hexadecimal,
    InputError,
    Map,
    Seq,
    VerificationError,
    write_atomic,
)
from zkmargin.prover.venue.blinders import SEED_BYTES, SeededBlinders
from zkmargin.prover.venue.notes import NoteMaker
from zkmargin.prover.venue.prove import inputs_digest
from zkmargin.verifier.venue.customers import CheckedAccount, Nonce, VenueNote, VenueRecord, check_note, record_of
from zkmargin.verifier.venue.proof import decode_venue_proof, venue_proof_bytes
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import VenueTerms
from zkmargin.verifier.venue.verify import VenueAccepted, verify_venue

#: Way out of a secret that no notes can be made from.
THEN = "give every account with the book that it had when it was proved"
OTHER_FOLDER = "name another folder"
INDEX = "index.csv"
KEPT = "give the secret file that was written with the proof"


class VenueSecret(Document):
    """What a venue keeps to make notes about a proof: the seed of its blinders, and every account's place and nonce.

    Attributes:
        statement, proof: digests of what was published.
        inputs: digest of all books and tags, hex: a seed serves one witness only.
        seed: hex.
        classes: the accounts' names in order, class by class.
        nonces: by name, hex.
    """

    FORMAT: ClassVar[str] = "zkmargin/venue-secret/v1"
    SECRET: ClassVar[bool] = True

    statement: Digest
    proof: Digest
    inputs: Digest
    seed: Annotated[str, Hexadecimal(SEED_BYTES)] = Field(repr=False)
    classes: Seq[Seq[str]] = Field(repr=False)
    nonces: Map[str, Nonce] = Field(repr=False)

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [name for mine in self.classes for name in mine]
        if len(set(names)) != len(names):
            raise InputError("an account appears twice", field="classes", hint=KEPT)
        missing = next((name for name in names if name not in self.nonces), None)
        if missing is not None:
            raise InputError(f"none of account {missing[:100]!r}", field="nonces", hint=KEPT)
        return self


def read_venue_proof(path: str, statement: VenueStatement) -> bytes:
    """A proof file, no more of it than a proof of the statement has. Raises InputError, ProofFormatError."""
    return read_proof(path, most=venue_proof_bytes(statement))


def verify_venue_proof(
    statement: VenueStatement, proof: bytes, record: VenueRecord | None = None
) -> tuple[VenueAccepted, VenueRecord]:
    """Verify a proof, and that it is the one of a published record.

    Raises:
        ProofFormatError, VerificationError: rejected.
    """
    accepted = verify_venue(statement, proof)
    made = accepted.record
    if record is not None and record != made:
        raise VerificationError("the proof holds, but it is not the one of the published record", check="record")
    return accepted, made


def note_maker(
    statement: VenueStatement,
    proof: bytes,
    snapshot: Snapshot,
    accounts: Accounts | Sequence[VenueAccount],
    secret: VenueSecret,
    dense: Sequence[DenseBook] = (),
) -> NoteMaker:
    """Make notes about a proof again from accounts and the venue's secret. The proof is verified, once.

    Raises:
        InputError: other accounts, or a secret of another proof.
        ProofFormatError, VerificationError: a proof that is none of the statement, or does not hold.
    """
    terms = statement.terms
    if secret.statement != statement.digest.hex():
        raise InputError("is about another statement", field="secret", hint=KEPT)
    counts = [len(mine) for mine in secret.classes]
    if counts != [spec.accounts for spec in terms.classes]:
        raise InputError(
            f"names {sum(counts)} accounts, the terms have {statement.accounts}: not as many in each class",
            field="secret",
            hint=KEPT,
        )
    decoded = decode_venue_proof(proof, statement)
    if record_of(statement, decoded).proof != secret.proof:
        raise InputError(
            "is not the proof that the secret was kept for", field="proof", hint="give the one that was published"
        )
    verify_venue(statement, proof)  # a venue signs nothing about a proof that does not hold
    if not isinstance(accounts, Accounts):
        accounts = Accounts.of(accounts, snapshot)
    try:
        members = members_of(accounts, secret.classes)
    except KeyError as error:
        raise InputError("no such account now", field=f"account {str(error.args[0])[:100]}", hint=THEN) from None
    rules = VenueRules.of(snapshot, statement.terms.requirement)
    try:
        books = [class_books(spec, accounts, mine, rules) for spec, mine in zip(terms.classes, members, strict=True)]
    except InputError as error:
        raise InputError("its book is not that of the proof", field=error.field, hint=THEN) from None
    nonces = [[bytes.fromhex(secret.nonces[name]) for name in mine.names] for mine in books]
    if tuple(account.commitment.digest().hex() for account in dense) != tuple(d.commitment for d in terms.dense):
        raise InputError("not the committed accounts of the proof", field="dense")
    other = InputError("the accounts are not those of the proof", field="accounts", hint=THEN)
    try:
        witness = witness_of(statement, books, nonces, dense)
    except ConstraintError:  # what was proved held then: these are other books
        raise other from None
    inputs = inputs_digest(statement, witness)
    if inputs.hex() != secret.inputs:
        raise other
    blinders = SeededBlinders(bytes.fromhex(secret.seed), inputs)
    return NoteMaker(statement, decoded, witness, blinders)


def note_for(maker: NoteMaker, secret: VenueSecret, name: str) -> VenueNote:
    """The note of one account. Raises InputError for an unknown name, or a secret with another seed."""
    number = 0
    for mine in secret.classes:
        if name in mine:
            return _made(maker, number + mine.index(name), name, bytes.fromhex(secret.nonces[name]))
        number += len(mine)
    raise InputError(
        f"no account {name[:100]!r} in blocks", field="account", hint="names are as the accounts have them"
    )


def _made(maker: NoteMaker, account: int, name: str, nonce: bytes) -> VenueNote:
    """A note. Raises InputError: the books are the proof's, so its columns were blinded from another seed."""
    try:
        return maker.note(account, name, nonce)
    except VerificationError:
        raise InputError("has another seed than the proof was made with", field="secret", hint=KEPT) from None


def index_of(secret: VenueSecret) -> bytes:
    """``index.csv`` of a folder of everybody's notes: file and account, no name as a spreadsheet's formula."""
    text, names = io.StringIO(), (name for mine in secret.classes for name in mine)
    rows = ((_file_of(account), no_formula(name)) for account, name in enumerate(names))
    csv.writer(text, lineterminator="\n").writerows([("file", "account"), *rows])
    return text.getvalue().encode()


def check_folder(folder: str, secret: VenueSecret) -> None:
    """Whether everybody's notes may go into a folder: before any work, and whether or not it is there.

    Raises:
        InputError: it is no folder, other users can look into it or it is theirs; or it has links, the index of other
            accounts, or a note beyond the last account.
    """
    home = Path(folder)
    try:
        if not os.path.lexists(home):
            return
        state = home.stat()
        if not stat.S_ISDIR(state.st_mode):
            raise InputError("is no folder", file=folder)
        if os.name == "posix" and (state.st_uid != os.geteuid() or state.st_mode & (stat.S_IRWXG | stat.S_IRWXO)):
            whose = "belongs to another user" if state.st_uid != os.geteuid() else "is open to other users"
            raise InputError(f"{whose}: notes are secret", file=folder, hint=f"chmod 700 {folder}, or name another one")
        count = sum(map(len, secret.classes))
        for file in home.iterdir():
            if file.is_symlink():
                raise InputError("is a link, and not followed", file=str(file), hint=OTHER_FOLDER)
            if re.fullmatch(r"[0-9]{8}\.json", file.name) and int(file.stem) >= count:
                raise InputError(f"is no note of these {count} accounts", file=str(file), hint=OTHER_FOLDER)
        index = home / INDEX
        if index.exists() and index.read_bytes() != index_of(secret):
            raise InputError("is the index of other accounts", file=str(index), hint=OTHER_FOLDER)
    except OSError as error:
        raise InputError(f"cannot be read: {(error.strerror or 'error').lower()}", file=folder) from None


def make_notes(
    maker: NoteMaker,
    secret: VenueSecret,
    folder: str,
    signer: Signer | None = None,
    advance: Callable[[int, int], None] = lambda _done, _size: None,
) -> tuple[int, int]:
    """Every customer's note into a folder, ``NUMBER.json`` each, and ``index.csv`` last: file and account.

    Nothing is overwritten: a note that is there is kept if it holds and is signed as the others are, so that a run that
    was stopped goes on where it was.

    Args:
        maker: of the proof.
        secret: what the venue kept.
        folder: made if it is not there, mode 0700.
        signer: signs them; notes that are there must be signed with its key. Without, with no key.
        advance: called with how many are done, of how many.

    Returns:
        How many were written, and how many there were before.

    Raises:
        InputError: a file in the folder that is another note or none, a secret with another seed, or as
            ``check_folder``.
    """
    check_folder(folder, secret)
    home = Path(folder)
    try:
        home.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made: {(error.strerror or 'error').lower()}", file=folder) from None
    names = [name for mine in secret.classes for name in mine]
    written = 0
    for account, name in enumerate(names):
        path, nonce = home / _file_of(account), bytes.fromhex(secret.nonces[name])
        if os.path.lexists(path):
            _check_kept(path, maker, signer, account, name, nonce)
        else:
            note = _made(maker, account, name, nonce)
            note = note if signer is None else note.signed(signer)
            write_atomic(path, note.to_bytes(), secret=True, replace=False)
            written += 1
        advance(account + 1, len(names))
    if not (home / INDEX).exists():
        write_atomic(home / INDEX, index_of(secret), secret=True, replace=False)
    return written, len(names) - written


def _file_of(account: int) -> str:
    return f"{account:08}.json"


def _check_kept(path: Path, maker: NoteMaker, signer: Signer | None, account: int, name: str, nonce: bytes) -> None:
    """Raises InputError for a file that is not this account's note, signed as it would be now."""
    note = load(VenueNote, str(path))
    try:
        maker.check(note, account, name, nonce)
    except VerificationError:
        raise InputError("is another note, and not overwritten", file=str(path), hint=OTHER_FOLDER) from None
    keys = [key for s in note.signatures for key in (s.public_keys if s.verifies(note.message) else ("none",))]
    if keys != ([] if signer is None else [signer.public.public_key]):
        wanted = "unsigned" if signer is None else f"signed with {signer.public.public_key}"
        reason = f"is not {wanted} as the others, and not overwritten"
        raise InputError(reason, file=str(path), hint=f"sign as before, or {OTHER_FOLDER}")


def check_customer(
    snapshot: Snapshot,
    terms: VenueTerms,
    record: VenueRecord,
    note: VenueNote,
    book: BookLots,
    *,
    name: str,
    nonce: bytes,
    context: bytes = b"",
    commitments: Sequence[Commitment] = (),
) -> CheckedAccount:
    """A customer's check, from its own files. Raises InputError, VerificationError."""
    with blamed_on("terms"):
        statement = VenueStatement.of(snapshot, terms, commitments=commitments, context=context)
    positions = {i: q for i, q in enumerate(book.positions) if q}
    return check_note(statement, record, note, name=name, nonce=nonce, positions=positions, balances=book.collateral)
