"""``zkmargin margin``: the margin of a book, for its owner."""

from __future__ import annotations

import click

from engine.components import REQUIREMENTS
from engine.margin import margin_report
from engine.snapshot import Snapshot
from zkmargin import terminal
from zkmargin.files import check_paths, load, load_lots
from zkmargin.options import Command, json_option, snapshot_option
from zkmargin.words import snapshot_facts


@click.command(
    "margin",
    cls=Command,
    examples=[
        "zkmargin margin book.json --snapshot snapshot.json",
    ],
)
@click.argument("book_paths", metavar="BOOK...", nargs=-1, required=True)
@snapshot_option
@click.option("--requirement", type=click.Choice(REQUIREMENTS), default="initial", show_default=True)
@json_option
def command(book_paths: tuple[str, ...], snapshot_path: str, requirement: str, as_json: bool) -> None:
    """The margin of BOOK (several add up): requirement, what sets it, equity, headroom, what netting saves, each leg.

    A book is secret, and so is what this prints. It is a JSON file {"format": "zkmargin/book/v1", "positions":
    {"BTC-27MAR26-100000-C": "-12.5"}, "collateral": {"USDC": "250000"}} with decimal strings in each instrument's own
    units, exact multiples of its lot.
    """
    check_paths([*book_paths, snapshot_path])
    snapshot = load(Snapshot, snapshot_path)
    lots = load_lots(book_paths, snapshot)
    reports = {name: margin_report(snapshot, lots, name) for name in REQUIREMENTS}
    if as_json:
        terminal.say_json(
            {
                "snapshot": snapshot_facts(snapshot),
                "requirements": {name: report.model_dump(mode="json") for name, report in reports.items()},
            }
        )
        return
    from zkmargin.show import margin_view  # noqa: PLC0415 - tables are loaded when one is shown

    chosen, *others = sorted(reports.values(), key=lambda report: report.requirement != requirement)
    margin_view(snapshot, chosen, others[0])
