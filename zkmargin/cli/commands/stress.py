"""``zkmargin stress``: what a book would have to put up if prices, vols or time moved."""

from __future__ import annotations

from dataclasses import dataclass

import click

from zkmargin.app.files import Output, blamed_on, load, load_lots, write_outputs
from zkmargin.app.stressing import Stressed, stress, stress_page
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command
from zkmargin.cli.options import json_option, requirement_option, snapshot_option
from zkmargin.cli.paths import check_paths, refuse_twice
from zkmargin.cli.show import Section, console
from zkmargin.cli.statements import gathered
from zkmargin.cli.words import money
from zkmargin.engine.market import Market
from zkmargin.engine.publishing.snapshots import check_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.risk.history import History

MOST_MOVES, MOST_BP = 41, 90_000


@dataclass(frozen=True, kw_only=True)
class StressOptions:
    """The options of ``zkmargin stress``."""

    book_paths: tuple[str, ...]
    snapshot_path: str
    market_path: str
    requirement: str
    moves_text: str
    vols_text: str
    days: int
    history_path: str | None
    history_days: int
    html_path: str | None
    as_json: bool


@click.command(
    "stress",
    cls=Command,
    examples=[
        "zkmargin stress book.json --snapshot snapshot.json --market market.json",
        "zkmargin stress book.json --snapshot snapshot.json --market market.json --days 30 --html my-stress.html",
    ],
)
@click.argument("book_paths", metavar="BOOK...", nargs=-1, required=True)
@snapshot_option
@click.option("--market", "market_path", required=True, metavar="FILE", help="What the snapshot was built from.")
@requirement_option
@click.option(
    "--moves",
    "moves_text",
    metavar="LIST",
    default="-30,-20,-10,0,10,20,30",
    show_default=True,
    help="Moves of all prices, per cent.",
)
@click.option(
    "--vols", "vols_text", metavar="LIST", default="-25,0,50", show_default=True, help="Moves of all vols, per cent."
)
@click.option(
    "--days",
    metavar="N",
    type=click.IntRange(0, 3_650),
    default=0,
    show_default=True,
    help="Also as time passes: each day up to this one, with prices unmoved.",
)
@click.option(
    "--history",
    "history_path",
    metavar="FILE",
    help="Also at the prices of these daily closes (CSV: date,BTC,ETH), scaled so that the last is now.",
)
@click.option(
    "--history-days",
    metavar="N",
    type=click.IntRange(2, 5_000),
    default=60,
    show_default=True,
    help="How many of its last days.",
)
@click.option("--html", "html_path", metavar="FILE", help="Write a page with tables and charts (secret: mode 0600).")
@json_option
@gathered(StressOptions)
def command(given: StressOptions) -> None:
    """The margin of BOOK (several add up) in stressed markets, over days to expiry, and along a history.

    Every point prices the book anew by the policy's own rules. What futures and perpetuals gain by a move is settled
    in cash, and options that expire on the way are paid out at their intrinsic value.
    """
    others = [given.market_path, *([given.history_path] if given.history_path else [])]
    inputs = [*given.book_paths, given.snapshot_path, *others]
    check_paths(inputs, [given.html_path] if given.html_path else [], json=given.as_json)
    refuse_twice(given.book_paths)
    moves, vols = _moves(given.moves_text, "--moves"), _moves(given.vols_text, "--vols")
    snapshot, market = load(Snapshot, given.snapshot_path), load(Market, given.market_path)
    with blamed_on(given.snapshot_path):
        check_snapshot(snapshot, market)
    lots = load_lots(given.book_paths, snapshot)
    history = None if given.history_path is None else History.load(given.history_path)
    with terminal.progress("Simulating"):
        found = stress(
            market,
            snapshot,
            lots,
            requirement=given.requirement,
            moves_bp=moves,
            vols_bp=vols,
            days=given.days,
            history=history,
            history_days=given.history_days,
        )
    if given.html_path is not None:
        write_outputs([Output(given.html_path, stress_page(found, snapshot.quote), secret=True)])
    if given.as_json:
        terminal.say_json(found.model_dump(mode="json"))
        return
    _points(found, snapshot.quote).show(console())


def _points(found: Stressed, quote: str) -> Section:
    """Every point, for people."""
    title = f"Amounts in {quote}, the {found.requirement} requirement; less than 0 to spare is a shortfall"
    table = Section(title, "Market", ">Equity", ">Requirement", ">To spare")
    for point in [*(point for row in found.grid for point in row), *found.days, *found.history]:
        table.row(point.label, money(point.equity), money(point.requirement), money(point.surplus))
    return table


def _moves(text: str, option: str) -> list[int]:
    """Moves in basis points of a list of whole per cent. Raises InputError."""
    try:
        moves = [100 * int(part) for part in text.split(",")]
    except ValueError:
        raise InputError("not whole per cent like -30,0,30", file=option) from None
    if len(moves) > MOST_MOVES or not all(-10_000 < move <= MOST_BP for move in moves):
        raise InputError(f"at most {MOST_MOVES} moves, above -100 and at most {MOST_BP // 100}", file=option)
    return moves
