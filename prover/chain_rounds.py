"""What the fast provers of ``chain/v1`` and ``chain-joint/v1`` share: commitments, columns, quotient, openings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from zkmargin.circuits.chain import COLUMN_PACK, POSITION_DIGITS, ROWS, TABLE_PACK, ChainPrices, digit_columns
from zkmargin.circuits.language.system import Column, Int64Array
from zkmargin.circuits.language.witness import Witness
from zkmargin.crypto.commitment import lagrange_points
from zkmargin.crypto.domain import Domain, evaluate
from zkmargin.crypto.field import GENERATOR, inverse, powers, r
from zkmargin.crypto.segments import segment_rows
from zkmargin.crypto.srs import SRS
from zkmargin.prover import _kernels as K
from zkmargin.prover._kernels import table_cache
from zkmargin.prover._kernels.fixed_base import FixedBaseTables, best_window
from zkmargin.prover._kernels.plain_msm import POINT_BYTES
from zkmargin.prover._kernels.points import bytes_from_rows, rows_from_bytes
from zkmargin.prover.polynomials import ProverError, blinded, divided
from zkmargin.prover.profile import Profile
from zkmargin.verifier.chain.closed_forms import TableValues
from zkmargin.verifier.chain.openings import Divisors
from zkmargin.verifier.chain.transcript import Rounds

POWERS = TABLE_PACK * ROWS
COSET = 4 * ROWS
#: deg T <= 3 n + 4.
QUOTIENT_LENGTH = 3 * ROWS + 5
OMEGA = Domain.of(ROWS).omega

#: Coefficients of a column with its two blinders.
COLUMN_LENGTH = ROWS + 2

Job = list[tuple[int, "K.FieldVector | Int64Array"]]
#: Commits jobs under names for a profile: 96 bytes each.
Commit = Callable[[Sequence[str], Sequence[Job]], list[bytes]]


class ChainCommitter:
    """Commits over the powers of tau, and packed columns of small integers over [tau^a L_i(tau^3)]_1.

    Raises:
        ValueError: the SRS has fewer than 4096 powers.
    """

    def __init__(self, srs: SRS) -> None:
        if srs.powers < POWERS:
            raise ValueError(f"the chain protocol needs {POWERS} powers, the SRS has {srs.powers}")
        monomials = bytes(srs.g1_bytes[: POWERS * POINT_BYTES])
        self._tables = FixedBaseTables.build(
            monomials + packed_lagrange(srs, COLUMN_PACK), window=best_window(3 * ROWS)
        )

    def packed(self, columns: Sequence[tuple[Int64Array, Sequence[int]] | None]) -> Job:
        """[sum_a tau^a (f_a(tau^3) + b_a(tau^3) Z_H(tau^3))]_1 for up to three columns with two blinders each."""
        job: Job = []
        low = [0] * (2 * COLUMN_PACK)
        for a, given in enumerate(columns):
            if given is not None:
                values, blinders = given
                job.append((POWERS + a * ROWS, values))
                for j, b in enumerate(blinders):
                    low[a + COLUMN_PACK * j] = b
        high = K.from_ints(low)
        return [*job, (0, K.neg(high)), (COLUMN_PACK * ROWS, high)]

    def commit(self, jobs: Sequence[Job], threads: int) -> list[bytes]:
        """96 bytes a job."""
        return self._tables.msm_many(jobs, threads=threads)


def recording(bases: ChainCommitter, profile: Profile, threads: int) -> Commit:
    """``commit``, under names that a profile keeps with the sizes."""

    def commit(names: Sequence[str], jobs: Sequence[Job]) -> list[bytes]:
        profile.msms += [(name, sum(len(x) for _, x in job)) for name, job in zip(names, jobs, strict=True)]
        return bases.commit(jobs, threads)

    return commit


@lru_cache(maxsize=2)
def chain_committer(srs: SRS) -> ChainCommitter:
    """The committer of an SRS; the last two are kept."""
    return ChainCommitter(srs)


def packed_lagrange(srs: SRS, pack: int) -> bytes:
    """[tau^a L_i(tau^pack)]_1, a < pack, 96 bytes each; kept on disk, since deriving them takes seconds."""
    name = {COLUMN_PACK: b"columns", TABLE_PACK: b"table rows"}[pack]
    key = hashlib.sha256(b"lagrange points of packed " + name + b", " + srs.digest).digest()
    count = pack * ROWS
    rows = table_cache.load(key, count)
    if rows is not None:
        return b"".join(bytes_from_rows(rows))
    tau = srs.g1_powers(count)
    found = [lagrange_points(tau[a::pack], Domain.of(ROWS)) for a in range(pack)]
    points = b"".join(bytes(point.to_xy_bytes_be()) for part in found for point in part)
    table_cache.save(key, rows_from_bytes(points))
    return points


@dataclass(frozen=True)
class Opened:
    """Everything that is opened, in the order of the powers of gamma.

    Attributes:
        D: Z_H(zeta) T and the commitments.
        columns: points of up to three columns each, 1026 coefficients a column.
        phi: the running sum.
        tables: fold, pinned, price and side points: four rows each.
        remainders: of all of these.
    """

    D: K.FieldVector
    columns: Sequence[Sequence[K.FieldVector]]
    phi: K.FieldVector
    tables: Sequence[Sequence[K.FieldVector]]
    remainders: Sequence[list[int]]


def open_all(
    opened: Opened, values: TableValues, zeta: int, gamma: int, commit: Commit, transcript: Rounds
) -> tuple[bytes, bytes]:
    """Messages 5 and 6: W = sum_i gamma^i (p_i - r_i) / Z_i and, at the x that follows, W'."""
    count = len(opened.columns)
    gammas = powers(gamma, len(opened.remainders))
    cubes = [
        combine([(p[a], g) for p, g in zip(opened.columns, gammas[1:], strict=False) if a < len(p)], COLUMN_LENGTH)
        for a in range(COLUMN_PACK)
    ]
    fourths = [
        combine([(table[a], g) for table, g in zip(opened.tables, gammas[count + 2 :], strict=True)], ROWS)
        for a in range(TABLE_PACK)
    ]
    W_poly = combine(
        [
            (divided(opened.D, zeta, opened.remainders[0][0]), 1),
            (K.interleave([K.divide_by_linear(p, zeta)[0] for p in cubes]), 1),
            (_twicedivided(opened.phi, zeta, values), gammas[count + 1]),
            (K.interleave([K.divide_by_linear(p, zeta)[0] for p in fourths]), 1),
        ],
        POWERS,
    )
    (W,) = commit(["W"], [[(0, K.slice_of(W_poly, 0, POWERS - TABLE_PACK))]])
    x = transcript.round5(W)
    divisors = Divisors(x, zeta)
    linear, cube, both, fourth = divisors.scales(1, columns=1, tables=1)
    L = combine(
        [
            (opened.D, linear),
            (K.interleave(cubes), cube),
            (opened.phi, gammas[count + 1] * both % r),
            (K.interleave(fourths), fourth),
            (W_poly, r - 1),
        ],
        POWERS,
    )
    value = 0
    for scale, p in zip(
        divisors.scales(gamma, columns=count, tables=len(opened.tables)), opened.remainders, strict=True
    ):
        value += scale * evaluate(p, x)
    (W_shifted,) = commit(["W'"], [[(0, divided(L, x, value % r))]])
    return W, W_shifted


