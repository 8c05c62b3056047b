"""From scalars to buckets and from bucket sums to results: the two ends of a fixed-base MSM.

With tables of 2^(cj) P_i, sum_i s_i P_i with s_i = sum_j d_ij 2^(cj) is a single sum of d_ij (2^(cj) P_i), |d_ij| <=
2^(c-1). All terms of the same |d| go to one bucket, whatever i and j: sum_w w B_w is left, over at most 2^(c-1)
buckets. Writing w = low + 2^k high, that is sum_low low G_low + 2^k sum_high high G'_high, where the G are sums of
buckets again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zkmargin.prover._kernels.ahead import kernel
from zkmargin.prover._kernels.base_field import FIELD, LIMBS, ROW, Entries, P, Rows, load_points, store_points
from zkmargin.prover._kernels.inversion import invert_lanes
from zkmargin.prover._kernels.lowering import LANES, LIMB_BITS
from zkmargin.prover._kernels.vectors import LIMBS as SCALAR_LIMBS
from zkmargin.prover._kernels.vectors import Blocks, to_blocks

_mul, _add, _sub, _copy, _zero_lanes = FIELD.mul, FIELD.add, FIELD.sub, FIELD.copy, FIELD.zero_lanes
_ONE = to_blocks([FIELD.R % P] * LANES, LIMBS)
_TWELVE = to_blocks([12 * FIELD.R % P] * LANES, LIMBS)
_LANE_PAIRS = LANES // 2


@kernel
def recode(
    digits: npt.NDArray[np.int16],
    lengths: npt.NDArray[np.int16],
    counts: Entries,
    scalars: Blocks,
    negative: npt.NDArray[np.bool_],
    window: int,
) -> None:
    """Signed digits, |d| <= 2^(window-1), lowest first, and how often each |d| occurs. Free of branches on the digits.

    Args:
        digits: int16[m, windows], out; windows * window is more than the bits of any scalar.
        lengths: int16[m], out: digits from there on are zero and not written.
        counts: int32[2^(window-1) + 1], added to.
        scalars: m integers in standard form, uint64[blocks, 5, 8].
        negative: bool[m], whether the scalar's sign is minus.
        window: bits of a digit, at most 15.
    """
    half = 1 << (window - 1)
    windows = digits.shape[1]
    limbs, shifts = np.empty(windows, np.int64), np.empty(windows, np.int64)
    for j in range(windows):  # once: a division takes longer than a digit
        limbs[j], shifts[j] = window * j // LIMB_BITS, window * j % LIMB_BITS
    padded = np.zeros(SCALAR_LIMBS + 2, np.int64)
    for i in range(len(negative)):
        block, lane = i // LANES, i % LANES
        top = 0
        for k in range(SCALAR_LIMBS):
            padded[k] = scalars[block, k, lane]
            if padded[k] != 0:
                top = k + 1
        length = min(windows, (LIMB_BITS * top + window - 1) // window + 1) if top else 0
        lengths[i] = length
        flip = -np.int64(negative[i])
        carry = np.int64(0)
        for j in range(length):
            limb, shift = min(limbs[j], SCALAR_LIMBS), shifts[j]
            bits = padded[limb] >> shift | padded[limb + 1] << (LIMB_BITS - shift)
            digit = (bits & (2 * half - 1)) + carry
            carry = (digit + half - 1) >> window  # 1 if the digit is above half
            digit -= carry << window
            digits[i, j] = (digit ^ flip) - flip
            counts[(digit ^ digit >> 63) - (digit >> 63)] += 1


@kernel
def place(
    entries: Entries,
    cursors: Entries,
    digits: npt.NDArray[np.int16],
    lengths: npt.NDArray[np.int16],
    first_row: int,
    stride: int,
) -> None:
    """Sort into buckets: digit j of scalar i is entry 2 (first_row + i + stride j) + sign, put at ``cursors[|digit|]``.

    A cursor moves on with each entry, except that of zero, which points to a place that is not used.
    """
    for i in range(len(lengths)):
        for j in range(lengths[i]):
            digit = np.int64(digits[i, j])
            sign = digit >> 63
            weight = (digit ^ sign) - sign
            entries[cursors[weight]] = 2 * (first_row + i + stride * j) - sign
            cursors[weight] += weight != 0


@kernel
def split_weights(counts: Entries, jobs: int, window: int, low_bits: int) -> tuple[Entries, Entries]:
    """Entries and offsets for ``sum_groups`` that add buckets of equal low, and of equal high, part of the weight.

    Args:
        counts: int32[jobs * (2^(window-1) + 1)], how many entries each bucket had; empty ones are left out.
        jobs: number of results.
        window: bits of a digit.
        low_bits: bits of the low part.

    Returns:
        Groups in the order job, half (0 low, 1 high), digit - 1, with 2^low_bits digits a half.
    """
    buckets, digits = (1 << (window - 1)) + 1, 1 << low_bits
    entries = np.empty(2 * len(counts), np.int32)
    offsets = np.zeros(jobs * 2 * digits + 1, np.int32)
    length, group = 0, 0
    for job in range(jobs):
        for half in range(2):
            for digit in range(1, digits + 1):
                first, last, step = digit << low_bits, (digit + 1) << low_bits, 1
                if half == 0:  # a low part is below 2^low_bits
                    first, last, step = digit, buckets if digit < digits else 0, digits
                for weight in range(first, min(last, buckets), step):
                    bucket = job * buckets + weight
                    if counts[bucket] > 0:
                        entries[length] = 2 * bucket
                        length += 1
                group += 1
                offsets[group] = length
    return entries[:length], offsets


@kernel
def _complete_add(a: Blocks, b: Blocks, t: Blocks) -> None:
    """a += b in projective coordinates (blocks X, Y, Z), complete: Renes, Costello and Batina 2016, algorithm 7."""
    _mul(t, 0, a, 0, b, 0)
    _mul(t, 1, a, 1, b, 1)
    _mul(t, 2, a, 2, b, 2)
    _add(t, 3, a, 0, a, 1)
    _add(t, 4, b, 0, b, 1)
    _mul(t, 3, t, 3, t, 4)
    _add(t, 4, t, 0, t, 1)
    _sub(t, 3, t, 3, t, 4)  # X1 Y2 + X2 Y1
    _add(t, 4, a, 1, a, 2)
    _add(t, 5, b, 1, b, 2)
    _mul(t, 4, t, 4, t, 5)
    _add(t, 5, t, 1, t, 2)
    _sub(t, 4, t, 4, t, 5)  # Y1 Z2 + Y2 Z1
    _add(t, 5, a, 0, a, 2)
    _add(t, 6, b, 0, b, 2)
    _mul(t, 5, t, 5, t, 6)
    _add(t, 6, t, 0, t, 2)
    _sub(t, 5, t, 5, t, 6)  # X1 Z2 + X2 Z1
    _add(t, 6, t, 0, t, 0)
    _add(t, 0, t, 6, t, 0)  # 3 X1 X2
    _mul(t, 2, t, 2, _TWELVE, 0)  # 3 b Z1 Z2, b = 4
    _add(t, 6, t, 1, t, 2)
    _sub(t, 1, t, 1, t, 2)
    _mul(t, 5, t, 5, _TWELVE, 0)
    _mul(t, 2, t, 4, t, 5)
    _mul(t, 7, t, 3, t, 1)
    _sub(a, 0, t, 7, t, 2)
    _mul(t, 5, t, 5, t, 0)
    _mul(t, 1, t, 1, t, 6)
    _add(a, 1, t, 1, t, 5)
    _mul(t, 0, t, 0, t, 3)
    _mul(t, 6, t, 6, t, 4)
    _add(a, 2, t, 6, t, 0)


@kernel
def _swap_lanes(out: Blocks, a: Blocks, mask: int) -> None:
    """The point (blocks X, Y, Z) of lane l of ``out`` is that of lane l xor mask of ``a``."""
    for coordinate in range(3):
        for j in range(LIMBS):
            for lane in range(LANES):
                out[coordinate, j, lane] = a[coordinate, j, lane ^ mask]


@kernel
def _set_infinite(a: Blocks, first: int, lanes: int) -> None:
    """Blocks X, Y, Z from ``first`` on become (0, 1, 0) in the lanes of a mask."""
    for lane in range(LANES):
        if lanes & (1 << lane):
            for j in range(LIMBS):
                a[first, j, lane], a[first + 1, j, lane], a[first + 2, j, lane] = 0, _ONE[0, j, lane], 0


@kernel
def _join_parts(total: Blocks, running: Blocks, parts: int, steps: int, t: Blocks) -> None:
    """From sum_u u G and sum_u G, u <= steps, of each part p of a range of digits (lane mod ``parts``), to the whole.

    In every lane of a range ``total`` becomes the sum over its parts of sum_u (p steps + u) G.
    """
    double, other = np.empty((3, LIMBS, LANES), np.uint64), np.empty((3, LIMBS, LANES), np.uint64)
    _swap_lanes(double, running, 0)
    _complete_add(double, running, t)
    odd, upper = 0, 0
    for lane in range(LANES):
        odd |= (lane % parts & 1) << lane
        upper |= (lane % parts >> 1) << lane
    _set_infinite(running, 0, ~odd)
    _set_infinite(double, 0, ~upper)
    _complete_add(running, double, t)  # p sum_u G, p < 4
    while steps > 1:
        _swap_lanes(other, running, 0)
        _complete_add(running, other, t)
        steps >>= 1
    _complete_add(total, running, t)
    mask = 1
    while mask < parts:
        _swap_lanes(other, total, mask)
        _complete_add(total, other, t)
        mask *= 2


@kernel
def weighted_sums(groups: Rows, jobs: int, low_bits: int) -> Rows:
    """One row a job: sum_v v low_v + 2^low_bits sum_v v high_v, v from 1 to 2^low_bits, ``groups`` as in
    ``split_weights``.

    Four jobs at a time: their low halves in lanes 0 to 3, the high halves in lanes 4 to 7. One or two jobs have the
    lanes of four: each takes a part of the digits.
    """
    parts = max(1, _LANE_PAIRS // max(jobs, 1))
    digits, steps = 1 << low_bits, (1 << low_bits) // parts
    results = np.zeros((jobs, ROW), np.uint64)
    running, total = np.empty((3, LIMBS, LANES), np.uint64), np.empty((3, LIMBS, LANES), np.uint64)
    point, t = np.empty((3, LIMBS, LANES), np.uint64), np.empty((8, LIMBS, LANES), np.uint64)
    entries, targets = np.empty(LANES, np.int32), np.empty(LANES, np.int32)
    affine = np.empty((LANES, ROW), np.uint64)
    for first in range(0, jobs, _LANE_PAIRS // parts):
        _set_infinite(running, 0, -1)
        _set_infinite(total, 0, -1)
        for step in range(steps - 1, -1, -1):
            for lane in range(LANES):
                job = min(first + lane % _LANE_PAIRS // parts, jobs - 1)
                digit = lane % parts * steps + step
                entries[lane] = 2 * ((2 * job + lane // _LANE_PAIRS) * digits + digit)
            load_points(point, 0, groups, entries, 0)
            infinite = _zero_lanes(point, 1)
            _copy(point, 2, _ONE, 0)
            _set_infinite(point, 0, infinite)
            _complete_add(running, point, t)
            _complete_add(total, running, t)
        if parts > 1:
            _join_parts(total, running, parts, steps, t)
        # 2^low_bits times the high halves, moved to the lanes of their low halves
        _swap_lanes(point, total, _LANE_PAIRS)
        for _ in range(low_bits):
            _swap_lanes(running, point, 0)
            _complete_add(point, running, t)
        _complete_add(total, point, t)
        infinite = _zero_lanes(total, 2)
        for lane in range(LANES):
            targets[lane] = lane
            if infinite & (1 << lane):
                for j in range(LIMBS):
                    total[0, j, lane], total[1, j, lane], total[2, j, lane] = 0, 0, _ONE[0, j, lane]
        _copy(t, 0, total, 2)
        invert_lanes(t)
        _mul(total, 0, total, 0, t, 0)
        _mul(total, 1, total, 1, t, 0)
        store_points(affine, targets, 0, total, 0)
        for job in range(min(_LANE_PAIRS // parts, jobs - first)):
            for j in range(ROW):
                results[first + job, j] = affine[parts * job, j]
    return results
