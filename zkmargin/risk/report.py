"""Reports as one HTML file: tables and line charts as inline SVG, no script, nothing fetched."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 760, 300, 70, 40, 12, 12
#: Colours that most people can tell apart (Okabe and Ito, 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: Lines behind a chart, on light paper and on dark screens.
GRID = 'stroke="currentColor" stroke-opacity="0.15"'
MAX_POINTS = 800
#: Longer ones may be broken, so that a table fits a sheet.
LONGEST_WORD = 24
#: With so many columns a table is printed small.
MANY_COLUMNS = 6
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 52rem; padding: 0 1rem;
  color: light-dark(#1a1a1a, #e8e8e8); background: light-dark(#fff, #141414); overflow-wrap: break-word; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .5rem; border-bottom: 1px solid light-dark(#ddd, #444); text-align: right; }
th:first-child, td:first-child { text-align: left; } td { white-space: nowrap; }
td:last-child { white-space: normal; }
.words th, .words td { text-align: left; white-space: normal; vertical-align: top; }
td.long { overflow-wrap: anywhere; }
div { overflow-x: auto; }
svg { width: 100%; height: auto; } svg.paper { background: #fff; }
svg:not(.paper) text { fill: currentColor; }
figure { margin: 1.5rem 0; } figcaption { color: light-dark(#555, #aaa); font-size: .9rem; }
summary { cursor: pointer; color: light-dark(#555, #aaa); font-size: .9rem; }
@media print {
  :root { color-scheme: light; }
  body { max-width: none; margin: 0; font-size: 10.5px; } h2 { break-after: avoid; } figure { break-inside: avoid; }
  thead { display: table-header-group; } tr { break-inside: avoid; }
  table { font-size: 9.5px; } td { white-space: normal; }
  table.many { font-size: 7.5px; } .many th, .many td { padding: .2rem .25rem; } .many td { overflow-wrap: anywhere; }
  details::details-content { content-visibility: visible; height: auto; }
}
"""


def _cell(cell: object) -> str:
    """A cell; only one with a digest or the like may be broken within a word."""
    text = str(cell)
    long = ' class="long"' if max(map(len, text.split()), default=0) > LONGEST_WORD else ""
    return f"<td{long}>{html.escape(text)}</td>"


def column_head(column: str, kind: str = "") -> str:
    """The head of a column; without a name it is a cell like others, as a screen reader has nothing to say of it."""
    return f'<th scope="col"{kind}>{html.escape(column)}</th>' if column else f"<td{kind}></td>"


def scrolled(table: str, name: str) -> str:
    """A table that may be wider than the page: it is scrolled by keyboard too."""
    return f'<div tabindex="0" role="group" aria-label="{html.escape(name)}">{table}</div>'


def named(svg: str, name: str) -> str:
    """A chart as one picture, by what it shows."""
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(name)}"', 1)


class Report:
    """A page that is added to from top to bottom. Every text is escaped."""

    def __init__(self, title: str) -> None:
        self._title = html.escape(title)
        self._under = title
        self._parts = [f"<h1>{self._title}</h1>"]

    def text(self, words: str) -> None:
        """A paragraph."""
        self._parts.append(f"<p>{html.escape(words)}</p>")

    def heading(self, words: str) -> None:
        """A heading of a section."""
        self._under = words
        self._parts.append(f"<h2>{html.escape(words)}</h2>")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], *, words: bool = False) -> None:
        """A table; numbers are to be formatted before. ``words``: its cells are texts, to the left, and may wrap."""
        head = "".join(map(column_head, columns))
        body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
        kind = ' class="words"' if words else ' class="many"' if len(columns) >= MANY_COLUMNS else ""
        whole = f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        self._parts.append(scrolled(whole, self._under))

    def chart(
        self,
        caption: str,
        labels: Sequence[str],
        lines: Mapping[str, Sequence[float | None]],
        *,
        unit: str = "",
        zero: bool = True,
    ) -> None:
        """Lines over the same points; None leaves a gap. ``zero``: the axis reaches down to 0."""
        drawn = named(line_chart(labels, lines, unit=unit, zero=zero), caption)
        self._parts.append(f"<figure>{drawn}<figcaption>{html.escape(caption)}</figcaption></figure>")

    def figure(
        self,
        caption: str,
        svg: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        folded: bool = False,
    ) -> None:
        """A drawn chart, and the table behind it; ``folded`` shows the table on demand, and on paper."""
        self._under = caption
        self._parts.append(f"<figure>{named(svg, caption)}<figcaption>{html.escape(caption)}</figcaption></figure>")
        self._parts.append(f"<details{'' if folded else ' open'}><summary>The numbers</summary>")
        self.table(columns, rows)
        self._parts.append("</details>")

    def page(self) -> str:
        """The whole document."""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            f"<title>{self._title}</title><style>{_STYLE}</style></head>\n<body>\n<main>\n"
            + "\n".join(self._parts)
            + "\n</main>\n</body></html>\n"
        )


