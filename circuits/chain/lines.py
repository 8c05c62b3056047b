"""What competes for the charge of each group: worst scenarios, and product groups with their gain offsets as lines.

A class c of a product group counts for ``max(L, a L, -cap)``, L its loss: the largest of at most three linear
functions, its *lines*. So the charge of a product group, ``max(0, max_s sum_c ..)``, is the largest of linear functions
again: one for each scenario and each choice of a line for every class,

    D_g W_g >= sum_c factor_c L_{c,s} - constant        factor_c 1, a_c or 0, times D_g;  constant a sum of D_g cap_c

and these are rows as worst scenarios are, with a constant. No number besides is hidden, and D_g, at most 10^4, is the
least that makes all of them integers. A choice that no loss can make positive is left out.

Dampened tails are lines as well, in a group of their own after that of their product group: what they compete for is at
most the dampener, or at most that group's charge. Two rows that are constants say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import gcd, prod

import numpy as np

from zkmargin.circuits.chain.layout import MAX_SCENARIOS, PACKED_COLUMNS, TAIL_LINES, WAIVED
from zkmargin.circuits.language.system import Int64Array
from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.components.dampened_tails import PublishedDampenedTails
from zkmargin.engine.components.gain_offset import Family, OffsetClass, PublishedGainOffset
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats.errors import InputError

#: Part of a class's loss that counts, and what is taken off, in 1/10^4 of a money unit.
Line = tuple[int, int]


@dataclass(frozen=True)
class Lines:
    """The rows that compete for each group's charge.

    Attributes:
        type: of the component.
        names: [G] of the groups: risk groups, or product groups.
        keys: where a floor competes (a risk group's number, a product group's name) -> the group.
        group_of: int64 [N], the group of each instrument.
        rows: for each group int64 [S_g, N], what a lot adds to a row, 1/D_g of a money unit, gain positive.
        constants: for each group [S_g], what its rows have besides.
        scales: [G] D_g.
        offsets: whether some group has several classes, or tails.
    """

    type: str
    names: tuple[str, ...]
    keys: dict[int | str, int]
    group_of: Int64Array
    rows: tuple[Int64Array, ...]
    constants: tuple[tuple[int, ...], ...]
    scales: tuple[int, ...]
    offsets: bool

    @classmethod
    def of(
        cls,
        component: PublishedWorstScenario | PublishedGainOffset,
        snapshot: Snapshot,
        tails: PublishedDampenedTails | None = None,
    ) -> Lines:
        """The rows of a component, and of tails. Raises InputError for more than the layout has, or beyond 64 bits."""
        own = cls._of(component, snapshot)
        return own if tails is None else _with_tails(own, tails, np.asarray(snapshot.group_of, dtype=np.int64))

    @classmethod
    def _of(cls, component: PublishedWorstScenario | PublishedGainOffset, snapshot: Snapshot) -> Lines:
        group_of = np.asarray(snapshot.group_of, dtype=np.int64)
        if isinstance(component, PublishedGainOffset) and component.joint_groups:
            return _of_families(component, group_of)
        if isinstance(component, PublishedGainOffset):
            by_group = {family.classes[0].group: len(family.scenarios) for family in component.families}
            counts = [by_group[g] for g in range(len(snapshot.groups))]
        else:
            counts = [len(labels) for labels in component.scenarios]
        risk = component.risk.values
        rows = [np.where(group_of == g, risk[:, :count].T, 0) for g, count in enumerate(counts)]
        return cls(
            type=component.type,
            names=snapshot.groups,
            keys={g: g for g in range(len(counts))},
            group_of=group_of,
            rows=tuple(rows),
            constants=tuple((0,) * count for count in counts),
            scales=(1,) * len(counts),
            offsets=False,
        )


def _with_tails(own: Lines, component: PublishedDampenedTails, group_of: Int64Array) -> Lines:
    """After each group that of its tails: their lines, then the dampener and what a bit waives, as constants.

    Raises:
        InputError: product groups that are not those of the scenarios, or a dampener beyond 62 bits.
    """
    families = {family.key: family for family in component.families}
    if families.keys() != own.keys.keys() or not np.array_equal(
        own.group_of, _places([families[key] for key in own.keys])[group_of]
    ):
        raise InputError(f"its product groups are not those of {own.type}", field=component.type)
    dampeners = dict(zip(families, component.dampeners, strict=True))
    rows, constants, scales = [], [], []
    for key, g in own.keys.items():
        lines, taken, scale = _lines(component, families[key], group_of)
        if scale * dampeners[key] > WAIVED:
            raise InputError(
                "a dampener that 62 bits do not hold", field=f"{component.type}: {families[key].name}"[:200]
            )
        rows += [own.rows[g], np.vstack([lines, np.zeros((TAIL_LINES, lines.shape[1]), dtype=np.int64)])]
        constants += [own.constants[g], (*taken, scale * dampeners[key], WAIVED)]
        scales += [own.scales[g], scale]
    return replace(
        own,
        names=tuple(made for name in own.names for made in (name, f"tails of {name}")),
        keys={key: 2 * g for key, g in own.keys.items()},
        group_of=2 * own.group_of,
        rows=tuple(rows),
        constants=tuple(constants),
        scales=tuple(scales),
        offsets=True,
    )


def _places(families: Sequence[Family]) -> Int64Array:
    """For each risk group the number of its product group."""
    classes = {part.group: f for f, family in enumerate(families) for part in family.classes}
    return np.array([classes[g] for g in range(len(classes))], dtype=np.int64)


def _of_families(component: PublishedGainOffset, group_of: Int64Array) -> Lines:
    """Each product group, in the component's order, is a group of the layout."""
    place = _places(component.families)
    made = [_lines(component, family, group_of) for family in component.families]
    return Lines(
        type=component.type,
        names=tuple(family.name for family in component.families),
        keys={family.key: f for f, family in enumerate(component.families)},
        group_of=place[group_of],
        rows=tuple(rows for rows, _, _ in made),
        constants=tuple(constants for _, constants, _ in made),
        scales=tuple(scale for _, _, scale in made),
        offsets=True,
    )


