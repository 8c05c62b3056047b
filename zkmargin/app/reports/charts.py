"""Charts of reports, as SVG by matplotlib: text stays text, and the same numbers give the same bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zkmargin.formats import SetupError

#: Colours that most people can tell apart (Okabe and Ito, 2008).
BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"
WIDTH = 7.6
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "zkmargin",
    "text.parse_math": False,  # a name with dollar signs in it is a name
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def _drawn(height: float, draw: Callable[[Any], None]) -> str:
    """An SVG of one pair of axes. Raises SetupError: matplotlib is not installed."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - optional, and slow to load
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise SetupError("charts need matplotlib", hint="install the extra: pip install 'zkmargin[plot]'") from None
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure.add_subplot())
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(text.getvalue())


def _inline(text: str) -> str:
    """The SVG element alone. Names in it are of its own: a page holds several."""
    svg = text[text.index("<svg") :].strip()
    names = set(re.findall(r'\bid="([^"]+)"', svg))
    used = set(re.findall(r"#([\w-]+)", svg)) & names
    mark = f"c{abs(hash_of(svg)):x}"
    svg = re.sub(r'\bid="([^"]+)"', lambda m: f'id="{mark}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r"(url\(|href=\")#([\w-]+)", lambda m: f"{m[1]}#{mark}-{m[2]}", svg)
    svg = svg.replace("<svg", '<svg class="paper"', 1)  # drawn in ink on white, whatever the screen's colours
    return re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)


def hash_of(text: str) -> int:
    """The same number for the same text, in every process."""
    value = 0
    for byte in text.encode():
        value = (value * 257 + byte) % ((1 << 61) - 1)
    return value


def _short(value: float, _: object = None) -> str:
    for size, letter in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def waterfall(names: Sequence[str], amounts: Sequence[float], total: str) -> str:
    """Bars that begin where the one before ended, and their sum as the last."""

    def draw(axes: Any) -> None:
        ends = np.cumsum(amounts)
        starts = ends - np.asarray(amounts)
        colours = [RED if amount >= 0 else GREEN for amount in amounts]
        axes.bar(range(len(names)), amounts, bottom=starts, color=colours, width=0.6)
        for place in range(len(names) - 1):
            axes.plot([place - 0.3, place + 1.3], [ends[place]] * 2, color=GREY, linewidth=0.6)
        whole = float(ends[-1]) if len(ends) else 0.0
        axes.bar([len(names)], [whole], color=BLUE, width=0.6)
        axes.set_xticks(range(len(names) + 1), [*names, total], rotation=30, ha="right")
        axes.yaxis.set_major_formatter(_short)
        axes.axhline(0, color="black", linewidth=0.6)

    return _drawn(3.2, draw)


def bars(names: Sequence[str], amounts: Sequence[float], marked: Sequence[bool] | None = None) -> str:
    """Bars to the right and left of zero, the first on top; the marked ones in another colour."""

    def draw(axes: Any) -> None:
        colours = [RED if mark else BLUE for mark in marked or [False] * len(names)]
        axes.barh(range(len(names)), amounts, color=colours, height=0.7)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(max(len(names), 3) - 0.5, -0.5)
        axes.xaxis.set_major_formatter(_short)
        axes.axvline(0, color="black", linewidth=0.6)

    return _drawn(0.7 + 0.19 * max(len(names), 3), draw)


def pairs(names: Sequence[str], before: Sequence[float], after: Sequence[float]) -> str:
    """Two bars for each name."""

    def draw(axes: Any) -> None:
        places = np.arange(len(names))
        axes.barh(places - 0.2, before, height=0.36, color=GREY, label="before")
        axes.barh(places + 0.2, after, height=0.36, color=BLUE, label="after")
        axes.set_yticks(places, names)
        axes.invert_yaxis()
        axes.xaxis.set_major_formatter(_short)
        axes.axvline(0, color="black", linewidth=0.6)
        axes.legend(frameon=False)

    return _drawn(0.9 + 0.42 * len(names), draw)


def surface(prices: npt.NDArray[np.float64], vols: npt.NDArray[np.float64], profit: npt.NDArray[np.float64]) -> str:
    """Cells of price by vol moves, blue for a gain and red for a loss, with the amounts in them."""

    def draw(axes: Any) -> None:
        most = float(np.abs(profit).max()) or 1.0
        axes.pcolormesh(profit.T, cmap="RdBu", vmin=-most, vmax=most, edgecolors="white", linewidth=0.8)
        axes.set_xticks(np.arange(len(prices)) + 0.5, [f"{100 * move:+.3g} %" for move in prices])
        axes.set_yticks(np.arange(len(vols)) + 0.5, [f"vol {100 * move:+.3g} %" for move in vols])
        for (p, v), amount in np.ndenumerate(profit):
            strong = abs(amount) > 0.6 * most
            shown = _short(float(f"{amount:.3g}"))
            axes.text(
                p + 0.5, v + 0.5, shown, ha="center", va="center", color="white" if strong else "black", fontsize=8
            )
        axes.set_xlabel("price move")
        axes.tick_params(length=0)

    return _drawn(1.1 + 0.42 * len(vols), draw)


def timeline(names: Sequence[str], times: Sequence[Sequence[float]], labels: tuple[str, str]) -> str:
    """For each name the moments at which something was proved: hours since the first, on lines of their own."""

    def draw(axes: Any) -> None:
        for place, moments in enumerate(times):
            if len(moments) > 1:
                axes.plot([min(moments), max(moments)], [place, place], color=GREY, linewidth=0.8, zorder=1)
            axes.scatter(moments, [place] * len(moments), color=BLUE, s=22, zorder=2)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        if len({moment for moments in times for moment in moments}) == 1:  # no scale has one point
            axes.set_xticks([0.0])
        axes.set_xlabel(f"hours since {labels[0]}; the last at {labels[1]}")

    return _drawn(1.0 + 0.28 * max(len(names), 2), draw)
