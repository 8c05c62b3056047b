"""The reference prover of ``chain/v1``: docs/protocol-chain.md section 4, line by line, with the letters of that text.

Polynomials are lists of Python integers, lowest coefficient first, group elements come from arkworks: no kernel, table
or trick of ``prover/chain.py`` is used, and on the same randomness both give the same bytes. Seconds a proof, not
constant-time: for study and tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from zkmargin.circuits.chain import (
    ROWS,
    SIDE_COLUMNS,
    TABLE_PACK,
    ChainPrices,
    ChainWeights,
    digit_columns,
    folded_rows,
    public_rows,
)
from zkmargin.circuits.language.system import Column
from zkmargin.circuits.language.witness import Witness
from zkmargin.crypto.commitment import blind, commit_coefficients
from zkmargin.crypto.domain import Domain, divide_by_linear, evaluate
from zkmargin.crypto.field import GENERATOR, inverse, powers, r
from zkmargin.crypto.segments import segment_rows
from zkmargin.crypto.srs import SRS
from zkmargin.verifier.chain.argument import identity, ratio, remainders, transcript_of
from zkmargin.verifier.chain.proof import ChainProof, Commitments, Values
from zkmargin.verifier.chain.statement import ChainStatement
from zkmargin.verifier.chain.transcript import ChainChallenges, Rounds
from zkmargin.verifier.chain.words import point_bytes

Poly = list[int]
n = ROWS
H = Domain.of(n)
#: T Z_H has degree 4 n + 4 before the division: the identity is evaluated on 4 n points off H, where T is determined.
COSET = Domain.of(4 * n)


def prove_chain_reference(
    statement: ChainStatement, witness: Witness, blinders: Mapping[Column, int], draw: Callable[[], int]
) -> ChainProof:
    """The six messages, as ``prover.chain.prove_chain_argument`` gives them.

    Raises:
        ValueError: the witness does not satisfy the claim.
    """
    prices, layout = statement.prices, statement.prices.layout
    num, den = ratio(statement)
    transcript = transcript_of(statement)

    # 0. positions and collateral were committed before
    q, c = (segment_rows(getattr(witness, role), n, 0).tolist() for role in ("positions", "collateral"))
    positions = blind(interpolate(q), [blinders["positions[0]"]], n)
    collateral = blind(interpolate(c), [blinders["collateral[0]"]], n)

    # 1. the digit columns f_0 .. f_{5+G} and mu, two blinders each; with one group f_7 is the zero polynomial
    f = [column.tolist() for column in digit_columns(prices, witness, num, den)]
    f7 = f[SIDE_COLUMNS + 1] if layout.packed > 1 else [0] * n
    cells = [x for column in (*f[: SIDE_COLUMNS + 1], f7) for x in column]
    mu = [0] * n
    for x in cells:
        mu[x] += 1
    f_poly = [blind(interpolate(column), [draw(), draw()], n) for column in f]
    mu_poly = blind(interpolate(mu), [draw(), draw()], n)
    f7_poly = f_poly[SIDE_COLUMNS + 1] if layout.packed > 1 else [0]
    F = [pack(f_poly[0:3]), pack(f_poly[3:6]), pack([f_poly[SIDE_COLUMNS], f7_poly, mu_poly])]
    F_points = [commit(statement, p) for p in F]
    beta, rho = transcript.round1(F_points[0], F_points[1], F_points[2])

    # 2. h_0, h_1, h_2 on H, and the running sum of total
    w = ChainWeights(rho)
    inverses = [[inverse(beta + x) for x in column] for column in (*f[: SIDE_COLUMNS + 1], f7)]
    t = layout.pinned_rows()[0]
    h = [[sum(column[i] for column in inverses[start : start + 3]) % r for i in range(n)] for start in (0, 3)]
    h.append([(inverses[6][i] + inverses[7][i] - mu[i] * inverse(beta + t[i])) % r for i in range(n)])
    U = public_rows(prices, w, num, den)
    long = [f[0][i] + n * f[1][i] + n * n * f[2][i] for i in range(n)]
    short = [f[3][i] + n * f[4][i] + n * n * f[5][i] for i in range(n)]
    phi = [0]
    for i in range(n):
        total = q[i] * U["positions"][i] + c[i] * U["collateral"][i] + short[i] * U["short"][i]
        total += long[i] * U["long"][i] if layout.gross else 0
        total += int(i >= layout.instruments) * U["constants"][i] if layout.offsets else 0
        total += sum(f[SIDE_COLUMNS + g][i] * U[f"packed[{g}]"][i] for g in range(layout.packed))
        total += w.lookup * (h[0][i] + h[1][i] + h[2][i])
        phi.append((phi[-1] + total) % r)
    if phi.pop() != 0:
        raise ValueError("the equations do not hold: the sum of total over H is not 0")
    h_poly = [blind(interpolate(column), [draw(), draw()], n) for column in h]
    phi_poly = blind(interpolate(phi), [draw() for _ in range(4)], n)
    H_poly = pack(h_poly)
    H_point, phi_point = commit(statement, H_poly), commit(statement, phi_poly)
    chi = transcript.round2(H_point, phi_point)

    # 3. T Z_H = phi(omega X) - phi(X) - total + row identities by powers of chi
    columns = Columns(positions, collateral, [*f_poly[: SIDE_COLUMNS + 1], f7_poly], mu_poly, h_poly, phi_poly)
    T_poly = quotient_T(prices, columns, U, w, beta, chi)
    T_point = commit(statement, T_poly)
    zeta = transcript.round3(T_point)

    # 4. every value at zeta, and phi at omega zeta
    pinned = [interpolate(row) for row in layout.pinned_rows()]
    price = [interpolate(row) for row in prices.price_rows()]
    sides = [[interpolate(row) for row in rows] for rows in prices.side_packs()]
    fold = [interpolate(row) for row in folded_rows(prices, w)]
    values = Values.of(
        f=tuple(evaluate(p, zeta) for p in f_poly),
        mu=evaluate(mu_poly, zeta),
        h=tuple(evaluate(p, zeta) for p in h_poly),
        phi=evaluate(phi_poly, zeta),
        phi_shifted=evaluate(phi_poly, H.omega * zeta % r),
        r=tuple(evaluate(p, zeta) for p in fold),
        pinned=tuple(evaluate(p, zeta) for p in pinned),
        prices=tuple(evaluate(p, zeta) for p in price[:3]),
        side_rows=tuple(evaluate(p, zeta) for rows in sides for p in rows)[: len(layout.side_rows)],
    )
    gamma = transcript.round4(values)

    # 5 and 6. openings
    at = identity(prices, num, den, ChainChallenges(beta, rho, chi, zeta, gamma, 0), values, w)
    D = add(scale(T_poly, at.Z), scale(positions, at.positions), scale(collateral, at.collateral))
    opened = [D, *F, H_poly, phi_poly, pack(fold), pack(pinned), pack(price), *map(pack, sides)]
    rests = [[at.d], *remainders(values, zeta)]
    W, W_shifted = open_reference(
        statement.statement.srs, opened, rests, zeta, gamma, transcript, tables=3 + len(sides)
    )
    return ChainProof(Commitments(*[*F_points, H_point, phi_point, T_point, W, W_shifted]), values)


def open_reference(
    srs: SRS,
    opened: Sequence[Poly],
    rests: Sequence[Poly],
    zeta: int,
    gamma: int,
    transcript: Rounds,
    *,
    tables: int = 3,
) -> tuple[bytes, bytes]:
    """Messages 5 and 6 for everything that is opened, D first, in the order of the powers of gamma."""
    zero = vanishing(zeta, columns=len(opened) - 2 - tables, tables=tables)
    gammas = powers(gamma, len(opened))

    # 5. W = sum_i gamma^i (p_i - r_i) / Z_i
    W: Poly = [0]
    for p, rest, Z, power in zip(opened, rests, zero, gammas, strict=True):
        W = add(W, scale(quotient(add(p, scale(rest, -1)), Z), power))
    W_point = point_of(srs, W)
    x = transcript.round5(W_point)

    # 6. W' = ( sum_i gamma^i / Z_i(x) (p_i - r_i(x)) - W ) / (X - x)
    L = scale(W, -1)
    for p, rest, Z, power in zip(opened, rests, zero, gammas, strict=True):
        L = add(L, scale(add(p, [-evaluate(rest, x)]), power * inverse(evaluate(Z, x))))
    W_shifted, rest_of_L = divide_by_linear(L, x)
    if rest_of_L:
        raise ValueError("an opening does not divide")
    return W_point, point_of(srs, W_shifted)


def vanishing(zeta: int, columns: int = 4, tables: int = 3) -> list[Poly]:
    """Z_i of the openings: X - zeta; X^3 - zeta for columns; both points of phi; X^4 - zeta for tables."""
    linear, cube = [-zeta % r, 1], [-zeta % r, 0, 0, 1]
    both = [zeta * H.omega * zeta % r, -(zeta + H.omega * zeta) % r, 1]
    fourth = [-zeta % r, 0, 0, 0, 1]
    return [linear, *[cube] * columns, both, *[fourth] * tables]


def interpolate(values: Sequence[int]) -> Poly:
    """The polynomial with these values on H."""
    return H.intt([x % r for x in values])


def pack(parts: Sequence[Poly]) -> Poly:
    """sum_a X^a p_a(X^k) for k parts."""
    packed = [0] * (len(parts) * max(map(len, parts)))
    for a, p in enumerate(parts):
        packed[a : len(parts) * len(p) : len(parts)] = p
    return packed


def add(*ps: Poly) -> Poly:
    """Their sum."""
    total = [0] * max(map(len, ps))
    for p in ps:
        for j, x in enumerate(p):
            total[j] = (total[j] + x) % r
    return total


def scale(p: Sequence[int], factor: int) -> Poly:
    """p times a number."""
    return [x * factor % r for x in p]


def quotient(p: Poly, Z: Poly) -> Poly:
    """p / Z for a monic Z. ValueError unless it divides."""
    rest, found = list(p), [0] * max(len(p) - len(Z) + 1, 0)
    for i in range(len(found) - 1, -1, -1):
        top = rest[i + len(Z) - 1]
        found[i] = top
        for j, z in enumerate(Z):
            if z:
                rest[i + j] = (rest[i + j] - top * z) % r
    if any(rest):
        raise ValueError("an opening does not divide")
    return found


class Columns(NamedTuple):
    """The polynomials of messages 0 to 2: f_0 .. f_7, f_7 being zero with one group; helpers and the running sum."""

    positions: Poly
    collateral: Poly
    f: list[Poly]
    mu: Poly
    h: list[Poly]
    phi: Poly


def quotient_T(
    prices: ChainPrices, columns: Columns, U: Mapping[str, Sequence[int]], w: ChainWeights, beta: int, chi: int
) -> Poly:
    """T of message 3. ValueError where an identity does not hold on every row."""
    on = {name: on_coset(interpolate(rows)) for name, rows in U.items()}
    f_c, h_c = [on_coset(p) for p in columns.f], [on_coset(p) for p in columns.h]
    mu_c, phi_c = on_coset(columns.mu), on_coset(columns.phi)
    phi_shifted = on_coset([x * pow(H.omega, j, r) % r for j, x in enumerate(columns.phi)])
    q_c, c_c = on_coset(columns.positions), on_coset(columns.collateral)
    t_c, sel_p = (on_coset(interpolate(rows)) for rows in prices.layout.pinned_rows()[:2])
    sel_c = on_coset(interpolate([int(j >= prices.assets) for j in range(n)]))
    sides = []
    for i in range(len(COSET.elements)):
        longs = f_c[0][i] + n * f_c[1][i] + n * n * f_c[2][i]
        shorts = f_c[3][i] + n * f_c[4][i] + n * n * f_c[5][i]
        total = q_c[i] * on["positions"][i] + c_c[i] * on["collateral"][i] + shorts * on["short"][i]
        total += longs * on["long"][i] if prices.layout.gross else 0
        total += sel_p[i] * on["constants"][i] if prices.layout.offsets else 0
        total += sum(f_c[SIDE_COLUMNS + g][i] * on[f"packed[{g}]"][i] for g in range(prices.layout.packed))
        total += w.lookup * (h_c[0][i] + h_c[1][i] + h_c[2][i])
        side = phi_shifted[i] - phi_c[i] - total
        b = [beta + column[i] for column in f_c]
        for g in (0, 1):
            x, y, z = b[3 * g : 3 * g + 3]
            side += pow(chi, g + 1, r) * (h_c[g][i] * x * y * z - x * y - x * z - y * z)
        bt = beta + t_c[i]
        side += pow(chi, 3, r) * (h_c[2][i] * b[6] * b[7] * bt - (b[6] + b[7]) * bt + mu_c[i] * b[6] * b[7])
        side += pow(chi, 4, r) * (q_c[i] - longs + shorts)
        side += pow(chi, 5, r) * sel_p[i] * q_c[i] + pow(chi, 6, r) * sel_c[i] * c_c[i]
        sides.append(side)
    return divided(sides)


def divided(sides: Sequence[int]) -> Poly:
    """T from the values of T Z_H on the coset. ValueError where it is no polynomial of T's degree."""
    values = [side * inverse(pow(X, n, r) - 1) % r for side, X in zip(sides, coset_points(), strict=True)]
    T = from_coset(values)
    if any(T[3 * n + 5 :]):
        raise ValueError("an identity does not hold on every row: Z_H does not divide")
    return T[: 3 * n + 5]


def coset_points() -> list[int]:
    """7 w^i for the 4 n-th roots of unity w^i."""
    return [GENERATOR * w % r for w in COSET.elements]


def on_coset(p: Poly) -> list[int]:
    """Values there; a polynomial of more than 4 n coefficients is folded, as X^(4 n) = 7^(4 n) there."""
    return COSET.ntt([x * shift % r for x, shift in zip(p, powers(GENERATOR, len(p)), strict=True)])


def from_coset(values: Sequence[int]) -> Poly:
    """The polynomial of at most 4 n coefficients with these values."""
    shifts = powers(inverse(GENERATOR), len(values))
    return [x * shift % r for x, shift in zip(COSET.intt(list(values)), shifts, strict=True)]


def commit(statement: ChainStatement, p: Poly) -> bytes:
    """[p(tau)]_1, 96 bytes."""
    return point_of(statement.statement.srs, p)


def point_of(srs: SRS, p: Poly) -> bytes:
    """[p(tau)]_1, 96 bytes."""
    return point_bytes(commit_coefficients(srs, p[: TABLE_PACK * n]))
