"""``zkmargin report``: pages for people: a maker's book, a venue's accounts, an auditor's ledger."""

from __future__ import annotations

import re
from dataclasses import dataclass

import click

from zkmargin.app.files import Output, load, load_lots
from zkmargin.app.margins import explain_margin
from zkmargin.app.verifying import clock_ms
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.ledgers import open_ledger
from zkmargin.cli.options import ledger_option, output_option, parse_age, requirement_option, snapshot_option
from zkmargin.cli.paths import check_paths, write_outputs
from zkmargin.cli.statements import gathered
from zkmargin.crypto.keys import PublicKey
from zkmargin.engine.book import sum_of_books
from zkmargin.engine.explain import parse_trades
from zkmargin.engine.market import Market
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.formats.files import STDIO


@click.group("report", cls=Group)
def command() -> None:
    """Pages for people: one HTML file each, nothing fetched, a table behind every chart, made to print well.

    Charts need the extra `plot` (matplotlib).
    """


@dataclass(frozen=True, kw_only=True)
class MakerOptions:
    """What was typed."""

    book_paths: tuple[str, ...]
    snapshot_path: str
    requirement: str
    trade_texts: tuple[str, ...]
    market_path: str | None
    output: str


@command.command(
    "maker",
    cls=Command,
    examples=[
        "zkmargin report maker book.json --snapshot snapshot.json -o my-book.html",
        "zkmargin report maker book.json --snapshot snapshot.json --add '+5 BTC-PERPETUAL' -o my-what-if.html",
    ],
)
@click.argument("book_paths", metavar="BOOK...", nargs=-1, required=True)
@snapshot_option
@requirement_option
@click.option("--add", "trade_texts", multiple=True, metavar="TRADE", help='What if: "+5 BTC-26JUN26-80000-C".')
@click.option("--market", "market_path", metavar="FILE", help="Greeks from this market instead of the snapshot.")
@output_option("the page (secret: mode 0600)")
@gathered(MakerOptions)
def maker_command(options: MakerOptions) -> None:
    """The margin of BOOK as a page (several add up): waterfall, P&L surface, every scenario, Greeks, legs, what if.

    The page is as secret as the book: it is written with mode 0600, and never in place of a file that is there.
    """
    from zkmargin.app.reports import maker_page  # noqa: PLC0415 - charts are loaded when they are drawn

    market_path = [options.market_path] if options.market_path else []
    check_paths([*options.book_paths, options.snapshot_path, *market_path], [options.output])
    snapshot = load(Snapshot, options.snapshot_path)
    books = {path: load_lots([path], snapshot) for path in options.book_paths}
    try:
        trades = parse_trades(options.trade_texts, snapshot) if options.trade_texts else None
    except InputError as error:
        raise error.located(file="--add") from None
    market = None if options.market_path is None else load(Market, options.market_path)
    with terminal.progress("Margin, Greeks and charts"):
        explained = explain_margin(snapshot, books, options.requirement, trades=trades, market=market, with_array=True)
        page = maker_page(explained, sum_of_books(list(books.values()), snapshot))
    write_outputs([Output(options.output, page, secret=True)])
    _say(options.output, "secret, as the book is")


@command.command(
    "venue",
    cls=Command,
    examples=[
        "zkmargin report venue --ledger ledger.db -o my-accounts.html",
    ],
)
@ledger_option(required=True, reads=True)
@click.option(
    "--due-after", default="1d", show_default=True, metavar="AGE", help="An account is overdue after 10m, 2h, 1d."
)
@output_option("the page")
def venue_command(ledger_where: str, due_after: str, output: str) -> None:
    """The accounts of a ledger as a page: who is in time, when each was proven, the largest gap, open challenges."""
    from zkmargin.app.reports import acceptance_page  # noqa: PLC0415 - charts are loaded when they are drawn

    seconds = parse_age(due_after, "--due-after")
    with open_ledger(ledger_where, read_only=True) as ledger, terminal.progress("Reading the ledger"):
        page = acceptance_page(ledger, now_ms=clock_ms(), due_seconds=seconds, audit=False)
    write_outputs([Output(output, page)])
    _say(output, "public documents only")


@command.command(
    "auditor",
    cls=Command,
    examples=[
        "zkmargin report auditor --ledger ledger.db -o my-audit.html",
    ],
)
@ledger_option(required=True, reads=True)
@click.option(
    "--key",
    "key_paths",
    multiple=True,
    metavar="FILE",
    help="The ledger's public key: every record must be signed with it; give it again for the key that came after it.",
)
@click.option("--head", metavar="HEX", help="A head that was shown before: the chain must hold it still.")
@click.option(
    "--due-after", default="1d", show_default=True, metavar="AGE", help="An account is overdue after 10m, 2h, 1d."
)
@output_option("the page")
def auditor_command(
    ledger_where: str, key_paths: tuple[str, ...], head: str | None, due_after: str, output: str
) -> None:
    """What a ledger's verifier accepted, as a page: everything derived and verified again, who vouched, and when.

    What is found wrong stands on the page, and the command ends with 0: `zkmargin ledger check` is for scripts.
    """
    from zkmargin.app.reports import acceptance_page  # noqa: PLC0415 - charts are loaded when they are drawn

    if head is not None and re.fullmatch("[0-9a-f]{64}", head) is None:
        raise InputError("a head is 64 hexadecimal digits", file="--head")
    check_paths(list(key_paths), [output])
    seconds = parse_age(due_after, "--due-after")
    keys = [load(PublicKey, path) for path in key_paths]
    with open_ledger(ledger_where, read_only=True) as ledger, terminal.progress("Verifying"):
        page = acceptance_page(ledger, now_ms=clock_ms(), due_seconds=seconds, audit=True, key=keys, head=head)
    write_outputs([Output(output, page)])
    _say(output, "public documents only")


def _say(output: str, what: str) -> None:
    if output != STDIO:
        terminal.say(f"wrote {terminal.safe(output)}: {what}; it prints to paper or PDF from any browser")
