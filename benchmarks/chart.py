"""A chart of proving time against slots and scenarios, as SVG."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.proofs import measure
from benchmarks.synthetic import Case

CASES = tuple(Case(slots, scenarios) for scenarios in (16, 64, 256) for slots in (512, 1023, 2046, 4092, 8184, 16_368))


def points(runs: int, cases: tuple[Case, ...]) -> list[dict[str, Any]]:
    """Measure the sizes of the chart: slots, scenarios and the median seconds of a proof."""
    return [{"slots": c.slots, "scenarios": c.scenarios, "proof": measure(c, runs)["proof"]} for c in cases]


def draw(data: list[dict[str, Any]], machine: dict[str, Any], path: str | Path) -> None:
    """Write the SVG; the same figures give the same file. Raises ImportError without matplotlib."""
    import matplotlib as mpl  # noqa: PLC0415 - optional

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    style: Any = {"svg.hashsalt": "zkmargin", "svg.fonttype": "none", "font.size": 10}
    style |= {"axes.grid": True, "grid.alpha": 0.3}
    with mpl.rc_context(style):
        figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
        for scenarios, rows in groupby(data, key=lambda row: row["scenarios"]):
            line = list(rows)
            axes.plot(
                [row["slots"] for row in line],
                [1000 * row["proof"] for row in line],
                marker="o",
                label=f"{scenarios} scenarios",
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        slots = sorted({row["slots"] for row in data})
        axes.set_xticks(slots, [f"{s:,}" for s in slots])
        axes.minorticks_off()
        ticks = [t for d in range(5) for t in (10**d, 2 * 10**d, 5 * 10**d)]
        low, high = (f(1000 * row["proof"] for row in data) for f in (min, max))
        inside = [t for t in ticks if low / 2 <= t <= 2 * high]
        axes.set_yticks(inside, [f"{t:,}" for t in inside])
        axes.set_xlabel("instrument slots, every one with a position (20 bits, range-proved; n = 1024)")
        axes.set_ylabel("proof, warm, milliseconds")
        axes.set_title(f"Proving time: {machine['cpu']}, {machine['cores']} cores", fontsize=10)
        axes.legend()
        figure.savefig(path, format="svg", metadata={"Date": None})
        plt.close(figure)
