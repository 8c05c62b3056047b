"""Tables for people. Cells are plain text with control characters escaped: no markup from a file is followed."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zkmargin.app.facts import layout_facts, snapshot_facts
from zkmargin.circuits import build_circuit
from zkmargin.cli.terminal import counted, quoted, safe, word
from zkmargin.cli.words import SHIPPED
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.decimals import from_units
from zkmargin.engine.policy import Policy, compare_with_shipped
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.units import MONEY_DECIMALS

#: What tables fit where standard output is no terminal; COLUMNS sets another width.
PIPE_WIDTH = 80
#: At most so many columns, what does not fit is stacked: a table in pieces would be mostly names.
STACKED_WIDTH = 60
#: Between two columns, and at both edges together.
_GAP, _EDGES = 3, 2


class _Output(Console):
    """rich ends the process with 1 when the reader goes away, and 1 means "rejected" here: ``cli.main`` decides."""

    def on_broken_pipe(self) -> None:
        """Let it through."""
        raise BrokenPipeError


def console() -> Console:
    """Standard output; where it is no terminal, plain text of a fixed width."""
    if sys.stdout.isatty():
        return _Output(highlight=False, markup=False)
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isascii() and columns.isdigit() and int(columns) > 0 else PIPE_WIDTH
    return _Output(highlight=False, markup=False, width=width, color_system=None)


def percent(bp: int) -> str:
    """Basis points in per cent."""
    return f"{from_units(bp, 2)} %"


def cell_text(cell: object) -> str:
    """A cell on one line, escaped, without two spaces in a row: text from a file cannot look like further columns."""
    return re.sub(" {2,}", lambda spaces: " " + r"\x20" * (len(spaces.group()) - 1), safe(str(cell)))


class Section:
    """A titled table. A column whose name begins with > is aligned to the right; without names there is no header.

    The first column holds names and those with > amounts: neither is ever split. A table that is too wide for the
    output is shown in pieces, each with the names again; a narrow output gets the rows one below the other.
    """

    def __init__(self, title: str, *columns: str) -> None:
        self._title, self._columns = title, columns
        self._rows: list[tuple[list[str], bool]] = []

    def row(self, *cells: object, bold: bool = False) -> None:
        """Add cells, shown as they are."""
        self._rows.append(([cell_text(cell) for cell in cells], bold))

    def pairs(self, facts: dict[str, Any]) -> None:
        """Add named facts, one a line."""
        for name, value in facts.items():
            self.row(name, value)

    def show(self, out: Console) -> None:
        """Print it."""
        out.print(Text(safe(self._title), style="bold"))
        pieces = self._pieces(out.width)
        if len(pieces) > 1 and out.width <= STACKED_WIDTH:
            self._stack(out)
            return
        for places in pieces:
            out.print(self._table(places))

    def _pieces(self, width: int) -> list[list[int]]:
        """Which columns stand together: as many as fit beside the first."""
        count = max((len(cells) for cells, _ in self._rows), default=len(self._columns))
        least = [self._least(place) for place in range(count)]
        pieces, used = [[0]], _EDGES + least[0] if least else 0
        for place in range(1, count):
            used += _GAP + least[place]
            if used > width and len(pieces[-1]) > 1:
                pieces.append([0])
                used = _EDGES + least[0] + _GAP + least[place]
            pieces[-1].append(place)
        if used > width and len(pieces) == 1 and width <= STACKED_WIDTH:
            pieces.append([])  # not even one column fits beside the names
        return pieces

    def _least(self, place: int) -> int:
        """The width below which a column would split a name, an amount or a word."""
        header = self._columns[place].lstrip(">") if place < len(self._columns) else ""
        cells = [header, *(cells[place] for cells, _ in self._rows if place < len(cells))]
        if not self._whole(place):
            cells = [word for cell in cells for word in cell.split()]
        return max(map(cell_len, cells), default=0)

    def _whole(self, place: int) -> bool:
        return place == 0 or self._columns[place].startswith(">")

    def _table(self, places: list[int]) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=any(self._columns))
        for place in places:
            name = self._columns[place]
            table.add_column(
                Text(name.lstrip(">")),
                justify="right" if name.startswith(">") else "left",
                overflow="fold",
                no_wrap=self._whole(place) and any(self._columns),
                min_width=self._least(place) if any(self._columns) else None,
            )
        for cells, bold in self._rows:
            table.add_row(*(Text(cells[place], style="bold" if bold else "") for place in places))
        return table

    def _stack(self, out: Console) -> None:
        """Every row as its name and the facts below it."""
        for cells, bold in self._rows:
            out.print(Text(cells[0] or "-", style="bold" if bold else ""))
            for name, cell in zip(self._columns[1:], cells[1:], strict=True):
                if cell:
                    header = name.lstrip(">")
                    out.print(Text(f"  {header + ': ' if header else ''}{cell}"))
        out.print()


# --- snapshot -------------------------------------------------------------------------------------------------------


def snapshot_json(snapshot: Snapshot, *, slots: bool) -> dict[str, Any]:
    """What ``snapshot show --json`` prints."""
    circuit, sizes = build_circuit(snapshot, Claim()), Counter(snapshot.group_of)
    facts = {
        **snapshot_facts(snapshot),
        "position_bits": snapshot.layout.position_bits,
        "positions_range_proved": snapshot.layout.range_proved,
        "requirements_bp": dict(snapshot.policy.requirements),
        "groups": [
            {"name": name, "instruments": sizes[g], "scenarios": _scenarios(snapshot, g)}
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
    _snapshot_named(snapshot, facts).show(out)
    _snapshot_instruments(snapshot, facts).show(out)
    _snapshot_collateral(facts).show(out)
    _snapshot_proof(facts).show(out)
    if slots:
        listing = Section("Slots", "Instrument", ">Lot", ">Mark of a lot", "Settlement", ">Multiplier")
        for slot in facts["slots"]:
            listing.row(slot["id"], slot["lot"], slot["mark"], slot["settlement"], slot["multiplier"])
        listing.show(out)


def _snapshot_named(snapshot: Snapshot, facts: dict[str, Any]) -> Section:
    policy, result = snapshot.policy, Section("Snapshot", "", "")
    result.pairs(
        {
            "name": facts["name"],
            "time": facts["time"],
            "digest": facts["digest"],
            "market digest": facts["market_digest"],
            "policy": f"{policy.name} version {word(policy.version)}: {quoted(policy.title)}",
            "": SHIPPED[facts["policy"]["shipped"]],
            "policy digest": facts["policy"]["digest"],
            "components": ", ".join(facts["components"]),
            "requirements": ", ".join(f"{k} {percent(v)}" for k, v in facts["requirements_bp"].items())
            + " of the charge",
        },
    )
    return result


def _snapshot_instruments(snapshot: Snapshot, facts: dict[str, Any]) -> Section:
    kinds = Section("Instruments", "Group", ">Scenarios", ">Instruments", "Kinds")
    for g, group in enumerate(facts["groups"]):
        counts = Counter(slot.kind for slot in snapshot.instruments if slot.group == g)
        expiries = len({slot.expiry for slot in snapshot.instruments if slot.group == g and slot.expiry})
        words = ", ".join(counted(n, kind) for kind, n in counts.items())
        kinds.row(
            group["name"],
            group["scenarios"],
            group["instruments"],
            f"{words}; {counted(expiries, 'expiry', 'expiries')}",
        )
    return kinds


def _snapshot_collateral(facts: dict[str, Any]) -> Section:
    assets = Section("Collateral", "Asset", ">Lot", ">Price of a lot", ">Haircut", "Negative balance", ">Bound")
    for slot in facts["collateral"]:
        negative = "not allowed"
        if slot["negative_allowed"]:
            negative = f"debited at price + {percent(slot['surcharge_bp'])}"
        haircut = percent(slot["haircut_bp"]) + ", more on large balances" * bool(slot["tiers"])
        assets.row(slot["asset"], slot["lot"], slot["price"], haircut, negative, f"2^{slot['bits']} lots")
    return assets


def _snapshot_proof(facts: dict[str, Any]) -> Section:
    layout, result = facts["layout"], Section("Proof", "", "")
    proved = "proved" if facts["positions_range_proved"] else "left to who makes the commitment"
    result.pairs(
        {
            "rows": f"{layout['rows']}, {counted(layout['position_segments'], 'segment')} of positions, "
            f"{layout['collateral_segments']} of collateral",
            "bound of positions": f"2^{facts['position_bits']} lots, {proved}",
            "equations": layout["equations"],
            "columns of digits": layout["digit_columns"],
            "size of a proof": f"{layout['proof_bytes']} bytes",
        },
    )
    return result


def _scenarios(snapshot: Snapshot, group: int) -> int:
    return sum(len(part.scenarios[group]) for part in snapshot.components if isinstance(part, PublishedWorstScenario))


def _haircuts(snapshot: Snapshot) -> list[dict[str, int]]:
    """Haircut and surcharge of each collateral slot in basis points, from the integers that are proved."""
    part = next(part for part in snapshot.components if isinstance(part, PublishedHaircuts))
    values = zip(snapshot.collateral, part.long_value.values.tolist(), part.short_value.values.tolist(), strict=True)
    return [
        {
            "haircut_bp": SCALE_BP - held // slot.price,
            "surcharge_bp": owed // slot.price - SCALE_BP,
            "tiers": sum(tier.slot == j for tier in part.tiers),
        }
        for j, (slot, held, owed) in enumerate(values)
    ]


# --- other documents ------------------------------------------------------------------------------------------------


def policy_view(policy: Policy) -> None:
    """A policy in words and parameters."""
    out = console()
    result = Section(f"{policy.name} (version {word(policy.version)}): {quoted(policy.title)}", "", "")
    layout = policy.layout
    result.pairs(
        {
            "description": policy.description,
            "approximate": policy.approximation or "no: what it claims is in its description",
            "digest": policy.digest().hex(),
            "this policy is": SHIPPED[compare_with_shipped(policy)],
            "requirements": ", ".join(f"{k} {v} bp" for k, v in policy.requirements.items()),
            "oldest price": f"{policy.max_price_age_seconds} s before the market's time",
            "layout": f"{layout.domain_size} rows, positions below 2^{layout.position_bits} lots"
            f"{' (proved)' * layout.range_proved}, balances below 2^{layout.collateral_bits}",
        },
    )
    result.show(out)
    for part in policy.components:
        result = Section(f"Component {part.type}", "Parameter", "Value")
        result.pairs(_flat(part.model_dump(mode="json", exclude={"type"})))
        result.show(out)


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
