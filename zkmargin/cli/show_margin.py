"""A book's margin in tables: requirement and what sets it, headroom, Greeks, what-if trades, the whole risk array."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from zkmargin.app.margins import Explained
from zkmargin.cli.show import Section, console
from zkmargin.cli.terminal import counted, quoted, safe
from zkmargin.cli.words import money
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import from_units
from zkmargin.engine.explain import ArrayRow, WhatIf
from zkmargin.engine.greeks import Exposure, GreekReport
from zkmargin.engine.margin import MarginReport, largest_decimal
from zkmargin.engine.netting import Netting
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.units import MONEY_DECIMALS

#: Decimals of amounts of underlying, and of quote.
_UNITS, _CENTS = 4, 2


def explained_view(explained: Explained, *, with_array: bool, legs: int | None = None) -> None:
    """Everything that explains a book's margin."""
    margin_view(explained.snapshot, explained.report, explained.other, legs=legs, marginals=explained.marginals)
    greeks_view(explained.greeks, _largest(explained.report, legs))
    if explained.what_if is not None:
        what_if_view(explained.what_if, explained.requirement)
    if with_array:
        array_view(explained.array or ())
    if explained.netting is not None:
        netting_view(explained.netting)


def margin_view(
    snapshot: Snapshot,
    report: MarginReport,
    other: MarginReport,
    *,
    legs: int | None = None,
    marginals: Sequence[int] | None = None,
) -> None:
    """A margin report: requirement and what sets it, equity, headroom, what netting saves, each leg.

    Args:
        snapshot: names the currency.
        report: the requirement in full.
        other: the other requirement, for its total.
        legs: show only so many of the largest contributions.
        marginals: what each leg adds to the requirement, in the report's order.
    """
    out = console()
    title = f"{quoted(snapshot.name)}: amounts in {safe(snapshot.quote)}, rounded down to the cent (exact with --json)"
    out.print(Text(title, style="bold"))
    _requirement_table(report).show(out)
    _equity_table(report, other).show(out)
    _comparison_table(report).show(out)
    _legs_table(report, legs, marginals).show(out)


def exact(amount: int) -> str:
    """Valuation units as they are, thousands separated: where a cent too little would not be enough."""
    whole, _, rest = from_units(abs(amount), VALUATION_DECIMALS).partition(".")
    return f"{'-' * (amount < 0)}{int(whole):,}.{rest.ljust(2, '0')}"


def _requirement_table(report: MarginReport) -> Section:
    components = list(dict.fromkeys(name for group in report.groups for name in group.components))
    result = Section(
        f"{report.requirement.capitalize()} requirement", "Group", "Set by", *(f">{c}" for c in components), ">Charge"
    )
    for group in report.groups:
        amounts = [money(group.components[c]) if c in group.components else "" for c in components]
        result.row(group.group, group.label, *amounts, money(group.charge))
    for addition in report.additions:
        result.row("", addition.component, *("" for _ in components), money(addition.amount))
    result.row("Total", "", *("" for _ in components), money(report.total), bold=True)
    return result


def _equity_table(report: MarginReport, other: MarginReport) -> Section:
    worth, premium = report.equity, report.premium
    result = Section("Equity and headroom", "", ">Amount")
    result.row("Options and spot at their marks", money(worth.mark_to_market))
    result.row(
        f"Collateral after haircuts (before: {money(worth.collateral_before_haircut)})",
        money(worth.collateral),
    )
    result.row("Equity", money(worth.total), bold=True)
    result.row(f"Equity less {report.requirement} requirement", money(report.surplus))
    result.row(f"Equity less {other.requirement} requirement ({money(other.total)})", money(other.surplus))
    result.row("Requirement before premium credit", money(premium.before))
    result.row(f"Requirement after it (net option value {money(premium.net_option_value)})", money(premium.after))
    result.row(f"Equity : {report.requirement} requirement", report.ratio or "nothing is required")
    result.row("Largest claim that can be proved", largest_decimal(report.largest_claim) or "none")
    result.row("Collateral to add for a claim of 1.0", exact(report.collateral_to_add))
    return result


def _comparison_table(report: MarginReport) -> Section:
    compared = report.comparison
    result = Section("The same book under other rules", "Rule", ">Collateral needed")
    result.row("Portfolio margin: everything nets within its group", money(compared.portfolio))
    result.row("Cross margin: collateral shared, each leg charged alone", money(compared.cross))
    result.row("Isolated margin: each leg alone, nothing shared", money(compared.isolated))
    result.row("Netting saves", money(compared.netting_benefit), bold=True)
    return result


def _largest(report: MarginReport, most: int | None) -> list[int]:
    """Places of the legs with the largest contributions, the largest first."""
    return sorted(range(len(report.legs)), key=lambda i: -report.legs[i].contribution)[:most]


