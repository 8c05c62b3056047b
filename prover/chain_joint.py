"""The prover of ``chain-joint/v1`` on the kernels (docs/protocol-chain-joint.md section 3).

Blinders come from ``draw`` in the order of the values: the sides of each account, the packed columns of each account,
``mu``, the helpers, two each; ``phi`` four. ``prover/chain_joint_reference.py`` gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from zkmargin.circuits.chain import COLUMN_PACK, ROWS, SIDE_COLUMNS, ChainWeights, folded_rows, public_rows
from zkmargin.circuits.language.system import Column, Int64Array
from zkmargin.circuits.language.witness import Witness
from zkmargin.crypto.field import r
from zkmargin.prover import _kernels as K
from zkmargin.prover.argument import Draw
from zkmargin.prover.chain_rounds import (
    COLUMN_LENGTH,
    COSET,
    OMEGA,
    QUOTIENT_LENGTH,
    Job,
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
from zkmargin.verifier.chain.joint import (
    JointStatement,
    account_weights,
    identity_powers,
    joint_identity,
    joint_remainders,
)
from zkmargin.verifier.chain.joint_proof import JointCommitments, JointProof, JointValues
from zkmargin.verifier.chain.transcript import ChainChallenges

Item = TypeVar("Item")
Vectors = list[K.FieldVector]


def prove_joint_argument(
    statement: JointStatement,
    witnesses: Sequence[Witness],
    blinders: Sequence[Mapping[Column, int]],
    draw: Draw,
    *,
    threads: int = 1,
    profile: Profile | None = None,
    columns: Sequence[Sequence[Int64Array]] | None = None,
) -> JointProof:
    """One proof that every account meets the claim.

    Args:
        witnesses: [m] satisfying witnesses, in the order of the statement.
        blinders: [m] those of the accounts' commitments.
        draw: source of fresh uniform field elements.
        threads: parts of the work at the same time; the proof does not depend on it.
        profile: filled with times and sizes, if given.
        columns: instead of the witnesses' digit columns.

    Raises:
        ProverError: a witness does not satisfy the claim.
        InputError: an integer that does not fit its digits.
    """
    n, profile = ROWS, profile or Profile()
    prices, shape, m = statement.prices, statement.shape, len(statement.accounts)
    (num, den), groups = statement.ratio, statement.prices.layout.packed
    transcript = statement.transcript()
    with profile.stage("columns"):
        bases = chain_committer(statement.srs)
        commit = recording(bases, profile, threads)
        cells = [*columns] if columns is not None else [witness_columns(prices, w, num, den) for w in witnesses]
        books = [committed_book(witness, blinder) for witness, blinder in zip(witnesses, blinders, strict=True)]

    with profile.stage("1: digits, multiplicities"):
        sides = [column for account in cells for column in account[:SIDE_COLUMNS]]
        packed = [column for account in cells for column in account[SIDE_COLUMNS:]]
        counted = np.bincount(np.concatenate([*sides, *packed]), minlength=n).astype(np.int64)
        blinds = [[draw(), draw()] for _ in range(len(sides) + len(packed) + 1)]
        given = list(zip([*sides, *packed, counted], blinds, strict=True))
        F = commit(
            [f"F[{i}]" for i in range(shape.columns)],
            [bases.packed(pack) for part in (given[: len(sides)], given[len(sides) :]) for pack in _threes(part)],
        )
        on_H = [K.from_int64(column) for column, _ in given]
        polys = [blinded(column, b) for column, (_, b) in zip(on_H, given, strict=True)]
        beta, rho = transcript.round1(*F)

    side_packs, packs = list(_threes(on_H[: len(sides)])), list(_threes(on_H[len(sides) :]))
    with profile.stage("2: helpers, running sum"):
        weights = ChainWeights(rho)
        weight = account_weights(weights, m)
        folded = folded_rows(prices, weights)
        U = {name: K.from_ints(rows) for name, rows in public_rows(prices, weights, num, den, folded).items()}
        table = K.mul(on_H[-1], K.batch_inverse(shifted(integers(), beta)))
        h = [sum_of([K.batch_inverse(shifted(column, beta)) for column in pack]) for pack in side_packs]
        zero = K.constant(0, n)
        for k, pack in enumerate(packs):
            last = k == len(packs) - 1
            fractions = [K.batch_inverse(shifted(column, beta)) for column in (pack[:-1] if last else pack)]
            h.append(K.sub(sum_of([zero, *fractions]), table) if last else sum_of(fractions))
        total, sel_p = K.scale(sum_of(h), weight[m]), unlisted(prices)
        for a in range(m):
            q, c, _, _ = books[a]
            long, short = (weighted_sum(on_H[SIDE_COLUMNS * a + i : SIDE_COLUMNS * a + i + 3]) for i in (0, 3))
            mine = on_H[len(sides) + groups * a : len(sides) + groups * (a + 1)]
            total = K.add_scaled(total, _equations(q, c, long, short, mine, sel_p, U), weight[a])
        sums = running_sum(total)
        h_poly = [blinded(column, [draw(), draw()]) for column in h]
        phi = blinded(sums, [draw() for _ in range(4)])
        empty = K.constant(0, COLUMN_LENGTH)
        helper_jobs: list[Job] = [[(0, K.interleave([*pack, empty, empty][:COLUMN_PACK]))] for pack in _threes(h_poly)]
        names = [*(f"H[{i}]" for i in range(shape.helpers)), "phi"]
        *H, Phi = commit(names, [*helper_jobs, [(0, phi)]])
        chi = transcript.round2(*H, Phi)

    with profile.stage("3: quotient"):
        account_chi, packed_chi = identity_powers(chi, shape)
        t_c, sel_p, sel_c = (on_coset(tuple(rows)) for rows in fixed_rows(prices))
        U_c = {name: lift(K.intt(rows)) for name, rows in U.items()}
        phi_c = lift(phi)
        side = K.sub(K.roll(phi_c, COSET // n), phi_c)
        h_sum = K.constant(0, COSET)
        packed_b: Vectors = []
        for a in range(m):
            f_c = [lift(p) for p in polys[SIDE_COLUMNS * a : SIDE_COLUMNS * (a + 1)]]
            mine = [lift(p) for p in polys[len(sides) + groups * a : len(sides) + groups * (a + 1)]]
            q_c, c_c = lift(books[a][2]), lift(books[a][3])
            x = account_chi[a]
            long_c, short_c = weighted_sum(f_c[:3]), weighted_sum(f_c[3:])
            side = K.add_scaled(side, _equations(q_c, c_c, long_c, short_c, mine, sel_p, U_c), r - weight[a])
            b = [shifted(column, beta) for column in f_c]
            for i in (0, 1):
                h_c = lift(h_poly[2 * a + i])
                h_sum = K.add(h_sum, h_c)
                side = K.add_scaled(side, _helper_row(h_c, b[3 * i : 3 * i + 3]), x[i])
            side = K.add_scaled(side, K.add(K.sub(q_c, long_c), short_c), x[2])
            side = K.add_scaled(side, K.mul(sel_p, q_c), x[3])
            side = K.add_scaled(side, K.mul(sel_c, c_c), x[4])
            packed_b += [shifted(column, beta) for column in mine]
        columns_b = list(_threes([*packed_b, shifted(t_c, beta)]))
        for k, shifted_pack in enumerate(columns_b):
            h_c = lift(h_poly[2 * m + k])
            h_sum = K.add(h_sum, h_c)
            mu_c = lift(polys[-1]) if k == len(columns_b) - 1 else None
            side = K.add_scaled(side, _helper_row(h_c, shifted_pack, mu_c), packed_chi[k])
        side = K.add_scaled(side, h_sum, r - weight[m])
        T_poly = quotient(side)
        (T,) = commit(["T"], [[(0, T_poly)]])
        zeta = transcript.round3(T)

    with profile.stage("4: evaluations"):
        fold_poly, pinned, price, *side_polys = table_polynomials(prices, folded)
        at_zeta = [K.evaluate(p, zeta) for p in polys]
        marks, som_0, som_1 = (K.evaluate(p, zeta) for p in price[:3])
        values = JointValues(
            sides=tuple(at_zeta[: len(sides)]),
            packed=tuple(at_zeta[len(sides) : -1]),
            mu=at_zeta[-1],
            h=tuple(K.evaluate(p, zeta) for p in h_poly),
            phi=K.evaluate(phi, zeta),
            phi_shifted=K.evaluate(phi, OMEGA * zeta % r),
            r=tuple(K.evaluate(p, zeta) for p in fold_poly),
            pinned=tuple(K.evaluate(p, zeta) for p in pinned),
            price=(marks, som_0),
            som_1=(som_1,) if groups == 2 else (),
            side_rows=side_values(prices, side_polys, zeta),
        )
        gamma = transcript.round4(values)

    with profile.stage("5: openings"):
        at = joint_identity(statement, ChainChallenges(beta, rho, chi, zeta, gamma, 0), values)
        linear = [(T_poly, at.Z)]
        for book, for_positions, for_collateral in zip(books, at.positions, at.collateral, strict=True):
            linear += [(book[2], for_positions), (book[3], for_collateral)]
        opened = Opened(
            D=combine(linear, QUOTIENT_LENGTH),
            columns=[*_threes(polys[: len(sides)]), *_threes(polys[len(sides) :]), *_threes(h_poly)],
            phi=phi,
            tables=[fold_poly, pinned, price, *side_polys],
            remainders=[[at.d], *joint_remainders(values, zeta)],
        )
        W, W_shifted = open_all(opened, values, zeta, gamma, commit, transcript)
    proof = JointProof(JointCommitments(tuple(F), tuple(H), Phi, T, W, W_shifted), values)
    refuse_infinity([*F, *H, Phi, T, W, W_shifted])
    return proof


def _equations(
    q: K.FieldVector,
    c: K.FieldVector,
    long: K.FieldVector,
    short: K.FieldVector,
    packed: Vectors,
    sel_p: K.FieldVector,
    U: Mapping[str, K.FieldVector],
) -> K.FieldVector:
    """An account's equations by the weights of one account, row by row."""
    terms = [K.mul(q, U["positions"]), K.mul(c, U["collateral"]), K.mul(short, U["short"])]
    if "long" in U:
        terms.append(K.mul(long, U["long"]))
    if "constants" in U:
        terms.append(K.mul(sel_p, U["constants"]))
    return sum_of([*terms, *(K.mul(column, U[f"packed[{g}]"]) for g, column in enumerate(packed))])


def _helper_row(h: K.FieldVector, b: Sequence[K.FieldVector], mu: K.FieldVector | None = None) -> K.FieldVector:
    """h prod b - sum_i s_i prod_{j != i} b_j: s = 1, and -mu for the last one where there is mu."""
    product, parts = b[0], K.constant(1, COSET) if mu is None or len(b) > 1 else K.neg(mu)
    for i, x in enumerate(b[1:], 1):
        last = mu is not None and i == len(b) - 1
        parts = K.mul(parts, x)
        parts = K.sub(parts, K.mul(mu, product)) if last and mu is not None else K.add(parts, product)
        product = K.mul(product, x)
    return K.sub(K.mul(h, product), parts)


def _threes(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for i in range(0, len(items), COLUMN_PACK):
        yield items[i : i + COLUMN_PACK]
