"""Books and numbers as quants have them: frames, arrays, ints, decimals. Exact, or refused by one clear error.

pandas is asked for only where a frame is made or read; a plot needs matplotlib.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from zkmargin.engine.decimals import MAX_DECIMAL_LENGTH, from_units
from zkmargin.formats import InputError

if TYPE_CHECKING:
    from zkmargin.engine.snapshot import Snapshot

#: Columns of a book as a frame; ``section`` may be left out: all are positions then.
SECTIONS = ("positions", "collateral")
COLUMNS = ("section", "name", "quantity")
_PLACES = 18


def exact_text(value: object, *, field: str | None = None) -> str:
    """A quantity as decimal text, exactly: text, an int, a Decimal, a Fraction, or a float that is a short decimal.

    Args:
        value: numpy's scalars count as Python's.
        field: named in the error.

    Raises:
        InputError: no number, not finite, or one that is no decimal with at most 18 places: 0.1 as a float is not
            0.1, so it is refused, and 0.5 is taken.

    Example:
        >>> exact_text(-3), exact_text(12.5), exact_text("0.1")
        ('-3', '12.5', '0.1')
        >>> exact_text(0.1)
        Traceback (most recent call last):
        ...
        zkmargin.formats.errors.InputError: a float that is no short decimal: it stands for another number than it shows
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Number | np.generic | Decimal):
        raise InputError(f"a {type(value).__name__} is no quantity: give text, an int or a Decimal", field=field)
    try:
        ratio = Fraction(value) if isinstance(value, Decimal | Fraction | int) else Fraction(float(value))  # type: ignore[arg-type]
        if isinstance(value, np.integer):
            ratio = Fraction(int(value))
    except (TypeError, ValueError, OverflowError):
        raise InputError("not a finite number", field=field) from None
    units = ratio * 10**_PLACES
    if units.denominator != 1:
        shown = "a float that is no short decimal: it stands for another number than it shows"
        raise InputError(
            shown if isinstance(value, float | np.floating) else f"more than {_PLACES} decimals",
            field=field,
            hint='give decimal text or a Decimal, "0.1" say',
        )
    text = from_units(units.numerator, _PLACES)
    if len(text) > MAX_DECIMAL_LENGTH:
        raise InputError("too long for a quantity", field=field)
    return text


def sections(rows: Iterable[tuple[str, str, object]]) -> dict[str, dict[str, str]]:
    """Positions and collateral of rows (section, name, quantity). Raises InputError: a name twice, or no quantity."""
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for section, name, quantity in rows:
        if section not in found:
            raise InputError(f"a section is one of {', '.join(SECTIONS)}", field=f"section of {str(name)[:80]}")
        if not isinstance(name, str) or not name:
            raise InputError("a name is text that is not empty", field=section)
        if name in found[section]:
            raise InputError("named twice: add the quantities up first", field=f"{section}.{name[:80]}")
        found[section][name] = exact_text(quantity, field=f"{section}.{name[:80]}")
    return found


def rows_of_frame(frame: Any) -> list[tuple[str, str, object]]:
    """The rows of a frame with the columns name (or a named index) and quantity, and perhaps section.

    Raises:
        InputError: other columns.
    """
    columns = list(getattr(frame, "columns", ()))
    if "name" not in columns and hasattr(frame, "reset_index"):
        frame = frame.rename_axis("name").reset_index()
        columns = list(frame.columns)
    if not {"name", "quantity"} <= set(columns) or set(columns) - set(COLUMNS):
        shown = ", ".join(map(str, columns))[:120] or "none"
        raise InputError(
            f"a frame has the columns name and quantity, and perhaps section; this one has: {shown}", field="frame"
        )
    kinds = list(frame["section"]) if "section" in columns else [SECTIONS[0]] * len(frame)
    return list(zip(kinds, list(frame["name"]), list(frame["quantity"]), strict=True))


def frame_of(book: Mapping[str, Mapping[str, str]]) -> Any:
    """A pandas frame of a book's sections: section, name, quantity (decimal text, so that nothing is rounded)."""
    import pandas as pd  # noqa: PLC0415 - optional

    rows = [(section, name, text) for section in SECTIONS for name, text in book[section].items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def lots_of_arrays(
    positions: npt.ArrayLike, collateral: npt.ArrayLike, snapshot: Snapshot
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A book's whole lots, positions and collateral, from arrays in the order of a snapshot's slots.

    Args:
        positions: [N] integers, or floats that are whole.
        collateral: [M] the same.
        snapshot: says how many slots there are.

    Raises:
        InputError: another length, or a number that is no whole number of lots.
    """
    found = []
    for what, values, count in (
        ("positions", positions, len(snapshot.instruments)),
        ("collateral", collateral, len(snapshot.collateral)),
    ):
        array = np.asarray(values)
        if array.shape != (count,):
            raise InputError(f"has the shape {array.shape}, the snapshot has {count} slots", field=what)
        texts = [exact_text(value, field=f"{what}[{i}]") for i, value in enumerate(array.tolist())]
        if any("." in text for text in texts):
            raise InputError("not a whole number of lots", field=what)
        found.append(tuple(map(int, texts)))
    return found[0], found[1]


@dataclass(frozen=True)
class Surface:
    """The P&L of a book over the grid of price and vol moves of one risk group.

    Attributes:
        group: the risk group.
        price_moves: [P] relative moves of the price, 0.16 is +16 %.
        vol_moves: [V] relative moves of implied vols, before their scaling by time to expiry.
        profit: [P, V] float64, quote currency, gain positive: for plots. ``risk_array`` has the exact amounts.

    Example:
        >>> from zkmargin import pnl_surface
        >>> surface = pnl_surface(snapshot, book, "BTC")
        >>> surface.to_frame().shape
        (9, 3)
    """

    group: str
    price_moves: npt.NDArray[np.float64]
    vol_moves: npt.NDArray[np.float64]
    profit: npt.NDArray[np.float64]

    def to_frame(self) -> Any:
        """A pandas frame: a row for each price move, a column for each vol move."""
        import pandas as pd  # noqa: PLC0415 - optional

        index = pd.Index(self.price_moves, name="price_move")
        return pd.DataFrame(self.profit, index=index, columns=pd.Index(self.vol_moves, name="vol_move"))

    def plot(self, axes: Any = None) -> Any:
        """Draw it with matplotlib, a line for each vol move; returns the axes. Give ``axes`` to draw into yours."""
        if axes is None:
            from matplotlib.figure import Figure  # noqa: PLC0415 - optional

            axes = Figure(layout="constrained").add_subplot()
        for place, move in enumerate(self.vol_moves.tolist()):
            axes.plot(100 * self.price_moves, self.profit[:, place], label=f"vol {100 * move:+g} %")
        axes.axhline(0, linewidth=0.5)
        axes.set(xlabel="price move, %", ylabel="P&L", title=self.group)
        axes.legend()
        return axes


def grid_of(snapshot: Snapshot, group: str) -> tuple[str, Any]:
    """The component with a grid of price and vol moves of a group, and the grid. Raises InputError: none has one."""
    if group not in snapshot.groups:
        raise InputError(f"no such risk group; there are {', '.join(snapshot.groups)[:200]}", field="group")
    for part in snapshot.policy.components:
        grid = getattr(part, "grid", None)
        if grid is not None and hasattr(grid, "price_moves_bp"):
            overrides: Mapping[str, Any] = getattr(part, "overrides", {})
            return part.type, overrides.get(group, grid)
    raise InputError("no component of the policy has a grid of price and vol moves", field="policy")
