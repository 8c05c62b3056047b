"""``zkmargin venue prove``: every account of a venue in one proof."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import click

from zkmargin.app.files import Output, load, refuse_existing_secret
from zkmargin.app.runtime import compile_note
from zkmargin.app.venue_accounts import Accounts, load_accounts, load_claims, load_nonces
from zkmargin.app.venue_classes import Asked, NetChoice
from zkmargin.app.venue_dense import DenseBook, check_against_ledger, load_dense
from zkmargin.app.venue_facts import terms_facts
from zkmargin.app.venue_names import check_name
from zkmargin.app.venues import MadeVenue, make_venue_proof, prepare
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command
from zkmargin.cli.ledgers import open_ledger
from zkmargin.cli.options import (
    challenge_option,
    claim_options,
    context_of,
    context_option,
    json_option,
    parse_limits,
    snapshot_option,
)
from zkmargin.cli.paths import (
    check_paths,
    force_option,
    refuse_missing_folders,
    refuse_other_kind,
    refuse_terminal,
    write_outputs,
)
from zkmargin.cli.statements import gathered
from zkmargin.cli.venue_options import (
    MAX_THREADS,
    blamed,
    dense_option,
    say_statement,
)
from zkmargin.engine.claims import VALUATION_DECIMALS, Claim
from zkmargin.engine.decimals import to_units
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.prover.prove import default_threads
from zkmargin.prover.venue.cluster import Cluster
from zkmargin.prover.venue.pipes import TIMEOUT_SECONDS
from zkmargin.verifier.venue.customers import VenueRecord
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import VenueTerms


@dataclass(frozen=True, kw_only=True)
class ProveOptions:
    """What was typed after ``venue prove``."""

    snapshot_path: str
    accounts_path: str | None
    dense_path: str | None
    ledger_where: str | None
    nonces_path: str | None
    claims_path: str | None
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
    worker_timeout: float
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
        if self.cap is not None and self.exempt is not None:
            reason = "does not go with --cap: an exempt account's deficit would be outside the cap"
            raise InputError(reason, file="--exempt", hint="give one of them")
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
            own=None if self.claims_path is None else load_claims(self.claims_path),
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


@click.command(
    "prove",
    cls=Command,
    examples=[
        (
            "zkmargin venue prove --snapshot snapshot.json --accounts books --net zero --venue 'Demo venue' "
            "-o my-books.bin --terms my-books.terms.json --record my-books.record.json --secret my-books.secret.json"
        ),
        (
            "zkmargin venue prove --snapshot snapshot.json --accounts accounts.csv --totals --venue 'Demo venue' "
            "-o my-csv.bin --terms my-csv.terms.json --record my-csv.record.json --secret my-csv.secret.json"
        ),
        (
            "zkmargin venue prove --snapshot snapshot.json --accounts accounts.csv --claims claims.csv "
            "--venue 'Demo venue' -o my-but.bin --terms my-but.terms.json --record my-but.record.json "
            "--secret my-but.secret.json"
        ),
        (
            "zkmargin venue prove --snapshot snapshot.json --dense large --ledger ledger.db --venue 'Demo venue' "
            "-o my-large.bin --terms my-large.terms.json --record my-large.record.json --secret my-large.secret.json"
        ),
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
@click.option(
    "--claims",
    "claims_path",
    metavar="FILE",
    help="A CSV account,claim,limit of accounts of which something else is claimed: a ratio, or none for those that "
    "count in sums only (all but these). Everybody sees how many, and which commitments.",
)
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
@click.option(
    "--position-bits",
    metavar="BITS",
    type=click.IntRange(1, 60),
    default=22,
    show_default=True,
    help="Every position is below 2^BITS lots, long or short; BITS are rounded up to whole digits.",
)
@click.option(
    "--digit-bits",
    type=click.IntRange(3, 22),
    metavar="K",
    help="Integers are proved in digits of K bits; without it, log2 of the number of rows.",
)
@context_option
@challenge_option
@click.option(
    "--threads",
    type=click.IntRange(1, MAX_THREADS),
    metavar="N",
    help="Parts of the work at the same time; the processors, at most 4, without it.",
)
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(1, MAX_THREADS),
    default=1,
    show_default=True,
    help="Processes that share the work; one that dies is made again.",
)
@click.option(
    "--worker-timeout",
    type=click.FloatRange(1, 86400),
    default=TIMEOUT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="A worker that takes longer for one answer is ended and made again, at most three times.",
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
        options.claims_path,
        options.challenge_path,
    )
    inputs = [path for path in given if path]
    outputs = [options.output, options.terms_path, options.record_path, options.secret_path]
    check_paths(inputs, outputs, json=options.as_json)
    refuse_terminal(options.output, "a proof (binary)")
    _check_outputs(options)
    asked = options.asked()
    snapshot = load(Snapshot, options.snapshot_path)
    accounts, dense = _accounts(options, snapshot)
    whose = options.accounts_path or options.dense_path
    with _cluster(options) as cluster:
        with terminal.progress("Charges of all accounts"), blamed(accounts=whose, claims=options.claims_path):
            prepared = prepare(
                snapshot,
                accounts,
                asked,
                dense,
                workers=options.workers,
                cluster=cluster,
                timeout=options.worker_timeout,
            )
        with terminal.stages(f"Proving {len(accounts) + len(dense)} accounts{compile_note()}") as show:
            threads = options.threads or default_threads()
            elsewhere = cluster is not None
            made = make_venue_proof(prepared, threads=threads, elsewhere=elsewhere, watch=show)
    write_outputs(
        [
            Output.document(options.secret_path, made.secret),
            Output.document(options.terms_path, prepared.statement.terms),
            Output.document(options.record_path, made.record),
            Output.proof(options.output, made.proof),
        ]
    )
    _say_proved(options, prepared.statement, made)


def _check_outputs(options: ProveOptions) -> None:
    """Raises InputError: an output that will not be replaced, said before a proof is made for nothing."""
    refuse_missing_folders([options.output, options.terms_path, options.record_path, options.secret_path])
    refuse_existing_secret(options.secret_path)
    for path, name in ((options.terms_path, VenueTerms.FORMAT), (options.record_path, VenueRecord.FORMAT)):
        refuse_other_kind(Output(path, b"", name.rsplit("/", 1)[0]))
    refuse_other_kind(Output.proof(options.output, b""))


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
    paths = [path for path in files.values() if path]
    with Cluster(options.cluster, *paths, timeout=options.worker_timeout) as cluster:
        yield cluster


def _accounts(options: ProveOptions, snapshot: Snapshot) -> tuple[Accounts, list[DenseBook]]:
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
        if options.accounts_path:
            accounts = load_accounts(options.accounts_path, snapshot, nonces)
        else:
            accounts = Accounts.of([], snapshot)
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
    say_statement(facts)
    published = f"{options.terms_path}, {options.record_path}, {options.output}"
    terminal.say(f"publish {terminal.safe(published)}")
    terminal.say(f"keep {terminal.safe(options.secret_path)}: customers' notes are made from it")
