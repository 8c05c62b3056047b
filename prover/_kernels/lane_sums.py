"""Sums of groups of points, eight groups at a time, one in each lane.

Long groups are cut into *pieces* of at most ``PIECE`` points; pieces are sorted by length, and eight neighbours make a
*bundle*: as many points of each as the shortest has. A bundle is summed pairwise, and no point leaves its lane before
the end, so only the first level gathers rows and only the last one scatters them. What is left over, a point here and
there and the pieces of long groups, is for ``group_sums``.

Bundles come in *waves* of about ``WAVE`` slots (eight points each). A step takes the first level of one wave together
with the second of the wave before, and so on: all of a step's additions share one inversion, whatever their level.
"""

from __future__ import annotations

import numpy as np

from zkmargin.prover._kernels.ahead import kernel, part
from zkmargin.prover._kernels.base_field import FIELD, LIMBS, Entries, P, Rows, prefetch_points, store_points
from zkmargin.prover._kernels.inversion import invert_lanes
from zkmargin.prover._kernels.lane_points import (
    BIAS,
    LEVELS,
    TWICE,
    abscissa,
    denominator,
    load_level0,
    ordinate,
    product,
    slope,
)
from zkmargin.prover._kernels.lowering import LANES
from zkmargin.prover._kernels.vectors import Blocks, to_blocks

PIECE = 1 << LEVELS
WAVE = 128
#: Additions worked on side by side.
CHAINS = 4
#: Waves that are not done at a time; a wave ends with the bundle that fills it.
_RING = LEVELS
_RING_SLOTS = WAVE + PIECE
#: At most so many additions a step: of level d a bundle of k points has at most k / (2^d + 1), and the sum of those
#: fractions is 1.24.
STEP = 5 * _RING_SLOTS // 4
_ONE = to_blocks([FIELD.R % P] * LANES, LIMBS)
_mul, _copy, _zero_lanes = FIELD.mul, FIELD.copy, FIELD.zero_lanes
_AHEAD = 4


class LaneSpace:
    """Memory for the sums of one thread: points in lanes, and denominators with their products."""

    def __init__(self) -> None:
        self.slots: Blocks = np.empty((2 * _RING * _RING_SLOTS, LIMBS, LANES), np.uint64)
        self.store: Blocks = np.empty((2 * (STEP + CHAINS), LIMBS, LANES), np.uint64)


