"""The paths of a command line: what may not be read or written twice, and what no terminal shows."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from zkmargin.app import files
from zkmargin.app.files import Output
from zkmargin.formats import Hint, InputError
from zkmargin.formats.files import STDIO

F = TypeVar("F", bound=Callable[..., Any])
_FORCE = "zkmargin.force"


def force_option(function: F) -> F:
    """``--force``, for ``write_outputs``."""

    def keep(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        ctx.meta[_FORCE] = value

    return click.option(
        "--force",
        is_flag=True,
        expose_value=False,
        callback=keep,
        help="Replace an output that holds another kind of file. A secret file is never replaced.",
    )(function)


def write_outputs(outputs: Sequence[Output]) -> None:
    """Write all or none; with ``--force`` in place of any public file. Raises InputError as ``app.files`` does."""
    files.write_outputs(outputs, force=_forced())


def refuse_other_kind(output: Output) -> None:
    """``app.files.refuse_other_kind``, unless ``--force`` was given."""
    if output.path != STDIO and not _forced():
        files.refuse_other_kind(output)


def _forced() -> bool:
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get(_FORCE))


def check_paths(inputs: Sequence[str], outputs: Sequence[str] = (), *, json: bool = False) -> None:
    """Refuse paths that would read or write the same thing twice, before any work is done.

    Raises:
        InputError: an output that is an input or another output, standard input or output asked for twice.
    """
    if list(inputs).count(STDIO) > 1:
        raise InputError("standard input can be read once only", file=STDIO)
    if list(outputs).count(STDIO) + json > 1:
        what = "--json and a file" if json else "two files"
        raise InputError(f"{what} cannot both go to standard output", file=STDIO, hint="name an output file with -o")
    named = [path for path in outputs if path != STDIO]
    for i, path in enumerate(named):
        for other in inputs:
            if other != STDIO and _same_file(path, other):
                raise InputError("is an input of this command and would be overwritten", file=path)
        if any(_same_file(path, other) for other in named[:i]):
            raise InputError("is named twice as an output", file=path)


def refuse_missing_folders(outputs: Sequence[str]) -> None:
    """Refuse outputs that could not be written, before long work is done for nothing.

    Raises:
        InputError: an output whose folder is not there or not to be written to, or that is a folder itself.
    """
    for path in outputs:
        if path == STDIO:
            continue
        target = Path(os.path.realpath(path))  # a link is written through
        if not target.parent.is_dir():
            raise InputError("cannot be written: no such file or directory", file=path, hint=Hint.NO_FOLDER)
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise InputError("cannot be written: permission denied", file=path)
        if target.exists() and not target.is_file():
            raise InputError("exists and is not a regular file", file=path)


def refuse_twice(books: Sequence[str]) -> None:
    """Refuse a book that is named twice among those that add up. Raises InputError naming the file."""
    for place, path in enumerate(books):
        if any(_same_file(path, other) for other in books[:place]):
            raise InputError("is named twice, and would count twice", file=path, hint="name each book once")


def _same_file(a: str, b: str) -> bool:
    try:
        return Path(a).samefile(b)
    except (OSError, ValueError):  # one of them does not exist
        return os.path.realpath(a) == os.path.realpath(b)


def refuse_terminal(path: str, what: str) -> None:
    """Raises InputError when binary or secret data would go to a terminal."""
    if path == STDIO and sys.stdout.isatty():
        raise InputError(f"{what} is not written to a terminal", file=STDIO, hint="name a file, or pipe it on")
