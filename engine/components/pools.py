"""Charges on pools of positions: a convex piecewise linear function of a pool's size, gross or net.

    size    gross:  sum_i long_i max(q_i, 0) + short_i max(-q_i, 0)        net:  |sum_i value_i q_i|
    amount  max(0, slope_k size - start_k over the pool's lines)

Lines with growing slopes are marginal rates that grow with size, so amounts are convex in the positions. Several
components of the catalogue are this, with parameters of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from zkmargin.engine.components.base import Charge, Extent, Label, Leg, PublishedPart, Selective, spread
from zkmargin.formats import InputError, IntArray, Model, Seq
from zkmargin.formats.budget import spend

#: Competes with the scenarios of its group; on top, times the requirement's factor; on top as it is.
Mode = Literal["floor", "added", "flat"]


#: Tiers or chords of one pool.
MAX_LINES = 64


class Line(Model):
    """``slope`` x size - ``start``, in 1/scale money units."""

    slope: int = Field(ge=0, lt=1 << 62)
    start: int = Field(default=0, ge=0, lt=1 << 160)


class Pool(Model):
    """Positions that are charged together; ``group`` is the risk group, or the joint one, where a floor competes."""

    name: Label
    group: int | Label
    lines: Seq[Line] = Field(min_length=1, max_length=MAX_LINES)

    def amount(self, size: int) -> int:
        """The charge of a size."""
        return max(0, *(line.slope * size - line.start for line in self.lines))


def tier_lines(tiers: Sequence[tuple[int, int]]) -> tuple[Line, ...]:
    """The lines of marginal rates: (from this size, rate), sizes ascending from 0, rates growing."""
    spend("lines", len(tiers))
    lines, start, before = [], 0, 0
    for above, rate in tiers:
        start += above * (rate - before)
        before = rate
        lines.append(Line(slope=rate, start=start))
    return tuple(lines)


class PooledCharge(Selective, PublishedPart):
    """A charge on pools as integers.

    Attributes:
        mode: see ``Mode``.
        scale: what a money unit counts in amounts.
        pools: the pools.
        pool: [N] the pool of each slot, -1 for none.
    """

    mode: Mode
    scale: int = Field(gt=0, lt=1 << 62)
    pools: Seq[Pool]
    pool: IntArray

    def extent(self, *, group_of: Sequence[int], groups: int, assets: int) -> Extent:  # noqa: ARG002
        """Two rows for each pool."""
        lines = sum(len(pool.lines) for pool in self.pools)
        return Extent(2 * len(self.pools), len(self.pools) ** 2 + lines)

    @property
    def arrays(self) -> Mapping[str, IntArray]:
        """The arrays that sizes are made of, [N] each, by name."""
        raise NotImplementedError

    def parts(self, legs: Sequence[Leg]) -> list[int]:
        """Each leg's summand of its pool's size, before a net size is made positive."""
        raise NotImplementedError

    @property
    def is_floor(self) -> bool:
        """As a floor it competes after SPAN's spreads."""
        return self.mode == "floor"

    @property
    def joint_groups(self) -> tuple[str, ...]:
        """Joint groups that floors compete in."""
        return tuple(dict.fromkeys(p.group for p in self.pools if isinstance(p.group, str)))

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:  # noqa: ARG002
        """Check shapes, and that pools lie in their groups. Raises InputError."""
        for name, array in {"pool": self.pool, **self.arrays}.items():
            if array.values.shape != (len(group_of),):
                raise InputError(f"has the shape {array.values.shape}, not ({len(group_of)},)", field=name)
            if np.any(array.values == np.iinfo(np.int64).min):
                raise InputError("a value outside 64 bits with sign", field=name)
        if len(self.pools) > max(len(group_of), groups):
            raise InputError("more pools than instruments", field="pools")
        places = self.pool.values.tolist()
        if any(not -1 <= place < len(self.pools) for place in places):
            raise InputError("a pool that is not there", field="pool")
        for place, group in zip(places, group_of, strict=True):
            if place >= 0 and isinstance(own := self.pools[place].group, int) and own != group:
                raise InputError("a slot of another risk group", field="pool")
        if any(isinstance(pool.group, int) and not 0 <= pool.group < groups for pool in self.pools):
            raise InputError("a pool of no risk group", field="pools")

    def assess(self, legs: Sequence[Leg]) -> Charge:
        """The pools' amounts, summed where they compete or are added."""
        amounts = self._amounts(legs)
        if self.mode == "added":
            return Charge(addition=sum(amounts.values()), scale=self.scale)
        if self.mode == "flat":
            return Charge(flat=sum(amounts.values()), scale=self.scale)
        alone: dict[int, int] = defaultdict(int)
        joint: dict[str, int] = defaultdict(int)
        for place, amount in amounts.items():
            group = self.pools[place].group
            if isinstance(group, str):
                joint[group] += amount
            else:
                alone[group] += amount
        return Charge(
            candidates={group: (amount,) for group, amount in alone.items()},
            joint={group: (amount,) for group, amount in joint.items()},
            scale=self.scale,
        )

    def shares(self, legs: Sequence[Leg], candidate: int | None) -> Sequence[int]:
        """Each leg's part of its pool's amount, in proportion to its part of the size."""
        if (candidate is None) != (self.mode != "floor"):
            return [0] * len(legs)
        return self._spread(legs, None)

    def joint_shares(self, legs: Sequence[Leg], name: str, candidate: int) -> Sequence[int]:  # noqa: ARG002
        """The same for the pools of a joint group."""
        return self._spread(legs, name)

    def label(self, group: int, candidate: int) -> str:  # noqa: ARG002
        """The component's name in words: the only candidate is the sum of a group's pools."""
        return self.type.replace("_", " ")

    def joint_label(self, name: str, candidate: int) -> str:  # noqa: ARG002
        """The same."""
        return self.label(0, candidate)

    def _sizes(self, legs: Sequence[Leg]) -> dict[int, int]:
        sizes: dict[int, int] = defaultdict(int)
        for leg, part in zip(legs, self.parts(legs), strict=True):
            place = int(self.pool.values[leg.slot])
            if place >= 0:
                sizes[place] += part
        return sizes

    def _amounts(self, legs: Sequence[Leg]) -> dict[int, int]:
        return {place: self.pools[place].amount(abs(size)) for place, size in self._sizes(legs).items()}

    def _spread(self, legs: Sequence[Leg], joint: str | None) -> list[int]:
        shares = [0] * len(legs)
        parts = self.parts(legs)
        for place, amount in self._amounts(legs).items():
            group = self.pools[place].group
            if joint is not None and group != joint:
                continue
            members = [i for i, leg in enumerate(legs) if self.pool.values[leg.slot] == place]
            for i, share in zip(members, spread(amount, [parts[i] for i in members]), strict=True):
                shares[i] = share
        return shares


