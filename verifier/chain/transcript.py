"""Transcripts of the chain arguments: everything big-endian, in whole words where a contract needs them.

    statement   state <- H(0x00 || protocol || table hash || context || claim and commitments)
    absorb      state <- H(0x01 || state || data)
    challenge   x = int(H(0x02 || state || 2 i) || H(0x02 || state || 2 i + 1)) mod r        the i-th from one state

A challenge of 0 is a rejection, and so is a vanishing denominator: nothing is derived again on chain.
"""

from __future__ import annotations

from dataclasses import dataclass

from zkmargin.crypto.field import r
from zkmargin.formats.errors import VerificationError
from zkmargin.verifier.chain.proof import ChainProof
from zkmargin.verifier.chain.words import keccak256, label, word
from zkmargin.verifier.messages import Message

PROTOCOL = "zkmargin/chain/v1"


@dataclass(frozen=True)
class ChainChallenges:
    """beta: lookup; rho: equations; chi: identities; zeta: evaluation; gamma: openings; x: points."""

    beta: int
    rho: int
    chi: int
    zeta: int
    gamma: int
    x: int


class Rounds:
    """One method a round, called alike by prover and verifier: of any number of points in messages 1 and 2."""

    def __init__(self, protocol: str, *, table_hash: bytes, context: bytes, public: bytes) -> None:
        self.state = keccak256(b"\x00" + label(protocol) + table_hash + context + public)
        #: Identifies the statement: equal exactly when everything public is.
        self.statement_digest = self.state

    def round1(self, *F: bytes) -> tuple[int, int]:
        """Digit columns and multiplicities -> beta (lookup), rho (equations)."""
        self._absorb(b"".join(F))
        return self._challenge(0), self._challenge(1)

    def round2(self, *helpers: bytes) -> int:
        """Helpers and running sum -> chi (identities)."""
        self._absorb(b"".join(helpers))
        return self._challenge(0)

    def round3(self, T: bytes) -> int:
        """Quotient -> zeta."""
        self._absorb(T)
        return self._challenge(0)

    def round4(self, values: Message) -> int:
        """Values -> gamma (batched opening)."""
        self._absorb(values.encode())
        return self._challenge(0)

    def round5(self, W: bytes) -> int:
        """Quotients of all openings -> x (one point for all)."""
        self._absorb(W)
        return self._challenge(0)

    def round6(self, W_shifted: bytes) -> bytes:
        """The last point -> the state that a batch's weights are drawn from."""
        self._absorb(W_shifted)
        return self.state

    def _absorb(self, data: bytes) -> None:
        self.state = keccak256(b"\x01" + self.state + data)

    def _challenge(self, i: int) -> int:
        t = b"".join(keccak256(b"\x02" + self.state + bytes([2 * i + j])) for j in (0, 1))
        x = int.from_bytes(t, "big") % r
        if x == 0:
            raise VerificationError("a challenge is zero", check="challenge")
        return x


class ChainTranscript(Rounds):
    """The transcript of ``chain/v1``."""

    def __init__(
        self, *, table_hash: bytes, context: bytes, num: int, den: int, positions: bytes, collateral: bytes
    ) -> None:
        public = word(num) + word(den) + positions + collateral
        super().__init__(PROTOCOL, table_hash=table_hash, context=context, public=public)

    def replay(self, proof: ChainProof) -> tuple[int, int, int, int, int, int]:
        """beta, rho, chi, zeta, gamma, x."""
        c = proof.commitments
        beta, rho = self.round1(c.F1, c.F2, c.F3)
        return beta, rho, self.round2(c.H, c.phi), self.round3(c.T), self.round4(proof.values), self.round5(c.W)
