"""``zkmargin margin``: the margin of a book, for its owner."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import click

from zkmargin.app.files import Output, load, load_lots, no_formula
from zkmargin.app.margins import Explained, explain_margin
from zkmargin.app.runtime import compile_note
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command
from zkmargin.cli.options import json_option, requirement_option, snapshot_option
from zkmargin.cli.paths import check_paths, force_option, refuse_other_kind
from zkmargin.cli.statements import gathered
from zkmargin.engine.book import BookLots
from zkmargin.engine.explain import ArrayRow, parse_trades
from zkmargin.engine.market import Market
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, write_atomic
from zkmargin.formats.files import STDIO

#: Columns whose text is a snapshot's, not ours.
FREE_TEXT = ("group", "component", "label")
COLUMNS = ("group", "component", "candidate", "label", "floor", "profit", "counted", "binding")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was typed."""

    book_paths: tuple[str, ...]
    snapshot_path: str
    requirement: str
    trade_texts: tuple[str, ...]
    with_array: bool
    legs: int | None
    csv_path: str | None
    market_path: str | None
    as_json: bool


@click.command(
    "margin",
    cls=Command,
    examples=[
        "zkmargin margin book.json --snapshot snapshot.json --legs 5",
        "zkmargin margin book.json --snapshot snapshot.json --add '+5 BTC-PERPETUAL' --add '-2 ETH-SPOT'",
        "zkmargin margin book.json --snapshot snapshot.json --array --csv my-array.csv",
    ],
)
@click.argument("book_paths", metavar="BOOK...", nargs=-1, required=True)
@snapshot_option
@requirement_option
@click.option(
    "--add",
    "trade_texts",
    multiple=True,
    metavar="TRADE",
    help='What if: "+5 BTC-26JUN26-80000-C"; several may be given.',
)
@click.option("--array", "with_array", is_flag=True, help="The book's P&L in every scenario of every group.")
@click.option("--csv", "csv_path", metavar="FILE", help="Write that array as CSV (secret: mode 0600).")
@force_option
@click.option(
    "--legs",
    type=click.IntRange(min=0),
    metavar="N",
    help="List only the N legs that contribute most; --json has them all.",
)
@click.option("--market", "market_path", metavar="FILE", help="Greeks from this market instead of the snapshot.")
@json_option
@gathered(Options)
def command(options: Options) -> None:
    """The margin of BOOK (several add up): requirement, what sets it, equity, headroom, netting, Greeks, each leg.

    A book is secret, and so is what this prints. It is a JSON file {"format": "zkmargin/book/v1", "positions":
    {"BTC-27MAR26-100000-C": "-12.5"}, "collateral": {"USDC": "250000"}} with decimal strings in each instrument's own
    units, exact multiples of its lot. Several books are the parts of one account at several venues: what margining
    them as one saves is shown too. With --csv - the array is all that is printed.
    """
    market_path = [options.market_path] if options.market_path else []
    check_paths(
        [*options.book_paths, options.snapshot_path, *market_path],
        [options.csv_path] if options.csv_path else [],
        json=options.as_json,
    )
    explained = _explained(options)
    if options.csv_path is not None:
        data = array_csv(explained.array or ())
        refuse_other_kind(Output(options.csv_path, data))
        write_atomic(options.csv_path, data, secret=True)
        if options.csv_path == STDIO:
            return
    if options.as_json:
        facts = explained.facts()
        terminal.say_json(facts if options.with_array else facts | {"array": None})
        return
    from zkmargin.cli import show_margin  # noqa: PLC0415 - tables are loaded when one is shown

    show_margin.explained_view(explained, with_array=options.with_array, legs=options.legs)


def _explained(options: Options) -> Explained:
    """Read the files, compute. Raises InputError that names the file or option at fault."""
    snapshot = load(Snapshot, options.snapshot_path)
    books = {path: load_lots([path], snapshot) for path in options.book_paths}
    trades = None if not options.trade_texts else read_trades(options.trade_texts, snapshot)
    market = None if options.market_path is None else load(Market, options.market_path)
    pricing = "" if market is None else f" of {len(market.instruments)} instruments{compile_note()}"
    with terminal.progress(f"Margin, Greeks and what each leg adds{pricing}"), located(options):
        return explain_margin(
            snapshot,
            books,
            options.requirement,
            trades=trades,
            market=market,
            with_array=options.with_array or options.csv_path is not None,
        )


@contextmanager
def located(options: Options) -> Iterator[None]:
    """Errors of the whole are the market's or the trades', where there are any."""
    try:
        yield
    except InputError as error:
        fields = {"market": options.market_path, "trades": "--add"}
        place = fields.get(error.subject or "")
        raise error if place is None else error.located(file=place) from None


def read_trades(texts: Sequence[str], snapshot: Snapshot) -> BookLots:
    """The trades of ``--add``. Raises InputError."""
    try:
        return parse_trades(texts, snapshot)
    except InputError as error:
        field = (error.field or "").removeprefix("positions.") or None
        raise InputError(error.reason, file="--add", field=field, hint=error.hint) from None


def array_csv(rows: Sequence[ArrayRow]) -> bytes:
    """The array as CSV (RFC 4180) with a header; amounts are exact decimals of the quote currency.

    A name or label that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for row in rows:
        cells = row.model_dump(mode="json")
        writer.writerow(cells | {name: no_formula(cells[name]) for name in FREE_TEXT})
    return text.getvalue().encode()
