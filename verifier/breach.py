"""Proofs of breach: that a committed account is below its requirement. docs/protocol-breach.md has the argument.

A breach is another kind of statement than a claim, with a class of its own, so that nothing that accepts claims
(receipts, ledgers) can take one for the other. The transcript begins with the kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from py_arkworks_bls12381 import G1Point

from zkmargin.accounts.commitments import Commitment
from zkmargin.circuits.breach import build_breach_circuit
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.crypto.srs import SRS
from zkmargin.engine.claims import Claim
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.policy import Policy
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats.errors import VerificationError
from zkmargin.verifier.argument import reduce_to_opening
from zkmargin.verifier.attest import Attestation, Authenticated, Known, Revocations, Trust, authenticate, check_policy
from zkmargin.verifier.proof import decode_proof
from zkmargin.verifier.statement import Statement
from zkmargin.verifier.verify import fold, holds

KIND = b"zkmargin/breach/v1"


@dataclass(frozen=True)
class BreachStatement:
    """The public side of a proof of breach: the account is that of a statement whose claim is shown to be false.

    Attributes:
        account: snapshot, commitments, context, and the claim that does not hold; without limits.

    Example:
        >>> breach = BreachStatement.of(snapshot, [commitment], Claim(3))
        >>> breach.circuit.n
        1024
    """

    account: Statement

    @classmethod
    def of(
        cls,
        snapshot: Snapshot,
        commitments: Sequence[Commitment],
        claim: Claim,
        *,
        context: bytes = b"",
        srs: SRS | None = None,
    ) -> BreachStatement:
        """Build the statement from a verifier's own files. Raises InputError as ``Statement.of``."""
        return cls(Statement.of(snapshot, commitments, claim, context=context, srs=srs))

    @property
    def srs(self) -> SRS:
        """The structured reference string."""
        return self.account.srs

    @cached_property
    def circuit(self) -> Circuit:
        """The circuit of the breach. Raises InputError as ``build_breach_circuit``."""
        return build_breach_circuit(self.account.snapshot, self.account.claim)

    def committed_points(self) -> dict[str, G1Point]:
        """The account's commitments by name."""
        return self.account.committed_points()

    def public_messages(self) -> Iterator[tuple[str, bytes]]:
        """Everything public, labelled: the kind first, then as for a claim with this circuit."""
        yield "kind", KIND
        for label, message in self.account.public_messages():
            yield label, self.circuit.digest if label == "circuit" else message


def verify_breach(statement: BreachStatement, proof: bytes) -> bytes:
    """Check a proof of breach; returns the digest of what was proved.

    Raises:
        ProofFormatError: bytes that no proof of this statement has.
        VerificationError: a well-formed proof that does not prove the statement.

    Example:
        >>> from zkmargin import prove_breach
        >>> breach = BreachStatement.of(snapshot, [commitment], Claim(3))
        >>> len(verify_breach(breach, prove_breach(breach, book, [opening])))
        32
    """
    opening = reduce_to_opening(statement, decode_proof(proof, statement.circuit.shape, statement.srs.digest))
    if not holds(*fold([opening], [1], statement.srs), statement.srs):
        raise VerificationError("the proof does not prove this breach", check="pairing")
    return opening.statement_digest


@dataclass(frozen=True)
class AcceptedBreach:
    """A breach that was accepted, and under what.

    Attributes:
        statement: what was proved.
        statement_digest: of everything public.
        authenticated: who signed what; None without a trust file.
    """

    statement: BreachStatement
    statement_digest: bytes
    authenticated: Authenticated | None = None


def accept_breach(
    statement: BreachStatement,
    proof: bytes,
    *,
    now_ms: int,
    trust: Trust | None = None,
    attestations: Sequence[Attestation] = (),
    revocations: Sequence[Revocations] = (),
    policy: Policy | None = None,
    derived: Mapping[str, str] | None = None,
    known: Known | None = None,
) -> AcceptedBreach:
    """Accept a proof of breach, or say why not.

    With a trust file the snapshot and every part of the account must be attested, current and not older than what is
    ``known``, as for a claim; and every part must have been in force at the snapshot's time: whoever may pick the state
    from another time than the prices can find a breach that never was.

    Args:
        statement: from the verifier's own snapshot, commitments, claim and context.
        proof: the proof's bytes.
        now_ms: the verifier's clock, milliseconds since 1970.
        trust: whose signatures count; without it nothing is authenticated.
        attestations: of the snapshot and of each part of the account.
        revocations: the newest list of each issuer that the trust file names.
        policy: the verifier's own, which the snapshot's must be.
        derived: as ``verifier.attest.accept`` takes it.
        known: the numbers seen before.

    Raises:
        ProofFormatError, VerificationError: refused, and which check refuses it.
    """
    snapshot = statement.account.snapshot
    if policy is not None:
        check_policy(snapshot, [policy.digest().hex()], "the verifier's own policy")
    authenticated = None
    if trust is not None:
        authenticated = authenticate(
            statement.account,
            attestations,
            trust,
            revocations=revocations,
            derived=derived or {},
            now_ms=now_ms,
            known=known,
        )
        check_in_force(authenticated, snapshot, skew_ms=1000 * trust.clock_skew_seconds)
    return AcceptedBreach(statement, verify_breach(statement, proof), authenticated)


def check_in_force(authenticated: Authenticated, snapshot: Snapshot, *, skew_ms: int) -> None:
    """Raises VerificationError: a part that was not attested for the time of the snapshot."""
    time = parse_time(snapshot.time)
    for part in authenticated.parts:
        payload = part.payload
        if not parse_time(payload.issued) - skew_ms <= time < parse_time(payload.expires) + skew_ms:
            raise VerificationError(
                f"the {payload.role} part {payload.part[:80]!r} by {payload.issuer[:80]!r} was attested from "
                f"{payload.issued} until {payload.expires}: not in force at {snapshot.time}, the snapshot's time",
                check="in force",
                hint="ask for a proof over the account and the prices of one time",
            )
