"""The check of ``chain/v1``, as a contract makes it: closed forms at zeta, one MSM, one pairing check.

With the values at zeta as constants the identity is linear in what was committed:

    Z_H(zeta) T + c_pos positions + c_col collateral      opens at zeta to d
    F1, F2, F3, H      at X^3 = zeta      [f0,f1,f2] [f3,f4,f5] [f6,f7,mu] [h0,h1,h2]
    phi                at zeta and omega zeta
    fold, pinned, price at X^4 = zeta     fold = sum_g rho^(64 g) sum_k x_k M_{g,k}

and all of it is opened together: ``W = sum_i gamma^i (C_i - r_i)/Z_i`` and, at x, ``W'``:

    e( sum_i gamma^i/Z_i(x) (C_i - [r_i(x)]) - W + x W', [1]_2 ) = e( W', [tau]_2 )

Unlike a contract, this verifier holds the snapshot: it also compares every public value with its own evaluation, so a
table need not be trusted here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from py_arkworks_bls12381 import G1Point

from zkmargin.circuits.chain import (
    BALANCE_DIGITS,
    BLOCK,
    GROUP_STRIDE,
    KAPPA,
    MAX_ASSETS,
    POSITION_DIGITS,
    ROWS,
    SIDE_COLUMNS,
    SLACK_DIGITS,
    TABLE_PACK,
    ChainPrices,
    ChainWeights,
    folded_rows,
    held_cell,
    owed_cell,
)
from zkmargin.crypto.domain import Domain, evaluate
from zkmargin.crypto.field import dot, inverse, powers, r
from zkmargin.crypto.scalars import Vector, inner, lagrange_at, vector
from zkmargin.engine.components import SCALE_BP
from zkmargin.formats import from_hex
from zkmargin.formats.errors import InputError, ProofFormatError, VerificationError
from zkmargin.verifier.argument import Opening
from zkmargin.verifier.chain.proof import PINNED, PRICE, WORDS, ChainProof, Values, decode_chain_proof
from zkmargin.verifier.chain.statement import ChainStatement
from zkmargin.verifier.chain.transcript import ChainTranscript
from zkmargin.verifier.chain.words import decode_point
from zkmargin.verifier.verify import fold, holds

DOMAIN = Domain.of(ROWS)


@dataclass(frozen=True)
class ChainChallenges:
    """beta: lookup; rho: equations; chi: identities; zeta: evaluation; gamma: openings; x: points."""

    beta: int
    rho: int
    chi: int
    zeta: int
    gamma: int
    x: int


@dataclass(frozen=True)
class AtZeta:
    """The linearised identity: Z T + c_pos positions + c_col collateral = d at zeta."""

    Z: int
    positions: int
    collateral: int
    d: int


def cauchy(cell: int, order: int, rho: int, zeta: int) -> int:
    """sum_k u_k L_{(n/order) k + cell}(zeta), u_k = (1 - rho^order)/(omega^(n k / order) - rho).

    With Y = zeta omega^-cell it is (order/n) (zeta^n - 1) (Y^order - rho^order) / ((Y^order - 1) (Y - rho)).
    Raises ZeroDivisionError where that has no value.
    """
    Y = zeta * pow(DOMAIN.omega, -cell, r) % r
    Y_order = pow(Y, order, r)
    top = order * inverse(ROWS) * DOMAIN.vanishing_at(zeta) * (Y_order - pow(rho, order, r))
    return top * inverse((Y_order - 1) * (Y - rho)) % r


def lagrange(row: int, zeta: int) -> int:
    """L_row(zeta) = omega^row (zeta^n - 1) / (n (zeta - omega^row)). ZeroDivisionError on that row."""
    root = pow(DOMAIN.omega, row, r)
    return root * DOMAIN.vanishing_at(zeta) * inverse(ROWS * (zeta - root)) % r


def identity(
    prices: ChainPrices, num: int, den: int, c: ChainChallenges, values: Values, weights: ChainWeights
) -> AtZeta:
    """The identity of message 3 at zeta with the values put in. ZeroDivisionError where a closed form has no value."""
    n, w, zeta, layout = ROWS, weights, c.zeta, prices.layout
    t, sel_p, charge_cells, claim_cells = values.pinned
    marks, *minimums = values.prices
    f, h = values.digits, values.h
    P = powers(w.P, TABLE_PACK)
    L = [lagrange(j, zeta) for j in range(MAX_ASSETS)]

    # U of what is committed
    U_positions = dot(P, values.r) + w.claim * den * SCALE_BP * marks
    U_collateral = sum((w.balance(j) + w.claim * den * prices.long_value[j]) * L[j] for j in range(MAX_ASSETS))
    U_short = -sum(w.minimum(layout, g) * minimums[g] for g in range(layout.groups))

    # U of the packed columns: W_g, scenario slacks, claim slack, balances
    slacks = sum(
        P[a] * n**d * cauchy(SLACK_DIGITS * a + d, KAPPA, w.rho, zeta)
        for a in range(TABLE_PACK)
        for d in range(SLACK_DIGITS)
    )
    held = sum(n**d * cauchy(held_cell(0, d), MAX_ASSETS, w.rho, zeta) for d in range(BALANCE_DIGITS))
    U_packed = []
    for g in range(layout.groups):
        group = pow(w.rho, GROUP_STRIDE * g, r)
        U_packed.append((group * w.all_scenarios - w.claim * num * prices.factor_bp) * charge_cells - group * slacks)
    U_packed[0] -= w.claim * claim_cells + pow(w.rho, 129, r) * held
    for j in range(MAX_ASSETS):
        if layout.debts[j]:
            owed = w.balance(j) - w.claim * den * (prices.short_value[j] - prices.long_value[j])
            U_packed[0] += owed * sum(n**d * lagrange(owed_cell(j, d), zeta) for d in range(BALANCE_DIGITS))

    # phi(omega X) - phi(X) - total, the part without commitments
    long, short = (sum(n**d * f[side * POSITION_DIGITS + d] for d in range(POSITION_DIGITS)) for side in (0, 1))
    d = values.phi_shifted - values.phi - U_short * short - w.lookup * sum(h)
    d -= sum(U * f[SIDE_COLUMNS + g] for g, U in enumerate(U_packed))

    # + the row identities
    chi = powers(c.chi, 7)
    b = [(c.beta + x) % r for x in (*f, 0)[:8]]
    bt = (c.beta + t) % r
    for g, (b0, b1, b2) in enumerate((b[0:3], b[3:6])):
        d += chi[g + 1] * (h[g] * b0 * b1 * b2 - b0 * b1 - b0 * b2 - b1 * b2)
    d += chi[3] * (h[2] * b[6] * b[7] * bt - (b[6] + b[7]) * bt + values.mu * b[6] * b[7])
    d -= chi[4] * (long - short)
    return AtZeta(
        Z=DOMAIN.vanishing_at(zeta),
        positions=(U_positions - chi[4] - chi[5] * sel_p) % r,
        collateral=(U_collateral - chi[6] * (1 - sum(L[: prices.assets]))) % r,
        d=d % r,
    )


def reduce_chain(statement: ChainStatement, proof: ChainProof) -> Opening:
    """Everything but the pairing.

    Raises:
        ProofFormatError: a point that is not a finite point of G1.
        VerificationError: a challenge or a closed form that has no value, or a public value that is not the snapshot's.

    Example:
        >>> decoded = decode_chain_proof(chain_proof, prices.layout, embedded().digest)
        >>> len(reduce_chain(chain_statement, decoded).statement_digest)
        32
    """
    points: dict[str, G1Point] = {}
    for name, data in proof.commitments.named(WORDS):
        try:
            points[name] = decode_point(data)
        except ValueError as error:
            raise ProofFormatError(f"{name}: {error}") from None
    transcript = transcript_of(statement)
    c = ChainChallenges(*transcript.replay(proof))
    weights = ChainWeights(c.rho)
    try:
        at = identity(statement.prices, *ratio(statement), c, proof.values, weights)
        check_public(statement.prices, weights, c.zeta, proof.values)
        return _opening(statement, points, c, proof.values, weights, at, transcript.statement_digest)
    except ZeroDivisionError:
        raise VerificationError("a challenge meets a pole", check="challenge") from None


def transcript_of(statement: ChainStatement) -> ChainTranscript:
    """The transcript at its start."""
    num, den = ratio(statement)
    positions, collateral = statement.commitments()
    return ChainTranscript(
        table_hash=statement.table.hash,
        context=statement.context_word,
        num=num,
        den=den,
        positions=positions,
        collateral=collateral,
    )


def ratio(statement: ChainStatement) -> tuple[int, int]:
    """num, den of the claim."""
    return statement.statement.claim.num, statement.statement.claim.den


def check_public(prices: ChainPrices, weights: ChainWeights, zeta: int, values: Values) -> None:
    """Every public value against the snapshot's rows. Raises VerificationError."""
    basis = lagrange_at(DOMAIN, zeta)

    def at(rows: Sequence[Sequence[int]]) -> list[int]:
        return [int(inner(vector(row), basis)) for row in rows]

    expected: list[tuple[str, int, int]] = []
    expected += zip(PINNED, values.pinned, at(prices.layout.pinned_rows()), strict=True)
    expected += zip(PRICE, values.prices, at(prices.price_rows()[:3]), strict=True)
    expected += zip(("r_0", "r_1", "r_2", "r_3"), values.r, at(folded_rows(prices, weights)), strict=True)
    for name, given, own in expected:
        if given != own:
            raise VerificationError(f"{name} at zeta is not the snapshot's", check="public value")


