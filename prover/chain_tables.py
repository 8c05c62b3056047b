"""Tables of snapshots on the kernels: rows of small integers over [tau^a L_i(tau^4)]_1, without a transform.

A price row is 64-bit integers, so the tables of multiples go to 64 bits only, and a process that commits to nothing
else lays out nothing else. The few larger numbers are placements of the pinned point.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from py_arkworks_bls12381 import G1Point

from zkmargin.circuits.chain import ROWS, TABLE_PACK
from zkmargin.circuits.language.system import Int64Array
from zkmargin.crypto.group import msm
from zkmargin.crypto.srs import SRS
from zkmargin.prover._kernels.fixed_base import FixedBaseTables
from zkmargin.prover._kernels.plain_msm import POINT_BYTES
from zkmargin.prover.chain_rounds import Job, packed_lagrange
from zkmargin.prover.prove import default_threads
from zkmargin.verifier.chain.words import point_bytes

_BITS = 64
_WINDOW = 11
_INT64 = 1 << 63


class RowCommitter:
    """Commits four rows a point.

    Raises:
        ValueError: the SRS has fewer than 4096 powers.
    """

    def __init__(self, srs: SRS) -> None:
        if srs.powers < TABLE_PACK * ROWS:
            raise ValueError(f"a table needs {TABLE_PACK * ROWS} powers, the SRS has {srs.powers}")
        self._points = packed_lagrange(srs, TABLE_PACK)
        self._tables = FixedBaseTables.build(self._points, window=_WINDOW, bits=_BITS)

    def commit(self, packs: Sequence[Sequence[Sequence[int]]], threads: int) -> list[bytes]:
        """[sum_a tau^a R_a(tau^4)]_1 of rows by their values on H, 96 bytes each."""
        jobs: list[Job] = []
        large: list[list[tuple[int, int]]] = []
        for rows in packs:
            small, terms = _split([x for row in rows for x in row])
            jobs.append([(0, small)])
            large.append(terms)
        sums = self._tables.msm_many(jobs, threads=threads)
        return [self._with(point, terms) if terms else point for point, terms in zip(sums, large, strict=True)]

    def _with(self, point: bytes, terms: Sequence[tuple[int, int]]) -> bytes:
        """A point and a few terms more."""
        given = [(self._points[POINT_BYTES * i : POINT_BYTES * (i + 1)], x) for i, x in terms]
        given += [(point, 1)] if any(point) else []
        return point_bytes(msm([G1Point.from_xy_bytes_be(base) for base, _ in given], [x for _, x in given]))


def _split(values: list[int]) -> tuple[Int64Array, list[tuple[int, int]]]:
    """What 64 bits hold, zeros elsewhere, and the rest: (index, value)."""
    try:
        return np.array(values, dtype=np.int64), []
    except OverflowError:
        large = [(i, x) for i, x in enumerate(values) if not -_INT64 <= x < _INT64]
        for i, _ in large:
            values[i] = 0
        return np.array(values, dtype=np.int64), large


@lru_cache(maxsize=2)
def row_committer(srs: SRS) -> RowCommitter:
    """The committer of an SRS; the last two are kept."""
    return RowCommitter(srs)


def commit_rows_fast(srs: SRS, packs: Sequence[Sequence[Sequence[int]]]) -> list[bytes]:
    """``verifier.chain.table.commit_rows`` on the kernels: the same points."""
    return row_committer(srs).commit(packs, default_threads())
