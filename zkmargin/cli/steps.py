"""What the commands that renew a commitment share: their secret outputs, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zkmargin.accounts import Commitment
from zkmargin.app.facts import part_facts
from zkmargin.cli import terminal
from zkmargin.cli.paths import check_paths, refuse_terminal
from zkmargin.formats import InputError
from zkmargin.formats.files import STDIO


def check_step_paths(inputs: Sequence[str], output: str, secrets: Sequence[str], *, as_json: bool) -> None:
    """Raises InputError for paths that clash, and for secret outputs that exist or would go to a terminal."""
    check_paths(inputs, [output, *secrets], json=as_json)
    for path in secrets:
        refuse_terminal(path, "a secret document")
        if path != STDIO and Path(path).exists():
            raise InputError(
                "exists, and a secret file is never overwritten", file=path, hint="name another file, or move it away"
            )


def say_step(
    done: str, roles: Sequence[str], commitment: Commitment, output: str, *, as_json: bool, words: str
) -> None:
    """What was done to which parts, in words or for scripts; never what moved."""
    parts = [part_facts(part) for part in commitment.parts if part.role in roles]
    if as_json:
        terminal.say_json({"output": output, "parts": parts})
        return
    err = output == STDIO
    for part in parts:
        terminal.say(f"{done} the {part['role']} of {terminal.quoted(part['alias'])}", err=err)
    terminal.say(terminal.safe(words), err=err)
    if not err:
        terminal.say(terminal.safe(f"public: {output}, of no authority before it is attested again"))
