"""``zkmargin venue``: every account of a venue in one proof, and a customer's check of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import click

from zkmargin.accounts import Commitment
from zkmargin.app.files import Output, load, load_lots
from zkmargin.app.runtime import compile_note
from zkmargin.app.venue_dense import DenseBook, check_against_ledger, load_dense
from zkmargin.app.venue_facts import terms_facts
from zkmargin.app.venue_names import check_name
from zkmargin.app.venues import (
    Asked,
    MadeVenue,
    NetChoice,
    VenueAccount,
    VenueSecret,
    check_customer,
    load_accounts,
    load_nonces,
    make_venue_proof,
    note_for,
    note_maker,
    prepare,
    read_venue_proof,
    verify_venue_proof,
)
from zkmargin.app.verifying import check_age, clock_ms
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.ledgers import open_ledger
from zkmargin.cli.options import (
    book_option,
    challenge_option,
    claim_options,
    context_of,
    context_option,
    json_option,
    parse_age,
    parse_limits,
    passphrase_option,
    signer_option,
    snapshot_option,
)
from zkmargin.cli.passphrases import signer_of
from zkmargin.cli.paths import check_paths, force_option, refuse_terminal, write_outputs
from zkmargin.cli.statements import gathered
from zkmargin.cli.venue_words import venue_lines
from zkmargin.crypto.keys import PublicKey
from zkmargin.engine.claims import VALUATION_DECIMALS, Claim
from zkmargin.engine.decimals import to_units
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, ProofFormatError, VerificationError
from zkmargin.prover.prove import default_threads
from zkmargin.prover.venue.cluster import Cluster
from zkmargin.verifier.venue.customers import NONCE_BYTES, CheckedAccount, VenueNote, VenueRecord
from zkmargin.verifier.venue.proof import venue_proof_bytes
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import VenueTerms

MAX_THREADS = 256
Facts = dict[str, Any]
terms_option = click.option("--terms", "terms_path", required=True, metavar="FILE", help="The terms of the proof.")
commitment_option = click.option(
    "--commitment",
    "commitment_paths",
    multiple=True,
    metavar="FILE",
    help="Of each account that the terms name by its commitment, in their order.",
)
dense_option = click.option(
    "--dense",
    "dense_path",
    metavar="FOLDER",
    help="Large accounts by their own commitments: NAME.book.json and NAME.opening.json of each (secret).",
)


@dataclass(frozen=True, kw_only=True)
class ProveOptions:
    """What was typed after ``venue prove``."""

    snapshot_path: str
    accounts_path: str | None
    dense_path: str | None
    ledger_where: str | None
    nonces_path: str | None
    venue_name: str
    claim_text: str
    requirement: Literal["initial", "maintenance"]
    also_texts: tuple[str, ...]
    net: NetChoice
    totals: bool
    cap: str | None
    exempt: int | None
    position_bits: int
    digit_bits: int | None
    context_text: str
    challenge_path: str | None
    threads: int | None
    workers: int
    cluster: str | None
    tls_ca: str | None
    tls_cert: str | None
    tls_key: str | None
    output: str
    terms_path: str
    record_path: str
    secret_path: str
    as_json: bool

    def asked(self) -> Asked:
        """What is to be proved. Raises InputError."""
        claim = Claim.parse(self.claim_text, self.requirement)
        check_name(self.venue_name, file="--venue")
        limits = tuple(map(str, parse_limits(self.also_texts)))
        if len(limits) > 1 or not all(text.startswith("headroom ") for text in limits):
            reason = "a venue's proof has one limit of every account, headroom"
            raise InputError(reason, file="--also", hint='give it once: --also "headroom >= X"')
        return Asked(
            venue=self.venue_name,
            requirement=self.requirement,
            claim=str(claim.num) if claim.den == 1 else f"{claim.num}/{claim.den}",
            net=self.net,
            totals=self.totals,
            cap=None if self.cap is None else _cap(self.cap),
            exempt=self.exempt,
            context=context_of(self.context_text, self.challenge_path)[0],
            limits=limits,
            position_bits=self.position_bits,
            digit_bits=self.digit_bits,
        )


def _cap(text: str) -> str:
    """The amount of ``--cap``. Raises InputError."""
    hint = "an amount in quote currency, as 250000"
    try:
        amount = to_units(text, VALUATION_DECIMALS)
    except InputError as error:
        raise InputError(error.reason, file="--cap", hint=hint) from None
    if amount < 0:
        raise InputError("below 0", file="--cap", hint=hint)
    return text


@dataclass(frozen=True, kw_only=True)
class NoteOptions:
    """What was typed after ``venue check-note``."""

    note_path: str
    snapshot_path: str
    terms_path: str
    commitment_paths: tuple[str, ...]
    context_text: str
    challenge_path: str | None
    record_path: str
    book_paths: tuple[str, ...]
    name: str
    nonce: str
    key_path: str | None
    as_json: bool


@click.group("venue", cls=Group)
def command() -> None:
    """Prove that no account of a venue is under margin; check that one's own account is inside.

    A venue proves all accounts in one proof and publishes snapshot, terms, proof and record. Anyone verifies them. Each
    customer gets a note and checks, from kilobytes, that its whole book is in the published proof.
    """


@command.command(
    "prove",
    cls=Command,
    examples=[
        "zkmargin venue prove --snapshot S --accounts books/ --venue A --net zero -o P --terms T --record R --secret X",
        "zkmargin venue prove --snapshot S --accounts A.csv --venue A --totals -o P --terms T --record R --secret X",
        "zkmargin venue prove --snapshot S --dense large/ --ledger L --venue A -o P --terms T --record R --secret X",
    ],
)
@snapshot_option
@click.option(
    "--accounts",
    "accounts_path",
    metavar="PATH",
    help="A folder of books, NAME.json each, or a CSV account,section,name,quantity (secret).",
)
@dense_option
@click.option(
    "--ledger",
    "ledger_where",
    metavar="WHERE",
    help="With --dense: the accounts must be all of this ledger, each with the commitment of its newest proof.",
)
@click.option("--nonces", "nonces_path", metavar="FILE", help="A CSV account,nonce: what customers drew (secret).")
@click.option("--venue", "venue_name", required=True, metavar="NAME", help="The venue's public name.")
@claim_options
@click.option(
    "--also",
    "also_texts",
    multiple=True,
    metavar="LIMIT",
    help='A further claim of every account: "headroom >= 100000", in quote currency.',
)
@click.option(
    "--net",
    type=click.Choice(["none", "public", "zero"]),
    default="none",
    show_default=True,
    help="Prove what all books sum to: as it is, or that every instrument nets to zero.",
)
@click.option("--totals", is_flag=True, help="Publish and prove the totals of held balances.")
@click.option("--cap", metavar="AMOUNT", help="All shortfalls together are at most this, in quote currency.")
@click.option("--exempt", type=click.IntRange(0), metavar="K", help="At most K accounts may miss the claim, unnamed.")
@click.option("--position-bits", type=click.IntRange(1, 60), default=22, show_default=True, help="Bound of a position.")
@click.option("--digit-bits", type=click.IntRange(3, 22), metavar="K", help="Digits of 2^K; log2 of the rows without.")
@context_option
@challenge_option
@click.option("--threads", type=click.IntRange(1, MAX_THREADS), metavar="N", help="Parts of the work at the same time.")
@click.option(
    "--workers",
    type=click.IntRange(1, MAX_THREADS),
    default=1,
    show_default=True,
    help="Processes that share the work; one that dies is made again.",
)
@click.option(
    "--cluster",
    metavar="tls://HOST:PORT",
    help="The scheduler of a Dask cluster that shares the work instead (extra zkmargin[cluster]). It is trusted with "
    "every book.",
)
@click.option("--tls-ca", metavar="FILE", help="With --cluster: the authority that signed everybody's certificate.")
@click.option("--tls-cert", metavar="FILE", help="With --cluster: this client's certificate.")
@click.option("--tls-key", metavar="FILE", help="With --cluster: its key (secret).")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the proof.")
@click.option("--terms", "terms_path", required=True, metavar="FILE", help="Where to write the terms (public).")
@click.option("--record", "record_path", required=True, metavar="FILE", help="Where to write the record (public).")
@click.option("--secret", "secret_path", required=True, metavar="FILE", help="Where to write what notes need (secret).")
@force_option
@json_option
@gathered(ProveOptions)
def prove_command(options: ProveOptions) -> None:
    """Prove every account at once. Accounts under margin are named, to you only, and nothing is proved then."""
    given = (
        options.snapshot_path,
        options.accounts_path,
        options.dense_path,
        options.nonces_path,
        options.challenge_path,
    )
    inputs = [path for path in given if path]
    outputs = [options.output, options.terms_path, options.record_path, options.secret_path]
    check_paths(inputs, outputs, json=options.as_json)
    refuse_terminal(options.output, "a proof (binary)")
    asked = options.asked()
    snapshot = load(Snapshot, options.snapshot_path)
    accounts, dense = _accounts(options, snapshot)
    with _cluster(options) as cluster:
        with terminal.progress("Charges of all accounts"):
            prepared = prepare(snapshot, accounts, asked, dense, workers=options.workers, cluster=cluster)
        with terminal.progress(f"Proving {len(accounts) + len(dense)} accounts{compile_note()}"):
            threads = options.threads or default_threads()
            made = make_venue_proof(prepared, threads=threads, elsewhere=cluster is not None)
    write_outputs(
        [
            Output.document(options.secret_path, made.secret),
            Output.document(options.terms_path, prepared.statement.terms),
            Output.document(options.record_path, made.record),
            Output.proof(options.output, made.proof),
        ]
    )
    _say_proved(options, prepared.statement, made)


@contextmanager
def _cluster(options: ProveOptions) -> Iterator[Cluster | None]:
    """The cluster of ``--cluster``, or None without. Raises InputError."""
    files = {"--tls-ca": options.tls_ca, "--tls-cert": options.tls_cert, "--tls-key": options.tls_key}
    if options.cluster is None:
        for option, given in files.items():
            if given is not None:
                raise InputError("is for a cluster: give --cluster tls://HOST:PORT", file=option)
        yield None
        return
    for option, given in files.items():
        if given is None:
            raise InputError("missing: books go over these links", file=option)
    if options.workers > 1:
        raise InputError("a cluster has its own workers", file="--workers", hint="leave it out")
    with Cluster(options.cluster, *(path for path in files.values() if path)) as cluster:
        yield cluster


def _accounts(options: ProveOptions, snapshot: Snapshot) -> tuple[list[VenueAccount], list[DenseBook]]:
    """Accounts for blocks, and those with commitments of their own. Raises InputError."""
    if options.accounts_path is None and options.dense_path is None:
        raise InputError("whose accounts? give --accounts, --dense or both", file="--accounts")
    if options.ledger_where is not None and options.dense_path is None:
        raise InputError("says which committed accounts there are: give their books and openings with --dense",
                         file="--ledger")  # fmt: skip
    if options.nonces_path is not None and options.accounts_path is None:
        raise InputError("is for accounts in blocks: give --accounts", file="--nonces")
    with terminal.progress("Reading accounts"):
        nonces = load_nonces(options.nonces_path) if options.nonces_path else None
        accounts = load_accounts(options.accounts_path, snapshot, nonces) if options.accounts_path else []
        dense = load_dense(options.dense_path, snapshot) if options.dense_path else []
    if options.ledger_where is not None:
        with open_ledger(options.ledger_where, read_only=True) as ledger:
            check_against_ledger(dense, ledger)
    return accounts, dense


def _say_proved(options: ProveOptions, statement: VenueStatement, made: MadeVenue) -> None:
    facts = {
        "output": options.output,
        "bytes": len(made.proof),
        "milliseconds": round(1000 * made.seconds),
        **terms_facts(statement.terms),
        "statement_digest": made.record.statement,
        "proof_digest": made.record.proof,
        "stages": [{"name": name, "milliseconds": round(1000 * spent)} for name, spent in made.profile.stages],
    }
    if options.as_json:
        terminal.say_json(facts)
        return
    count = statement.accounts + len(statement.terms.dense)
    terminal.say(
        f"proved {terminal.counted(count, 'account')} in {made.seconds:.1f} s "
        f"({1000 * made.seconds / count:.2f} ms each), {len(made.proof)} bytes ({len(made.proof) / count:.1f} each)"
    )
    _say_statement(facts)
    published = f"{options.terms_path}, {options.record_path}, {options.output}"
    terminal.say(f"publish {terminal.safe(published)}")
    terminal.say(f"keep {terminal.safe(options.secret_path)}: customers' notes are made from it")


@command.command(
    "verify",
    cls=Command,
    examples=[
        "zkmargin venue verify --snapshot S.json --terms terms.json --record record.json proof.bin",
        "zkmargin venue verify --snapshot S.json --terms terms.json --max-age 10m proof.bin",
    ],
)
@click.argument("proof")
@snapshot_option
@terms_option
@commitment_option
@context_option
@challenge_option
@click.option("--record", "record_path", metavar="FILE", help="The published record: the proof must be the one in it.")
@click.option("--max-age", metavar="AGE", help="Refuse a snapshot older than 90s, 10m, 2h or 1d.")
@json_option
def verify_command(
    proof: str,
    snapshot_path: str,
    terms_path: str,
    commitment_paths: tuple[str, ...],
    context_text: str,
    challenge_path: str | None,
    record_path: str | None,
    max_age: str | None,
    as_json: bool,
) -> None:
    """Verify PROOF. Everything about what it proves comes from the snapshot and the terms, never from the proof."""
    check_paths([proof, snapshot_path, terms_path, *commitment_paths, *([record_path] if record_path else [])])
    context, _ = context_of(context_text, challenge_path)
    statement = _statement(snapshot_path, terms_path, context, _commitments(commitment_paths))
    record = None if record_path is None else load(VenueRecord, record_path)
    begin = time.perf_counter()
    with _rejections(proof, as_json=as_json):
        if max_age is not None:
            check_age(load(Snapshot, snapshot_path), parse_age(max_age), now_ms=clock_ms())
        with terminal.progress("Verifying"):
            _, made = verify_venue_proof(statement, read_venue_proof(proof, statement), record)
    facts = {
        "accepted": True,
        "milliseconds": round(1000 * (time.perf_counter() - begin)),
        **terms_facts(statement.terms),
        "statement_digest": made.statement,
        "proof_digest": made.proof,
        "root": made.root,
        "record": record_path,
    }
    if as_json:
        terminal.say_json(facts)
    else:
        _say_accepted(proof, facts)


def _say_accepted(proof: str, facts: Facts) -> None:
    terminal.say(f"accepted: {terminal.safe(proof)} proves of all accounts of {terminal.quoted(facts['venue'])}:")
    _say_statement(facts)
    terminal.say("not proved: that every customer is inside (each checks its note), that prices are right,")
    terminal.say("that books are what they were a moment later; the code has had no independent audit")


@contextmanager
def _rejections(path: str, *, as_json: bool) -> Iterator[None]:
    """A rejection names the file; in JSON it is a fact as well."""
    try:
        yield
    except (ProofFormatError, VerificationError) as error:
        if as_json:
            check = getattr(error, "check", None)
            terminal.say_json({"accepted": False, "check": check, "reason": error.message})
        error.message = f"{path}: rejected: {error.message}"
        raise


@command.command("inspect", cls=Command, examples=["zkmargin venue inspect --snapshot S.json terms.json"])
@click.argument("terms_path", metavar="TERMS")
@snapshot_option
@commitment_option
@context_option
@challenge_option
@json_option
def inspect_command(
    terms_path: str,
    snapshot_path: str,
    commitment_paths: tuple[str, ...],
    context_text: str,
    challenge_path: str | None,
    as_json: bool,
) -> None:
    """Say what a proof of TERMS proves, and how its columns are laid out."""
    check_paths([terms_path, snapshot_path, *commitment_paths])
    context, _ = context_of(context_text, challenge_path)
    statement = _statement(snapshot_path, terms_path, context, _commitments(commitment_paths))
    facts = {
        **terms_facts(statement.terms),
        "statement_digest": statement.digest.hex(),
        "proof_bytes": venue_proof_bytes(statement),
        "rows": statement.n,
        "digit_bits": statement.k,
        "helper_group": statement.g,
        "column_sets": len(statement.sets),
    }
    if as_json:
        terminal.say_json(facts)
        return
    _say_statement(facts)
    for name in ("statement_digest", "proof_bytes", "rows", "digit_bits", "helper_group", "column_sets"):
        terminal.say(f"  {name.replace('_', ' '):<18} {facts[name]}")


@contextmanager
def _blamed(*, accounts: str, **files: str) -> Iterator[None]:
    """Bad input names the file of its field; the accounts' where it is about one of them."""
    try:
        yield
    except InputError as error:
        raise error.located(file=files.get(error.field or "", accounts)) from None


