"""The prover of ``chain/v1``, round by round (docs/protocol-chain.md section 4), on the kernels of today's prover.

Every blinder comes from ``draw`` in the order in which the protocol names them: ``f_0`` (b0, b1), ``f_1``, ..; ``mu``,
``h_0``, ``h_1``, ``h_2`` two each; ``phi`` four. ``prover/chain_reference.py`` gives the same bytes from the same
randomness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from zkmargin.circuits.chain import (
    ROWS,
    SIDE_COLUMNS,
    ChainWeights,
    folded_rows,
    public_rows,
)
from zkmargin.circuits.language.system import Column, Int64Array
from zkmargin.circuits.language.witness import Witness
from zkmargin.crypto.field import inverse, powers, r
from zkmargin.prover import _kernels as K
from zkmargin.prover.argument import Draw
from zkmargin.prover.chain_rounds import (
    COLUMN_LENGTH,
    COSET,
    OMEGA,
    QUOTIENT_LENGTH,
    Opened,
    chain_committer,
    combine,
    committed_book,
    fixed_rows,
    integers,
    lift,
    on_coset,
    open_all,
    quotient,
    recording,
    refuse_infinity,
    side_values,
    sum_of,
    table_polynomials,
    unlisted,
    weighted_sum,
    witness_columns,
)
from zkmargin.prover.polynomials import blinded, running_sum, shifted
from zkmargin.prover.profile import Profile
from zkmargin.verifier.chain.argument import identity, ratio, remainders, transcript_of
from zkmargin.verifier.chain.proof import ChainProof, Commitments, Values
from zkmargin.verifier.chain.statement import ChainStatement
from zkmargin.verifier.chain.transcript import ChainChallenges


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
        commit = recording(bases, profile, threads)
        cells = [*columns] if columns is not None else witness_columns(prices, witness, num, den)
        f = [K.from_int64(column) for column in cells]
        q_H, c_H, positions, collateral = committed_book(witness, blinders)

    with profile.stage("1: digits, multiplicities"):
        counted = np.bincount(np.concatenate(cells), minlength=n).astype(np.int64)
        if layout.packed == 1:  # an f_7 of zeros takes part in the lookup
            counted[0] += n
        b_f = [[draw(), draw()] for _ in cells]
        b_mu = [draw(), draw()]
        second = (cells[SIDE_COLUMNS + 1], b_f[SIDE_COLUMNS + 1]) if layout.packed == 2 else None
        F = commit(
            ["F1", "F2", "F3"],
            [
                bases.packed([(cells[i], b_f[i]) for i in range(3)]),
                bases.packed([(cells[i], b_f[i]) for i in range(3, 6)]),
                bases.packed([(cells[SIDE_COLUMNS], b_f[SIDE_COLUMNS]), second, (counted, b_mu)]),
            ],
        )
        mu = K.from_int64(counted)
        f_poly = [blinded(column, b) for column, b in zip(f, b_f, strict=True)]
        mu_poly = blinded(mu, b_mu)
        beta, rho = transcript.round1(F[0], F[1], F[2])

    with profile.stage("2: helpers, running sum"):
        weights = ChainWeights(rho)
        fractions = [K.batch_inverse(shifted(column, beta)) for column in f]
        table = K.batch_inverse(shifted(integers(), beta))
        zero = K.constant(0 if layout.packed == 2 else inverse(beta), n)
        packed_sum = sum_of([*fractions[SIDE_COLUMNS:], zero])
        h = [sum_of(fractions[0:3]), sum_of(fractions[3:6]), K.sub(packed_sum, K.mul(mu, table))]
        folded = folded_rows(prices, weights)
        U_int = public_rows(prices, weights, num, den, folded)
        U = {name: K.from_ints(rows) for name, rows in U_int.items()}
        short = weighted_sum(f[3:6])
        total = K.scale(sum_of(h), weights.lookup)
        total = sum_of([total, K.mul(q_H, U["positions"]), K.mul(c_H, U["collateral"]), K.mul(short, U["short"])])
        if layout.gross:
            total = K.add(total, K.mul(weighted_sum(f[0:3]), U["long"]))
        if layout.offsets:
            total = K.add(total, K.mul(unlisted(prices), U["constants"]))
        for g in range(layout.packed):
            total = K.add(total, K.mul(f[SIDE_COLUMNS + g], U[f"packed[{g}]"]))
        sums = running_sum(total)
        h_poly = [blinded(column, [draw(), draw()]) for column in h]
        phi = blinded(sums, [draw() for _ in range(4)])
        H_poly = K.interleave(h_poly)
        H, Phi = commit(["H", "phi"], [[(0, H_poly)], [(0, phi)]])
        chi = transcript.round2(H, Phi)

    with profile.stage("3: quotient"):
        with ThreadPoolExecutor(threads) as pool:  # the kernels run without the GIL
            given = [*f_poly, mu_poly, *h_poly, phi, positions, collateral, *map(K.intt, U.values())]
            lifted = list(pool.map(lift, given))
        count = len(f_poly)
        f_c, mu_c, h_c, (phi_c, q_c, c_c) = (
            lifted[:count],
            lifted[count],
            lifted[count + 1 : count + 4],
            lifted[count + 4 : count + 7],
        )
        U_c = dict(zip(U, lifted[count + 7 :], strict=True))
        chis = powers(chi, 7)
        long_c, short_c = weighted_sum(f_c[0:3]), weighted_sum(f_c[3:6])
        side = K.sub(K.roll(phi_c, COSET // n), phi_c)
        minus = [K.scale(sum_of(h_c), weights.lookup), K.mul(q_c, U_c["positions"]), K.mul(c_c, U_c["collateral"])]
        minus += [K.mul(short_c, U_c["short"])]
        if layout.gross:
            minus += [K.mul(long_c, U_c["long"])]
        minus += [K.mul(f_c[SIDE_COLUMNS + g], U_c[f"packed[{g}]"]) for g in range(layout.packed)]
        t_c, sel_p, sel_c = (on_coset(tuple(rows)) for rows in fixed_rows(prices))
        if layout.offsets:
            minus += [K.mul(sel_p, U_c["constants"])]
        side = K.sub(side, sum_of(minus))
        b = [shifted(column, beta) for column in f_c]
        b7 = b[SIDE_COLUMNS + 1] if layout.packed == 2 else K.constant(beta, COSET)
        for g in range(2):
            b0, b1, b2 = b[3 * g : 3 * g + 3]
            b01 = K.mul(b0, b1)
            product = K.mul(h_c[g], K.mul(b01, b2))
            row = K.sub(product, K.add(b01, K.mul(b2, K.add(b0, b1))))
            side = K.add_scaled(side, row, chis[g + 1])
        bt, b6 = shifted(t_c, beta), b[SIDE_COLUMNS]
        b67 = K.mul(b6, b7)
        row = K.sub(K.mul(K.mul(h_c[2], b67), bt), K.mul(K.add(b6, b7), bt))
        side = K.add_scaled(side, K.add(row, K.mul(mu_c, b67)), chis[3])
        side = K.add_scaled(side, K.add(K.sub(q_c, long_c), short_c), chis[4])
        side = K.add_scaled(side, K.mul(sel_p, q_c), chis[5])
        side = K.add_scaled(side, K.mul(sel_c, c_c), chis[6])
        T_poly = quotient(side)
        (T,) = commit(["T"], [[(0, T_poly)]])
        zeta = transcript.round3(T)

    with profile.stage("4: evaluations"):
        fold_poly, pinned, price, *sides = table_polynomials(prices, folded)
        values = Values.of(
            f=tuple(K.evaluate(p, zeta) for p in f_poly),
            mu=K.evaluate(mu_poly, zeta),
            h=tuple(K.evaluate(p, zeta) for p in h_poly),
            phi=K.evaluate(phi, zeta),
            phi_shifted=K.evaluate(phi, OMEGA * zeta % r),
            r=tuple(K.evaluate(p, zeta) for p in fold_poly),
            pinned=tuple(K.evaluate(p, zeta) for p in pinned),
            prices=tuple(K.evaluate(p, zeta) for p in price[:3]),
            side_rows=side_values(prices, sides, zeta),
        )
        gamma = transcript.round4(values)

    with profile.stage("5: openings"):
        challenges = ChainChallenges(beta, rho, chi, zeta, gamma, 0)
        at = identity(prices, num, den, challenges, values, weights)
        D = combine([(T_poly, at.Z), (positions, at.positions), (collateral, at.collateral)], QUOTIENT_LENGTH)
        f7 = f_poly[SIDE_COLUMNS + 1] if layout.packed == 2 else K.constant(0, COLUMN_LENGTH)
        opened = Opened(
            D=D,
            columns=[f_poly[0:3], f_poly[3:6], [f_poly[SIDE_COLUMNS], f7, mu_poly], h_poly],
            phi=phi,
            tables=[fold_poly, pinned, price, *sides],
            remainders=[[at.d], *remainders(values, zeta)],
        )
        W, W_shifted = open_all(opened, values, zeta, gamma, commit, transcript)
    points = (*F, H, Phi, T, W, W_shifted)
    refuse_infinity(points)
    return ChainProof(Commitments(*points), values)
