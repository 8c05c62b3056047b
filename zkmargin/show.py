"""Tables for people. Cells are plain text with control characters escaped: no markup from a file is followed."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from circuits import build_circuit
from engine.components import SCALE_BP, PublishedHaircuts, PublishedWorstScenario
from engine.decimals import from_units
from engine.margin import VALUATION_DECIMALS, Claim, MarginReport
from engine.policy import Policy
from engine.snapshot import Snapshot
from engine.valuation import MONEY_DECIMALS
from zkmargin.terminal import safe
from zkmargin.words import layout_facts, snapshot_facts

PIPE_WIDTH = 120


def console() -> Console:
    """Standard output; where it is no terminal, plain text of a fixed width."""
    if sys.stdout.isatty():
        return Console(highlight=False, markup=False)
    return Console(highlight=False, markup=False, width=PIPE_WIDTH, color_system=None)


def table(title: str, *columns: str) -> Table:
    """A table; a column whose name begins with > is aligned to the right."""
    result = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        right = name.startswith(">")
        result.add_column(Text(name.lstrip(">")), justify="right" if right else "left", overflow="fold")
    return result


def row(result: Table, *cells: object, bold: bool = False) -> None:
    """A row of cells, shown as they are."""
    result.add_row(*(Text(safe(str(cell)), style="bold" if bold else "") for cell in cells))


def money(amount: int) -> str:
    """Valuation units as quote currency to the cent, thousands separated; rounded down."""
    cents = amount // 10 ** (VALUATION_DECIMALS - 2)
    sign, cents = ("-", -cents) if cents < 0 else ("", cents)
    return f"{sign}{cents // 100:,}.{cents % 100:02d}"


# --- margin ---------------------------------------------------------------------------------------------------------


def margin_view(snapshot: Snapshot, report: MarginReport, other: MarginReport) -> None:
    """A margin report: requirement and what sets it, equity, headroom, what netting saves, each leg."""
    out = console()
    out.print(Text(safe(f"{snapshot.name}: amounts in {snapshot.quote}, rounded down to the cent"), style="bold"))
    out.print(_requirement_table(report))
    out.print(_equity_table(report, other))
    out.print(_comparison_table(report))
    out.print(_legs_table(report))


def _requirement_table(report: MarginReport) -> Table:
    components = list(dict.fromkeys(name for group in report.groups for name in group.components))
    result = table(
        f"{report.requirement.capitalize()} requirement", "Group", "Set by", *(f">{c}" for c in components), ">Charge"
    )
    for group in report.groups:
        amounts = [money(group.components[c]) if c in group.components else "" for c in components]
        row(result, group.group, group.label, *amounts, money(group.charge))
    for addition in report.additions:
        row(result, "", addition.component, *("" for _ in components), money(addition.amount))
    row(result, "Total", "", *("" for _ in components), money(report.total), bold=True)
    return result


def _equity_table(report: MarginReport, other: MarginReport) -> Table:
    worth = report.equity
    result = table("Equity and headroom", "", ">Amount")
    row(result, "Options and spot at their marks", money(worth.mark_to_market))
    row(
        result,
        f"Collateral after haircuts (before: {money(worth.collateral_before_haircut)})",
        money(worth.collateral),
    )
    row(result, "Equity", money(worth.total), bold=True)
    row(result, f"Equity less {report.requirement} requirement", money(report.surplus))
    row(result, f"Equity less {other.requirement} requirement ({money(other.total)})", money(other.surplus))
    row(result, f"Equity : {report.requirement} requirement", report.ratio or "nothing is required")
    row(result, "Largest claim that can be proved", report.largest_claim or "none")
    if report.collateral_to_add:
        row(result, "Collateral to add for a claim of 1.0", money(-(-report.collateral_to_add // 10**11) * 10**11))
    return result


def _comparison_table(report: MarginReport) -> Table:
    compared = report.comparison
    result = table("The same book under other rules", "Rule", ">Collateral needed")
    row(result, "Portfolio margin: everything nets within its group", money(compared.portfolio))
    row(result, "Cross margin: collateral shared, each leg charged alone", money(compared.cross))
    row(result, "Isolated margin: each leg alone, nothing shared", money(compared.isolated))
    row(result, "Netting saves", money(compared.netting_benefit), bold=True)
    return result


def _legs_table(report: MarginReport) -> Table:
    result = table(
        f"{len(report.legs)} legs; contributions add up to the requirement",
        "Instrument",
        ">Quantity",
        ">Mark value",
        ">Alone",
        ">Contribution",
    )
    for leg in sorted(report.legs, key=lambda leg: -leg.contribution):
        row(result, leg.id, leg.quantity, money(leg.mark_to_market), money(leg.alone), money(leg.contribution))
    return result


# --- snapshot -------------------------------------------------------------------------------------------------------


def snapshot_json(snapshot: Snapshot, *, slots: bool) -> dict[str, Any]:
    """What ``snapshot show --json`` prints."""
    circuit = build_circuit(snapshot, Claim())
    facts = {
        **snapshot_facts(snapshot),
        "position_bits": snapshot.layout.position_bits,
        "positions_range_proved": snapshot.layout.range_proved,
        "requirements_bp": dict(snapshot.policy.requirements),
        "groups": [
            {"name": name, "instruments": snapshot.group_of.count(g), "scenarios": _scenarios(snapshot, g)}
            for g, name in enumerate(snapshot.groups)
        ],
        "components": [part.type for part in snapshot.components],
        "collateral": [
            {**slot.model_dump(mode="json"), "price": from_units(slot.price, MONEY_DECIMALS), **terms}
            for slot, terms in zip(snapshot.collateral, _haircuts(snapshot), strict=True)
        ],
        "layout": layout_facts(circuit),
    }
    if slots:
        marks = snapshot.marks.values.tolist()
        facts["slots"] = [
            {**slot.model_dump(mode="json"), "mark": from_units(mark, MONEY_DECIMALS)}
            for slot, mark in zip(snapshot.instruments, marks, strict=True)
        ]
    return facts


def snapshot_view(snapshot: Snapshot, *, slots: bool) -> None:
    """A snapshot in tables."""
    facts, out = snapshot_json(snapshot, slots=slots), console()
    result = table("Snapshot", "", "")
    _pairs(
        result,
        {
            "name": facts["name"],
            "time": facts["time"],
            "digest": facts["digest"],
            "market digest": facts["market_digest"],
            "policy": f"{snapshot.policy.name} version {snapshot.policy.version}: {snapshot.policy.title}",
            "components": ", ".join(facts["components"]),
            "requirements": ", ".join(f"{k} {v / 100:g} %" for k, v in facts["requirements_bp"].items())
            + " of the charge",
        },
    )
    out.print(result)
    kinds = table("Instruments", "Group", ">Scenarios", ">Instruments", "Kinds")
    for g, group in enumerate(facts["groups"]):
        counts = Counter(slot.kind for slot in snapshot.instruments if slot.group == g)
        expiries = len({slot.expiry for slot in snapshot.instruments if slot.group == g and slot.expiry})
        words = ", ".join(f"{n} {kind}{'s' * (n > 1)}" for kind, n in counts.items())
        row(kinds, group["name"], group["scenarios"], group["instruments"], f"{words}; {expiries} expiries")
    out.print(kinds)
    assets = table("Collateral", "Asset", ">Lot", ">Price of a lot", ">Haircut", "Negative balance", ">Bound")
    for slot in facts["collateral"]:
        negative = "not allowed"
        if slot["negative_allowed"]:
            negative = f"debited at price + {slot['surcharge_bp'] / 100:g} %"
        haircut = f"{slot['haircut_bp'] / 100:g} %"
        row(assets, slot["asset"], slot["lot"], slot["price"], haircut, negative, f"2^{slot['bits']} lots")
    out.print(assets)
    layout = facts["layout"]
    result = table("Proof", "", "")
    proved = "proved" if facts["positions_range_proved"] else "left to who makes the commitment"
    _pairs(
        result,
        {
            "rows": f"{layout['rows']}, {layout['position_segments']} segment(s) of positions, "
            f"{layout['collateral_segments']} of collateral",
            "bound of positions": f"2^{facts['position_bits']} lots, {proved}",
            "equations": layout["equations"],
            "columns of digits": layout["digit_columns"],
            "size of a proof": f"{layout['proof_bytes']} bytes",
        },
    )
    out.print(result)
    if slots:
        listing = table("Slots", "Instrument", ">Lot", ">Mark of a lot", "Settlement", ">Multiplier")
        for slot in facts["slots"]:
            row(listing, slot["id"], slot["lot"], slot["mark"], slot["settlement"], slot["multiplier"])
        out.print(listing)


def _scenarios(snapshot: Snapshot, group: int) -> int:
    return sum(len(part.scenarios[group]) for part in snapshot.components if isinstance(part, PublishedWorstScenario))


def _haircuts(snapshot: Snapshot) -> list[dict[str, int]]:
    """Haircut and surcharge of each collateral slot in basis points, from the integers that are proved."""
    part = next(part for part in snapshot.components if isinstance(part, PublishedHaircuts))
    values = zip(snapshot.collateral, part.long_value.values.tolist(), part.short_value.values.tolist(), strict=True)
    return [
        {"haircut_bp": SCALE_BP - held // slot.price, "surcharge_bp": owed // slot.price - SCALE_BP}
        for slot, held, owed in values
    ]


# --- other documents ------------------------------------------------------------------------------------------------


def policy_view(policy: Policy) -> None:
    """A policy in words and parameters."""
    out = console()
    result = table(f"{policy.name} (version {policy.version}): {policy.title}", "", "")
    layout = policy.layout
    _pairs(
        result,
        {
            "description": policy.description,
            "digest": policy.digest().hex(),
            "requirements": ", ".join(f"{k} {v} bp" for k, v in policy.requirements.items()),
            "oldest price": f"{policy.max_price_age_seconds} s before the market's time",
            "layout": f"{layout.domain_size} rows, positions below 2^{layout.position_bits} lots"
            f"{' (proved)' * layout.range_proved}, balances below 2^{layout.collateral_bits}",
        },
    )
    out.print(result)
    for part in policy.components:
        result = table(f"Component {part.type}", "Parameter", "Value")
        _pairs(result, _flat(part.model_dump(mode="json", exclude={"type"})))
        out.print(result)


def facts_view(title: str, facts: dict[str, object]) -> None:
    """Named facts, one a line."""
    result = table(title, "", "")
    _pairs(result, facts)
    console().print(result)


def _pairs(result: Table, facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        row(result, name, value)


def _flat(value: Any, prefix: str = "") -> dict[str, object]:
    """Nested parameters as dotted names; lists of numbers stay on one line."""
    if isinstance(value, dict):
        found: dict[str, object] = {}
        for key, item in value.items():
            found |= _flat(item, f"{prefix}.{key}" if prefix else key)
        return found
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return {prefix: "; ".join(_short(item) for item in value)}
    if isinstance(value, list):
        return {prefix: ", ".join(map(str, value))}
    return {prefix: value}


def _short(item: Any) -> str:
    return " ".join(f"{k} {v}" for k, v in item.items()) if isinstance(item, dict) else str(item)


def lines(items: Iterable[str]) -> None:
    """Plain lines."""
    for item in items:
        console().print(Text(safe(item)))
