"""``zkmargin simulate``: many accounts, a shock, liquidations that move prices, and who pays."""

from __future__ import annotations

import click

from zkmargin.app.files import Output, write_outputs
from zkmargin.app.simulating import COLUMNS, frontier_line, outcome_rows, read_scenario, simulate, simulation_page
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command
from zkmargin.cli.options import json_option
from zkmargin.cli.paths import check_paths
from zkmargin.risk.frontier import standings


@click.command(
    "simulate",
    cls=Command,
    examples=[
        "zkmargin simulate crash.toml",
        "zkmargin simulate crash.toml --html my-crash.html --json",
    ],
)
@click.argument("path", metavar="SCENARIO")
@click.option("--html", "html_path", metavar="FILE", help="Write a page with tables and charts.")
@json_option
def command(path: str, html_path: str | None, as_json: bool) -> None:
    """Run the cascade that SCENARIO (a TOML file) describes, under each of its policies.

    Accounts are synthetic, by a documented family and a seed, or book files. Every round prices them by the policy's
    own rules, margins all of them exactly, liquidates those below their requirement, moves prices by what was sold, and
    lets the waterfall pay what accounts cannot. Of several policies it says which are on the frontier: no other asks
    for as little margin and leaves as little loss. The same file gives the same bits everywhere. Its lines are like

    rounds = 30, fund = "5000000", policies = ["default", "paradex"], shocks = [{round = 1, prices_bp = {BTC = -2000}}],
    accounts = {count = 1000, family = "perpetuals", long_bp = 8000}, impact = {depth = {BTC = "40000"}}.
    """
    check_paths([path], [html_path] if html_path else [], json=as_json)
    scenario = read_scenario(path)
    total = scenario.rounds * len(scenario.policies)
    with terminal.progress("Simulating") as progress:
        done = iter(range(1, total + 1))
        found = simulate(path, scenario, lambda _name, _round: progress(next(done), total))
    if html_path is not None:
        write_outputs([Output(html_path, simulation_page(scenario, found))])
    if as_json:
        outcomes = [one.model_dump(mode="json") for one in found]
        terminal.say_json({"outcomes": outcomes, "frontier": [one.model_dump(mode="json") for one in standings(found)]})
        return
    for row in outcome_rows(found):
        terminal.say(f"{row[0]}:")
        for name, cell in zip(COLUMNS[1:], row[1:], strict=True):
            terminal.say(f"  {name.lower()}: {terminal.safe(cell)}")
    if len(found) > 1:
        terminal.say(terminal.safe(frontier_line(standings(found))))