@command.command(
    "note",
    cls=Command,
    examples=[
        "zkmargin venue note --snapshot S --terms T --accounts books/ --secret X --proof P --account alice -o N.json",
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
@click.option("--account", "name", required=True, metavar="NAME", help="Whose note to make.")
@click.option("--key", "key_path", metavar="FILE", help="Sign the note with this key.")
@passphrase_option
@signer_option
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the note (secret).")
@json_option
def note_command(
    snapshot_path: str,
    terms_path: str,
    context_text: str,
    challenge_path: str | None,
    accounts_path: str,
    dense_path: str | None,
    secret_path: str,
    proof_path: str,
    name: str,
    key_path: str | None,
    passphrase_path: str | None,
    signer_command: str | None,
    output: str,
    as_json: bool,
) -> None:
    """Make the note that one customer checks: its place, its nonce, and the opening of its block."""
    inputs = [snapshot_path, terms_path, accounts_path, secret_path, proof_path, *([key_path] if key_path else [])]
    check_paths(inputs, [output], json=as_json)
    refuse_terminal(output, "a secret note")
    if key_path is None and (passphrase_path or signer_command):
        raise InputError("the signer's public key is missing", file="--key", hint="give --key FILE")
    snapshot, secret = load(Snapshot, snapshot_path), load(VenueSecret, secret_path)
    with terminal.progress("Building the columns again"):
        accounts, dense = load_accounts(accounts_path, snapshot), load_dense(dense_path, snapshot) if dense_path else []
        context, _ = context_of(context_text, challenge_path)
        statement = _statement(snapshot_path, terms_path, context, [account.commitment for account in dense])
        proof = read_venue_proof(proof_path, statement)
        with _blamed(secret=secret_path, proof=proof_path, accounts=accounts_path, account="--account"):
            note = note_for(note_maker(statement, proof, snapshot, accounts, secret, dense), secret, name)
    if key_path is not None:
        note = note.signed(signer_of(key_path, passphrase_path, signer_command))
    write_outputs([Output.document(output, note)])
    facts = {"output": output, "account": note.account, "signed": bool(note.signatures)}
    if as_json:
        terminal.say_json(facts)
        return
    terminal.say(f"the note of account {note.account}, {terminal.quoted(name)}: give {output} to this customer only")


@command.command(
    "check-note",
    cls=Command,
    examples=[
        "zkmargin venue check-note note.json --snapshot S --terms T --record R --book B --name alice --nonce HEX",
        "zkmargin venue check-note N --snapshot S --terms T --record R --book B --name A --nonce HEX --signer K",
    ],
)
@click.argument("note_path", metavar="NOTE")
@snapshot_option
@terms_option
@commitment_option
@context_option
@challenge_option
@click.option("--record", "record_path", required=True, metavar="FILE", help="The venue's published record.")
@book_option
@click.option("--name", required=True, metavar="NAME", help="Your name at the venue.")
@click.option("--nonce", required=True, metavar="HEX", help="The nonce that you gave to the venue.")
@click.option(
    "--signer",
    "key_path",
    metavar="FILE",
    help="The venue's public key, from a source that you trust: the note must be signed with it.",
)
@json_option
@gathered(NoteOptions)
def check_note_command(options: NoteOptions) -> None:
    """Check that your account is in the published proof with your whole book. It takes kilobytes and milliseconds.

    Compare the record with the venue's public log, and have somebody verify the proof that it names.
    """
    check_paths(
        [
            options.note_path,
            options.snapshot_path,
            options.terms_path,
            options.record_path,
            *options.book_paths,
            *options.commitment_paths,
            *([options.key_path] if options.key_path else []),
        ]
    )
    key = load(PublicKey, options.key_path) if options.key_path else None
    snapshot, terms = load(Snapshot, options.snapshot_path), load(VenueTerms, options.terms_path)
    record, note = load(VenueRecord, options.record_path), load(VenueNote, options.note_path)
    lots, nonce = load_lots(options.book_paths, snapshot), _nonce(options.nonce)
    context, _ = context_of(options.context_text, options.challenge_path)
    commitments = _commitments(options.commitment_paths)
    begin = time.perf_counter()
    with _rejections(options.note_path, as_json=options.as_json):
        checked = check_customer(
            *(snapshot, terms, record, note, lots),
            name=options.name,
            nonce=nonce,
            context=context,
            commitments=commitments,
        )
        _demand_signer(checked, key)
    took = round(1000 * (time.perf_counter() - begin))
    if options.as_json:
        facts = {"accepted": True, **vars(checked), "signer_demanded": key is not None}
        facts |= {"proof_digest": record.proof, "milliseconds": took}
        terminal.say_json(facts)
    else:
        _say_checked(checked, record, key)


def _demand_signer(checked: CheckedAccount, key: PublicKey | None) -> None:
    """Raises VerificationError: a note that this key, and it alone, did not sign."""
    if key is not None and checked.signers != (key.public_key,):
        by = f"is signed with {', '.join(checked.signers)}" if checked.signers else "is not signed"
        raise VerificationError(f"the note {by}, not with the key of --signer, {key.public_key}", check="signer")


def _nonce(text: str) -> bytes:
    try:
        nonce = bytes.fromhex(text)
    except ValueError:
        nonce = b""
    if len(nonce) != NONCE_BYTES:
        raise InputError(f"not {2 * NONCE_BYTES} hexadecimal digits", file="--nonce")
    return nonce


def _say_checked(checked: CheckedAccount, record: VenueRecord, key: PublicKey | None) -> None:
    terminal.say(f"your book is in the proof {record.proof[:16]}... as account {checked.account}, in a row of its own")
    if checked.claim is None:
        terminal.say("nothing is claimed of accounts of its class")
    elif checked.exempt:
        terminal.say("WARNING: the venue marked your account as exempt: the proof says nothing of its health")
    if not checked.signers:
        terminal.say("the note is not signed: it binds nobody")
    elif key is not None:
        terminal.say(f"the note is signed with the key of --signer, {terminal.quoted(key.name)}, {key.public_key}")
    else:
        terminal.say(f"the note is signed with {', '.join(checked.signers)}: whose key that is was not checked")
        terminal.say("(give the venue's public key with --signer FILE)")


def _say_statement(facts: Facts) -> None:
    for line in venue_lines(facts):
        terminal.say(f"  {line}")


def _commitments(paths: Sequence[str]) -> list[Commitment]:
    return [load(Commitment, path) for path in paths]


def _statement(
    snapshot_path: str, terms_path: str, context: bytes, commitments: Sequence[Commitment]
) -> VenueStatement:
    snapshot, terms = load(Snapshot, snapshot_path), load(VenueTerms, terms_path)
    try:
        return VenueStatement.of(snapshot, terms, commitments=commitments, context=context)
    except InputError as error:
        raise error.located(file=terms_path) from None
