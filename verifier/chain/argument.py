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

from dataclasses import dataclass

from py_arkworks_bls12381 import G1Point

from zkmargin.circuits.chain import POSITION_DIGITS, SIDE_COLUMNS, ChainPrices, ChainWeights
from zkmargin.crypto.domain import evaluate
from zkmargin.crypto.field import dot, powers, r
from zkmargin.formats.errors import VerificationError
from zkmargin.verifier.argument import Opening
from zkmargin.verifier.chain.closed_forms import DOMAIN, check_public, helper_row, of_digits, public_at
from zkmargin.verifier.chain.openings import Divisors, common_remainders, decoded_points, opening_of, table_terms
from zkmargin.verifier.chain.proof import ChainProof, Values, decode_chain_proof
from zkmargin.verifier.chain.statement import ChainStatement
from zkmargin.verifier.chain.transcript import ChainChallenges, ChainTranscript
from zkmargin.verifier.verify import fold, holds


@dataclass(frozen=True)
class AtZeta:
    """The linearised identity: Z T + c_pos positions + c_col collateral = d at zeta."""

    Z: int
    positions: int
    collateral: int
    d: int


def identity(
    prices: ChainPrices, num: int, den: int, c: ChainChallenges, values: Values, weights: ChainWeights
) -> AtZeta:
    """The identity of message 3 at zeta with the values put in. ZeroDivisionError where a closed form has no value."""
    U = public_at(prices, num, den, weights, c.zeta, values)
    f, h = values.digits, values.h

    # phi(omega X) - phi(X) - total, the part without commitments
    long, short = of_digits(f[:POSITION_DIGITS]), of_digits(f[POSITION_DIGITS:SIDE_COLUMNS])
    d = values.phi_shifted - values.phi - U.short * short - weights.lookup * sum(h) - dot(U.packed, f[SIDE_COLUMNS:])
    d -= U.long * long + U.sel_p * U.constants

    # + the row identities
    chi = powers(c.chi, 7)
    b = [((c.beta + x) % r, 1) for x in (*f, 0)[:8]]
    packed = [*b[6:], ((c.beta + U.t) % r, -values.mu)]
    d += chi[1] * helper_row(h[0], b[0:3]) + chi[2] * helper_row(h[1], b[3:6]) + chi[3] * helper_row(h[2], packed)
    d -= chi[4] * (long - short)
    return AtZeta(
        Z=DOMAIN.vanishing_at(c.zeta),
        positions=(U.positions - chi[4] - chi[5] * U.sel_p) % r,
        collateral=(U.collateral - chi[6] * U.sel_c) % r,
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
    points = decoded_points(proof.commitments)
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


def remainders(values: Values, zeta: int) -> list[list[int]]:
    """The remainder polynomials r_1 .. r_8 of the opened points, in the order of the powers of gamma."""
    f = (*values.digits, 0)
    columns = [list(f[0:3]), list(f[3:6]), [f[6], f[7], values.mu], list(values.h)]
    return [*columns, *common_remainders(values, zeta)]


def _opening(
    statement: ChainStatement,
    points: dict[str, G1Point],
    c: ChainChallenges,
    values: Values,
    weights: ChainWeights,
    at: AtZeta,
    statement_digest: bytes,
) -> Opening:
    scales = Divisors(c.x, c.zeta).scales(c.gamma, columns=4, tables=3 + statement.prices.layout.side_points)
    committed = statement.statement.committed_points()
    terms = [
        (points["T"], scales[0] * at.Z),
        (committed["positions[0]"], scales[0] * at.positions),
        (committed["collateral[0]"], scales[0] * at.collateral),
        *((points[name], scale) for name, scale in zip(("F1", "F2", "F3", "H", "phi"), scales[1:6], strict=True)),
        *table_terms(statement.prices, statement.table, weights, scales[6:]),
    ]
    rests = [[at.d], *remainders(values, c.zeta)]
    constant = sum(s * evaluate(p, c.x) for s, p in zip(scales, rests, strict=True))
    return opening_of(terms, constant, points, c.x, statement_digest)


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