def refuse_infinity(points: Sequence[bytes]) -> None:
    """ProverError where a message is the point at infinity, which no verifier takes."""
    if not all(any(point) for point in points):
        raise ProverError("a message is the point at infinity: draw again")


def witness_columns(prices: ChainPrices, witness: Witness, num: int, den: int) -> list[Int64Array]:
    """The digit columns of a witness. Raises ProverError where the claim is false for it."""
    try:
        return digit_columns(prices, witness, num, den)
    except ValueError as error:
        raise ProverError(str(error)) from None


def combine(terms: Sequence[tuple[K.FieldVector, int]], length: int) -> K.FieldVector:
    """sum scale * vector, padded to a length."""
    total = K.constant(0, length)
    for vector, scale in terms:
        total = K.add_scaled(total, K.pad(vector, length) if len(vector) < length else vector, scale)
    return total


def _twicedivided(phi: K.FieldVector, zeta: int, values: TableValues) -> K.FieldVector:
    """(phi - its line through zeta and omega zeta) / ((X - zeta) (X - omega zeta))."""
    once = divided(phi, zeta, values.phi)
    return K.divide_by_linear(once, OMEGA * zeta % r)[0]


def weighted_sum(columns: Sequence[K.FieldVector]) -> K.FieldVector:
    """f_0 + n f_1 + n^2 f_2."""
    total = columns[0]
    for d in range(1, POSITION_DIGITS):
        total = K.add_scaled(total, columns[d], ROWS**d)
    return total


