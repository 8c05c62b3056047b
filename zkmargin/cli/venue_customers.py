"""``zkmargin venue note | check-note``: what a venue gives to a customer, and what the customer checks."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import click

from zkmargin.app.files import Output, load, load_lots
from zkmargin.app.venue_accounts import load_accounts
from zkmargin.app.venue_dense import load_dense
from zkmargin.app.venue_facts import claimed_of
from zkmargin.app.venue_log import logged
from zkmargin.app.venue_notes import (
    VenueSecret,
    check_customer,
    check_folder,
    make_notes,
    note_for,
    note_maker,
    read_venue_proof,
    verify_venue_proof,
)
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command
from zkmargin.cli.options import (
    book_option,
    challenge_option,
    context_option,
    json_option,
    passphrase_option,
    signer_option,
    snapshot_option,
)
from zkmargin.cli.passphrases import signer_of
from zkmargin.cli.paths import check_paths, refuse_missing_folders, refuse_terminal, write_outputs
from zkmargin.cli.statements import gathered
from zkmargin.cli.venue_options import (
    Facts,
    StatementOptions,
    blamed,
    dense_option,
    log_signed,
    rejections,
    statement_options,
    terms_option,
)
from zkmargin.crypto.keys import PublicKey
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import from_units
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, VerificationError
from zkmargin.formats.files import STDIO
from zkmargin.prover.venue.notes import NoteMaker
from zkmargin.verifier.venue.customers import NONCE_BYTES, CheckedAccount, VenueNote, VenueRecord
from zkmargin.verifier.venue.terms import VenueTerms


@dataclass(frozen=True, kw_only=True)
class MakeOptions(StatementOptions):
    """What was typed after ``venue note``: its commitments are the accounts'."""

    accounts_path: str
    dense_path: str | None
    secret_path: str
    proof_path: str
    name: str | None
    everybody: bool
    key_path: str | None
    passphrase_path: str | None
    signer_command: str | None
    output: str
    as_json: bool

    def check(self) -> None:
        """Raises InputError: options that do not go together, or paths that clash."""
        inputs = [self.snapshot_path, self.terms_path, self.accounts_path, self.secret_path, self.proof_path]
        check_paths([*inputs, *([self.key_path] if self.key_path else [])], [self.output], json=self.as_json)
        refuse_terminal(self.output, "a secret note")
        if not self.everybody:
            refuse_missing_folders([self.output])
        if self.everybody == (self.name is not None):
            raise InputError("whose note? give --account NAME, or --all", file="--account")
        if self.everybody and self.output == STDIO:
            raise InputError("is a folder with --all", file="-o")
        if self.key_path is None and (self.passphrase_path or self.signer_command):
            raise InputError("the signer's public key is missing", file="--key", hint="give --key FILE")


@dataclass(frozen=True, kw_only=True)
class NoteOptions(StatementOptions):
    """What was typed after ``venue check-note``."""

    note_path: str
    record_path: str | None
    log_path: str | None
    proof_path: str | None
    book_paths: tuple[str, ...]
    name: str
    nonce: str
    key_path: str | None
    as_json: bool

    def check(self) -> None:
        """Raises InputError: paths that clash, or nothing that the venue published."""
        published = [path for path in (self.record_path, self.log_path, self.proof_path, self.key_path) if path]
        check_paths([self.note_path, *self.statement_paths, *published, *self.book_paths])
        if self.record_path is None and self.log_path is None:
            raise InputError("what did the venue publish? give its log, or its record", file="--log")


