"""``zkmargin breach``: a proof that a committed account is below its requirement, and its check."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace

import click

from zkmargin.accounts import Commitment, Opening
from zkmargin.app.facts import claim_words, snapshot_facts
from zkmargin.app.files import Output, blamed_on, load, load_lots, read_proof
from zkmargin.app.runtime import compile_note
from zkmargin.app.verifying import accept_breach_proof
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command
from zkmargin.cli.ledgers import open_ledger
from zkmargin.cli.options import (
    book_option,
    claim_options,
    context_option,
    json_option,
    output_option,
    parse_claim,
    parse_context,
    snapshot_option,
)
from zkmargin.cli.paths import check_paths, refuse_terminal, write_outputs
from zkmargin.cli.statements import gathered
from zkmargin.cli.vouching import VouchingOptions, vouching_options
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.verifier.breach import AcceptedBreach, BreachStatement


@click.group("breach")
def command() -> None:
    """Prove that an account is below its requirement, without showing it: that a liquidation was justified.

    Whoever knows the book and its opening (a venue) makes the proof. It shows that equity is below the claimed ratio of
    what the policy's scenarios alone require; charges that only add are left out. A proof of a claim and a proof of its
    breach cannot both exist for one commitment and snapshot. Unaudited, as everything here is.
    """


@command.command(
    "prove",
    cls=Command,
    examples=[
        (
            "zkmargin breach prove --snapshot snapshot.json --book book.json --opening opening.json "
            "--claim 1.5 --context 'auction 7' -o my-breach.bin    # below 1.5 times the requirement"
        ),
    ],
)
@snapshot_option
@book_option
@click.option("--opening", "opening_paths", required=True, multiple=True, metavar="FILE", help="The book's openings.")
@claim_options
@context_option
@output_option("the proof")
def prove_command(
    snapshot_path: str,
    book_paths: tuple[str, ...],
    opening_paths: tuple[str, ...],
    claim_text: str,
    requirement: str,
    context_text: str,
    output: str,
) -> None:
    """Prove that a committed book does not meet a claim. Exit code 1 when the scenarios alone show no breach."""
    check_paths([snapshot_path, *book_paths, *opening_paths], [output])
    refuse_terminal(output, "a proof")
    claim, context = parse_claim(claim_text, requirement), parse_context(context_text)
    snapshot = load(Snapshot, snapshot_path)
    lots = load_lots(book_paths, snapshot)
    openings = [load(Opening, path) for path in opening_paths]
    from zkmargin.prover.breach import prove_breach  # noqa: PLC0415 - checking a breach loads no prover

    with blamed_on(snapshot_path):
        statement = BreachStatement.of(snapshot, [o.commitment() for o in openings], claim, context=context)
    with terminal.progress(f"Proving{compile_note()}"):
        proof = prove_breach(statement, lots, openings)
    write_outputs([Output(output, proof)])
    terminal.say(f"proved that this is false: {claim_words(claim)} ({len(proof)} bytes)", err=output == "-")


@dataclass(frozen=True, kw_only=True)
class Options(VouchingOptions):
    """What was typed after ``breach verify``."""

    proof_path: str
    snapshot_path: str
    commitment_paths: tuple[str, ...]
    claim_text: str
    requirement: str
    context_text: str
    ledger_where: str | None
    as_json: bool


@command.command(
    "verify",
    cls=Command,
    examples=[
        (
            "zkmargin breach verify --snapshot snapshot.json --commitment commitment.json "
            "--claim 1.5 --context 'auction 7' breach.bin"
        ),
        (
            "zkmargin breach verify --snapshot snapshot.json --commitment commitment.json --trust trust.json "
            "--attestation oracle.json --attestation venue.json --attestation custodian.json --ledger acceptances.db "
            "--claim 1.5 --context 'auction 7' breach.bin"
        ),
    ],
)
@click.argument("proof_path", metavar="PROOF")
@snapshot_option
@click.option(
    "--commitment",
    "commitment_paths",
    required=True,
    multiple=True,
    metavar="FILE",
    help="The account's commitment, from a source that you trust. Several add up.",
)
@claim_options
@context_option
@vouching_options
@click.option("--max-age", metavar="AGE", help="Reject a snapshot older than 90s, 10m, 2h, 1d by this machine's clock.")
@click.option(
    "--ledger",
    "ledger_where",
    metavar="WHERE",
    help="With --trust: your ledger, asked whether newer attestations were seen. It is only read.",
)
@json_option
@gathered(Options)
def verify_command(options: Options) -> None:
    """Check a proof of breach against a verifier's own snapshot, commitments, claim and context.

    With --trust the snapshot and every part must be attested, current, and the parts in force at the snapshot's time:
    nobody picks an old state, or prices of another day. Without it nothing is authenticated. Exit code 1: rejected.
    """
    check_paths([options.proof_path, options.snapshot_path, *options.commitment_paths, *options.attestation_paths])
    if options.ledger_where is not None and options.trust_path is None:
        raise InputError("remembers attestations: it needs --trust", file="--ledger")
    claim, context = parse_claim(options.claim_text, options.requirement), parse_context(options.context_text)
    snapshot = load(Snapshot, options.snapshot_path)
    commitments = [load(Commitment, path) for path in options.commitment_paths]
    with blamed_on(options.snapshot_path):
        statement = BreachStatement.of(snapshot, commitments, claim, context=context)
    with ExitStack() as stack:
        ledger = None
        if options.ledger_where is not None:
            ledger = stack.enter_context(open_ledger(options.ledger_where, read_only=True))
        terms = replace(options.terms(), derived=options.derived(snapshot.policy))
        accepted = accept_breach_proof(statement, read_proof(options.proof_path), terms, ledger=ledger)
    _say(options, accepted)


def _say(options: Options, accepted: AcceptedBreach) -> None:
    account, seen = accepted.statement.account, accepted.authenticated
    if options.as_json:
        facts = {
            "accepted": True,
            "breach_of": str(account.claim),
            "statement": accepted.statement_digest.hex(),
            "snapshot": snapshot_facts(account.snapshot),
            "authenticated": None if seen is None else [item.facts().model_dump(mode="json") for item in seen.all],
        }
        terminal.say_json(facts)
        return
    terminal.say(f"accepted: this was false of the committed account: {claim_words(account.claim)}")
    terminal.say(f"  snapshot {account.snapshot_digest.hex()}, statement {accepted.statement_digest.hex()}")
    if seen is None:
        terminal.say("  not guaranteed: that anybody attests this snapshot and these commitments (give --trust)")
        return
    for item in seen.all:
        by = item.facts()
        terminal.say(f"  attested under the rule {by.rule!r}, number {by.sequence}, by {', '.join(by.signers)}")
    if options.ledger_where is None:
        terminal.say("  not guaranteed: that no newer attestation exists (give --ledger)")