class GrossPools(PooledCharge):
    """Sizes that do not net: ``long`` and ``short`` [N], the size of one lot held and of one lot sold, >= 0."""

    long: IntArray
    short: IntArray

    BY_SLOT: ClassVar[Mapping[str, int]] = {"pool": -1, "long": 0, "short": 0}

    @property
    def arrays(self) -> Mapping[str, IntArray]:
        """``long`` and ``short``."""
        return {"long": self.long, "short": self.short}

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:
        """As for every pool; sizes are not negative."""
        super().check(group_of=group_of, groups=groups, assets=assets)
        for name, array in self.arrays.items():
            if np.any(array.values < 0):
                raise InputError("a negative size", field=name)

    def parts(self, legs: Sequence[Leg]) -> list[int]:
        """The size of each leg."""
        sides = (self.long.values, self.short.values)
        return [abs(leg.lots) * int(sides[leg.lots < 0][leg.slot]) for leg in legs]


class NetPools(PooledCharge):
    """Sizes that net: ``value`` [N], what one lot long adds to the pool's sum."""

    value: IntArray

    BY_SLOT: ClassVar[Mapping[str, int]] = {"pool": -1, "value": 0}

    @property
    def arrays(self) -> Mapping[str, IntArray]:
        """``value``."""
        return {"value": self.value}

    def parts(self, legs: Sequence[Leg]) -> list[int]:
        """What each leg adds to the sum."""
        return [leg.lots * int(self.value.values[leg.slot]) for leg in legs]
