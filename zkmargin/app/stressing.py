"""The margin simulator as an application asks for it, and its page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zkmargin.engine.book import BookLots
from zkmargin.engine.market import Market
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Model, Seq
from zkmargin.risk.history import History
from zkmargin.risk.report import Report
from zkmargin.risk.stress import Holding, Point
from zkmargin.risk.trading import cash_slot


class Stressed(Model):
    """What the simulator found; a part that was not asked for is empty. Secret: about one book.

    Attributes:
        moves_bp, vols_bp: of the grid, whose rows are the vol moves.
    """

    requirement: str
    moves_bp: Seq[int]
    vols_bp: Seq[int]
    grid: Seq[Seq[Point]]
    days: Seq[Point]
    history: Seq[Point]


def stress(
    market: Market,
    snapshot: Snapshot,
    lots: BookLots,
    *,
    requirement: str,
    moves_bp: Sequence[int],
    vols_bp: Sequence[int],
    days: int,
    history: History | None,
    history_days: int,
) -> Stressed:
    """An account in stressed markets, over days, along a history. Raises InputError."""
    cash = snapshot.collateral[cash_slot(snapshot, None)].asset
    holding = Holding(market, snapshot.policy, lots, cash=cash, requirement=requirement)
    return Stressed(
        requirement=requirement,
        moves_bp=tuple(moves_bp),
        vols_bp=tuple(vols_bp),
        grid=tuple(tuple(row) for row in holding.grid(moves_bp, vols_bp)),
        days=tuple(holding.over_days(days)) if days else (),
        history=tuple(holding.along(history, history_days)) if history is not None else (),
    )


def stress_page(found: Stressed, quote: str) -> bytes:
    """The page: requirement and surplus over the grid, over days, along the history. Secret."""
    page = Report("Margin simulator")
    page.text(f"The {found.requirement} requirement of one book in {quote}. About one book: keep it secret.")
    moves = [f"{move / 100:+g} %" for move in found.moves_bp]
    page.heading("Stressed markets")
    for name in ("requirement", "surplus"):
        rows = [
            [f"vol {vol / 100:+g} %", *(f"{_quote(getattr(point, name)):,.0f}" for point in row)]
            for vol, row in zip(found.vols_bp, found.grid, strict=True)
        ]
        page.table([f"{name.capitalize()}; price", *moves], rows)
        lines: dict[str, list[float | None]] = {
            f"vol {vol / 100:+g} %": [_quote(getattr(point, name)) for point in row]
            for vol, row in zip(found.vols_bp, found.grid, strict=True)
        }
        page.chart(f"{name.capitalize()} by price move", moves, lines)
    for title, points in (("Over days", found.days), ("Along the history", found.history)):
        if points:
            page.heading(title)
            page.chart(title, [point.label for point in points], _lines(points))
    return page.page().encode()


def _lines(points: Sequence[Point]) -> dict[str, list[float | None]]:
    return {name: [_quote(getattr(point, name)) for point in points] for name in ("requirement", "equity")}


def _quote(amount: Any) -> float:
    """Valuation units as quote, for reading only."""
    return float(amount) / 1e13
