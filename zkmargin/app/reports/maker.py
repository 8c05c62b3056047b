"""A maker's report: what a book's margin is made of, and what would change it. Secret: about one book."""

from __future__ import annotations

from collections.abc import Sequence

from zkmargin.app.facts import policy_facts
from zkmargin.app.margins import Explained
from zkmargin.app.reports import charts
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import from_units
from zkmargin.engine.explain import ArrayRow, WhatIf, pnl_surface
from zkmargin.engine.greeks import UNITS, Exposure
from zkmargin.engine.margin import MarginReport, largest_decimal
from zkmargin.engine.units import MONEY_DECIMALS
from zkmargin.formats import InputError
from zkmargin.risk.report import Report

#: Legs that a chart shows; the table has all.
CHARTED_LEGS = 20
_VALUES = ("delta_value", "gamma_value", "vega", "theta", "rho")


def maker_page(explained: Explained, lots: BookLots) -> bytes:
    """The page of a book.

    Args:
        explained: its margin, with the array.
        lots: the same book, for the surface.

    Raises:
        SetupError: matplotlib is not installed.
    """
    report, snapshot = explained.report, explained.snapshot
    page = Report(f"Margin of a book: {snapshot.name}")
    page.text("SECRET: about one book. Tables are exact, those of surfaces to the cent; charts are for the eye.")
    policy = policy_facts(snapshot.policy)
    facts = [
        ("Snapshot", snapshot.digest().hex()),
        ("Prices of", snapshot.time),
        ("Policy", f"{policy['name']} version {policy['version']}, digest {policy['digest']}"),
        ("Requirement", f"{report.requirement}, factor {report.factor_bp / 10_000:g}"),
        ("Amounts in", snapshot.quote),
    ]
    page.table(["", ""], facts, words=True)
    _standing(page, explained)
    _waterfall(page, report)
    _comparison(page, explained)
    _surfaces(page, explained, lots)
    _scenarios(page, explained.array or ())
    _greeks(page, explained)
    _legs(page, explained)
    if explained.what_if is not None:
        _what_if(page, explained.what_if)
    return page.page().encode()


def _exact(amount: int) -> str:
    """Valuation units as an exact decimal, thousands separated."""
    sign, text = ("-" if amount < 0 else ""), from_units(abs(amount), VALUATION_DECIMALS)
    whole, _, part = text.partition(".")
    return f"{sign}{int(whole):,}" + (f".{part}" if part else "")


def _plain(amount: int) -> float:
    """For a chart."""
    return float(amount / 10**VALUATION_DECIMALS)


def _standing(page: Report, explained: Explained) -> None:
    report, other = explained.report, explained.other
    page.heading("Equity and headroom")
    rows = [
        ("Options and spot at their marks", _exact(report.equity.mark_to_market)),
        ("Collateral before haircuts", _exact(report.equity.collateral_before_haircut)),
        ("Collateral after haircuts", _exact(report.equity.collateral)),
        ("Equity", _exact(report.equity.total)),
        (f"Requirement, {report.requirement}", _exact(report.total)),
        (f"Equity less {report.requirement} requirement", _exact(report.surplus)),
        (f"Equity less {other.requirement} requirement", _exact(other.surplus)),
        ("Equity : requirement", report.ratio or "nothing is required"),
        ("Largest claim that can be proved", largest_decimal(report.largest_claim) or "none"),
        ("Collateral to add for a claim of 1", _exact(report.collateral_to_add)),
    ]
    page.table(["", "Amount"], rows)


def waterfall_of(report: MarginReport) -> list[tuple[str, str, int]]:
    """What the requirement is the sum of: each group's charge, by what sets it, then what is added. Valuation units."""
    steps = [(f"{g.group}: {g.component or 'no loss'}", g.label, g.charge) for g in report.groups]
    return [*steps, *((added.component, "added", added.amount) for added in report.additions)]


def _waterfall(page: Report, report: MarginReport) -> None:
    page.heading("What the requirement is made of")
    steps = waterfall_of(report)
    rows = [(name, label, _exact(amount)) for name, label, amount in steps]
    page.figure(
        "Each group's charge, by the component that sets it; then what is added on top",
        charts.waterfall([name for name, _, _ in steps], [_plain(a) for _, _, a in steps], "requirement"),
        ["Step", "Set by", "Amount"],
        [*rows, ("Requirement", "", _exact(report.total))],
    )
    names = list(dict.fromkeys(name for group in report.groups for name in group.components))
    candidates = [
        (group.group, *(_exact(group.components[name]) if name in group.components else "" for name in names))
        for group in report.groups
    ]
    page.text("The largest candidate of each component, factor included; negative is a gain or a credit.")
    page.table(["Group", *names], candidates)


def _comparison(page: Report, explained: Explained) -> None:
    compared = explained.report.comparison
    page.heading("Isolated, cross and portfolio margin")
    rows = [
        ("Isolated: each leg alone, nothing shared", compared.isolated),
        ("Cross: collateral shared, each leg charged alone", compared.cross),
        ("Portfolio: everything nets within its group", compared.portfolio),
    ]
    page.figure(
        "Collateral that the same book needs under three rules",
        charts.bars([name.partition(":")[0] for name, _ in rows], [_plain(amount) for _, amount in rows]),
        ["Rule", "Collateral needed"],
        [*((name, _exact(amount)) for name, amount in rows), ("Netting saves", _exact(compared.netting_benefit))],
    )
    if explained.netting is not None:
        venues = explained.netting
        alone = [(book.name, book.requirement) for book in venues.alone]
        both = [*alone, ("each venue margins its own", venues.separate), ("all of them as one", venues.together)]
        page.figure(
            "The books of several venues, each alone and as one account",
            charts.bars([name for name, _ in both], [_plain(amount) for _, amount in both]),
            ["Book", "Requirement"],
            [*((name, _exact(amount)) for name, amount in both), ("Netting across venues saves", _exact(venues.saved))],
        )


