"""``zkmargin prove``: a proof that a committed book meets a claim."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from zkmargin.app.files import Output, blamed_on, check_paths, load, load_lots, refuse_terminal, write_outputs
from zkmargin.app.runtime import compile_note
from zkmargin.circuits import build_circuit
from zkmargin.cli import terminal
from zkmargin.cli.options import (
    Command,
    also_option,
    book_option,
    challenge_option,
    claim_options,
    context_of,
    context_option,
    json_option,
    output_option,
    parse_claim,
    parse_limits,
    snapshot_option,
)
from zkmargin.cli.words import claim_words, statement_facts
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, VerificationError
from zkmargin.formats.files import STDIO
from zkmargin.prover import Opening, prove
from zkmargin.prover.profile import Profile
from zkmargin.prover.prove import default_threads
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Challenge

MAX_THREADS = 64


@click.command(
    "prove",
    cls=Command,
    examples=[
        "zkmargin prove --snapshot snapshot.json --book book.json --opening opening.json -o proof.bin",
        "zkmargin prove --snapshot snapshot.json --book book.json --opening opening.json --claim 1.1 -o proof.bin",
        "zkmargin prove --snapshot S.json --book B.json --opening O.json --also 'net-exposure BTC <= 9' -o proof.bin",
        "zkmargin prove --snapshot S.json --book B.json --opening O.json --profile --threads 2 -o proof.bin",
    ],
)
@snapshot_option
@book_option
@click.option(
    "--opening",
    "opening_paths",
    required=True,
    multiple=True,
    metavar="FILE",
    help="The opening of the book's commitment (secret). Several add up.",
)
@claim_options
@also_option
@context_option
@challenge_option
@click.option(
    "--threads",
    type=click.IntRange(1, MAX_THREADS),
    metavar="N",
    help="Parts of the work at the same time; the processors, at most 4, without it. The proof does not depend on it.",
)
@click.option("--profile", "with_profile", is_flag=True, help="Show where the time goes. Times vary with the book.")
@output_option("the proof")
@json_option
def command(
    snapshot_path: str,
    book_paths: tuple[str, ...],
    opening_paths: tuple[str, ...],
    claim_text: str,
    requirement: str,
    also_texts: tuple[str, ...],
    context_text: str,
    challenge_path: str | None,
    threads: int | None,
    with_profile: bool,
    output: str,
    as_json: bool,
) -> None:
    """Prove that a committed book meets a claim, without showing the book.

    The proof is verified before it is written. When the claim is false, nothing is written, the broken rule is named
    and the exit code is 1.
    """
    inputs = [snapshot_path, *book_paths, *opening_paths, *([challenge_path] if challenge_path else [])]
    check_paths(inputs, [output], json=as_json)
    refuse_terminal(output, "a proof (binary)")
    claim, limits = parse_claim(claim_text, requirement), parse_limits(also_texts)
    context, challenge = context_of(context_text, challenge_path)
    if challenge is not None:
        warn_if_closed(challenge)
    snapshot = load(Snapshot, snapshot_path)
    lots = load_lots(book_paths, snapshot)
    openings = [load(Opening, path) for path in opening_paths]
    with blamed_on(snapshot_path):
        build_circuit(snapshot, claim, limits)
    commitments = [opening.commitment() for opening in openings]
    profile = Profile()
    begin = time.perf_counter()
    with terminal.progress(f"Proving{compile_note()}"), _openings_named(opening_paths):
        statement = Statement.of(snapshot, commitments, claim, context=context, limits=limits)
        proof = prove(statement, lots, openings, threads=threads, profile=profile)
    seconds = time.perf_counter() - begin
    write_outputs([Output(output, proof)])
    if as_json:
        terminal.say_json(
            {
                "output": output,
                "bytes": len(proof),
                "milliseconds": round(1000 * seconds),
                "statement": statement_facts(statement),
                "profile": profile_facts(profile, threads) if with_profile else None,
            }
        )
        return
    err = output == STDIO
    terminal.say(f"proved in {seconds:.2f} s, {len(proof)} bytes: {claim_words(claim)}", err=err)
    for line in profile_lines(profile, threads) if with_profile else ():
        terminal.say(line, err=err)
    for limit in limits:
        terminal.say(f"  and {terminal.safe(str(limit))}", err=err)
    if not err:
        words = ["zkmargin", "verify", "--snapshot", snapshot_path, "--commitment", "COMMITMENT"]
        words += ["--claim", claim_text] if claim.num != claim.den else []
        words += ["--requirement", requirement] if requirement != "initial" else []
        words += [word for text in also_texts for word in ("--also", text)]
        words += ["--challenge", challenge_path] if challenge_path else []
        words += ["--context", context_text] if context_text else []
        terminal.say(f"wrote {output}; next: {terminal.safe(shlex.join([*words, output]))}")


def profile_facts(profile: Profile, threads: int | None) -> dict[str, Any]:
    """Where the time went, for scripts."""
    return {
        "threads": threads or default_threads(),
        "stages": [{"name": name, "milliseconds": round(1000 * seconds, 3)} for name, seconds in profile.stages],
        "msms": [{"name": name, "terms": terms} for name, terms in profile.msms],
    }


def profile_lines(profile: Profile, threads: int | None) -> list[str]:
    """The same for people."""
    count, terms = len(profile.msms), sum(size for _, size in profile.msms)
    return [
        *(f"  {1000 * seconds:9.1f} ms  {name}" for name, seconds in profile.stages),
        f"  {threads or default_threads()} thread(s), {count} multi-scalar multiplications of {terms} terms",
        *(f"  {size:9} terms  {name}" for name, size in profile.msms),
    ]


def warn_if_closed(challenge: Challenge) -> None:
    """Say so when the verifier will refuse the answer, by this machine's clock."""
    try:
        challenge.check_time(now_ms=time.time_ns() // 1_000_000, skew_seconds=0)
    except VerificationError as error:
        terminal.warn(error.message, error.hint)


@contextmanager
def _openings_named(paths: Sequence[str]) -> Iterator[None]:
    """The public part of an opening is a commitment: errors about it must speak of what the user gave."""
    try:
        yield
    except InputError as error:
        field, hint = error.field or "", error.hint or ""
        if not field.startswith("commitment"):
            raise
        raise InputError(
            error.reason,
            file=paths[0] if len(paths) == 1 else None,
            field=field.replace("commitment", "opening"),
            hint=hint.replace("a commitment file", "an opening") or None,
        ) from None