@click.command(
    "note",
    cls=Command,
    examples=[
        (
            "zkmargin venue note --snapshot snapshot.json --terms terms.json --accounts accounts.csv "
            "--secret secret.json --proof venue-proof.bin --account account-0003 -o my-note.json"
        ),
        (
            "zkmargin venue note --snapshot snapshot.json --terms terms.json --accounts accounts.csv "
            "--secret secret.json --proof venue-proof.bin --all --key venue.key.json --passphrase-file pass.txt "
            "-o my-notes"
        ),
    ],
)
@snapshot_option
@terms_option
@context_option
@challenge_option
@click.option("--accounts", "accounts_path", required=True, metavar="PATH", help="As for `venue prove` (secret).")
@dense_option
@click.option("--secret", "secret_path", required=True, metavar="FILE", help="What `venue prove` kept (secret).")
@click.option("--proof", "proof_path", required=True, metavar="FILE", help="The published proof.")
@click.option("--account", "name", metavar="NAME", help="Whose note to make.")
@click.option("--all", "everybody", is_flag=True, help="Everybody's: into a folder; a run that was stopped goes on.")
@click.option("--key", "key_path", metavar="FILE", help="Sign the note with this key.")
@passphrase_option
@signer_option
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    help="Where to write the note, or with --all the folder of notes (secret).",
)
@json_option
@gathered(MakeOptions)
def note_command(options: MakeOptions) -> None:
    """Make the note that one customer checks: its place, its nonce, and the opening of its block.

    The proof is verified first: there are no notes about one that does not hold. With --all everybody's, NUMBER.json
    each and index.csv with the names. Nothing there is overwritten.
    """
    options.check()
    snapshot, secret = load(Snapshot, options.snapshot_path), load(VenueSecret, options.secret_path)
    if options.everybody:
        check_folder(options.output, secret)  # before any work
    with terminal.progress("Building the columns again"):
        maker = _maker(options, snapshot, secret)
    signer = None
    if options.key_path is not None:
        signer = signer_of(options.key_path, options.passphrase_path, options.signer_command)
    facts: Facts = {"output": options.output, "signed": signer is not None}
    if options.name is None:
        with terminal.progress("Making notes") as advance, blamed(accounts=None, secret=options.secret_path):
            written, kept = make_notes(maker, secret, options.output, signer, advance)
        facts |= {"accounts": written + kept, "written": written, "kept": kept}
        words = f"{written + kept} notes in {options.output}, {kept} there before: give each to its customer only"
    else:
        with blamed(accounts=options.accounts_path, account="--account", secret=options.secret_path):
            note = note_for(maker, secret, options.name)
        note = note if signer is None else note.signed(signer)
        write_outputs([Output.document(options.output, note)])
        facts |= {"account": note.account}
        whose = f"{note.account}, {terminal.quoted(options.name)}"
        words = f"the note of account {whose}: give {options.output} to this customer only"
    if options.as_json:
        terminal.say_json(facts)
    else:
        terminal.say(words)


def _maker(options: MakeOptions, snapshot: Snapshot, secret: VenueSecret) -> NoteMaker:
    """Makes notes about the proof. Raises InputError that names the file at fault, or a rejection of the proof."""
    accounts = load_accounts(options.accounts_path, snapshot)
    dense = load_dense(options.dense_path, snapshot) if options.dense_path else []
    statement = options.statement([account.commitment for account in dense])
    proof = read_venue_proof(options.proof_path, statement)
    with (
        rejections(options.proof_path, as_json=options.as_json),
        blamed(secret=options.secret_path, proof=options.proof_path, accounts=options.accounts_path),
    ):
        return note_maker(statement, proof, snapshot, accounts, secret, dense)


@click.command(
    "check-note",
    cls=Command,
    examples=[
        (
            "zkmargin venue check-note note.json --snapshot snapshot.json --terms terms.json --record record.json "
            "--book account-0003.json --name account-0003 --nonce 000102030405060708090a0b0c0d0e0f"
        ),
        (
            "zkmargin venue check-note note.json --snapshot snapshot.json --terms terms.json --log log.json "
            "--proof venue-proof.bin --book account-0003.json --name account-0003 "
            "--nonce 000102030405060708090a0b0c0d0e0f --signer venue.public.json"
        ),
    ],
)
@click.argument("note_path", metavar="NOTE")
@statement_options
@click.option(
    "--log",
    "log_path",
    metavar="FILE",
    help="The venue's public log: it must hold, and have this statement as the only one of the snapshot.",
)
@click.option("--record", "record_path", metavar="FILE", help="The venue's published record, where it has no log.")
@click.option(
    "--proof",
    "proof_path",
    metavar="FILE",
    help="The published proof: verify it too. Without it nothing is known to be proved.",
)
@book_option
@click.option("--name", required=True, metavar="NAME", help="Your name at the venue.")
@click.option("--nonce", required=True, metavar="HEX", help="The nonce that you gave to the venue.")
@click.option(
    "--signer",
    "key_path",
    metavar="FILE",
    help="The venue's public key, from a source that you trust: note and log must be signed with it.",
)
@json_option
@gathered(NoteOptions)
def check_note_command(options: NoteOptions) -> None:
    """Check that your account is in the published proof with your whole book. It takes kilobytes and milliseconds.

    That the proof holds is another question: give it with --proof, or have somebody verify it. Compare the log's head
    with other customers'.
    """
    options.check()
    key = load(PublicKey, options.key_path) if options.key_path else None
    snapshot, terms = load(Snapshot, options.snapshot_path), load(VenueTerms, options.terms_path)
    note = load(VenueNote, options.note_path)
    lots, nonce = load_lots(options.book_paths, snapshot), _nonce(options.nonce)
    context, commitments = options.context(), options.commitments()
    begin = time.perf_counter()
    record, head, log_signers = _published(options, key)
    with rejections(options.note_path, as_json=options.as_json):
        checked = check_customer(
            *(snapshot, terms, record, note, lots),
            name=options.name,
            nonce=nonce,
            context=context,
            commitments=commitments,
        )
        _demand_signer(checked, key)
    _verify(options, record)
    took = round(1000 * (time.perf_counter() - begin))
    if options.as_json:
        facts = {"accepted": True, **vars(checked), "cap": _money(checked.cap), "shortfall": _money(checked.shortfall)}
        facts |= {"signer_demanded": key is not None, "proof_digest": record.proof, "log_head": head}
        facts["proof_verified"] = options.proof_path is not None
        facts |= {"log_signers": None if log_signers is None else list(log_signers), "milliseconds": took}
        terminal.say_json(facts)
    else:
        _say_checked(checked, record, terms, verified=options.proof_path is not None)
        _say_log(key, head, log_signers)
        _say_signed(checked, key)


