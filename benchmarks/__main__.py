"""The benchmark suite: ``python -m benchmarks``. What each row means stands in docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import chart, machine, proofs
from benchmarks.measure import Section
from benchmarks.synthetic import Case

BEGIN, END = "<!-- results: written by python -m benchmarks --markdown -->", "<!-- end of results -->"


def sections(*, quick: bool) -> dict[str, Callable[[], Section]]:
    """Every part of the suite by name. Numba and the prover are loaded by child processes, never here."""

    def table_of(module: str) -> Callable[[], Section]:
        from importlib import import_module  # noqa: PLC0415

        return lambda: import_module(f"benchmarks.{module}").table(quick=quick)

    parts: dict[str, Callable[[], Section]] = {
        "primitives": table_of("primitives"),
        "proofs": lambda: proofs.table(proofs.QUICK if quick else proofs.FULL, 1 if quick else 9),
        "chain": table_of("chain"),
        "verification": table_of("verification"),
        "risk": table_of("risk_arrays"),
        "accounts": table_of("many_accounts"),
        "venues": table_of("venue"),
        "span": table_of("span_import"),
        "liquidation": table_of("liquidation"),
        "cascades": table_of("cascades"),
        "watch": table_of("watch"),
    }
    return parts if quick else {"first": lambda: proofs.first_ever(Case(1023, 64)), **parts}


def main() -> int:
    """Measure, print the tables, write what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, few runs: shows that the suite works")
    parser.add_argument(
        "--only",
        action="append",
        metavar="PART",
        help="first, primitives, proofs, chain, verification, risk, accounts, venues, span, liquidation, cascades "
        "or watch",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure, in seconds and bytes")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="replace the results in this document")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="measure more sizes and draw them as SVG")
    options = parser.parse_args()
    parts = sections(quick=options.quick)
    if unknown := set(options.only or ()) - set(parts):
        parser.error(f"no such part here: {', '.join(sorted(unknown))} (there are {', '.join(parts)})")

    described = machine.describe()
    print("\n".join(machine.lines(described)), flush=True)
    done: dict[str, Section] = {}
    for name, measure in parts.items():
        if options.only and name not in options.only:
            continue
        done[name] = measure()
        print(f"\n{text_of(done[name])}", flush=True)
    report: dict[str, Any] = {"machine": described, "quick": options.quick}
    report["sections"] = {name: section.to_json() for name, section in done.items()}
    if options.chart:
        cases = chart.CASES[:2] if options.quick else chart.CASES
        report["chart"] = chart.points(1 if options.quick else 5, cases)
        chart.draw(report["chart"], described, options.chart)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    if options.markdown:
        replace_results(options.markdown, described, list(done.values()))
    return 0


def text_of(section: Section) -> str:
    """A section in aligned columns."""
    table = [[column.name for column in section.columns], *section.cells()]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
    return "\n".join([f"== {section.title}", *lines, *(f"   {note}" for note in section.notes)])


def markdown_of(section: Section) -> str:
    """A section as a Markdown table."""
    head = [column.name for column in section.columns]
    rows = [head, ["---", *["---:"] * (len(head) - 1)], *section.cells()]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"### {section.title}", "", *lines, "", *(f"{note}\n" for note in section.notes)])


def replace_results(path: Path, described: dict[str, Any], done: list[Section]) -> None:
    """Put the tables between the two marks of a document."""
    before, begin, rest = path.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"error: {path}: lacks the line {BEGIN} or {END}")
    body = "\n".join(["```", *machine.lines(described), "```", "", *(markdown_of(section) for section in done)])
    path.write_text(f"{before}{BEGIN}\n\n{body}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
