"""Malicious provers of layouts with dampened tails: one for each line and weight that only these have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from support.chain_lab import ChainCase
from support.chain_mutants import Columns, Mutant, cells, plain, put, take, without_charge
from support.chain_offsets_forge import before_table_of
from zkmargin.circuits.chain import (
    BEYOND,
    SLACK_DIGITS,
    TABLE_PACK,
    TAIL_LINES,
    WAIVED,
    ChainLayout,
    ChainPrices,
    ChainWeights,
    amount_cell,
    group_charge_cell,
)
from zkmargin.circuits.chain.layout import CONSTANT_ROW, INDEX_OF
from zkmargin.crypto.field import r
from zkmargin.engine.components.dampened_tails import PublishedDampenedTails

_charge, _charged, _bit = ChainWeights.charge, ChainWeights.charged, ChainWeights.bit
#: The slacks of the two lines from D d, D V, D W.
Lines = Callable[[int, int, int], tuple[int, int]]


def number(g: int) -> list[int]:
    """Cells of W_g, of a group of tails of V."""
    return [group_charge_cell(g, d) for d in range(SLACK_DIGITS)]


def bit(g: int) -> list[int]:
    """Cells of b."""
    return [amount_cell("floor", g, d) for d in range(SLACK_DIGITS)]


def slacks_of(layout: ChainLayout, g: int) -> list[tuple[int, list[int]]]:
    """Column and cells of the slack of each index of a group."""
    places = (layout.index(g, s) for s in range(TABLE_PACK * layout.blocks(g)))
    return [(6 + column, cells(s)) for column, s in places]


def without_tails(prices: ChainPrices) -> ChainPrices:
    """The same where no tail loses anything."""
    rows = [own.copy() for own in prices.rows]
    for g, count in enumerate(prices.layout.scenarios):
        if prices.layout.is_tails(g):
            rows[g][: count - TAIL_LINES] = 0
    return replace(prices, rows=tuple(rows))


def waved_through(case: ChainCase, g: int, b: int, lines: Lines) -> Columns:
    """Columns where the tails of a group lose V, which its charge does not cover: b and two slacks as said."""
    prices, layout = case.statement.prices, case.statement.prices.layout
    honest, made = plain(case), plain(case)
    lowered = plain(case, without_tails(prices))
    for column, places in [(7, number(g - 1)), *slacks_of(layout, g - 1)]:
        put(made[column], places, take(lowered[column], places))
    own, V, scale = take(made[7], number(g - 1)), take(honest[7], number(g)), prices.scales[g]
    assert own < V, "the charge covers the tails anyway"
    dampener = int(prices.rows[g][layout.scenarios[g] - TAIL_LINES, CONSTANT_ROW])
    put(made[6], bit(g), b)
    for back, slack in zip((TAIL_LINES, 1), lines(dampener, scale * V, scale * own), strict=True):
        assert slack >= 0
        column, places = slacks_of(layout, g)[layout.scenarios[g] - back]
        put(made[column], places, slack)
    return made


def without_dampener(layout: str) -> Mutant:
    """No line says that V is within the dampener."""

    def charge(w: ChainWeights, given: ChainLayout, g: int) -> int:
        return (_charge(w, given, g) + (2 * w.within(given, g) if given.is_tails(g) else 0)) % r

    def columns(case: ChainCase) -> Columns:
        return waved_through(case, 1, 0, lambda d, V, W: (d + V, W + WAIVED - V))

    return Mutant(f"{layout}: no dampener", layout, ((ChainWeights, "charge", charge),), columns)


def without_cover(layout: str) -> Mutant:
    """No line says that a charge covers V."""

    def charge(w: ChainWeights, given: ChainLayout, g: int) -> int:
        return (_charge(w, given, g) + (2 * w.covered(given, g) if given.is_tails(g) else 0)) % r

    def columns(case: ChainCase) -> Columns:
        return waved_through(case, 1, 1, lambda d, V, W: (d + BEYOND - V, W + V))

    return Mutant(f"{layout}: no cover", layout, ((ChainWeights, "charge", charge),), columns)


def waived_anyway(layout: str) -> Mutant:
    """b = 1 lets V beyond the dampener, and takes nothing off what a charge need not cover."""

    def weight(w: ChainWeights, given: ChainLayout, g: int) -> int:
        return (_bit(w, given, g) + WAIVED * w.covered(given, g)) % r

    def columns(case: ChainCase) -> Columns:
        return waved_through(case, 1, 1, lambda d, V, W: (d + BEYOND - V, W + WAIVED - V))

    return Mutant(f"{layout}: waived anyway", layout, ((ChainWeights, "bit", weight),), columns)


def covered_by_another(layout: str, tails: int, other: int) -> Mutant:
    """The tails of one product group are covered by the charge of another, which is cheaper to raise."""

    def charged(w: ChainWeights, prices: ChainPrices, g: int, num: int) -> int:
        moved = prices.scales[tails] * w.covered(prices.layout, tails)
        return (_charged(w, prices, g, num) + moved * ((g == other) - (g == tails - 1))) % r

    def columns(case: ChainCase) -> Columns:
        prices, layout = case.statement.prices, case.statement.prices.layout
        before, V = take(plain(case)[7], number(other)), take(plain(case)[7], number(tails))
        raised = max(before, V)
        made = waved_through(case, tails, 1, lambda d, V, _: (d + BEYOND - V, prices.scales[tails] * raised - V))
        put(made[7], number(other), raised)
        sized = {INDEX_OF[mode] for mode, h in layout.amounts if h == other}
        for s, (column, places) in enumerate(slacks_of(layout, other)):
            if s - layout.scenarios[other] not in sized:
                rest = take(made[column], places) + prices.scales[other] * (raised - before)
                put(made[column], places, rest)
        column, places = slacks_of(layout, other + 1)[layout.scenarios[other + 1] - 1]
        put(made[column], places, take(made[column], places) + prices.scales[other + 1] * (raised - before))
        return made

    return Mutant(f"{layout}: covered by W_{other}", layout, ((ChainWeights, "charged", charged),), columns)


def dampened(case: ChainCase, dampener: int) -> ChainCase:
    """The account before a table of another dampener: whoever would attest it lies about the rule."""
    first, tails, *others = case.snapshot.components
    assert isinstance(tails, PublishedDampenedTails)
    changed = tails.model_copy(update={"dampeners": (dampener,) * len(tails.dampeners)})
    return before_table_of(case, case.snapshot.model_copy(update={"components": (first, changed, *others)}))


MUTANTS = (
    without_dampener("tails beyond"),
    without_cover("tails beyond"),
    waived_anyway("tails beyond"),
    without_charge("tails beyond", 0),
    without_dampener("tails of two classes"),
    without_cover("tails of two classes"),
    covered_by_another("tails of three product groups", 5, 0),
)