@kernel
def cut(offsets: Entries) -> tuple[Entries, Entries, Entries, int]:
    """Pieces of all groups, longest first.

    Args:
        offsets: group g is the entries from ``offsets[g]`` to ``offsets[g + 1]``.

    Returns:
        The first entry, the length and the group of each piece, and how many of them fill bundles: a multiple of
        eight, each of two points at least.
    """
    groups = len(offsets) - 1
    pieces = 0
    places = np.zeros(PIECE + 2, np.int32)
    for g in range(groups):
        size = offsets[g + 1] - offsets[g]
        count = (size + PIECE - 1) // PIECE
        pieces += count
        for k in range(count):
            places[size * (k + 1) // count - size * k // count] += 1
    total = 0
    for length in range(PIECE, 0, -1):
        places[length], total = total, total + places[length]
    bundled = places[1] // LANES * LANES  # those of one point come last
    starts, lengths, owners = np.empty(pieces, np.int32), np.empty(pieces, np.int32), np.empty(pieces, np.int32)
    for g in range(groups):
        first, size = offsets[g], offsets[g + 1] - offsets[g]
        count = (size + PIECE - 1) // PIECE
        for k in range(count):
            begin, end = size * k // count, size * (k + 1) // count
            place = places[end - begin]
            places[end - begin] += 1
            starts[place], lengths[place], owners[place] = first + begin, end - begin, g
    return starts, lengths, owners, bundled


@kernel
def leave_over(
    entries: Entries, starts: Entries, lengths: Entries, owners: Entries, bundled: int, groups: int
) -> tuple[Entries, Entries, Entries, Entries]:
    """What ``group_sums`` has to add afterwards.

    Returns:
        The row for the sum of each bundled piece: its group's own, or, where the group has more to add, one from
        ``groups`` on. Then the entries left over, to be copied to the rows after those. Then rows of each group to be
        added up, as entries and offsets.
    """
    pieces = len(starts)
    rest = np.zeros(groups + 1, np.int32)  # rows that a group adds up, unless it is one sum
    over = 0
    for k in range(pieces):
        shortest = lengths[k // LANES * LANES + LANES - 1] if k < bundled else 0
        rest[owners[k] + 1] += lengths[k] - shortest + (k < bundled)
        over += lengths[k] - shortest
    targets, copied = np.empty(bundled, np.int32), np.empty(over, np.int32)
    extra = groups
    alone = np.zeros(groups, np.bool_)
    for k in range(bundled):
        if rest[owners[k] + 1] == 1:
            targets[k] = owners[k]
            alone[owners[k]] = True
        else:
            targets[k] = extra
            extra += 1
    for g in range(groups):
        if alone[g]:
            rest[g + 1] = 0
    offsets = np.cumsum(rest).astype(np.int32)
    cursors = offsets.copy()
    added = np.empty(offsets[groups], np.int32)
    over = 0
    for k in range(pieces):
        g = owners[k]
        shortest = 0
        if k < bundled:
            shortest = lengths[k // LANES * LANES + LANES - 1]
            if targets[k] >= groups:
                added[cursors[g]] = 2 * targets[k]
                cursors[g] += 1
        for i in range(shortest, lengths[k]):
            copied[over] = entries[starts[k] + i]
            added[cursors[g]] = 2 * (extra + over)
            cursors[g] += 1
            over += 1
    return targets, copied, added, offsets


@kernel
def sum_bundles(
    result: Rows,
    targets: Entries,
    rows: Rows,
    entries: Entries,
    starts: Entries,
    lengths: Entries,
    slots: Blocks,
    store: Blocks,
) -> bool:
    """``result[targets[k]]`` is the sum of as many points of piece k as the shortest piece of its bundle has.

    Returns:
        False where a point is infinite or two points of a sum have the same x: ``result`` is worth nothing then.
    """
    bundles = len(targets) // LANES
    bases, waves = np.empty(bundles, np.int32), np.zeros(bundles + 1, np.int32)
    sizes = np.empty(bundles, np.int32)
    count, used = 0, 0  # waves begun; slots of the last one
    for b in range(bundles):
        if used == 0 or used >= WAVE:
            waves[count] = b
            count += 1
            used = 0
        sizes[b] = lengths[LANES * b + LANES - 1]
        bases[b] = (count - 1) % _RING * _RING_SLOTS + used
        used += sizes[b]
    waves[count] = bundles
    lane_entries = np.empty(LANES * (_RING_SLOTS + _AHEAD), np.int32)
    left, right, level = np.empty(STEP, np.int32), np.empty(STEP, np.int32), np.empty(STEP, np.int32)
    for step in range(count + LEVELS - 1 if count else 0):
        additions = 0
        for depth in range(LEVELS):
            wave = step - depth
            if not 0 <= wave < count:
                continue
            if depth == 0 and not _load(
                slots, rows, entries, starts, bases, sizes, waves[wave], waves[wave + 1], lane_entries
            ):
                return False
            for b in range(waves[wave], waves[wave + 1]):
                for i in range(0, sizes[b] - (1 << depth), 2 << depth):
                    left[additions], right[additions] = bases[b] + i, bases[b] + i + (1 << depth)
                    level[additions] = depth
                    additions += 1
        if not _add_slots(slots, store, left, right, level, additions):
            return False
        for depth in range(LEVELS):
            wave = step - depth
            if 0 <= wave < count:
                for b in range(waves[wave], waves[wave + 1]):
                    if (1 << depth) < sizes[b] <= (2 << depth):
                        at = 2 * bases[b]
                        _mul(slots, at, slots, at, _ONE, 0)  # below p again
                        _mul(slots, at + 1, slots, at + 1, _ONE, 0)
                        store_points(result, targets, LANES * b, slots, at)
    return True


@part
def _load(
    slots: Blocks,
    rows: Rows,
    entries: Entries,
    starts: Entries,
    bases: Entries,
    sizes: Entries,
    first: int,
    last: int,
    lane_entries: Entries,
) -> bool:
    """The points of the bundles first..last-1 into their slots, which follow each other. False if one is infinite."""
    count = 0
    for b in range(first, last):
        for lane in range(LANES):
            start = starts[LANES * b + lane]
            for i in range(sizes[b]):
                lane_entries[LANES * (count + i) + lane] = entries[start + i]
        count += sizes[b]
    for i in range(min(_AHEAD, count)):
        prefetch_points(rows, lane_entries, LANES * i)
    infinite = 0
    for i in range(count):
        if i + _AHEAD < count:
            prefetch_points(rows, lane_entries, LANES * (i + _AHEAD))
        infinite |= load_level0(slots, 2 * (bases[first] + i), rows, lane_entries, LANES * i)
    return infinite == 0


@part
def _add_slots(slots: Blocks, store: Blocks, left: Entries, right: Entries, level: Entries, count: int) -> bool:
    """``slots[left[o]] += slots[right[o]]`` for o < count, with one inversion. False if it does not exist.

    ``CHAINS`` products of denominators, each of every so manieth addition, so that the processor works on several.
    """
    if count == 0:
        return True
    total, inverse = np.empty((CHAINS, LIMBS, LANES), np.uint64), np.empty((2, LIMBS, LANES), np.uint64)
    slopes, partial = np.empty((2 * CHAINS, LIMBS, LANES), np.uint64), np.empty((CHAINS, LIMBS, LANES), np.uint64)
    for u in range(CHAINS):
        _copy(store, 2 * u + 1, _ONE, 0)
    for o in range(count):
        x1, x2, after = 2 * left[o], 2 * right[o], 2 * (o + CHAINS) + 1
        denominator(store, 2 * o, store, after, slots, x2, slots, x1, BIAS, level[o], store, 2 * o + 1)
    _copy(partial, 0, store, 2 * count + 1)
    for u in range(1, CHAINS):
        _mul(partial, u, partial, u - 1, store, 2 * (count + u) + 1)
    if _zero_lanes(partial, CHAINS - 1):
        return False
    _copy(inverse, 0, partial, CHAINS - 1)
    invert_lanes(inverse)
    for u in range(CHAINS - 1, 0, -1):
        product(total, (count + u) % CHAINS, inverse, 0, partial, u - 1)
        product(inverse, 0, inverse, 0, store, 2 * (count + u) + 1)
    _copy(total, count % CHAINS, inverse, 0)
    for first in range((count - 1) // CHAINS * CHAINS, -1, -CHAINS):
        stop = min(first + CHAINS, count)
        for o in range(first, stop):
            product(slopes, o - first, total, o - first, store, 2 * o + 1)
        for o in range(first, stop):
            y1, y2 = 2 * left[o] + 1, 2 * right[o] + 1
            slope(slopes, o - first, slots, y2, slots, y1, BIAS, level[o], slopes, o - first)
        for o in range(first, stop):
            product(total, o - first, total, o - first, store, 2 * o)
        for o in range(first, stop):
            u, x1, x2 = o - first, 2 * left[o], 2 * right[o]
            abscissa(
                slots, x1, slopes, CHAINS + u, slopes, u, slots, x1, slots, x2, TWICE, level[o], BIAS, level[o] + 1
            )
        for o in range(first, stop):
            u, y1 = o - first, 2 * left[o] + 1
            ordinate(slots, y1, slopes, u, slopes, CHAINS + u, slots, y1, BIAS, level[o])
    return True