def _surfaces(page: Report, explained: Explained, lots: BookLots) -> None:
    held = [group for group in explained.snapshot.groups if any(row.group == group for row in explained.array or ())]
    for place, group in enumerate(held):
        try:
            found = pnl_surface(explained.snapshot, lots, group)
        except InputError as error:  # a policy without a grid: scenarios below
            page.heading("P&L over price and vol")
            page.text(f"Not shown: {error.reason}.")
            return
        if place == 0:
            page.heading("P&L over price and vol")
        rows = [
            (f"{100 * move:+g} %", *(f"{amount:,.2f}" for amount in row))
            for move, row in zip(found.price_moves.tolist(), found.profit.tolist(), strict=True)
        ]
        page.figure(
            f"{group}: the book's P&L in {explained.snapshot.quote} where prices and implied vols move so",
            charts.surface(found.price_moves, found.vol_moves, found.profit),
            ["Price", *(f"vol {100 * move:+g} %" for move in found.vol_moves.tolist())],
            rows,
        )


def _scenarios(page: Report, array: Sequence[ArrayRow]) -> None:
    page.heading("Every scenario")
    page.text("P&L before the requirement's factor. Of a floor, the amount that it asks for, negated.")
    for group, component in dict.fromkeys((row.group, row.component) for row in array):
        rows = [row for row in array if (row.group, row.component) == (group, component)]
        page.figure(
            f"{group}, {component}: what sets the charge stands out",
            charts.bars([row.label for row in rows], [_plain(row.profit) for row in rows], [r.binding for r in rows]),
            ["Scenario", "P&L", "Counts", "Sets the charge"],
            [(r.label, _exact(r.profit), _exact(r.counted), "yes" if r.binding else "") for r in rows],
            folded=True,
        )


def _greek(amount: int | None) -> str:
    return "" if amount is None else f"{from_units(amount, MONEY_DECIMALS)}"


def _greeks(page: Report, explained: Explained) -> None:
    greeks = explained.greeks
    page.heading("Greeks")
    page.text("; ".join(f"{name.replace('_', ' ')}: {unit}" for name, unit in UNITS.items()) + ".")
    if greeks.missing:
        page.text(f"Missing: {greeks.missing}.")
    rows: list[Exposure] = [*greeks.underlyings, greeks.book]
    for name in _VALUES:
        known = [row for row in rows if getattr(row, name) is not None]
        if known:
            amounts = [getattr(row, name) / 10**MONEY_DECIMALS for row in known]
            shown = name.replace("_value", f" in {greeks.quote}")
            page.figure(
                f"{shown.capitalize()} by underlying, and of the book",
                charts.bars([row.name for row in known], amounts),
                ["Underlying", shown],
                [(row.name, _greek(getattr(row, name))) for row in known],
            )
    columns = ("delta", "gamma", *_VALUES)
    legs = [(leg.name, *(_greek(getattr(leg, name)) for name in columns)) for leg in greeks.legs]
    page.text("Of each leg:")
    page.table(["Leg", *(name.replace("_", " ") for name in columns)], legs)


def _legs(page: Report, explained: Explained) -> None:
    report = explained.report
    page.heading("Legs")
    order = sorted(range(len(report.legs)), key=lambda place: -report.legs[place].contribution)
    top = [report.legs[place] for place in order[:CHARTED_LEGS]]
    rows = [
        (leg.id, leg.quantity, *(map(_exact, (leg.mark_to_market, leg.alone, leg.contribution, marginal))))
        for leg, marginal in ((report.legs[place], explained.marginals[place]) for place in order)
    ]
    caption = f"The {len(top)} of {len(order)} legs that contribute most; contributions add up to the requirement"
    page.figure(
        caption,
        charts.bars([leg.id for leg in top], [_plain(leg.contribution) for leg in top]),
        ["Leg", "Quantity", "Mark value", "Alone", "Contribution", "Closing it frees"],
        rows,
    )


def _what_if(page: Report, compared: WhatIf) -> None:
    before, after = compared.before, compared.after
    page.heading("What if")
    trades = ", ".join(f"{'' if q.startswith('-') else '+'}{q} {name}" for name, q in compared.trades.items())
    page.text(f"After {trades or 'no trade'}, at the marks: {_exact(compared.premium)} paid. Fees are not counted.")
    groups = dict.fromkeys([*before.charges, *after.charges])
    rows = [
        *((f"Charge of {name}", before.charges.get(name, 0), after.charges.get(name, 0)) for name in groups),
        ("Additions", before.additions, after.additions),
        ("Requirement", before.requirement, after.requirement),
        ("Equity less requirement", before.surplus, after.surplus),
    ]
    page.figure(
        "The account before and after",
        charts.pairs(
            [name for name, _, _ in rows], [_plain(old) for _, old, _ in rows], [_plain(new) for *_, new in rows]
        ),
        ["", "Before", "After", "Change"],
        [(name, _exact(old), _exact(new), _exact(new - old)) for name, old, new in rows],
    )