def _legs_table(report: MarginReport, most: int | None, marginals: Sequence[int] | None) -> Section:
    shown, count = _largest(report, most), len(report.legs)
    title = f"{counted(count, 'leg')}; contributions add up to the requirement"
    title += "; marginal: what closing the leg would free" * (marginals is not None)
    columns = [">Marginal"] if marginals is not None else []
    result = Section(title, "Instrument", ">Quantity", ">Mark value", ">Alone", ">Contribution", *columns)
    for i in shown:
        leg, last = report.legs[i], [] if marginals is None else [money(marginals[i])]
        result.row(leg.id, leg.quantity, money(leg.mark_to_market), money(leg.alone), money(leg.contribution), *last)
    if len(shown) < count:
        rest = [report.legs[i] for i in range(count) if i not in set(shown)]
        sums = (sum(leg.mark_to_market for leg in rest), None, sum(leg.contribution for leg in rest))
        amounts = ["" if amount is None else money(amount) for amount in sums]
        result.row(f"{len(rest)} more, not listed", "", *amounts, *("" for _ in columns))
    return result


def greeks_view(report: GreekReport, shown: Sequence[int] | None = None) -> None:
    """Greeks: the book, its underlyings, each leg; where some are missing, why."""
    out, whole = console(), not report.missing
    source = "the snapshot" if report.source == "snapshot" else f"the market at {report.time}"
    totals = Section(
        f"Greeks from {source}: gamma per 1 % of price, vega per vol point, theta per day, rho per % of rate",
        *("Underlying", ">Delta", f">Delta in {report.quote}", ">Gamma", f">Gamma in {report.quote}"),
        *(">Vega", ">Theta", ">Rho"),
    )
    for exposure in report.underlyings:
        totals.row(*_greeks(exposure))
    if whole:
        totals.row(*_greeks(report.book), bold=True)
    totals.show(out)
    if not whole:
        out.print(Text(safe(f"Missing above: {report.missing}.\n")))
    legs = Section("Greeks of each leg", "Instrument", ">Delta", ">Gamma", ">Vega", ">Theta", ">Rho")
    places = range(len(report.legs)) if shown is None else shown
    for place in places:
        name, delta, _, gamma, _, *others = _greeks(report.legs[place])
        legs.row(name, delta, gamma, *others)
    if len(places) < len(report.legs):
        legs.row(f"{len(report.legs) - len(places)} more, not listed", *("" for _ in range(5)))
    legs.show(out)


def _greeks(exposure: Exposure) -> list[str]:
    units = {"delta": _UNITS, "gamma": _UNITS}
    return [
        exposure.name,
        *(
            number(getattr(exposure, name), units.get(name, _CENTS))
            for name in ("delta", "delta_value", "gamma", "gamma_value", "vega", "theta", "rho")
        ),
    ]


def number(billionths: int | None, decimals: int) -> str:
    """1e-9 units with so many decimals, thousands separated, rounded down; nothing for None."""
    if billionths is None:
        return ""
    units = billionths // 10 ** (MONEY_DECIMALS - decimals)
    whole, rest = divmod(abs(units), 10**decimals)
    return f"{'-' * (units < 0)}{whole:,}.{rest:0{decimals}d}"


def what_if_view(compared: WhatIf, requirement: str) -> None:
    """The account before and after trades."""
    before, after = compared.before, compared.after
    trades = ", ".join(f"{'' if q.startswith('-') else '+'}{q} {name}" for name, q in compared.trades.items())
    result = Section(f"What if: {trades or 'no trade'}", "", ">Before", ">After", ">Change")
    groups = dict.fromkeys([*before.charges, *after.charges])
    rows = [
        ("Paid at the marks (equity stays)", 0, compared.premium),
        *((f"Charge of {name}", before.charges.get(name, 0), after.charges.get(name, 0)) for name in groups),
        ("Additions", before.additions, after.additions),
        (f"{requirement.capitalize()} requirement", before.requirement, after.requirement),
        ("Equity less requirement", before.surplus, after.surplus),
    ]
    for name, old, new in rows:
        result.row(name, money(old), money(new), money(new - old), bold=name.endswith(" requirement"))
    needs = (before.collateral_to_add, after.collateral_to_add)
    result.row("Collateral to add for a claim of 1.0", *map(exact, needs), exact(needs[1] - needs[0]))
    claims = (largest_decimal(standing.largest_claim) or "none" for standing in (before, after))
    result.row("Largest claim that can be proved", *claims, "")
    result.show(console())


def array_view(rows: Sequence[ArrayRow]) -> None:
    """The book's P&L in every scenario, before the requirement's factor."""
    result = Section(
        "Risk array: the book's P&L, and what of it counts, before the requirement's factor; * sets the charge",
        *("Group", "Component", ">No.", "Scenario or floor", ">P&L", ">Counts"),
    )
    for row in rows:
        label = row.label + " (floor)" * row.floor
        amounts = money(row.profit), money(row.counted)
        number_of = f"{row.candidate}{'*' * row.binding}"
        result.row(row.group, row.component, number_of, label, *amounts, bold=row.binding)
    result.show(console())


def netting_view(venues: Netting) -> None:
    """What margining several books as one account saves."""
    result = Section("The books of several venues as one account", "Book", f">{venues.requirement.capitalize()} alone")
    for book in venues.alone:
        result.row(book.name, money(book.requirement))
    result.row("Each venue margins its own", money(venues.separate))
    result.row("All of them as one", money(venues.together))
    result.row("Netting across venues saves", money(venues.saved), bold=True)
    result.show(console())