def line_chart(
    labels: Sequence[str], lines: Mapping[str, Sequence[float | None]], *, unit: str = "", zero: bool = True
) -> str:
    """An SVG of lines over labelled points; long ones are thinned so that their extremes stay."""
    known = [y for line in lines.values() for y in line if y is not None and math.isfinite(y)] or [0.0]
    low, high = (min(0.0, *known), max(0.0, *known)) if zero else (min(known), max(known))
    if low == high:
        high = low + 1.0
    ticks = nice_ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    size = max(len(labels), 2)

    def x(place: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * place / (size - 1)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (value - low) / ((high - low) or 1.0)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 20 * math.ceil(len(lines) / 3)}" font-size="12">']
    parts += _levels(ticks, y, unit)
    for place in sorted({round(k * (len(labels) - 1) / 4) for k in range(5)} if labels else set()):
        anchor = "start" if place == 0 else "end" if place == len(labels) - 1 else "middle"
        where = f'x="{x(place):.1f}" y="{HEIGHT - BOTTOM + 18}"'
        parts.append(f'<text {where} text-anchor="{anchor}">{html.escape(labels[place])}</text>')
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        for run in _runs(line):
            points = [f"{x(place):.1f},{y(value):.1f}" for place, value in _thinned(run)]
            if len(points) == 1:  # a line to itself with round ends is a dot
                points, width = points * 2, 'stroke-width="5" stroke-linecap="round"'
            else:
                width = 'stroke-width="1.6"'
            parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" {width}/>')
        left, top = LEFT + 230 * (number % 3), HEIGHT + 20 * (number // 3) + 6
        parts.append(f'<rect x="{left}" y="{top - 9}" width="14" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{left + 20}" y="{top}">{html.escape(name)}</text>')
    return "".join(parts) + "</svg>"


class Point(NamedTuple):
    """A named point of a chart; ``faint`` ones are grey, and no part of its line."""

    name: str
    x: float
    y: float
    faint: bool = False


def point_chart(points: Sequence[Point], x_title: str, y_title: str) -> str:
    """An SVG of named points, both axes from 0; a line joins those that are not faint, from left to right."""
    ticks_x, ticks_y = (
        nice_ticks(0.0, max(0.0, *values) or 1.0) for values in ([p.x for p in points], [p.y for p in points])
    )
    floor = HEIGHT - BOTTOM

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / ticks_x[-1]

    def y(value: float) -> float:
        return floor - (floor - 3 * TOP) * value / ticks_y[-1]

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" font-size="12">', *_levels(ticks_y, y, "")]
    for tick in ticks_x:
        parts.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{3 * TOP}" y2="{floor}" {GRID}/>')
        anchor = "end" if tick == ticks_x[-1] else "middle"
        parts.append(f'<text x="{x(tick):.1f}" y="{floor + 18}" text-anchor="{anchor}">{_short(tick)}</text>')
    middle = (x(0) + x(ticks_x[-1])) / 2
    parts.append(f'<text x="{middle:.1f}" y="{HEIGHT - 4}" text-anchor="middle">{html.escape(x_title)}</text>')
    parts.append(f'<text x="{LEFT}" y="{TOP}">{html.escape(y_title)}</text>')
    line = " ".join(f"{x(p.x):.1f},{y(p.y):.1f}" for p in sorted(points, key=lambda p: (p.x, -p.y)) if not p.faint)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[0]}" stroke-width="1.6"/>')
    taken: list[tuple[float, float, float]] = []  # where names stand: from, to, height
    for point in sorted(points, key=lambda p: (p.faint, p.y, p.x)):
        left, top = x(point.x), y(point.y)
        fill = 'fill="#999999"' if point.faint else f'fill="{COLOURS[0]}"'
        parts.append(f'<circle cx="{left:.1f}" cy="{top:.1f}" r="5" {fill}/>')
        label, wide = top - 8, 7.5 * len(point.name)
        first = left + 8 if left < WIDTH * 2 / 3 else left + 4 - wide
        while any(abs(label - other) < 13 and first < b and a < first + wide for a, b, other in taken):
            label -= 13  # above the name that stands there
        taken.append((first, first + wide, label))
        at = f'x="{left + 8:.1f}"' if left < WIDTH * 2 / 3 else f'x="{left + 4:.1f}" text-anchor="end"'
        parts.append(f'<text {at} y="{label:.1f}">{html.escape(point.name)}</text>')
    return "".join(parts) + "</svg>"


def _levels(ticks: Sequence[float], y: Callable[[float], float], unit: str) -> list[str]:
    """Lines across a chart, and what they stand for."""
    parts = []
    for tick in ticks:
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" {GRID}/>')
        parts.append(
            f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{_short(tick)}{html.escape(unit)}</text>'
        )
    return parts


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values that cover a range."""
    span = (high - low) or 1.0
    step = 10 ** math.floor(math.log10(span / count))
    step = next(step * k for k in (1, 2, 5, 10) if span / (step * k) <= count)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(k * step, 12) for k in range(first, last + 1)]


def _short(value: float) -> str:
    for size, letter in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _runs(line: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """The parts of a line between gaps."""
    runs: list[list[tuple[int, float]]] = [[]]
    for place, value in enumerate(line):
        if value is None or not math.isfinite(value):
            runs.append([])
        else:
            runs[-1].append((place, value))
    return [run for run in runs if run]


def _thinned(run: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most ``MAX_POINTS`` points: of each stretch its lowest and its highest."""
    if len(run) <= MAX_POINTS:
        return list(run)
    width = -(-len(run) // (MAX_POINTS // 2))
    kept: list[tuple[int, float]] = []
    for start in range(0, len(run), width):
        part = run[start : start + width]
        kept += sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])})
    return kept
