"""What the agent says of itself, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from zkmargin.agent.status import Status
from zkmargin.cli.show import cell_text
from zkmargin.cli.terminal import safe
from zkmargin.cli.words import money


def status_view(status: Status, address: str | None) -> RenderableType:
    """The whole status: what a terminal shows while the agent runs."""
    facts, report = status.facts(), status.report("initial")
    snapshot = facts["snapshot"]
    lines: list[RenderableType] = [Text(f"{safe(facts['account'])}: watching since {facts['started']}", style="bold")]
    if address is not None:
        lines.append(Text(f"page: {address}"))
    if snapshot is None:
        lines.append(Text("no snapshot has come yet"))
    else:
        lines.append(Text(f"snapshot {safe(snapshot['name'])}, {snapshot['age_seconds']} s ago"))
    if report is not None:
        lines.append(
            Text(
                f"equity {money(report.equity.total)}, initial requirement {money(report.total)}, "
                f"headroom {money(report.surplus)}"
            )
        )
    lines += [_venues(facts), _holdings(facts), *_alarms(facts)]
    return Group(*lines)


def show_status(console: Console, status: Status) -> None:
    """Print it once."""
    console.print(status_view(status, None))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    return table


def _venues(facts: Mapping[str, Any]) -> Table:
    table = _table("Venue", ">Accepted", ">Delivered", ">Made", ">Refused", ">Late", ">Median ms", ">p99 ms")
    for venue in facts["venues"]:
        counts, latency = venue["proofs"], venue["latency"] or {}
        table.add_row(
            Text(cell_text(venue["name"])),
            *(str(counts.get(state, 0)) for state in ("accepted", "delivered", "made", "refused", "late")),
            *(str(latency.get(name, "")) for name in ("median_milliseconds", "p99_milliseconds")),
        )
    return table


def _holdings(facts: Mapping[str, Any]) -> Table:
    table = _table("Holding", ">Fills", "Attested by", "Until")
    ends = {f"{a['issuer']}: {a['role']}": a["expires"] for a in facts["attestations"]}
    for holding in facts["holdings"]:
        table.add_row(Text(cell_text(holding["name"])), str(holding["fills_applied"]), "", "")
    for who, expires in ends.items():
        table.add_row("", "", Text(cell_text(who)), expires)
    return table


def _alarms(facts: Mapping[str, Any]) -> list[RenderableType]:
    if not facts["alarms"]:
        return [Text("no alarm", style="green")]
    return [
        Text(f"ALARM {alarm['kind']} {safe(alarm['subject'])}: {safe(alarm['message'])}", style="bold red")
        for alarm in facts["alarms"]
    ]
