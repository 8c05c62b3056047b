"""``zkmargin demo``: the whole way on an example, and the failures that must fail."""

from __future__ import annotations

import click

from zkmargin.cli.demo import demo_folder, run_demo
from zkmargin.cli.groups import Command


@click.command(
    "demo",
    cls=Command,
    examples=[
        "zkmargin demo",
        "zkmargin demo --venue --folder zkmargin-demo-venue",
    ],
)
@click.option(
    "--folder", default="zkmargin-demo", show_default=True, metavar="FOLDER", help="Where to put the demo's files."
)
@click.option(
    "--time", "market_time", metavar="TIME", help="Time of the example market, 2026-01-02T03:04:05Z; else now."
)
@click.option("--venue", is_flag=True, help="Prove a thousand accounts of a venue at once, and check one's own.")
def command(folder: str, market_time: str | None, venue: bool) -> None:
    """Build an example market and a book, prove, verify, and show that what must fail does.

    Everything stays in FOLDER so that the other commands can be tried on it. Exit code 1 when anything that must fail
    does not.
    """
    if venue:
        from zkmargin.cli.demo_venue import run_venue_demo  # noqa: PLC0415 - the other demo does not need it

        run_venue_demo(demo_folder(folder), market_time)
        return
    run_demo(folder, market_time)
