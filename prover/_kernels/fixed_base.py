"""Multi-scalar multiplication with bases that never change: the structured reference string.

The tables hold 2^(cj) P_i for all windows j. Not constant-time: scalars choose memory addresses (the prover runs on its
owner's machine).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import numpy.typing as npt

from zkmargin.prover._kernels import plain_msm, table_cache
from zkmargin.prover._kernels.base_field import ROW, Rows
from zkmargin.prover._kernels.buckets import place, recode, split_weights, weighted_sums
from zkmargin.prover._kernels.group_sums import Workspace, double_rows, sum_groups
from zkmargin.prover._kernels.kept import JIT_ENABLED
from zkmargin.prover._kernels.plain_msm import POINT_BYTES
from zkmargin.prover._kernels.points import bytes_from_rows, check_points, rows_from_bytes
from zkmargin.prover._kernels.scalar_field import slice_of, standard_blocks
from zkmargin.prover._kernels.vectors import Blocks, FieldVector, check_int64, int64_to_blocks, to_ints

SCALAR_BITS = 255
INTEGER_BITS = 64
WINDOWS = range(4, 15)

Int64Array = npt.NDArray[np.int64]
Scalars = FieldVector | Int64Array
_Job = list[tuple[int, Scalars]]


class FixedBaseTables:
    """n fixed points and, where numba compiles, uint64[windows * n, 16]: row j n + i holds 2^(window j) P_i.

    About ``n * 255 / window * 128`` bytes: 3 MB for 1024 points, 11 MB for 4096.
    """

    def __init__(self, points: bytes, rows: Rows, window: int, bits: int = SCALAR_BITS) -> None:
        self.n = len(points) // POINT_BYTES
        self.window, self.bits = window, bits
        self._points, self._rows = points, rows
        self._workspaces: list[Workspace] = []

    @classmethod
    def build(
        cls, points: bytes, *, window: int | None = None, cached: bool = False, bits: int = SCALAR_BITS
    ) -> FixedBaseTables:
        """Compute the tables of n points of 96 bytes (``prover._kernels.points``): ``bits`` n doublings.

        Args:
            points: x || y, big-endian, each; zeros for infinity.
            window: bits of a digit, 4 to 14. Chosen for sums over all n points; ``best_window(m)`` suits sums over m.
            cached: take the tables from the private directory if they are there in good order, else leave them there.
            bits: of a scalar; with fewer than 255 they take no field elements, with 64 any int64.

        Raises:
            TypeError, ValueError: as ``check_points``; or no points, another window, or bits outside [64, 255].
        """
        check_points(points)
        n = len(points) // POINT_BYTES
        c = best_window(n) if window is None else window
        if n == 0 or c not in WINDOWS or not INTEGER_BITS <= bits <= SCALAR_BITS:
            raise ValueError(f"no tables of {n} points with a window of {c} bits for scalars of {bits} bits")
        if not JIT_ENABLED:
            return cls(points, np.empty((0, ROW), dtype=np.uint64), c, bits)
        key, count = table_cache.table_key(points, c), (bits // c + 1) * n
        rows = table_cache.load(key, count) if cached else None
        base = rows_from_bytes(points)
        if rows is None or not np.array_equal(rows[:n], base):
            rows = np.empty((count, ROW), dtype=np.uint64)
            rows[:n] = base
            for first in range(0, count - n, n):
                double_rows(rows, first, n, c)
            if cached:
                table_cache.save(key, rows)
        return cls(points, rows, c, bits)

    def msm(self, scalars: Scalars) -> bytes:
        """sum_i scalars_i P_i over the first ``len(scalars)`` bases, 96 bytes; see ``msm_many``."""
        return self.msm_many([[(0, scalars)]])[0]

    def msm_small(self, values: Int64Array) -> bytes:
        """The same for signed 64-bit integers: the smaller they are, the faster; zeros cost nothing."""
        return self.msm(values)

    def msm_many(
        self, jobs: Sequence[Sequence[tuple[int, Scalars]]], *, threads: int = 1, pool: Executor | None = None
    ) -> list[bytes]:
        """One sum a job; doing many at once shares their inversions.

        Args:
            jobs: each a list of ``(first, scalars)``: these scalars for the bases first, first + 1, ... Scalars are a
                FieldVector or signed integers (int64).
            threads: so many parts of the work run at the same time. The result does not depend on it.
            pool: where all but one of them run, if it is at hand and none of its threads is busy.

        Returns:
            One point a job, 96 bytes x || y, big-endian; infinity is 96 zero bytes.

        Raises:
            TypeError, ValueError: scalars of another type or shape, or more of them than bases.
        """
        if type(threads) is not int or threads < 1:
            raise ValueError(f"not a number of threads: {threads}")
        for job in jobs:
            for first, scalars in job:
                self._check(first, scalars)
        if not JIT_ENABLED:
            return [self._plain(job) for job in jobs]
        schedule = self._schedule([list(job) for job in jobs], threads)
        if len(schedule) == 1:
            results = [self._sums([job for _, job in schedule[0]])]
        else:
            mine, *others = [[job for _, job in share] for share in schedule]
            with ExitStack() as stack:  # the kernels run without the GIL
                pool = pool or stack.enter_context(ThreadPoolExecutor(len(others)))
                running = pool.map(self._sums, others)
                results = [self._sums(mine), *running]
        owners = [owner for share in schedule for owner, _ in share]
        rows = np.concatenate(results)
        if len(owners) > len(jobs):  # pieces of jobs: add them up
            order = np.argsort(owners, kind="stable").astype(np.int32)
            bounds = np.searchsorted(np.array(owners)[order], np.arange(len(jobs) + 1)).astype(np.int32)
            rows = sum_groups(rows, 2 * order, bounds, Workspace())
        else:
            rows = rows[np.argsort(owners, kind="stable")]
        return bytes_from_rows(rows)

    def _schedule(self, jobs: list[_Job], threads: int) -> list[list[tuple[int, _Job]]]:
        """For each thread, pieces of work with the index of their job: whole jobs, or a slice of every job, if that is
        quicker.

        Counted in additions: one a digit (integers have about two), and two a bucket for each piece.
        """
        if threads == 1:
            return [list(enumerate(jobs))]
        buckets = 1 << self.window
        digits = [sum(self._digits(scalars) for _, scalars in job) for job in jobs]
        shares: list[list[tuple[int, _Job]]] = [[] for _ in range(min(threads, max(len(jobs), 1)))]
        loads = [0] * len(shares)
        for k in sorted(range(len(jobs)), key=lambda k: -digits[k]):
            lightest = loads.index(min(loads))
            shares[lightest].append((k, jobs[k]))
            loads[lightest] += digits[k] + buckets
        if max(loads) <= sum(digits) // threads + len(jobs) * buckets:
            return shares
        return [[(k, _piece(job, t, threads)) for k, job in enumerate(jobs)] for t in range(threads)]

    def _digits(self, scalars: Scalars) -> int:
        """About how many digits are not zero."""
        if isinstance(scalars, FieldVector):
            return int(scalars.memory.any(axis=1).sum()) * self._windows
        return 2 * int(np.count_nonzero(scalars))

    @property
    def _windows(self) -> int:
        return self.bits // self.window + 1

    def _check(self, first: int, scalars: Scalars) -> None:
        if isinstance(scalars, FieldVector) and self.bits < SCALAR_BITS:
            raise TypeError(f"tables for integers of {self.bits} bits take no field elements")
        count = len(scalars if isinstance(scalars, FieldVector) else check_int64(scalars))
        if type(first) is not int:
            raise TypeError(f"the index of a base is an int, not {type(first).__name__}")
        if not 0 <= first <= self.n - count:
            raise ValueError(f"{count} scalars from base {first} on, of {self.n}")

    def _plain(self, job: Sequence[tuple[int, Scalars]]) -> bytes:
        points = plain_msm.decode(self._points)
        chosen, factors = [], []
        for first, scalars in job:
            values = to_ints(scalars) if isinstance(scalars, FieldVector) else [int(x) for x in scalars]
            chosen += points[first : first + len(values)]
            factors += values
        return plain_msm.encode(plain_msm.signed_msm(chosen, factors))

    def _sums(self, jobs: list[_Job]) -> Rows:
        """One row a job, in this thread."""
        counts = np.zeros((len(jobs), (1 << (self.window - 1)) + 1), dtype=np.int32)
        recoded = []
        for job, mine in zip(jobs, counts, strict=True):
            for first, scalars in job:
                blocks, negative = _standard_form(scalars)
                m = len(negative)
                digits, lengths = np.empty((m, self._windows), dtype=np.int16), np.empty(m, dtype=np.int16)
                recode(digits, lengths, mine, blocks, negative, self.window)
                recoded.append((digits, lengths, first))
        counts[:, 0] = 0  # zero digits go nowhere
        offsets = np.zeros(counts.size + 1, dtype=np.int32)
        np.cumsum(counts.reshape(-1), out=offsets[1:])
        entries = np.empty(offsets[-1] + 1, dtype=np.int32)
        cursors = offsets[:-1].reshape(counts.shape).copy()
        cursors[:, 0] = offsets[-1]
        terms = iter(recoded)
        for job, mine in zip(jobs, cursors, strict=True):
            for _ in job:
                digits, lengths, first = next(terms)
                place(entries, mine, digits, lengths, first, self.n)
        low_bits = self.window // 2
        workspace = self._workspace()
        buckets = sum_groups(self._rows, entries, offsets, workspace)
        split, bounds = split_weights(counts.reshape(-1), len(jobs), self.window, low_bits)
        groups = sum_groups(buckets, split, bounds, workspace)
        self._workspaces.append(workspace)
        return weighted_sums(groups, len(jobs), low_bits)

    def _workspace(self) -> Workspace:
        """One that no other thread uses; a list's pop is atomic, asking for its length first would not be."""
        try:
            return self._workspaces.pop()
        except IndexError:
            return Workspace()


def _standard_form(scalars: Scalars) -> tuple[Blocks, npt.NDArray[np.bool_]]:
    """Absolute values as plain integers, and which of them are negative."""
    if isinstance(scalars, FieldVector):
        return standard_blocks(scalars), np.zeros(len(scalars), dtype=np.bool_)
    return int64_to_blocks(scalars)


def _piece(job: _Job, index: int, count: int) -> _Job:
    """Piece ``index`` of ``count`` equal slices of every part of a job."""
    pieces: _Job = []
    for first, scalars in job:
        bounds = [len(scalars) * k // count for k in range(count + 1)]
        start, stop = bounds[index], bounds[index + 1]
        part = slice_of(scalars, start, stop) if isinstance(scalars, FieldVector) else scalars[start:stop]
        pieces.append((first + start, part))
    return pieces


def best_window(n: int) -> int:
    """The window with the fewest additions for n full-width scalars: one a digit, two a bucket."""
    return min(WINDOWS, key=lambda c: n * (SCALAR_BITS // c + 1) + (1 << c))
