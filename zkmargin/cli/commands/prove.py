"""``zkmargin prove``: a proof that a committed book meets a claim."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import click

from zkmargin.accounts import Opening
from zkmargin.app.facts import claim_words, statement_facts
from zkmargin.app.files import Output, blamed_on, load, load_lots
from zkmargin.app.proving import Made, make_chain_proof, make_proof
from zkmargin.app.runtime import compile_note
from zkmargin.app.verifying import clock_ms
from zkmargin.circuits import build_circuit
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command
from zkmargin.cli.options import book_option, json_option, output_option, snapshot_option
from zkmargin.cli.paths import check_paths, refuse_terminal, write_outputs
from zkmargin.cli.statements import (
    Asked,
    StatementOptions,
    chain_statement,
    check_table_option,
    gathered,
    statement_options,
    table_option,
)
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, VerificationError
from zkmargin.formats.files import STDIO
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Challenge

MAX_THREADS = 64


@dataclass(frozen=True, kw_only=True)
class Options(StatementOptions):
    """What was typed."""

    snapshot_path: str
    book_paths: tuple[str, ...]
    opening_paths: tuple[str, ...]
    protocol: str
    table_path: str | None
    threads: int | None
    with_profile: bool
    output: str
    as_json: bool


@click.command(
    "prove",
    cls=Command,
    examples=[
        "zkmargin prove --snapshot snapshot.json --book book.json --opening opening.json -o my-proof.bin",
        "zkmargin prove --snapshot snapshot.json --book book.json --opening opening.json --claim 1.1 -o my-more.bin",
        (
            "zkmargin prove --snapshot snapshot.json --book book.json --opening opening.json --also "
            "'headroom >= 1000' -o my-also.bin"
        ),
        (
            "zkmargin prove --snapshot snapshot.json --book book.json --opening opening.json --challenge "
            "challenge.json -o my-answer.bin"
        ),
        (
            "zkmargin prove --snapshot snapshot.json --book book.json --opening opening.json --profile "
            "--threads 2 -o my-timed.bin"
        ),
        (
            "zkmargin prove --protocol chain --table table.json --snapshot snapshot.json --book book.json "
            "--opening opening.json -o my-chain.bin"
        ),
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
@statement_options
@click.option(
    "--protocol",
    type=click.Choice(["margin", "chain"]),
    default="margin",
    show_default=True,
    help="The argument: margin is smaller and faster to prove, chain can be verified by a contract.",
)
@table_option
@click.option(
    "--threads",
    type=click.IntRange(1, MAX_THREADS),
    metavar="N",
    help="Parts of the work at the same time; the processors, at most 4, without it. The proof does not depend on it.",
)
@click.option("--profile", "with_profile", is_flag=True, help="Show where the time goes. Times vary with the book.")
@output_option("the proof")
@json_option
@gathered(Options)
def command(options: Options) -> None:
    """Prove that a committed book meets a claim, without showing the book.

    The proof is verified before it is written. When the claim is false, nothing is written, the broken rule is named
    and the exit code is 1.
    """
    challenge_path = [options.challenge_path] if options.challenge_path else []
    inputs = [options.snapshot_path, *options.book_paths, *options.opening_paths, *challenge_path]
    inputs += [options.table_path] if options.table_path else []
    check_table_option(options.protocol, options.table_path)
    check_paths(inputs, [options.output], json=options.as_json)
    refuse_terminal(options.output, "a proof (binary)")
    asked = Asked.of(options)
    if asked.challenge is not None:
        warn_if_closed(asked.challenge)
    snapshot = load(Snapshot, options.snapshot_path)
    lots = load_lots(options.book_paths, snapshot)
    openings = [load(Opening, path) for path in options.opening_paths]
    commitments = [opening.commitment() for opening in openings]
    with blamed_on(options.snapshot_path):
        build_circuit(snapshot, asked.claim, asked.limits)
    with terminal.progress(f"Proving{compile_note()}"), _openings_named(options.opening_paths):
        if options.table_path is None:
            statement = Statement.of(snapshot, commitments, asked.claim, context=asked.context, limits=asked.limits)
            made = make_proof(statement, lots, openings, threads=options.threads)
        else:
            chain = chain_statement(snapshot, commitments, asked, options.table_path)
            statement = chain.statement
            made = make_chain_proof(chain, lots, openings, threads=options.threads)
    write_outputs([Output.proof(options.output, made.proof)])
    if options.as_json:
        _say_json(options, made, statement)
    else:
        _say(options, made, asked)


def _say_json(options: Options, made: Made, statement: Statement) -> None:
    terminal.say_json(
        {
            "output": options.output,
            "bytes": len(made.proof),
            "milliseconds": round(1000 * made.seconds),
            "statement": statement_facts(statement),
            "profile": made.profile_facts() if options.with_profile else None,
        }
    )


def _say(options: Options, made: Made, asked: Asked) -> None:
    output = options.output
    err = output == STDIO
    terminal.say(f"proved in {made.seconds:.2f} s, {len(made.proof)} bytes: {claim_words(asked.claim)}", err=err)
    for line in profile_lines(made) if options.with_profile else ():
        terminal.say(line, err=err)
    for limit in asked.limits:
        terminal.say(f"  and {terminal.safe(str(limit))}", err=err)
    if not err:
        words = ["zkmargin", "verify", "--snapshot", options.snapshot_path, "--commitment", "COMMITMENT"]
        words += ["--claim", options.claim_text] if asked.claim.num != asked.claim.den else []
        words += ["--requirement", options.requirement] if options.requirement != "initial" else []
        words += [word for text in options.also_texts for word in ("--also", text)]
        words += ["--challenge", options.challenge_path] if options.challenge_path else []
        words += ["--context", options.context_text] if options.context_text else []
        words += ["--table", options.table_path] if options.table_path else []
        terminal.say(f"wrote {output}; next: {terminal.safe(shlex.join([*words, output]))}")


def profile_lines(made: Made) -> list[str]:
    """Where the time went."""
    profile = made.profile
    count, terms = len(profile.msms), sum(size for _, size in profile.msms)
    return [
        *(f"  {1000 * seconds:9.1f} ms  {name}" for name, seconds in profile.stages),
        f"  {terminal.counted(made.threads, 'thread')}, {count} multi-scalar multiplications of {terms} terms",
        *(f"  {size:9} terms  {name}" for name, size in profile.msms),
    ]


def warn_if_closed(challenge: Challenge) -> None:
    """Say so when the verifier will refuse the answer, by this machine's clock."""
    try:
        challenge.check_time(now_ms=clock_ms(), skew_seconds=0)
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
