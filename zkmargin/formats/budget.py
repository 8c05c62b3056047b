"""Work has a budget: what one document may cost, counted before the work is done.

Caps on single fields multiply: a thousand underlyings with a thousand scenarios each are a million labels, from a file
of some kilobytes. So whatever makes more than it was given (a parser, a validator, a builder) draws the units of it
from the one budget of the document that is being read or built, before it makes them::

    with budget():
        spend("scenarios", len(groups) * len(labels), field="overrides")

Budgets nest: a document inside a document draws on the outer one. ``docs/limits.md`` has the measured worst case of
every kind of document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Literal

from zkmargin.formats.errors import InputError

Unit = Literal["characters", "containers", "values", "cells", "scenarios", "lines", "points", "mistakes"]

#: What one document may draw. The largest honest documents that are known need less than a quarter of each.
LIMITS: Final[Mapping[Unit, int]] = {
    "characters": 128 << 20,  # of text that is read, and of texts that are made from it (joined labels)
    "containers": 1 << 19,  # JSON objects and arrays: each becomes an object of half a kilobyte
    "values": 1 << 22,  # JSON values
    "cells": 1 << 26,  # integers of arrays; a snapshot that is built: instruments x scenarios
    "scenarios": 1 << 20,  # labels of scenarios, over all groups and components
    "lines": 1 << 17,  # tiers, chords and other pieces of piecewise linear charges
    "points": 1 << 16,  # points of commitments: each is checked to lie in the subgroup
    "mistakes": 1 << 10,  # unknown keys, and wrong items of mappings: pydantic keeps half a kilobyte for each
}


class Budget:
    """What is left of each unit, and so what was drawn.

    >>> Budget().spent("cells")
    0
    """

    def __init__(self, limits: Mapping[Unit, int] = LIMITS) -> None:
        self._limits = dict(limits)
        self._spent: dict[Unit, int] = dict.fromkeys(LIMITS, 0)

    def spend(self, unit: Unit, count: int, *, field: str | None = None) -> None:
        """Draw units.

        Raises:
            InputError: more than is left, before any work on them is done.
        """
        found = self._spent[unit] + count
        if found > self._limits[unit]:
            why = "this is no such document" if unit == "mistakes" else "too large to be worked on"
            raise InputError(f"more than {self._limits[unit]} {unit}: {why}", field=field)
        self._spent[unit] = found

    def spent(self, unit: Unit) -> int:
        """The units drawn so far."""
        return self._spent[unit]


_current: ContextVar[Budget | None] = ContextVar("zkmargin_budget", default=None)


@contextmanager
def budget(own: Budget | None = None) -> Iterator[Budget]:
    """The budget that ``spend`` draws on inside: ``own``, else the one around this, else a new one."""
    chosen = own or _current.get() or Budget()
    token = _current.set(chosen)
    try:
        yield chosen
    finally:
        _current.reset(token)


def spend(unit: Unit, count: int, *, field: str | None = None) -> None:
    """Draw on the current budget; outside of one, the count alone must be within the limit. Raises InputError."""
    (_current.get() or Budget()).spend(unit, count, field=field)