def remainders(values: Values, zeta: int) -> list[list[int]]:
    """The remainder polynomials r_1 .. r_8 of the opened points, in the order of the powers of gamma."""
    f, (f7,) = values.f, values.f_7 or (0,)
    slope = (values.phi_shifted - values.phi) * inverse((DOMAIN.omega - 1) * zeta) % r
    return [
        list(f[0:3]),
        list(f[3:6]),
        [f[6], f7, values.mu],
        list(values.h),
        [(values.phi - slope * zeta) % r, slope],
        list(values.r),
        list(values.pinned),
        [*values.prices, 1],
    ]


def _opening(
    statement: ChainStatement,
    points: dict[str, G1Point],
    c: ChainChallenges,
    values: Values,
    weights: ChainWeights,
    at: AtZeta,
    statement_digest: bytes,
) -> Opening:
    x, zeta = c.x, c.zeta
    at_zeta = inverse(x - zeta)
    both = inverse((x - zeta) * (x - DOMAIN.omega * zeta))
    cube, fourth = inverse(pow(x, 3, r) - zeta), inverse(pow(x, 4, r) - zeta)
    gamma = powers(c.gamma, 9)
    scales = [gamma[i] * z % r for i, z in enumerate((at_zeta, cube, cube, cube, cube, both, fourth, fourth, fourth))]

    committed = statement.statement.committed_points()
    terms = [
        (points["T"], scales[0] * at.Z),
        (committed["positions[0]"], scales[0] * at.positions),
        (committed["collateral[0]"], scales[0] * at.collateral),
        *((points[name], scale) for name, scale in zip(("F1", "F2", "F3", "H", "phi"), scales[1:6], strict=True)),
    ]
    table, row = statement.table, 0
    for g, count in enumerate(statement.prices.layout.points):
        for k in range(count):
            scale = scales[6] * pow(weights.rho, GROUP_STRIDE * g, r) * weights.x[k]
            terms.append((_table_point(table.rows[row], f"rows[{row}]"), scale % r))
            row += 1
    terms += [(_table_point(table.pinned, "pinned"), scales[7]), (_table_point(table.price, "price"), scales[8])]
    constant = scales[0] * at.d
    constant += sum(s * evaluate(p, x) for s, p in zip(scales[1:], remainders(values, zeta), strict=True))
    terms += [(points["W"], -1), (points["W'"], x)]
    return Opening(((points["W'"], 1),), tuple((p, s % r) for p, s in terms), -constant % r, statement_digest)


def _table_point(text: str, name: str) -> G1Point:
    try:
        return decode_point(from_hex(text))
    except ValueError as error:
        raise InputError(str(error), field=f"table: {name}") from None


def verify_chain(statement: ChainStatement, proof: bytes) -> bytes:
    """Check the bytes of a proof file; the statement digest.

    Raises:
        ProofFormatError: bytes that no proof of this statement has.
        VerificationError: a well-formed proof that does not prove the statement.
        InputError: the table holds something that is no point.

    Example:
        >>> len(verify_chain(chain_statement, chain_proof))
        32
    """
    if not isinstance(proof, bytes):
        raise TypeError("a proof is bytes")
    srs = statement.statement.srs
    opening = reduce_chain(statement, decode_chain_proof(proof, statement.prices.layout, srs.digest))
    if not holds(*fold([opening], [1], srs), srs):
        raise VerificationError("the proof does not prove this statement", check="pairing")
    return opening.statement_digest


__all__ = ["BLOCK", "Vector", "identity", "reduce_chain", "verify_chain"]
