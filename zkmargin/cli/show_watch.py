"""What the agent says of itself, for a terminal of any width: names on the left, and what is so of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from zkmargin.agent.status import Status
from zkmargin.cli.show import cell_text
from zkmargin.cli.terminal import safe
from zkmargin.cli.words import money
from zkmargin.engine.book import Book
from zkmargin.engine.margin import MarginReport

#: States of proofs in words, in the order in which they are told.
_STATES = {
    "accepted": "accepted",
    "delivered": "delivered, no receipt yet",
    "made": "on the way",
    "refused": "refused",
    "late": "too late",
}
#: Of each part of the book; the page has all of it.
_ROWS = 12
_BAD = frozenset({"refused", "late"})


def status_view(status: Status, address: str | None) -> RenderableType:
    """The whole status: what a terminal shows while the agent runs."""
    facts = status.facts()
    snapshot = facts["snapshot"]
    head = Text(safe(facts["account"]), style="bold").append(
        f"  watching since {_moment(facts['started'])}", style="not bold"
    )
    parts: list[RenderableType] = [head]
    if address is not None:
        parts.append(Text(address, style="dim", overflow="fold"))
    parts += [Text(), *_alarms(facts), Text()]
    if snapshot is None:
        parts.append(Text("no snapshot has come yet"))
    else:
        parts.append(_margin(status, snapshot))
    parts += [Text(), _venues(facts), Text(), _holdings(facts)]
    book = status.book()
    if book is not None:
        parts += [Text(), _book(book)]
    return Group(*parts)


def show_status(console: Console, status: Status) -> None:
    """Print it once."""
    console.print(status_view(status, None))


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, max_width=24, overflow="ellipsis")
    grid.add_column(overflow="fold")
    return grid


def _margin(status: Status, snapshot: Mapping[str, Any]) -> Table:
    grid = _grid()
    grid.add_row("snapshot", Text(f"{cell_text(snapshot['name'])}, {_span(snapshot['age_seconds'])} ago"))
    reports = {name: status.report(name) for name in ("initial", "maintenance")}
    initial = reports["initial"]
    if initial is not None:
        grid.add_row("equity", Text(f"{money(initial.equity.total)} {cell_text(snapshot['quote'])}"))
    for name, report in reports.items():
        if report is not None:
            grid.add_row(name, Text(f"{money(report.total)}, headroom ").append(_headroom(report)))
    for group in initial.groups if initial is not None else ():
        grid.add_row(Text(f"  {cell_text(group.group)}"), Text(f"{money(group.charge)}, {cell_text(group.label)}"))
    return grid


def _headroom(report: MarginReport) -> Text:
    return Text(money(report.surplus), style="green" if report.surplus >= 0 else "bold red")


def _venues(facts: Mapping[str, Any]) -> Table:
    grid = _grid()
    for venue in facts["venues"]:
        told = Text()
        for state, words in _STATES.items():
            count = venue["proofs"].get(state, 0)
            if count:
                told.append(", " if told else "").append(f"{count:,} {words}", style="red" if state in _BAD else "")
        latency = venue["latency"]
        if latency is not None:
            told.append(f"; last {latency['last_milliseconds']:,.0f} ms, ")
            told.append(f"median {latency['median_milliseconds']:,.0f}, p99 {latency['p99_milliseconds']:,.0f}")
        grid.add_row(Text(cell_text(venue["name"]), style="bold"), told or Text("no proof yet"))
    return grid


def _holdings(facts: Mapping[str, Any]) -> Table:
    grid = _grid()
    for holding in facts["holdings"]:
        count = holding["fills_applied"]
        grid.add_row(Text(cell_text(holding["name"]), style="bold"), f"{count:,} file{'s' * (count != 1)} of fills")
    for one in facts["attestations"]:
        left = one["seconds_left"]
        until = Text(f"{one['role']} attested until {_moment(one['expires'])}, ")
        until.append(f"{_span(left)} left" if left > 0 else "ended", style="" if left > 0 else "bold red")
        grid.add_row(Text(cell_text(one["issuer"])), until)
    return grid


def _book(book: Book) -> Table:
    grid = _grid()
    for title, held in (("positions", book.positions), ("balances", book.collateral)):
        grid.add_row(Text(title, style="bold"), f"{len(held):,}")
        for name, quantity in list(held.items())[:_ROWS]:
            grid.add_row(Text(f"  {cell_text(name)}"), Text(str(quantity)))
        if len(held) > _ROWS:
            grid.add_row(Text("  ..."), f"and {len(held) - _ROWS:,} more: the page shows them")
    return grid


def _alarms(facts: Mapping[str, Any]) -> Iterator[RenderableType]:
    if not facts["alarms"]:
        yield Text("no alarm", style="green")
    for alarm in facts["alarms"]:
        told = f"ALARM {alarm['kind']} {safe(alarm['subject'])}: {safe(alarm['message'])}"
        yield Text(told, style="bold red", overflow="fold")
        for bound in alarm.get("binds", ()):
            yield Text(f"  {safe(bound['group'])} {safe(bound['by'])}: {safe(str(bound['charge']))}", style="red")


def _moment(text: str) -> str:
    """A time of documents to the second."""
    return f"{text[:10]} {text[11:19]} UTC"


def _span(seconds: int) -> str:
    """How long, in the unit that fits."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= 2 * size:
            return f"{seconds // size:,} {unit}"
    return f"{seconds} s"
