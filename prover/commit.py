"""Commitments of the prover's polynomials over fixed bases: the powers of tau and the Lagrange points of a domain.

A column is committed in the Lagrange basis, where small integers stay small and rows with one common value can be left
out; everything else in the monomial basis. Both give the same point. Tables of the bases are made once a process
(milliseconds); the Lagrange points, which take about a second, are kept on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import lru_cache

from zkmargin.crypto.commitment import kept_lagrange_basis
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.srs import SRS
from zkmargin.prover import _kernels as K
from zkmargin.prover._kernels import first_use
from zkmargin.prover._kernels.fixed_base import FixedBaseTables, Scalars, best_window
from zkmargin.prover._kernels.plain_msm import POINT_BYTES

#: Blinders and the tail of T make polynomials this much longer than n, at most.
TAIL = 8
_P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
_COORDINATE_BYTES = 48

#: What is committed in one go: scalars for the bases from a place on (``FixedBaseTables.msm_many``).
Job = list[tuple[int, Scalars]]


class Committer:
    """Commits polynomials and columns over one domain of one SRS.

    Raises:
        ValueError: the SRS has too few powers for the domain.
    """

    def __init__(self, srs: SRS, n: int) -> None:
        count = n + TAIL
        if count > srs.powers:
            raise ValueError(f"a domain of {n} rows needs {count} powers, the SRS has {srs.powers}")
        first_use.helped()  # it starts while the Lagrange points are computed
        powers = bytes(srs.g1_bytes[: count * POINT_BYTES])
        self.n = n
        self._lagrange = count
        self._tables = FixedBaseTables.build(powers + kept_lagrange_basis(srs, Domain.of(n)), window=best_window(n))

    def polynomial(self, coefficients: K.FieldVector) -> Job:
        """[p(tau)]_1."""
        return [(0, coefficients)]

    def column(self, values: Scalars, blinders: Sequence[int], common: int = 0) -> Job:
        """[p(tau) + (b_0 + b_1 tau + ...) Z_H(tau)]_1 for the n values of p on H.

        Rows whose value is ``common`` (elements only) cost nothing: the Lagrange polynomials sum to 1, so p is
        common + sum_i (p_i - common) L_i.
        """
        if common and isinstance(values, K.FieldVector):
            values = K.sub(values, K.constant(common, self.n))
        low = [-b for b in blinders]
        low[0] += common
        return [(self._lagrange, values), (0, K.from_ints(low)), (self.n, K.from_ints(blinders))]

    def commit(self, jobs: Sequence[Job], threads: int, pool: Executor | None = None) -> tuple[bytes, ...]:
        """The compressed commitments of several jobs, which share their work (``FixedBaseTables.msm_many``)."""
        return tuple(compressed(point) for point in self.points(jobs, threads, pool))

    def points(self, jobs: Sequence[Job], threads: int, pool: Executor | None = None) -> list[bytes]:
        """The same as x || y, big-endian; infinity is 96 zero bytes."""
        return self._tables.msm_many(jobs, threads=threads, pool=pool)


@lru_cache(maxsize=4)
def committer(srs: SRS, n: int) -> Committer:
    """The committer of an SRS and a domain; the last few are kept."""
    return Committer(srs, n)


def compressed(point: bytes) -> bytes:
    """zcash compression of x || y: the top bits say compressed, infinity, and whether y is the larger root."""
    x, y = point[:_COORDINATE_BYTES], int.from_bytes(point[_COORDINATE_BYTES:], "big")
    if not any(point):
        return bytes([0xC0]) + bytes(_COORDINATE_BYTES - 1)
    flags = 0x80 | (0x20 if y > _P // 2 else 0)
    return bytes([x[0] | flags]) + x[1:]
