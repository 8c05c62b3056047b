"""The transcript of a venue proof: one method a round, called alike by prover and verifier.

Order is soundness here (docs/protocol-venue.md section 5 says what each order keeps apart).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zkmargin.crypto.field import encode_scalar, r
from zkmargin.crypto.transcript import Transcript
from zkmargin.verifier.venue import merkle
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

    def round1(self, leaves: Sequence[bytes], extra: bytes, dense: bytes, mu: bytes) -> int:
        """Columns (as Merkle leaves), the cap's column, dense digits, multiplicities -> gamma."""
        self._bytes.append("columns", merkle.root(leaves))
        self._bytes.append("extra", extra)
        self._bytes.append("dense", dense)
        self._bytes.append("mu", mu)
        return self._bytes.challenge("gamma")

    def round2(self, aggregates: bytes) -> tuple[int, int, int, int]:
        """Aggregated books -> beta, delta, eta, rho. No table value becomes a pole."""
        rules = self.statement.rules
        self._bytes.append("Q", aggregates)
        table = max(1 << self.statement.k, rules.instruments)
        beta = self._bytes.challenge("beta", lambda x: (-x) % r < table)
        delta = self._bytes.challenge("delta")
        groups = list(enumerate(rules.group_of))
        eta = self._bytes.challenge("eta", lambda x: any((beta + i + x * g) % r == 0 for i, g in groups))
        return beta, delta, eta, self._bytes.challenge("rho")

    def round3(self, helpers: bytes, phi: bytes) -> int:
        """Helpers and running sum -> chi."""
        self._bytes.append("h", helpers)
        self._bytes.append("phi", phi)
        return self._bytes.challenge("chi")

    def round4(self, pieces: bytes) -> int:
        """Quotient -> zeta, never in H."""
        self._bytes.append("T", pieces)
        return self._bytes.challenge("zeta", lambda x: pow(x, self.statement.n, r) == 1)

    def round5(self, values: bytes, phi_shifted: int) -> int:
        """Evaluations (32 bytes each) -> v."""
        self._bytes.append("f(zeta)", values)
        self._bytes.append("phi(omega zeta)", encode_scalar(phi_shifted))
        return self._bytes.challenge("v")

    def round6(self, W: bytes, W_shifted: bytes) -> int:
        """Both openings -> y."""
        self._bytes.append("W", W)
        self._bytes.append("W'", W_shifted)
        self.proof_digest = self._bytes.state
        return self._bytes.challenge("y")
