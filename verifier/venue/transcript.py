"""The transcript of a venue proof: one method a round, called alike by prover and verifier.

Order is soundness here (docs/protocol-venue.md section 5 says what each order keeps apart).
"""

from __future__ import annotations

from dataclasses import dataclass

from zkmargin.crypto.field import r
from zkmargin.crypto.transcript import Transcript
from zkmargin.verifier.venue.proof import Aggregates, Columns, Helpers, Openings, Quotient, Values, VenueProof
from zkmargin.verifier.venue.statement import PROTOCOL, VenueStatement


@dataclass(frozen=True)
class VenueChallenges:
    """gamma: accounts; beta, delta, eta: lookups; rho: equations; chi: identities; zeta, v, y: openings."""

    gamma: int = 0
    beta: int = 0
    delta: int = 0
    eta: int = 0
    rho: int = 0
    chi: int = 0
    zeta: int = 0
    v: int = 0
    y: int = 0


class VenueTranscript:
    """Replays the messages; each round's method returns its challenges."""

    def __init__(self, statement: VenueStatement) -> None:
        self.statement = statement
        self._bytes = Transcript(PROTOCOL)
        for label, data in statement.public_messages():
            self._bytes.append(label, data)
        self.statement_digest = self._bytes.state
        #: The state after the last message: what receipts of customers name.
        self.proof_digest = b""

    def round1(self, message: Columns, leaves: list[bytes]) -> int:
        """Columns (of sets as Merkle leaves), the cap's column, dense digits, multiplicities -> gamma."""
        message.absorb_with(self._bytes, leaves)
        return self._bytes.challenge("gamma")

    def round2(self, message: Aggregates) -> tuple[int, int, int, int]:
        """Aggregated books -> beta, delta, eta, rho. No table value becomes a pole."""
        rules = self.statement.rules
        message.absorb(self._bytes)
        table = max(1 << self.statement.k, rules.instruments)
        beta = self._bytes.challenge("beta", lambda x: (-x) % r < table)
        delta = self._bytes.challenge("delta")
        groups = list(enumerate(rules.group_of))
        eta = self._bytes.challenge("eta", lambda x: any((beta + i + x * g) % r == 0 for i, g in groups))
        return beta, delta, eta, self._bytes.challenge("rho")

    def round3(self, message: Helpers) -> int:
        """Helpers and running sum -> chi."""
        message.absorb(self._bytes)
        return self._bytes.challenge("chi")

    def round4(self, message: Quotient) -> int:
        """Quotient -> zeta, never in H."""
        message.absorb(self._bytes)
        return self._bytes.challenge("zeta", lambda x: pow(x, self.statement.n, r) == 1)

    def round5(self, message: Values) -> int:
        """Evaluations -> v."""
        message.absorb(self._bytes)
        return self._bytes.challenge("v")

    def round6(self, message: Openings) -> int:
        """Both openings -> y."""
        message.absorb(self._bytes)
        self.proof_digest = self._bytes.state
        return self._bytes.challenge("y")


def replay(statement: VenueStatement, proof: VenueProof) -> tuple[VenueChallenges, VenueTranscript]:
    """All challenges of a proof, and the transcript with its digests."""
    transcript = VenueTranscript(statement)
    gamma = transcript.round1(proof.columns, proof.columns.leaves(statement))
    beta, delta, eta, rho = transcript.round2(proof.aggregates)
    chi = transcript.round3(proof.helpers)
    zeta = transcript.round4(proof.quotient)
    v = transcript.round5(proof.values)
    y = transcript.round6(proof.openings)
    return VenueChallenges(gamma, beta, delta, eta, rho, chi, zeta, v, y), transcript
