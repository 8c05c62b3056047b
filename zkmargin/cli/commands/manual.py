"""``zkmargin manual``: a manual page for every command, made from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

import zkmargin
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command
from zkmargin.formats import InputError, write_atomic


@click.command(
    "manual",
    cls=Command,
    examples=["zkmargin manual my-man1    # then: man -l my-man1/zkmargin-prove.1"],
)
@click.argument("folder")
def command(folder: str) -> None:
    """Write the manual pages of all commands to FOLDER, section 1: the same texts as --help.

    A folder man1 below one that `manpath` lists makes them known to man: ~/.local/share/man/man1 in most systems.
    """
    home = Path(folder)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be used as a folder: {(error.strerror or 'error').lower()}", file=folder) from None
    count = 0
    for name, text in manual_pages(click.get_current_context().find_root().command):
        write_atomic(home / f"{name}.1", text.encode())
        count += 1
    terminal.say(f"wrote {count} manual pages to {terminal.safe(folder)}")


def manual_pages(root: click.Command) -> Iterator[tuple[str, str]]:
    """(name, page) of a command and of all below it, in roff."""
    yield from _pages(click.Context(root, info_name="zkmargin"))


def _pages(context: click.Context) -> Iterator[tuple[str, str]]:
    name = context.command_path.replace(" ", "-")
    yield name, _page(name, context)
    group = context.command
    if isinstance(group, click.Group):
        for below in group.list_commands(context):
            command = group.get_command(context, below)
            if command is not None:
                yield from _pages(click.Context(command, info_name=below, parent=context))


def _page(name: str, context: click.Context) -> str:
    command = context.command
    pieces = command.collect_usage_pieces(context)
    lines = [
        f'.TH "{_plain(name.upper())}" 1 "" "zkmargin {zkmargin.__version__}" "zkmargin manual"',
        ".SH NAME",
        f"{_plain(name)} \\- {_plain(_first_line(command))}",
        ".SH SYNOPSIS",
        f".B {_plain(context.command_path)}",
        _plain(" ".join(pieces)),
        ".SH DESCRIPTION",
        *(line for text in _paragraphs(command) for line in (".PP", _plain(text))),
    ]
    options = [record for option in command.get_params(context) if (record := option.get_help_record(context))]
    if options:
        lines.append(".SH OPTIONS")
        lines += [line for words, text in options for line in (".TP", f".B {_plain(words)}", _plain(text))]
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            if found is not None:
                lines += [".TP", f".BR {_plain(name)}-{_plain(below)} (1)", _plain(_first_line(found))]
    if isinstance(command, Command):
        lines += [".SH EXAMPLES", ".nf", *(_plain(example) for example in command.examples), ".fi"]
    lines += [".SH EXIT STATUS", "0 done; 1 the claim is false or a proof is rejected; 2 bad input."]
    return "\n".join(lines) + "\n"


def _paragraphs(command: click.Command) -> list[str]:
    text = inspect.cleandoc(command.help or "")
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


def _first_line(command: click.Command) -> str:
    paragraphs = _paragraphs(command)
    return (paragraphs[0].partition(". ")[0].rstrip(".") if paragraphs else "") or (command.name or "")


def _plain(text: str) -> str:
    """Text that roff takes for text: no escapes, and no request at the beginning of a line."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
