"""What the commands that renew a commitment share: options, their secret outputs, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from zkmargin.accounts import Commitment
from zkmargin.app.facts import part_facts
from zkmargin.app.files import Output
from zkmargin.cli import terminal
from zkmargin.cli.paths import check_paths, refuse_terminal, write_outputs
from zkmargin.formats import Document, InputError
from zkmargin.formats.files import STDIO

F = TypeVar("F", bound=Callable[..., Any])

committed_book_option = click.option(
    "--book", "book_path", required=True, metavar="FILE", help="The book that was committed (secret)."
)
its_opening_option = click.option(
    "--opening", "opening_path", required=True, metavar="FILE", help="Its opening (secret)."
)
new_opening_option = click.option(
    "--new-opening", required=True, metavar="FILE", help="Where to write the new opening (secret)."
)
own_record_option = click.option(
    "--book", "book_path", required=True, metavar="FILE", help="Your own record of the book (secret)."
)
attested_option = click.option(
    "--commitment", "commitment_path", required=True, metavar="FILE", help="The one you attested last."
)


def for_attester_option(kind: str) -> Callable[[F], F]:
    """``--update FILE`` or ``--migration FILE``: what the holder writes for whoever attests."""
    return click.option(
        f"--{kind}",
        f"{kind}_path",
        required=True,
        metavar="FILE",
        help=f"Where to write the {kind} for the party that attests, for nobody else (secret).",
    )


def check_step_paths(inputs: Sequence[str], output: str, secrets: Sequence[str], *, as_json: bool) -> None:
    """Raises InputError for paths that clash, and for secret outputs that exist or would go to a terminal."""
    check_paths(inputs, [output, *secrets], json=as_json)
    for path in secrets:
        refuse_terminal(path, "a secret document")
        if path != STDIO and Path(path).exists():
            raise InputError(
                "exists, and a secret file is never overwritten", file=path, hint="name another file, or move it away"
            )


def end_step(
    done: str,
    roles: Sequence[str],
    secrets: Sequence[tuple[str, Document]],
    commitment: Commitment,
    output: str,
    *,
    as_json: bool,
    words: Sequence[str],
) -> None:
    """Write the secret documents and the new commitment, and say what was done to which parts; never what moved.

    Raises:
        InputError: as ``write_outputs``.
    """
    write_outputs([*(Output.document(*secret) for secret in secrets), Output.document(output, commitment)])
    parts = [part_facts(part) for part in commitment.parts if part.role in roles]
    if as_json:
        terminal.say_json({"output": output, "parts": parts})
        return
    err = output == STDIO
    for part in parts:
        terminal.say(f"{done} the {part['role']} of {terminal.quoted(part['alias'])}", err=err)
    for line in words:
        terminal.say(terminal.safe(line), err=err)
    if not err:
        terminal.say(terminal.safe(f"public: {output}, of no authority before it is attested again"))


def holders_words(new_book: str, new_opening: str, for_attester: str) -> list[str]:
    """What the holder does with the secret documents of a step."""
    return [f"secret, keep them: {new_book} {new_opening}", f"secret, for the attesting party only: {for_attester}"]


def attesters_words(what: str, new_book: str) -> list[str]:
    """What the attesting party has after a step."""
    return [what, f"secret, keep it: {new_book}"]
