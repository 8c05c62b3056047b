"""``zkmargin prove``: a proof that a committed book meets a claim."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from circuits import build_circuit
from engine.snapshot import Snapshot
from formats import InputError
from formats.files import STDIO
from prover import Opening, prove
from verifier import Statement
from zkmargin import terminal
from zkmargin.files import Output, blamed_on, check_paths, load, load_lots, refuse_terminal, write_outputs
from zkmargin.options import (
    Command,
    book_option,
    claim_options,
    context_option,
    json_option,
    output_option,
    parse_claim,
    parse_context,
    snapshot_option,
)
from zkmargin.runtime import compile_note
from zkmargin.words import claim_words, statement_facts


@click.command(
    "prove",
    cls=Command,
    examples=[
        "zkmargin prove --snapshot snapshot.json --book book.json --opening opening.json -o proof.bin",
        "zkmargin prove --snapshot snapshot.json --book book.json --opening opening.json --claim 1.1 -o proof.bin",
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
@context_option
@output_option("the proof")
@json_option
def command(
    snapshot_path: str,
    book_paths: tuple[str, ...],
    opening_paths: tuple[str, ...],
    claim_text: str,
    requirement: str,
    context_text: str,
    output: str,
    as_json: bool,
) -> None:
    """Prove that a committed book meets a claim, without showing the book.

    The proof is verified before it is written. When the claim is false, nothing is written, the broken rule is named
    and the exit code is 1.
    """
    check_paths([snapshot_path, *book_paths, *opening_paths], [output], json=as_json)
    refuse_terminal(output, "a proof (binary)")
    claim, context = parse_claim(claim_text, requirement), parse_context(context_text)
    snapshot = load(Snapshot, snapshot_path)
    lots = load_lots(book_paths, snapshot)
    openings = [load(Opening, path) for path in opening_paths]
    with blamed_on(snapshot_path):
        build_circuit(snapshot, claim)
    begin = time.perf_counter()
    with terminal.progress(f"Proving{compile_note()}"), _openings_named(opening_paths):
        proof = prove(snapshot, lots, openings, claim, context=context)
    seconds = time.perf_counter() - begin
    write_outputs([Output(output, proof)])
    if as_json:
        statement = Statement.of(snapshot, [opening.commitment() for opening in openings], claim, context=context)
        terminal.say_json(
            {
                "output": output,
                "bytes": len(proof),
                "milliseconds": round(1000 * seconds),
                "statement": statement_facts(statement, snapshot),
            }
        )
        return
    err = output == STDIO
    terminal.say(f"proved in {seconds:.2f} s, {len(proof)} bytes: {claim_words(claim)}", err=err)
    if not err:
        words = ["zkmargin", "verify", "--snapshot", snapshot_path, "--commitment", "COMMITMENT"]
        words += ["--claim", claim_text] if claim.num != claim.den else []
        words += ["--requirement", requirement] if requirement != "initial" else []
        words += ["--context", context_text] if context else []
        terminal.say(f"wrote {output}; next: {terminal.safe(shlex.join([*words, output]))}")


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
