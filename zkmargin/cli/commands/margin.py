"""``zkmargin margin``: the margin of a book, for its owner."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import click

from zkmargin.app.files import blamed_on, check_paths, load, load_lots
from zkmargin.app.runtime import compile_note
from zkmargin.cli import terminal
from zkmargin.cli.options import Command, json_option, snapshot_option
from zkmargin.cli.words import snapshot_facts
from zkmargin.engine.book import BookLots, sum_of_books
from zkmargin.engine.components import REQUIREMENTS
from zkmargin.engine.decimals import from_units
from zkmargin.engine.explain import ArrayRow, WhatIf, marginals, parse_trades, risk_array, what_if
from zkmargin.engine.greeks import GreekReport, greek_report
from zkmargin.engine.margin import VALUATION_DECIMALS, MarginReport, margin_report
from zkmargin.engine.market import Market
from zkmargin.engine.netting import netting
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, write_atomic
from zkmargin.formats.files import STDIO

#: Columns whose text is a snapshot's, not ours.
FREE_TEXT = ("group", "component", "label")
#: What a formula can begin with, also in full width; tabs and line ends can hide it (OWASP, "CSV injection").
FORMULA_STARTS = tuple("=+-@\uff1d\uff0b\uff0d\uff20\t\r\n")
COLUMNS = ("group", "component", "candidate", "label", "floor", "profit", "binding")


@click.command(
    "margin",
    cls=Command,
    examples=[
        "zkmargin margin book.json --snapshot snapshot.json",
        "zkmargin margin book.json --snapshot snapshot.json --add '+5 BTC-26JUN26-80000-C' --add '-2 BTC-PERPETUAL'",
        "zkmargin margin book.json --snapshot snapshot.json --array --csv array.csv",
    ],
)
@click.argument("book_paths", metavar="BOOK...", nargs=-1, required=True)
@snapshot_option
@click.option("--requirement", type=click.Choice(REQUIREMENTS), default="initial", show_default=True)
@click.option(
    "--add",
    "trade_texts",
    multiple=True,
    metavar="TRADE",
    help='What if: "+5 BTC-26JUN26-80000-C"; several may be given.',
)
@click.option("--array", "with_array", is_flag=True, help="The book's P&L in every scenario of every group.")
@click.option("--csv", "csv_path", metavar="FILE", help="Write that array as CSV (secret: mode 0600).")
@click.option("--market", "market_path", metavar="FILE", help="Greeks from this market instead of the snapshot.")
@json_option
def command(
    book_paths: tuple[str, ...],
    snapshot_path: str,
    requirement: str,
    trade_texts: tuple[str, ...],
    with_array: bool,
    csv_path: str | None,
    market_path: str | None,
    as_json: bool,
) -> None:
    """The margin of BOOK (several add up): requirement, what sets it, equity, headroom, netting, Greeks, each leg.

    A book is secret, and so is what this prints. It is a JSON file {"format": "zkmargin/book/v1", "positions":
    {"BTC-27MAR26-100000-C": "-12.5"}, "collateral": {"USDC": "250000"}} with decimal strings in each instrument's own
    units, exact multiples of its lot. Several books are the parts of one account at several venues: what margining
    them as one saves is shown too. With --csv - the array is all that is printed.
    """
    inputs = [*book_paths, snapshot_path, *([market_path] if market_path else [])]
    check_paths(inputs, [csv_path] if csv_path else [], json=as_json)
    snapshot = load(Snapshot, snapshot_path)
    books = [load_lots([path], snapshot) for path in book_paths]
    lots = sum_of_books(books, snapshot)
    venues = netting(snapshot, list(zip(book_paths, books, strict=True)), requirement) if len(books) > 1 else None
    trades = None if not trade_texts else read_trades(trade_texts, snapshot)
    greeks = read_greeks(snapshot, lots, market_path)
    reports: dict[str, MarginReport] = {name: margin_report(snapshot, lots, name) for name in REQUIREMENTS}
    with terminal.progress(f"What each of {len(greeks.legs)} legs adds"):
        added = marginals(snapshot, lots, requirement)
    compared = None if trades is None else _compare(snapshot, lots, trades, requirement)
    array = risk_array(snapshot, lots, requirement) if with_array or csv_path else []
    if csv_path is not None:
        write_atomic(csv_path, array_csv(array), secret=True)
        if csv_path == STDIO:
            return
    if as_json:
        facts = margin_facts(snapshot, reports, requirement, added, greeks)
        facts["netting"] = None if venues is None else venues.model_dump(mode="json")
        facts["what_if"] = None if compared is None else compared.model_dump(mode="json")
        facts["array"] = [row.model_dump(mode="json") for row in array] if with_array else None
        terminal.say_json(facts)
        return
    chosen, other = sorted(reports.values(), key=lambda report: report.requirement != requirement)
    from zkmargin.cli import show_margin  # noqa: PLC0415 - tables are loaded when one is shown

    show_margin.margin_view(snapshot, chosen, other, marginals=added)
    show_margin.greeks_view(greeks)
    if compared is not None:
        show_margin.what_if_view(compared, requirement)
    if with_array:
        show_margin.array_view(array)
    if venues is not None:
        show_margin.netting_view(venues)


def read_trades(texts: Sequence[str], snapshot: Snapshot) -> BookLots:
    """The trades of ``--add``. Raises InputError."""
    try:
        return parse_trades(texts, snapshot)
    except InputError as error:
        field = (error.field or "").removeprefix("positions.") or None
        raise InputError(error.reason, file="--add", field=field, hint=error.hint) from None


def _compare(snapshot: Snapshot, lots: BookLots, trades: BookLots, requirement: str) -> WhatIf:
    try:
        return what_if(snapshot, lots, trades, requirement)
    except InputError as error:
        raise error.located(file="--add") from None


def read_greeks(snapshot: Snapshot, lots: BookLots, market_path: str | None) -> GreekReport:
    """The book's Greeks, from ``--market`` where it is given. Raises InputError."""
    if market_path is None:
        return greek_report(snapshot, lots)
    market = load(Market, market_path)
    pricing = terminal.progress(f"Pricing {len(market.instruments)} instruments{compile_note()}")
    with pricing, blamed_on(market_path):
        return greek_report(snapshot, lots, market)


def margin_facts(
    snapshot: Snapshot,
    reports: dict[str, MarginReport],
    requirement: str,
    added: Sequence[int],
    greeks: GreekReport,
) -> dict[str, Any]:
    """Everything for scripts; ``marginals`` are of the requirement that was asked for."""
    ids = [leg.id for leg in reports[requirement].legs]
    return {
        "snapshot": snapshot_facts(snapshot),
        "requirements": {name: report.model_dump(mode="json") for name, report in reports.items()},
        "marginals": {name: from_units(amount, VALUATION_DECIMALS) for name, amount in zip(ids, added, strict=True)},
        "greeks": greeks.model_dump(mode="json"),
    }


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


def no_formula(text: str) -> str:
    """Text for a cell of a spreadsheet: with an apostrophe in front where it could begin a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_STARTS) else text
