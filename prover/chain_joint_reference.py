"""The reference prover of ``chain-joint/v1``: docs/protocol-chain-joint.md section 3, line by line, in its letters.

Lists of Python integers and arkworks, no kernel; on the same randomness ``prover/chain_joint.py`` gives the same bytes.
Seconds an account, not constant-time: for study and tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from zkmargin.circuits.chain import (
    ROWS,
    ChainLayout,
    ChainPrices,
    ChainWeights,
    digit_columns,
    folded_rows,
    public_rows,
)
from zkmargin.circuits.language.system import Column
from zkmargin.circuits.language.witness import Witness
from zkmargin.crypto.commitment import blind
from zkmargin.crypto.domain import evaluate
from zkmargin.crypto.field import inverse, r
from zkmargin.crypto.segments import segment_rows
from zkmargin.prover.chain_reference import (
    COSET,
    H,
    Poly,
    add,
    divided,
    interpolate,
    on_coset,
    open_reference,
    pack,
    point_of,
    scale,
)
from zkmargin.verifier.chain.joint import JointStatement, joint_identity, joint_remainders
from zkmargin.verifier.chain.joint_proof import JointCommitments, JointProof, JointValues
from zkmargin.verifier.chain.transcript import ChainChallenges

Item = TypeVar("Item")
n = ROWS


def prove_joint_reference(
    statement: JointStatement,
    witnesses: Sequence[Witness],
    blinders: Sequence[Mapping[Column, int]],
    draw: Callable[[], int],
) -> JointProof:
    """The six messages, as ``prover.chain_joint.prove_joint_argument`` gives them.

    Raises:
        ValueError: a witness does not satisfy the claim.
    """
    prices, G, m = statement.prices, statement.prices.layout.packed, len(witnesses)
    num, den = statement.ratio
    transcript = statement.transcript()
    srs = statement.srs

    # 0. positions and collateral of each account were committed before
    q = [segment_rows(w.positions, n, 0).tolist() for w in witnesses]
    c = [segment_rows(w.collateral, n, 0).tolist() for w in witnesses]
    positions = [blind(interpolate(q[a]), [blinders[a]["positions[0]"]], n) for a in range(m)]
    collateral = [blind(interpolate(c[a]), [blinders[a]["collateral[0]"]], n) for a in range(m)]

    # 1. f_{a,0} .. f_{a,5} of every account, then f_{a,6} (f_{a,7}) of every account, then mu; two blinders each
    f = [[column.tolist() for column in digit_columns(prices, w, num, den)] for w in witnesses]
    sides = [column for account in f for column in account[:6]]
    packed = [column for account in f for column in account[6:]]
    mu = [0] * n
    for column in (*sides, *packed):
        for x in column:
            mu[x] += 1
    sides_poly = [blind(interpolate(column), [draw(), draw()], n) for column in sides]
    packed_poly = [blind(interpolate(column), [draw(), draw()], n) for column in packed]
    mu_poly = blind(interpolate(mu), [draw(), draw()], n)
    F = [pack3(p) for p in (*threes(sides_poly), *threes([*packed_poly, mu_poly]))]
    F_points = [point_of(srs, p) for p in F]
    beta, rho = transcript.round1(*F_points)

    # 2. a helper for each point of columns: the sum of its fractions, mu having -mu/(beta + t)
    w = ChainWeights(rho)
    t = prices.layout.pinned_rows()[0]
    fractions = [[inverse(beta + x) for x in column] for column in (*sides, *packed)]
    fractions.append([-mu[i] * inverse(beta + t[i]) % r for i in range(n)])
    kinds = (*threes(fractions[: 6 * m]), *threes(fractions[6 * m :]))
    h = [[sum(column[i] for column in kind) % r for i in range(n)] for kind in kinds]
    U = public_rows(prices, w, num, den)
    stride = w.lookup  # rho^133
    phi = [0]
    for i in range(n):
        total = pow(stride, m, r) * sum(column[i] for column in h)
        for a in range(m):
            long, short = (f[a][s][i] + n * f[a][s + 1][i] + n * n * f[a][s + 2][i] for s in (0, 3))
            mine = q[a][i] * U["positions"][i] + c[a][i] * U["collateral"][i] + short * U["short"][i]
            mine += long * U["long"][i] if "long" in U else 0
            mine += int(i >= prices.layout.instruments) * U["constants"][i] if "constants" in U else 0
            mine += sum(f[a][6 + g][i] * U[f"packed[{g}]"][i] for g in range(G))
            total += pow(stride, a, r) * mine
        phi.append((phi[-1] + total) % r)
    if phi.pop() != 0:
        raise ValueError("the equations do not hold: the sum of total over H is not 0")
    h_poly = [blind(interpolate(column), [draw(), draw()], n) for column in h]
    phi_poly = blind(interpolate(phi), [draw() for _ in range(4)], n)
    H_poly = [pack3(p) for p in threes(h_poly)]
    H_points, phi_point = [point_of(srs, p) for p in H_poly], point_of(srs, phi_poly)
    chi = transcript.round2(*H_points, phi_point)

    # 3. T Z_H = phi(omega X) - phi(X) - total + row identities by powers of chi: five an account, one a packed point
    on = {name: on_coset(interpolate(rows)) for name, rows in U.items()}
    sides_c, packed_c = [on_coset(p) for p in sides_poly], [on_coset(p) for p in packed_poly]
    h_c, mu_c, phi_c = [on_coset(p) for p in h_poly], on_coset(mu_poly), on_coset(phi_poly)
    phi_shifted = on_coset([x * pow(H.omega, j, r) % r for j, x in enumerate(phi_poly)])
    q_c, c_c = [on_coset(p) for p in positions], [on_coset(p) for p in collateral]
    t_c, sel_p = (on_coset(interpolate(rows)) for rows in prices.layout.pinned_rows()[:2])
    sel_c = on_coset(interpolate([int(j >= prices.assets) for j in range(n)]))
    identity = []
    for i in range(len(COSET.elements)):
        side = phi_shifted[i] - phi_c[i] - pow(stride, m, r) * sum(column[i] for column in h_c)
        for a in range(m):
            digits = [column[i] for column in sides_c[6 * a : 6 * a + 6]]
            longs = digits[0] + n * digits[1] + n * n * digits[2]
            shorts = digits[3] + n * digits[4] + n * n * digits[5]
            mine = q_c[a][i] * on["positions"][i] + c_c[a][i] * on["collateral"][i] + shorts * on["short"][i]
            mine += longs * on["long"][i] if "long" in on else 0
            mine += sel_p[i] * on["constants"][i] if "constants" in on else 0
            mine += sum(packed_c[G * a + g][i] * on[f"packed[{g}]"][i] for g in range(G))
            side -= pow(stride, a, r) * mine
            for k in (0, 1):
                x, y, z = (beta + digit for digit in digits[3 * k : 3 * k + 3])
                side += pow(chi, 5 * a + 1 + k, r) * (h_c[2 * a + k][i] * x * y * z - x * y - x * z - y * z)
            side += pow(chi, 5 * a + 3, r) * (q_c[a][i] - longs + shorts)
            side += pow(chi, 5 * a + 4, r) * sel_p[i] * q_c[a][i] + pow(chi, 5 * a + 5, r) * sel_c[i] * c_c[a][i]
        terms = [(beta + column[i], 1) for column in packed_c] + [(beta + t_c[i], -mu_c[i])]
        for k, part in enumerate(threes(terms)):
            product, parts = 1, 0
            for b, s in part:
                product, parts = product * b % r, (parts * b + s * product) % r
            side += pow(chi, 5 * m + 1 + k, r) * (h_c[2 * m + k][i] * product - parts)
        identity.append(side)
    T_poly = divided(identity)
    T_point = point_of(srs, T_poly)
    zeta = transcript.round3(T_point)

    # 4. every value at zeta, and phi at omega zeta
    tables = table_polynomials(prices, w)
    values = values_at(prices.layout, zeta, sides_poly, packed_poly, mu_poly, h_poly, phi_poly, tables)
    gamma = transcript.round4(values)

    # 5 and 6. openings
    at = joint_identity(statement, ChainChallenges(beta, rho, chi, zeta, gamma, 0), values)
    D = scale(T_poly, at.Z)
    for a in range(m):
        D = add(D, scale(positions[a], at.positions[a]), scale(collateral[a], at.collateral[a]))
    opened = [D, *F, *H_poly, phi_poly, *map(pack, tables)]
    rests = [[at.d], *joint_remainders(values, zeta)]
    W, W_shifted = open_reference(srs, opened, rests, zeta, gamma, transcript, tables=len(tables))
    return JointProof(JointCommitments(tuple(F_points), tuple(H_points), phi_point, T_point, W, W_shifted), values)


def table_polynomials(prices: ChainPrices, w: ChainWeights) -> list[list[Poly]]:
    """The polynomials of the public points: folded rows, pinned rows, prices, then four side rows each."""
    tables = (folded_rows(prices, w), prices.layout.pinned_rows(), prices.price_rows(), *prices.side_packs())
    return [[interpolate(row) for row in rows] for rows in tables]


def values_at(
    layout: ChainLayout,
    zeta: int,
    sides: Sequence[Poly],
    packed: Sequence[Poly],
    mu: Poly,
    h: Sequence[Poly],
    phi: Poly,
    tables: Sequence[Sequence[Poly]],
) -> JointValues:
    """Every value at zeta, and phi at omega zeta; ``tables`` as ``table_polynomials`` gives them."""
    fold, pinned, price, *side_rows = ([evaluate(p, zeta) for p in table] for table in tables)
    return JointValues(
        sides=tuple(evaluate(p, zeta) for p in sides),
        packed=tuple(evaluate(p, zeta) for p in packed),
        mu=evaluate(mu, zeta),
        h=tuple(evaluate(p, zeta) for p in h),
        phi=evaluate(phi, zeta),
        phi_shifted=evaluate(phi, H.omega * zeta % r),
        r=tuple(fold),
        pinned=tuple(pinned),
        price=tuple(price[:2]),
        som_1=tuple(price[2 : layout.packed + 1]),
        side_rows=tuple(value for rows in side_rows for value in rows)[: len(layout.side_rows)],
    )


def threes(items: Sequence[Item]) -> list[list[Item]]:
    """In groups of three; the last may have fewer."""
    return [list(items[i : i + 3]) for i in range(0, len(items), 3)]


def pack3(parts: Sequence[Poly]) -> Poly:
    """sum_a X^a p_a(X^3) for up to three columns."""
    return pack([*parts, [0], [0]][:3])
