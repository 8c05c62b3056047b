"""A snapshot in the chain layout: the integers that a table commits to, or by name why it has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from zkmargin.circuits.chain.layout import (
    BALANCE_DIGITS,
    CONSTANT_ROW,
    DIGIT_BITS,
    GROSS_MODES,
    MAX_ASSETS,
    MAX_FACTOR_BP,
    MAX_GROUPS,
    MAX_INSTRUMENTS,
    MAX_SCENARIOS,
    MINIMUM_INDEX,
    PACKED_COLUMNS,
    POSITION_DIGITS,
    ROWS,
    SLACK_DIGITS,
    TABLE_PACK,
    ChainLayout,
    GrossMode,
    fit,
)
from zkmargin.circuits.chain.lines import Lines, minimums
from zkmargin.circuits.language.system import Int64Array
from zkmargin.crypto.exact import CutMatrix
from zkmargin.crypto.scalars import Vector, vector
from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.components.base import PublishedPart
from zkmargin.engine.components.dampened_tails import PublishedDampenedTails
from zkmargin.engine.components.gain_offset import PublishedGainOffset
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.pools import GrossPools
from zkmargin.engine.components.short_option_minimum import PublishedShortOptionMinimum
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats.errors import InputError

Part = TypeVar("Part")

#: Why a component has no cells (docs/protocol-chain.md section 8), by its type.
_NO_CELLS = {
    **dict.fromkeys(
        ("calendar_charge", "inter_commodity_credit"),
        "the count of each spread is a hidden number of its own, which has no cells there",
    ),
    "skew_scenarios": "each expiry has hidden sides and a bit of its own, which have no cells there",
}
_OTHER = "no row of the table and no weight says what it charges"
_TAKES = (
    "it takes worst scenarios or gain offsets, dampened tails, a short option minimum, charges by size and haircuts"
)


@dataclass(frozen=True)
class ChainPrices:
    """What a snapshot says in a layout, for one requirement: the integers that a table commits to.

    Attributes:
        layout: where they go.
        rows: for each group int64 [4 K_g, 1024]: the risk row of each scenario, 1/D_g of a money unit, 0 outside the
            group and from S_g on; with gain offsets the constant of each row in its last place.
        marks: int64 [1024], money units a lot.
        minimums: int64 [2, 1024], the short option minimum of a short lot of the first two groups, 1/D_g.
        sides: int64 [1024] for each of the layout's ``side_rows``: the minimums of further groups, and what a lot held
            or sold is charged by size, in 10^-4 of a money unit.
        factor_bp: the requirement's factor.
        assets: M, listed rows of the collateral.
        long_value, short_value: four integers each, money units / 10^4 a lot held and owed; 0 beyond M.
        scales: D_g of each group: 1 but for product groups with gain offsets.
    """

    layout: ChainLayout
    rows: tuple[Int64Array, ...]
    marks: Int64Array
    minimums: Int64Array
    sides: tuple[Int64Array, ...]
    factor_bp: int
    assets: int
    long_value: tuple[int, ...]
    short_value: tuple[int, ...]
    scales: tuple[int, ...]

    @classmethod
    def of(cls, snapshot: Snapshot, requirement: str) -> ChainPrices:
        """Place a snapshot in the chain layout.

        Raises:
            InputError: names what does not fit, and why.
        """
        snapshot.refuse_retired("the chain profile")
        count = len(snapshot.instruments)
        fit("layout.domain_size", snapshot.layout.domain_size, ROWS, exactly=True, what="rows")
        fit("instruments", count, MAX_INSTRUMENTS, what="instruments")
        _count_groups(len(snapshot.groups))
        fit("layout.position_bits", snapshot.layout.position_bits, POSITION_DIGITS * DIGIT_BITS, what="position bits")
        fit("collateral", len(snapshot.collateral), MAX_ASSETS, what="collateral assets")
        for slot in snapshot.collateral:
            fit(f"asset {slot.asset} bits", slot.bits, BALANCE_DIGITS * DIGIT_BITS, what="bits of a balance")
        parts = [part for part in snapshot.components if part.applies_to(requirement)]
        minimum = _only(parts, PublishedShortOptionMinimum, "short_option_minimum")
        haircuts = _only(parts, PublishedHaircuts, "haircuts")
        worst, tails = _worst(parts), _only(parts, PublishedDampenedTails, "dampened_tails")
        for part in parts:
            taken = isinstance(part, (PublishedShortOptionMinimum, PublishedHaircuts, GrossPools))
            if part is not worst and part is not tails and not taken:
                raise InputError(
                    f"has no cells in the chain layout: {_NO_CELLS.get(part.type, _OTHER)}",
                    field=part.type,
                    hint=_TAKES,
                )
        if worst is None or haircuts is None:
            raise InputError("the chain layout takes a policy of worst scenarios and haircuts", field="policy")
        if haircuts.tiers:
            raise InputError("concentration tiers have no cells in the chain layout", field="haircuts.tiers")
        if minimum is not None and (minimum.mode != "floor" or minimum.strikes is not None):
            raise InputError(
                'the chain layout takes it per contract and as a floor (mode "floor")', field="short_option_minimum"
            )
        lines = Lines.of(worst, snapshot, tails)
        groups = len(lines.names)
        if tails is not None and groups > MAX_GROUPS:
            raise InputError(
                f"{groups // 2} product groups, each with its tails: the chain layout has at most {MAX_GROUPS // 2}",
                field=tails.type,
            )
        som = np.zeros((max(groups, PACKED_COLUMNS), ROWS), dtype=np.int64)
        if minimum is not None:
            som[:, :count] = minimums(lines, minimum.charge.values, len(som))
        scenarios = tuple(map(len, lines.rows))
        if lines.offsets and sum(scenarios) + groups > PACKED_COLUMNS * MAX_SCENARIOS:
            raise InputError(
                f"{' + '.join(map(str, scenarios))} lines of gain offsets{' and tails' if tails else ''} take "
                f"{sum(scenarios) + groups} indices: the chain layout has {PACKED_COLUMNS * MAX_SCENARIOS}",
                field=f"{worst.type}: {lines.names[0]}",
                hint="fewer scenarios, fewer classes in a product group or fewer lines a class",
            )
        for g, name in enumerate(lines.names):
            fit(f"{worst.type}: {name}", scenarios[g], MAX_SCENARIOS * (1 + lines.offsets), what="scenarios")
            if scenarios[g] == MAX_SCENARIOS and som[g].any() and not lines.offsets:
                raise InputError(
                    f"{MAX_SCENARIOS} scenarios leave no index for the short option minimum: at most "
                    f"{MAX_SCENARIOS - 1} beside one",
                    field=f"{worst.type}: {name}",
                )
        charges = gross_charges([part for part in parts if isinstance(part, GrossPools)], lines.keys)
        debts = [slot.negative_allowed for slot in snapshot.collateral] + [False] * MAX_ASSETS
        layout = ChainLayout(
            count,
            scenarios,
            (debts[0], debts[1], debts[2], debts[3]),
            tuple(charges),
            offsets=lines.offsets,
            tails=tails is not None,
        )
        rows = []
        for g, points in enumerate(layout.points):
            matrix = np.zeros((TABLE_PACK * points, ROWS), dtype=np.int64)
            matrix[: scenarios[g], :count] = lines.rows[g]
            matrix[: scenarios[g], CONSTANT_ROW] = lines.constants[g]
            rows.append(matrix)
        sides = [som[row.group] for row in layout.side_rows if row.offset == MINIMUM_INDEX]
        sides += [padded_row(row) for charged in charges.values() for row in charged]
        marks = np.zeros(ROWS, dtype=np.int64)
        marks[:count] = snapshot.marks.values
        values = [
            [*map(int, array.values), *[0] * MAX_ASSETS][:MAX_ASSETS]
            for array in (haircuts.long_value, haircuts.short_value)
        ]
        prices = cls(
            layout,
            tuple(rows),
            marks,
            som[:PACKED_COLUMNS],
            tuple(sides),
            snapshot.factor_bp(requirement),
            len(snapshot.collateral),
            tuple(values[0]),
            tuple(values[1]),
            lines.scales,
        )
        prices._check(lines, snapshot.layout.position_bits)
        return prices

    @cached_property
    def constants(self) -> tuple[tuple[int, ...], ...]:
        """What each row of each group has besides positions."""
        rows = zip(self.rows, self.layout.scenarios, strict=True)
        return tuple(tuple(row[:count, CONSTANT_ROW].tolist()) for row, count in rows)

    def _check(self, lines: Lines, position_bits: int) -> None:
        """Every honest integer fits its digits, and no table point is the point at infinity."""
        fit("factor", self.factor_bp, MAX_FACTOR_BP, what="basis points")
        bound = (1 << position_bits) - 1
        given = zip(self.layout.side_rows, self.sides, strict=True)
        whole = dict(enumerate(self.minimums)) | {row.group: values for row, values in given if not row.offset}
        for g, name in enumerate(lines.names):
            absolute = np.abs(self.rows[g][:, :CONSTANT_ROW].astype(object)).sum(axis=1)
            most = bound * max([*absolute.tolist(), *([int(whole[g].astype(object).sum())] if g in whole else [])])
            most += max(self.constants[g]) + self.scales[g]
            _fits(-(-most * self._largest_scale(g) // self.scales[g]), f"{lines.type}: {name}", "a loss")
            for k in range(self.layout.points[g]):
                if not self.rows[g][TABLE_PACK * k : TABLE_PACK * (k + 1)].any():
                    raise InputError(
                        f"scenarios {TABLE_PACK * k} to {TABLE_PACK * k + TABLE_PACK - 1} change no price: their table "
                        "point would be infinity, which contracts refuse",
                        field=f"{lines.type}: {name}",
                        hint="leave out scenarios without any effect, or spread them over the list",
                    )
        for row, values in zip(self.layout.side_rows, self.sides, strict=True):
            if row.offset:
                most = 2 * bound * int(values.astype(object).sum()) * self._largest_scale(row.group)
                _fits(most, f"gross_charge: {lines.names[row.group]}", "a size by its rates")
        for k in range(self.layout.side_points):
            if not any(values.any() for values in self.sides[TABLE_PACK * k : TABLE_PACK * (k + 1)]):
                raise InputError(
                    "a table point of rows of zeros would be infinity, which contracts refuse",
                    field="short_option_minimum" if not self.layout.gross else "gross_charge",
                    hint="leave out what charges nothing",
                )
        for j, (long_value, short_value) in enumerate(zip(self.long_value, self.short_value, strict=True)):
            if not 0 <= long_value <= short_value:
                raise InputError("an asset owed would count less than held", field=f"haircuts: asset {j}")

    def _largest_scale(self, g: int) -> int:
        """What a money unit counts at most where the charge of a group, or its tails, stand."""
        return max(self.scales[g - g % 2 : g - g % 2 + 2]) if self.layout.tails else self.scales[g]

    @cached_property
    def folding(self) -> Int64Array:
        """int64 [4 * 1024, K_0 + K_1]: row ``1024 a + i`` holds what instrument i has in row a of each table point."""
        blocks = [
            rows.reshape(points, TABLE_PACK, ROWS) for rows, points in zip(self.rows, self.layout.points, strict=True)
        ]
        return np.ascontiguousarray(np.concatenate(blocks).transpose(1, 2, 0).reshape(TABLE_PACK * ROWS, -1))

    @cached_property
    def cut(self) -> CutMatrix:
        """``folding`` as ``crypto.exact.bilinear`` takes it."""
        return CutMatrix.of(self.folding)

    @cached_property
    def price_vectors(self) -> list[Vector]:
        """marks, som_0, som_1 as scalars."""
        return [vector(row) for row in self.price_rows()[:3]]

    @cached_property
    def side_vectors(self) -> list[Vector]:
        """The rows of ``sides`` as scalars."""
        return [vector(row.tolist()) for row in self.sides]

    def side_packs(self) -> list[list[list[int]]]:
        """The rows of ``sides``, four for each of their points."""
        rows = [row.tolist() for row in self.sides]
        rows += [[0] * ROWS] * (-len(rows) % TABLE_PACK)
        return [rows[k : k + TABLE_PACK] for k in range(0, len(rows), TABLE_PACK)]

    def price_rows(self) -> list[list[int]]:
        """[marks, som_0, som_1, 1]: the last one is the constant 1, so that no table has the point at infinity here."""
        return [self.marks.tolist(), self.minimums[0].tolist(), self.minimums[1].tolist(), [1] * ROWS]


def gross_charges(parts: Sequence[GrossPools], keys: Mapping[int | str, int]) -> dict[GrossMode, list[Int64Array]]:
    """What each lot held and each lot sold is charged by size, in 10^-4 of a money unit, by mode.

    A floor has two rows a group, one for each side, the others two. A charge that is added is rounded up once, as the
    engine rounds it: so several in one mode are taken only where at most one has fractions of a money unit. ``keys``
    says which group of the layout a floor's own group is.

    Raises:
        InputError: a charge that is no rate on sizes, or two that are rounded apart.
    """
    found: dict[GrossMode, list[Int64Array]] = {}
    groups = max(keys.values()) + 1
    for mode in GROSS_MODES:
        chosen = [part for part in parts if part.mode == mode]
        if not chosen:
            continue
        rows = np.zeros((2 * (groups if mode == "floor" else 1), len(chosen[0].pool.values)), dtype=object)
        broken = 0
        for part in chosen:
            made = _rates(part, keys)
            rows = rows + (made if mode == "floor" else made.reshape(groups, 2, -1).sum(axis=0))
            broken += bool((made % SCALE_BP).any())
        if (mode == "floor" and len(chosen) > 1) or broken > 1:
            why = "each floor competes alone" if mode == "floor" else "each is rounded up to a whole money unit"
            raise InputError(f"{len(chosen)} charges by size, {why}: the chain layout has one index", field=mode)
        if (rows >= 1 << 63).any():
            raise InputError("a rate of a lot that 64 bits do not hold", field=chosen[0].type)
        charged = [2 * g + side for g in sorted(set(keys.values())) for side in (0, 1)]  # not groups of tails
        found[mode] = list(rows.astype(np.int64)[charged if mode == "floor" else [0, 1]])
    return found


def _rates(part: GrossPools, keys: Mapping[int | str, int]) -> npt.NDArray[np.object_]:
    """object [2 groups, N]: by group what a lot held is charged, and a lot sold, in 10^-4 of a money unit."""
    if SCALE_BP % part.scale:
        raise InputError(f"counts in 1/{part.scale} of a money unit: the chain layout in 1/{SCALE_BP}", field=part.type)
    pool = part.pool.values
    found = np.zeros((2 * (max(keys.values()) + 1), len(pool)), dtype=object)
    for place, one in enumerate(part.pools):
        if len(one.lines) > 1 or one.lines[0].start:
            raise InputError("tiers of a size have no cells in the chain layout", field=f"{part.type}: {one.name}")
        if part.mode == "floor" and one.group not in keys:
            alone = isinstance(one.group, int)
            raise InputError(
                f"a floor of {'a class alone, beside its' if alone else 'a'} product group has no cells in the chain "
                "layout",
                field=f"{part.type}: {one.name}",
            )
        group = keys.get(one.group, 0)
        slope = one.lines[0].slope * (SCALE_BP // part.scale)
        for side, sizes in enumerate((part.long.values, part.short.values)):
            found[2 * group + side] += np.where(pool == place, sizes, 0).astype(object) * slope
    return found


def _worst(parts: Sequence[PublishedPart]) -> PublishedWorstScenario | PublishedGainOffset | None:
    """The component of the scenarios."""
    worst = _only(parts, PublishedWorstScenario, "worst_scenario")
    tails = PublishedDampenedTails
    offsets = _only([part for part in parts if not isinstance(part, tails)], PublishedGainOffset, "gain_offset")
    if worst is not None and offsets is not None:
        raise InputError("beside worst scenarios: the chain layout takes one of them", field="gain_offset")
    return offsets or worst


def _count_groups(count: int) -> None:
    if count > MAX_GROUPS:
        raise InputError(
            f"{count} risk groups: the chain layout has at most {MAX_GROUPS}",
            field="groups",
            hint="each group has a column of cells and table points of its own",
        )


def padded_row(row: Int64Array) -> Int64Array:
    """With zeros up to 1024 rows."""
    return np.concatenate([row, np.zeros(ROWS - len(row), dtype=np.int64)])


def _fits(most: int, field: str, what: str) -> None:
    if 2 * most >= 1 << (SLACK_DIGITS * DIGIT_BITS):
        raise InputError(
            f"{what} can have {most.bit_length()} bits, more than a slack's {SLACK_DIGITS * DIGIT_BITS - 1}",
            field=field,
            hint="use fewer position bits or larger lots",
        )


def _only(parts: Sequence[object], kind: type[Part], name: str) -> Part | None:
    """The component of a kind, if there is one. InputError for two."""
    found = [part for part in parts if isinstance(part, kind)]
    if len(found) > 1:
        raise InputError(f"{len(found)} components of this kind: the chain layout takes one", field=name)
    return found[0] if found else None
