"""Simulations as an application asks for them: the scenario file, the runs under several policies, the page."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from zkmargin.app.files import blamed_on, load, load_lots
from zkmargin.engine.books import Books
from zkmargin.engine.example import example_market
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy
from zkmargin.formats import InputError, Seq
from zkmargin.formats.files import read_text
from zkmargin.risk.frontier import Standing, standings
from zkmargin.risk.report import Point, Report, point_chart
from zkmargin.risk.repricing import Repricer
from zkmargin.risk.simulation import GRAIN, Outcome, Round, Scenario, Simulation, synthetic_books

#: The market of the package's example, at this time, where a scenario names none.
EXAMPLE_TIME = "2026-11-20T12:00:00Z"


class ScenarioFile(Scenario):
    """A scenario, and what it runs on.

    Attributes:
        market: a market file; ``example`` is the package's own.
        policies: named ones or files; one run each.
        books: book files, one account each, instead of synthetic accounts.
    """

    market: str = "example"
    policies: Seq[str] = Field(default=("default",), min_length=1, max_length=16)
    books: Seq[str] = ()


def read_scenario(path: str) -> ScenarioFile:
    """Read a TOML file. Raises InputError: names the field."""
    try:
        data = tomllib.loads(read_text(path))
        scenario = TypeAdapter(ScenarioFile).validate_python(data)  # its own errors, for our words
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not TOML: {error}"[:200], file=path) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])[:200]
        words = {"model_type": "a table belongs here", "extra_forbidden": "unknown key"}
        raise InputError(words.get(first["type"], str(first["msg"])[:200]), file=path, field=field or None) from None
    except InputError as error:
        raise error.located(file=path) from None
    if (scenario.accounts is None) == (not scenario.books):
        raise InputError("either [accounts] or books", file=path, field="accounts")
    return scenario


def simulate(path: str, scenario: ScenarioFile, told: Callable[[str, Round], None] | None = None) -> list[Outcome]:
    """Run a scenario under each of its policies. Raises InputError."""
    folder = Path(path).parent
    with blamed_on(path):
        market = (
            example_market(EXAMPLE_TIME)
            if scenario.market == "example"
            else load(Market, str(folder / scenario.market))
        )
        return [_run(folder, scenario, market, name, told) for name in scenario.policies]


def _run(
    folder: Path, scenario: ScenarioFile, market: Market, name: str, told: Callable[[str, Round], None] | None
) -> Outcome:
    own = folder / name
    repricer = Repricer(market, load_policy(own if own.is_file() else name))
    if scenario.accounts is not None:
        books = synthetic_books(repricer, scenario.accounts, scenario.seed, scenario.requirement)
    else:
        books = Books.of([load_lots([str(folder / book)], repricer.base) for book in scenario.books])
    simulation = Simulation(repricer, books, scenario)
    while len(simulation.rounds) < scenario.rounds:
        found = simulation.step()
        if told is not None:
            told(name, found)
    return simulation.outcome()


COLUMNS = (
    *("Policy", "Margin at the start", "Liquidated", "Loss beyond collateral"),
    *("Insurance fund", "Deleveraged", "Unpaid", "Lowest price"),
)


def outcome_rows(found: Sequence[Outcome]) -> list[list[str]]:
    """What each policy asks for, and what it leaves to others."""
    return [
        [
            outcome.policy,
            _whole(outcome.margin),
            f"{outcome.liquidated:,} of {outcome.accounts:,}",
            *(_whole(amount) for amount in (outcome.loss, outcome.fund, outcome.deleveraged, outcome.unpaid)),
            ", ".join(f"{name} {100 * float(part):.1f} %" for name, part in outcome.troughs.items()),
        ]
        for outcome in found
    ]


def simulation_page(scenario: ScenarioFile, found: Sequence[Outcome]) -> bytes:
    """The page of a simulation."""
    page = Report(f"Cascade: {scenario.name or 'simulation'}")
    page.text(
        f"Seed {scenario.seed}, {scenario.rounds} rounds, {found[0].accounts:,} accounts, {scenario.impact.kind} "
        f"impact, closing {scenario.closing.mode}, fund {scenario.fund}. Prices are parts of those at the start."
    )
    page.table(COLUMNS, outcome_rows(found))
    if len(found) > 1:
        _frontier(page, standings(found))
    labels = [str(number) for number in range(scenario.rounds)]
    for outcome in found:
        page.heading(f"Policy {outcome.policy}")
        for name in outcome.troughs:
            lines = {
                f"{name} with the cascade": [100 * r.prices[name] / GRAIN for r in outcome.rounds],
                f"{name} by the shocks alone": [100 * r.alone[name] / GRAIN for r in outcome.rounds],
            }
            page.chart(
                f"Price of {name} by round, in per cent of the start", labels, _lines(lines), unit="%", zero=False
            )
        page.chart(
            "Accounts by round",
            labels,
            _lines(
                {
                    "below the requirement": [r.below for r in outcome.rounds],
                    "closed": [r.closed for r in outcome.rounds],
                }
            ),
        )
        layers = ("fund", "deleveraged", "unpaid")
        summed = _lines({layer: _summed(outcome, layer) for layer in layers})
        if outcome.loss:
            page.chart("Losses beyond collateral by layer, summed", labels, summed)
    return page.page().encode()


def frontier_line(found: Sequence[Standing]) -> str:
    """Which policies are on the frontier, and which others are better than the rest."""
    kept = ", ".join(one.policy for one in found if not one.dominated_by)
    rest = [f"{one.policy} dominated by {', '.join(one.dominated_by)}" for one in found if one.dominated_by]
    return "; ".join([f"on the frontier of margin and losses: {kept}", *rest])


def _frontier(page: Report, found: Sequence[Standing]) -> None:
    """Margin against losses, one point a policy, and the table behind the chart."""
    page.heading("Frontier over policies")
    page.text(
        "To the right a policy costs more margin, further up it leaves more losses to the insurance fund and the other "
        "accounts. Grey ones are dominated: another policy asks for no more, leaves no more, and is better in one."
    )
    points = [Point(one.policy, one.margin / 1e9, one.loss / 1e9, bool(one.dominated_by)) for one in found]
    rows = [
        [one.policy, _whole(one.margin), _whole(one.loss), ", ".join(one.dominated_by) or "on the frontier"]
        for one in found
    ]
    page.figure(
        "Margin at the start against losses that reach the waterfall",
        point_chart(points, "margin at the start", "losses that reach the waterfall"),
        ("Policy", "Margin at the start", "Losses that reach the waterfall", "Dominated by"),
        rows,
    )


def _lines(lines: dict[str, list[Any]]) -> dict[str, list[float | None]]:
    return {name: [float(value) for value in line] for name, line in lines.items()}


def _summed(outcome: Outcome, layer: str) -> list[float]:
    total, sums = 0, []
    for one in outcome.rounds:
        total += getattr(one, layer)
        sums.append(total / 1e9)
    return sums


def _whole(amount: int) -> str:
    """Money units in whole quote, thousands separated."""
    return f"{amount // 10**9:,}"
