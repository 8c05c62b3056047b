"""What components that net within an expiry share: Derive's static discount, and sums per expiry.

Static discount (Derive v2-core, PMRMLib_2, "static discount"): the shocked value V of an expiry's options counts

    positive V   V >= 0, positive = long_base exp(-T (long_rate r + long_add))
    negative V   V <  0, negative = min(1 / D, short_base exp(+T (short_rate r + short_add)))

with r the rate (0 if negative), T years, D = exp(-rT). Written as ``positive V - (negative - positive) max(-V, 0)`` it
is a concave value, so a convex loss, exactly if positive <= negative.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from zkmargin.engine.components.base import Leg
from zkmargin.engine.exact import Int64Array
from zkmargin.formats import InputError, IntArray, Model


class StaticDiscount(Model):
    """The discount of long and short expiries, in basis points; ``*_rate_bp`` multiply the rate, ``*_add_bp`` add.

    Raises:
        InputError: a long value that would count more than a short one, or than the value itself.
    """

    long_base_bp: int = Field(gt=0, le=100_000)
    short_base_bp: int = Field(gt=0, le=100_000)
    long_rate_bp: int = Field(default=0, ge=0, le=100_000)
    short_rate_bp: int = Field(default=0, ge=0, le=100_000)
    long_add_bp: int = Field(default=0, ge=0, le=100_000)
    short_add_bp: int = Field(default=0, ge=0, le=100_000)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.long_base_bp > min(self.short_base_bp, 10_000):
            raise InputError(
                f"long_base_bp {self.long_base_bp} above short_base_bp {self.short_base_bp} or 10000: options held "
                "would be marked up in a stress, options owed down, and the loss would not be convex",
                field="discount",
                hint="Derive's deployment script has the two swapped: its tests have 9500 long and 10400 short",
            )
        return self


def check_expiries(expiries: IntArray, group_of: Sequence[int]) -> None:
    """Check ``expiries`` [N], -1 for slots without one: each lies in one risk group. Raises InputError."""
    if expiries.values.shape != (len(group_of),):
        raise InputError(f"has the shape {expiries.values.shape}, not ({len(group_of)},)", field="expiries")
    pairs = {(expiry, group) for expiry, group in zip(expiries.values.tolist(), group_of, strict=True) if expiry >= 0}
    if len({expiry for expiry, _ in pairs}) != len(pairs):
        raise InputError("an expiry in two risk groups", field="expiries")


def check_matrix(field: str, array: IntArray, shape: tuple[int, ...], *, negative: bool = True) -> None:
    """Check the shape of an array and that it is within 64 bits with sign. Raises InputError."""
    if array.values.shape != shape:
        raise InputError(f"has the shape {array.values.shape}, not {shape}", field=field)
    if np.any(array.values == np.iinfo(np.int64).min):
        raise InputError("a value outside 64 bits with sign", field=field)
    if not negative and np.any(array.values < 0):
        raise InputError("a negative value", field=field)


def by_group(legs: Sequence[Leg]) -> dict[int, list[Leg]]:
    """The legs of each risk group."""
    found: dict[int, list[Leg]] = defaultdict(list)
    for leg in legs:
        found[leg.group].append(leg)
    return found


def by_expiry(legs: Sequence[Leg], expiries: IntArray) -> dict[int, list[Leg]]:
    """The legs of each expiry, those without one left out."""
    found: dict[int, list[Leg]] = defaultdict(list)
    for leg in legs:
        expiry = int(expiries.values[leg.slot])
        if expiry >= 0:
            found[expiry].append(leg)
    return found


def members(expiries: Int64Array) -> list[tuple[int, Int64Array]]:
    """(expiry, [N] mask of its slots) in ascending order."""
    return [(int(expiry), expiries == expiry) for expiry in np.unique(expiries[expiries >= 0])]


def counted_shortfall(sums: Sequence[int], rows: Int64Array) -> list[int]:
    """``max(0, -x)`` for each column: what an expiry with the sums x of shortfall is short of.

    The side is that of its value, so where published parameters are unsound (long above short: the rows are negative,
    which no snapshot accepts) it is ``min(0, -x)``: what such parameters say can be computed, and is never proved.
    """
    if np.any(rows < 0):
        return [min(0, -x) for x in sums]
    return [max(0, -x) for x in sums]
