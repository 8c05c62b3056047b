"""Tables for people. Cells are plain text with control characters escaped: no markup from a file is followed."""

from __future__ import annotations

import re
import sys
from collections import Counter
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zkmargin.app.facts import layout_facts, snapshot_facts
from zkmargin.circuits import build_circuit
from zkmargin.cli.terminal import quoted, safe, word
from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.decimals import from_units
from zkmargin.engine.margin import Claim
from zkmargin.engine.policy import Policy
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.units import MONEY_DECIMALS

PIPE_WIDTH = 120


class _Output(Console):
    """rich ends the process with 1 when the reader goes away, and 1 means "rejected" here: ``cli.main`` decides."""

    def on_broken_pipe(self) -> None:
        """Let it through."""
        raise BrokenPipeError


def console() -> Console:
    """Standard output; where it is no terminal, plain text of a fixed width."""
    if sys.stdout.isatty():
        return _Output(highlight=False, markup=False)
    return _Output(highlight=False, markup=False, width=PIPE_WIDTH, color_system=None)


def percent(bp: int) -> str:
    """Basis points in per cent."""
    return f"{from_units(bp, 2)} %"


def cell_text(cell: object) -> str:
    """A cell on one line, escaped, without two spaces in a row: text from a file cannot look like further columns."""
    return re.sub(" {2,}", lambda spaces: " " + r"\x20" * (len(spaces.group()) - 1), safe(str(cell)))


class Section:
    """A titled table. A column whose name begins with > is aligned to the right; without names there is no header."""

    def __init__(self, title: str, *columns: str) -> None:
        self._title = title
        self._table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=any(columns))
        for name in columns:
            right = name.startswith(">")
            self._table.add_column(Text(name.lstrip(">")), justify="right" if right else "left", overflow="fold")

    def row(self, *cells: object, bold: bool = False) -> None:
        """Add cells, shown as they are."""
        self._table.add_row(*(Text(cell_text(cell), style="bold" if bold else "") for cell in cells))

    def pairs(self, facts: dict[str, Any]) -> None:
        """Add named facts, one a line."""
        for name, value in facts.items():
            self.row(name, value)

    def show(self, out: Console) -> None:
        """Print it."""
        out.print(Text(safe(self._title), style="bold"))
        out.print(self._table)


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
    facts, out, policy = snapshot_json(snapshot, slots=slots), console(), snapshot.policy
    result = Section("Snapshot", "", "")
    result.pairs(
        {
            "name": facts["name"],
            "time": facts["time"],
            "digest": facts["digest"],
            "market digest": facts["market_digest"],
            "policy": f"{policy.name} version {word(policy.version)}: {quoted(policy.title)}",
            "components": ", ".join(facts["components"]),
            "requirements": ", ".join(f"{k} {percent(v)}" for k, v in facts["requirements_bp"].items())
            + " of the charge",
        },
    )
    result.show(out)
    kinds = Section("Instruments", "Group", ">Scenarios", ">Instruments", "Kinds")
    for g, group in enumerate(facts["groups"]):
        counts = Counter(slot.kind for slot in snapshot.instruments if slot.group == g)
        expiries = len({slot.expiry for slot in snapshot.instruments if slot.group == g and slot.expiry})
        words = ", ".join(f"{n} {kind}{'s' * (n > 1)}" for kind, n in counts.items())
        kinds.row(group["name"], group["scenarios"], group["instruments"], f"{words}; {expiries} expiries")
    kinds.show(out)
    assets = Section("Collateral", "Asset", ">Lot", ">Price of a lot", ">Haircut", "Negative balance", ">Bound")
    for slot in facts["collateral"]:
        negative = "not allowed"
        if slot["negative_allowed"]:
            negative = f"debited at price + {percent(slot['surcharge_bp'])}"
        haircut = percent(slot["haircut_bp"]) + ", more on large balances" * bool(slot["tiers"])
        assets.row(slot["asset"], slot["lot"], slot["price"], haircut, negative, f"2^{slot['bits']} lots")
    assets.show(out)
    layout = facts["layout"]
    result = Section("Proof", "", "")
    proved = "proved" if facts["positions_range_proved"] else "left to who makes the commitment"
    result.pairs(
        {
            "rows": f"{layout['rows']}, {layout['position_segments']} segment(s) of positions, "
            f"{layout['collateral_segments']} of collateral",
            "bound of positions": f"2^{facts['position_bits']} lots, {proved}",
            "equations": layout["equations"],
            "columns of digits": layout["digit_columns"],
            "size of a proof": f"{layout['proof_bytes']} bytes",
        },
    )
    result.show(out)
    if slots:
        listing = Section("Slots", "Instrument", ">Lot", ">Mark of a lot", "Settlement", ">Multiplier")
        for slot in facts["slots"]:
            listing.row(slot["id"], slot["lot"], slot["mark"], slot["settlement"], slot["multiplier"])
        listing.show(out)


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
