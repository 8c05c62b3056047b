"""The check of ``chain-joint/v1``: one argument for many accounts over one table (docs/protocol-chain-joint.md).

Account a has its equations by the weights of ``chain/v1`` times rho^(133 a) and five powers of chi; one lookup, one
running sum and one quotient serve all:

    Z_H(zeta) T + sum_a (c_pos,a positions_a + c_col,a collateral_a)      opens at zeta to d
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from zkmargin.accounts.commitments import Commitment
from zkmargin.circuits.chain import COLUMN_PACK, MAX_ACCOUNTS, POSITION_DIGITS, SIDE_COLUMNS, ChainPrices, ChainWeights
from zkmargin.crypto.domain import evaluate
from zkmargin.crypto.field import dot, powers, r
from zkmargin.crypto.srs import SRS
from zkmargin.engine.claims import Claim
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats.errors import InputError, VerificationError
from zkmargin.verifier.argument import Opening
from zkmargin.verifier.chain.closed_forms import DOMAIN, check_public, helper_row, of_digits, public_at
from zkmargin.verifier.chain.joint_proof import JointProof, JointShape, JointTranscript, JointValues, decode_joint_proof
from zkmargin.verifier.chain.openings import Divisors, common_remainders, decoded_points, opening_of, table_terms
from zkmargin.verifier.chain.statement import ChainStatement
from zkmargin.verifier.chain.table import Table
from zkmargin.verifier.chain.transcript import ChainChallenges
from zkmargin.verifier.statement import Statement
from zkmargin.verifier.verify import fold, holds


@dataclass(frozen=True)
class JointStatement:
    """The public side of a joint proof: statements of one table, claim and context, one for each account.

    Attributes:
        accounts: [m] in the order of the proof.
    """

    accounts: tuple[ChainStatement, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.accounts) <= MAX_ACCOUNTS:
            raise InputError(f"{len(self.accounts)}: a joint proof has 1 to {MAX_ACCOUNTS}", field="accounts")
        first = self.accounts[0]
        for one in self.accounts:
            same = one.table == first.table and one.statement.claim == first.statement.claim
            if not same or one.statement.context != first.statement.context:
                raise InputError("are about different tables, claims or contexts", field="accounts")

    @classmethod
    def of(
        cls,
        snapshot: Snapshot,
        accounts: Sequence[Sequence[Commitment]],
        claim: Claim,
        table: Table,
        *,
        context: bytes = b"",
        srs: SRS | None = None,
    ) -> JointStatement:
        """Build the statement from the commitments of each account.

        Raises:
            InputError: documents that do not belong together, or that the chain layout has no room for.
        """
        if not 1 <= len(accounts) <= MAX_ACCOUNTS:
            raise InputError(f"{len(accounts)}: a joint proof has 1 to {MAX_ACCOUNTS}", field="accounts")
        first = ChainStatement.of(snapshot, accounts[0], claim, table, context=context, srs=srs)
        others = (Statement.of(snapshot, one, claim, context=context, srs=srs) for one in accounts[1:])
        return cls((first, *(replace(first, statement=statement) for statement in others)))

    @property
    def prices(self) -> ChainPrices:
        """The snapshot in the chain layout."""
        return self.accounts[0].prices

    @property
    def table(self) -> Table:
        """The table that the contract will be shown."""
        return self.accounts[0].table

    @property
    def srs(self) -> SRS:
        """The setup."""
        return self.accounts[0].statement.srs

    @property
    def ratio(self) -> tuple[int, int]:
        """num, den of the claim."""
        claim = self.accounts[0].statement.claim
        return claim.num, claim.den

    @property
    def shape(self) -> JointShape:
        """How many elements its proofs have."""
        return JointShape.of(len(self.accounts), self.prices.layout)

    def commitments(self) -> list[tuple[bytes, bytes]]:
        """Positions and collateral of each account, 96 bytes each."""
        return [one.commitments() for one in self.accounts]

    def transcript(self) -> JointTranscript:
        """The transcript at its start."""
        num, den = self.ratio
        return JointTranscript(
            table_hash=self.table.hash,
            context=self.accounts[0].context_word,
            num=num,
            den=den,
            commitments=self.commitments(),
        )


@dataclass(frozen=True)
class JointAtZeta:
    """The linearised identity: Z T + sum_a positions[a] P_a + collateral[a] C_a = d at zeta."""

    Z: int
    positions: tuple[int, ...]
    collateral: tuple[int, ...]
    d: int


def account_weights(weights: ChainWeights, accounts: int) -> list[int]:
    """rho^(133 a) of each account's equations; the last one, rho^(133 m), is the lookup's."""
    return powers(weights.lookup, accounts + 1)


def identity_powers(chi: int, shape: JointShape) -> tuple[list[list[int]], list[int]]:
    """Powers of chi from 1 on: [m][5] two helpers, digits, two selectors; then one for each packed point."""
    chis = powers(chi, 5 * shape.accounts + shape.packs + 1)
    end = 5 * shape.accounts + 1
    return [chis[i : i + 5] for i in range(1, end, 5)], chis[end:]


def joint_identity(statement: JointStatement, c: ChainChallenges, values: JointValues) -> JointAtZeta:
    """The identity of message 3 at zeta with the values put in. ZeroDivisionError where a closed form has no value."""
    shape, packed = statement.shape, statement.prices.layout.packed
    m, weights = shape.accounts, ChainWeights(c.rho)
    U = public_at(statement.prices, *statement.ratio, weights, c.zeta, values)
    weight, (chi, packed_chi) = account_weights(weights, m), identity_powers(c.chi, shape)
    d = values.phi_shifted - values.phi - weight[m] * sum(values.h)
    positions, collateral = [], []
    for a in range(m):
        f = values.sides[SIDE_COLUMNS * a : SIDE_COLUMNS * (a + 1)]
        long, short = of_digits(f[:POSITION_DIGITS]), of_digits(f[POSITION_DIGITS:])
        own = dot(U.packed, values.packed[packed * a : packed * (a + 1)])
        d -= weight[a] * (U.long * long + U.short * short + own + U.sel_p * U.constants)
        b = [(c.beta + x, 1) for x in f]
        x = chi[a]
        d += x[0] * helper_row(values.h[2 * a], b[:3]) + x[1] * helper_row(values.h[2 * a + 1], b[3:])
        d -= x[2] * (long - short)
        positions.append((weight[a] * U.positions - x[2] - x[3] * U.sel_p) % r)
        collateral.append((weight[a] * U.collateral - x[4] * U.sel_c) % r)
    fractions = [*((c.beta + x, 1) for x in values.packed), (c.beta + U.t, -values.mu)]
    for k, power in enumerate(packed_chi):
        d += power * helper_row(values.h[2 * m + k], fractions[COLUMN_PACK * k : COLUMN_PACK * (k + 1)])
    return JointAtZeta(DOMAIN.vanishing_at(c.zeta), tuple(positions), tuple(collateral), d % r)


def joint_remainders(values: JointValues, zeta: int) -> list[list[int]]:
    """The remainder polynomials of everything but D, in the order of the powers of gamma."""
    kinds = (values.sides, (*values.packed, values.mu), values.h)
    threes = [list(kind[i : i + COLUMN_PACK]) for kind in kinds for i in range(0, len(kind), COLUMN_PACK)]
    return [*threes, *common_remainders(values, zeta)]


def reduce_joint(statement: JointStatement, proof: JointProof) -> Opening:
    """Everything but the pairing.

    Raises:
        ProofFormatError: a point that is not a finite point of G1.
        VerificationError: a challenge or a closed form that has no value, or a public value that is not the snapshot's.
    """
    points, shape = decoded_points(proof.commitments), statement.shape
    transcript = statement.transcript()
    c = transcript.replay(proof)
    weights = ChainWeights(c.rho)
    try:
        at = joint_identity(statement, c, proof.values)
        check_public(statement.prices, weights, c.zeta, proof.values)
        tables = 3 + statement.prices.layout.side_points
        scales = Divisors(c.x, c.zeta).scales(c.gamma, columns=shape.columns + shape.helpers, tables=tables)
        table = table_terms(statement.prices, statement.table, weights, scales[-tables:])
    except ZeroDivisionError:
        raise VerificationError("a challenge meets a pole", check="challenge") from None
    terms = [(points["T"], scales[0] * at.Z)]
    for one, positions, collateral in zip(statement.accounts, at.positions, at.collateral, strict=True):
        committed = one.statement.committed_points()
        terms.append((committed["positions[0]"], scales[0] * positions))
        terms.append((committed["collateral[0]"], scales[0] * collateral))
    names = [*(f"F[{i}]" for i in range(shape.columns)), *(f"H[{i}]" for i in range(shape.helpers)), "phi"]
    terms += [(points[name], scale) for name, scale in zip(names, scales[1:-tables], strict=True)]
    rests = [[at.d], *joint_remainders(proof.values, c.zeta)]
    constant = sum(s * evaluate(p, c.x) for s, p in zip(scales, rests, strict=True))
    return opening_of([*terms, *table], constant, points, c.x, transcript.statement_digest)


def verify_joint(statement: JointStatement, proof: bytes) -> bytes:
    """Check the bytes of a proof file; the statement digest.

    Raises:
        ProofFormatError: bytes that no proof of this statement has.
        VerificationError: a well-formed proof that does not prove the statement.
        InputError: the table holds something that is no point.
    """
    if not isinstance(proof, bytes):
        raise TypeError("a proof is bytes")
    layout = statement.prices.layout
    decoded = decode_joint_proof(proof, len(statement.accounts), layout, statement.srs.digest)
    opening = reduce_joint(statement, decoded)
    if not holds(*fold([opening], [1], statement.srs), statement.srs):
        raise VerificationError("the proof does not prove this statement", check="pairing")
    return opening.statement_digest
