"""What the page shows, as HTML: tables, and charts with a table behind each. Every text is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from zkmargin.agent.status import Status
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import from_units
from zkmargin.engine.frames import Surface
from zkmargin.engine.margin import MarginReport
from zkmargin.risk.report import column_head, line_chart, named, scrolled

#: Shades of a table's cells, from the largest loss to the largest gain.
SHADES = 5
MAX_POINTS = 400
#: A longer table of the book is folded.
OPEN_ROWS = 40


def panels(status: Status) -> str:
    """All of them."""
    facts = status.facts()
    return "\n".join([*_alarms(facts), *_standing(status, facts), *_book(status), *_proofs(facts), *_holdings(facts)])


def _alarms(facts: dict[str, Any]) -> Iterator[str]:
    alarms = facts["alarms"]
    title = f"{len(alarms)} alarm{'s' * (len(alarms) != 1)}" if alarms else "No alarm"
    yield f'<section aria-labelledby="alarms" class="{"bad" if alarms else "good"}"><h2 id="alarms">{title}</h2>'
    if alarms:
        yield "<ul>"
        for alarm in alarms:
            yield f"<li><strong>{_text(alarm['kind'])}</strong> {_text(alarm['subject'])}: {_text(alarm['message'])}"
            for bound in alarm.get("binds", ()):
                yield f"<br>{_text(bound['group'])} {_text(bound['by'])}: {_money_text(bound['charge'])}"
            yield f" <small>since {_text(alarm['since'])}</small></li>"
        yield "</ul>"
    yield "</section>"


def _standing(status: Status, facts: dict[str, Any]) -> Iterator[str]:
    snapshot, report = facts["snapshot"], status.report("initial")
    if snapshot is None or report is None:
        yield "<section><h2>Margin</h2><p>No snapshot has come yet.</p></section>"
        return
    maintenance = status.report("maintenance")
    yield f"<section><h2>Margin</h2><p>{_text(snapshot['name'])}, {snapshot['age_seconds']} s ago. Amounts in "
    yield f"{_text(snapshot['quote'])}.</p>"
    rows: list[Sequence[object]] = [
        ("Options and spot at their marks", _money(report.equity.mark_to_market)),
        ("Collateral after haircuts", _money(report.equity.collateral)),
        ("Equity", _money(report.equity.total)),
        ("Initial requirement", _money(report.total)),
        ("Headroom above it", _money(report.surplus)),
    ]
    if maintenance is not None:
        rows += [
            ("Maintenance requirement", _money(maintenance.total)),
            ("Headroom above it", _money(maintenance.surplus)),
        ]
    yield _table("Margin", ("", ">Amount"), rows)
    yield "<h3>By component</h3>"
    yield _components(report)
    yield "<h3>Worst scenarios</h3>"
    yield _table(
        "Worst scenarios",
        ("Group", "Scenario", ">P&L"),
        [(g, label, _money(p)) for g, label, p in status.scenarios(worst=10)],
    )
    for group, surface in status.surfaces().items():
        yield f"<h3>P&amp;L of {_text(group)} over price and vol</h3>"
        yield _surface(f"P&L of {group}", surface)
    yield "<h3>Headroom over time</h3>"
    yield _course(status.headroom())
    yield "</section>"


def _components(report: MarginReport) -> str:
    rows: list[Sequence[object]] = []
    for group in report.groups:
        for component, amount in group.components.items():
            sets = group.label if component == group.component else ""
            rows.append((group.group, component, _money(amount), sets))
        rows.append((group.group, "charge", _money(group.charge), ""))
    rows += [("", addition.component, _money(addition.amount), "") for addition in report.additions]
    return _table("By component", ("Group", "Component", ">Amount", "Set by"), rows)


def _surface(name: str, surface: Surface) -> str:
    """A table of price moves by vol moves, shaded."""
    most = max((abs(float(x)) for x in surface.profit.flat), default=0.0) or 1.0
    head = "".join(f'<th scope="col">{100 * float(v):+g} % vol</th>' for v in surface.vol_moves)
    body = []
    for place, price in enumerate(surface.price_moves):
        cells = "".join(
            f'<td class="{_shade(float(x) / most)}">{float(x):,.0f}</td>' for x in surface.profit[place].tolist()
        )
        body.append(f'<tr><th scope="row">{100 * float(price):+g} %</th>{cells}</tr>')
    whole = f'<thead><tr><th scope="col">Price</th>{head}</tr></thead><tbody>{"".join(body)}</tbody>'
    return scrolled(f'<table class="surface">{whole}</table>', name)


def _shade(part: float) -> str:
    return f"{'gain' if part >= 0 else 'loss'}-{round(abs(part) * SHADES)}"


def _course(points: list[dict[str, str]]) -> str:
    if not points:
        return "<p>Nothing yet.</p>"
    shown = points[-MAX_POINTS:]
    lines = {
        "above initial": [float(Decimal(p["equity"]) - Decimal(p["initial"])) for p in shown],
        "above maintenance": [float(Decimal(p["equity"]) - Decimal(p["maintenance"])) for p in shown],
    }
    chart = named(line_chart([p["time"][11:19] for p in shown], lines), "Headroom over time")
    rows = [
        (p["time"], *(_money_text(str(Decimal(p["equity"]) - Decimal(p[name]))) for name in ("initial", "maintenance")))
        for p in shown[:-21:-1]
    ]
    table = _table("Headroom", ("Snapshot", ">Above initial", ">Above maintenance"), rows)
    return f"<figure>{chart}</figure><details><summary>The last values</summary>{table}</details>"


def _book(status: Status) -> Iterator[str]:
    book = status.book()
    if book is None:
        return
    yield "<section><h2>Book</h2>"
    for title, column, held in (
        ("positions", "Instrument", book.positions),
        ("balances", "Asset", book.collateral),
    ):
        yield f"<details{' open' * (len(held) <= OPEN_ROWS)}><summary>{len(held):,} {title}</summary>"
        yield _table(title, (column, ">Quantity"), list(held.items()))
        yield "</details>"
    yield "</section>"


def _proofs(facts: dict[str, Any]) -> Iterator[str]:
    yield "<section><h2>Proofs</h2>"
    rows: list[Sequence[object]] = []
    for venue in facts["venues"]:
        latency = venue["latency"] or {}
        counts = ", ".join(f"{count} {state}" for state, count in sorted(venue["proofs"].items())) or "none"
        claim = f"{venue['claim']} x {venue['requirement']}" + "".join(f", {limit}" for limit in venue["limits"])
        times = (latency.get("median_milliseconds", ""), latency.get("p99_milliseconds", ""))
        rows.append((venue["name"], claim, counts, *times))
    yield _table("Proofs by venue", ("Venue", "Claim", "Proofs", ">Median ms", ">p99 ms"), rows)
    yield "<h3>The last ones</h3>"
    yield _table(
        "The last proofs",
        ("Snapshot", "Venue", "State", ">ms", "Statement"),
        [
            (p["snapshot_time"], p["venue"], p["state"] + (f": {p['reason']}" if p["reason"] else ""),
             "" if p["milliseconds"] is None else p["milliseconds"], p["statement"][:16])
            for p in facts["proofs"]
        ],
    )  # fmt: skip
    yield "</section>"


def _holdings(facts: dict[str, Any]) -> Iterator[str]:
    yield "<section><h2>Holdings</h2>"
    yield _table(
        "Fills applied", ("Holding", ">Fills applied"), [(h["name"], h["fills_applied"]) for h in facts["holdings"]]
    )
    rows = [(a["issuer"], a["role"], a["sequence"], a["expires"]) for a in facts["attestations"]]
    yield _table("Attestations", ("Attested by", "Role", ">Number", "Ends"), rows)
    yield "</section>"


def _table(name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table by what it shows. Columns whose name begins with > hold numbers."""
    sides = [' class="number"' if column.startswith(">") else "" for column in columns]
    head = "".join(column_head(one.removeprefix(">"), side) for side, one in zip(sides, columns, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{side}>{_text(cell)}</td>" for side, cell in zip(sides, row, strict=True)) + "</tr>"
        for row in rows
    )
    return scrolled(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>", name)


def _money(amount: int) -> str:
    return _money_text(from_units(amount, VALUATION_DECIMALS))


def _money_text(text: str) -> str:
    """To the cent, rounded down, thousands separated."""
    return f"{Decimal(text).quantize(Decimal('0.01'), rounding='ROUND_FLOOR'):,}"


def _text(value: object) -> str:
    return html.escape(str(value))
