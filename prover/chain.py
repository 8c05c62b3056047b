"""The prover of ``chain/v1``, round by round (docs/protocol-chain.md section 4), on the kernels of today's prover.

Every blinder comes from ``draw`` in the order in which the protocol names them: ``f_0`` (b0, b1), ``f_1``, ..; ``mu``,
``h_0``, ``h_1``, ``h_2`` two each; ``phi`` four. ``prover/chain_reference.py`` gives the same bytes from the same
randomness.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from zkmargin.circuits.chain import (
    COLUMN_PACK,
    POSITION_DIGITS,
    ROWS,
    SIDE_COLUMNS,
    TABLE_PACK,
    ChainPrices,
    ChainWeights,
    digit_columns,
    folded_rows,
    public_rows,
)
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
from zkmargin.prover.argument import Draw, ProverError
from zkmargin.prover.profile import Profile
from zkmargin.verifier.chain.argument import ChainChallenges, identity, ratio, remainders, transcript_of
from zkmargin.verifier.chain.proof import ChainProof, Commitments, Values
from zkmargin.verifier.chain.statement import ChainStatement

POWERS = TABLE_PACK * ROWS
COSET = 4 * ROWS
#: deg T <= 3 n + 4.
QUOTIENT_LENGTH = 3 * ROWS + 5
OMEGA = Domain.of(ROWS).omega

Job = list[tuple[int, "K.FieldVector | Int64Array"]]


class ChainCommitter:
    """Commits over the powers of tau, and packed columns of small integers over [tau^a L_i(tau^3)]_1.

    Raises:
        ValueError: the SRS has fewer than 4096 powers.
    """

    def __init__(self, srs: SRS) -> None:
        if srs.powers < POWERS:
            raise ValueError(f"the chain protocol needs {POWERS} powers, the SRS has {srs.powers}")
        monomials = bytes(srs.g1_bytes[: POWERS * POINT_BYTES])
        self._tables = FixedBaseTables.build(monomials + _packed_lagrange(srs), window=best_window(3 * ROWS))

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


@lru_cache(maxsize=2)
def chain_committer(srs: SRS) -> ChainCommitter:
    """The committer of an SRS; the last two are kept."""
    return ChainCommitter(srs)


def _packed_lagrange(srs: SRS) -> bytes:
    """[tau^a L_i(tau^3)]_1, a = 0, 1, 2, 96 bytes each; kept on disk, since deriving them takes seconds."""
    key = hashlib.sha256(b"lagrange points of packed columns, " + srs.digest).digest()
    count = COLUMN_PACK * ROWS
    rows = table_cache.load(key, count)
    if rows is not None:
        return b"".join(bytes_from_rows(rows))
    tau = srs.g1_powers(count)
    found = [lagrange_points(tau[a::COLUMN_PACK], Domain.of(ROWS)) for a in range(COLUMN_PACK)]
    points = b"".join(bytes(point.to_xy_bytes_be()) for part in found for point in part)
    table_cache.save(key, rows_from_bytes(points))
    return points


def prove_chain_argument(
    statement: ChainStatement,
    witness: Witness,
    blinders: Mapping[Column, int],
    draw: Draw,
    *,
    threads: int = 1,
    profile: Profile | None = None,
    columns: Sequence[Int64Array] | None = None,
) -> ChainProof:
    """A proof of the statement from a satisfying witness and the blinders of its commitments.

    Args:
        blinders: of each committed column, by name.
        draw: source of fresh uniform field elements.
        threads: parts of the work at the same time; the proof does not depend on it.
        profile: filled with times and sizes, if given.
        columns: instead of the witness's digit columns.

    Raises:
        ProverError: the witness does not satisfy the claim.
        InputError: an integer that does not fit its digits.
    """
    n, profile = ROWS, profile or Profile()
    prices, layout = statement.prices, statement.prices.layout
    num, den = ratio(statement)
    transcript = transcript_of(statement)
    with profile.stage("columns"):
        bases = chain_committer(statement.statement.srs)
        cells = [*columns] if columns is not None else _columns(prices, witness, num, den)
        f = [K.from_int64(column) for column in cells]
        q, c = (segment_rows(getattr(witness, role), n, 0) for role in ("positions", "collateral"))
        q_H, c_H = K.from_int64(q), K.from_int64(c)
        positions = _blinded(q_H, [blinders["positions[0]"]])
        collateral = _blinded(c_H, [blinders["collateral[0]"]])

    def commit(names: Sequence[str], jobs: Sequence[Job]) -> list[bytes]:
        profile.msms += [(name, sum(len(x) for _, x in job)) for name, job in zip(names, jobs, strict=True)]
        return bases.commit(jobs, threads)

    with profile.stage("1: digits, multiplicities"):
        counted = np.bincount(np.concatenate(cells), minlength=n).astype(np.int64)
        if layout.groups == 1:  # an f_7 of zeros takes part in the lookup
            counted[0] += n
        b_f = [[draw(), draw()] for _ in cells]
        b_mu = [draw(), draw()]
        second = (cells[SIDE_COLUMNS + 1], b_f[SIDE_COLUMNS + 1]) if layout.groups == 2 else None
        F = commit(
            ["F1", "F2", "F3"],
            [
                bases.packed([(cells[i], b_f[i]) for i in range(3)]),
                bases.packed([(cells[i], b_f[i]) for i in range(3, 6)]),
                bases.packed([(cells[SIDE_COLUMNS], b_f[SIDE_COLUMNS]), second, (counted, b_mu)]),
            ],
        )
        mu = K.from_int64(counted)
        f_poly = [_blinded(column, b) for column, b in zip(f, b_f, strict=True)]
        mu_poly = _blinded(mu, b_mu)
        beta, rho = transcript.round1(F[0], F[1], F[2])

    with profile.stage("2: helpers, running sum"):
        weights = ChainWeights(rho)
        fractions = [K.batch_inverse(_shifted(column, beta)) for column in f]
        table = K.batch_inverse(_shifted(_integers(), beta))
        zero = K.constant(0 if layout.groups == 2 else inverse(beta), n)
        packed_sum = _sum([*fractions[SIDE_COLUMNS:], zero])
        h = [_sum(fractions[0:3]), _sum(fractions[3:6]), K.sub(packed_sum, K.mul(mu, table))]
        folded = folded_rows(prices, weights)
        U_int = public_rows(prices, weights, num, den, folded)
        U = {name: K.from_ints(rows) for name, rows in U_int.items()}
        short = _weighted_sum(f[3:6])
        total = K.scale(_sum(h), weights.lookup)
        total = _sum([total, K.mul(q_H, U["positions"]), K.mul(c_H, U["collateral"]), K.mul(short, U["short"])])
        for g in range(layout.groups):
            total = K.add(total, K.mul(f[SIDE_COLUMNS + g], U[f"packed[{g}]"]))
        sums = K.prefix_sum(total)
        if K.to_ints(K.slice_of(sums, n - 1, n)) != [0]:
            raise ProverError("the equations do not hold: the running sum does not close")
        h_poly = [_blinded(column, [draw(), draw()]) for column in h]
        phi = _blinded(K.roll(sums, n - 1), [draw() for _ in range(4)])
        H_poly = K.interleave(h_poly)
        H, Phi = commit(["H", "phi"], [[(0, H_poly)], [(0, phi)]])
        chi = transcript.round2(H, Phi)

    with profile.stage("3: quotient"):
        with ThreadPoolExecutor(threads) as pool:  # the kernels run without the GIL
            lifted = list(
                pool.map(
                    lambda p: K.coset_ntt(p, COSET, GENERATOR),
                    [*f_poly, mu_poly, *h_poly, phi, positions, collateral, *map(K.intt, U.values())],
                )
            )
        count = len(f_poly)
        f_c, mu_c, h_c, (phi_c, q_c, c_c) = (
            lifted[:count],
            lifted[count],
            lifted[count + 1 : count + 4],
            lifted[count + 4 : count + 7],
        )
        U_c = dict(zip(U, lifted[count + 7 :], strict=True))
        chis = powers(chi, 7)
        long_c, short_c = _weighted_sum(f_c[0:3]), _weighted_sum(f_c[3:6])
        side = K.sub(K.roll(phi_c, COSET // n), phi_c)
        minus = [K.scale(_sum(h_c), weights.lookup), K.mul(q_c, U_c["positions"]), K.mul(c_c, U_c["collateral"])]
        minus += [K.mul(short_c, U_c["short"])]
        minus += [K.mul(f_c[SIDE_COLUMNS + g], U_c[f"packed[{g}]"]) for g in range(layout.groups)]
        side = K.sub(side, _sum(minus))
        b = [_shifted(column, beta) for column in f_c]
        b7 = b[SIDE_COLUMNS + 1] if layout.groups == 2 else K.constant(beta, COSET)
        for g in range(2):
            b0, b1, b2 = b[3 * g : 3 * g + 3]
            b01 = K.mul(b0, b1)
            product = K.mul(h_c[g], K.mul(b01, b2))
            row = K.sub(product, K.add(b01, K.mul(b2, K.add(b0, b1))))
            side = K.add_scaled(side, row, chis[g + 1])
        t_c, sel_p, sel_c = (_on_coset(tuple(rows)) for rows in _fixed_rows(prices))
        bt, b6 = _shifted(t_c, beta), b[SIDE_COLUMNS]
        b67 = K.mul(b6, b7)
        row = K.sub(K.mul(K.mul(h_c[2], b67), bt), K.mul(K.add(b6, b7), bt))
        side = K.add_scaled(side, K.add(row, K.mul(mu_c, b67)), chis[3])
        side = K.add_scaled(side, K.add(K.sub(q_c, long_c), short_c), chis[4])
        side = K.add_scaled(side, K.mul(sel_p, q_c), chis[5])
        side = K.add_scaled(side, K.mul(sel_c, c_c), chis[6])
        quotient = K.coset_intt(K.mul(side, _vanishing_inverse()), GENERATOR)
        if any(K.to_ints(K.slice_of(quotient, QUOTIENT_LENGTH, COSET))):
            raise ProverError("an identity does not hold on every row: the quotient is not a polynomial")
        T_poly = K.slice_of(quotient, 0, QUOTIENT_LENGTH)
        (T,) = commit(["T"], [[(0, T_poly)]])
        zeta = transcript.round3(T)

    with profile.stage("4: evaluations"):
        fold_poly = [K.intt(K.from_ints(rows)) for rows in folded]
        pinned, price = ([K.intt(K.from_ints(row)) for row in rows] for rows in _table_rows(prices))
        values = Values.of(
            f=tuple(K.evaluate(p, zeta) for p in f_poly),
            mu=K.evaluate(mu_poly, zeta),
            h=tuple(K.evaluate(p, zeta) for p in h_poly),
            phi=K.evaluate(phi, zeta),
            phi_shifted=K.evaluate(phi, OMEGA * zeta % r),
            r=tuple(K.evaluate(p, zeta) for p in fold_poly),
            pinned=tuple(K.evaluate(p, zeta) for p in pinned),
            prices=tuple(K.evaluate(p, zeta) for p in price[:3]),
        )
        gamma = transcript.round4(values)

    with profile.stage("5: openings"):
        challenges = ChainChallenges(beta, rho, chi, zeta, gamma, 0)
        at = identity(prices, num, den, challenges, values, weights)
        gammas = powers(gamma, 9)
        D = _combine([(T_poly, at.Z), (positions, at.positions), (collateral, at.collateral)], QUOTIENT_LENGTH)
        length = ROWS + 2
        f7 = f_poly[SIDE_COLUMNS + 1] if layout.groups == 2 else K.constant(0, length)
        packs = [f_poly[0:3], f_poly[3:6], [f_poly[SIDE_COLUMNS], f7, mu_poly], h_poly]
        cubes = [_combine([(pack[a], gammas[i + 1]) for i, pack in enumerate(packs)], length) for a in range(3)]
        fourths = [
            _combine([(fold_poly[a], gammas[6]), (pinned[a], gammas[7]), (price[a], gammas[8])], ROWS)
            for a in range(TABLE_PACK)
        ]
        W_poly = _combine(
            [
                (_divided(D, zeta, at.d), 1),
                (K.interleave([K.divide_by_linear(p, zeta)[0] for p in cubes]), 1),
                (_twice_divided(phi, zeta, values), gammas[5]),
                (K.interleave([K.divide_by_linear(p, zeta)[0] for p in fourths]), 1),
            ],
            POWERS,
        )
        (W,) = commit(["W"], [[(0, K.slice_of(W_poly, 0, POWERS - TABLE_PACK))]])
        x = transcript.round5(W)
        at_zeta, both = inverse(x - zeta), inverse((x - zeta) * (x - OMEGA * zeta))
        cube, fourth = inverse(pow(x, 3, r) - zeta), inverse(pow(x, 4, r) - zeta)
        L = _combine(
            [
                (D, at_zeta),
                (K.interleave(cubes), cube),
                (phi, gammas[5] * both % r),
                (K.interleave(fourths), fourth),
                (W_poly, r - 1),
            ],
            POWERS,
        )
        scales = [
            gammas[0] * at_zeta,
            *(gammas[i] * cube for i in range(1, 5)),
            gammas[5] * both,
            *(gammas[i] * fourth for i in (6, 7, 8)),
        ]
        value = scales[0] * at.d
        value += sum(s * evaluate(p, x) for s, p in zip(scales[1:], remainders(values, zeta), strict=True))
        (W_shifted,) = commit(["W'"], [[(0, _divided(L, x, value % r))]])
    points = (*F, H, Phi, T, W, W_shifted)
    if not all(any(point) for point in points):
        raise ProverError("a message is the point at infinity: draw again")
    return ChainProof(Commitments(*points), values)


def commit_rows_fast(srs: SRS, packs: Sequence[Sequence[Sequence[int]]]) -> list[bytes]:
    """``verifier.chain.table.commit_rows`` on the kernels: the same points."""
    committer = chain_committer(srs)
    jobs: list[Job] = [[(0, K.interleave([K.intt(_integers_of(row)) for row in rows]))] for rows in packs]
    return committer.commit(jobs, 1)


def _integers_of(row: Sequence[int]) -> K.FieldVector:
    """A row as field elements; 64-bit ones, which all prices are, the quick way."""
    try:
        return K.from_int64(np.array(row, dtype=np.int64))
    except OverflowError:
        return K.from_ints(row)


def _columns(prices: ChainPrices, witness: Witness, num: int, den: int) -> list[Int64Array]:
    try:
        return digit_columns(prices, witness, num, den)
    except ValueError as error:
        raise ProverError(str(error)) from None


def _blinded(column: K.FieldVector, blinders: list[int]) -> K.FieldVector:
    """Coefficients of p(X) + (b_0 + b_1 X + ...) (X^n - 1)."""
    b = K.from_ints(blinders)
    return K.concatenate(K.sub(K.intt(column), K.pad(b, len(column))), b)


def _combine(terms: Sequence[tuple[K.FieldVector, int]], length: int) -> K.FieldVector:
    total = K.constant(0, length)
    for vector, scale in terms:
        total = K.add_scaled(total, K.pad(vector, length) if len(vector) < length else vector, scale)
    return total


def _divided(p: K.FieldVector, z: int, value: int) -> K.FieldVector:
    quotient, remainder = K.divide_by_linear(p, z)
    if remainder != value:
        raise ProverError("an opening does not divide: the linearised identity is wrong")
    return quotient


def _twice_divided(phi: K.FieldVector, zeta: int, values: Values) -> K.FieldVector:
    """(phi - its line through zeta and omega zeta) / ((X - zeta) (X - omega zeta))."""
    once = _divided(phi, zeta, values.phi)
    return K.divide_by_linear(once, OMEGA * zeta % r)[0]


def _weighted_sum(columns: Sequence[K.FieldVector]) -> K.FieldVector:
    total = columns[0]
    for d in range(1, POSITION_DIGITS):
        total = K.add_scaled(total, columns[d], ROWS**d)
    return total


def _shifted(vector: K.FieldVector, x: int) -> K.FieldVector:
    return K.add(vector, K.constant(x, len(vector)))


def _sum(vectors: Sequence[K.FieldVector]) -> K.FieldVector:
    total = vectors[0]
    for vector in vectors[1:]:
        total = K.add(total, vector)
    return total


def _table_rows(prices: ChainPrices) -> tuple[list[list[int]], list[list[int]]]:
    return prices.layout.pinned_rows(), prices.price_rows()


def _fixed_rows(prices: ChainPrices) -> list[list[int]]:
    """t, sel_p, sel_c on H."""
    t, sel_p, _, _ = prices.layout.pinned_rows()
    return [t, sel_p, [int(j >= prices.assets) for j in range(ROWS)]]


@lru_cache(maxsize=1)
def _integers() -> K.FieldVector:
    return K.from_int64(np.arange(ROWS, dtype=np.int64))


@lru_cache(maxsize=16)
def _on_coset(rows: tuple[int, ...]) -> K.FieldVector:
    return K.coset_ntt(K.intt(K.from_ints(rows)), COSET, GENERATOR)


@lru_cache(maxsize=1)
def _vanishing_inverse() -> K.FieldVector:
    """1/Z_H on the coset, where Z_H takes four values."""
    root = Domain.of(COSET).omega
    values = [inverse(pow(GENERATOR * pow(root, i, r), ROWS, r) - 1) for i in range(COSET // ROWS)]
    return K.from_ints(values * ROWS)


__all__ = ["ChainCommitter", "chain_committer", "commit_rows_fast", "prove_chain_argument"]
