"""``zkmargin cache``: what is kept on this machine between runs, and how to be rid of it."""

from __future__ import annotations

import click

from zkmargin.app.runtime import cache_contents, clear_cache
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.options import json_option
from zkmargin.formats.private_cache import CACHE_VARIABLE


@click.group("cache", cls=Group)
def command() -> None:
    """The cache of compiled kernels and tables: no documents, no secrets. It is made again when it is needed.

    ZKMARGIN_CACHE_DIR moves it. Clear it before you uninstall zkmargin: then only its empty folder is left, and manual
    pages where you had them written.
    """


@command.command("info", cls=Command, examples=["zkmargin cache info"])
@json_option
def info_command(as_json: bool) -> None:
    """Where the cache is, what it holds and how large it is."""
    contents = cache_contents()
    if as_json:
        terminal.say_json({"folder": str(contents.folder), "files": contents.files, "bytes": contents.size})
        return
    terminal.say(f"{terminal.safe(str(contents.folder))} ({CACHE_VARIABLE} moves it)")
    terminal.say(f"  {contents.files} files, {contents.size / 2**20:.1f} MiB: compiled kernels and tables")


@command.command("clear", cls=Command, examples=["zkmargin cache clear"])
@json_option
def clear_command(as_json: bool) -> None:
    """Remove what the cache holds. The next snapshot and the next proof compile kernels again: seconds each."""
    removed = clear_cache()
    if as_json:
        terminal.say_json({"folder": str(removed.folder), "files": removed.files, "bytes": removed.size})
        return
    terminal.say(
        f"removed {removed.files} files, {removed.size / 2**20:.1f} MiB, of {terminal.safe(str(removed.folder))}"
    )
