"""Multi-scalar multiplication with bases that never change: the structured reference string.

The tables hold 2^(cj) P_i for all windows j. Not constant-time: scalars choose memory addresses (the prover runs on its owner's
machine).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prover._kernels.base_field import ROW, Rows
from prover._kernels.buckets import place, recode, split_weights, weighted_sums
from prover._kernels.group_sums import Workspace, double_rows, sum_groups
from prover._kernels.points import bytes_from_rows, rows_from_bytes
from prover._kernels.scalar_field import standard_blocks
from prover._kernels.vectors import Blocks, FieldVector, check_int64, int64_to_blocks

SCALAR_BITS = 255
Int64Array = npt.NDArray[np.int64]
Scalars = FieldVector | Int64Array


@dataclass(frozen=True, slots=True)
class _Term:
    """Scalars in standard form with their signs, for the bases from ``first`` on."""

    scalars: Blocks
    negative: npt.NDArray[np.bool_]
    first: int


class FixedBaseTables:
    """Tables of n points: ``rows`` is uint64[windows * n, 16], row j n + i holds 2^(window j) P_i."""

    def __init__(self, rows: Rows, n: int, window: int) -> None:
        self.rows, self.n, self.window = rows, n, window
        self.windows = SCALAR_BITS // window + 1
        self._workspaces: list[Workspace] = []

    @classmethod
    def build(cls, points: bytes, *, window: int | None = None) -> FixedBaseTables:
        """Compute the tables of n points of 96 bytes (``prover._kernels.points``): 255 n doublings.

        Raises:
            TypeError, ValueError: as ``rows_from_bytes``; or no points.
        """
        base = rows_from_bytes(points)
        n = len(base)
        if n == 0:
            raise ValueError("tables of no points")
        c = window or best_window(n)
        tables = cls(np.empty(((SCALAR_BITS // c + 1) * n, ROW), dtype=np.uint64), n, c)
        tables.rows[:n] = base
        for j in range(tables.windows - 1):
            double_rows(tables.rows, j * n, n, c)
        return tables

    def msm(self, scalars: Scalars) -> bytes:
        """sum_i scalars_i P_i over the first ``len(scalars)`` bases: 96 bytes (zeros for infinity)."""
        return self.msm_many([[(0, scalars)]])[0]

    def msm_many(self, jobs: Sequence[Sequence[tuple[int, Scalars]]], *, threads: int = 1) -> list[bytes]:
        """One sum a job; doing many at once shares their inversions.

        Args:
            jobs: each a list of ``(first, scalars)``: these scalars for the bases first, first + 1, ... Scalars are a FieldVector
                or signed integers (int64), whose cost grows with their size; zeros are free.
            threads: at most so many jobs, or halves of one, run at the same time. The result does not depend on it.

        Raises:
            TypeError, ValueError: scalars of another type or shape, or more of them than bases.
        """
        terms = [[self._term(first, scalars) for first, scalars in job] for job in jobs]
        if not terms:
            return []
        if threads <= 1 or len(terms) == 1:
            return bytes_from_rows(self._sums(terms))
        parts = [terms[k::threads] for k in range(min(threads, len(terms)))]
        rows = np.empty((len(terms), ROW), dtype=np.uint64)
        with ThreadPoolExecutor(threads) as pool:
            for k, part in enumerate(pool.map(self._sums, parts)):
                rows[k::threads] = part
        return bytes_from_rows(rows)

    def _term(self, first: int, scalars: Scalars) -> _Term:
        if isinstance(scalars, FieldVector):
            blocks, negative = standard_blocks(scalars), np.zeros(len(scalars), dtype=np.bool_)
        else:
            positive, magnitude = int64_to_blocks(scalars)
            blocks, negative = positive | magnitude, check_int64(scalars) < 0
        if not 0 <= first <= self.n - len(negative):
            raise ValueError(f"{len(negative)} scalars from base {first} on, of {self.n}")
        return _Term(blocks, negative, first)

    def _sums(self, jobs: list[list[_Term]]) -> Rows:
        """One row a job."""
        counts = np.zeros((len(jobs), (1 << (self.window - 1)) + 1), dtype=np.int32)
        recoded = []
        for job, mine in zip(jobs, counts, strict=True):
            for term in job:
                m = len(term.negative)
                digits, lengths = np.empty((m, self.windows), dtype=np.int16), np.empty(m, dtype=np.int16)
                recode(digits, lengths, mine, term.scalars, term.negative, self.window)
                recoded.append((digits, lengths, term.first))
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
        workspace = self._workspaces.pop() if self._workspaces else Workspace()
        buckets = sum_groups(self.rows, entries, offsets, workspace)
        split, bounds = split_weights(counts.reshape(-1), len(jobs), self.window, low_bits)
        groups = sum_groups(buckets, split, bounds, workspace)
        self._workspaces.append(workspace)
        return weighted_sums(groups, len(jobs), low_bits)


def best_window(n: int) -> int:
    """The window with the fewest additions for n full-width scalars: n 255/c into buckets, 2 * 2^(c-1) to weigh them."""
    return min(range(4, 15), key=lambda c: n * (SCALAR_BITS // c + 1) + (1 << c))
