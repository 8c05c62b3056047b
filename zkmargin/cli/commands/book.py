"""``zkmargin book``: books and fills from what a venue says of an account."""

from __future__ import annotations

import click

from zkmargin.app.files import Output, load
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.options import json_option, snapshot_option
from zkmargin.cli.paths import check_paths, write_outputs
from zkmargin.engine.importers import Account, import_book
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats.files import STDIO

_OUTPUT = click.option("-o", "--output", required=True, metavar="FILE", help="Where to write it (secret).")


@click.group("book", cls=Group)
def command() -> None:
    """Make books and fills from a venue's answers (Deribit's).

    Amounts of the API (USD of inverse futures, coins) become contracts of the snapshot's slots. What is read and what
    is written is secret.
    """


@command.command(
    "import",
    cls=Command,
    examples=[
        "zkmargin book import positions.json summaries.json --snapshot snapshot.json -o my-book.json",
    ],
)
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
@snapshot_option
@_OUTPUT
@json_option
def import_command(paths: tuple[str, ...], snapshot_path: str, output: str, as_json: bool) -> None:
    """A book from FILE: answers of private/get_positions and private/get_account_summaries, one or several files.

    A position that the snapshot does not list, or that is no whole number of lots, is an error: nothing is dropped.
    """
    _make(paths, snapshot_path, output, as_json=as_json, fills=False)


@command.command(
    "fills",
    cls=Command,
    examples=[
        "zkmargin book fills trades.json --snapshot snapshot.json -o my-traded.json",
    ],
)
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
@snapshot_option
@_OUTPUT
@json_option
def fills_command(paths: tuple[str, ...], snapshot_path: str, output: str, as_json: bool) -> None:
    """Fills from FILE: answers of private/get_user_trades_by_currency, for `zkmargin update`.

    A trade that several answers hold counts once. Premiums and fees move balances; P&L of futures does not: it is in
    the next account summary.
    """
    _make(paths, snapshot_path, output, as_json=as_json, fills=True)


def _make(paths: tuple[str, ...], snapshot_path: str, output: str, *, as_json: bool, fills: bool) -> None:
    check_paths([*paths, snapshot_path], [output], json=as_json)
    snapshot = load(Snapshot, snapshot_path)
    with terminal.progress(f"Reading {terminal.safe(', '.join(paths))}") as advance:
        found = import_book(paths, snapshot, fills=fills, progress=advance)
    write_outputs([Output.document(output, found.document)])
    if as_json:
        terminal.say_json({"output": output, **_facts(found)})
        return
    err, facts = output == STDIO, _facts(found)
    terminal.say(f"{facts['positions']} positions and {facts['balances']} balances", err=err)
    for note in (*found.notes, *(omission.text() for omission in found.left_out)):
        terminal.say(f"  - {terminal.safe(note)}", err=err)
    if not err:
        terminal.say(f"wrote {output} (secret)")


def _facts(found: Account) -> dict[str, object]:
    """Counts alone: what is in it is secret."""
    return {
        "positions": len(found.document.positions or ()),
        "balances": len(found.document.collateral or ()),
        "notes": list(found.notes),
        "left_out": [
            {"reason": omission.reason, "count": omission.count, "names": list(omission.names)}
            for omission in found.left_out
        ],
    }
