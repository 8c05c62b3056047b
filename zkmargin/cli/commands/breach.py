"""``zkmargin breach``: a proof that a committed account is below its requirement, and its check."""

from __future__ import annotations

import click

from zkmargin.accounts import Commitment, Opening
from zkmargin.app.facts import claim_words, snapshot_facts
from zkmargin.app.files import Output, blamed_on, load, load_lots, read_proof
from zkmargin.app.runtime import compile_note
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command
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
from zkmargin.engine.snapshot import Snapshot
from zkmargin.verifier.breach import BreachStatement, verify_breach


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
            "--requirement maintenance --context 'auction 7' -o breach.bin"
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


@command.command(
    "verify",
    cls=Command,
    examples=[
        (
            "zkmargin breach verify --snapshot snapshot.json --commitment commitment.json "
            "--requirement maintenance --context 'auction 7' breach.bin"
        ),
    ],
)
@click.argument("proof_path", metavar="PROOF")
@snapshot_option
@click.option("--commitment", "commitment_paths", required=True, multiple=True, metavar="FILE", help="Several add up.")
@claim_options
@context_option
@json_option
def verify_command(
    proof_path: str,
    snapshot_path: str,
    commitment_paths: tuple[str, ...],
    claim_text: str,
    requirement: str,
    context_text: str,
    as_json: bool,
) -> None:
    """Check a proof of breach against a verifier's own snapshot, commitments, claim and context.

    Exit code 1 when it is rejected. It says nothing about whether the snapshot and the commitments are the latest ones.
    """
    check_paths([proof_path, snapshot_path, *commitment_paths])
    claim, context = parse_claim(claim_text, requirement), parse_context(context_text)
    snapshot = load(Snapshot, snapshot_path)
    commitments = [load(Commitment, path) for path in commitment_paths]
    with blamed_on(snapshot_path):
        statement = BreachStatement.of(snapshot, commitments, claim, context=context)
    digest = verify_breach(statement, read_proof(proof_path))
    if as_json:
        facts = {"accepted": True, "breach_of": str(claim), "statement": digest.hex()}
        terminal.say_json(facts | {"snapshot": snapshot_facts(snapshot)})
        return
    terminal.say(f"accepted: this was false of the committed account: {claim_words(claim)}")
    terminal.say(f"  snapshot {snapshot.digest().hex()}, statement {digest.hex()}")
    terminal.say("  not guaranteed: that these are the latest snapshot and commitments of the account")
