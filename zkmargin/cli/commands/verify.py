"""``zkmargin verify``: check a proof against what the verifier itself holds. Starts fast: no compiler, no tables."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from zkmargin.app.files import Output, check_paths, load, read_proof, write_outputs
from zkmargin.cli import terminal
from zkmargin.cli.batch import HINT, Entry, check_age, rejection, verify_entries
from zkmargin.cli.ledgers import open_ledger
from zkmargin.cli.options import (
    Command,
    also_option,
    challenge_option,
    claim_options,
    context_of,
    context_option,
    json_option,
    ledger_option,
    parse_age,
    parse_claim,
    parse_limits,
    passphrase_option,
    snapshot_option,
    workers_option,
)
from zkmargin.cli.words import not_guaranteed_lines, statement_facts, statement_lines
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, ProofFormatError, VerificationError
from zkmargin.verifier import Commitment, Statement
from zkmargin.verifier.attest import Acceptance, Attestation, Receipt, Trust, accept

if TYPE_CHECKING:
    from zkmargin.ledger import Ledger

#: How errors about commitments name their field.
COMMITMENT_FIELDS = ("commitment", "positions part", "collateral part")


@click.command(
    "verify",
    cls=Command,
    examples=[
        "zkmargin verify --snapshot snapshot.json --commitment commitment.json proof.bin",
        "zkmargin verify --snapshot snapshot.json --commitment commitment.json --claim 1.1 --max-age 10m proof.bin",
        "zkmargin verify --snapshot snapshot.json --commitment commitment.json one.bin two.bin    # one check for both",
        (
            "zkmargin verify --snapshot S.json --commitment C.json --trust trust.json --attestation oracle.json "
            "--attestation venue.json --attestation custodian.json --challenge challenge.json proof.bin"
        ),
    ],
)
@click.argument("proof_paths", metavar="PROOF...", nargs=-1, required=True)
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
@also_option
@context_option
@challenge_option
@click.option("--trust", "trust_path", metavar="FILE", help="Your trust file: whose signatures count for what.")
@click.option(
    "--attestation",
    "attestation_paths",
    multiple=True,
    metavar="FILE",
    help="With --trust: of the snapshot, and of each part of the commitments.",
)
@click.option(
    "--max-age",
    metavar="AGE",
    help="Reject a snapshot older than 90s, 10m, 2h, 1d by this machine's clock, or from the future.",
)
@ledger_option(required=False)
@click.option("--receipt", "receipt_path", metavar="FILE", help="Write what was accepted.")
@click.option("--receipt-key", "key_path", metavar="FILE", help="Your secret key, to sign the receipt with.")
@passphrase_option
@click.option(
    "--rerun",
    "rerun_path",
    metavar="RECEIPT",
    help="Repeat an acceptance: the receipt's time is the clock, and everything must come out as in the receipt.",
)
@workers_option
@json_option
def command(
    proof_paths: tuple[str, ...],
    snapshot_path: str,
    commitment_paths: tuple[str, ...],
    claim_text: str,
    requirement: str,
    also_texts: tuple[str, ...],
    context_text: str,
    challenge_path: str | None,
    trust_path: str | None,
    attestation_paths: tuple[str, ...],
    max_age: str | None,
    ledger_where: str | None,
    receipt_path: str | None,
    key_path: str | None,
    passphrase_path: str | None,
    rerun_path: str | None,
    workers: int,
    as_json: bool,
) -> None:
    """Verify PROOF against your own snapshot, commitments, claim and context, and say what was proved.

    Several proofs of one statement are checked together; of several statements, by `zkmargin verify-batch`. Nothing is
    taken from a proof but its numbers: what you give here is the statement. With --trust, the snapshot and
    every commitment must be attested by parties that your trust file names; without it nothing is authenticated. With
    --ledger, the proof is recorded before anything is said, and what was accepted before or is older than what was seen
    is refused. Exit code 0 means accepted, 1 rejected (a stale snapshot and a refused attestation are rejections), 2
    that the statement's own files are unusable.
    """
    single = [path for path in (trust_path, challenge_path, key_path, passphrase_path, rerun_path) if path]
    inputs = [snapshot_path, *commitment_paths, *attestation_paths, *proof_paths, *single]
    check_paths(inputs, [receipt_path] if receipt_path else [], json=as_json)
    if len(proof_paths) > 1 and (receipt_path or rerun_path or challenge_path or trust_path or ledger_where):
        raise InputError(
            "one at a time with --trust, --challenge, --ledger, --receipt or --rerun",
            file=proof_paths[1],
            field="PROOF",
        )
    if key_path is not None and receipt_path is None:
        raise InputError("is for signing a receipt: give --receipt FILE", file="--receipt-key")
    if attestation_paths and trust_path is None:
        raise InputError("means nothing without --trust FILE: who signs is nobody you know", file="--attestation")
    if rerun_path is not None and ledger_where is not None:
        raise InputError("repeats an acceptance: nothing is recorded", file="--rerun", hint="leave --ledger out")
    claim, limits = parse_claim(claim_text, requirement), parse_limits(also_texts)
    context, challenge = context_of(context_text, challenge_path)
    seconds_allowed = None if max_age is None else parse_age(max_age)
    snapshot = load(Snapshot, snapshot_path)
    commitments = [load(Commitment, path) for path in commitment_paths]
    trust = None if trust_path is None else load(Trust, trust_path)
    attestations = [load(Attestation, path) for path in attestation_paths]
    before = None if rerun_path is None else load(Receipt, rerun_path)
    now_ms = time.time_ns() // 1_000_000 if before is None else parse_time(before.payload.time)
    try:
        statement = Statement.of(snapshot, commitments, claim, context=context, limits=limits)
    except InputError as error:
        if not (error.field or "").startswith(COMMITMENT_FIELDS):
            raise error.located(file=snapshot_path) from None
        raise error.located(file=commitment_paths[0] if len(commitments) == 1 else None) from None
    if len(proof_paths) > 1:
        batch = [Entry(path, statement) for path in proof_paths]
        verify_entries(batch, max_age=seconds_allowed, now_ms=now_ms, workers=workers, as_json=as_json)
        return
    (proof_path,) = proof_paths
    try:
        proof = read_proof(proof_path)
        if seconds_allowed is not None:
            check_age(snapshot, seconds_allowed, now_ms=now_ms)
        with opened_ledger(ledger_where) as ledger:
            acceptance = accept(
                statement,
                proof,
                now_ms=now_ms,
                trust=trust,
                attestations=attestations,
                challenge=challenge,
                known=ledger,
            )
            receipt = acceptance.receipt(software=software())
            if before is not None:
                check_same(receipt, before)
            receipt = signed_receipt(receipt, key_path, passphrase_path)
            if ledger is not None:
                ledger.record(acceptance, receipt)
    except (ProofFormatError, VerificationError) as error:
        if as_json:
            terminal.say_json(rejection(error))
        error.message = f"{proof_path}: rejected: {error.message}"
        error.hint = error.hint or HINT
        raise
    if receipt_path is not None:
        write_outputs([Output.document(receipt_path, receipt)])
    facts = {
        "accepted": True,
        "statement_digest": acceptance.statement_digest.hex(),
        "max_age_seconds": seconds_allowed,
        "receipt": receipt_path,
        "ledger": None if ledger is None else ledger.name,
        **statement_facts(statement, acceptance, recorded=ledger is not None),
    }
    if as_json:
        terminal.say_json(facts)
        return
    for line in report(facts, proof_path, acceptance, max_age):
        terminal.say(line, err=receipt_path == "-")


@contextmanager
def opened_ledger(where: str | None) -> Iterator[Ledger | None]:
    """The ledger of ``--ledger``, or None without it. Raises InputError."""
    if where is None:
        yield None
        return
    with open_ledger(where) as ledger:
        yield ledger


def report(facts: dict[str, Any], proof_path: str, acceptance: Acceptance, max_age: str | None) -> Sequence[str]:
    """An acceptance for people."""
    within = f"no older than {max_age} by this machine's clock" if max_age else "not checked (--max-age)"
    if acceptance.trust is not None and acceptance.authenticated is not None:
        rule = acceptance.trust.snapshot_rule(acceptance.authenticated.snapshot.payload.series)
        within = f"no older than the {rule.max_age_seconds} s of the trust file" + (f", {within}" if max_age else "")
    return [
        f"accepted: {terminal.safe(proof_path)} proves, for the committed positions and collateral, that",
        *(f"  {line}" for line in statement_lines(facts)),
        f"  age          {within}",
        f"  statement    digest {facts['statement_digest']}",
        *([] if facts["receipt"] is None else [f"  receipt      {terminal.safe(facts['receipt'])}"]),
        *([] if facts["ledger"] is None else [f"  ledger       recorded in {terminal.safe(facts['ledger'])}"]),
        *not_guaranteed_lines(facts),
    ]


def software() -> str:
    """Name and version of this program, for receipts."""
    import zkmargin  # noqa: PLC0415 - the version is looked up only when it is written

    return f"zkmargin {zkmargin.__version__}"


def signed_receipt(receipt: Receipt, key_path: str | None, passphrase_path: str | None) -> Receipt:
    """The receipt, signed where there is a key. Raises InputError."""
    if key_path is None:
        return receipt
    from zkmargin.cli.passphrases import unlocked  # noqa: PLC0415 - few verifications sign

    return receipt.signed(unlocked(key_path, passphrase_path))


def check_same(receipt: Receipt, before: Receipt) -> None:
    """Raises VerificationError naming what came out differently, or when the receipt's own signature is wrong."""
    if not all(signature.verifies(before.message) for signature in before.signatures):
        raise VerificationError("the signature of the receipt does not verify", check="receipt")
    different = receipt.differences(before)
    if different:
        raise VerificationError(
            f"another acceptance than the receipt's: {', '.join(different)} differ", check="receipt"
        )
