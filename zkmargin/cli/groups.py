"""Commands whose help has examples, and groups that know what was meant by a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import click

Resolved = tuple[str | None, click.Command | None, list[str]]


def suggesting(
    resolve: Callable[[click.Context, list[str]], Resolved], names: Sequence[str], ctx: click.Context, args: list[str]
) -> Resolved:
    """Resolve a command; the error about one that does not exist names those that are like it."""
    try:
        return resolve(ctx, args)
    except click.UsageError as error:
        close = difflib.get_close_matches(args[0], names, n=3, cutoff=0.5) if args else []
        if not close:
            raise
        reason = error.message.partition(" Did you mean")[0].rstrip(".")  # newer versions of click ask it themselves
        raise click.UsageError(f"{reason}: did you mean {' or '.join(close)}?", ctx) from None


def nearest(name: str, names: Sequence[str]) -> list[str]:
    """The two names that are most like one, the nearest first; click lists them by the alphabet."""
    return sorted(names, key=lambda one: -difflib.SequenceMatcher(None, one.lstrip("-"), name.lstrip("-")).ratio())[:2]


class Group(click.Group):
    """A group of commands that knows what was meant by a mistyped one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Resolved:
        """As click's; a mistyped command gets the names that are like it."""
        return suggesting(super().resolve_command, self.list_commands(ctx), ctx, args)


def _names_a_file(name: str) -> bool:
    return name.endswith(("_path", "_paths")) or name in ("paths", "path", "file", "folder", "output")


class Command(click.Command):
    """A command whose help ends with examples, one a line."""

    def __init__(self, *args: Any, examples: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        for parameter in self.params:
            if parameter.type is click.STRING and _names_a_file(parameter.name or ""):
                parameter.type = click.Path()  # a shell completes it; what is wrong with it is said by who reads it

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The examples, never wrapped: they are for copying."""
        formatter.write("\nExamples:\n" + "".join(f"  {example}\n" for example in self.examples))
