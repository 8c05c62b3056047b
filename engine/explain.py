"""What a margin comes from: the book's whole risk array, what each leg adds to it, and what trades would change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import Field

from zkmargin.engine.book import Book, BookLots, as_lots, sum_of_books, to_lots
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.components import SCALE_BP, PublishedPart
from zkmargin.engine.components.base import added_up
from zkmargin.engine.frames import Surface, grid_of
from zkmargin.engine.margin import (
    Amount,
    MarginReport,
    collateral_to_add,
    largest_claim,
    legs_of,
    margin_report,
    requirement_total,
)
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, Map, Model

_TRADE = re.compile(r"(?P<sign>[+-]?)(?P<quantity>[0-9][0-9.]*) +(?P<name>\S+)")


class ArrayRow(Model):
    """The book in one candidate of a component: a scenario, or a floor that competes with the scenarios.

    Attributes:
        profit: the group's P&L, gain positive, before the requirement's factor; rounded down to a money unit. Of a
            floor, the amount that is asked for, negated.
        counted: what of it competes for the charge: of a gain that offsets in part the part, of a tail within its
            dampener nothing. In most components the P&L itself.
        binding: whether it sets the group's charge.

    Example:
        >>> row = risk_array(snapshot, book)[0]
        >>> row.group, row.component, row.label
        ('BTC', 'worst_scenario', 'price -30 % vol -50 %')
    """

    group: str
    component: str
    candidate: int = Field(ge=0)
    label: str
    floor: bool
    profit: Amount
    counted: Amount
    binding: bool


class Standing(Model):
    """Where an account stands: the requirement and what is left above it."""

    requirement: Amount
    charges: Map[str, Amount]
    additions: Amount
    equity: Amount
    surplus: Amount
    largest_claim: str | None
    collateral_to_add: Amount


class WhatIf(Model):
    """An account before and after trades at the snapshot's marks.

    Equity stays: what is paid for options and spot at their marks is taken from it, and it holds their value instead.
    Fees are not counted.

    Attributes:
        trades: signed quantities by instrument, in its own units.
        premium: what is paid at the marks; negative is received.
    """

    trades: Map[str, str]
    premium: Amount
    before: Standing
    after: Standing


def risk_array(snapshot: Snapshot, book: Book | BookLots, requirement: str = "initial") -> list[ArrayRow]:
    """The book's P&L in every candidate of every component, group by group.

    Raises:
        InputError: an unknown requirement, or a book that is not of this snapshot.

    Example:
        >>> worst = min(risk_array(snapshot, book), key=lambda row: row.profit)
        >>> worst.group, worst.label
        ('BTC', 'tail price -66 % vol +50 % weight 45.45 %')
    """
    lots = as_lots(book, snapshot)
    report = margin_report(snapshot, lots, requirement)
    binding = {(group.group, group.component, group.candidate) for group in report.groups}
    rows = [
        ArrayRow(
            group=group,
            component=part.type,
            candidate=candidate,
            label=label,
            floor=part.is_floor,
            profit=profit * SCALE_BP,
            counted=counted * SCALE_BP,
            binding=(group, part.type, candidate) in binding,
        )
        for part in snapshot.components
        if part.applies_to(requirement)
        for group, candidate, label, profit, counted in _candidates(snapshot, part, lots)
    ]
    order = {group.group: place for place, group in enumerate(report.groups)}
    return sorted(rows, key=lambda row: order.get(row.group, len(order)))


def pnl_surface(snapshot: Snapshot, book: Book | BookLots, group: str) -> Surface:
    """The P&L of a book over the grid of price and vol moves of one risk group, as arrays.

    Args:
        snapshot: of a policy with such a grid; tails beyond it are left out.
        book: in its own units or in lots.
        group: the risk group.

    Raises:
        InputError: no such group, a policy without a grid, or a book that is not of this snapshot.

    Example:
        >>> from zkmargin.engine.example import example_book, example_market
        >>> from zkmargin import build_snapshot, load_policy
        >>> market = example_market("2026-01-02T03:04:05Z")
        >>> snapshot = build_snapshot(market, load_policy("default"))
        >>> pnl_surface(snapshot, Book.of({"BTC-PERPETUAL": 1}), "BTC").profit.shape
        (9, 3)
    """
    kind, grid = grid_of(snapshot, group)
    shape = (len(grid.price_moves_bp), len(grid.vol_moves_bp))
    rows = {row.candidate: row for row in risk_array(snapshot, book) if (row.group, row.component) == (group, kind)}
    profit = np.zeros(shape)
    for place in range(profit.size) if rows else ():
        profit.flat[place] = rows[place].profit / 10**VALUATION_DECIMALS
    prices, vols = (np.array(moves, dtype=float) / SCALE_BP for moves in (grid.price_moves_bp, grid.vol_moves_bp))
    by_price, by_vol = np.argsort(prices), np.argsort(vols)
    return Surface(group, prices[by_price], vols[by_vol], profit[np.ix_(by_price, by_vol)])


def _candidates(snapshot: Snapshot, part: PublishedPart, lots: BookLots) -> Iterator[tuple[str, int, str, int, int]]:
    """Group, index, label, P&L and what counts of it (whole money units) of every candidate of a component."""
    legs, of_balances = legs_of(snapshot, lots), part.assess_balances(lots.collateral).candidates
    charge, outcomes = part.assess(legs), part.outcomes(legs)
    losses_of = added_up(charge.candidates, of_balances)
    whole_of = added_up(outcomes.candidates, of_balances)
    for place, losses in losses_of.items():
        for i, (loss, whole) in enumerate(zip(losses, whole_of[place], strict=True)):
            label = part.label(place, i)
            yield snapshot.groups[place], i, label, -whole // outcomes.scale, -loss // charge.scale
    for name, losses in charge.joint.items():
        for i, (loss, whole) in enumerate(zip(losses, outcomes.joint[name], strict=True)):
            yield name, i, part.joint_label(name, i), -whole // outcomes.scale, -loss // charge.scale


def marginals(snapshot: Snapshot, lots: BookLots, requirement: str = "initial") -> list[int]:
    """What each leg adds: the book's requirement less that of the book without it, in the order of ``legs_of``.

    In valuation units, negative for a hedge. They do not add up: that is what a report's contributions do.
    """
    whole = requirement_total(snapshot, lots, requirement)
    found = []
    for leg in legs_of(snapshot, lots):
        positions = (*lots.positions[: leg.slot], 0, *lots.positions[leg.slot + 1 :])
        found.append(whole - requirement_total(snapshot, BookLots(positions, lots.collateral), requirement))
    return found


def parse_trades(texts: Sequence[str], snapshot: Snapshot) -> BookLots:
    """Trades such as ``+5 BTC-26MAR27-100000-C`` (``-`` sells), counted in the snapshot's lots.

    Raises:
        InputError: not of that form, or what ``engine.book.to_lots`` refuses.
    """
    trades = [BookLots((0,) * len(snapshot.instruments), (0,) * len(snapshot.collateral))]
    for text in texts:
        match = _TRADE.fullmatch(text.strip())
        if match is None:
            raise InputError("not a trade", hint='for example "+5 BTC-26MAR27-100000-C", or "-0.1 BTC-PERPETUAL"')
        quantity = match["sign"].replace("+", "") + match["quantity"]
        trades.append(to_lots(Book(positions={match["name"]: quantity}), snapshot))
    return sum_of_books(trades, snapshot)


def what_if(snapshot: Snapshot, lots: BookLots, trades: BookLots, requirement: str = "initial") -> WhatIf:
    """An account before and after trades.

    Raises:
        InputError: an unknown requirement, or a position that would be past its bound.
    """
    before = margin_report(snapshot, lots, requirement)
    after = margin_report(snapshot, sum_of_books([lots, trades], snapshot), requirement)
    return WhatIf(
        trades={leg.id: leg.quantity for leg in margin_report(snapshot, trades, requirement).legs},
        premium=after.equity.mark_to_market - before.equity.mark_to_market,
        before=_standing(before, before.equity.total),
        after=_standing(after, before.equity.total),
    )


def _standing(report: MarginReport, equity: int) -> Standing:
    claim = largest_claim(equity, report.total, report.requirement)
    return Standing(
        requirement=report.total,
        charges={group.group: group.charge for group in report.groups},
        additions=sum(addition.amount for addition in report.additions),
        equity=equity,
        surplus=equity - report.total,
        largest_claim=None if claim is None else f"{claim.num}/{claim.den}",
        collateral_to_add=collateral_to_add(equity, report.total),
    )