def _money(amount: int | None) -> str | None:
    """Valuation units in quote currency."""
    return None if amount is None else from_units(amount, VALUATION_DECIMALS)


def _published(options: NoteOptions, key: PublicKey | None) -> tuple[VenueRecord, str | None, tuple[str, ...] | None]:
    """The record that the note must be of, the log's head and who signed it. Raises InputError, VerificationError."""
    if options.log_path is None:
        return load(VenueRecord, options.record_path or ""), None, None
    record = load(VenueRecord, options.record_path) if options.record_path else None
    statement = options.statement()
    with rejections(options.log_path, as_json=options.as_json):
        log, entry, signers = logged(options.log_path, statement, [] if key is None else [key])
        if record not in (None, entry.record(log.venue)):
            raise VerificationError("the log has another record of this statement", check="log")
    return entry.record(log.venue), log.head, signers


def _verify(options: NoteOptions, record: VenueRecord) -> None:
    """Verify the proof of ``--proof``, if it was given: the record's. Raises InputError, VerificationError."""
    if options.proof_path is None:
        return
    statement = options.statement()
    with rejections(options.proof_path, as_json=options.as_json), terminal.progress("Verifying"):
        verify_venue_proof(statement, read_venue_proof(options.proof_path, statement), record)


def _demand_signer(checked: CheckedAccount, key: PublicKey | None) -> None:
    """Raises VerificationError: a note that this key, and it alone, did not sign."""
    if key is not None and checked.signers != (key.public_key,):
        by = f"is signed with {', '.join(checked.signers)}" if checked.signers else "is not signed"
        raise VerificationError(f"the note {by}, not with the key of --signer, {key.public_key}", check="signer")


def _nonce(text: str) -> bytes:
    if not re.fullmatch(rf"[0-9a-fA-F]{{{2 * NONCE_BYTES}}}", text):  # bytes.fromhex alone passes over blanks
        raise InputError(f"not {2 * NONCE_BYTES} hexadecimal digits", file="--nonce")
    return bytes.fromhex(text)


def _say_checked(checked: CheckedAccount, record: VenueRecord, terms: VenueTerms, *, verified: bool) -> None:
    proof = f"the proof {record.proof[:16]}..."
    terminal.say(f"your book is in {proof} as account {checked.account}, in a row of its own")
    if checked.claim is None:
        terminal.say("nothing is claimed of accounts of its class")
    elif checked.exempt:
        terminal.say("WARNING: the venue marked your account as exempt: the proof says nothing of its health")
    else:
        (spec,) = (spec for spec in terms.classes if spec.name == checked.class_name)
        claimed = claimed_of(terms.requirement, checked.claim, spec.limits)
        known = "proved" if verified and checked.cap is None else "claimed"
        terminal.say(f"{known} of it: {terminal.safe(claimed)}")
        if checked.exempt_accounts is not None:
            exempt = terminal.counted(checked.exempt_accounts, "account")
            terminal.say(f"the proof says nothing of {exempt}, unnamed; yours is not among them")
    if checked.shortfall:
        terminal.say(f"WARNING: by the proof your account may be short of its claim by {_money(checked.shortfall)}")
    if checked.cap is not None:
        terminal.say(f"any account may be short of its claim: by {_money(checked.cap)} in all together, and no more")
    if verified:
        terminal.say(f"{proof} was verified: it holds")
    else:
        terminal.say(f"NOT VERIFIED: whether {proof} holds. Until it is verified, all of this is the venue's word")
        terminal.say("(give it with --proof FILE, or ask somebody whom you trust to run venue verify)")


def _say_log(key: PublicKey | None, head: str | None, signers: tuple[str, ...] | None) -> None:
    if head is None:
        terminal.say("no log was checked: you may have been shown another statement than others (give --log FILE)")
    else:
        terminal.say(f"the log has this statement alone for the snapshot; its head, to compare: {head}")
        terminal.say(log_signed(signers or (), "--signer", demanded=key is not None))


def _say_signed(checked: CheckedAccount, key: PublicKey | None) -> None:
    if not checked.signers:
        terminal.say("the note is not signed: it binds nobody")
    elif key is not None:
        terminal.say(f"the note is signed with the key of --signer, {terminal.quoted(key.name)}, {key.public_key}")
    else:
        terminal.say(f"the note is signed with {', '.join(checked.signers)}: whose key that is was not checked")
        terminal.say("(give the venue's public key with --signer FILE)")
