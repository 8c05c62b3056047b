"""Sums of groups in lanes: the same rows, bit for bit, as pairwise additions that are exact for every input."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from py_arkworks_bls12381 import G1Point, Scalar

from zkmargin.crypto.field import r
from zkmargin.prover._kernels import group_sums, lane_points, lane_sums, points
from zkmargin.prover._kernels.base_field import ROW, Entries, P, Rows

pytestmark = pytest.mark.compiled

LOGS = [pow(3, 50 + i, r) for i in range(60)]
SIZES = {
    "none": [0, 0, 0],
    "alike": [9] * 24,
    "every length": list(range(70)),
    "one of many": [1] * 40 + [700] + [2] * 9,
    "pieces and rests": [130, 0, 3, 64, 65, 128, 7, 1, 2, 63, 66, 5, 4, 4, 4, 4, 190, 12],
    # each wave as many additions of its level as it can have, all in one step
    "full steps": [size for k in (33, 17, 9, 5, 3, 2) for size in [k] * (8 * -(-lane_sums.WAVE // k))],
    "several waves": [17 + i % 5 for i in range(500)],
}


def encoded(log: int) -> bytes:
    return bytes((G1Point() * Scalar.from_le_bytes((log % r).to_bytes(32, "little"))).to_xy_bytes_be())


@pytest.fixture(scope="module")
def rows() -> Rows:
    return points.rows_from_bytes(b"".join(encoded(x) for x in LOGS))


def groups_of(sizes: list[int], step: int = 7919) -> tuple[Entries, Entries]:
    """Entries that walk over all points and both signs, and offsets."""
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    walk = np.arange(offsets[-1], dtype=np.int64)
    return (walk * step % len(LOGS) * 2 + (walk * walk // 3 & 1)).astype(np.int32), offsets


def in_pairs(rows: Rows, entries: Entries, offsets: Entries, monkeypatch: pytest.MonkeyPatch) -> Rows:
    with monkeypatch.context() as context:
        context.setattr(group_sums, "SHORT", 1 << 30)
        return group_sums.sum_groups(rows, entries, offsets, group_sums.Workspace())


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_lanes_and_pairs_give_the_same_rows(rows: Rows, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    entries, offsets = groups_of(sizes)
    expected = in_pairs(rows, entries, offsets, monkeypatch)
    monkeypatch.setattr(group_sums, "SHORT", 0)
    workspace = group_sums.Workspace()
    for _ in range(2):  # the second time over what the first has left in memory
        assert np.array_equal(group_sums.sum_groups(rows, entries, offsets, workspace), expected)
    logs = [(-1) ** (entry & 1) * LOGS[entry >> 1] for entry in entries.tolist()]
    for g in range(0, len(sizes), 29):
        assert points.bytes_from_rows(expected[g : g + 1]) == [encoded(sum(logs[offsets[g] : offsets[g + 1]]))]


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_bundles_hold_what_they_can(sizes: list[int]) -> None:
    entries, offsets = groups_of(sizes)
    starts, lengths, owners, bundled = lane_sums.cut(offsets)
    assert bundled % 8 == 0
    assert max(lengths.tolist(), default=0) <= lane_sums.PIECE
    assert lengths.tolist() == sorted(lengths.tolist(), reverse=True)
    assert np.bincount(owners, lengths, len(sizes)).tolist() == sizes
    assert sum(length > 1 for length in lengths.tolist()) - bundled in range(8)
    targets, copied, added, rest = lane_sums.leave_over(entries, starts, lengths, owners, bundled, len(sizes))
    shortest = lengths[:bundled].reshape(-1, 8)[:, -1] if bundled else lengths[:0]
    assert len(copied) == sum(sizes) - 8 * int(shortest.sum())
    assert len(set(added.tolist())) == len(added) == rest[-1]
    assert len(added) == len(copied) + int((targets >= len(sizes)).sum())


@pytest.mark.parametrize("defect", ["equal", "opposite", "infinite", "partial sums"])
def test_where_the_formula_fails_the_sum_is_right(rows: Rows, defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entries, offsets = groups_of([16] * 16)
    if defect == "infinite":
        rows = rows.copy()
        rows[entries[37] >> 1] = 0
    else:
        first = int(offsets[5])
        here = {"equal": [4, 4], "opposite": [4, 5], "partial sums": [4, 6, 6, 4]}[defect]
        entries[first : first + len(here)] = here
    expected = in_pairs(rows, entries, offsets, monkeypatch)
    starts, lengths, owners, bundled = lane_sums.cut(offsets)
    targets, *_ = lane_sums.leave_over(entries, starts, lengths, owners, bundled, 16)
    space, out = lane_sums.LaneSpace(), np.zeros((16, ROW), dtype=np.uint64)
    assert not lane_sums.sum_bundles(out, targets, rows, entries, starts, lengths, space.slots, space.store)
    monkeypatch.setattr(group_sums, "SHORT", 0)
    assert np.array_equal(group_sums.sum_groups(rows, entries, offsets, group_sums.Workspace()), expected)


def test_a_step_has_room_for_every_addition() -> None:
    for depth in range(lane_points.LEVELS):
        for k in range(1, lane_sums.PIECE + 1):
            assert len(range(0, k - (1 << depth), 2 << depth)) * ((1 << depth) + 1) <= k
    slots = lane_sums.WAVE + lane_sums.PIECE
    assert sum(slots / ((1 << depth) + 1) for depth in range(lane_points.LEVELS)) <= lane_sums.STEP


def test_the_bounds_of_the_levels_leave_room_in_the_limbs() -> None:
    R = 1 << 416
    for level, bound in enumerate(lane_points.BOUNDS[:-1]):
        after = lane_points.BOUNDS[level + 1]
        # x3 < p + p / 2^17 + 2 B p, and what goes into a product by one that is below 2 p leaves it below p + p / 2^17
        assert after * P >= P + P // 2**17 + 2 * bound * P
        assert 2 * P * (bound + after) * P < R * P // 2**17
        assert 2 * after * P < R


def limbs(block: npt.NDArray[np.uint64]) -> list[int]:
    return [sum(int(limb) << (52 * j) for j, limb in enumerate(lane)) for lane in block.T.tolist()]


def test_the_blocks_to_add_are_multiples_of_p() -> None:
    for level, bound in enumerate(lane_points.BOUNDS):
        assert limbs(lane_points.BIAS[level]) == [bound * P] * 8
        assert limbs(lane_points.TWICE[level]) == [2 * bound * P] * 8
