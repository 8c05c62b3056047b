"""``zkmargin commit``: a public commitment to a secret book, and the secret opening of it."""

from __future__ import annotations

import click

from zkmargin.accounts import commit_book
from zkmargin.accounts.slots import ROLES, Role
from zkmargin.app.facts import part_facts
from zkmargin.app.files import Output, load, load_lots, refuse_existing_secret
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command
from zkmargin.cli.options import json_option, output_option, snapshot_option
from zkmargin.cli.paths import check_paths, refuse_terminal, write_outputs
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.formats.files import STDIO

MAX_ALIAS = 200


@click.command(
    "commit",
    cls=Command,
    examples=[
        "zkmargin commit book.json --snapshot snapshot.json -o my-commitment.json --opening my-opening.json",
        (
            "zkmargin commit custody.json --snapshot snapshot.json --part collateral -o my-part.json "
            "--opening my-part-opening.json"
        ),
    ],
)
@click.argument("book_path", metavar="BOOK")
@snapshot_option
@click.option("--part", type=click.Choice([*ROLES, "both"]), default="both", show_default=True, help="What to commit.")
@click.option(
    "--alias",
    default="account",
    show_default=True,
    metavar="NAME",
    help="A public name for the account; verifiers see it.",
)
@click.option("--opening", "opening_path", required=True, metavar="FILE", help="Where to write the secret opening.")
@output_option("the commitment")
@json_option
def command(
    book_path: str, snapshot_path: str, part: str, alias: str, opening_path: str, output: str, as_json: bool
) -> None:
    """Commit to BOOK: a public commitment for verifiers, and a secret opening for the prover.

    The commitment shows nothing about the book and holds for every snapshot with the same slots. Keep the opening as
    secret and as safe as the book: nothing can be proved about the commitment without it.
    """
    check_paths([book_path, snapshot_path], [output, opening_path], json=as_json)
    refuse_terminal(opening_path, "a secret opening")
    refuse_existing_secret(opening_path)
    if not 1 <= len(alias) <= MAX_ALIAS or not alias.isprintable():
        raise InputError(f"1 to {MAX_ALIAS} printable characters", file="--alias")
    snapshot = load(Snapshot, snapshot_path)
    lots = load_lots([book_path], snapshot)
    roles: tuple[Role, ...] = ROLES if part == "both" else tuple(role for role in ROLES if role == part)
    with terminal.progress("Committing"):
        opening = commit_book(snapshot, lots, roles=roles, alias=alias)
        commitment = opening.commitment()
    write_outputs([Output.document(opening_path, opening), Output.document(output, commitment)])
    if as_json:
        parts = [part_facts(p) for p in commitment.parts]
        terminal.say_json({"output": output, "opening": opening_path, "parts": parts})
        return
    err = STDIO in (output, opening_path)
    for p in commitment.parts:
        points = terminal.counted(len(p.points), "point")
        terminal.say(f"committed to the {p.role} of {alias!r}: {points}, up to {p.bits} bits", err=err)
    terminal.say(f"public: {output}    secret, keep it: {opening_path}", err=err)
    if not err and part == "both":
        terminal.say(
            f"next: zkmargin prove --snapshot {snapshot_path} --book {book_path} --opening {opening_path} -o proof.bin"
        )
