"""Sums of many points at once: affine additions in eight lanes that share their inversions.

    P1 + P2:  lambda = num / den,   x3 = lambda^2 - s,   y3 = lambda (x1 - x3) - y1
              num = y2 - y1,  den = x2 - x1,  s = x1 + x2;      to double, num = 3 x1^2,  den = 2 y1,  s = 2 x1

A chunk of additions inverts the product of its denominators once (Montgomery's trick). The exceptional cases get values
that make the same formula right, so the second pass has no branches: with num = 0, den = 1 it gives (-s, -y1).
"""

from __future__ import annotations

import numpy as np

from zkmargin.prover._kernels.ahead import kernel
from zkmargin.prover._kernels.base_field import (
    FIELD,
    LIMBS,
    ROW,
    Entries,
    P,
    Rows,
    load_points,
    prefetch_points,
    store_points,
)
from zkmargin.prover._kernels.inversion import invert_lanes
from zkmargin.prover._kernels.lane_sums import LaneSpace, cut, leave_over, sum_bundles
from zkmargin.prover._kernels.lowering import LANES, compiled_lanes
from zkmargin.prover._kernels.vectors import Blocks, to_blocks

_mul, _square, _add, _sub, _copy, _zero_lanes = (
    FIELD.mul,
    FIELD.square,
    FIELD.add,
    FIELD.sub,
    FIELD.copy,
    FIELD.zero_lanes,
)
# not reduced: num, den and s are read by products and one subtraction only
_apart, _lazy_sum, _sub_lazy, _modulus_lanes = FIELD.apart, FIELD.lazy_sum, FIELD.sub_lazy, FIELD.modulus_lanes
_ONE = to_blocks([FIELD.R % P] * LANES, LIMBS)
_ZERO = np.zeros((1, LIMBS, LANES), np.uint64)

#: Blocks of eight additions that share an inversion: 3 KB each, a chunk stays in the second-level cache.
CHUNK = 128
_PAIR = 2 * LANES
#: Blocks of a chunk's store per block of additions: x1, y1, s, num, den, the product of the denominators before.
_SLOTS = 6
#: Entries that ``_sum_pairs`` works on at a time.
RUN = 1 << 13
#: Points of a group on average from which on lanes are quicker. Never with four lanes a register: sixteen of those do
#: not hold what an addition in lanes keeps at hand.
SHORT = 6 if compiled_lanes() == LANES else 1 << 30
_X1, _Y1, _S, _NUM, _DEN, _PREFIX = range(_SLOTS)


@kernel
def _double_lanes(store: Blocks, at: int) -> None:
    """num, den and s of doubling, in all lanes, from x1, y1."""
    _square(store, at + _NUM, store, at + _X1)
    _add(store, at + _DEN, store, at + _NUM, store, at + _NUM)
    _add(store, at + _NUM, store, at + _NUM, store, at + _DEN)
    _add(store, at + _DEN, store, at + _Y1, store, at + _Y1)
    _add(store, at + _S, store, at + _X1, store, at + _X1)


@kernel
def _copy_lane(out: Blocks, i: int, a: Blocks, j: int, lane: int) -> None:
    for limb in range(LIMBS):
        out[i, limb, lane] = a[j, limb, lane]


@kernel
def _exceptional_lanes(store: Blocks, at: int, second: Blocks, spare: Blocks) -> None:
    """Rewrite the lanes of a block where the formula fails: a point is infinity, or x1 = x2.

    Args:
        store: the block's slots, prepared as for different points.
        at: the first slot.
        second: x2 and y2.
        spare: a scratch of ``_SLOTS`` + 3 blocks.
    """
    first_infinite, second_infinite = _zero_lanes(store, at + _Y1), _zero_lanes(second, 1)
    same_x = _modulus_lanes(store, at + _DEN)
    same_y = _modulus_lanes(store, at + _NUM)
    _copy(spare, _X1, store, at + _X1)
    _copy(spare, _Y1, store, at + _Y1)
    _double_lanes(spare, 0)
    for lane in range(LANES):
        bit = 1 << lane
        if first_infinite & bit:
            # (-s, -y1) = (x2, y2)
            _sub(spare, _SLOTS, _ZERO, 0, second, 0)
            _sub(spare, _SLOTS + 1, _ZERO, 0, second, 1)
            _copy_lane(store, at + _Y1, spare, _SLOTS + 1, lane)
        elif second_infinite & bit:
            # (-s, -y1) = (x1, y1)
            _sub(spare, _SLOTS, _ZERO, 0, spare, _X1)
            _sub(spare, _SLOTS + 1, _ZERO, 0, spare, _Y1)
            _copy_lane(store, at + _Y1, spare, _SLOTS + 1, lane)
        elif same_x & bit and same_y & bit:
            _copy_lane(store, at + _NUM, spare, _NUM, lane)
            _copy_lane(store, at + _DEN, spare, _DEN, lane)
            continue
        elif same_x & bit:
            # P - P: infinity
            _copy_lane(spare, _SLOTS, _ZERO, 0, lane)
            _copy_lane(store, at + _Y1, _ZERO, 0, lane)
        else:
            continue
        _copy_lane(store, at + _S, spare, _SLOTS, lane)
        _copy_lane(store, at + _NUM, _ZERO, 0, lane)
        _copy_lane(store, at + _DEN, _ONE, 0, lane)