def sum_of(vectors: Sequence[K.FieldVector]) -> K.FieldVector:
    """Their sum."""
    total = vectors[0]
    for vector in vectors[1:]:
        total = K.add(total, vector)
    return total


def table_rows(prices: ChainPrices) -> list[list[list[int]]]:
    """The rows of the pinned, the price and the side points."""
    return [prices.layout.pinned_rows(), prices.price_rows(), *prices.side_packs()]


def fixed_rows(prices: ChainPrices) -> list[list[int]]:
    """t, sel_p, sel_c on H."""
    t, sel_p, _, _ = prices.layout.pinned_rows()
    return [t, sel_p, [int(j >= prices.assets) for j in range(ROWS)]]


def unlisted(prices: ChainPrices) -> K.FieldVector:
    """sel_p on H: 1 in rows without an instrument."""
    return K.from_ints(fixed_rows(prices)[1])


@lru_cache(maxsize=1)
def integers() -> K.FieldVector:
    """0 .. 1023: the range table."""
    return K.from_int64(np.arange(ROWS, dtype=np.int64))


@lru_cache(maxsize=16)
def on_coset(rows: tuple[int, ...]) -> K.FieldVector:
    """The polynomial with these values on H, on the coset of 4096 points."""
    return lift(K.intt(K.from_ints(rows)))


def lift(p: K.FieldVector) -> K.FieldVector:
    """A polynomial on the coset."""
    return K.coset_ntt(p, COSET, GENERATOR)


def committed_book(witness: Witness, blinders: Mapping[Column, int]) -> tuple[K.FieldVector, ...]:
    """Positions and collateral on H, then as the polynomials that are committed."""
    roles = ("positions", "collateral")
    rows = [K.from_int64(segment_rows(getattr(witness, role), ROWS, 0)) for role in roles]
    return (*rows, *(blinded(row, [blinders[f"{role}[0]"]]) for role, row in zip(roles, rows, strict=True)))


def side_values(prices: ChainPrices, sides: Sequence[Sequence[K.FieldVector]], zeta: int) -> tuple[int, ...]:
    """The side rows at zeta, without the rows of zeros that fill their last point."""
    found = [K.evaluate(p, zeta) for pack in sides for p in pack]
    return tuple(found[: len(prices.layout.side_rows)])


def quotient(side: K.FieldVector) -> K.FieldVector:
    """T of T Z_H = side, given on the coset. Raises ProverError where Z_H does not divide."""
    T = K.coset_intt(K.mul(side, vanishing_inverse()), GENERATOR)
    if not K.is_zero(K.slice_of(T, QUOTIENT_LENGTH, COSET)):
        raise ProverError("an identity does not hold on every row: the quotient is not a polynomial")
    return K.slice_of(T, 0, QUOTIENT_LENGTH)


def table_polynomials(prices: ChainPrices, folded: Sequence[Sequence[int]]) -> list[list[K.FieldVector]]:
    """The polynomials of the public points: folded rows, pinned rows, prices, then four side rows each."""
    return [[K.intt(K.from_ints(row)) for row in rows] for rows in (folded, *table_rows(prices))]


@lru_cache(maxsize=1)
def vanishing_inverse() -> K.FieldVector:
    """1/Z_H on the coset, where Z_H takes four values."""
    root = Domain.of(COSET).omega
    values = [inverse(pow(GENERATOR * pow(root, i, r), ROWS, r) - 1) for i in range(COSET // ROWS)]
    return K.from_ints(values * ROWS)
