"""``zkmargin verify``: check a proof against what the verifier itself holds. Starts fast: no compiler, no tables."""

from __future__ import annotations

import time
from typing import Any

import click

from engine.decimals import parse_time
from engine.snapshot import Snapshot
from formats import InputError, ProofFormatError, VerificationError
from verifier import Commitment, Statement, verify
from zkmargin import terminal
from zkmargin.files import check_paths, load, read_proof
from zkmargin.options import (
    Command,
    claim_options,
    context_option,
    json_option,
    parse_age,
    parse_claim,
    parse_context,
    snapshot_option,
)
from zkmargin.words import not_guaranteed_lines, statement_facts, statement_lines

#: A snapshot may be this far ahead of our clock: clocks differ.
CLOCK_SKEW_MS = 30_000
#: How errors about commitments name their field.
COMMITMENT_FIELDS = ("commitment", "positions part", "collateral part")
HINT = "a proof holds for one snapshot, commitment, claim and context: are these the ones it was made for?"


@click.command(
    "verify",
    cls=Command,
    examples=[
        "zkmargin verify --snapshot snapshot.json --commitment commitment.json proof.bin",
        "zkmargin verify --snapshot snapshot.json --commitment commitment.json --claim 1.1 --max-age 10m proof.bin",
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
    help="A commitment that you trust for this account. Several add up.",
)
@claim_options
@context_option
@click.option(
    "--max-age",
    metavar="AGE",
    help="Reject a snapshot older than 90s, 10m, 2h, 1d by this machine's clock, or from the future.",
)
@json_option
def command(
    proof_path: str,
    snapshot_path: str,
    commitment_paths: tuple[str, ...],
    claim_text: str,
    requirement: str,
    context_text: str,
    max_age: str | None,
    as_json: bool,
) -> None:
    """Verify PROOF against your own snapshot, commitments, claim and context, and say what was proved.

    Nothing is taken from the proof but its numbers: what you give here is the statement. Exit code 0 means accepted, 1
    rejected (a stale snapshot, with --max-age, is a rejection), 2 that the statement's own files are unusable.
    """
    check_paths([snapshot_path, *commitment_paths, proof_path])
    claim, context = parse_claim(claim_text, requirement), parse_context(context_text)
    seconds_allowed = None if max_age is None else parse_age(max_age)
    snapshot = load(Snapshot, snapshot_path)
    commitments = [load(Commitment, path) for path in commitment_paths]
    try:
        statement = Statement.of(snapshot, commitments, claim, context=context)
    except InputError as error:
        if not (error.field or "").startswith(COMMITMENT_FIELDS):
            raise error.located(file=snapshot_path) from None
        raise error.located(file=commitment_paths[0] if len(commitments) == 1 else None) from None
    try:
        proof = read_proof(proof_path)
        if seconds_allowed is not None:
            check_age(snapshot, seconds_allowed, now_ms=time.time_ns() // 1_000_000)
        accepted = verify(statement, proof)
    except (ProofFormatError, VerificationError) as error:
        if as_json:
            terminal.say_json(rejection(error))
        error.message = f"{proof_path}: rejected: {error.message}"
        error.hint = error.hint or HINT
        raise
    facts = {
        "accepted": True,
        "statement_digest": accepted.statement_digest.hex(),
        "max_age_seconds": seconds_allowed,
        **statement_facts(statement, snapshot),
    }
    if as_json:
        terminal.say_json(facts)
        return
    terminal.say(f"accepted: {terminal.safe(proof_path)} proves, for the committed positions and collateral, that")
    for line in statement_lines(facts):
        terminal.say(f"  {line}")
    within = f"no older than {max_age} by this machine's clock" if max_age else "not checked (--max-age)"
    terminal.say(f"  age          {within}")
    terminal.say(f"  statement    digest {facts['statement_digest']}")
    for line in not_guaranteed_lines():
        terminal.say(line)


def check_age(snapshot: Snapshot, seconds: int, *, now_ms: int) -> None:
    """Compare a snapshot's time with a clock.

    Raises:
        VerificationError: older than ``seconds``, or further in the future than clocks differ.
    """
    age = now_ms - parse_time(snapshot.time)
    if age > 1000 * seconds:
        raise VerificationError(
            f"the snapshot is stale: taken {age // 1000} s ago, at most {seconds} s are allowed",
            check="max-age",
            hint="ask for a proof on a newer snapshot",
        )
    if age < -CLOCK_SKEW_MS:
        raise VerificationError(
            f"the snapshot is from the future: {-age // 1000} s ahead of this machine's clock",
            check="max-age",
            hint="check the clock",
        )


def rejection(error: ProofFormatError | VerificationError) -> dict[str, Any]:
    """A rejection for scripts."""
    check = error.check if isinstance(error, VerificationError) else "format"
    return {"accepted": False, "check": check, "reason": error.message}