@kernel
def _finish(out: Rows, targets: Entries, store: Blocks, start: int, count: int) -> None:
    """All but the preparation of a chunk: results go to the rows ``targets[start:]``.

    Two blocks at a time (``count`` is even), each with its own product of denominators: the processor works on both.
    """
    total, inverse = np.empty((2, LIMBS, LANES), np.uint64), np.empty((1, LIMBS, LANES), np.uint64)
    slope, point = np.empty((2, LIMBS, LANES), np.uint64), np.empty((4, LIMBS, LANES), np.uint64)
    for u in range(2):
        _copy(store, _SLOTS * u + _PREFIX, _ONE, 0)
    for i in range(0, count - 2, 2):
        for u in range(2):
            at = _SLOTS * (i + u)
            _mul(store, at + 2 * _SLOTS + _PREFIX, store, at + _PREFIX, store, at + _DEN)
    for u in range(2):
        at = _SLOTS * (count - 2 + u)
        _mul(total, u, store, at + _PREFIX, store, at + _DEN)
    _mul(inverse, 0, total, 0, total, 1)
    invert_lanes(inverse)
    _mul(slope, 0, inverse, 0, total, 1)
    _mul(total, 1, inverse, 0, total, 0)
    _copy(total, 0, slope, 0)
    for i in range(count - 2, -1, -2):
        for u in range(2):
            _mul(slope, u, total, u, store, _SLOTS * (i + u) + _PREFIX)
        for u in range(2):
            _mul(slope, u, slope, u, store, _SLOTS * (i + u) + _NUM)
        for u in range(2):
            _mul(total, u, total, u, store, _SLOTS * (i + u) + _DEN)
        for u in range(2):
            _square(point, 2 * u, slope, u)
        for u in range(2):
            at = _SLOTS * (i + u)
            _sub_lazy(point, 2 * u, point, 2 * u, store, at + _S)
            _apart(point, 2 * u + 1, store, at + _X1, point, 2 * u)
        for u in range(2):
            _mul(point, 2 * u + 1, point, 2 * u + 1, slope, u)
        for u in range(2):
            _sub(point, 2 * u + 1, point, 2 * u + 1, store, _SLOTS * (i + u) + _Y1)
            store_points(out, targets, start + LANES * (i + u), point, 2 * u)