def _lines(
    component: PublishedGainOffset, family: Family, group_of: Int64Array
) -> tuple[Int64Array, tuple[int, ...], int]:
    """Rows, constants and D_g of a product group: scenario by scenario, every choice of a line for each class."""
    lines = [_of_class(part) if len(family.classes) > 1 else [(SCALE_BP, 0)] for part in family.classes]
    field, scenarios = f"{component.type}: {family.name}"[:200], len(family.scenarios)
    count, most = prod(map(len, lines)), PACKED_COLUMNS * MAX_SCENARIOS
    if count * scenarios > 2 * most:  # before they are made: some choices may be left out
        raise InputError(
            f"{len(lines)} classes have {count} choices of a line in each of {scenarios} scenarios: "
            f"the chain layout has at most {most} rows in all",
            field=field,
        )
    choices = [choice for choice in product(*lines) if any(factor for factor, _ in choice)]
    common = gcd(SCALE_BP, *(x for part in lines for line in part for x in line))
    risk = component.risk.values[:, :scenarios].T.astype(object)
    rows = np.zeros((scenarios, len(choices), len(group_of)), dtype=object)
    for i, choice in enumerate(choices):
        for part, (factor, _) in zip(family.classes, choice, strict=True):
            rows[:, i] += np.where(group_of == part.group, risk, 0) * (factor // common)
    constants = [sum(taken for _, taken in choice) // common for choice in choices]
    if max(*constants, int(np.abs(rows).max(initial=0))) >= 1 << 63:
        raise InputError("a cap, or a scenario's value by its offset, that 64 bits do not hold", field=field)
    return (
        rows.reshape(scenarios * len(choices), -1).astype(np.int64),
        tuple(constants) * scenarios,
        SCALE_BP // common,
    )


def _of_class(part: OffsetClass) -> list[Line]:
    """max(L, a L, -cap) as lines: with a cap of 0, or an offset of 0, a gain counts for nothing."""
    if part.offset_bp == 0 or part.cap == 0:
        return [(SCALE_BP, 0), (0, 0)]
    found = [(SCALE_BP, 0)]
    if part.offset_bp < SCALE_BP:
        found.append((part.offset_bp, 0))
    if part.cap is not None:
        found.append((0, SCALE_BP * part.cap))
    return found


def minimums(lines: Lines, charges: Sequence[int] | Int64Array, groups: int) -> Int64Array:
    """int64 [groups, N]: the short option minimum of a short lot, 1/D_g of a money unit, in its group.

    Raises:
        InputError: it competes in a risk group that has no charge but that of its product group.
    """
    values = np.asarray(charges, dtype=np.int64)
    joint = {g for key, g in lines.keys.items() if isinstance(key, str)}
    found = np.zeros((groups, len(values)), dtype=np.int64)
    for g in range(len(lines.names)):
        own = np.where(lines.group_of == g, values, 0)
        if own.any() and g in joint:
            raise InputError(
                "competes in each risk group alone, which beside a product group has no cells in the chain layout",
                field="short_option_minimum",
            )
        found[g] = own * lines.scales[g]
    return found
