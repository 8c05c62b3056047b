"""The gas table of docs/chain.md from ``contracts/gas.json``: ``python -m contracts.gas_table`` writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "chain.md"
BEGIN, END = "<!-- gas: written by python -m contracts.gas_table -->", "<!-- end of gas -->"
SIZES = ("16", "35", "63")
ROWS = {
    "one proof, table in a data contract": "verify {}, table in code",
    "one proof, table in the call": "verify {}, table in the call",
    "batch of 8, a proof": "verify a batch of 8, {}, each",
    "32 accounts together, an account": "verify 32 accounts together, {}, each",
    "a table into a data contract (`SnapshotRegistry.store`)": "store a table {}",
}
DEPLOYED = (
    "deploy MarginVerifier 35",
    "deploy MarginJointVerifier",
    "deploy WideMarginVerifier",
    "deploy WideMarginJointVerifier",
    "deploy TailsMarginVerifier",
    "deploy TailsMarginJointVerifier",
)
WIDE = (
    "16 with a floor by size",
    "35 with a floor by size",
    "35 with a floor and additions",
    "31 x 4",
    "15 x 8",
    "10 of 2 classes with a floor by size",
    "10 of 3 classes with a floor by size",
    "31 of 2 classes",
    "27 with 8 tails",
    "27 x 2 with 8 tails each",
)


def table(gas: Mapping[str, int]) -> str:
    """Markdown: a row for each kind of transaction, a column for each number of scenarios."""
    lines = ["| | S = 16 | 35 | 63 |", "|---|---|---|---|"]
    for name, key in ROWS.items():
        cells = [f"{found:,}" if (found := gas.get(key.format(size))) else "" for size in SIZES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    two = [f"{gas[f'verify 35 x 2, {where}']:,}" for where in ("table in code", "table in the call")]
    deploy = [f"{gas[name]:,}" for name in DEPLOYED]
    lines += [
        "",
        f"448 instruments in two groups of 35: {two[0]} and {two[1]}.",
        f"Deploying `MarginVerifier` {deploy[0]}, `MarginJointVerifier` {deploy[1]}; of wide layouts",
        f"{deploy[2]} and {deploy[3]}, with dampened tails {deploy[4]} and {deploy[5]}.",
        "",
        "Wide layouts, 1,023 instruments:",
        "",
        "| | table in code | in the call |",
        "|---|---|---|",
    ]
    for name in WIDE:
        cells = [f"{gas[f'verify {name}, {where}']:,}" for where in ("table in code", "table in the call")]
        groups = " groups" if " x " in name and "tails" not in name else ""
        lines.append(f"| S = {name}{groups} | {' | '.join(cells)} |")
    each = gas["verify 32 accounts together, 16 with a floor by size, each"]
    lines += ["", f"32 accounts together at S = 16 with a floor by size: {each:,} an account."]
    return "\n".join(lines)


def page(text: str, hardfork: str = "osaka") -> str:
    """The page with its table of now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    gas = json.loads((HERE / "gas.json").read_text("utf-8"))[hardfork]
    return f"{before}{BEGIN}\n{table(gas)}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
