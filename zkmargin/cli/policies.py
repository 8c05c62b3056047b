"""The policy that a user names: one of ours, or a file with every mistake in it listed at once."""

from __future__ import annotations

from pathlib import Path

from zkmargin.app.files import load
from zkmargin.cli import terminal
from zkmargin.engine.policy import Policy, load_policy, policy_mistakes, policy_names
from zkmargin.formats import InputError, parse_json, read_text
from zkmargin.formats.files import STDIO


def own_policy(path: str) -> Policy:
    """A named policy, or a policy file: all its mistakes are listed at once. Raises InputError."""
    if path in policy_names() or (path != STDIO and not Path(path).exists()):
        return load_policy(path)
    try:
        return load(Policy, path)
    except InputError as error:
        mistakes = _mistakes(path)
        for field, reason in mistakes if len(mistakes) > 1 else ():
            terminal.say(terminal.safe(f"  {field or 'the file'}: {reason}"), err=True)
        if len(mistakes) <= 1:
            raise
        (field, reason), more = mistakes[0], len(mistakes) - 1
        together = InputError(f"{reason} (and {more} more)", file=error.file, field=field)
        together.facts = {"errors": [{"field": field, "reason": reason} for field, reason in mistakes]}
        raise together from None


def _mistakes(path: str) -> list[tuple[str, str]]:
    """Of a file that holds a JSON object; nothing of any other, whose one mistake is known."""
    if path == STDIO:
        return []
    try:
        data = parse_json(read_text(path))
    except InputError:
        return []
    return policy_mistakes(data) if isinstance(data, dict) else []
