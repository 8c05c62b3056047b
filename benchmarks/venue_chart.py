"""What an account of a venue proof costs, against accounts, legs and scenarios, as SVG.

``python -m benchmarks.venue_chart docs/venue.svg`` measures and draws. CPU seconds of this process, all threads,
witness and the prover's own verification included: other work on the machine moves them less than the wall clock.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.synthetic import Case, snapshot_of
from benchmarks.venue import _prove, venue_of
from zkmargin.prover.prove import default_threads
from zkmargin.verifier.venue.verify import verify_venue

ROWS, DIGIT_BITS = 2048, 11


@dataclass(frozen=True)
class Size:
    """One point of the chart."""

    accounts: int
    legs: int
    scenarios: int


#: By what varies.
SIZES = {
    "accounts": tuple(Size(m, 16, 35) for m in (500, 2_000, 8_000, 32_000)),
    "legs": tuple(Size(2_000, legs, 35) for legs in (4, 16, 64)),
    "scenarios": tuple(Size(2_000, 16, s) for s in (16, 35, 64)),
}


def point(size: Size) -> dict[str, Any]:
    """Measure one size: CPU seconds of proof and verification, and bytes, an account."""
    snapshot = snapshot_of(Case(1000, size.scenarios, n=ROWS))
    statement, books = venue_of(snapshot, size.accounts, DIGIT_BITS, size.legs)
    begin = time.process_time()
    data, _, _ = _prove(statement, books, default_threads())
    proved = time.process_time()
    verify_venue(statement, data)
    verified = time.process_time()
    each = {"proof": proved - begin, "verification": verified - proved, "bytes": float(len(data))}
    return {**asdict(size), **{name: value / size.accounts for name, value in each.items()}}


def draw(data: dict[str, list[dict[str, Any]]], machine: dict[str, Any], path: str | Path) -> None:
    """Write the SVG; the same figures give the same file. Raises ImportError without matplotlib."""
    import matplotlib as mpl  # noqa: PLC0415 - optional

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    style: Any = {
        "svg.hashsalt": "zkmargin",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.grid": True,
        "grid.alpha": 0.3,
    }
    with mpl.rc_context(style):
        figure, panels = plt.subplots(1, len(data), figsize=(10, 3.6), layout="constrained", sharey=True)
        for axes, (name, rows) in zip(panels, data.items(), strict=True):
            x = [row[name] for row in rows]
            for what, factor, unit in (("proof", 1e3, "ms"), ("verification", 1e3, "ms"), ("bytes", 1e-3, "kB")):
                axes.plot(x, [factor * row[what] for row in rows], marker="o", label=f"{what}, {unit}")
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_xticks(x, [f"{value:,}" for value in x])
            axes.minorticks_off()
            axes.set_xlabel(name)
        panels[0].set_ylabel("each account")
        panels[0].legend()
        title = "2,000 accounts, 16 legs, 35 scenarios where nothing else is said; n = 2,048; CPU"
        figure.suptitle(f"{title}: {machine['cpu']}", fontsize=9)
        figure.savefig(path, format="svg", metadata={"Date": None})
        plt.close(figure)


def main() -> int:
    """Measure, draw, print JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.venue_chart", description=__doc__)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    point(Size(64, 16, 35))  # kernels and tables are loaded
    data = {name: [point(size) for size in sizes] for name, sizes in SIZES.items()}
    draw(data, describe(), options.output)
    sys.stdout.write(json.dumps(data, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