@kernel
def add_rows(out: Rows, targets: Entries, rows: Rows, left: Entries, right: Entries, count: int) -> None:
    """``out[targets[k]] = rows[left[k]] + rows[right[k]]`` for k < count, exact for every input.

    ``left`` and ``right`` are entries (``load_points``). The three arrays have at least ``count`` rounded up to a
    multiple of sixteen elements: those after ``count`` are overwritten. ``out`` and ``rows`` may be one array if no
    target is read later.
    """
    if count == 0:
        return
    padded = (count + _PAIR - 1) // _PAIR * _PAIR
    for k in range(count, padded):  # repeat the last addition to fill its pair of blocks
        left[k], right[k], targets[k] = left[count - 1], right[count - 1], targets[count - 1]
    store = np.empty((CHUNK * _SLOTS, LIMBS, LANES), np.uint64)
    second = np.empty((2, LIMBS, LANES), np.uint64)
    spare = np.empty((_SLOTS + 3, LIMBS, LANES), np.uint64)
    for start in range(0, padded, CHUNK * LANES):
        blocks = min(CHUNK, (padded - start) // LANES)
        for i in range(blocks):
            at, k = _SLOTS * i, start + LANES * i
            ahead = min(k + 2 * LANES, padded - LANES)
            prefetch_points(rows, left, ahead)
            prefetch_points(rows, right, ahead)
            load_points(store, at + _X1, rows, left, k)
            load_points(second, 0, rows, right, k)
            _apart(store, at + _NUM, second, 1, store, at + _Y1)
            _apart(store, at + _DEN, second, 0, store, at + _X1)
            _lazy_sum(store, at + _S, second, 0, store, at + _X1)
            if _modulus_lanes(store, at + _DEN) | _zero_lanes(store, at + _Y1) | _zero_lanes(second, 1):
                _exceptional_lanes(store, at, second, spare)
        _finish(out, targets, store, start, blocks)


@kernel
def double_rows(rows: Rows, start: int, count: int, times: int) -> None:
    """``rows[start + count + k] = 2^times rows[start + k]`` for k < count."""
    padded = (count + _PAIR - 1) // _PAIR * _PAIR
    sources, targets = np.empty(padded, np.int32), np.empty(padded, np.int32)
    for k in range(padded):
        sources[k] = 2 * (start + min(k, count - 1))
        targets[k] = start + count + min(k, count - 1)
    store = np.empty((CHUNK * _SLOTS, LIMBS, LANES), np.uint64)
    for _ in range(times):
        for first in range(0, padded, CHUNK * LANES):
            blocks = min(CHUNK, (padded - first) // LANES)
            for i in range(blocks):
                at = _SLOTS * i
                load_points(store, at + _X1, rows, sources, first + LANES * i)
                _double_lanes(store, at)
                infinite = _zero_lanes(store, at + _Y1)
                if infinite:  # x1 = y1 = s = num = 0 already: with den = 1 the result is infinity again
                    for lane in range(LANES):
                        if infinite & (1 << lane):
                            _copy_lane(store, at + _DEN, _ONE, 0, lane)
            _finish(rows, targets, store, first, blocks)
        for k in range(padded):
            sources[k] = 2 * targets[k]


class Workspace:
    """Memory for the sums of one thread, kept between calls: fresh pages cost more than the additions."""

    def __init__(self) -> None:
        self._capacity = 0
        self._arrays: tuple[Rows, Rows, Entries] = _no_memory(0)
        self._lanes: LaneSpace | None = None

    def arrays(self, entries: int) -> tuple[Rows, Rows, Entries]:
        """For runs of so many entries: two arrays of rows, int32[3, entries / 2 + 16]."""
        if entries > self._capacity:
            self._capacity = entries
            self._arrays = _no_memory(entries)
        return self._arrays

    def lanes(self) -> LaneSpace:
        """For sums in lanes; 1.5 MB when first asked for."""
        if self._lanes is None:
            self._lanes = LaneSpace()
        return self._lanes


def _no_memory(entries: int) -> tuple[Rows, Rows, Entries]:
    # After a round at most half of the entries are left, plus one for each odd group of three or more.
    rows = 2 * entries // 3 + 1
    return (
        np.empty((rows, ROW), dtype=np.uint64),
        np.empty((rows, ROW), dtype=np.uint64),
        np.empty((3, entries // 2 + _PAIR), dtype=np.int32),
    )


def sum_groups(rows: Rows, entries: Entries, offsets: Entries, workspace: Workspace) -> Rows:
    """One row a group: the sum of ``rows[entries[offsets[g] : offsets[g+1]]]`` (infinity for an empty group).

    Nearly all of it is added in lanes (``prover._kernels.lane_sums``), the rest in pairs; all in pairs where groups
    are short, a point is infinite or two with the same x meet.
    """
    groups = len(offsets) - 1
    starts, lengths, owners, bundled = cut(offsets[: groups + 1 if offsets[-1] >= SHORT * groups else 1])
    if bundled:
        targets, copied, added, rest = leave_over(entries, starts, lengths, owners, bundled, groups)
        first = max(groups, int(targets.max()) + 1)
        result = np.zeros((first + len(copied), ROW), dtype=np.uint64)
        lanes = workspace.lanes()
        if sum_bundles(result, targets, rows, entries, starts, lengths, lanes.slots, lanes.store):
            copy_rows(result, first, rows, copied)
            _sum_pairs(result, result, added, rest, workspace)
            return result[:groups]
    result = np.zeros((groups, ROW), dtype=np.uint64)
    _sum_pairs(result, rows, entries, offsets, workspace)
    return result


def _sum_pairs(result: Rows, rows: Rows, entries: Entries, offsets: Entries, workspace: Workspace) -> None:
    """``result[g]`` is the sum of a group that is not empty; exact for every input.

    Pairwise, many groups in step: a round halves each, so there are log2(largest group) rounds. Groups are taken in
    runs of about ``RUN`` entries, so that the sums of one round are still in the cache in the next.
    """
    even, odd, plan = workspace.arrays(_largest_run(offsets))
    _sum_runs(result, rows, entries, offsets.copy(), even, odd, plan)


@kernel
def _largest_run(offsets: Entries) -> int:
    largest, first = 0, 0
    for g in range(1, len(offsets)):
        if offsets[g] - offsets[first] >= RUN or g == len(offsets) - 1:
            largest = max(largest, offsets[g] - offsets[first])
            first = g
    return largest


@kernel
def _sum_runs(
    result: Rows, rows: Rows, entries: Entries, bounds: Entries, even: Rows, odd: Rows, plan: Entries
) -> None:
    left, right, targets = plan[0], plan[1], plan[2]
    first, start = 0, 0
    for g in range(1, len(bounds)):
        stop = bounds[g]
        if stop - start >= RUN or g == len(bounds) - 1:
            bounds[first] = start
            count = _pair_up(result, even, rows, entries, bounds, first, g, left, right, targets)
            add_rows(even, targets, rows, left, right, count)
            while count > 0:
                count = _pair_up(result, odd, even, entries[:0], bounds, first, g, left, right, targets)
                add_rows(odd, targets, even, left, right, count)
                even, odd = odd, even
            first, start = g, stop


@kernel
def _pair_up(
    result: Rows,
    out: Rows,
    rows: Rows,
    entries: Entries,
    bounds: Entries,
    first: int,
    last: int,
    left: Entries,
    right: Entries,
    targets: Entries,
) -> int:
    """Plan one round for groups first..last-1: fill ``left``, ``right``, ``targets`` for ``add_rows`` and return their
    count.

    Group g is ``entries[bounds[g] : bounds[g+1]]``, or those rows themselves if there are no entries. A group of one is
    done and moves to ``result``; the odd one out of a larger group moves to ``out``. ``bounds`` becomes that of
    ``out``.
    """
    direct = len(entries) == 0
    count, length, start = 0, 0, bounds[first]
    bounds[first] = 0
    for g in range(first, last):
        stop = bounds[g + 1]
        for k in range(start, stop - 1, 2):
            left[count] = 2 * k if direct else entries[k]
            right[count] = 2 * k + 2 if direct else entries[k + 1]
            targets[count] = length
            count += 1
            length += 1
        if (stop - start) & 1:
            entry = 2 * (stop - 1) if direct else entries[stop - 1]
            if stop - start == 1:
                _copy_row(result, g, rows, entry)
            else:
                _copy_row(out, length, rows, entry)
                length += 1
        start = stop
        bounds[g + 1] = length
    return count


@kernel
def copy_rows(out: Rows, first: int, rows: Rows, entries: Entries) -> None:
    """``out[first + k]`` is the point of entry k."""
    for k in range(len(entries)):
        _copy_row(out, first + k, rows, entries[k])


@kernel
def _copy_row(out: Rows, i: int, rows: Rows, entry: int) -> None:
    """``out[i]`` is the point of an entry: its row, with y replaced by p - y for sign 1 (unless infinite)."""
    row = entry >> 1
    infinite = True
    for j in range(ROW):
        out[i, j] = rows[row, j]
        infinite &= rows[row, j] == 0
    if entry & 1 and not infinite:
        borrow = np.int64(0)
        for j in range(LIMBS):
            difference = _P_LIMBS[j] - np.int64(rows[row, LIMBS + j]) + borrow
            out[i, LIMBS + j] = difference & _MASK
            borrow = difference >> 52


_P_LIMBS = np.array(FIELD.p_limbs, dtype=np.int64)
_MASK = (1 << 52) - 1
